# No container has the whole host in its hands.
package trueup.no_privileged

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "no privileged containers, no capability or device that amounts to it, no switched-off confinement",
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
	regex.match(raw_device, device.host)
	msg := sprintf("the device %s holds the host's disks or memory", [device.host])
}

# A volume's options mount a disk without any device of the container's; bound, a device is a name that opens nothing.
deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some name, volume in app.after.volumes
	options := volume.spec.options
	regex.match("^/*(\\.{1,2}/+|[^/:]+/+\\.\\./+)*dev/", options.device)
	not binds(options)
	msg := sprintf("volume %s opens %s, a device of the host", [name, options.device])
}

binds(options) if {
	some word in split(options.o, ",")
	word in {"bind", "rbind"}
}

# The kernel's own: core_pattern, uevent_helper and release_agent run a program as root of the host.
deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some name, volume in app.after.volumes
	volume.spec.options.type in {"proc", "sysfs", "debugfs", "cgroup"}
	msg := sprintf("volume %s is the %s of the host's kernel", [name, volume.spec.options.type])
}

# Memory, ports, and disks by whatever name Linux gives them; and /dev itself.
raw_device := concat("", [
	"^/+(proc/.*|dev/*|dev/+(\\./+)*",
	"(mem|kmem|port|[shv]d[a-z].*|xvd.*|nvme.*|mmcblk.*|dm-.*|md[0-9/].*|loop.*|zd.*|nbd.*|rbd.*|bcache.*",
	"|(mapper|disk|block|fd)(/.*)?))$",
])

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
