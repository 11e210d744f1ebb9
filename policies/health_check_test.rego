package trueup.health_check_test

import rego.v1

import data.trueup.health_check as rule

apps(production, health) := [{"key": "a-x", "change": "create", "production": production, "after": {"container": {"health": health}}}]

test_production_needs_one if {
	count(rule.deny) == 1 with input.apps as apps(true, null)
	count(rule.deny) == 1 with input.apps as apps(true, "disabled")
}

test_a_probe_is_allowed if count(rule.deny) == 0 with input.apps as apps(true, {"probe": {"test": ["CMD", "true"]}})

test_elsewhere_none_is_needed if count(rule.deny) == 0 with input.apps as apps(false, null)
