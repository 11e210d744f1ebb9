//! What engines tell of their containers, in a list and at a look at each, read in place: a look at a fleet is thousands of
//! words, of which few are kept, so that text stays where the answer has it.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::ops::Deref;

use serde::Deserialize;

use crate::model::observed::LiveAttachment;

/// Text of an answer. It borrows from it wherever nothing in it is escaped, as most texts are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> Self {
        text.0.into_owned()
    }
}

/// The text, where it is there and not empty: Go writes what it has none of as an empty one.
pub(super) fn said<'t>(text: Option<&'t Text<'_>>) -> Option<&'t str> {
    text.map(Deref::deref).filter(|text| !text.is_empty())
}

/// An entry of `GET /containers/json`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed<'b> {
    #[serde(borrow)]
    pub id: Option<Text<'b>>,
    #[serde(borrow)]
    pub names: Option<Vec<Text<'b>>>,
    #[serde(borrow)]
    pub image: Option<Text<'b>>,
    #[serde(borrow, rename = "ImageID")]
    pub image_id: Option<Text<'b>>,
    /// Seconds since 1970.
    pub created: Option<i64>,
    #[serde(borrow)]
    pub ports: Option<Vec<ListedPort<'b>>>,
    #[serde(borrow)]
    pub labels: Option<BTreeMap<Text<'b>, Text<'b>>>,
    #[serde(borrow)]
    pub state: Option<Text<'b>>,
    /// Such as `Up 3 minutes (healthy)`, and `Exited (1) 3 minutes ago`.
    #[serde(borrow)]
    pub status: Option<Text<'b>>,
    #[serde(borrow)]
    pub host_config: Option<ListedHostConfig<'b>>,
    #[serde(borrow)]
    pub network_settings: Option<Networks<'b>>,
    #[serde(borrow)]
    pub mounts: Option<Vec<MountPoint<'b>>>,
}

impl Listed<'_> {
    /// Its labels, of which most are nobody's business here.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(Deref::deref)
    }

    /// All of them, for whoever keeps them.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter().flatten();
        labels.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }
}

/// A port in the list: what the host listens on has a public one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedPort<'b> {
    #[serde(borrow, rename = "IP")]
    pub address: Option<Text<'b>>,
    pub private_port: u16,
    pub public_port: Option<u16>,
    #[serde(borrow, rename = "Type")]
    pub protocol: Option<Text<'b>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedHostConfig<'b> {
    #[serde(borrow)]
    pub network_mode: Option<Text<'b>>,
}

/// What is mounted, whether anybody asked for it or the image has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MountPoint<'b> {
    #[serde(borrow, rename = "Type")]
    pub kind: Option<Text<'b>>,
    #[serde(borrow)]
    pub name: Option<Text<'b>>,
    #[serde(borrow)]
    pub destination: Option<Text<'b>>,
}

impl MountPoint<'_> {
    /// Where a volume is mounted, and its name, which only the list may leave out.
    pub fn volume(&self) -> Option<(&str, Option<&str>)> {
        if self.kind.as_deref() != Some("volume") {
            return None;
        }
        Some((self.destination.as_deref()?, self.name.as_deref()))
    }
}

/// The networks of a container, by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Networks<'b> {
    #[serde(borrow)]
    pub networks: Option<BTreeMap<Text<'b>, Endpoint<'b>>>,
}

impl<'b> Networks<'b> {
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, &Endpoint<'b>)> {
        self.networks.iter().flatten().map(|(network, endpoint)| (&**network, endpoint))
    }

    /// As the model has them, for the container of this id and name.
    pub fn attachments(&self, id: &str, name: &str) -> BTreeMap<String, LiveAttachment> {
        let short = id.get(..12).unwrap_or(id);
        let live = |endpoint: &Endpoint<'_>| LiveAttachment {
            requested: endpoint
                .ipam_config
                .as_ref()
                // An engine that knows addresses by their type (29) writes the one that there is none of as an empty text.
                .and_then(|ipam| said(ipam.ipv4_address.as_ref()).or(said(ipam.ipv6_address.as_ref())))
                .and_then(|address| address.parse().ok()),
            address: said(endpoint.ip_address.as_ref()).and_then(|address| address.parse().ok()),
            network: said(endpoint.network_id.as_ref()).map(str::to_owned),
            aliases: endpoint
                .aliases
                .iter()
                .flatten()
                .map(Deref::deref)
                .filter(|alias| *alias != short && *alias != name)
                .map(str::to_owned)
                .collect(),
        };
        self.endpoints().map(|(network, endpoint)| (network.to_owned(), live(endpoint))).collect()
    }
}

