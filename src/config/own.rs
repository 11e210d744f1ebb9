//! The reconciler's own settings: TOML that no pull request can reach, with the same diagnostics.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::disk::ImageSettings;
use crate::model::secrecy::HashKey;
use crate::model::settings::{
    Credentials, EngineSettings, FileSetSettings, GraphiteSettings, Limits, MetricsSettings, Reference,
    Reload, RepositorySettings, Settings, TlsIdentity,
};
use crate::model::units::{ByteSize, TimeSpan};

use super::context::Context;
use super::diagnostic::{Errors, Source};
use super::node;
use super::own_permission::{self, PermissionShape, Place};
use super::own_policy::{self, PolicyShape};
use super::own_report::{self, ReportShape};
use super::read::read;

macro_rules! shape {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(default)]
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name { $($(#[$field_meta])* $field: $type,)* }
    )* };
}

shape! {
    /// trueup's own settings. Paths that are not absolute are below the file's own directory.
    struct OwnFile {
        /// Required. Written on everything trueup makes; never change it (B1).
        installation: Option<String>,
        /// Required. A file of 64 hex digits: the key that hides env values (G1). Keep a copy.
        key_file: Option<PathBuf>,
        /// Where journal and history are kept; `"/var/lib/trueup"` by default.
        state_dir: Option<PathBuf>,
        /// Only these environments; all that the repository declares by default.
        environments: Option<Vec<String>>,
        /// The config repository.
        repository: RepositoryShape,
        /// How engines and registries are reached.
        engines: EnginesShape,
        /// Where the generated Nginx files go; without it none are written.
        nginx: Option<FilesShape>,
        /// Where the generated Flume files go; without it none are written.
        flume: Option<FilesShape>,
        /// The thresholds of the safety rules.
        limits: LimitsShape,
        /// When images that trueup pulled and nothing needs any more are taken away.
        images: ImagesShape,
        /// What a commit needs before it is enforced (docs/permission.md).
        permission: PermissionShape,
        /// Which policies are on, and what they are given (docs/policies.md).
        policy: PolicyShape,
        /// Drift reports, each with a schedule of its own.
        report: Vec<ReportShape>,
        /// Numbers for Prometheus and Graphite.
        metrics: MetricsShape,
    }
    struct MetricsShape {
        /// `address:port` where `trueup run` serves `/metrics`, `/healthz` and `/readyz`, such as `"127.0.0.1:9464"`; none by
        /// default. Whoever reaches it can read the names of hosts and apps (G2).
        listen: Option<String>,
        /// `host:port` of carbon's plaintext protocol; none by default.
        graphite: Option<String>,
        /// The nodes before every path sent to carbon, such as `"ops.trueup"`; `"trueup"` by default.
        graphite_prefix: Option<String>,
        /// How often carbon gets a batch, every second at most; `"60s"` by default.
        graphite_every: Option<String>,
    }
    struct RepositoryShape {
        /// Required. A path, `file://`, `ssh://`, `user@host:path` or `https://`; plain `http://` from this machine itself only.
        url: Option<String>,
        /// The branch to follow; the repository's HEAD by default.
        branch: Option<String>,
        /// Instead of `branch`: a tag.
        tag: Option<String>,
        /// Instead of `branch`: a commit.
        commit: Option<String>,
        /// The directory inside the repository that is its root; its top by default.
        root: Option<String>,
        /// How often a remote is asked, jittered by a tenth, every second at most; `"1m"` by default. Local repositories wake trueup by themselves.
        poll: Option<String>,
        /// The private key for ssh remotes.
        ssh_key: Option<PathBuf>,
        /// The host keys of ssh remotes; they are always checked.
        ssh_known_hosts: Option<PathBuf>,
        /// The user for https remotes.
        https_user: Option<String>,
        /// A file with the password or token on its first line.
        https_password_file: Option<PathBuf>,
        /// PEM of private certificate authorities.
        https_ca: Option<PathBuf>,
    }
    struct EnginesShape {
        /// The deadline of one call (D6); `"20s"` by default.
        call_deadline: Option<String>,
        /// The deadline of one pull; `"30m"` by default.
        pull_deadline: Option<String>,
        /// TLS identities by host; the one called `default` serves the others.
        tls: BTreeMap<String, TlsShape>,
        /// The private key for engines reached over ssh.
        ssh_key: Option<PathBuf>,
        /// The host keys of engines reached over ssh; they are always checked.
        ssh_known_hosts: Option<PathBuf>,
        /// Where engines may be dialled, whatever a commit names (F4): ranges of addresses, sockets, names of hosts, such as
        /// `["192.0.2.0/24", "unix:///var/run/docker.sock", "*.example.org"]`. An engine elsewhere is unknown. By default,
        /// wherever the enforced revision says.
        allow: Option<Vec<String>>,
        /// Allow engines over TCP without TLS, which hand the whole host to whoever reaches the port (G3).
        allow_plain_tcp: bool,
        /// `config.json` with registry credentials; Docker's usual place by default.
        docker_config: Option<PathBuf>,
    }
    /// PEM files of a client.
    struct TlsShape {
        /// The authority that signed the engine's certificate.
        ca: PathBuf,
        /// The client's certificate.
        cert: PathBuf,
        /// The client's private key.
        key: PathBuf,
    }
    /// Where a kind of generated file goes and how its reader is told.
    struct FilesShape {
        /// Required. Generations and the symlink `current` live here.
        directory: Option<PathBuf>,
        /// Argv of the check, without a shell; `{dir}` is the candidate, `{conf}` a copy of `main_config` that includes it.
        check: Vec<String>,
        /// Nginx: the main config that includes `DIRECTORY/current/*.conf`; the candidate is tested through it (E1).
        main_config: Option<PathBuf>,
        /// Argv that reloads the reader, without a shell; exit 0 is success.
        reload: Option<Vec<String>>,
        /// Instead of `reload`: HUP to the process in this file, verified by new workers.
        pid_file: Option<PathBuf>,
        /// How long to wait for the reader to serve the new generation; `"10s"` by default.
        verify_timeout: Option<String>,
    }
    struct ImagesShape {
        /// Whether `trueup run` does it by itself; `true` by default. `trueup images --collect` does it now.
        collect: Option<bool>,
        /// It begins on an engine whose images' layers take more bytes than this, however full the disk is; `"32GiB"` by default.
        above: Option<String>,
        /// It ends when they take no more than this; three quarters of `above` by default.
        down_to: Option<String>,
        /// What was needed later than so long ago stays; `"1d"` by default.
        unused_for: Option<String>,
    }
    struct LimitsShape {
        /// B3: a larger share of instances, servers or addresses than this waits for a person; 0.3 by default.
        destroy_share: Option<f64>,
        /// B3: and more than this many; 3 by default.
        destroy_count: Option<usize>,
        /// B3: replacing instances of a larger share of apps than this waits for a person; 0.5 by default.
        replace_apps_share: Option<f64>,
        /// B3: and more than this many apps; 10 by default.
        replace_apps_count: Option<usize>,
        /// Changes at once on one host, but for those that only make or start containers (D6); 4 by default.
        per_host: Option<usize>,
        /// Containers made or started at once on one host where nothing is taken down for them, 24 at most; engines of trueup's own
        /// machine share them, and over ssh they count as any other change; 16 by default.
        starts_per_host: Option<usize>,
        /// Hosts begun to be read at once; one that takes longer than 2 s is counted no more; 64 by default.
        fan_out: Option<usize>,
        /// A full look although no event arrived, every second at most; `"1m"` by default.
        relist: Option<String>,
        /// The same plan this many times in a row quarantines the object (D7); 3 by default.
        loop_threshold: Option<u32>,
    }
}

