//! Pulling an image: apart from other calls, by a deadline of its own, and telling how far it is.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;

use crate::model::image::ImageRef;
use crate::ports::{EngineError, EngineErrorKind, Parts};

use super::engine::DockerEngine;
use super::{error, within};

impl DockerEngine {
    /// Pulls run apart from other calls and have their own deadline (D6).
    pub(super) async fn pull(&self, image: &ImageRef, parts: &Parts<'_>) -> Result<(), EngineError> {
        let call = format!("POST /images/create?fromImage={image}");
        let tag = match (&image.digest, &image.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        };
        let options = CreateImageOptionsBuilder::new().from_image(&image.repository).tag(&tag).build();
        let credentials = self.credentials(image).await?;
        // Before the deadline begins: those in front may take long.
        let _turn = self.raw.turn_to_pull().await;
        let pull = async {
            let mut stream = std::pin::pin!(self.docker.create_image(Some(options), None, credentials));
            let mut layers = Layers::default();
            while let Some(info) = stream.next().await {
                if let Some((done, total)) = layers.hear(info?) {
                    parts(done, total);
                }
            }
            Ok(())
        };
        within(&self.host, &call, self.pull_deadline, pull).await.map_err(|mut e| {
            e.kind = error::of_registry(e.kind);
            if e.kind == EngineErrorKind::Registry {
                e.detail.push_str(
                    "; is the registry up, the name right, and are its credentials in Docker's config.json?",
                );
            }
            e
        })
    }
}

/// How far each layer's download is, as (bytes, of bytes). What the engine has already is no part of it.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    /// All of them together, where the engine's line changes that. A layer that is there is unpacked next: its numbers then
    /// begin anew, and are not of the download.
    fn hear(&mut self, info: CreateImageInfo) -> Option<(u64, u64)> {
        let layer = info.id?;
        match info.status?.as_str() {
            "Downloading" => {
                let detail = info.progress_detail?;
                let count = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
                let (done, total) = (count(detail.current)?, count(detail.total)?);
                self.0.insert(layer, (done.min(total), total));
            }
            "Verifying Checksum" | "Download complete" => {
                let (done, total) = self.0.get_mut(&layer)?;
                *done = *total;
            }
            _ => return None,
        }
        Some(self.0.values().fold((0, 0), |(d, t), (done, total)| (d + done, t + total)))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn line(layer: &str, status: &str, detail: Option<(i64, i64)>) -> CreateImageInfo {
        let told = |(current, total)| ProgressDetail { current: Some(current), total: Some(total) };
        let detail = detail.map(told);
        CreateImageInfo {
            id: Some(layer.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(detail.unwrap_or_default()),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn a_download_goes_forward_only() {
        let mut layers = Layers::default();
        let mut heard = Vec::new();
        for (layer, status, detail) in [
            ("latest", "Pulling from library/box", None),
            ("a", "Pulling fs layer", None),
            ("b", "Already exists", None),
            ("a", "Downloading", Some((10, 100))),
            ("c", "Downloading", Some((50, 300))),
            ("a", "Verifying Checksum", None),
            ("a", "Extracting", Some((5, 100))),
            ("a", "Pull complete", None),
            ("c", "Downloading", Some((200, 300))),
            ("c", "Download complete", None),
            ("latest", "Download complete", None),
        ] {
            heard.extend(layers.hear(line(layer, status, detail)));
        }
        assert_eq!(heard, [(10, 100), (60, 400), (150, 400), (300, 400), (400, 400)]);
    }
}
