//! A hand behind trueup's back: every modelled field of a container changed on the engine (A4).
//!
//! The list comes from the spec type: `spoil` and `declaration` match on [`ContainerField`] without `_`, so a field that is
//! added to the spec does not compile here until it is tested.

use std::collections::BTreeMap;

use trueup::model::container::{
    Attachment, ContainerField, ContainerSpec, Device, EnvValue, HealthCheck, Logging, Mount, MountSource,
    Networks, Port, Protocol, Ulimit,
};
use trueup::model::names::ContainerName;
use trueup::model::plan::Action;
use trueup::model::units::TimeSpan;
use trueup::ports::{Contents, Engine};

/// What the app of a field declares of it, in the config repository's words.
fn declaration(field: ContainerField) -> &'static str {
    match field {
        ContainerField::Image => "",
        ContainerField::Entrypoint => "entrypoint = [\"/bin/busybox\", \"env\", \"A=1\", \"/bin/busybox\"]",
        ContainerField::Command => "",
        ContainerField::Env => "env = { MODE = \"declared\", SECOND = \"2\" }",
        ContainerField::Workdir => "workdir = \"/tmp\"",
        ContainerField::User => "user = \"1000:1000\"",
        ContainerField::Hostname => "hostname = \"declared\"",
        ContainerField::Labels => "labels = { colour = \"blue\" }",
        ContainerField::Ports => "ports = [\"127.0.0.1:18080:8080/tcp\"]",
        ContainerField::Mounts => "[[mount]]\ntmpfs = \"1MiB\"\nat = \"/scratch\"",
        ContainerField::Files => "[[mount]]\nfile = \"files/app.conf\"\nat = \"/etc/app.conf\"",
        ContainerField::Networks => "[network.inner]\naddress = \"10.130.90.10\"",
        ContainerField::Cpus => "[limits]\ncpus = 0.5",
        ContainerField::Memory => "[limits]\nmemory = \"64MiB\"",
        ContainerField::MemoryReservation => "[limits]\nmemory = \"64MiB\"\nmemory_reservation = \"32MiB\"",
        ContainerField::Pids => "[limits]\npids = 50",
        ContainerField::ShmSize => "[limits]\nshm_size = \"8MiB\"",
        ContainerField::Restart => "restart = \"unless-stopped\"",
        ContainerField::Health => "[health]\ncommand = [\"/bin/busybox\", \"true\"]\ninterval = \"1s\"",
        ContainerField::CapAdd => "cap_add = [\"SYS_TIME\"]",
        ContainerField::CapDrop => "cap_drop = [\"MKNOD\"]",
        ContainerField::Privileged => "privileged = false",
        ContainerField::ReadOnly => "read_only = true",
        ContainerField::Init => "init = true",
        ContainerField::SecurityOpt => "security_opt = [\"no-new-privileges\"]",
        ContainerField::Sysctls => "sysctls = { \"net.ipv4.ip_forward\" = \"1\" }",
        ContainerField::Ulimits => "ulimits = { nofile = { soft = 512, hard = 1024 } }",
        ContainerField::Devices => "[[device]]\nhost = \"/dev/null\"\nat = \"/dev/nothing\"",
        ContainerField::Dns => "dns = [\"192.0.2.53\"]",
        ContainerField::ExtraHosts => "extra_hosts = { \"peer.example\" = \"192.0.2.9\" }",
        ContainerField::Logging => "logging = { driver = \"json-file\", max_size = \"1MiB\", max_files = 2 }",
        ContainerField::StopSignal => "stop_signal = \"SIGUSR1\"",
        ContainerField::StopTimeout => "",
    }
}

/// The hand: how the field is changed on the engine behind trueup's back.
enum Hand {
    /// The engine changes it on the living container.
    Docker(Vec<String>),
    /// Only another container has another value: somebody removed it and ran a new one, labels and all.
    Recreate(Box<ContainerSpec>),
}

