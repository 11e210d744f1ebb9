# Production runs only what ran healthy elsewhere first (F5).
package trueup.ran_healthy_first

import rego.v1

about := {
	"level": "advice",
	"says": "production gets only digests that ran healthy in an environment that is not production",
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	app.production
	app.after.image.digest != null
	not app.after.image.digest in input.healthy_in_test
	msg := sprintf("the image %s (%s) was never seen healthy in test: roll it out there first", [
		app.after.image.declared,
		substring(app.after.image.digest, 0, 19),
	])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	app.production
	app.after.image.digest == null
	msg := sprintf("the digest of %s is not known, so neither is whether it ran healthy in test", [app.after.image.declared])
}
