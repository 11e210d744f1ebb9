package trueup.policy_changes_test

import rego.v1

import data.trueup.policy_changes as rule

test_a_change_of_rules_is_told if count(rule.warn) == 1 with input.policies_changed as true

test_without_one_nothing_is_told if count(rule.warn) == 0 with input.policies_changed as false
