package trueup.no_privileged_test

import rego.v1

import data.trueup.no_privileged as rule

plain := {"privileged": false, "cap_add": [], "security_opt": ["no-new-privileges"]}

apps(fields) := [{"key": "a-test", "change": "update", "after": {"container": object.union(plain, fields)}}]

test_a_plain_container_is_allowed if count(rule.deny) == 0 with input.apps as apps({"cap_add": ["NET_ADMIN"]})

test_privileged_is_denied if count(rule.deny) == 1 with input.apps as apps({"privileged": true})

test_all_capabilities_are_denied if count(rule.deny) == 1 with input.apps as apps({"cap_add": ["ALL"]})

test_unconfined_is_denied if count(rule.deny) == 1 with input.apps as apps({"security_opt": ["apparmor=unconfined"]})
