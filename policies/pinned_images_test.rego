package trueup.pinned_images_test

import rego.v1

import data.trueup.pinned_images as rule

app(change, image) := {"key": "a-test", "change": change, "after": {"image": image}}

latest := {"declared": "a:latest", "tag": "latest", "pinned": false}

version := {"declared": "a:1", "tag": "1", "pinned": false}

digest := {"declared": "a@sha256:0", "tag": null, "pinned": true}

both := {"declared": "a:latest@sha256:0", "tag": "latest", "pinned": true}

test_latest_is_denied if {
	count(rule.deny) == 1 with input.apps as [app("create", latest)]
	count(rule.deny) == 1 with input.apps as [app("update", latest)]
}

test_a_version_is_allowed if count(rule.deny) == 0 with input.apps as [app("update", version)]

test_a_digest_beside_the_tag_pins_it if count(rule.deny) == 0 with input.apps as [app("update", both)]

test_what_does_not_change_is_not_asked if {
	count(rule.deny) == 0 with input.apps as [app("none", latest)]
	count(rule.deny) == 0 with input.apps as [app("none", version)] with data.parameters.images_by_digest as true
}

test_a_digest_may_be_asked_for if {
	count(rule.deny) == 1 with input.apps as [app("update", version)] with data.parameters.images_by_digest as true
	count(rule.deny) == 1 with input.apps as [app("create", version)] with data.parameters.images_by_digest as true
	count(rule.deny) == 0 with input.apps as [app("update", digest)] with data.parameters.images_by_digest as true
}

test_latest_is_told_once if {
	count(rule.deny) == 1 with input.apps as [app("update", latest)] with data.parameters.images_by_digest as true
}
