package trueup.ran_healthy_first_test

import rego.v1

import data.trueup.ran_healthy_first as rule

apps(production, digest) := [{
	"key": "a-x", "change": "update", "production": production,
	"after": {"image": {"declared": "a:1", "digest": digest}},
}]

test_a_digest_seen_healthy_is_allowed if {
	count(rule.deny) == 0 with input.apps as apps(true, "sha256:1") with input.healthy_in_test as ["sha256:1"]
}

test_another_digest_is_denied if {
	count(rule.deny) == 1 with input.apps as apps(true, "sha256:2") with input.healthy_in_test as ["sha256:1"]
}

test_an_unknown_digest_is_denied if {
	count(rule.deny) == 1 with input.apps as apps(true, null) with input.healthy_in_test as ["sha256:1"]
}

test_elsewhere_anything_may_be_tried if {
	count(rule.deny) == 0 with input.apps as apps(false, "sha256:2") with input.healthy_in_test as []
}