fn spoil(field: ContainerField, container: &str, spec: &ContainerSpec) -> Hand {
    let docker = |args: &[&str]| {
        Hand::Docker(args.iter().map(|a| (*a).to_owned()).chain([container.to_owned()]).collect())
    };
    let mut s = spec.clone();
    match field {
        ContainerField::Image => s.image = "trueup-test-fields:2".parse().expect("an image"),
        ContainerField::Entrypoint => s.entrypoint = Some(vec!["/bin/busybox".into()]),
        ContainerField::Command => {
            s.command = Some(vec!["/bin/busybox".into(), "sleep".into(), "999".into()])
        }
        ContainerField::Env => {
            // A5: an extra variable is drift as much as a changed or a missing one.
            s.env.insert("EXTRA".into(), EnvValue::Plain("by-hand".into()));
        }
        ContainerField::Workdir => s.workdir = Some("/etc".into()),
        ContainerField::User => s.user = Some("0:0".into()),
        ContainerField::Hostname => s.hostname = Some("other".into()),
        ContainerField::Labels => {
            s.labels.insert("colour".into(), "red".into());
        }
        ContainerField::Ports => {
            s.ports.insert(Port {
                container: 8081,
                protocol: Protocol::Tcp,
                host: Some(18081),
                address: Some([127, 0, 0, 1].into()),
            });
        }
        ContainerField::Mounts => {
            let mount = Mount { source: MountSource::Host("/tmp".into()), read_only: true };
            s.mounts.insert("/by-hand".into(), mount);
        }
        ContainerField::Files => {
            let file = std::env::temp_dir().join(format!("trueup-fields-{}", std::process::id()));
            std::fs::write(&file, "changed by hand\n").expect("a file");
            let target = format!("{container}:/etc/app.conf");
            return Hand::Docker(vec!["cp".into(), file.display().to_string(), target]);
        }
        ContainerField::Networks => {
            let other = BTreeMap::from([(
                "inner".parse().expect("a name"),
                Attachment { address: Some([10, 130, 90, 77].into()), ..Attachment::default() },
            )]);
            s.networks = Networks::Named(other);
        }
        ContainerField::Cpus => return docker(&["update", "--cpus", "0.25"]),
        ContainerField::Memory => return docker(&["update", "--memory", "48m", "--memory-swap", "96m"]),
        ContainerField::MemoryReservation => return docker(&["update", "--memory-reservation", "16m"]),
        ContainerField::Pids => return docker(&["update", "--pids-limit", "60"]),
        ContainerField::ShmSize => s.shm_size = None,
        ContainerField::Restart => return docker(&["update", "--restart", "always"]),
        ContainerField::Health => s.health = Some(HealthCheck::Disabled),
        ContainerField::CapAdd => {
            s.cap_add.insert("NET_ADMIN".into());
        }
        ContainerField::CapDrop => s.cap_drop.clear(),
        ContainerField::Privileged => s.privileged = true,
        ContainerField::ReadOnly => s.read_only = false,
        ContainerField::Init => s.init = Some(false),
        ContainerField::SecurityOpt => s.security_opt.clear(),
        ContainerField::Sysctls => s.sysctls.clear(),
        ContainerField::Ulimits => {
            s.ulimits.insert("nofile".into(), Ulimit { soft: 100, hard: 100 });
        }
        ContainerField::Devices => {
            let device = Device { host: "/dev/zero".into(), permissions: "r".into() };
            s.devices.insert("/dev/more".into(), device);
        }
        ContainerField::Dns => s.dns = vec![[192, 0, 2, 54].into()],
        ContainerField::ExtraHosts => {
            s.extra_hosts.insert("other.example".into(), "192.0.2.8".into());
        }
        ContainerField::Logging => {
            s.logging = Some(Logging {
                driver: "json-file".into(),
                options: BTreeMap::from([("max-size".into(), "9m".into())]),
            });
        }
        ContainerField::StopSignal => s.stop_signal = Some("SIGTERM".into()),
        ContainerField::StopTimeout => s.stop_timeout = Some(TimeSpan::from_secs(7)),
    }
    Hand::Recreate(Box::new(s))
}

/// Every app's spec: quiet, quick to stop, and the declaration of its field.
pub fn app(field: ContainerField, image: &str) -> String {
    let name = app_name(field);
    let declared = declaration(field);
    let (keys, tables): (Vec<&str>, Vec<&str>) = match declared.starts_with('[') {
        true => (vec![], vec![declared]),
        false => (vec![declared], vec![]),
    };
    format!(
        "app = \"{name}\"\nenvironments = [\"test\"]\nruntime = \"host\"\nreplicas = 1\nimage = \"{image}\"\npull = \"never\"\n\
         command = [\"/bin/busybox\", \"sleep\", \"3600\"]\nstop_timeout = \"1s\"\n{}\n[rollout]\nmin_healthy = \"0s\"\n{}\n",
        keys.join("\n"),
        tables.join("\n")
    )
}

pub fn app_name(field: ContainerField) -> String {
    format!("f-{}", field.name().replace('_', "-"))
}

/// Has the hand change this field of a container; `docker` is the hand on the container's engine.
pub async fn change(
    field: ContainerField,
    container: &str,
    spec: &ContainerSpec,
    contents: &Contents,
    engine: &dyn Engine,
    docker: impl Fn(&[&str]) -> String,
) {
    let spec = match spoil(field, container, spec) {
        Hand::Docker(args) => {
            docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
            return;
        }
        Hand::Recreate(spec) => spec,
    };
    let labels = docker(&["inspect", "-f", "{{json .Config.Labels}}", container]);
    let mut labels: BTreeMap<String, String> = serde_json::from_str(&labels).expect("labels");
    labels.retain(|name, _| name.starts_with("io.trueup."));
    docker(&["rm", "-f", container]);
    let name: ContainerName = container.parse().expect("a name");
    let create = Action::CreateContainer { name: name.clone(), spec, labels };
    engine.perform(&create, contents, &|_, _| {}).await.expect("the hand's own work");
    let started = engine.perform(&Action::StartContainer { name }, contents, &|_, _| {}).await;
    // Some test machines are sandboxes that may not run privileged containers; created, it differs as well.
    if field != ContainerField::Privileged {
        started.expect("the hand's own work");
    }
}
