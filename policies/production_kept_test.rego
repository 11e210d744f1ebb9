package trueup.production_kept_test

import rego.v1

import data.trueup.production_kept as rule

environments(before, after) := {"prod": {"production": true, "before": before, "after": after}}

test_production_that_ends_is_denied if {
	count(rule.deny) == 1 with input.environments as environments({"production": true}, {"production": false})
	count(rule.deny) == 1 with input.environments as environments({"production": true}, null)
}

test_production_that_stays_or_begins_is_allowed if {
	count(rule.deny) == 0 with input.environments as environments({"production": true}, {"production": true})
	count(rule.deny) == 0 with input.environments as environments({"production": false}, {"production": true})
	count(rule.deny) == 0 with input.environments as environments(null, {"production": true})
}

test_what_was_none_may_stay_none if {
	count(rule.deny) == 0 with input.environments as environments({"production": false}, {"production": false})
	count(rule.deny) == 0 with input.environments as environments(null, {"production": false})
}
