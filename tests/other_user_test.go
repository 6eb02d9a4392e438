package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Two ordinary users of one host: one has boxes, the other looks for them.
const owner, stranger = 64001, 64002

// as has a command run as a user without further groups.
func as(c *exec.Cmd, uid uint32) *exec.Cmd {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}}
	return c
}

// sharedHost is a directory that all users can reach, with the programs, and one
// of the owner's that others may look into, as homes on many hosts.
func sharedHost(t *testing.T) (dir, home, bin, payload string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "nobox-tests-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin, payload, home = filepath.Join(dir, "nobox"), filepath.Join(dir, "payload"), filepath.Join(dir, "home")
	for from, to := range map[string]string{nobox: bin, self(t): payload} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(home, 0o755), os.Chmod(home, 0o755), os.Chmod(dir, 0o755), os.Chown(home, owner, owner)); err != nil {
		t.Fatal(err)
	}
	return dir, home, bin, payload
}

func TestRootAnotherUserReachesNothingOfABox(t *testing.T) {
	need(t, "root", "userns", "tun", "python3")
	_, home, bin, payload := sharedHost(t)
	run := func(uid uint32, name string, args ...string) (string, error) {
		c := as(exec.Command(name, args...), uid)
		c.Dir, c.Env = home, []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + home, "TERM=xterm"}
		if uid == stranger {
			c.Dir = "/"
		}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	state := "/tmp/nobox-" + strconv.Itoa(owner)
	must := func(args ...string) {
		t.Helper()
		if out, err := run(owner, bin, args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	const serve = "umask 0; echo secret >/tmp/secret; cd /tmp; exec python3 -m http.server 80"
	must("-d", "--name", "web", "--cwd=hidden", "--net=user", "-p", "./socket:80", "-p", "127.0.0.1:0:80", "--", "sh", "-c", serve)
	t.Cleanup(func() { run(owner, bin, "stop", "web"); run(owner, bin, "rm", "web") })
	must("-d", "-t", "--name", "terminal", "--cwd=hidden", "--net=none", "--", "sh", "-c", "echo secret; exec sleep 600")
	t.Cleanup(func() { run(owner, bin, "stop", "terminal"); run(owner, bin, "rm", "terminal") })

	socket := filepath.Join(home, "socket")
	for limit := time.Now().Add(patience); ; { // until the server in the box answers
		if c, err := net.Dial("unix", socket); err == nil {
			c.Write([]byte("GET /secret HTTP/1.0\r\n\r\n"))
			b, _ := io.ReadAll(c)
			c.Close()
			if bytes.Contains(b, []byte("secret")) {
				break
			}
		}
		if time.Now().After(limit) {
			t.Fatal("the server in the box does not answer")
		}
	}
	pids := processesOf(t, owner)
	if len(pids) < 6 {
		t.Fatalf("only %d processes of the owner's", len(pids))
	}
	args := append([]string{"payload:pry", state, socket}, pids...)

	out, err := run(owner, payload, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, open := range []string{"state/web/log", "state/web/state", "state/terminal/attach", "socket", "environ", "fd", "signal"} {
		if !strings.Contains("\n"+out, "\nopen "+open) {
			t.Errorf("to its owner %s is shut in\n%s", open, out)
		}
	}
	out, err = run(stranger, payload, args...)
	if err != nil || strings.Contains("\n"+out, "\nopen ") || strings.Count(out, "shut ") < 40 {
		t.Errorf("to a stranger: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"ps"}, {"exec", "web", "--", "true"}, {"logs", "web"}, {"stop", "web"}, {"attach", "terminal"}, {"inspect", "web"}} {
		if out, err := run(stranger, bin, args...); strings.Contains(out, "secret") || args[0] == "ps" && strings.Contains(out, "web") || args[0] != "ps" && err == nil {
			t.Errorf("a stranger's %q: %v\n%s", args, err, out)
		}
	}
	if out, err := run(owner, bin, "ps"); err != nil || !strings.Contains(out, "web") || !strings.Contains(out, "terminal") {
		t.Errorf("the boxes do not run any more: %v\n%s", err, out)
	}
}

// Another user who was first at the place in /tmp keeps a box from having a name,
// and learns nothing.
func TestRootAStrangersDirectoryIsNotUsed(t *testing.T) {
	need(t, "root", "userns")
	_, home, bin, _ := sharedHost(t)
	state := "/tmp/nobox-" + strconv.Itoa(owner)
	for _, mine := range []bool{false, true} { // of the stranger, and the owner's own, open to all
		os.RemoveAll(state)
		if err := os.Mkdir(state, 0o777); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(state) })
		uid := stranger
		if mine {
			uid = owner
		}
		if err := errors.Join(os.Chmod(state, 0o777), os.Chown(state, uid, uid)); err != nil {
			t.Fatal(err)
		}
		c := as(exec.Command(bin, "--name", "web", "--cwd=hidden", "--net=none", "--", "true"), owner)
		c.Dir, c.Env = home, []string{"PATH=/usr/bin:/bin", "HOME=" + home}
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), state) {
			t.Errorf("%v: %v\n%s", mine, err, out)
		}
		if es, _ := os.ReadDir(state); len(es) > 0 {
			t.Errorf("something was put there: %v", es)
		}
	}
}

// processesOf are the numbers of a user's processes.
func processesOf(t *testing.T, uid uint32) (pids []string) {
	t.Helper()
	es, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		var st unix.Stat_t
		if _, err := strconv.Atoi(e.Name()); err != nil || unix.Stat("/proc/"+e.Name()+"/task", &st) != nil {
			continue
		}
		b, _ := os.ReadFile("/proc/" + e.Name() + "/status")
		if strings.Contains(string(b), fmt.Sprintf("\nUid:\t%d\t", uid)) {
			pids = append(pids, e.Name())
		}
	}
	return pids
}

