# Freeze windows (F3): deny wins over allow; healing is no change and goes on.
package trueup.freeze

import rego.v1

about := {
	"level": "overridable",
	"says": "nothing changes inside a freeze, nor outside of the windows that allow changes",
}

deny contains {"app": app.key, "msg": why} if {
	some app in input.apps
	app.change != "none"
	not app.brake
	some why in closed[app.environment]
}

# What follows has no app: the revision as a whole waits.
deny contains {"msg": sprintf("%s %s: %s", [kind, thing.name, why])} if {
	some kind, things in {"host": input.hosts, "network": input.networks, "swarm": input.swarms}
	some thing in things
	thing.change != "none"
	some environment in thing.environments
	some why in closed[environment]
}

deny contains {"msg": sprintf("environment %s: %s", [name, why])} if {
	some name, environment in input.environments
	environment.change != "none"
	not environment.brake
	some why in closed[name]
}

# Every environment's logs go through it.
deny contains {"msg": sprintf("flume: %s", [why])} if {
	input.flume.change != "none"
	some why in closed[_]
}

# A fleet that was only watched begins to be changed. The other way about is a brake, as it is for an app and an environment:
# nothing more is changed by it.
deny contains {"msg": sprintf("detect_only of the fleet: %s", [why])} if {
	input.detect_only.change != "none"
	not input.detect_only.after
	some why in closed[_]
}

# Why an environment does not change now.
closed[name] contains sprintf("the freeze '%s' is on (%s)", [window.name, window.says]) if {
	some window in input.freeze
	window.effect == "deny"
	window.active
	some name in covered(window)
}

closed[name] contains msg if {
	some name, _ in input.environments
	allowing := [window | some window in input.freeze; window.effect == "allow"; name in covered(window)]
	count(allowing) > 0
	not any_active(allowing)
	says := concat(" or ", sort({window.says | some window in allowing}))
	msg := sprintf("%s changes only within its windows: %s", [name, says])
}

any_active(windows) if {
	some window in windows
	window.active
}

covered(window) := names if {
	count(window.environments) > 0
	names := {name | some name in window.environments}
}

# Without names it is about production.
covered(window) := names if {
	count(window.environments) == 0
	names := {name | some name, environment in input.environments; environment.production}
}
