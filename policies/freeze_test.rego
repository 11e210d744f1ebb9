package trueup.freeze_test

import rego.v1

import data.trueup.freeze as rule

change(kind, windows) := {
	"apps": [{"key": "a-prod", "environment": "prod", "change": kind}],
	"hosts": [], "networks": [],
	"environments": {"prod": {"production": true}, "test": {"production": false}},
	"freeze": windows,
}

window(effect, active) := {"name": "w", "says": "always UTC", "effect": effect, "active": active, "environments": []}

test_a_change_inside_is_denied if count(rule.deny) == 1 with input as change("update", [window("deny", true)])

test_a_change_after_it_is_allowed if count(rule.deny) == 0 with input as change("update", [window("deny", false)])

test_without_a_change_nothing_is_denied if count(rule.deny) == 0 with input as change("none", [window("deny", true)])

test_deny_wins_over_allow if {
	count(rule.deny) == 1 with input as change("update", [window("deny", true), window("allow", true)])
}

test_outside_of_what_allows_is_denied if {
	count(rule.deny) == 1 with input as change("update", [window("allow", false)])
	count(rule.deny) == 0 with input as change("update", [window("allow", false), window("allow", true)])
}

test_without_environments_it_is_for_production if {
	other := object.union(change("update", [window("deny", true)]), {"apps": [{"key": "a-test", "environment": "test", "change": "update"}]})
	count(rule.deny) == 0 with input as other
}

test_named_environments_are_meant if {
	named := object.union(window("deny", true), {"environments": ["test"]})
	count(rule.deny) == 0 with input as change("update", [named])
}

test_a_host_of_a_frozen_environment_waits if {
	host := {"name": "h", "change": "update", "environments": ["prod"]}
	changed := object.union(change("none", [window("deny", true)]), {"hosts": [host]})
	count(rule.deny) == 1 with input as changed
}