pub(super) use shape;

/// The shortest interval and deadline.
const SHORTEST: TimeSpan = TimeSpan::from_secs(1);

/// Reads the settings' text. Relative paths start at `base`; `read_file` fetches the key.
pub fn parse(
    text: &str,
    file: &str,
    base: &Path,
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
) -> Result<Settings, Errors> {
    let mut errors = Errors::default();
    let source = Arc::new(Source { path: file.to_owned(), text: text.to_owned() });
    let node = node::parse(&source, &mut errors);
    let settings = match read::<OwnFile>(&node, &mut errors) {
        Some(shape) => {
            let mut context = Context { node: &node, errors: &mut errors };
            settings(shape, base, read_file, &mut context)
        }
        None => None,
    };
    match settings {
        Some(settings) => errors.into_result(settings),
        None => Err(errors.into_result(()).err().unwrap_or_default()),
    }
}

fn settings(
    shape: OwnFile,
    base: &Path,
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    context: &mut Context<'_>,
) -> Option<Settings> {
    let installation = context.required::<String>("installation", shape.installation.as_ref());
    let key_file = shape.key_file.as_ref().map(|file| base.join(file));
    let hash_key = key(shape.key_file.as_ref(), base, read_file, context);
    let repository = repository(shape.repository, base, context);
    let environments =
        shape.environments.as_ref().map(|names| context.list::<_, BTreeSet<_>>("environments", names));
    let engines = engines(shape.engines, base, context);
    let nginx = shape.nginx.and_then(|files| file_set("nginx", files, base, context));
    let flume = shape.flume.and_then(|files| file_set("flume", files, base, context));
    let limits = Limits { images: images(&shape.images, context), ..limits(&shape.limits, context) };
    let metrics = metrics(shape.metrics, context);
    let reports = own_report::reports(shape.report, base, context);
    let place = Place { base, read_file };
    let permission = own_permission::permission(&shape.permission, &place, context);
    let policy = own_policy::policy(&shape.policy, context);
    Some(Settings {
        installation: installation?,
        hash_key: hash_key?,
        key_file,
        repository: repository?,
        environments,
        state_dir: shape.state_dir.map_or_else(|| PathBuf::from("/var/lib/trueup"), |dir| base.join(dir)),
        engines,
        nginx,
        flume,
        limits,
        reports,
        metrics,
        permission,
        policy,
    })
}

