# Who reaches the engine's socket owns the host.
package trueup.no_docker_socket

import rego.v1

about := {
	"level": "advice",
	"says": "neither the engine's socket nor a directory that holds it is mounted",
}

sockets := {
	"/var/run/docker.sock", "/run/docker.sock",
	"/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some mount in app.after.container.mounts
	path := mount.source.host
	reaches_socket(path)
	msg := sprintf("%s gives the container the engine, and with it the host", [path])
}

reaches_socket(path) if path in sockets

reaches_socket(path) if path == "/"

reaches_socket(path) if endswith(path, "/docker.sock")

reaches_socket(path) if {
	some socket in sockets
	startswith(socket, sprintf("%s/", [trim_suffix(path, "/")]))
}
