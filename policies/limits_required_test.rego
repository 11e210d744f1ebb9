package trueup.limits_required_test

import rego.v1

import data.trueup.limits_required as rule

apps(memory, cpus) := [{"key": "a-test", "change": "create", "after": {"container": {"memory": memory, "cpus": cpus}}}]

test_both_limits_are_allowed if count(rule.deny) == 0 with input.apps as apps("64MiB", "0.5")

test_each_missing_limit_is_denied if {
	count(rule.deny) == 1 with input.apps as apps(null, "0.5")
	count(rule.deny) == 2 with input.apps as apps(null, null)
}
