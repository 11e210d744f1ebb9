# What says protect = true does not go by a merge alone.
package trueup.protected_apps

import rego.v1

about := {"level": "overridable", "says": "an app with protect = true is not deleted"}

deny contains {"app": app.key, "msg": "it is protected and would be deleted: take protect away in a commit before"} if {
	some app in input.apps
	app.change == "remove"
	app.before.protect
}
