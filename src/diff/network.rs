//! Networks and volumes against their declarations.

use crate::model::drift::{Cure, FieldChange};
use crate::model::network::{NetworkField, NetworkSpec, VolumeField, VolumeSpec};
use crate::model::observed::{LiveNetwork, LiveVolume};

use super::show;

/// Every field that differs. A network takes no change in place: it is made anew.
pub fn network(desired: &NetworkSpec, live: &LiveNetwork) -> Vec<FieldChange> {
    let Some(spec) = &live.spec else {
        return vec![change("driver", Cure::Replace, desired.driver.name().to_owned(), live.driver.clone())];
    };
    NetworkField::ALL.iter().filter_map(|field| compare(*field, desired, spec)).collect()
}

fn compare(field: NetworkField, desired: &NetworkSpec, live: &NetworkSpec) -> Option<FieldChange> {
    let pair = |wanted: String, seen: String| {
        (wanted != seen).then(|| change(field.name(), Cure::Replace, wanted, seen))
    };
    // What is not declared the engine chooses.
    fn chosen<T: ToString>(wanted: Option<&T>, seen: Option<&T>) -> (String, String) {
        let seen = seen.map_or_else(show::none, ToString::to_string);
        (wanted.map_or_else(|| seen.clone(), ToString::to_string), seen)
    }
    match field {
        NetworkField::Driver => pair(desired.driver.name().to_owned(), live.driver.name().to_owned()),
        NetworkField::Subnet => {
            let (wanted, seen) = chosen(desired.subnet.as_ref(), live.subnet.as_ref());
            pair(wanted, seen)
        }
        NetworkField::Gateway => match (&desired.gateway, &live.gateway) {
            // Docker leaves a default gateway out of what it tells until the network is used.
            (Some(_), None) => None,
            (wanted, seen) => {
                let (wanted, seen) = chosen(wanted.as_ref(), seen.as_ref());
                pair(wanted, seen)
            }
        },
        NetworkField::IpRange => {
            pair(show::option(desired.ip_range.as_ref()), show::option(live.ip_range.as_ref()))
        }
        NetworkField::Parent => {
            let (wanted, seen) = chosen(desired.parent.as_ref(), live.parent.as_ref());
            pair(wanted, seen)
        }
        NetworkField::Internal => pair(desired.internal.to_string(), live.internal.to_string()),
        NetworkField::Attachable => pair(desired.attachable.to_string(), live.attachable.to_string()),
        NetworkField::Options => {
            let mut seen = live.options.clone();
            // An overlay's number is the Swarm's own choice.
            if !desired.options.contains_key(VXLAN) {
                seen.remove(VXLAN);
            }
            pair(show::pairs(&desired.options), show::pairs(&seen))
        }
        NetworkField::Labels => pair(show::pairs(&desired.labels), show::pairs(&live.labels)),
    }
}

const VXLAN: &str = "com.docker.network.driver.overlay.vxlanid_list";

/// A volume holds data: what differs is told and never changed by a machine (B5).
pub fn volume(desired: &VolumeSpec, live: &LiveVolume) -> Vec<FieldChange> {
    let differs = |field: &VolumeField| {
        let (wanted, seen) = match field {
            VolumeField::Driver => (desired.driver.clone(), live.spec.driver.clone()),
            VolumeField::Options => (show::pairs(&desired.options), show::pairs(&live.spec.options)),
        };
        (wanted != seen).then(|| change(field.name(), Cure::ByHand, wanted, seen))
    };
    VolumeField::ALL.iter().filter_map(differs).collect()
}

fn change(field: &str, cure: Cure, desired: String, live: String) -> FieldChange {
    FieldChange { field: field.to_owned(), desired, live, cure }
}