fn metrics(shape: MetricsShape, context: &mut Context<'_>) -> MetricsSettings {
    let every =
        interval(context, "metrics.graphite_every", shape.graphite_every.as_ref(), TimeSpan::from_secs(60));
    let prefix = shape.graphite_prefix.unwrap_or_else(|| "trueup".to_owned());
    let is_node = |node: &str| {
        !node.is_empty() && node.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
    };
    if !prefix.split('.').all(is_node) {
        let wrong =
            format!("{prefix:?} is no path of carbon's: nodes of letters, digits, _ and - with dots between");
        context.fail("metrics.graphite_prefix", wrong);
    }
    let has_port = |address: &String| {
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if let Some(address) = shape.graphite.as_ref().filter(|address| !has_port(address)) {
        let wrong = format!("{address:?} is not host:port, such as \"carbon.example:2003\"");
        context.fail("metrics.graphite", wrong);
    }
    let listen = shape.listen.as_ref().and_then(|text| listen(text, context));
    let graphite = shape.graphite.map(|address| GraphiteSettings { address, prefix, every });
    MetricsSettings { listen, graphite }
}

fn listen(text: &str, context: &mut Context<'_>) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        // `:9464` is every interface elsewhere; here the loopback is named, or whoever wants more says so (G2).
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("9464");
        context.fail_with(
            "metrics.listen",
            format!("{text:?} is not an IP address with a port"),
            format!("write \"127.0.0.1:{port}\" for this machine alone, or the address of one interface"),
        );
    }
    address
}

fn key(
    file: Option<&PathBuf>,
    base: &Path,
    read_file: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    context: &mut Context<'_>,
) -> Option<HashKey> {
    let Some(file) = file else {
        context.fail_with(
            "key_file",
            "the key `key_file` is missing here",
            "make one with: head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n' > hash.key",
        );
        return None;
    };
    let path = base.join(file);
    let bytes = match read_file(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            context.fail("key_file", format!("{}: {error}", path.display()));
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes);
    let digits = text.trim();
    let pairs = (0..digits.len() / 2).map(|i| u8::from_str_radix(digits.get(i * 2..i * 2 + 2)?, 16).ok());
    let key: Option<[u8; 32]> = pairs.collect::<Option<Vec<u8>>>().and_then(|bytes| bytes.try_into().ok());
    if key.is_none() || digits.len() != 64 {
        context.fail("key_file", format!("{} does not hold 64 hex digits", path.display()));
        return None;
    }
    key.map(HashKey::new)
}

fn repository(shape: RepositoryShape, base: &Path, context: &mut Context<'_>) -> Option<RepositorySettings> {
    let url: Option<String> = context.required("repository.url", shape.url.as_ref());
    let named = [&shape.branch, &shape.tag, &shape.commit].into_iter().flatten().count();
    if named > 1 {
        context.fail("repository", "set one of `branch`, `tag` and `commit`");
    }
    let reference = match (shape.branch, shape.tag, shape.commit) {
        (Some(branch), _, _) => Reference::Branch(branch),
        (None, Some(tag), _) => Reference::Tag(tag),
        (None, None, Some(commit)) => Reference::Commit(commit),
        (None, None, None) => Reference::Head,
    };
    let at = |path: Option<PathBuf>| path.map(|path| base.join(path));
    Some(RepositorySettings {
        url: url?,
        reference,
        root: shape.root.unwrap_or_default(),
        poll: interval(context, "repository.poll", shape.poll.as_ref(), TimeSpan::from_secs(60)),
        credentials: Credentials {
            ssh_key: at(shape.ssh_key),
            ssh_known_hosts: at(shape.ssh_known_hosts),
            https_user: shape.https_user,
            https_password_file: at(shape.https_password_file),
            https_ca: at(shape.https_ca),
        },
    })
}

