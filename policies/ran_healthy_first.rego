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

# A forecast changes nothing and asks nobody: what it does not know it tells. The reconciler asks, and holds what could have
# been tried elsewhere.
warn contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	msg := unjudged(app)
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
	not unjudged(app)
	app.after.image.digest != null
	not seen_healthy(app.after.image.digest)
	msg := sprintf("the image %s (%s) was never seen healthy in test: roll it out there first", [
		app.after.image.declared,
		substring(app.after.image.digest, 0, 19),
	])
}

untried(app) := msg if {
	is_new(app)
	not unjudged(app)
	app.after.image.digest == null
	msg := sprintf("the digest of %s is not known, so neither is whether it ran healthy in test", [app.after.image.declared])
}

unjudged(app) := msg if {
	input.forecast
	is_new(app)
	app.after.image.digest == null
	msg := sprintf("could not be judged here: the digest of %s is not known until it is resolved, once this is merged; what did not run healthy in test is held then", [app.after.image.declared])
}

unjudged(app) := msg if {
	input.forecast
	is_new(app)
	app.after.image.digest != null
	input.healthy_in_test == null
	msg := sprintf("could not be judged here: whether %s ran healthy in test is known where trueup runs, and told by a snapshot that is saved there anew", [app.after.image.declared])
}

seen_healthy(digest) if digest in input.healthy_in_test

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
