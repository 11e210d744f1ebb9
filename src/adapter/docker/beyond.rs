//! What is set on a container that trueup does not model, in words: a replacement would be without it.
//!
//! Docker's own structures are taken apart field by field without `..`, so that a field of a later API is not forgotten. Only how a
//! container is on a network is read by a type of ours ([`Endpoint`]), which has to be held to the API by hand.

use std::collections::BTreeSet;

use bollard::models::{
    ContainerConfig, HealthConfig, HostConfig, Mount, MountBindOptions, MountTmpfsOptions, MountType,
    MountVolumeOptions,
};

use super::live;
use super::told::{Endpoint, Networks, said};

/// Collects words.
#[derive(Default)]
struct Beyond(BTreeSet<String>);

impl Beyond {
    fn say(&mut self, set: bool, words: impl Into<String>) {
        if set {
            self.0.insert(words.into());
        }
    }

    fn text(&mut self, what: &str, value: Option<&String>) {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            self.say(true, format!("{what} {value}"));
        }
    }

    fn list(&mut self, what: &str, values: Option<&Vec<impl AsRef<str>>>) {
        for value in values.into_iter().flatten().map(AsRef::as_ref).filter(|v| !v.is_empty()) {
            self.say(true, format!("{what} {value}"));
        }
    }

    fn number(&mut self, what: &str, value: Option<i64>) {
        if let Some(value) = value.filter(|v| *v != 0) {
            self.say(true, format!("{what} {value}"));
        }
    }
}

/// Everything told by an inspected container that has no place in the model.
pub(super) fn of(
    config: &ContainerConfig,
    host: &HostConfig,
    mac_address: Option<&String>,
    networks: Option<&Networks<'_>>,
) -> BTreeSet<String> {
    let mut beyond = Beyond::default();
    of_config(config, &mut beyond);
    of_host(host, &mut beyond);
    beyond.text("the MAC address", mac_address);
    for (name, endpoint) in networks.into_iter().flat_map(Networks::endpoints) {
        of_endpoint(name, endpoint, &mut beyond);
    }
    beyond.0
}

fn of_config(config: &ContainerConfig, beyond: &mut Beyond) {
    let ContainerConfig {
        domainname,
        tty,
        open_stdin,
        network_disabled,
        healthcheck,
        // Modelled.
        hostname: _,
        user: _,
        env: _,
        cmd: _,
        image: _,
        working_dir: _,
        entrypoint: _,
        labels: _,
        stop_signal: _,
        stop_timeout: _,
        // The image's or the client's, or without effect on what runs. Anonymous volumes are read by themselves.
        attach_stdin: _,
        attach_stdout: _,
        attach_stderr: _,
        exposed_ports: _,
        stdin_once: _,
        args_escaped: _,
        volumes: _,
        on_build: _,
        shell: _,
    } = config;
    beyond.text("domain name", domainname.as_ref());
    beyond.say(tty.unwrap_or_default(), "a terminal (--tty)");
    beyond.say(open_stdin.unwrap_or_default(), "an open standard input (--interactive)");
    beyond.say(network_disabled.unwrap_or_default(), "a disabled network");
    if let Some(HealthConfig {
        start_interval,
        test: _,
        interval: _,
        timeout: _,
        retries: _,
        start_period: _,
    }) = healthcheck
    {
        beyond.say(start_interval.is_some_and(|n| n > 0), "an interval of the health check at start");
    }
}

/// Told of every container; what the daemon gives each that asks for none is taken out where the daemon is known.
pub(super) fn cgroup_namespace(mode: &str) -> String {
    format!("the cgroup namespace {mode}")
}