fn engines(shape: EnginesShape, base: &Path, context: &mut Context<'_>) -> EngineSettings {
    let usual = EngineSettings::default();
    let identity = |tls: TlsShape| TlsIdentity {
        ca: base.join(tls.ca),
        cert: base.join(tls.cert),
        key: base.join(tls.key),
    };
    EngineSettings {
        call_deadline: interval(
            context,
            "engines.call_deadline",
            shape.call_deadline.as_ref(),
            usual.call_deadline,
        ),
        pull_deadline: interval(
            context,
            "engines.pull_deadline",
            shape.pull_deadline.as_ref(),
            usual.pull_deadline,
        ),
        tls: shape.tls.into_iter().map(|(host, tls)| (host, identity(tls))).collect(),
        ssh_key: shape.ssh_key.map(|path| base.join(path)),
        ssh_known_hosts: shape.ssh_known_hosts.map(|path| base.join(path)),
        allow: shape.allow.as_ref().map(|places| context.list("engines.allow", places)),
        allow_plain_tcp: shape.allow_plain_tcp,
        docker_config: shape.docker_config.map(|path| base.join(path)),
    }
}

fn file_set(
    section: &str,
    shape: FilesShape,
    base: &Path,
    context: &mut Context<'_>,
) -> Option<FileSetSettings> {
    let Some(directory) = shape.directory else {
        context.fail(section, "the key `directory` is missing here");
        return None;
    };
    let reload = match (shape.reload, shape.pid_file) {
        (Some(_), Some(_)) => {
            context.fail(section, "set either `reload` or `pid_file`");
            Reload::None
        }
        (Some(argv), None) if argv.is_empty() => {
            context.fail(section, "`reload` is an empty command");
            Reload::None
        }
        (Some(argv), None) => Reload::Command(argv),
        (None, Some(pid_file)) => Reload::Signal { pid_file: base.join(pid_file) },
        (None, None) => Reload::None,
    };
    let path = format!("{section}.verify_timeout");
    Some(FileSetSettings {
        directory: base.join(directory),
        check: shape.check,
        main_config: shape.main_config.map(|path| base.join(path)),
        reload,
        verify_timeout: interval(context, &path, shape.verify_timeout.as_ref(), TimeSpan::from_secs(10)),
    })
}

fn images(shape: &ImagesShape, context: &mut Context<'_>) -> ImageSettings {
    let usual = ImageSettings::default();
    let above = context.option("images.above", shape.above.as_ref()).unwrap_or(usual.above);
    let down_to = context.option("images.down_to", shape.down_to.as_ref());
    let down_to = down_to.unwrap_or(ByteSize(above.0 / 4 * 3));
    if down_to > above {
        context.fail("images.down_to", format!("it is more than `above`, which is {above}"));
    }
    ImageSettings {
        collect: shape.collect.unwrap_or(usual.collect),
        above,
        down_to,
        unused_for: span(context, "images.unused_for", shape.unused_for.as_ref(), usual.unused_for),
    }
}

/// An engine is sent 32 calls at once: looks and other changes have the rest.
const MOST_STARTS: usize = 24;

fn limits(shape: &LimitsShape, context: &mut Context<'_>) -> Limits {
    let usual = Limits::default();
    let starts_per_host = shape.starts_per_host.unwrap_or(usual.starts_per_host);
    if !(1..=MOST_STARTS).contains(&starts_per_host) {
        context.fail("limits.starts_per_host", format!("a number from 1 to {MOST_STARTS}"));
    }
    let mut share = |key: &str, value: Option<f64>, usual: f64| match value {
        Some(value) if (0.0..=1.0).contains(&value) => value,
        Some(_) => {
            context.fail(&format!("limits.{key}"), "a share is a number from 0 to 1");
            usual
        }
        None => usual,
    };
    Limits {
        destroy_share: share("destroy_share", shape.destroy_share, usual.destroy_share),
        replace_apps_share: share("replace_apps_share", shape.replace_apps_share, usual.replace_apps_share),
        destroy_count: shape.destroy_count.unwrap_or(usual.destroy_count),
        replace_apps_count: shape.replace_apps_count.unwrap_or(usual.replace_apps_count),
        per_host: shape.per_host.unwrap_or(usual.per_host).max(1),
        starts_per_host,
        fan_out: shape.fan_out.unwrap_or(usual.fan_out).max(1),
        relist: interval(context, "limits.relist", shape.relist.as_ref(), usual.relist),
        loop_threshold: shape.loop_threshold.unwrap_or(usual.loop_threshold).max(1),
        images: usual.images,
    }
}

fn span(context: &mut Context<'_>, path: &str, text: Option<&String>, usual: TimeSpan) -> TimeSpan {
    context.option(path, text).unwrap_or(usual)
}

/// How often something is done again, or how long it is waited for: a second at least. Less would spin, or never let
/// anything through.
fn interval(context: &mut Context<'_>, path: &str, text: Option<&String>, usual: TimeSpan) -> TimeSpan {
    let span = span(context, path, text, usual);
    if span < SHORTEST {
        context.fail(path, format!("{span} is too short: {SHORTEST} at least"));
        return usual;
    }
    span
}
