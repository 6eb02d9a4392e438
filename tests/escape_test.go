package tests

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// layBait lays out what the payload "escape" looks for: sockets that answer,
// a secret file, a variable, a process.
func layBait(t *testing.T, p place) bait {
	t.Helper()
	b := bait{"secret": "s3cret-of-the-caller"}
	answer := func(l net.Listener, err error) net.Listener {
		connections(t, l, err, func(c net.Conn) {
			c.Write([]byte("bait!"))
			c.Close()
		})
		return l
	}
	b["abstract"] = fmt.Sprintf("nobox-bait-%d-%d", os.Getpid(), time.Now().UnixNano())
	answer(net.Listen("unix", "@"+b["abstract"]))
	b["socket"] = filepath.Join(p.home, "s")
	answer(net.Listen("unix", b["socket"]))
	b["tcp"] = answer(net.Listen("tcp", "127.0.0.1:0")).Addr().String()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	go func() {
		var buf [16]byte
		for {
			_, from, err := udp.ReadFrom(buf[:])
			if err != nil {
				return
			}
			udp.WriteTo([]byte("bait!"), from)
		}
	}()
	b["udp"] = udp.LocalAddr().String()
	// Memory and a queue of System V's, which every process of the uid may use.
	shm, _, e := unix.Syscall(unix.SYS_SHMGET, 0, 4096, unix.IPC_CREAT|0o600) // IPC_PRIVATE
	if e != 0 {
		t.Fatal(e)
	}
	t.Cleanup(func() { unix.Syscall(unix.SYS_SHMCTL, shm, unix.IPC_RMID, 0) })
	if mem, err := unix.SysvShmAttach(int(shm), 0, 0); err != nil {
		t.Fatal(err)
	} else {
		copy(mem, "bait!")
		unix.SysvShmDetach(mem)
	}
	b["shm"] = strconv.Itoa(int(shm))
	b["file"] = filepath.Join(p.home, "secret")
	if err := os.WriteFile(b["file"], []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b["stdin"] = filepath.Join(p.home, "stdin")
	if err := os.WriteFile(b["stdin"], []byte("read me"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		to, err := os.Readlink("/proc/self/ns/" + n)
		if err != nil {
			t.Fatal(err)
		}
		b["ns_"+n] = to
	}
	b["pid"] = strconv.Itoa(os.Getpid())
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	b["comm"] = strings.TrimSpace(string(comm))
	return b
}

// finding is what the payload says of one probe.
type finding struct {
	open bool
	what string
}

// tryEscape runs the payload behind line, started by a caller who has a key in
// the session keyring, files open that are not close-on-exec, a file as stdin, and a
// secret variable.
func tryEscape(t *testing.T, p place, b bait, line []string) map[string]finding {
	t.Helper()
	for name, value := range b {
		line = append(line, name+"="+value)
	}
	c := p.command(self(t), append([]string{"payload:with-key"}, line...)...)
	c.Env = append(c.Env, "TOKEN="+b["secret"])
	stdin, err := os.Open(b["stdin"])
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	c.Stdin = stdin
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", line[:min(len(line), 12)], err, out, stderr.String())
	}
	all := map[string]finding{}
	for l := range strings.Lines(string(out)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " ")
		verdict, what, ok := strings.Cut(rest, " ")
		if !ok || verdict != "open" && verdict != "shut" {
			t.Fatalf("the payload says %q", l)
		}
		all[name] = finding{verdict == "open", what}
	}
	for _, x := range probes() {
		if _, ok := all[x.name]; !ok {
			t.Fatalf("no word about %s in\n%s", x.name, out)
		}
	}
	return all
}

// A probe that could not find anything open would hold nothing.
func TestEachProbeFindsOpenWhatNothingCloses(t *testing.T) {
	asUser(t)
	p := newPlace(t)
	all := tryEscape(t, p, layBait(t, p), []string{self(t), "payload:escape"})
	for _, x := range probes() {
		if x.control == shown && !all[x.name].open {
			t.Errorf("%s: shut outside: %s", x.name, all[x.name].what)
		}
	}
}

