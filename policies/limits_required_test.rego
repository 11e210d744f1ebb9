package trueup.limits_required_test

import rego.v1

import data.trueup.limits_required as rule

app(change, memory, cpus) := [{"key": "a-test", "change": change, "after": {"container": {"memory": memory, "cpus": cpus, "health": null}}}]

apps(memory, cpus) := app("create", memory, cpus)

test_both_limits_are_allowed if count(rule.deny) == 0 with input.apps as apps("64MiB", "0.5")

test_each_missing_limit_is_denied if {
	count(rule.deny) == 1 with input.apps as apps(null, "0.5")
	count(rule.deny) == 1 with input.apps as apps("64MiB", null)
	count(rule.deny) == 2 with input.apps as app("update", null, null)
}

test_what_does_not_change_is_not_asked if count(rule.deny) == 0 with input.apps as app("none", null, null)
