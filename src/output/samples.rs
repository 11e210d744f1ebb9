//! A plan with one of everything, for the tests of this folder.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::drift::{Cure, Drift, FieldChange, Kind, Nature, Subject};
use crate::model::file::{Differing, FileSet, Files, Sides};
use crate::model::names::Revision;
use crate::model::plan::{Action, Blocked, Change, Expect, Plan, Step, Unknown, Unmanaged, Verb};
use crate::model::secrecy::ContentHash;
use crate::model::units::Timestamp;

/// 2026-01-02T03:04:05Z.
pub const NOW: Timestamp = Timestamp(1_767_323_045_000);

pub fn subject(kind: Kind, name: &str, host: Option<&str>) -> Subject {
    let host = host.map(|h| h.parse().expect("a host name"));
    Subject { kind, name: name.to_owned(), host, swarm: None }
}

pub fn change(action: Verb, subject: Subject, because: &str) -> Change {
    Change {
        action,
        subject,
        app: None,
        because: vec![because.to_owned()],
        from: None,
        to: Some(ContentHash::of(b"to")),
        steps: Vec::new(),
        undo: Vec::new(),
        after: Vec::new(),
        destructive: false,
        interrupts: false,
    }
}

pub fn empty() -> Plan {
    Plan {
        id: "a1b2c3d4e5f6".to_owned(),
        revision: Revision::new("0123456789abcdef0123456789abcdef01234567"),
        observed_at: NOW,
        changes: Vec::new(),
        held: Vec::new(),
        held_id: String::new(),
        blocked: Vec::new(),
        unknown: Vec::new(),
        unmanaged: Vec::new(),
        drift: Vec::new(),
        notes: Vec::new(),
        findings: crate::model::finding::Findings::default(),
        kept_because: None,
        under_way: Vec::new(),
        waiting: BTreeSet::new(),
    }
}

pub fn installed() -> BTreeMap<FileSet, Option<Files>> {
    let text = "upstream quote {\n  server 192.0.2.64:8080;\n}\n";
    [(FileSet::Nginx, Some([("quote.conf".to_owned(), text.to_owned())].into()))].into()
}

/// `text` is installed, and something else should be.
pub fn differing(text: &str) -> Differing {
    let files = |text: &str| [("quote.conf".to_owned(), text.to_owned())].into();
    let wanted = files("upstream quote {\n  server 192.0.2.64:8080;\n}\n");
    [(FileSet::Nginx, Sides { installed: files(text), wanted })].into()
}

/// Two creations, a replacement that interrupts, a file, one held, one blocked, one unknown, one in the way.
pub fn full() -> Plan {
    let container = |name: &str, host: &str| subject(Kind::Container, name, Some(host));
    let mut plan = empty();
    let network =
        change(Verb::Create, subject(Kind::Network, "market", Some("rack-a-1")), "declared and not there");
    let mut create = change(Verb::Create, container("quote-prod-1", "rack-a-1"), "declared and not there");
    create.after = vec![0];
    let mut replace =
        change(Verb::Replace, container("quote-prod-0", "edge"), "image: quote:1.4 → quote:1.5");
    replace.interrupts = true;
    replace.steps = vec![Step {
        action: Action::StopContainer {
            name: "quote-prod-0".parse().expect("a name"),
            timeout: "10s".parse().expect("a time"),
        },
        expect: Expect::Id("abc".to_owned()),
    }];
    let mut install = change(Verb::Install, subject(Kind::Files, "nginx", None), "quote: a server came");
    install.after = vec![1, 2];
    let text = "upstream quote {\n  server 192.0.2.64:8080;\n  server 192.0.2.65:8080;\n}\n";
    install.steps = vec![Step {
        action: Action::InstallFiles {
            set: FileSet::Nginx,
            files: [("quote.conf".to_owned(), text.to_owned())].into(),
        },
        expect: Expect::Anything,
    }];
    plan.changes = vec![network, create, replace, install];
    let remove = change(Verb::Remove, container("old-prod-0", "edge"), "no longer declared");
    plan.blocked = vec![
        Blocked {
            subject: remove.subject.clone(),
            app: None,
            reason: "the last instance of a production app (B3)".to_owned(),
            hint: "approve it".to_owned(),
        },
        Blocked {
            subject: container("ledger-prod-0", "rack-a-1"),
            app: "ledger-prod".parse().ok(),
            reason: "its image ledger:2 could not be resolved".to_owned(),
            hint: "is the registry up?\nthen run `trueup doctor`".to_owned(),
        },
    ];
    plan.held = vec![remove];
    plan.held_id = "feedfacecafe".to_owned();
    plan.unknown = vec![Unknown {
        subject: subject(Kind::Host, "rack-b-1", Some("rack-b-1")),
        why: "rack-b-1: GET /containers/json: no answer within 20s".to_owned(),
    }];
    plan.unmanaged = vec![Unmanaged {
        subject: container("web-prod-0", "edge"),
        why: "it carries no label of trueup's".to_owned(),
        collides: true,
    }];
    plan.drift = drifts();
    plan.notes = vec!["canary is not in this release".to_owned()];
    plan
}

pub fn drifts() -> Vec<Drift> {
    let field = |field: &str, desired: &str, live: &str, cure| FieldChange {
        field: field.to_owned(),
        desired: desired.to_owned(),
        live: live.to_owned(),
        cure,
    };
    vec![
        Drift {
            subject: subject(Kind::Container, "quote-prod-0", Some("edge")),
            app: "quote-prod".parse().ok(),
            nature: Nature::Changed(vec![
                field("memory", "512MiB", "1GiB", Cure::InPlace),
                field("user", "", "root", Cure::Replace),
            ]),
            left_alone: None,
        },
        Drift {
            subject: subject(Kind::Container, "web-prod-1", Some("rack-a-1")),
            app: "web-prod".parse().ok(),
            nature: Nature::NotRunning("exited with 137".to_owned()),
            left_alone: Some("paused: moving racks".to_owned()),
        },
    ]
}
