# Not so many that a slip fills the fleet, and in production not so few that one loss is an outage.
package trueup.replica_bounds

import rego.v1

about := {
	"level": "overridable",
	"says": "replicas stay within most_replicas and, in production, least_replicas_in_production",
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	is_number(app.after.replicas)
	app.after.replicas > data.parameters.most_replicas
	msg := sprintf("%d replicas are more than the %d allowed", [app.after.replicas, data.parameters.most_replicas])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	app.production
	is_number(app.after.replicas)
	app.after.replicas < data.parameters.least_replicas_in_production
	msg := sprintf("%d replicas are fewer than the %d that production needs", [
		app.after.replicas,
		data.parameters.least_replicas_in_production,
	])
}
