//! Looks and event streams on simulated engines: no more is read at once than is allowed, and no change by a hand falls
//! between a look and the stream that is opened after it, or between a stream that broke and the next.

#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use trueup::config::{self, ParseCache};
use trueup::model::desired::Desired;
use trueup::model::names::{HostName, Revision};
use trueup::model::observed::{Engine, Seen};
use trueup::model::secrecy::HashKey;
use trueup::model::settings::Limits;
use trueup::model::tree::{Blob, Tree};
use trueup::model::units::Timestamp;
use trueup::observe::{self, Asked, Surveyor, Watch};
use trueup::ports::Clock as _;
use trueup::sim::{Fault, SimClock, SimFiles, SimWorld};

const LATENCY: Duration = Duration::from_millis(100);
const CALL: Duration = Duration::from_secs(20);
/// A hand is noticed by its event, with room for an engine's latency.
const AT_ONCE: Duration = Duration::from_secs(1);

fn host(n: usize) -> HostName {
    format!("h{n}").parse().expect("a name")
}

fn desired(hosts: usize) -> Desired {
    let declared = (0..hosts).map(|n| {
        format!(
            "[host.h{n}]\naddress = \"192.0.2.{}\"\nengine = \"sim://\"\nenvironments = [\"test\"]\n",
            n + 1
        )
    });
    let files = BTreeMap::from([
        ("fleet.toml".to_owned(), "fleet = \"sim\"\nenvironments = [\"test\"]\n".to_owned()),
        ("hosts/all.toml".to_owned(), declared.collect()),
    ]);
    let blob = |text: String| Blob { id: text.clone(), bytes: text.into_bytes().into() };
    let tree = Tree {
        revision: Revision::new("4".repeat(40)),
        committed: Timestamp(0),
        author: String::new(),
        summary: String::new(),
        blobs: files.into_iter().map(|(path, text)| (path, blob(text))).collect(),
        refused: BTreeMap::new(),
    };
    config::load(&tree, &mut ParseCache::default()).expect("a good commit")
}

struct Sim {
    fleet: SimWorld,
    clock: Arc<SimClock>,
    watch: Watch,
}

impl Sim {
    fn new(hosts: usize) -> Self {
        let fleet = SimWorld::new(HashKey::new([3; 32]), 7);
        fleet.set_latency(LATENCY);
        let clock = Arc::new(SimClock::default());
        let mut watch = Watch::new(fleet.engines(), Arc::clone(&clock) as _);
        watch.follow(&desired(hosts));
        Self { fleet, clock, watch }
    }

    /// Something happens there.
    fn hand(&self, n: usize) {
        self.fleet.by_hand(&host(n), |_| {});
    }

    /// A stream was opened within so long.
    async fn opened(&self, span: Duration) -> bool {
        timeout(span, self.watch.opened()).await.is_ok()
    }

