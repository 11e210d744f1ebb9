package trueup.no_docker_socket_test

import rego.v1

import data.trueup.no_docker_socket as rule

apps(path) := [{"key": "a-test", "change": "create", "after": {"container": {"mounts": {"/x": {"source": {"host": path}}}}}}]

test_the_socket_is_denied if count(rule.deny) == 1 with input.apps as apps("/var/run/docker.sock")

test_a_directory_above_it_is_denied if {
	count(rule.deny) == 1 with input.apps as apps("/")
	count(rule.deny) == 1 with input.apps as apps("/run")
	count(rule.deny) == 1 with input.apps as apps("/var/run/")
}

test_another_directory_is_allowed if {
	count(rule.deny) == 0 with input.apps as apps("/srv/data")
	count(rule.deny) == 0 with input.apps as apps("/runner")
}
