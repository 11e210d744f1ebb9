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

test_disks_memory_and_consoles_are_denied if {
	every path in [
		"/dev", "/dev/", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/sda", "/dev/sda1", "/dev/vda", "/dev/hdb",
		"/dev/xvda", "/dev/nvme0", "/dev/nvme0n1", "/dev/ng0n1", "/dev/mmcblk0", "/dev/dm-0", "/dev/md0", "/dev/md/root",
		"/dev/md127", "/dev/loop0", "/dev/zd0", "/dev/nbd0", "/dev/rbd0", "/dev/bcache0", "/dev/mapper/root", "/dev/vg/root",
		"/dev/ubuntu-vg/ubuntu-lv", "/dev/disk", "/dev/disk/by-id/x", "/dev/disk/by-uuid/x", "/dev/block/8:0", "/dev/fd/3",
		"/dev/sg0", "/dev/bsg/0:0:0:0", "/dev/mtd0", "/dev/pmem0", "/dev/cpu/0/msr", "/dev/console", "/dev/tty0", "/dev/tty1",
		"/dev/pts/0", "/dev/uinput", "/dev/input/event0", "/dev/hidraw0", "/dev/bus/usb", "/dev/vfio/1",
	] {
		count(rule.deny) == 1 with input.apps as apps(device(path))
	}
}

test_another_spelling_or_place_of_a_device_is_denied if {
	every path in [
		"/proc/1/root/dev/sda", "/proc/1/root/dev/null", "//dev//sda", "/dev/./sda", "/srv/dev/sda", "/srv/dev/null",
		"/dev/dri/../sda", "/dev/snd/..", "/dev/memory", "/dev/null/x", "/dev/nullx", "/dev/xnull", "dev/null", "/dev/kvm2",
		"/dev/net", "/dev/serial", "/dev/nvidia/../sda",
	] {
		count(rule.deny) == 1 with input.apps as apps(device(path))
	}
}