fn of_host(host: &HostConfig, beyond: &mut Beyond) {
    let HostConfig {
        cpu_shares,
        cgroup_parent,
        blkio_weight,
        blkio_weight_device,
        blkio_device_read_bps,
        blkio_device_write_bps,
        blkio_device_read_iops,
        blkio_device_write_iops,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        device_cgroup_rules,
        device_requests,
        memory,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        cpu_count,
        cpu_percent,
        io_maximum_iops,
        io_maximum_bandwidth,
        binds,
        auto_remove,
        volume_driver,
        volumes_from,
        mounts,
        annotations,
        dns,
        dns_options,
        dns_search,
        extra_hosts,
        group_add,
        ipc_mode,
        links,
        oom_score_adj,
        pid_mode,
        privileged,
        publish_all_ports,
        storage_opt,
        tmpfs,
        uts_mode,
        userns_mode,
        runtime,
        cgroupns_mode,
        masked_paths,
        // Modelled.
        cpu_period: _,
        cpu_quota: _,
        devices: _,
        memory_reservation: _,
        nano_cpus: _,
        init: _,
        pids_limit: _,
        ulimits: _,
        log_config: _,
        network_mode: _,
        port_bindings: _,
        restart_policy: _,
        cap_add: _,
        cap_drop: _,
        readonly_rootfs: _,
        security_opt: _,
        shm_size: _,
        sysctls: _,
        // Of the client, of Windows, or the daemon's own default that cannot be told from a wish.
        container_id_file: _,
        console_size: _,
        cgroup: _,
        isolation: _,
        readonly_paths: _,
    } = host;
    beyond.number("CPU shares", *cpu_shares);
    beyond.text("the cgroup parent", cgroup_parent.as_ref());
    beyond.number("block I/O weight", blkio_weight.map(i64::from));
    let devices = blkio_weight_device.as_ref().is_some_and(|d| !d.is_empty());
    let limited =
        [blkio_device_read_bps, blkio_device_write_bps, blkio_device_read_iops, blkio_device_write_iops];
    let limited = limited.into_iter().flatten().any(|d| !d.is_empty());
    beyond.say(devices || limited, "block I/O limits of devices");
    beyond.number("CPU real-time period", *cpu_realtime_period);
    beyond.number("CPU real-time runtime", *cpu_realtime_runtime);
    beyond.text("the CPUs", cpuset_cpus.as_ref());
    beyond.text("the memory nodes", cpuset_mems.as_ref());
    beyond.list("the device cgroup rule", device_cgroup_rules.as_ref());
    beyond.say(device_requests.as_ref().is_some_and(|r| !r.is_empty()), "device requests (--gpus)");
    // Docker itself allows as much swap as memory.
    let swap = memory_swap.unwrap_or_default();
    let usual = memory.unwrap_or_default().saturating_mul(2);
    beyond.say(swap != 0 && swap != usual, format!("a limit of memory and swap of {swap}"));
    if let Some(swappiness) = memory_swappiness.filter(|s| *s >= 0) {
        beyond.say(true, format!("memory swappiness {swappiness}"));
    }
    beyond.say(oom_kill_disable.unwrap_or_default(), "no OOM killer");
    for (what, value) in [
        ("CPU count", cpu_count),
        ("CPU percent", cpu_percent),
        ("I/O operations at most", io_maximum_iops),
        ("I/O bytes at most", io_maximum_bandwidth),
        ("OOM score", oom_score_adj),
    ] {
        beyond.number(what, *value);
    }
    beyond.say(auto_remove.unwrap_or_default(), "its removal when it ends (--rm)");
    beyond.text("the volume driver", volume_driver.as_ref());
    beyond.list("volumes from", volumes_from.as_ref());
    beyond.say(annotations.as_ref().is_some_and(|a| !a.is_empty()), "annotations");
    for server in dns.iter().flatten().filter(|s| s.parse::<std::net::IpAddr>().is_err()) {
        beyond.say(true, format!("the name server {server}, which is no address"));
    }
    beyond.list("the resolver option", dns_options.as_ref());
    beyond.list("the search domain", dns_search.as_ref());
    let mut names = BTreeSet::new();
    for line in extra_hosts.iter().flatten() {
        let name = line.split_once(':').map_or(line.as_str(), |(name, _)| name);
        beyond.say(!names.insert(name), format!("a further address of {name} in /etc/hosts"));
    }
    beyond.list("the group", group_add.as_ref());
    let usual = |mode: &&String| !matches!(mode.as_str(), "" | "private");
    beyond.text("the IPC mode", ipc_mode.as_ref().filter(usual));
    beyond.list("the link", links.as_ref());
    beyond.text("the PID mode", pid_mode.as_ref());
    beyond.say(publish_all_ports.unwrap_or_default(), "publishing all exposed ports (-P)");
    beyond.say(storage_opt.as_ref().is_some_and(|o| !o.is_empty()), "storage options");
    beyond.text("the UTS mode", uts_mode.as_ref());
    beyond.text("the user namespace", userns_mode.as_ref());
    let usual = |name: &&String| !matches!(name.as_str(), "runc" | "io.containerd.runc.v2");
    beyond.text("the runtime", runtime.as_ref().filter(usual));
    if let Some(mode) = cgroupns_mode.map(|mode| mode.to_string()).filter(|mode| !mode.is_empty()) {
        beyond.say(true, cgroup_namespace(&mode));
    }
    let unmasked = masked_paths.as_ref().is_some_and(Vec::is_empty) && !privileged.unwrap_or_default();
    beyond.say(unmasked, "unmasked system paths");
    for bind in binds.iter().flatten() {
        let mut parts = bind.splitn(3, ':').skip(1);
        let (at, options) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let usual = ["", "ro", "rw", "rprivate", "cached", "delegated", "consistent"];
        for option in options.split(',').filter(|o| !usual.contains(o)) {
            beyond.say(true, format!("the option {option} of the mount at {at}"));
        }
    }
    for mount in mounts.iter().flatten() {
        of_mount(mount, beyond);
    }
    // The order of a HashMap does not matter on the way into a set.
    for (at, options) in tmpfs.iter().flatten() {
        let usual = |o: &str| match o.strip_prefix("size=") {
            Some(size) => live::tmpfs_size(size).is_some(),
            None => ["", "ro", "rw", "noexec", "nosuid", "nodev"].contains(&o),
        };
        for option in options.split(',').filter(|o| !usual(o)) {
            beyond.say(true, format!("the option {option} of the tmpfs at {at}"));
        }
    }
}

