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
	denied("/run/docker/containerd/containerd.sock")
	denied("/var/run/podman/podman.sock")
	denied("/home/ada/.docker/run/docker.sock")
	denied("/run/user/1000/podman/podman.sock")
	denied("/run/k3s/containerd/containerd.sock")
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
	denied("/run/user/1000/podman")
	denied("/run/user/1000/docker")
	denied("/run/user/1000/docker/containerd")
	denied("/run/docker/containerd")
	denied("/home/ada/.docker/run")
	denied("/root/.docker")
}

test_the_socket_that_a_host_names_is_denied if {
	every path in ["/opt/engine", "/opt/engine/api"] {
		count(rule.deny) == 1 with input.apps as apps(path)
			with input.hosts as [{"after": {"engine": {"unix": {"path": "/opt//engine/api"}}}}]
	}
	count(rule.deny) == 0 with input.apps as apps("/opt/engines")
		with input.hosts as [{"after": {"engine": {"unix": {"path": "/opt/engine/api"}}}}]
	count(rule.deny) == 0 with input.apps as apps("/opt/engine")
		with input.hosts as [{"after": {"engine": {"tcp": {"host": "192.0.2.1", "port": 2376}}}}, {"after": null}]
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
	allowed("/srv/.dockers")
	allowed("/srv/docker.socket")
	allowed("/srv/notdocker.sock")
}

test_a_volume_is_allowed if count(rule.deny) == 0 with input.apps as app("create", {"/run": {"source": {"volume": "run"}}})

test_what_does_not_change_or_goes_is_not_asked if {
	count(rule.deny) == 1 with input.apps as app("update", {"/x": {"source": {"host": "/run"}}})
	count(rule.deny) == 0 with input.apps as app("none", {"/x": {"source": {"host": "/run"}}})
}

# An app that mounts a volume of these options.
with_volume(driver, options) := [{
	"key": "a-test",
	"change": "create",
	"after": {
		"container": {"mounts": {"/x": {"source": {"volume": "a-test-x"}}}},
		"volumes": {"a-test-x": {"spec": {"driver": driver, "options": options}, "external": false}},
	},
}]

opens(driver, options) if count(rule.deny) == 1 with input.apps as with_volume(driver, options)

opens_nothing(driver, options) if count(rule.deny) == 0 with input.apps as with_volume(driver, options)

bind(path) := {"type": "none", "o": "bind", "device": path}

test_a_volume_that_binds_its_way_there_is_denied if {
	opens("local", bind("/var/run"))
	opens("", bind("/run/docker.sock"))
	opens("local", bind("/"))
	opens("local", bind("var/run/"))
	opens("local", bind("/srv/../run"))
	opens("local", {"type": "none", "o": "ro,rbind", "device": "/run"})
	opens("local", {"type": "tmpfs", "o": "bind", "device": "/run"})
	opens("local", {"type": "nfs", "o": "addr=192.0.2.1,rbind", "device": "/run"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/srv/a:/run,upperdir=/srv/b,workdir=/srv/c"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/srv/a,upperdir=/run"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=run"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/r\\un"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir+=/srv/a,lowerdir+=/run"})
	opens("local", {"type": "overlay", "device": "overlay", "o": "lowerdir+=/srv/a,datadir+=/run"})
	opens("local-persist", {"mountpoint": "/run"})
}

test_a_volume_of_something_else_is_allowed if {
	opens_nothing("local", {})
	opens_nothing("local", bind("/srv/data"))
	opens_nothing("local", {"type": "tmpfs", "device": "/", "o": "size=100m"})
	opens_nothing("local", {"type": "tmpfs", "device": "/"})
	opens_nothing("local", {"type": "nfs", "device": "/", "o": "addr=192.0.2.1"})
	opens_nothing("local", {"type": "nfs4", "device": "/", "o": "addr=192.0.2.1"})
	opens_nothing("local", {"type": "cifs", "device": "//", "o": "addr=192.0.2.1"})
	opens_nothing("local", {"type": "ceph", "device": "/", "o": "name=a"})
	opens_nothing("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/srv/a::/srv/b,upperdir=/srv/c"})
	opens_nothing("local", {"type": "ext4", "device": "/srv/disk", "o": "/run"})
	opens_nothing("local", {"type": "ext4", "device": "/srv/disk"})
	opens_nothing("local-persist", {"mountpoint": "/srv/data"})
	opens_nothing("local-persist", {"name": "run", "device": "var/run"})
}

test_another_apps_volume_is_looked_through if {
	owner := {"key": "b-test", "change": "none", "after": {"volumes": with_volume("local", bind("/run"))[0].after.volumes}}
	user := {
		"key": "a-prod",
		"change": "update",
		"after": {
			"container": {"mounts": {"/x": {"source": {"volume": "a-test-x"}}}},
			"volumes": {"a-test-x": {"spec": {"driver": "local", "options": {}}, "external": true}},
		},
	}
	count(rule.deny) == 1 with input.apps as [owner, user]
}

test_a_volume_that_nothing_changes_is_not_asked if count(rule.deny) == 0 with input.apps as [object.union(
	with_volume("local", bind("/run"))[0],
	{"change": "none"},
)]
