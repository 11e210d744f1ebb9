package trueup.protected_apps_test

import rego.v1

import data.trueup.protected_apps as rule

apps(change, protect) := [{"key": "a-x", "change": change, "before": {"protect": protect}}]

test_a_protected_app_is_not_deleted if count(rule.deny) == 1 with input.apps as apps("remove", true)

test_another_may_be_deleted if count(rule.deny) == 0 with input.apps as apps("remove", false)

test_a_protected_app_may_change if count(rule.deny) == 0 with input.apps as apps("update", true)