/// How a container is on a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Endpoint<'b> {
    #[serde(borrow, rename = "IPAMConfig")]
    pub ipam_config: Option<Addresses<'b>>,
    #[serde(borrow)]
    pub links: Option<Vec<Text<'b>>>,
    #[serde(borrow)]
    pub aliases: Option<Vec<Text<'b>>>,
    #[serde(borrow)]
    pub driver_opts: Option<BTreeMap<Text<'b>, Text<'b>>>,
    pub gw_priority: Option<i64>,
    #[serde(borrow, rename = "NetworkID")]
    pub network_id: Option<Text<'b>>,
    #[serde(borrow, rename = "EndpointID")]
    pub endpoint_id: Option<Text<'b>>,
    #[serde(borrow, rename = "IPAddress")]
    pub ip_address: Option<Text<'b>>,
}

/// Addresses that were asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Addresses<'b> {
    #[serde(borrow, rename = "IPv4Address")]
    pub ipv4_address: Option<Text<'b>>,
    #[serde(borrow, rename = "IPv6Address")]
    pub ipv6_address: Option<Text<'b>>,
    #[serde(borrow, rename = "LinkLocalIPs")]
    pub link_local_ips: Option<Vec<Text<'b>>>,
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::json;
    use super::{Listed, Networks, Text, said};

    /// What nothing has to be undone in is not copied, at any depth.
    #[test]
    fn text_stays_in_the_answer() {
        let body = br#"[{"Id": "abc", "Names": ["/web"], "Labels": {"plain": "one", "quoted": "a \"b\""},
            "NetworkSettings": {"Networks": {"lan": {"NetworkID": "n1", "IPAMConfig": {"IPv4Address": "10.0.0.3"}}}}}]"#;
        let list: Vec<Listed<'_>> = json(body).expect("a list");
        let listed = &list[0];
        let is_borrowed = |text: &Text<'_>| matches!(text.0, Cow::Borrowed(_));
        let labels = listed.labels.as_ref().expect("labels");
        let (network, endpoint) = listed
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.as_ref()?.first_key_value())
            .expect("a network");
        let addresses = endpoint.ipam_config.as_ref().expect("addresses");
        let texts = [
            listed.id.as_ref(),
            listed.names.as_ref().and_then(|names| names.first()),
            labels.keys().next(),
            labels.get("plain"),
            Some(network),
            endpoint.network_id.as_ref(),
            addresses.ipv4_address.as_ref(),
        ];
        assert!(texts.iter().all(|text| text.is_some_and(is_borrowed)), "{texts:?}");
        assert_eq!(listed.label("quoted"), Some("a \"b\""), "and what is escaped is read all the same");
    }

    #[test]
    fn an_address_that_was_asked_for_is_found_beside_one_that_was_not() {
        let asked = |ipam: &str| {
            let body = format!(r#"{{"Networks": {{"lan": {{"IPAMConfig": {ipam}}}}}}}"#);
            let networks: Networks<'_> = json(body.as_bytes()).expect("networks");
            networks.attachments("id", "web")["lan"].requested.map(|address| address.to_string())
        };
        for (ipam, expected) in [
            (r#"{"IPv4Address": "10.0.0.3"}"#, Some("10.0.0.3")),
            (r#"{"IPv4Address": "10.0.0.3", "IPv6Address": ""}"#, Some("10.0.0.3")),
            (r#"{"IPv4Address": "", "IPv6Address": "2001:db8::7"}"#, Some("2001:db8::7")),
            (r#"{"IPv4Address": "", "IPv6Address": ""}"#, None),
            ("{}", None),
            ("null", None),
        ] {
            assert_eq!(asked(ipam).as_deref(), expected, "{ipam}");
        }
    }

    #[test]
    fn nothing_is_null_absent_or_empty() {
        let list: Vec<Listed<'_>> =
            json(br#"[{"Names": null, "Labels": null, "Image": ""}]"#).expect("a list");
        assert!(list[0].names.is_none() && list[0].label("any").is_none());
        assert_eq!((said(list[0].image.as_ref()), said(list[0].id.as_ref())), (None, None));
    }
}