test_harmless_devices_are_allowed if {
	every path in [
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/kmsg", "/dev/fuse", "/dev/kvm",
		"/dev/net/tun", "/dev/ttyUSB0", "/dev/ttyACM1", "/dev/ttyS0", "/dev/ttyAMA10", "/dev/serial/by-id/usb-a_b-if00-port0",
		"/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0", "/dev/snd", "/dev/snd/", "/dev/snd/pcmC0D0p", "/dev/video0",
		"/dev/v4l/by-id/usb-a-video-index0", "/dev/dri", "/dev/dri/card0", "/dev/dri/renderD128", "/dev/kfd", "/dev/nvidia0",
		"/dev/nvidiactl", "/dev/nvidia-uvm",
	] {
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

# An app that declares a volume of these options.
with_volume(change, driver, options) := [{
	"key": "a-test",
	"change": change,
	"after": {
		"container": plain,
		"volumes": {"a-test-x": {"spec": {"driver": driver, "options": options}, "external": false}},
	},
}]

denied(driver, options) if count(rule.deny) == 1 with input.apps as with_volume("create", driver, options)

allowed(driver, options) if count(rule.deny) == 0 with input.apps as with_volume("create", driver, options)

test_a_disk_by_a_volumes_options_is_denied if {
	every path in [
		"/dev/sda1", "//dev/vg/root", "dev/sda1", "/./dev/sda1", "../dev/sda1", "/srv/../dev/sda1", "/srv/a/../../dev/sda1",
		"/proc/1/root/dev/sda1", "/proc/self/root/dev/mapper/x", "/srv/disk.img", "LABEL=root",
	] {
		denied("local", {"type": "ext4", "device": path})
	}
	every type in ["xfs", "btrfs", "vfat", "none", "auto", "", "TMPFS", "nfs,ext4"] {
		denied("local", {"type": type, "device": "/dev/sda1"})
	}
	denied("", {"type": "ext4", "device": "/dev/sda1"})
	denied("local", {"type": "ext4", "device": "/dev/sda1", "o": "ro,noatime"})
	denied("local", {"device": "/dev/sda1"})
	denied("local", {"type": "overlay", "device": "overlay", "o": "lowerdir=/,upperdir=/srv/a,workdir=/srv/b"})
}

test_the_kernels_own_file_systems_are_denied if {
	every type in [
		"proc", "sysfs", "debugfs", "cgroup", "cgroup2", "binfmt_misc", "devtmpfs", "devpts", "tracefs", "configfs", "bpf",
		"securityfs", "efivarfs", "fusectl", "mqueue", "pstore", "hugetlbfs",
	] {
		denied("local", {"type": type, "device": type})
	}
	denied("local", {"type": "proc", "device": "tmpfs", "o": "ro"})
	denied("local", {"type": "proc"})
}

test_memory_servers_and_plain_volumes_are_allowed if {
	allowed("local", {})
	allowed("local", {"size": "10G"})
	allowed("local", {"type": "tmpfs", "device": "tmpfs", "o": "size=100m"})
	every path in [":/export", ":/dev/x", "//nas.example/dev", "192.0.2.1:/"] {
		every type in ["nfs", "nfs4", "cifs", "ceph"] {
			allowed("local", {"type": type, "device": path, "o": "addr=192.0.2.1"})
		}
	}
}

test_what_is_bound_is_left_to_the_rules_about_directories if {
	every word in ["bind", "rbind"] {
		allowed("local", {"type": "none", "device": "/dev/shm/x", "o": sprintf("ro,%s", [word])})
		allowed("local", {"type": "ext4", "device": "/srv/x", "o": word})
	}
	denied("local", {"type": "ext4", "device": "/dev/sda1", "o": "ro,binding"})
}

test_another_drivers_path_into_the_kernel_is_denied_and_its_words_are_not if {
	every path in [
		"/dev", "/dev/sda1", "//dev/sda1", "/./dev/sda1", "/proc/1/root/srv", "/sys/kernel", "/srv/../dev/sda1", "/srv/..",
	] {
		denied("local-persist", {"mountpoint": path})
	}
	allowed("local-persist", {"mountpoint": "/srv/dev/x"})
	allowed("local-persist", {"mountpoint": "/device"})
	allowed("sshfs", {"sshcmd": "ada@nas.example:/dev", "type": "proc"})
	allowed("pictures", {"device": "dev/sda1", "of": "../x"})
}

test_volumes_that_do_not_change_are_not_asked if {
	count(rule.deny) == 0 with input.apps as with_volume("none", "local", {"type": "ext4", "device": "/dev/sda1"})
	count(rule.deny) == 0 with input.apps as with_volume("none", "other", {"mountpoint": "/dev"})
}

# One app declares it, another one mounts it as somebody else's.
borrowed(driver, options) := [
	with_volume("none", driver, options)[0],
	{
		"key": "b-prod",
		"change": "create",
		"after": {
			"container": plain,
			"volumes": {"a-test-x": {"spec": {"driver": "local", "options": {}}, "external": true}},
		},
	},
	{"key": "c-test", "change": "remove", "after": null},
]

test_another_apps_volume_is_looked_through if {
	{finding.app | some finding in rule.deny} == {"b-prod"}
		with input.apps as borrowed("local", {"type": "ext4", "device": "/dev/sda1"})
	{finding.app | some finding in rule.deny} == {"b-prod"} with input.apps as borrowed("other", {"mountpoint": "/dev/sda1"})
	count(rule.deny) == 0 with input.apps as borrowed("local", {})
	other := {"b-test-x": {"spec": {"driver": "local", "options": {}}, "external": true}}
	apps_of_others := [
		borrowed("local", {"type": "proc"})[0],
		{"key": "b-prod", "change": "create", "after": {"container": plain, "volumes": other}},
	]
	count(rule.deny) == 0 with input.apps as apps_of_others
}
