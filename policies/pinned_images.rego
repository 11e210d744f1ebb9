# An image is named by digest, or at least by a tag that is meant to stay.
package trueup.pinned_images

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "images are pinned: no :latest; with images_by_digest = true, a digest in git",
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	not app.after.image.pinned
	app.after.image.tag == "latest"
	msg := sprintf("the image %s moves: name a version's tag or a digest", [app.after.image.declared])
}

deny contains {"app": app.key, "msg": msg} if {
	data.parameters.images_by_digest
	some app in input.apps
	app.change in {"create", "update"}
	not app.after.image.pinned
	app.after.image.tag != "latest"
	msg := sprintf("the image %s has no digest in git: write %s@sha256:…", [
		app.after.image.declared,
		app.after.image.declared,
	])
}
