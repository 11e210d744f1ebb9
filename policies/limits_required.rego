# One app cannot take a host away from the others.
package trueup.limits_required

import rego.v1

about := {"level": "off", "says": "every app declares a memory and a CPU limit"}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some field in {"memory", "cpus"}
	app.after.container[field] == null
	msg := sprintf("it has no %s limit: set limits.%s", [field, field])
}
