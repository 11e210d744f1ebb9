//! `deploy:` of a service: how many, with what limits, how changed.

use crate::model::app::Replicas;
use crate::model::container::Restart;
use crate::model::units::Cpus;

use super::super::app::SwarmPart;
use super::super::toml::string;
use super::service::Reader;
use super::values::{size, span};
use super::yaml::Node;

impl Reader<'_, '_> {
    pub(super) fn deploy(&mut self, deploy: &Node) {
        for (key, node) in deploy.map() {
            match key.as_str() {
                "replicas" => {
                    if let Some(count) = self.parsed(key, node, |t| t.parse().ok()) {
                        self.draft.replicas = Replicas::Count(count);
                    }
                }
                "mode" => match node.text() {
                    Some("global") => self.draft.replicas = Replicas::EveryHost,
                    Some("replicated") | None => {}
                    Some(other) => self.lost(&node.place, &format!("deploy.mode: {other}")),
                },
                "resources" => self.resources(node),
                "restart_policy" => self.restart_policy(node),
                "update_config" => self.update_config(node),
                "placement" => {
                    for (key, inner) in node.map() {
                        match (key.as_str(), &self.project.swarm) {
                            ("constraints", Some(_)) => {}
                            (key, _) => self
                                .lost(&inner.place, &format!("deploy.placement.{key}: say it with [place]")),
                        }
                    }
                }
                key if key.starts_with("x-") => {}
                key => self.lost(&node.place, &format!("deploy.{key}")),
            }
        }
        if let Some(swarm) = &self.project.swarm {
            let constraints = deploy.get("placement").and_then(|p| p.get("constraints"));
            let constraints =
                constraints.into_iter().flat_map(Node::texts).map(|(t, _)| t.to_owned()).collect();
            self.draft.swarm = Some(SwarmPart { constraints, ..SwarmPart::of(swarm) });
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
                    (part, key) => self.lost(&value.place, &format!("deploy.resources.{part}.{key}")),
                }
            }
        }
    }

    fn restart_policy(&mut self, node: &Node) {
        let said = |key: &str| node.get(key).and_then(Node::text);
        let retries = said("max_attempts").and_then(|n| n.parse().ok()).unwrap_or(0);
        self.draft.spec.restart = match said("condition") {
            Some("none") => Restart::No,
            Some("on-failure") => Restart::OnFailure { max_retries: retries },
            Some(_) | None => Restart::Always,
        };
        for key in ["delay", "window"] {
            if let Some(inner) = node.get(key) {
                self.lost(&inner.place, &format!("deploy.restart_policy.{key}"));
            }
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
}
