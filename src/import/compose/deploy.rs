//! `deploy:` of a service: how many, with what limits, how changed; and what only a Swarm does.

use crate::model::app::Replicas;
use crate::model::container::Restart;
use crate::model::units::Cpus;

use super::super::toml::{inline, string, strings};
use super::service::Reader;
use super::values::{size, span};
use super::yaml::{Node, Place};

impl Reader<'_, '_> {
    pub(super) fn deploy(&mut self, deploy: &Node) {
        for (key, node) in deploy.map() {
            match key.as_str() {
                "replicas" => {
                    if let Some(count) = self.parsed(key, node, |t| t.parse().ok()) {
                        self.draft.replicas = Replicas::Count(count);
                    }
                }
                "mode" => self.mode(node),
                "resources" => self.resources(node),
                "restart_policy" => self.restart_policy(node),
                "update_config" if self.draft.swarm.is_none() => self.update_config(node),
                "update_config" => self.swarm_update("update", node),
                "rollback_config" if self.draft.swarm.is_some() => self.swarm_update("rollback", node),
                "placement" => self.placement(node),
                "labels" => {
                    let pairs = node.pairs(&['=']).into_iter();
                    let pairs = pairs.map(|(name, value, _)| (name, string(&value.unwrap_or_default())));
                    self.of_swarm(&node.place, "labels", "labels", Some(inline(&pairs.collect::<Vec<_>>())));
                }
                "endpoint_mode" => {
                    let value = node.text().filter(|mode| ["vip", "dnsrr"].contains(mode)).map(string);
                    self.of_swarm(&node.place, key, key, value);
                }
                key if key.starts_with("x-") => {}
                key => self.lost(&node.place, &format!("deploy.{key}")),
            }
        }
    }

    /// A key of `[swarm]`; told where trueup itself places the app, or where it has no word for the value.
    fn of_swarm(&mut self, place: &Place, key: &str, name: &str, value: Option<String>) {
        match (&mut self.draft.swarm, value) {
            (Some(part), Some(value)) => part.entries.push((name.to_owned(), value)),
            (_, _) => self.lost(place, &format!("deploy.{key}")),
        }
    }

    fn mode(&mut self, node: &Node) {
        let mode = node.text().unwrap_or("replicated");
        if let Some(mode) = mode.strip_suffix("-job") {
            self.of_swarm(&node.place, &format!("mode: {mode}-job"), "job", Some("true".to_owned()));
        }
        match mode.strip_suffix("-job").unwrap_or(mode) {
            "global" => self.draft.replicas = Replicas::EveryHost,
            "replicated" => {}
            other => self.lost(&node.place, &format!("deploy.mode: {other}")),
        }
    }

    fn resources(&mut self, node: &Node) {
        for (part, inner) in node.map() {
            for (key, value) in inner.map() {
                match (part.as_str(), key.as_str()) {
                    ("limits", "cpus") => {
                        self.draft.spec.cpus = self.parsed(key, value, |t| t.parse::<Cpus>().ok())
                    }
                    ("limits", "memory") => self.draft.spec.memory = self.parsed(key, value, size),
                    ("limits", "pids") => self.draft.spec.pids = self.parsed(key, value, |t| t.parse().ok()),
                    ("reservations", "memory") => {
                        self.draft.spec.memory_reservation = self.parsed(key, value, size)
                    }
                    ("reservations", "cpus") => {
                        let cpus =
                            value.text().and_then(|t| t.parse::<Cpus>().ok()).map(|cpus| cpus.to_string());
                        self.of_swarm(&value.place, "resources.reservations.cpus", "cpus_reservation", cpus);
                    }
                    (part, key) => self.lost(&value.place, &format!("deploy.resources.{part}.{key}")),
                }
            }
        }
    }

    fn placement(&mut self, node: &Node) {
        for (key, inner) in node.map() {
            match (key.as_str(), &mut self.draft.swarm) {
                ("constraints", Some(part)) => {
                    part.constraints = inner.texts().into_iter().map(|(t, _)| t.to_owned()).collect();
                }
                ("preferences", Some(_)) => {
                    for preference in inner.list() {
                        self.lose_others(preference, &["spread"], "of deploy.placement.preferences");
                    }
                    let spread = inner.list().iter().filter_map(|p| p.get("spread")?.text());
                    self.of_swarm(&inner.place, "placement.preferences", "spread", Some(strings(spread)));
                }
                ("max_replicas_per_node", Some(_)) => {
                    let most = inner.text().filter(|n| n.parse::<u32>().is_ok()).map(str::to_owned);
                    self.of_swarm(&inner.place, "placement.max_replicas_per_node", "max_per_node", most);
                }
                (key, Some(_)) => self.lost(&inner.place, &format!("deploy.placement.{key}")),
                (key, None) => {
                    self.lost(&inner.place, &format!("deploy.placement.{key}: say it with [place]"))
                }
            }
        }
    }

