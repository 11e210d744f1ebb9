package trueup.replica_bounds_test

import rego.v1

import data.trueup.replica_bounds as rule

app(change, production, replicas) := [{
	"key": "a-x", "change": change, "production": production,
	"after": {"replicas": replicas},
}]

apps(production, replicas) := app("update", production, replicas)

test_without_bounds_any_number_is_allowed if count(rule.deny) == 0 with input.apps as apps(true, 999)

test_too_many_are_denied if {
	count(rule.deny) == 1 with input.apps as apps(false, 11) with data.parameters.most_replicas as 10
	count(rule.deny) == 1 with input.apps as app("create", false, 11) with data.parameters.most_replicas as 10
	count(rule.deny) == 0 with input.apps as apps(false, 10) with data.parameters.most_replicas as 10
}

test_too_few_are_denied_in_production_alone if {
	count(rule.deny) == 1 with input.apps as apps(true, 1) with data.parameters.least_replicas_in_production as 2
	count(rule.deny) == 1 with input.apps as app("create", true, 1)
		with data.parameters.least_replicas_in_production as 2
	count(rule.deny) == 0 with input.apps as apps(true, 2) with data.parameters.least_replicas_in_production as 2
	count(rule.deny) == 0 with input.apps as apps(false, 1) with data.parameters.least_replicas_in_production as 2
}

test_what_does_not_change_is_not_asked if {
	count(rule.deny) == 0 with input.apps as app("none", true, 11) with data.parameters.most_replicas as 10
	count(rule.deny) == 0 with input.apps as app("none", true, 1) with data.parameters.least_replicas_in_production as 2
}

# In Rego a text is more than any number, and nothing less.
test_one_on_every_host_has_no_number if {
	count(rule.deny) == 0 with input.apps as apps(true, null) with data.parameters.least_replicas_in_production as 2
	count(rule.deny) == 0 with input.apps as apps(true, "every-host") with data.parameters.most_replicas as 2
}