// bwrap shows the same as far as it leaves things open: the probes work in a
// sandbox too.
func TestTheProbesFindWhatAnotherSandboxLeavesOpen(t *testing.T) {
	asUser(t)
	need(t, "userns", "bwrap")
	p := newPlace(t)
	all := tryEscape(t, p, layBait(t, p), []string{"/usr/bin/bwrap", "--ro-bind", "/", "/", "--unshare-all", "--proc", "/proc", "--dev", "/dev",
		"--tmpfs", "/tmp", self(t), "payload:escape"})
	for _, name := range []string{"sys_unshare_user", "sys_keyctl", "sys_ioctl_tiocsti", "sys_clone3_user", "fd_leak", "env_secret", "proc_environ", "keyring", "unix_path_home", "home_secret"} {
		if !all[name].open {
			t.Errorf("%s is shut: %s", name, all[name].what)
		}
	}
	for _, name := range []string{"abstract_host", "loopback_host", "pid_host", "ns", "nonewprivs"} {
		if all[name].open {
			t.Errorf("%s is open: %s", name, all[name].what)
		}
	}
}

func TestNothingGetsOut(t *testing.T) {
	asUser(t)
	need(t, "userns")
	type mode struct {
		name, need string
		flags      []string
		open       []string // what the mode is for
	}
	modes := []mode{
		{"host view", "", nil, nil},
		{"root alone", "", []string{"-r"}, []string{"setgroups_dropped"}},
		{"caller", "", []string{"-c"}, nil},
		{"as pid 1", "", []string{"--as-pid-1"}, []string{"init_exe", "init_mem", "proc_environ"}}, // pid 1 is the command
		{"host network", "", []string{"--net=host"}, []string{"loopback_host", "udp_host", "ns"}},
		{"user network", "tun", []string{"--net=user"}, nil},
		{"home", "", []string{"--home=ro"}, []string{"home_secret", "unix_path_home"}},
		{"another user", "subids", []string{"-u", "1000:1000", "--cwd=hidden", "-w", "/"}, nil},
		{"rootfs", "busybox", []string{"--rootfs", ""}, []string{"write_outside"}}, // the root is DIR, writable
		{"rootfs, read-only", "busybox", []string{"--rootfs", "", "--read-only"}, nil},
		{"rootfs, caller", "busybox", []string{"-c", "--rootfs", ""}, []string{"write_outside"}},
		{"no capability", "", []string{"--cap-drop=ALL"}, nil},
		{"overlay", "", []string{"-r", "--overlay"}, []string{"write_outside"}}, // into the overlay
		{"home overlaid", "", []string{"-r", "--home=overlay"}, []string{"home_secret"}},
		{"as pid 1, caller", "", []string{"-c", "--as-pid-1"}, []string{"init_exe", "init_mem", "proc_environ"}},
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			if m.need != "" {
				need(t, m.need)
			}
			p := newPlace(t)
			b := layBait(t, p)
			flags := slices.Clone(m.flags)
			if i := slices.Index(flags, ""); i >= 0 {
				flags[i] = busyboxRoot(t)
			} else {
				// nobox's own binary, where the box may write.
				b["nobox"] = filepath.Join(p.work, "nobox")
				data, err := os.ReadFile(nobox)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(b["nobox"], data, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			line := boxed(t, flags, "escape")
			if slices.Contains(flags, "--net=user") {
				b["net"] = "user"
			}
			if slices.Contains(flags, "--net=host") || slices.Contains(flags, "--net=user") {
				line = slices.DeleteFunc(line, func(s string) bool { return s == "--net=none" })
			}
			if b["nobox"] != "" {
				line[0] = b["nobox"]
			}
			all := tryEscape(t, p, b, line)
			for _, x := range probes() {
				may := slices.Contains(m.open, x.name)
				if x.name == "abstract_host" && m.name == "host network" && noLandlock(6) != "" || x.name == "stdin_write" && noLandlock(2) != "" {
					continue // nothing else keeps it
				}
				switch f := all[x.name]; {
				case f.open && !may:
					t.Errorf("%s is open: %s", x.name, f.what)
				case !f.open && may && x.control == shown:
					t.Errorf("%s is shut, which the flag opens: %s", x.name, f.what)
				}
			}
			if b["nobox"] != "" {
				before, err1 := os.ReadFile(nobox)
				after, err2 := os.ReadFile(b["nobox"])
				if err1 != nil || err2 != nil || !bytes.Equal(before, after) {
					t.Errorf("nobox's binary is not what it was: %v %v", err1, err2)
				}
			}
		})
	}
}

