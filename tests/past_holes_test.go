package tests

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Holes of other sandboxes that no other test holds; docs/security.md lists them all.

// A working directory by a link of /proc is the host's, if nobox has one open
// (CVE-2024-21626). Of a run the transcript workdir tells, this is of who joins, and of
// a root whose link is named.
func TestAWorkingDirectoryIsNotOneOfNoboxsDescriptors(t *testing.T) {
	asUser(t)
	need(t, "userns", "busybox")
	p := newPlace(t)
	root := busyboxRoot(t)
	detached(t, p, "web", nil, "sleep", "600")
	for fd := 3; fd < 24; fd++ {
		link := fmt.Sprintf("/proc/self/fd/%d", fd)
		os.Remove(root + "/app")
		if err := os.Symlink(link, root+"/app"); err != nil {
			t.Fatal(err)
		}
		for _, line := range [][]string{
			{"exec", "-w", link, "web", "--", "/bin/pwd"},
			{"exec", "-w", strings.Replace(link, "self", "thread-self", 1), "web", "--", "/bin/pwd"},
			{"--rootfs", root, "-r", "--net=none", "-w", "/app", "--", "/bin/sh", "-c", "pwd"},
			{"--rootfs", root, "-r", "--net=none", "--overlay", "-w", "/app", "--", "/bin/sh", "-c", "pwd"},
		} {
			if out, stderr, code := run(t, p.command(nobox, line...), ""); code != 125 || out != "" || !strings.Contains(stderr, "cannot change to ") {
				t.Errorf("%q: %d, %q, %s", line, code, out, stderr)
			}
		}
	}
}

// A helper that listens, by TCP or an abstract name, is for everybody on the host
// (CVE-2021-4024, CVE-2020-15257). The lab has a network of its own.
func TestNoboxListensNowhere(t *testing.T) {
	if !inLab(t) {
		return
	}
	need(t, "bash")
	c := exec.Command(nobox, "-r", "--net=user", "--cwd=hidden", "--name", "nowhere", "--", "bash", "-c", "echo x >/dev/tcp/"+host4+"/9; echo ready; cat")
	c.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+scratch(t))
	n := start(t, c)
	n.expectLine(t, "ready")
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		b, err := os.ReadFile("/proc/self/net/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			listens := len(f) > 3 && f[3] == "0A" // TCP_LISTEN; linux/net/tcp_states.h
			switch file {
			case "udp", "udp6":
				listens = len(f) > 3 && f[3] == "07" && f[0] != "sl" // connected to nobody
			case "unix":
				listens = len(f) > 7 && strings.HasPrefix(f[7], "@")
			}
			if listens {
				t.Errorf("%s: %s", file, line)
			}
		}
	}
	n.in.Close()
	n.expectEnd(t, patience, 0)
}

// What runs in a box that may make namespaces is not to choose which ones are joined
// (CVE-2022-31214).
func TestABoxDoesNotChooseTheNamespacesThatAreJoined(t *testing.T) {
	asUser(t)
	need(t, "userns", "unshare")
	for _, flags := range [][]string{nil, {"--as-pid-1"}} {
		p := newPlace(t)
		line := slices.Concat([]string{"--allow-userns"}, flags)
		detached(t, p, "apart", line, "sh", "-c", "echo here; exec unshare -Urm sh -c 'echo there; exec sleep 600'")
		until(t, "the command is in a namespace of its own", func() bool {
			return strings.Contains(first(run(t, p.command(nobox, "logs", "apart"), "")), "there")
		})
		for _, line := range [][]string{{"exec", "apart", "--", "true"}, {"port", "-p", "0:80", "apart"}} {
			if _, stderr, code := run(t, p.command(nobox, line...), ""); code != 125 || !strings.Contains(stderr, "its command has gone into a user namespace of its own making") {
				t.Errorf("%q, %q: %d, %s", flags, line, code, stderr)
			}
		}
	}
	// Another process of the box is joined, where there is one.
	p := newPlace(t)
	detached(t, p, "both", []string{"--allow-userns"}, "sh", "-c", "(sleep 600 &) & wait; exec unshare -Urm sh -c 'echo there; exec sleep 600'")
	until(t, "the command is in a namespace of its own", func() bool {
		return strings.Contains(first(run(t, p.command(nobox, "logs", "both"), "")), "there")
	})
	if out, stderr, code := run(t, p.command(nobox, "exec", "both", "--", "cat", "/proc/self/uid_map"), ""); code != 0 || len(strings.Fields(out)) != 3 {
		t.Errorf("%d: %s%s", code, out, stderr)
	}
}
