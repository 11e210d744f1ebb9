package trueup.allowed_registries_test

import rego.v1

import data.trueup.allowed_registries as rule

app(change, name) := [{"key": "a-test", "change": change, "after": {"image": {"name": name}}}]

apps(name) := app("create", name)

test_without_a_list_all_are_allowed if count(rule.deny) == 0 with input.apps as apps("evil.example/a")

test_another_registry_is_denied if {
	count(rule.deny) == 1 with input.apps as apps("evil.example/a")
		with data.parameters.registries as ["registry.example"]
	count(rule.deny) == 1 with input.apps as app("update", "evil.example/a")
		with data.parameters.registries as ["registry.example"]
}

test_what_does_not_change_is_not_asked if {
	count(rule.deny) == 0 with input.apps as app("none", "evil.example/a")
		with data.parameters.registries as ["registry.example"]
}

test_a_name_that_only_begins_alike_is_denied if {
	count(rule.deny) == 1 with input.apps as apps("registry.example.evil/a")
		with data.parameters.registries as ["registry.example"]
}

test_the_registry_and_what_is_below_are_allowed if {
	count(rule.deny) == 0 with input.apps as apps("registry.example/team/a")
		with data.parameters.registries as ["registry.example/team/"]
	count(rule.deny) == 0 with input.apps as apps("docker.io/library/nginx")
		with data.parameters.registries as ["docker.io/library/nginx"]
}
