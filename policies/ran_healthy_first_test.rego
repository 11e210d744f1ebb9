package trueup.ran_healthy_first_test

import rego.v1

import data.trueup.ran_healthy_first as rule

app(fields, digest) := object.union(
	{
		"key": "a-prod", "app": "a", "change": "update", "production": true, "before": null,
		"after": {"image": {"declared": "a:1", "digest": digest}, "pull": "missing"},
	},
	fields,
)

in_test := {"key": "a-test", "app": "a", "change": "none", "production": false}

apps(fields, digest) := [app(fields, digest), in_test]

held(apps) if {
	count(rule.deny) == 1 with input.apps as apps with input.healthy_in_test as ["sha256:1"]
	some finding in rule.deny with input.apps as apps with input.healthy_in_test as ["sha256:1"]
	not finding.level
}

told(apps) if {
	count(rule.deny) == 1 with input.apps as apps with input.healthy_in_test as ["sha256:1"]
	some finding in rule.deny with input.apps as apps with input.healthy_in_test as ["sha256:1"]
	finding.level == "advice"
}

silent(apps) if count(rule.deny) == 0 with input.apps as apps with input.healthy_in_test as ["sha256:1"]

test_a_digest_seen_healthy_is_allowed if silent(apps({}, "sha256:1"))

test_another_digest_is_denied if {
	held(apps({}, "sha256:2"))
	held(apps({"change": "create"}, "sha256:2"))
}

test_an_unknown_digest_is_denied if held(apps({}, null))

test_elsewhere_anything_may_be_tried if {
	silent(apps({"production": false}, "sha256:2"))
	silent(apps({"production": false}, null))
}

test_what_does_not_change_or_goes_is_not_asked if {
	silent(apps({"change": "none"}, "sha256:2"))
	silent(apps({"change": "none"}, null))
	silent(apps({"change": "remove", "after": null}, null))
}

test_what_runs_already_is_not_asked_again if {
	silent(apps({"before": {"image": {"digest": "sha256:2"}}}, "sha256:2"))
	held(apps({"before": {"image": {"digest": "sha256:3"}}}, "sha256:2"))
	held(apps({"before": {"image": {"digest": null}}}, null))
}

test_without_a_place_to_try_it_it_is_advice if {
	told([app({}, "sha256:2")])
	told([app({}, null)])
	told([app({}, "sha256:2"), object.union(in_test, {"app": "b"})])
	told([app({}, "sha256:2"), object.union(in_test, {"production": true, "change": "none"})])
	told(apps({"after": {"pull": "never"}}, null))
}

test_an_app_of_a_swarm_is_asked_like_another if {
	held(apps({"after": {"runtime": {"swarm": {"swarm": "prod"}}}}, "sha256:2"))
	silent(apps({"after": {"runtime": {"swarm": {"swarm": "prod"}}}}, "sha256:1"))
}

# As `trueup check` asks.
forecast(apps, healthy) := {"apps": apps, "healthy_in_test": healthy, "forecast": true}

unjudged(input_then) if {
	count(rule.deny) == 0 with input as input_then
	count(rule.warn) == 1 with input as input_then
	some finding in rule.warn with input as input_then
	startswith(finding.msg, "could not be judged here")
}

quiet(input_then) if {
	count(rule.deny) == 0 with input as input_then
	count(rule.warn) == 0 with input as input_then
}

test_a_forecast_tells_what_nobody_resolved if {
	unjudged(forecast(apps({}, null), ["sha256:1"]))
	unjudged(forecast(apps({"before": {"image": {"digest": "sha256:3"}}}, null), ["sha256:1"]))
	unjudged(forecast(apps({}, null), null))
}

test_a_forecast_tells_where_nothing_is_known_of_test if unjudged(forecast(apps({}, "sha256:1"), null))

test_a_forecast_denies_what_is_known if {
	some finding in rule.deny with input as forecast(apps({}, "sha256:2"), ["sha256:1"])
	not finding.level
	count(rule.warn) == 0 with input as forecast(apps({}, "sha256:2"), ["sha256:1"])
}

test_a_forecast_is_quiet_where_the_reconciler_holds_nothing if {
	quiet(forecast([app({}, null)], ["sha256:1"]))
	quiet(forecast(apps({}, "sha256:1"), ["sha256:1"]))
	quiet(forecast(apps({"change": "none"}, null), ["sha256:1"]))
	quiet(forecast(apps({"change": "none"}, "sha256:2"), null))
	quiet(forecast(apps({"production": false}, null), null))
	quiet(forecast(apps({"before": {"image": {"digest": "sha256:2"}}}, "sha256:2"), null))
}

test_only_a_forecast_is_not_judged if {
	count(rule.warn) == 0 with input.apps as apps({}, null) with input.healthy_in_test as ["sha256:1"]
	count(rule.deny) == 1 with input as {"apps": apps({}, "sha256:1"), "healthy_in_test": null, "forecast": false}
	count(rule.deny) == 1 with input as {"apps": apps({}, null), "healthy_in_test": null, "forecast": false}
	count(rule.warn) == 0 with input as {"apps": apps({}, "sha256:1"), "healthy_in_test": null, "forecast": false}
}
