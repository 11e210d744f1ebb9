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

# An app that mounts a volume of these options at /x.
with_volume(driver, options) := [{
	"key": "a-test",
	"change": "update",
	"after": {
		"container": {"mounts": {"/x": {"source": {"volume": "a-test-x"}}}},
		"volumes": {"a-test-x": {"spec": {"driver": driver, "options": options}, "external": false}},
	},
}]

denied(driver, options) if count(rule.deny) == 1 with input.apps as with_volume(driver, options)

allowed(driver, options) if count(rule.deny) == 0 with input.apps as with_volume(driver, options)

bind(path) := {"type": "none", "o": "bind", "device": path}

test_a_volume_that_binds_a_directory_is_denied if {
	denied("local", bind("/var/run"))
	denied("", bind("/var/run"))
	denied("local", {"type": "none", "o": "ro,rbind", "device": "/etc"})
	denied("local", {"o": "bind", "device": "etc"})
	denied("local", {"type": "tmpfs", "o": "bind", "device": "/etc"})
	denied("local", {"type": "nfs", "o": "addr=192.0.2.1,bind", "device": "/etc"})
}

test_a_file_system_of_the_host_is_denied if {
	denied("local", {"type": "ext4", "device": "/dev/sda1"})
	denied("local", {"type": "proc", "device": "proc"})
	denied("local", {"type": "overlay", "device": "/srv/x", "o": "lowerdir=/etc,upperdir=/srv/a,workdir=/srv/b"})
	denied("", {"type": "ext4", "device": "/dev/sda1"})
	count(rule.deny) == 1 with input.apps as with_volume("local", {"type": "ext4", "device": "/srv/disk"})
		with data.parameters.host_mounts as ["/srv"]
}

test_memory_and_servers_are_allowed if {
	allowed("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=100m"})
	allowed("local", {"type": "tmpfs", "device": "tmpfs"})
	allowed("local", {"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1,rw"})
	allowed("local", {"type": "nfs4", "device": ":/", "o": "addr=192.0.2.1"})
	allowed("local", {"type": "cifs", "device": "//nas.example/share", "o": "addr=192.0.2.1"})
	allowed("local", {"type": "ceph", "device": "192.0.2.1:/", "o": "name=a"})
	allowed("local", {"size": "10G"})
	allowed("local", {})
}

test_another_drivers_path_is_denied_and_its_words_are_not if {
	denied("local-persist", {"mountpoint": "/etc"})
	allowed("sshfs", {"sshcmd": "ada@nas.example:/srv", "type": "anything"})
	allowed("pictures", {"o": "bind", "device": "etc"})
}

test_a_listed_directory_may_be_bound if {
	count(rule.deny) == 0 with input.apps as with_volume("local", bind("/var/log/a"))
		with data.parameters.host_mounts as ["/var/log"]
	count(rule.deny) == 1 with input.apps as with_volume("local", bind("/var/log/../run"))
		with data.parameters.host_mounts as ["/var/log"]
	count(rule.deny) == 0 with input.apps as with_volume("local-persist", {"mountpoint": "/var/log/a"})
		with data.parameters.host_mounts as ["/var/log"]
}

# One app declares it, another one mounts it as somebody else's.
borrowed(options) := [
	{
		"key": "b-test",
		"change": "none",
		"after": {
			"container": {"mounts": {}},
			"volumes": {"b-test-x": {"spec": {"driver": "local", "options": options}, "external": false}},
		},
	},
	{
		"key": "a-prod",
		"change": "create",
		"after": {
			"container": {"mounts": {"/x": {"source": {"volume": "b-test-x"}}}},
			"volumes": {"b-test-x": {"spec": {"driver": "local", "options": {}}, "external": true}},
		},
	},
	{"key": "c-test", "change": "remove", "after": null},
]

test_another_apps_volume_is_looked_through if {
	count(rule.deny) == 1 with input.apps as borrowed(bind("/etc"))
	count(rule.deny) == 1 with input.apps as borrowed({"type": "ext4", "device": "/dev/sda1"})
	count(rule.deny) == 0 with input.apps as borrowed({})
}
