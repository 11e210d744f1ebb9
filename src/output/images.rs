//! What trueup pulled to each host, what it takes on the disk, and what becomes of it.

use serde_json::{Value, json};

use crate::model::disk::{HostDisk, ImageFate, ImageSettings};
use crate::model::units::Timestamp;

use super::escape::{cell, line};
use super::paint::{Ink, Paint};
use super::wording::{age, many};

pub fn text(hosts: &[HostDisk], settings: &ImageSettings, now: Timestamp, paint: Paint) -> String {
    if hosts.is_empty() {
        return "trueup has pulled no image to any host, as far as this state directory remembers.\n"
            .to_owned();
    }
    let mut out = String::new();
    for HostDisk { host, layers, images } in hosts {
        let name = paint.ink(Ink::Strong, host.as_str());
        match layers {
            Ok(layers) => out += &format!("{name}: all images take {}\n", layers.rounded()),
            Err(why) => out += &format!("{name}: unknown: {}\n", line(why)),
        }
        for image in images {
            let pulled = age(now.since(image.pulled.at));
            let reference = line(&image.pulled.reference.to_string());
            out += &format!(
                "  {reference}\n    {} of its own, pulled {pulled} ago: {}\n",
                image.own.rounded(),
                fate(image)
            );
        }
    }
    let may_go = hosts.iter().flat_map(|host| &host.images).filter(|image| image.stays.is_none()).count();
    let rule = match settings.collect {
        true => format!(
            "`trueup run` takes what nothing needs away where images take more than {}, down to {}.",
            settings.above.rounded(),
            settings.down_to.rounded()
        ),
        false => "`trueup run` takes none away: [images] collect = false.".to_owned(),
    };
    out + &format!("{} may go. {rule}\n", many(may_go, "image"))
}

fn fate(image: &ImageFate) -> String {
    match (&image.stays, image.goes) {
        (Some(why), _) => format!("stays, {}", line(why)),
        (None, true) => "goes: nothing needs it, and the disk is too full".to_owned(),
        (None, false) => "may go: nothing needs it".to_owned(),
    }
}

pub fn json(hosts: &[HostDisk], settings: &ImageSettings) -> Value {
    let hosts: Vec<Value> = hosts
        .iter()
        .map(|HostDisk { host, layers, images }| {
            let images: Vec<Value> = images
                .iter()
                .map(|ImageFate { image, pulled, own, stays, goes }| {
                    json!({
                        "image": image.as_str(), "reference": pulled.reference.to_string(), "own_bytes": own.0,
                        "pulled": pulled.at.to_string(), "last_used": pulled.last_used.to_string(),
                        "stays": stays, "goes": goes,
                    })
                })
                .collect();
            json!({
                "host": host, "layers_bytes": layers.as_ref().ok().map(|size| size.0),
                "unknown": layers.as_ref().err(), "images": images,
            })
        })
        .collect();
    json!({
        "hosts": hosts, "collect": settings.collect, "above_bytes": settings.above.0,
        "down_to_bytes": settings.down_to.0,
    })
}

pub fn markdown(hosts: &[HostDisk], now: Timestamp) -> String {
    let mut out = "| host | image | own size | pulled | |\n|---|---|---|---|---|\n".to_owned();
    for HostDisk { host, layers, images } in hosts {
        if let Err(why) = layers {
            out += &format!("| {} | | | | unknown: {} |\n", cell(host.as_str()), cell(why));
        }
        for image in images {
            out += &format!(
                "| {} | {} | {} | {} ago | {} |\n",
                cell(host.as_str()),
                cell(&image.pulled.reference.to_string()),
                image.own.rounded(),
                age(now.since(image.pulled.at)),
                cell(&fate(image))
            );
        }
    }
    out
}
