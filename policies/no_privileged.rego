# No container has the whole host in its hands.
package trueup.no_privileged

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "no privileged containers, no capability, device or volume that may amount to it, no switched-off confinement",
}

changed contains app if {
	some app in input.apps
	app.change in {"create", "update"}
}

deny contains {"app": app.key, "msg": "it is privileged: name the single capabilities and devices it needs"} if {
	some app in changed
	app.after.container.privileged
}

# Each of them alone is enough to become root of the host.
capabilities := {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH"}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some capability in app.after.container.cap_add
	trim_prefix(upper(capability), "CAP_") in capabilities
	msg := sprintf("the capability %s is as good as privileged", [capability])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some device in app.after.container.devices
	not is_harmless(device.host)
	msg := sprintf("the device %s may hold the host's disks, memory or terminals: only known harmless ones pass", [
		device.host,
	])
}

# No list of the names of disks is ever complete, so these are the others: what every user of a Linux may open, serial
# lines, sound, pictures and graphics. All of USB, input and SCSI's generic devices reach disks and keyboards.
harmless := {
	"null",
	"zero",
	"full",
	"u?random",
	"tty",
	"kmsg",
	"fuse",
	"kvm",
	"net/tun",
	"tty[A-Z]+[0-9]+",
	"serial/by-(id|path)/.+",
	"snd(/.*)?",
	"video[0-9]+",
	"v4l/by-(id|path)/.+",
	"dri(/.*)?",
	"kfd",
	"nvidia[a-z0-9-]*",
}

is_harmless(path) if {
	some name in harmless
	regex.match(sprintf("^/dev/%s$", [name]), path)
	not ".." in split(path, "/")
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some name, _ in app.after.volumes
	some what in opened[name]
	msg := sprintf("volume %s opens %s: use a volume without options", [name, what])
}

# What a volume's options open, by its name on the engine: whoever declares it, another app may mount it as external.
# Docker's own driver gives type and device to mount(2): a disk without any device of the container's, or what of the
# kernel runs a program as root of the host (core_pattern, uevent_helper, release_agent).
opened[name] contains what if {
	some app in input.apps
	some name, volume in app.after.volumes
	volume.spec.driver in docker_own
	options := volume.spec.options
	some key in {"type", "device"}
	options[key]
	not options.type in elsewhere
	not binds(options)
	device := object.get(options, "device", "something")
	what := sprintf("%s of the host (type %s)", [device, object.get(options, "type", "unknown")])
}

# Of another driver nobody knows what its options mean; a path may be one of a device or of the kernel.
opened[name] contains sprintf("%s of the host (driver %s)", [path, volume.spec.driver]) if {
	some app in input.apps
	some name, volume in app.after.volumes
	not volume.spec.driver in docker_own
	some path in volume.spec.options
	startswith(path, "/")
	leads_to_kernel([part | some part in split(path, "/"); not part in {"", "."}])
}

leads_to_kernel(parts) if parts[0] in {"dev", "proc", "sys"}

leads_to_kernel(parts) if ".." in parts

# Where none is named, Docker takes its own.
docker_own := {"local", ""}

# Memory, and servers: nothing of the host.
elsewhere := {"tmpfs", "nfs", "nfs4", "cifs", "ceph"}

# Bound, a device is a name that opens nothing; directories are for no_host_mounts and no_docker_socket.
binds(options) if {
	some word in split(options.o, ",")
	word in {"bind", "rbind"}
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some option in app.after.container.security_opt
	unconfined(option)
	msg := sprintf("the security option %s switches confinement off", [option])
}

# seccomp=unconfined, apparmor=unconfined, systempaths=unconfined
unconfined(option) if endswith(option, "unconfined")

# SELinux; the colon is its older spelling.
unconfined(option) if option in {"label=disable", "label:disable"}
