package trueup.protected_apps_test

import rego.v1

import data.trueup.protected_apps as rule

apps(change, protect) := [{"key": "a-x", "change": change, "before": {"protect": protect}}]

test_a_protected_app_is_not_deleted if count(rule.deny) == 1 with input.apps as apps("remove", true)

test_an_app_of_a_swarm_is_protected_like_another if {
	service := {"protect": true, "runtime": {"swarm": {"swarm": "prod"}}}
	rule.deny[_].app == "a-x" with input.apps as [{"key": "a-x", "change": "remove", "before": service, "after": null}]
}

test_another_may_be_deleted if count(rule.deny) == 0 with input.apps as apps("remove", false)

test_a_protected_app_may_change if {
	count(rule.deny) == 0 with input.apps as apps("update", true)
	count(rule.deny) == 0 with input.apps as apps("none", true)
}
