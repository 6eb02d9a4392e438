package nstest

import (
	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
	"nobox/terminal"
)

// Home is ana's, and Project where she works.
const (
	Home    = "/home/ana"
	Project = "/home/ana/project"
)

// Host is the tree of a usual machine.
func Host() Tree {
	t := Tree{
		"/bin": Link("usr/bin"), "/lib": Link("usr/lib"), "/sbin": Link("usr/sbin"),
		"/usr/bin/bash": File, "/usr/bin/sh": Link("bash"), "/usr/bin/id": File, "/usr/sbin": Dir, "/usr/lib": Dir,
		"/usr/local/bin/nobox": File, "/usr/bin/newuidmap": File, "/usr/bin/newgidmap": File,
		"/etc/passwd":   Text("root:x:0:0:root:/root:/bin/bash\nana:x:1000:1000:Ana:/home/ana:/bin/bash\nwww-data:x:33:33::/var/www:/bin/false\n"),
		"/etc/group":    Text("root:x:0:\ntty:x:5:\naudio:x:29:ana\nwww-data:x:33:\nana:x:1000:\n"),
		"/etc/hosts":    Text("127.0.0.1 localhost\n192.0.2.7 printer\n"),
		"/etc/hostname": Text("elsewhere\n"), "/etc/resolv.conf": Text("nameserver 192.0.2.53\n"),
		"/tmp": Dir, "/run/user/1000": Dir, "/var/tmp": Dir, "/var/lib": Dir, "/root": Dir, "/srv/data/in": Dir, "/srv/data/file": File,
		"/srv/cache": Dir, "/mnt": Dir, "/opt": Dir,
		Home + "/.ssh/id_ed25519": File, Home + "/.bash_history": File, Home + "/.config/gh": Dir, Home + "/.netrc": File,
		Project + "/main.c": File,
		"/dev/null":         Device(1, 3), "/dev/zero": Device(1, 5), "/dev/full": Device(1, 7),
		"/dev/random": Device(1, 8), "/dev/urandom": Device(1, 9), "/dev/tty": Device(5, 0), "/dev/sda": Node{Kind: host.Other},
		"/proc/self": Link("1"),
	}
	for _, d := range []string{
		"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware",
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
	} {
		t[d] = Dir
	}
	for _, f := range []string{
		"/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sysrq-trigger", "/proc/sys/kernel/ns_last_pid",
	} {
		t[f] = File
	}
	return t
}

// Root is a complete root tree at a path.
func Root(at string) Tree {
	t := Tree{}
	for p, n := range map[string]Node{
		"/usr/bin/sh": File, "/usr/bin/bash": File, "/bin": Link("usr/bin"),
		"/etc/passwd": Text("root:x:0:0:root:/root:/bin/bash\nbuild:x:1000:1000::/home/build:/bin/sh\nhigh:x:70000:70000::/:/bin/sh\n"),
		"/etc/group":  Text("root:x:0:\nbuild:x:1000:\ndocker:x:999:build,ana\nhigh:x:70000:build\n"),
		"/etc/hosts":  File, "/etc/hostname": File, "/etc/resolv.conf": Link("../run/systemd/resolve/stub-resolv.conf"),
		"/proc": Dir, "/sys": Dir, "/dev": Dir, "/tmp": Dir, "/run": Dir, "/var/tmp": Dir, "/root": Dir, "/home/build": Dir,
	} {
		t[at+p] = n
	}
	return t
}

// Bare is a root tree of one static binary.
func Bare(at string) Tree { return Tree{at + "/bin/busybox": File} }

// Facts are those of a machine with Linux 6.12, of an ordinary user with
// ranges, in a directory of the home, with no terminal; each call makes new
// ones. What Compile asks beyond them is for the tree to answer.
func Facts() *host.Facts {
	helper := func(name string) host.Helper {
		return host.Helper{Name: name, Path: plan.HostPath("/usr/bin/" + name)}
	}
	return &host.Facts{
		IDs: host.IDs{
			UID: 1000, GID: 1000, User: "ana",
			SubUID:    host.Subordinate{File: "/etc/subuid", Ranges: []host.Range{{Start: 100000, Count: 65536}}},
			SubGID:    host.Subordinate{File: "/etc/subgid", Ranges: []host.Range{{Start: 100000, Count: 65536}}},
			NewUIDMap: helper("newuidmap"), NewGIDMap: helper("newgidmap"),
		},
		Kernel: [2]int{6, 12}, Release: "6.12.0", LastCap: unix.CAP_CHECKPOINT_RESTORE, Landlock: 6,
		Cwd: Project, Homes: []plan.HostPath{Home}, Home: Home, Exe: "/usr/local/bin/nobox",
		Env: []string{
			"SHELL=/bin/bash", "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + Home, "TERM=xterm", "LANG=C.UTF-8",
			"LC_TIME=de_DE.UTF-8", "SSH_AUTH_SOCK=/run/user/1000/agent", "TOKEN=hunter2",
		},
		NetStack: true,
		NetHelper: host.Tool{Path: "/usr/bin/slirp4netns", Version: "slirp4netns version 1.2.0\nlibseccomp: 2.5.4\n",
			Help: "--configure --mtu= --disable-host-loopback --enable-ipv6 --enable-sandbox --enable-seccomp --ready-fd= --exit-fd= " +
				"--foreground --quiet --config-net --ns-ifname NAME --pid FILE --tcp-ports --udp-ports --tcp-ns --udp-ns --no-map-gw --dns-forward ADDR\n"},
		IPv6Loopback: true,
		Umask:        0o022, NoFile: [2]uint64{1024, 524288},
		Streams: terminal.Streams{FD: -1},
	}
}

// OnTerminal puts the facts on a terminal, with stderr elsewhere.
func OnTerminal(f *host.Facts) {
	f.Streams = terminal.Streams{TTY: [3]bool{true, true, false}, Size: unix.Winsize{Row: 24, Col: 80}}
}

// Cgroups are those of a machine with systemd, of a user who is logged in: all
// controllers but those that systemd does not delegate by itself.
func Cgroups() *host.Cgroups {
	return &host.Cgroups{
		Mode: host.CgroupUnified, Mount: "/sys/fs/cgroup", Systemd: true, CPUs: 4,
		Kernel: []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"},
		Here:   host.CgroupDir{Path: "/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope", Populated: true, Type: "domain"},
		Manager: host.Manager{
			Buses:   []plan.Bus{{Address: "unix:path=/run/user/1000/systemd/private", Direct: true}, {Address: "unix:path=/run/user/1000/bus"}},
			Runtime: "/run/user/1000", HasRuntime: true, Known: true, Given: []string{"cpu", "memory", "pids"},
		},
	}
}

// Delegated are those of a container without systemd, whose cgroup is the
// caller's.
func Delegated() *host.Cgroups {
	all := []string{"cpuset", "cpu", "io", "memory", "pids"}
	return &host.Cgroups{
		Mode: host.CgroupUnified, Mount: "/sys/fs/cgroup", CPUs: 4,
		Here:    host.CgroupDir{Path: "/sys/fs/cgroup", Controllers: all, Populated: true, Writable: true, Type: "domain"},
		Manager: host.Manager{Runtime: "/run/user/1000"},
	}
}