// pry looks into the boxes of another user: STATE SOCKET PID... It says of each
// way whether it is open or shut.
func pry(args []string) {
	say := func(what string, err error) {
		if err == nil {
			fmt.Println("open " + what)
		} else {
			fmt.Println("shut "+what+":", err)
		}
	}
	state, socket := args[0], args[1]
	opens := func(name string, flags int) error {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	dials := func(path string) error {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err
	}
	_, err := os.ReadDir(state)
	say("state", err)
	say("state to make in", os.Mkdir(state+"/x", 0o700))
	for _, f := range []string{"web/state", "web/log", "web/lock", "terminal/state", "terminal/lock"} {
		say("state/"+f, opens(state+"/"+f, unix.O_RDONLY))
		say("state/"+f+" to write", opens(state+"/"+f, unix.O_WRONLY))
	}
	say("state/terminal/attach", dials(state+"/terminal/attach"))
	say("socket", dials(socket))
	for _, pid := range args[2:] {
		proc := "/proc/" + pid + "/"
		for _, f := range []string{"environ", "mem", "auxv", "root/tmp/secret", "cwd/", "map_files"} {
			say(f+" of "+pid, opens(proc+f, unix.O_RDONLY))
		}
		b, err := os.ReadFile(proc + "maps")
		if err == nil && len(b) == 0 {
			err = io.EOF
		}
		say("maps of "+pid, err)
		_, err = os.ReadDir(proc + "fd")
		say("fd of "+pid, err)
		for _, l := range []string{"exe", "cwd", "root", "fd/0", "ns/user"} {
			_, err = os.Readlink(proc + l)
			say(l+" of "+pid, err)
		}
		n, _ := strconv.Atoi(pid)
		say("signal to "+pid, unix.Kill(n, 0))
		if unix.Geteuid() == owner {
			continue
		}
		if _, _, e := syscall.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(n), 0, 0, 0, 0); e != 0 {
			say("ptrace of "+pid, e)
		} else {
			say("ptrace of "+pid, nil)
		}
		if fd, err := unix.PidfdOpen(n, 0); err == nil {
			_, err = unix.PidfdGetfd(fd, 0, 0)
			say("pidfd_getfd of "+pid, err)
		}
	}
	os.Exit(0)
}

// By a set-user-ID bit, which somebody may set to help with namespaces, a caller's
// paths would be opened and made with another user's rights (CVE-2020-5291).
func TestRootANoboxThatIsPrivilegedByItsFileDoesNothing(t *testing.T) {
	need(t, "root", "userns")
	dir, home, bin, _ := sharedHost(t)
	secret, report := filepath.Join(dir, "secret"), filepath.Join(dir, "report")
	if err := os.WriteFile(secret, []byte("A=secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{os.ModeSetuid, os.ModeSetgid} {
		if err := os.Chmod(bin, mode|0o755); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"--net=none", "-r", "--report=" + report, "--env-file", secret, "--", "env"}, {"version"}} {
			c := as(exec.Command(bin, args...), stranger)
			c.Dir, c.Env = home, []string{"PATH=/usr/bin:/bin", "HOME=" + home}
			out, err := c.CombinedOutput()
			if err == nil || c.ProcessState.ExitCode() != 125 || !strings.HasPrefix(string(out), "nobox: cannot run with the rights of another user: ") {
				t.Errorf("%v %q: %v\n%s", mode, args, err, out)
			}
			c = as(exec.Command(bin, "unix:0:80:1:/x"), stranger)
			c.Args[0] = "nobox-ports"
			if out, err := c.CombinedOutput(); err == nil || c.ProcessState.ExitCode() != 125 {
				t.Errorf("%v, the forwarder: %v\n%s", mode, err, out)
			}
		}
		if _, err := os.Lstat(report); err == nil {
			t.Error("a report was made with root's rights")
		}
	}
	if err := os.Chmod(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := as(exec.Command(bin, "version"), stranger).CombinedOutput(); err != nil {
		t.Errorf("without the bits: %v\n%s", err, out)
	}
}

// A login by pam_cap, or a service, may hand capabilities down in the inheritable and
// ambient sets (CVE-2022-24769, CVE-2022-27650, CVE-2022-29162).
func TestRootTheCallersCapabilitiesStayOutside(t *testing.T) {
	need(t, "root", "userns")
	_, home, bin, _ := sharedHost(t)
	caps := func(name string, args ...string) string {
		c := as(exec.Command(name, args...), stranger)
		c.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_RAW, unix.CAP_DAC_OVERRIDE, unix.CAP_SYS_ADMIN}
		c.Dir, c.Env = "/", []string{"PATH=/usr/bin:/bin", "HOME=" + home}
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		var all []string
		for line := range strings.Lines(string(out)) {
			if name, set, ok := strings.Cut(strings.TrimSpace(line), ":\t"); ok && name != "CapBnd" && strings.HasPrefix(name, "Cap") {
				all = append(all, strings.TrimLeft(set, "0"))
			}
		}
		return strings.Join(all, " ")
	}
	const status = "/proc/self/status"
	if got := caps("/bin/grep", "^Cap", status); got != "202002 202002 202002 202002" {
		t.Fatalf("outside: %q", got)
	}
	for flags, want := range map[string]string{"-r": " a80425fb a80425fb ", "-c": "   ", "-r --as-pid-1": " a80425fb a80425fb ", "--tier=landlock": "   "} {
		if flags == "--tier=landlock" && noLandlock(6) != "" {
			continue
		}
		args := append(append([]string{"--net=none"}, strings.Fields(flags)...), "--", "/bin/grep", "^Cap", status)
		if got := caps(bin, args...); got != want {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
	}
}
