# Who reaches the engine's socket owns the host.
package trueup.no_docker_socket

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "neither the engine's socket nor a directory that leads to it is mounted, by itself or by a volume's options",
}

usual := {
	"/run/docker.sock",
	"/run/containerd/containerd.sock",
	"/run/docker/containerd/containerd.sock",
	"/run/podman/podman.sock",
}

# Engines may be told to listen elsewhere.
sockets := usual | {plain(host.after.engine.unix.path) | some host in input.hosts}

changed contains app if {
	some app in input.apps
	app.change in {"create", "update"}
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some mount in app.after.container.mounts
	path := mount.source.host
	reaches_socket(plain(path))
	msg := sprintf("%s gives the container the engine, and with it the host", [path])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in changed
	some mount in app.after.container.mounts
	some path in bound[mount.source.volume]
	reaches_socket(plain(path))
	msg := sprintf("volume %s opens %s, which gives the container the engine, and with it the host", [
		mount.source.volume,
		path,
	])
}

# What a volume's options open, by its name on the engine: whoever declares it, another app may mount it as external.
# Docker's own driver gives them to mount(2): a directory, or several as overlay's layers.
bound[name] contains path if {
	some app in input.apps
	some name, volume in app.after.volumes
	volume.spec.driver in docker_own
	not is_elsewhere(volume.spec.options)
	some path in {volume.spec.options.device} | layers(volume.spec.options)
}

# Of another driver nobody knows what its options mean; a path may be one of the host.
bound[name] contains path if {
	some app in input.apps
	some name, volume in app.after.volumes
	not volume.spec.driver in docker_own
	some path in volume.spec.options
	startswith(path, "/")
}

# Where none is named, Docker takes its own.
docker_own := {"local", ""}

# Overlay takes backslashes away before it looks, and two colons stand before layers of data.
layers(options) := {path |
	some word in split(replace(object.get(options, "o", ""), "\\", ""), ",")
	some key in {"lowerdir=", "lowerdir+=", "datadir+=", "upperdir="}
	startswith(word, key)
	some path in split(trim_prefix(word, key), ":")
	path != ""
}

# Memory, and servers: nothing of the host, unless it is bound all the same.
is_elsewhere(options) if {
	options.type in {"tmpfs", "nfs", "nfs4", "cifs", "ceph"}
	not binds(options)
}

binds(options) if {
	some word in split(options.o, ",")
	word in {"bind", "rbind"}
}

# One spelling of each path: /var/run is /run on every Linux in use.
plain(path) := regex.replace(short, "^/var/run(/|$)", "/run$1") if {
	short := sprintf("/%s", [concat("/", [part | some part in split(path, "/"); not part in {"", "."}])])
}

reaches_socket(path) if path in sockets

# A directory above one of them.
reaches_socket(path) if {
	some socket in sockets
	startswith(socket, sprintf("%s/", [trim_suffix(path, "/")]))
}

# What holds /var/run, which leads to /run.
reaches_socket(path) if path == "/var"

# The sockets of engines without root, and the directories above them.
reaches_socket(path) if regex.match("/(docker|containerd|podman)\\.sock$", path)

reaches_socket(path) if regex.match("^/run/user(/[0-9]+(/(podman|docker|docker/containerd))?)?$", path)

reaches_socket(path) if regex.match("/\\.docker(/run)?$", path)

# A process's directory leads to the whole host: /proc/1/root/run.
reaches_socket(path) if regex.match("^/proc/.*/(root|cwd|fd)(/|$)", path)

reaches_socket(path) if regex.match("^/dev/fd(/|$)", path)

# Mounts with dots are refused where they are read; a volume's options are not.
reaches_socket(path) if ".." in split(path, "/")
