//! The operator's commands on the simulated fleet: the same ports, the same words, the same exit codes as the CLI's.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use trueup::adapter::reports::ReportsOut;
use trueup::apply::Stop;
use trueup::control::converge::{Converged, Scope, converge};
use trueup::control::memory::Memory;
use trueup::control::pass::{self, Pass};
use trueup::control::report;
use trueup::control::reporting::Reporting;
use trueup::control::revision::Reader;
use trueup::control::{ControlError, permission, person, run, standing};
use trueup::model::plan::Plan;
use trueup::output::{self, Format, Tone};

use super::stage::{Printed, Stage, parse};
use super::words::option;

/// What was printed, and the exit code of section X.
struct Said(String, u8);

impl Stage<'_> {
    pub async fn operator(&mut self, mut words: Vec<String>) -> Printed {
        let said = match words.remove(0).as_str() {
            "plan" => self.plan(option(&mut words, "--out")).await,
            "apply" => {
                let span = option(&mut words, "--for").unwrap_or_else(|| "1h".to_owned());
                match option(&mut words, "--break-glass") {
                    Some(reason) => {
                        match permission::break_glass(&self.world, &reason, parse(&span)?).await {
                            Ok(_) => self.apply(None).await?,
                            Err(error) => Err(error),
                        }
                    }
                    None => self.apply(option(&mut words, "--plan")).await?,
                }
            }
            "verify" => self.verify().await,
            "drift" => self.drift().await,
            "status" => self.status().await,
            "history" => self.history(),
            "run" => {
                let span = option(&mut words, "--for").ok_or("`trueup run` needs --for here")?;
                Ok(self.run(parse(&span)?).await)
            }
            "trust" => {
                let revision = words.pop().ok_or("which revision?")?;
                person::trust(&self.world, &revision).await.map(|text| Said(text, 0))
            }
            "approve" => {
                let plan = option(&mut words, "--plan").ok_or("which --plan?")?;
                let reason = option(&mut words, "--reason").ok_or("which --reason?")?;
                person::approve(&self.world, &plan, &reason).await.map(|text| Said(text, 0))
            }
            "pause" => {
                let span = option(&mut words, "--for").map(|span| parse(&span)).transpose()?;
                let reason = option(&mut words, "--reason").ok_or("which --reason?")?;
                let app = words.pop().map(|app| parse(&app)).transpose()?;
                let (store, clock) = (&*self.world.store, &*self.world.clock);
                person::pause(store, clock, app.as_ref(), span, &reason).map(|text| Said(text, 0))
            }
            "restart" => {
                let app = parse(&words.pop().ok_or("which app?")?)?;
                let asked = Memory::new(&*self.world.store).request_restart(&app, self.world.clock.now());
                asked.map(|()| Said(String::new(), 0)).map_err(ControlError::from)
            }
            "resume" => {
                let app = words.pop().map(|app| parse(&app)).transpose()?;
                person::resume(&*self.world.store, &*self.world.clock, app.as_ref()).map(|text| Said(text, 0))
            }
            other => return Err(format!("`trueup {other}` is not played here")),
        };
        if let Some(word) = words.first() {
            return Err(format!("`{word}` was not understood"));
        }
        let Said(text, code) = said.unwrap_or_else(|error| Said(format!("error: {error}\n"), 1));
        Ok(match code {
            0 => text,
            code => format!("{text}[exit code {code}]\n"),
        })
    }

    async fn look(&mut self) -> Result<Pass, ControlError> {
        let taken = Reader::default().take(&self.world, false).await?;
        let pass = pass::look(&self.world, taken, false).await?;
        self.masks.plan(&pass.plan);
        Ok(pass)
    }

    async fn plan(&mut self, out: Option<String>) -> Result<Said, ControlError> {
        let pass = self.look().await?;
        let text = output::plan(&pass.plan, &pass.installed(), Format::Text, false);
        let said = Said(kept(&pass) + &text, pass.plan.exit_code());
        if let Some(name) = out {
            self.saved.insert(name, pass.plan);
        }
        Ok(said)
    }

    /// As `trueup apply --yes`. A kill that falls meanwhile ends it where it stands (D5).
    async fn apply(&mut self, saved: Option<String>) -> Result<Result<Said, ControlError>, String> {
        let saved =
            saved.map(|name| self.saved.get(&name).cloned().ok_or(format!("no plan {name} was saved")));
        let saved = saved.transpose()?;
        let applied = tokio::select! {
            applied = self.applied(saved.as_ref()) => applied,
            () = self.sim.killed() => return Ok(Ok(Said("killed\n".to_owned(), 137))),
        };
        Ok(applied.map(|done| {
            self.masks.plan(&done.last.plan);
            let text = output::outcomes(&done.outcomes, &done.last.plan, Format::Text, false);
            Said(kept(&done.last) + &text, done.exit_code())
        }))
    }

    async fn applied(&self, saved: Option<&Plan>) -> Result<Converged, ControlError> {
        let mut world = self.world.clone();
        if let Some(saved) = saved {
            world.revision = Some(trueup::model::settings::Reference::Commit(saved.revision.to_string()));
        }
        let promises = saved.map(Plan::promises);
        let _writer = world.store.become_writer("trueup apply")?;
        run::report_unsettled(&world)?;
        let (stop, agree) = (Stop::default(), |_: &Pass| true);
        let scope = Scope { promises: promises.as_ref(), ..Scope::of_a_person(&agree, &stop) };
        converge(&world, &Reader::default(), &scope).await
    }

    async fn drift(&mut self) -> Result<Said, ControlError> {
        let pass = self.look().await?;
        let from = self.world.clock.now().minus(std::time::Duration::from_secs(86_400));
        let report = report::report(&self.world, &pass, from)?;
        let code = match (pass.plan.unknown.is_empty(), pass.plan.drift.is_empty()) {
            (false, _) => 3,
            (true, false) => 2,
            (true, true) => 0,
        };
        Ok(Said(kept(&pass) + &output::report(&report, Format::Text, false), code))
    }

    async fn status(&mut self) -> Result<Said, ControlError> {
        let pass = self.look().await?;
        let status = standing::status(&self.world, &pass)?;
        Ok(Said(output::status(&status, Format::Text, false), pass.plan.exit_code()))
    }

    async fn verify(&self) -> Result<Said, ControlError> {
        let examined = permission::examine(&self.world, None).await?;
        let permitted = examined.permitted();
        let permission::Examined { mode, base, head, descends, commits, glass } = examined;
        let now = self.world.clock.now();
        let all = output::Verification { mode, base, head, descends, commits, glass, permitted, now };
        Ok(Said(output::verification(&all, Format::Text, false), if permitted { 0 } else { 3 }))
    }

    fn history(&self) -> Result<Said, ControlError> {
        Ok(Said(output::history(&self.world.store.history(200)?, Format::Text, false), 0))
    }

    /// The loop for so long. A round that says what the one before said, and changed nothing, is not repeated.
    async fn run(&mut self, span: trueup::model::units::TimeSpan) -> Said {
        let world = self.world.clone();
        let _writer = match world.store.become_writer("trueup run") {
            Ok(writer) => writer,
            Err(held) => return Said(format!("error: {held}\n"), 1),
        };
        let lines: Mutex<Vec<(String, Vec<String>)>> = Mutex::default();
        let standing: Mutex<Vec<String>> = Mutex::default();
        let told = |round: Result<&Converged, &ControlError>| {
            let (said, changed): (Vec<String>, bool) = match round {
                Ok(done) => (
                    output::round(done.last.taken.kept_because.as_deref(), &done.outcomes, &done.last.plan)
                        .into_iter()
                        .map(|(tone, line)| {
                            format!("{}{line}", if tone == Tone::Warning { "WARN " } else { "" })
                        })
                        .collect(),
                    !done.outcomes.is_empty(),
                ),
                Err(error) => (vec![format!("ERROR {error}")], false),
            };
            // What still stands, without what was changed just now and how much.
            let stands = |line: &&String| {
                ["WARN unknown", "WARN blocked", "WARN the head", "ERROR"]
                    .iter()
                    .any(|word| line.starts_with(word))
            };
            let now: Vec<String> = said.iter().filter(stands).cloned().collect();
            let mut standing = standing.lock().expect("one thread");
            let mut lines = lines.lock().expect("one thread");
            if changed || *standing != now || lines.is_empty() {
                lines.push((world.clock.now().to_string(), said));
            }
            *standing = now;
        };
        let stop = Stop::default();
        let reporting = Reporting::new(Vec::new(), Arc::new(ReportsOut));
        let metrics = Mutex::default();
        let end = async {
            world.clock.sleep(span.duration()).await;
            stop.set();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = run::run(&world, &stop, Arc::new(Notify::new()), &reporting, &metrics, &told) => {}
            () = end => {}
            () = self.sim.killed() => lines.lock().expect("one thread").push(("killed".to_owned(), Vec::new())),
        }
        let lines = lines.into_inner().expect("one thread");
        let text = lines.iter().map(|(at, said)| {
            let said: String =
                said.iter().flat_map(|text| text.lines()).map(|line| format!("  {line}\n")).collect();
            format!("{at}\n{said}")
        });
        Said(text.collect(), 0)
    }
}

/// The CLI's warning on standard error (A2).
fn kept(pass: &Pass) -> String {
    let revision = &pass.taken.desired.revision;
    let why = pass.taken.kept_because.as_deref();
    why.map_or_else(String::new, |why| format!("warning: {}\n", output::kept(revision, why)))
}
