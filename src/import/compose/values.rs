//! Compose's words for sizes, times, ports and commands.

use std::net::IpAddr;

use crate::model::container::{Port, Protocol};
use crate::model::units::{ByteSize, TimeSpan};

/// `512m`, `1gb`, `64k`, or bytes.
pub(super) fn size(text: &str) -> Option<ByteSize> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).map(ByteSize);
    }
    // `1.5g`: in thousandths, which is as fine as people write.
    let (whole, part) = number.split_once('.')?;
    let thousandths: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let total = whole.checked_mul(1000)?.checked_add(thousandths)?;
    Some(ByteSize(u64::try_from((u128::from(total) << shift) / 1000).ok()?))
}

/// `1m30s`, `1.5s`, `500ms`, or seconds.
pub(super) fn span(text: &str) -> Option<TimeSpan> {
    let (mut rest, mut micros) = (text.trim(), 0u64);
    if let Ok(seconds) = rest.parse::<u64>() {
        return Some(TimeSpan::from_secs(seconds));
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let (unit, tail) = tail.split_at(letters);
        let factor: u64 = match unit {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = if whole.is_empty() && !part.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: u64 = format!("{part:0<6}").get(..6)?.parse().ok()?;
        let part = u64::try_from(u128::from(fraction) * u128::from(factor) / 1_000_000).ok()?;
        micros = whole.checked_mul(factor)?.checked_add(part)?.checked_add(micros)?;
        rest = tail;
    }
    Some(TimeSpan::from_millis(micros / 1000))
}

/// `[address:][host[-range]:]container[-range][/protocol]`; a range is as many ports.
pub(super) fn ports(text: &str) -> Option<Vec<Port>> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol_of(protocol)?;
    let (before, inside) = numbers.rsplit_once(':').map_or((None, numbers), |(b, c)| (Some(b), c));
    let (address, host) = match before {
        None => (None, None),
        Some(before) => match before.rsplit_once(':') {
            Some((address, host)) => (Some(address), Some(host)),
            // `127.0.0.1::80` leaves the host's port open.
            None if before.contains('.') => (Some(before), None),
            None => (None, Some(before)),
        },
    };
    let address = match address {
        None => None,
        Some(text) => Some(text.trim_matches(['[', ']']).parse::<IpAddr>().ok()?),
    };
    let inside = range(inside)?;
    let outside = host.filter(|h| !h.is_empty()).map(range).map_or(Some(None), |r| r.map(Some))?;
    if outside.as_ref().is_some_and(|outside| outside.len() != inside.len()) {
        return None;
    }
    let port = |(at, container): (usize, u16)| Port {
        container,
        protocol,
        host: outside.as_ref().and_then(|outside| outside.get(at).copied()),
        address,
    };
    Some(inside.into_iter().enumerate().map(port).collect())
}

pub(super) fn protocol_of(text: &str) -> Option<Protocol> {
    match text {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        "sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}

pub(super) fn range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then(|| (first..=last).collect())
}

/// A line as a shell would split it into words, without anything else that a shell does.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                begun = true;
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                begun = true;
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => {
                begun = true;
                word.push(chars.next()?);
            }
            c if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            c => {
                begun = true;
                word.push(c);
            }
        }
    }
    if begun {
        words.push(word);
    }
    Some(words)
}

/// An absolute path without `.` and `..`, from the project's directory.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
