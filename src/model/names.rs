//! The names everything is called by, validated at the door: inside, no `String` is really a name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Why a text is not a name, in words an operator can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {rule}")]
pub struct NameError {
    pub text: String,
    pub what: &'static str,
    pub rule: &'static str,
}

const LABEL_RULE: &str = "use 1 to 40 of a-z, 0-9 and '-', starting and ending with a letter or digit";
const WORD_RULE: &str = "use 1 to 16 of a-z and 0-9, starting with a letter";
const CONTAINER_RULE: &str =
    "use 2 to 1024 of a-z, A-Z, 0-9, '_', '.' and '-', starting with a letter or digit";
const DOCKER_RULE: &str = "use 2 to 128 of a-z, A-Z, 0-9, '_', '.' and '-', starting with a letter or digit";
const FIELD_RULE: &str =
    "write a field such as memory, or one element of it such as env.TZ, of at most 256 characters";
const NETWORK_RULE: &str = "use 1 to 128 of a-z, A-Z, 0-9, '_', '.' and '-', starting with a letter or digit";

fn is_label(text: &str) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 40
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

fn is_word(text: &str) -> bool {
    text.len() <= 16
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Docker itself sets no end to it; ours are short.
fn is_container(text: &str) -> bool {
    (2..=1024).contains(&text.len())
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

fn is_docker(text: &str) -> bool {
    (2..=128).contains(&text.len())
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

fn is_network(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

fn is_field(text: &str) -> bool {
    let (field, element) = text.split_once('.').map_or((text, None), |(field, rest)| (field, Some(rest)));
    (1..=64).contains(&field.len())
        && field.bytes().all(|c| c.is_ascii_lowercase() || c == b'_')
        && text.len() <= 256
        && element.is_none_or(|rest| !rest.is_empty() && !rest.chars().any(char::is_control))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// What this kind of name is called in messages.
            pub const WHAT: &'static str = $what;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { text: text.to_owned(), what: $what, rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The whole of what one config repository declares.
    FleetName, "fleet name", is_label, LABEL_RULE
);
name!(
    /// `test`, `prod`, …: no `-`, so that the instance name `app-environment-slot` reads back one way.
    EnvironmentName, "environment name", is_word, WORD_RULE
);
name!(
    /// A machine of the inventory.
    HostName, "host name", is_label, LABEL_RULE
);
name!(
    /// An application: one image, one or more instances.
    AppName, "app name", is_label, LABEL_RULE
);
name!(
    /// A declared network; its name on the engine is the same.
    NetworkName, "network name", is_network, NETWORK_RULE
);
name!(
    /// A range of addresses of a network from which instances lease.
    PoolName, "pool name", is_label, LABEL_RULE
);
name!(
    /// The people who own an app.
    TeamName, "team name", is_label, LABEL_RULE
);
name!(
    /// A container's name on its engine.
    ContainerName, "container name", is_container, CONTAINER_RULE
);
name!(
    /// A volume's name on its engine.
    VolumeName, "volume name", is_docker, DOCKER_RULE
);
name!(
    /// A field of a spec, or one element of it (`env.TZ`), as `ignore = [...]` names it.
    FieldName, "field name", is_field, FIELD_RULE
);

/// A commit, by its full object id in hex. `Revision::none()` stands for "no repository" (a bare simulation).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(String);

impl Revision {
    /// `hex` is what git prints; nothing is checked here because only the git adapter makes one.
    pub fn new(hex: impl Into<String>) -> Self {
        Self(hex.into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(10)]
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An app in one environment: the unit of rollout, pause and rollback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppKey {
    pub app: AppName,
    pub environment: EnvironmentName,
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.app, self.environment)
    }
}

impl FromStr for AppKey {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (app, environment) = text.rsplit_once('-').ok_or_else(|| NameError {
            text: text.to_owned(),
            what: "app key",
            rule: "write app-environment, such as quote-prod",
        })?;
        Ok(Self { app: app.parse()?, environment: environment.parse()? })
    }
}

/// One of an app's instances: name = app + environment + slot (B1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName {
    pub key: AppKey,
    pub slot: u32,
}

impl InstanceName {
    /// The container that runs this instance.
    pub fn container(&self) -> ContainerName {
        ContainerName(self.to_string())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.key, self.slot)
    }
}

impl FromStr for InstanceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError {
            text: text.to_owned(),
            what: "instance name",
            rule: "write app-environment-slot, such as quote-prod-0",
        };
        let (key, slot) = text.rsplit_once('-').ok_or_else(wrong)?;
        Ok(Self { key: key.parse()?, slot: slot.parse().map_err(|_| wrong())? })
    }
}

serialize_as_text!(AppKey, InstanceName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_at_the_door() {
        for bad in ["", "-a", "a-", "A", "a b", "a/b", "../x", "a\n", &"a".repeat(41)] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?} was accepted");
        }
        assert!("pro-d".parse::<EnvironmentName>().is_err());
        assert_eq!("rack-a-1".parse::<HostName>().map(|n| n.to_string()), Ok("rack-a-1".to_owned()));
    }

    #[test]
    fn an_instance_name_reads_back_one_way() {
        let name: InstanceName = "order-api-prod-12".parse().expect("a valid name");
        assert_eq!(name.key.app.as_str(), "order-api");
        assert_eq!(name.key.environment.as_str(), "prod");
        assert_eq!((name.slot, name.to_string().as_str()), (12, "order-api-prod-12"));
        assert!("quote".parse::<InstanceName>().is_err());
    }
}
