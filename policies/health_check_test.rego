package trueup.health_check_test

import rego.v1

import data.trueup.health_check as rule

app(change, production, health) := [{"key": "a-x", "change": change, "production": production, "after": {"container": {"health": health}}}]

apps(production, health) := app("create", production, health)

test_production_needs_one if {
	count(rule.deny) == 1 with input.apps as apps(true, null)
	count(rule.deny) == 1 with input.apps as apps(true, "disabled")
	count(rule.deny) == 1 with input.apps as app("update", true, null)
}

test_a_probe_is_allowed if count(rule.deny) == 0 with input.apps as apps(true, {"probe": {"test": ["CMD", "true"]}})

test_elsewhere_none_is_needed if count(rule.deny) == 0 with input.apps as apps(false, null)

test_what_does_not_change_is_not_asked if count(rule.deny) == 0 with input.apps as app("none", true, null)
