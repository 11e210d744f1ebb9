# Freeze windows (F3): deny wins over allow; healing is no change and goes on.
package trueup.freeze

import rego.v1

about := {
	"level": "overridable",
	"says": "nothing changes inside a freeze, nor outside of the windows that allow changes",
}

deny contains {"app": app.key, "msg": frozen(window)} if {
	some app in input.apps
	app.change != "none"
	some window in input.freeze
	closed(window, app.environment)
}

deny contains {"app": app.key, "msg": outside(app.environment)} if {
	some app in input.apps
	app.change != "none"
	shut(app.environment)
}

# A host or network has no app: the revision as a whole waits.
deny contains {"msg": sprintf("host %s: %s", [host.name, frozen(window)])} if {
	some host in input.hosts
	host.change != "none"
	some environment in host.environments
	some window in input.freeze
	closed(window, environment)
}

deny contains {"msg": sprintf("network %s: %s", [network.name, frozen(window)])} if {
	some network in input.networks
	network.change != "none"
	some environment in network.environments
	some window in input.freeze
	closed(window, environment)
}

closed(window, environment) if {
	window.effect == "deny"
	window.active
	covers(window, environment)
}

shut(environment) if {
	allowing := [window | some window in input.freeze; window.effect == "allow"; covers(window, environment)]
	count(allowing) > 0
	not any_active(allowing)
}

any_active(windows) if {
	some window in windows
	window.active
}

covers(window, environment) if environment in window.environments

covers(window, environment) if {
	count(window.environments) == 0
	input.environments[environment].production
}

frozen(window) := sprintf("the freeze '%s' is on (%s)", [window.name, window.says])

outside(environment) := sprintf("%s changes only within its windows: %s", [environment, concat(" or ", says)]) if {
	says := sort({window.says | some window in input.freeze; window.effect == "allow"; covers(window, environment)})
}
