package trueup.no_docker_socket_test

import rego.v1

import data.trueup.no_docker_socket as rule

app(change, mounts) := [{"key": "a-test", "change": change, "after": {"container": {"mounts": mounts}}}]

apps(path) := app("create", {"/x": {"source": {"host": path}}})

denied(path) if count(rule.deny) == 1 with input.apps as apps(path)

allowed(path) if count(rule.deny) == 0 with input.apps as apps(path)

test_the_sockets_are_denied if {
	denied("/var/run/docker.sock")
	denied("/run/docker.sock")
	denied("/run/containerd/containerd.sock")
	denied("/var/run/podman/podman.sock")
	denied("/home/ada/.docker/run/docker.sock")
}

test_a_directory_above_it_is_denied if {
	denied("/")
	denied("/run")
	denied("/run/containerd")
	denied("/run/podman")
	denied("/var")
	denied("/var/run/")
	denied("/run/user")
	denied("/run/user/1000")
}

test_no_spelling_leads_past_it if {
	denied("//")
	denied("/var/./run")
	denied("/run//")
	denied("//var//run//docker.sock")
}

test_no_process_leads_past_it if {
	denied("/proc/1/root/run")
	denied("/proc/1/root")
	denied("/proc/self/cwd")
	denied("/proc/1/task/1/fd/3")
	denied("/dev/fd/3")
	denied("/dev/fd")
}

test_another_directory_is_allowed if {
	allowed("/srv/data")
	allowed("/runner")
	allowed("/run/app")
	allowed("/run/user/1000/app")
	allowed("/run/users")
	allowed("/var/log")
	allowed("/var/runner")
	allowed("/proc/meminfo")
	allowed("/srv/proc/1/root")
	allowed("/dev/fdx")
	allowed("/srv/dev/fd")
	allowed("/srv/run/user")
}

test_a_volume_is_allowed if count(rule.deny) == 0 with input.apps as app("create", {"/run": {"source": {"volume": "run"}}})

test_what_does_not_change_or_goes_is_not_asked if {
	count(rule.deny) == 1 with input.apps as app("update", {"/x": {"source": {"host": "/run"}}})
	count(rule.deny) == 0 with input.apps as app("none", {"/x": {"source": {"host": "/run"}}})
}
