# Containers keep data in volumes; a host's directories are its own, but for the listed ones.
package trueup.no_host_mounts

import rego.v1

about := {
	"level": "off",
	"says": "no directories of the host are mounted, but for those below host_mounts",
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some at, mount in app.after.container.mounts
	path := mount.source.host
	not allowed(path)
	msg := sprintf("%s of the host is mounted at %s: use a volume", [path, at])
}

allowed(path) if trim_suffix(path, "/") in {trim_suffix(base, "/") | some base in data.parameters.host_mounts}

allowed(path) if {
	not contains(path, "..")
	some base in data.parameters.host_mounts
	startswith(path, sprintf("%s/", [trim_suffix(base, "/")]))
}