    fn restart_policy(&mut self, node: &Node) {
        let mut table = Vec::new();
        let (mut condition, mut attempts) = (None, None);
        for (key, inner) in node.map() {
            match (key.as_str(), self.draft.swarm.is_some()) {
                ("condition", _) => condition = self.parsed(key, inner, restart),
                ("max_attempts", _) => {
                    attempts = self.parsed(key, inner, |t| t.parse::<u32>().ok()).map(|most| (most, inner));
                }
                ("delay" | "window", true) => {
                    let time = self.parsed(key, inner, span);
                    table.extend(time.map(|time| (key.clone(), string(&time.to_string()))));
                }
                (key, _) => self.lost(&inner.place, &format!("deploy.restart_policy.{key}")),
            }
        }
        let mut condition = condition.unwrap_or(Restart::Always);
        match (attempts, &mut condition, &mut self.draft.swarm) {
            (Some((most, _)), _, Some(_)) => table.push(("max_attempts".to_owned(), most.to_string())),
            (Some((most, _)), Restart::OnFailure { max_retries }, None) => *max_retries = most,
            (Some((_, inner)), _, None) => self.lost(
                &inner.place,
                "deploy.restart_policy.max_attempts: only a restart on failure has a limit",
            ),
            (None, _, _) => {}
        }
        self.draft.spec.restart = condition;
        if let Some(part) = &mut self.draft.swarm {
            part.tables.push(("restart".to_owned(), table));
        }
    }

    fn update_config(&mut self, node: &Node) {
        for (key, inner) in node.map() {
            match (key.as_str(), inner.text()) {
                ("parallelism", Some("0")) => {
                    self.draft.rollout.push(("strategy".to_owned(), string("recreate")))
                }
                ("parallelism", Some(count)) if count.parse::<u32>().is_ok() => {
                    self.draft.rollout.push(("max_unavailable".to_owned(), count.to_owned()));
                }
                ("monitor", _) => {
                    if let Some(time) = self.parsed(key, inner, span) {
                        self.draft.rollout.push(("min_healthy".to_owned(), string(&time.to_string())));
                    }
                }
                ("order", Some("stop-first")) => {}
                (key, _) => self.lost(&inner.place, &format!("deploy.update_config.{key}")),
            }
        }
    }

    /// `[swarm.update]` or `[swarm.rollback]`: Swarm itself carries them out.
    fn swarm_update(&mut self, table: &str, node: &Node) {
        let mut entries = Vec::new();
        for (key, inner) in node.map() {
            let said = inner.text().unwrap_or_default();
            let entry = match key.as_str() {
                "parallelism" => said.parse::<u32>().ok().map(|n| ("parallelism", n.to_string())),
                "delay" => span(said).map(|time| ("delay", string(&time.to_string()))),
                "monitor" => span(said).map(|time| ("monitor", string(&time.to_string()))),
                "failure_action" => Some(("on_failure", string(said))),
                "max_failure_ratio" => {
                    said.parse::<f64>().ok().map(|r| ("max_failure_ratio", format!("{r:?}")))
                }
                "order" => Some(("order", string(said))),
                _ => None,
            };
            match entry {
                Some((name, value)) => entries.push((name.to_owned(), value)),
                None => self.lost(&inner.place, &format!("deploy.{table}_config.{key}")),
            }
        }
        // Swarm stops there by itself; trueup's own default goes back.
        if node.get("failure_action").is_none() {
            entries.push(("on_failure".to_owned(), string("pause")));
        }
        if let Some(part) = &mut self.draft.swarm {
            part.tables.push((table.to_owned(), entries));
        }
    }
}

fn restart(condition: &str) -> Option<Restart> {
    match condition {
        "none" => Some(Restart::No),
        "on-failure" => Some(Restart::OnFailure { max_retries: 0 }),
        "any" => Some(Restart::Always),
        _ => None,
    }
}
