# Production runs only what ran healthy elsewhere first (F5).
package trueup.ran_healthy_first

import rego.v1

about := {
	"level": "advice",
	"production": "overridable",
	"says": "production gets only digests that ran healthy in an environment that is not production",
}

# Advice where there is nowhere to try it, unless the settings say more.
deny contains {"app": app.key, "msg": msg, "level": "advice"} if {
	some app in input.apps
	msg := untried(app)
	not can_be_tried(app)
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	msg := untried(app)
	can_be_tried(app)
}

# The same app stands in an environment that is not production, and its image has a digest in some registry.
can_be_tried(app) if {
	app.after.pull != "never"
	app.app in elsewhere
}

elsewhere contains app.app if {
	some app in input.apps
	not app.production
}

untried(app) := msg if {
	is_new(app)
	not app.after.image.digest in input.healthy_in_test
	app.after.image.digest != null
	msg := sprintf("the image %s (%s) was never seen healthy in test: roll it out there first", [
		app.after.image.declared,
		substring(app.after.image.digest, 0, 19),
	])
}

untried(app) := msg if {
	is_new(app)
	app.after.image.digest == null
	msg := sprintf("the digest of %s is not known, so neither is whether it ran healthy in test", [app.after.image.declared])
}

is_new(app) if {
	app.change in {"create", "update"}
	app.production
	not already_there(app)
}

# What production runs already is not tried anew because something else of the app changes.
already_there(app) if {
	app.after.image.digest != null
	app.before.image.digest == app.after.image.digest
}
