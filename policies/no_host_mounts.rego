# Containers keep data in volumes; a host's directories are its own, but for the listed ones.
package trueup.no_host_mounts

import rego.v1

about := {
	"level": "off",
	"says": "no directories of the host are mounted, by themselves or by a volume's options, but for those below host_mounts",
}

changed contains app if {
	some app in input.apps
	app.change in {"create", "update"}
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some at, mount in app.after.container.mounts
	path := mount.source.host
	not allowed(path)
	msg := sprintf("%s of the host is mounted at %s: use a volume", [path, at])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some at, mount in app.after.container.mounts
	some path in directories[mount.source.volume]
	not allowed(path)
	msg := sprintf("%s of the host is mounted at %s by the options of volume %s: use a volume without them", [
		path,
		at,
		mount.source.volume,
	])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some at, mount in app.after.container.mounts
	some type in types[mount.source.volume]
	msg := sprintf("volume %s at %s is a %s of the host: use a volume without options", [mount.source.volume, at, type])
}

# What a volume's options open, by its name on the engine: whoever declares it, another app may mount it as external.
volumes contains {"name": name, "driver": volume.spec.driver, "options": volume.spec.options} if {
	some app in input.apps
	some name, volume in app.after.volumes
}

directories[volume.name] contains volume.options.device if {
	some volume in volumes
	volume.driver in docker_own
	binds(volume.options)
}

# Of another driver nobody knows what its options mean; a path may be one of the host.
directories[volume.name] contains value if {
	some volume in volumes
	not volume.driver in docker_own
	some value in volume.options
	startswith(value, "/")
}

# A disk, a stack of directories, /proc: no list of directories says that it is meant.
types[volume.name] contains type if {
	some volume in volumes
	volume.driver in docker_own
	type := volume.options.type
	not type in elsewhere
	not binds(volume.options)
}

# Where none is named, Docker takes its own.
docker_own := {"local", ""}

# Memory, and servers: nothing of the host.
elsewhere := {"tmpfs", "nfs", "nfs4", "cifs", "ceph"}

# Docker gives these to mount(2) as they are; beside them the type means nothing.
binds(options) if {
	some word in split(options.o, ",")
	word in {"bind", "rbind"}
}

allowed(path) if trim_suffix(path, "/") in {trim_suffix(base, "/") | some base in data.parameters.host_mounts}

allowed(path) if {
	not contains(path, "..")
	some base in data.parameters.host_mounts
	startswith(path, sprintf("%s/", [trim_suffix(base, "/")]))
}
