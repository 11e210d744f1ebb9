# Without a health check a rollout in production cannot see that the new version fails.
package trueup.health_check

import rego.v1

about := {"level": "advice", "says": "apps in production declare a health check"}

deny contains {"app": app.key, "msg": "it has no health check: declare [health]"} if {
	some app in input.apps
	app.change in {"create", "update"}
	app.production
	app.after.container.health in {null, "disabled"}
}
