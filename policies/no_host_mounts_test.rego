package trueup.no_host_mounts_test

import rego.v1

import data.trueup.no_host_mounts as rule

app(change, source) := [{"key": "a-test", "change": change, "after": {"container": {"mounts": {"/x": {"source": source}}}}}]

apps(source) := app("update", source)

test_a_volume_is_allowed if count(rule.deny) == 0 with input.apps as apps({"volume": "data"})

test_a_directory_of_the_host_is_denied if {
	count(rule.deny) == 1 with input.apps as apps({"host": "/etc"})
	count(rule.deny) == 1 with input.apps as app("create", {"host": "/etc"})
}

test_what_does_not_change_is_not_asked if count(rule.deny) == 0 with input.apps as app("none", {"host": "/etc"})

test_a_listed_directory_and_what_is_below_are_allowed if {
	every path in ["/var/log", "/var/log/", "/var/log/a"] {
		count(rule.deny) == 0 with input.apps as apps({"host": path}) with data.parameters.host_mounts as ["/var/log"]
		count(rule.deny) == 0 with input.apps as apps({"host": path}) with data.parameters.host_mounts as ["/var/log/"]
	}
}

test_the_list_is_not_left_by_dots_or_by_a_longer_name if {
	count(rule.deny) == 1 with input.apps as apps({"host": "/var/log/../../etc"})
		with data.parameters.host_mounts as ["/var/log"]
	count(rule.deny) == 1 with input.apps as apps({"host": "/var/logs"}) with data.parameters.host_mounts as ["/var/log"]
}