    async fn changed(&self, span: Duration) -> bool {
        timeout(span, self.watch.changed()).await.is_ok()
    }
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

#[test]
fn a_stream_that_is_open_says_so_and_tells_what_comes_after() {
    rt().block_on(async {
        let sim = Sim::new(1);
        sim.clock.sleep(LATENCY / 2).await;
        sim.hand(0);
        assert!(sim.opened(AT_ONCE).await, "a look is due: who changed something before is told by nobody");
        assert!(!sim.changed(Duration::from_secs(3600)).await);
        sim.hand(0);
        assert!(sim.changed(AT_ONCE).await);
        assert!(!sim.opened(Duration::from_secs(3600)).await, "it stays open");
    });
}

#[test]
fn a_look_that_begins_is_no_reason_for_another() {
    rt().block_on(async {
        let sim = Sim::new(3);
        sim.clock.sleep(LATENCY * 2).await;
        sim.watch.looks();
        assert!(!sim.opened(AT_ONCE).await, "it comes after all three");
    });
}

#[test]
fn however_long_a_host_was_away_its_stream_comes_back_soon() {
    rt().block_on(async {
        let mut sim = Sim::new(2);
        sim.clock.sleep(AT_ONCE).await;
        sim.watch.looks();
        for hours in [0, 1, 30] {
            sim.fleet.set_fault(&host(1), Some(Fault::Down));
            assert!(sim.changed(AT_ONCE).await, "it is gone: a look tells since when");
            let away = Duration::from_secs(hours * 3600);
            assert!(
                !sim.changed(away).await && !sim.opened(away).await,
                "and that it is still gone is no news"
            );
            sim.fleet.set_fault(&host(1), None);
            let back = Instant::now();
            assert!(sim.opened(Duration::from_secs(6)).await, "after {hours} h");
            println!("away for {hours} h, heard again after {:?}", back.elapsed());
            sim.hand(1);
            assert!(sim.changed(AT_ONCE).await);
        }
        // Nobody closes the connection.
        sim.fleet.set_fault(&host(0), Some(Fault::Hung));
        sim.clock.sleep(AT_ONCE).await;
        sim.fleet.set_fault(&host(0), None);
        sim.hand(0);
        assert!(!sim.changed(Duration::from_secs(3600)).await);
        sim.watch.renew();
        assert!(sim.opened(AT_ONCE).await);
        sim.hand(0);
        assert!(sim.changed(AT_ONCE).await);
    });
}

/// D6: a large fleet is read in shares, and nobody is left out.
#[test]
fn no_more_hosts_are_read_at_once_than_the_fan_out() {
    const HOSTS: usize = 17;
    for (fan_out, most) in [(0, 1), (1, 1), (4, 4), (64, HOSTS)] {
        rt().block_on(async {
            let desired = desired(HOSTS);
            let all = |seen: usize| assert_eq!(seen, HOSTS, "fan_out = {fan_out}: all are known");
            let quick = SimWorld::new(HashKey::new([3; 32]), 7);
            quick.set_latency(LATENCY);
            let clock: Arc<SimClock> = Arc::default();
            let surveyor = Surveyor::new(quick.engines(), Arc::clone(&clock) as _, fan_out, CALL);
            let survey = surveyor.survey(&Asked::of(&desired)).await;
            assert!(survey.pending.is_empty());
            all(survey.hosts.values().filter_map(|seen| seen.known()).count());
            assert_eq!(quick.most_looks_at_once(), most, "fan_out = {fan_out}");

            let whole = SimWorld::new(HashKey::new([3; 32]), 7);
            whole.set_latency(LATENCY);
            let limits = Limits { fan_out, ..Limits::default() };
            let (engines, files, key) = (whole.engines(), SimFiles::default(), HashKey::new([3; 32]).id());
            let seen =
                observe::observe(&Asked::of(&desired), &*engines, &files, &*clock, key, &limits, CALL).await;
            all(seen.hosts.values().filter_map(|seen| seen.known()).count());
            assert_eq!(whole.most_looks_at_once(), most, "fan_out = {fan_out}");
        });
    }
}

/// D6: who hangs takes nobody's turn for long, however many they are.
#[test]
fn hosts_that_hang_leave_turns_for_the_others() {
    const HOSTS: usize = 8;
    rt().block_on(async {
        let desired = desired(HOSTS);
        let fleet = SimWorld::new(HashKey::new([3; 32]), 7);
        fleet.set_latency(LATENCY);
        let clock: Arc<SimClock> = Arc::default();
        for n in 0..4 {
            fleet.set_fault(&host(n), Some(Fault::Hung));
        }
        let surveyor = Surveyor::new(fleet.engines(), Arc::clone(&clock) as _, 2, CALL);
        let began = Instant::now();
        let well = |hosts: &BTreeMap<HostName, Seen<Engine>>| {
            hosts.values().filter(|seen| seen.known().is_some()).count()
        };
        loop {
            let survey = surveyor.survey(&Asked::of(&desired)).await;
            if well(&survey.hosts) == 4 {
                break;
            }
            surveyor.news().await;
        }
        assert!(began.elapsed() < CALL, "they were waited for: {:?}", began.elapsed());

        let (files, key) = (SimFiles::default(), HashKey::new([3; 32]).id());
        let limits = Limits { fan_out: 2, ..Limits::default() };
        let (engines, began) = (fleet.engines(), Instant::now());
        let seen =
            observe::observe(&Asked::of(&desired), &*engines, &files, &*clock, key, &limits, CALL).await;
        assert_eq!(well(&seen.hosts), 4);
        assert!(began.elapsed() < CALL * 4, "one after the other: {:?}", began.elapsed());
    });
}
