# Who reaches the engine's socket owns the host.
package trueup.no_docker_socket

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "neither the engine's socket nor a directory that leads to it is mounted",
}

sockets := {"/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some mount in app.after.container.mounts
	path := mount.source.host
	reaches_socket(plain(path))
	msg := sprintf("%s gives the container the engine, and with it the host", [path])
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
reaches_socket(path) if endswith(path, "/docker.sock")

reaches_socket(path) if regex.match("^/run/user(/[0-9]+)?$", path)

# A process's directory leads to the whole host: /proc/1/root/run.
reaches_socket(path) if regex.match("^/proc/.*/(root|cwd|fd)(/|$)", path)

reaches_socket(path) if regex.match("^/dev/fd(/|$)", path)