// A command that joins a box is held as the box's own is.
func TestNothingGetsOutOfABoxByACommandThatJoins(t *testing.T) {
	asUser(t)
	need(t, "userns")
	for _, flags := range [][]string{nil, {"-r"}, {"-c"}, {"-r", "--as-pid-1"}} {
		p := newPlace(t)
		b := layBait(t, p)
		line := boxed(t, append([]string{"--name", "web"}, flags...), "recorded")
		line = append(line[:len(line)-2], "sleep", "600")
		c := p.command(line[0], line[1:]...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for limit := time.Now().Add(patience); p.command(nobox, "exec", "web", "--", "true").Run() != nil; {
			if time.Now().After(limit) {
				t.Fatalf("%q: no box to join", flags)
			}
		}
		all := tryEscape(t, p, b, []string{nobox, "exec", "web", "--", "/tmp/self", "payload:escape"})
		if err := c.Process.Kill(); err != nil {
			t.Error(err)
		}
		c.Wait()
		for _, x := range probes() {
			may := slices.Contains(flags, "-r") && x.name == "setgroups_dropped" ||
				slices.Contains(flags, "--as-pid-1") && (x.name == "init_exe" || x.name == "init_mem" || x.name == "proc_environ") // of the box's own command
			if f := all[x.name]; f.open && !may {
				t.Errorf("%q: %s is open: %s", flags, x.name, f.what)
			}
		}
	}
}

// ownNobox is a copy of nobox that the box could change but for the mounts.
func ownNobox(t *testing.T, p place) string {
	t.Helper()
	data, err := os.ReadFile(nobox)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(p.home, "nobox")
	if err := os.WriteFile(own, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return own
}

func expectMode(t *testing.T, what, file string) {
	t.Helper()
	if st, err := os.Stat(file); err != nil || st.Mode() != 0o755 {
		t.Errorf("%s: nobox's file has mode %v, %v", what, st.Mode(), err)
	}
}

// A root may lead the command to nobox itself, by /proc/self/exe, and have files
// that make nobox run a program of the root's: /proc/PPID/exe is then a file of the
// host's, on the host's mount (CVE-2019-5736).
func TestARootThatLeadsToNoboxItselfDoesNotChangeItsFile(t *testing.T) {
	asUser(t)
	need(t, "userns", "busybox")
	p := newPlace(t)
	own, root := ownNobox(t, p), busyboxRoot(t)
	if err := os.MkdirAll(root+"/usr/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Rename(root+"/bin/sh", root+"/bin/busybox"),
		os.Symlink("/proc/self/exe", root+"/bin/sh"),
		os.WriteFile(root+"/bin/script", []byte("#!/proc/self/exe\n"), 0o755),
		os.WriteFile(root+"/etc/nsswitch.conf", []byte("subid: sss\n"), 0o644),
		os.WriteFile(root+"/usr/bin/getsubids", []byte("#!/bin/busybox sh\n/bin/busybox chmod 4777 /proc/$PPID/exe\n"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{nil, {"--", "sh"}, {"--", "/bin/script"}} {
		for _, flags := range [][]string{nil, {"-r"}, {"-c"}, {"-r", "--as-pid-1"}, {"-r", "--read-only"}, {"-r", "--allow-userns"}, {"-r", "--cap-add=ALL"}} {
			line := slices.Concat([]string{"--net=none", "--rootfs", root}, flags, command)
			_, stderr, code := run(t, p.command(own, line...), "")
			if code != 125 || !strings.Contains(stderr, "cannot start nobox by /proc/self/exe: ") {
				t.Errorf("%q: %d, %s", line, code, stderr)
			}
			expectMode(t, fmt.Sprint(line), own)
		}
	}
}

// execve looks the command's file up before it closes what is close-on-exec: a root's
// /bin/sh may be a link through a descriptor of nobox's, which leads to the host's
// tree (CVE-2024-21626). --overlay-dir has nobox hold a directory.
func TestACommandIsNotLookedUpThroughADescriptorOfNobox(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Mkdir(p.home+"/keep", 0o700), os.Mkdir(p.home+"/hidden", 0o700), os.WriteFile(p.home+"/hidden/true", data, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	detached(t, p, "web", []string{"-r"}, "sleep", "600")
	for _, line := range [][]string{
		{"-r", "--net=none", "--cwd=overlay", "--overlay-dir", p.home + "/keep"},
		{"-r", "--net=none", "--cwd=overlay", "--overlay-dir", p.home + "/keep", "--as-pid-1"},
		{"-r", "--net=none", "--name", "one"},
		{"exec", "web"},
	} {
		for fd := 3; fd < 24; fd++ {
			for _, file := range []string{"/../hidden/true", "/../../../../../../../../bin/true", "/bin/true"} {
				full := append(slices.Clone(line), "--", fmt.Sprintf("/proc/self/fd/%d%s", fd, file))
				_, stderr, code := run(t, p.command(nobox, full...), "")
				if code != 126 && code != 127 || !strings.Contains(stderr, "nobox: cannot run /proc/self/fd/") {
					t.Errorf("%q: %d, %s", full, code, stderr)
				}
			}
		}
	}
}

// What joins a box is nobox until it is the command, and nobox again if that leads to
// /proc/self/exe. What runs in the box already may look for it, if Landlock does not
// keep them apart: then it finds a copy.
func TestWhatRunsInABoxCannotChangeTheFileOfANoboxThatJoins(t *testing.T) {
	asUser(t)
	need(t, "userns", "strace")
	// One id: under strace newuidmap has no privileges.
	for _, flags := range [][]string{{"-r"}, {"-r", "--as-pid-1"}, {"-r", "--cap-add=ALL"}} {
		p := newPlace(t)
		own := ownNobox(t, p)
		if err := os.WriteFile(p.work+"/script", []byte("#!/proc/self/exe\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		without := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset", "-e", "inject=landlock_create_ruleset:error=ENOSYS"}
		line := boxed(t, append([]string{"--name", "web"}, flags...), "grab-exe")
		line[0] = own
		b := start(t, p.command("strace", append(without, line...)...))
		until(t, "a box to join", func() bool { return p.command(own, "exec", "web", "--", "true").Run() == nil })
		until(t, "the box has found a nobox", func() bool {
			p.command("strace", append(without, own, "exec", "web", "--", p.work+"/script")...).Run()
			select {
			case <-b.done:
				return true
			default:
				return false
			}
		})
		b.expectLine(t, "changed /memfd:nobox (deleted)")
		expectMode(t, fmt.Sprint(flags), own)
	}
}

// A flag that loosens opens what it says and nothing else.
func TestAFlagOpensWhatItSays(t *testing.T) {
	asUser(t)
	need(t, "userns")
	for _, tt := range []struct{ flags, opens string }{
		{"--allow-userns", "stdin_write sys_unshare_user sys_clone_user sys_clone_user_hibits sys_clone_net sys_clone3_user sys_setns sys_unshare_time " +
			"sys_open_tree sys_mount_setattr sys_mount sys_umount2 sys_fsopen sys_fsmount sys_fspick sys_move_mount sys_pivot_root"},
		{"--cap-add=SYS_ADMIN", "stdin_write caps sys_unshare_user sys_unshare_time sys_clone_user sys_clone_user_hibits sys_clone_net sys_clone3_user sys_setns " +
			"sys_mount sys_umount2 sys_fsopen sys_fsmount sys_fspick sys_open_tree sys_move_mount sys_mount_setattr sys_quotactl sys_fanotify_init sys_syslog sys_perf_event_open sys_bpf"},
		{"--cap-add=ALL", "stdin_write caps sys_unshare_user sys_unshare_time sys_clone_user sys_clone_user_hibits sys_clone_net sys_clone3_user sys_setns " +
			"sys_mount sys_umount2 sys_fsopen sys_fsmount sys_fspick sys_open_tree sys_move_mount sys_mount_setattr sys_quotactl sys_fanotify_init sys_syslog sys_perf_event_open sys_bpf " +
			"sys_ioctl_tiocsetd sys_open_by_handle_at sys_init_module sys_kexec_load sys_reboot sys_swapon sys_settimeofday sys_acct sys_socket_netlink_netfilter sys_socket_netlink_xfrm"},
		{"--security-opt=systempaths=unconfined", "proc_masked"},
		{"--cap-add=NET_ADMIN", "caps sys_ioctl_tiocsetd sys_socket_netlink_netfilter sys_socket_netlink_xfrm"},
	} {
		p := newPlace(t)
		all := tryEscape(t, p, layBait(t, p), boxed(t, []string{"-r", tt.flags}, "escape"))
		for _, x := range probes() {
			may := strings.Contains(" "+tt.opens+" setgroups_dropped ", " "+x.name+" ")
			switch f := all[x.name]; {
			case f.open && !may:
				t.Errorf("%s: %s is open: %s", tt.flags, x.name, f.what)
			case !f.open && may && x.control == shown && x.name != "sys_perf_event_open":
				t.Errorf("%s: %s is shut: %s", tt.flags, x.name, f.what)
			}
		}
	}
}

// No call comes through the entry for 32-bit programs.
func TestTheEntryFor32BitProgramsIsShut(t *testing.T) {
	asUser(t)
	need(t, "userns", "int80")
	p := newPlace(t)
	out, err := p.command(self(t), "payload:entry32").Output()
	if err != nil || strings.HasPrefix(string(out), "getpid -") || !strings.Contains(string(out), "keyctl -126") && !strings.Contains(string(out), "keyctl ") {
		t.Fatalf("outside: %v\n%s", err, out)
	}
	for _, flags := range [][]string{{"-r"}, {"-c"}, {"-r", "--allow-userns"}, {"-r", "--cap-add=ALL"}} {
		line := boxed(t, flags, "entry32")
		out, err := p.command(line[0], line[1:]...).Output()
		if err != nil {
			t.Errorf("%q: %v\n%s", flags, err, out)
		}
		n := 0
		for l := range strings.Lines(string(out)) {
			if n++; !strings.HasSuffix(l, fmt.Sprintf(" -%d\n", unix.ENOSYS)) {
				t.Errorf("%q: %s", flags, l)
			}
		}
		if n < 20 {
			t.Errorf("%q: %d calls", flags, n)
		}
	}
}

// putBusybox copies busybox to a path.
func putBusybox(t *testing.T, to string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// busyboxRoot is a root directory of busybox alone.
func busyboxRoot(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(scratch(t), "root")
	for _, d := range []string{"bin", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	putBusybox(t, filepath.Join(dir, "bin/sh"))
	return dir
}
