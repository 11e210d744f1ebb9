package trueup.no_privileged_test

import rego.v1

import data.trueup.no_privileged as rule

plain := {"privileged": false, "cap_add": [], "security_opt": ["no-new-privileges"], "devices": {}}

app(change, fields) := [{"key": "a-test", "change": change, "after": {"container": object.union(plain, fields)}}]

apps(fields) := app("update", fields)

device(path) := {"devices": {"/dev/x": {"host": path, "permissions": "rwm"}}}

test_a_plain_container_is_allowed if {
	count(rule.deny) == 0 with input.apps as apps({"cap_add": ["NET_ADMIN"]})
}

test_privileged_is_denied if {
	count(rule.deny) == 1 with input.apps as apps({"privileged": true})
	count(rule.deny) == 1 with input.apps as app("create", {"privileged": true})
}

test_what_does_not_change_is_not_asked if {
	all := object.union(device("/dev/sda"), {"privileged": true, "cap_add": ["ALL"], "security_opt": ["label=disable"]})
	count(rule.deny) == 0 with input.apps as app("none", all)
	count(rule.deny) == 4 with input.apps as app("update", all)
}

test_capabilities_that_amount_to_it_are_denied if {
	every name in [
		"ALL", "all", "SYS_ADMIN", "CAP_SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "cap_dac_read_search",
	] {
		count(rule.deny) == 1 with input.apps as apps({"cap_add": [name]})
	}
}

test_disks_and_memory_are_denied if {
	every path in [
		"/dev", "/dev/", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/sda", "/dev/sda1", "/dev/vda", "/dev/hdb",
		"/dev/xvda", "/dev/nvme0n1", "/dev/mmcblk0", "/dev/dm-0", "/dev/md0", "/dev/md/root", "/dev/loop0", "/dev/zd0",
		"/dev/nbd0", "/dev/rbd0", "/dev/bcache0", "/dev/mapper/root", "/dev/disk/by-id/x", "/dev/block/8:0", "/dev/disk",
		"/dev/fd/3", "/proc/1/root/dev/sda", "//dev//sda", "/dev/./sda",
	] {
		count(rule.deny) == 1 with input.apps as apps(device(path))
	}
}

test_other_devices_are_allowed if {
	every path in ["/dev/fuse", "/dev/ttyUSB0", "/dev/dri/card0", "/dev/net/tun", "/dev/snd", "/dev/memory", "/srv/dev/sda"] {
		count(rule.deny) == 0 with input.apps as apps(device(path))
	}
}

test_switched_off_confinement_is_denied if {
	every option in [
		"apparmor=unconfined", "seccomp=unconfined", "seccomp:unconfined", "systempaths=unconfined", "label=disable",
		"label:disable",
	] {
		count(rule.deny) == 1 with input.apps as apps({"security_opt": [option]})
	}
}

test_confinement_of_its_own_is_allowed if {
	count(rule.deny) == 0 with input.apps as apps({"security_opt": ["apparmor=mine", "label=type:mine"]})
}

volume(options) := [{
	"key": "a-test",
	"change": "create",
	"after": {"container": plain, "volumes": {"a-test-x": {"spec": {"driver": "local", "options": options}}}},
}]

test_a_disk_by_a_volumes_options_is_denied if {
	every path in ["/dev/sda1", "//dev/vg/root", "dev/sda1", "/./dev/sda1", "../dev/sda1", "/srv/../dev/sda1"] {
		count(rule.deny) == 1 with input.apps as volume({"type": "ext4", "device": path})
	}
	count(rule.deny) == 1 with input.apps as volume({"type": "ext4", "device": "/dev/sda1", "o": "ro,noatime"})
	every path in [":/export", ":/dev/x", "//nas.example/dev", "/srv/dev/x", "/device"] {
		count(rule.deny) == 0 with input.apps as volume({"type": "nfs", "device": path, "o": "addr=192.0.2.1"})
	}
	every word in ["bind", "rbind"] {
		count(rule.deny) == 0 with input.apps as volume({"device": "/dev/shm/x", "o": sprintf("ro,%s", [word])})
	}
	count(rule.deny) == 0 with input.apps as volume({})
	count(rule.deny) == 0 with input.apps as [object.union(volume({"device": "/dev/sda1"})[0], {"change": "none"})]
}

test_the_kernels_own_file_systems_are_denied if {
	every type in ["proc", "sysfs", "debugfs", "cgroup"] {
		count(rule.deny) == 1 with input.apps as volume({"type": type, "device": type})
	}
	count(rule.deny) == 0 with input.apps as volume({"type": "tmpfs", "device": "tmpfs"})
	count(rule.deny) == 0 with input.apps as [object.union(volume({"type": "proc"})[0], {"change": "none"})]
}
