# Images come from the registries (or repositories below them) that the reconciler's settings name.
package trueup.allowed_registries

import rego.v1

about := {
	"level": "overridable",
	"says": "images come only from the registries that the settings list; without a list, from anywhere",
}

deny contains {"app": app.key, "msg": msg} if {
	count(data.parameters.registries) > 0
	some app in input.apps
	app.change in {"create", "update"}
	not allowed(app.after.image.name)
	msg := sprintf("the image %s is not from an allowed registry: %s", [
		app.after.image.name,
		concat(", ", data.parameters.registries),
	])
}

allowed(name) if {
	some registry in data.parameters.registries
	startswith(name, sprintf("%s/", [trim_suffix(registry, "/")]))
}

allowed(name) if name in data.parameters.registries
