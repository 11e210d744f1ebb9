//! The `[policy]` section of the reconciler's own settings: no pull request switches a rule (F2).

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Weekday};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::policy::{PolicySettings, Switch, Window, WindowEffect};
use crate::model::zone::Zone;

use super::context::Context;
use super::own::shape;

shape! {
    /// Rules over what a change may do.
    struct PolicyShape {
        /// By rule: `"off"`, `"advice"`, `"overridable"` or `"final"`; a rule not named keeps its usual level (`trueup policy list`).
        rules: BTreeMap<String, SwitchWord>,
        /// Whether the repository's own `policies/*.rego` count; `true` by default.
        repository: Option<bool>,
        /// `allowed_registries`: registries, or repositories below them, that images may come from; `"docker.io/library"` is one.
        registries: Vec<String>,
        /// `no_host_mounts`: directories of the host that may be mounted all the same, by themselves or by a volume's options.
        host_mounts: Vec<String>,
        /// `pinned_images`: ask for a digest in git, not only for a tag that is not `latest`.
        images_by_digest: bool,
        /// `replica_bounds`: no app has more.
        most_replicas: Option<u32>,
        /// `replica_bounds`: no app in production has fewer.
        least_replicas_in_production: Option<u32>,
        /// Times in which changes may not, or may only, be made (F3).
        freeze: Vec<FreezeShape>,
        /// For the repository's own rules: `data.parameters.own`.
        own: BTreeMap<String, Vec<String>>,
    }
    /// A freeze window. What is set of it must all hold; healing goes on inside.
    struct FreezeShape {
        /// Required. What people call it.
        name: Option<String>,
        /// `"deny"`, the default, or `"allow"`: changes only inside windows that allow. Deny wins.
        effect: EffectWord,
        /// The environments it is for; those of production by default.
        environments: Vec<String>,
        /// Required. An IANA time zone: `"Europe/Berlin"`.
        zone: Option<String>,
        /// Days on which it begins, `"Mon"` to `"Sun"`; every day by default.
        days: Vec<String>,
        /// The time of day it begins, `"18:00"`; needs `to`.
        from: Option<String>,
        /// The time of day it ends; past midnight where it is not after `from`.
        to: Option<String>,
        /// The first moment, `"2026-12-20"` or `"2026-12-20 18:00"`.
        begin: Option<String>,
        /// The first moment after it.
        end: Option<String>,
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SwitchWord {
    Off,
    Advice,
    Overridable,
    Final,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum EffectWord {
    #[default]
    Deny,
    Allow,
}

pub(super) fn policy(shape: &PolicyShape, context: &mut Context<'_>) -> PolicySettings {
    let freeze = shape.freeze.iter().filter_map(|window| self::window(window, context)).collect();
    PolicySettings {
        rules: shape.rules.iter().map(|(rule, word)| (rule.clone(), switch(*word))).collect(),
        repository: shape.repository.unwrap_or(true),
        registries: shape.registries.clone(),
        host_mounts: shape.host_mounts.clone(),
        images_by_digest: shape.images_by_digest,
        most_replicas: shape.most_replicas,
        least_replicas_in_production: shape.least_replicas_in_production,
        freeze,
        own: shape.own.clone(),
    }
}

const fn switch(word: SwitchWord) -> Switch {
    match word {
        SwitchWord::Off => Switch::Off,
        SwitchWord::Advice => Switch::Advice,
        SwitchWord::Overridable => Switch::Overridable,
        SwitchWord::Final => Switch::Final,
    }
}

fn window(shape: &FreezeShape, context: &mut Context<'_>) -> Option<Window> {
    let at = "policy.freeze";
    let Some(name) = shape.name.clone() else {
        context.fail(at, "a freeze has no `name`");
        return None;
    };
    let wrong = |context: &mut Context<'_>, what: &str, hint: &str| {
        context.fail_with(at, format!("the freeze {name:?}: {what}"), hint);
    };
    let Some(zone) = &shape.zone else {
        wrong(context, "it has no `zone`", "name one, such as zone = \"Europe/Berlin\"");
        return None;
    };
    let Ok(zone) = zone.parse::<Zone>() else {
        wrong(
            context,
            &format!("there is no time zone {zone:?}"),
            "an IANA name is meant, as in /usr/share/zoneinfo",
        );
        return None;
    };
    let mut days = Vec::new();
    for day in &shape.days {
        match day.parse::<Weekday>() {
            Ok(day) => days.push(day),
            Err(_) => {
                wrong(context, &format!("{day:?} is no day"), "write Mon, Tue, Wed, Thu, Fri, Sat or Sun")
            }
        }
    }
    let mut clock = |text: &Option<String>| {
        let time = text.as_ref().map(|text| NaiveTime::parse_from_str(text, "%H:%M"));
        if let Some(Err(_)) = time {
            wrong(
                context,
                &format!("{text:?} is no time of day", text = text.as_deref().unwrap_or_default()),
                "write \"18:00\"",
            );
        }
        time.and_then(Result::ok)
    };
    let (from, to) = (clock(&shape.from), clock(&shape.to));
    if shape.from.is_some() != shape.to.is_some() {
        wrong(context, "`from` and `to` belong together", "set both, or neither");
    }
    let mut moment = |text: &Option<String>| {
        let moment = text.as_deref().map(moment);
        if let Some(None) = moment {
            wrong(
                context,
                &format!("{text:?} is no date", text = text.as_deref().unwrap_or_default()),
                "write \"2026-12-20\" or \"2026-12-20 18:00\"",
            );
        }
        moment.flatten()
    };
    let (begin, end) = (moment(&shape.begin), moment(&shape.end));
    let environments = context.list("policy.freeze", &shape.environments);
    let effect = match shape.effect {
        EffectWord::Deny => WindowEffect::Deny,
        EffectWord::Allow => WindowEffect::Allow,
    };
    Some(Window { name, effect, environments, zone, days, hours: from.zip(to), begin, end })
}

fn moment(text: &str) -> Option<NaiveDateTime> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok().or_else(day)
}
