package trueup.freeze_test

import rego.v1

import data.trueup.freeze as rule

quiet := {
	"apps": [], "hosts": [], "networks": [], "swarms": [], "flume": {"change": "none"}, "freeze": [],
	"detect_only": {"change": "none", "before": false, "after": false},
	"environments": {
		"prod": {"production": true, "change": "none"},
		"test": {"production": false, "change": "none"},
	},
}

with_apps(apps, windows) := object.union(quiet, {"apps": apps, "freeze": windows})

app(environment, kind) := {"key": sprintf("a-%s", [environment]), "environment": environment, "change": kind}

change(kind, windows) := with_apps([app("prod", kind)], windows)

window(effect, active) := {"name": "w", "says": "always UTC", "effect": effect, "active": active, "environments": []}

named(effect, active, environments) := object.union(window(effect, active), {"environments": environments})

freeze := [window("deny", true)]

shut := [window("allow", false)]

test_a_change_inside_is_denied if {
	every kind in ["create", "update", "remove"] {
		count(rule.deny) == 1 with input as change(kind, freeze)
	}
}

test_an_app_of_a_swarm_waits_like_another if {
	swarm := object.union(app("prod", "update"), {"after": {"runtime": {"swarm": {"swarm": "prod"}}, "replicas": 3}})
	rule.deny == {{"app": "a-prod", "msg": "the freeze 'w' is on (always UTC)"}} with input as with_apps([swarm], freeze)
}

test_a_change_after_it_is_allowed if count(rule.deny) == 0 with input as change("update", [window("deny", false)])

test_without_a_change_nothing_is_denied if {
	count(rule.deny) == 0 with input as change("none", freeze)
	count(rule.deny) == 0 with input as change("none", shut)
}

test_deny_wins_over_allow if {
	count(rule.deny) == 1 with input as change("update", [window("deny", true), window("allow", true)])
}

test_outside_of_what_allows_is_denied if {
	count(rule.deny) == 1 with input as change("update", shut)
	count(rule.deny) == 0 with input as change("update", [window("allow", false), window("allow", true)])
}

test_an_allowing_window_is_no_freeze if count(rule.deny) == 0 with input as change("update", [window("allow", true)])

test_a_freeze_that_is_over_allows_nothing_by_itself if {
	rule.deny == {{"app": "a-prod", "msg": "prod changes only within its windows: always UTC"}} with input as change(
		"update",
		[window("deny", false), window("allow", false)],
	)
}

test_the_windows_that_allow_are_told_once_and_in_order if {
	later := object.union(window("allow", false), {"says": "later"})
	rule.deny == {{"app": "a-prod", "msg": "prod changes only within its windows: always UTC or later"}} with input as change(
		"update",
		[later, window("allow", false), later],
	)
}

test_without_environments_it_is_for_production if {
	count(rule.deny) == 0 with input as with_apps([app("test", "update")], freeze)
	count(rule.deny) == 0 with input as with_apps([app("test", "update")], shut)
}

test_named_environments_are_meant if {
	count(rule.deny) == 0 with input as change("update", [named("deny", true, ["test"])])
	count(rule.deny) == 0 with input as change("update", [named("allow", false, ["test"])])
	rule.deny == {{"app": "a-test", "msg": "the freeze 'w' is on (always UTC)"}} with input as with_apps(
		[app("test", "update"), app("prod", "update")],
		[named("deny", true, ["test"])],
	)
	rule.deny == {{"app": "a-test", "msg": "test changes only within its windows: always UTC"}} with input as with_apps(
		[app("test", "update"), app("prod", "update")],
		[named("allow", false, ["test"])],
	)
}

thing(change, environments) := [{"name": "x", "change": change, "environments": environments}]

test_hosts_networks_and_swarms_of_a_frozen_environment_wait if {
	every kind in ["hosts", "networks", "swarms"] {
		changed := object.union(quiet, {kind: thing("update", ["prod", "test"])})
		count(rule.deny) == 1 with input as object.union(changed, {"freeze": freeze})
		count(rule.deny) == 1 with input as object.union(changed, {"freeze": shut})
		count(rule.deny) == 0 with input as object.union(changed, {"freeze": [window("deny", false)]})
		count(rule.deny) == 0 with input as object.union(quiet, {kind: thing("none", ["prod"]), "freeze": freeze})
		count(rule.deny) == 0 with input as object.union(quiet, {kind: thing("update", ["test"]), "freeze": freeze})
	}
}

test_each_says_what_it_is if {
	host := object.union(quiet, {"hosts": thing("update", ["prod"]), "freeze": freeze})
	rule.deny == {{"msg": "host x: the freeze 'w' is on (always UTC)"}} with input as host
}

test_flume_waits_for_every_environment if {
	changed := object.union(quiet, {"flume": {"change": "update"}})
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": freeze})
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": shut})
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": [named("deny", true, ["test"])]})
	count(rule.deny) == 0 with input as object.union(changed, {"freeze": [window("deny", false)]})
	count(rule.deny) == 0 with input as object.union(quiet, {"freeze": freeze})
}

test_a_fleet_that_was_only_watched_waits_for_every_environment if {
	changed := object.union(quiet, {"detect_only": {"change": "update", "before": true, "after": false}})
	rule.deny == {{"msg": "detect_only of the fleet: the freeze 'w' is on (always UTC)"}} with input as object.union(
		changed,
		{"freeze": freeze},
	)
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": shut})
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": [named("deny", true, ["test"])]})
	count(rule.deny) == 0 with input as object.union(changed, {"freeze": [window("deny", false)]})
	count(rule.deny) == 0 with input as object.union(quiet, {"freeze": freeze})
}

test_a_brake_does_not_wait if {
	fleet := object.union(quiet, {"detect_only": {"change": "update", "before": false, "after": true}})
	count(rule.deny) == 0 with input as object.union(fleet, {"freeze": freeze})
	count(rule.deny) == 0 with input as object.union(fleet, {"freeze": shut})
	environment := object.union(quiet, {"environments": {"prod": {"change": "update", "brake": true}}})
	count(rule.deny) == 0 with input as object.union(environment, {"freeze": freeze})
	count(rule.deny) == 0 with input as with_apps([object.union(app("prod", "update"), {"brake": true})], freeze)
	count(rule.deny) == 1 with input as with_apps([object.union(app("prod", "update"), {"brake": false})], freeze)
}

test_an_environment_itself_waits if {
	changed := object.union(quiet, {"environments": {"prod": {"change": "update"}}})
	rule.deny == {{"msg": "environment prod: the freeze 'w' is on (always UTC)"}} with input as object.union(changed, {"freeze": freeze})
	count(rule.deny) == 1 with input as object.union(changed, {"freeze": shut})
	other := object.union(quiet, {"environments": {"test": {"change": "update"}}})
	count(rule.deny) == 0 with input as object.union(other, {"freeze": freeze})
}