fn of_mount(mount: &Mount, beyond: &mut Beyond) {
    let Mount {
        target,
        typ,
        bind_options,
        volume_options,
        tmpfs_options,
        image_options: _,
        source: _,
        read_only: _,
        consistency: _,
    } = mount;
    let at = target.clone().unwrap_or_default();
    match typ {
        Some(MountType::IMAGE | MountType::NPIPE | MountType::CLUSTER) => {
            beyond.say(true, format!("the {typ:?} mount at {at}"));
        }
        Some(MountType::BIND | MountType::VOLUME | MountType::TMPFS) | None => {}
    }
    if let Some(MountBindOptions {
        propagation,
        non_recursive,
        read_only_non_recursive,
        read_only_force_recursive,
        create_mountpoint: _,
    }) = bind_options
    {
        let words = propagation.map(|p| p.to_string()).unwrap_or_default();
        beyond.say(!matches!(words.as_str(), "" | "rprivate"), format!("the propagation {words} at {at}"));
        let special = [non_recursive, read_only_non_recursive, read_only_force_recursive];
        beyond.say(
            special.into_iter().any(|s| s.unwrap_or_default()),
            format!("how {at} is mounted recursively"),
        );
    }
    if let Some(MountVolumeOptions { no_copy, driver_config, subpath, labels: _ }) = volume_options {
        beyond.say(no_copy.unwrap_or_default(), format!("the option nocopy of the mount at {at}"));
        beyond.say(driver_config.is_some(), format!("the volume driver of the mount at {at}"));
        beyond.say(
            subpath.as_ref().is_some_and(|s| !s.is_empty()),
            format!("the subpath of the mount at {at}"),
        );
    }
    if let Some(MountTmpfsOptions { mode, options, size_bytes: _ }) = tmpfs_options {
        beyond.say(mode.is_some_and(|m| m != 0), format!("the mode of the tmpfs at {at}"));
        beyond.say(options.as_ref().is_some_and(|o| !o.is_empty()), format!("options of the tmpfs at {at}"));
    }
}

fn of_endpoint(name: &str, endpoint: &Endpoint<'_>, beyond: &mut Beyond) {
    beyond.list(&format!("on {name} the link"), endpoint.links.as_ref());
    let options = endpoint.driver_opts.as_ref().is_some_and(|o| !o.is_empty());
    beyond.say(options, format!("driver options on the network {name}"));
    beyond.number(&format!("on {name} the gateway priority"), endpoint.gw_priority);
    if let Some(ipam) = &endpoint.ipam_config {
        let both = said(ipam.ipv4_address.as_ref()).and(said(ipam.ipv6_address.as_ref())).is_some();
        beyond.say(both, format!("the second fixed address on {name}"));
        beyond.list(&format!("on {name} the link-local address"), ipam.link_local_ips.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    /// Each name as the API has it: one that were misread would be absent, and a replacement would silently be without it.
    #[test]
    fn what_an_endpoint_has_beyond_the_model_is_told() {
        let body = br#"{"Networks": {"lan": {
            "IPAMConfig": {"IPv4Address": "10.0.0.3", "IPv6Address": "2001:db8::7", "LinkLocalIPs": ["169.254.3.4"]},
            "Links": ["db:store"], "DriverOpts": {"com.example.speed": "9"}, "GwPriority": 5}}}"#;
        let networks: Networks<'_> = json(body).expect("networks");
        let (config, host) = (ContainerConfig::default(), HostConfig::default());
        let words: Vec<String> = of(&config, &host, None, Some(&networks)).into_iter().collect();
        assert_eq!(
            words,
            [
                "driver options on the network lan",
                "on lan the gateway priority 5",
                "on lan the link db:store",
                "on lan the link-local address 169.254.3.4",
                "the second fixed address on lan",
            ]
        );
        assert_eq!(of(&config, &host, None, Some(&Networks::default())), BTreeSet::new());
    }
}
