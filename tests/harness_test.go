// Package tests holds nobox's end-to-end tests: they run the binary and look
// at the box from inside. harness_test.go finds the binary and knows what a
// test may need of the machine; e2e_test.go runs the transcripts of
// testdata/script. "sh tests/run" runs all of it as an ordinary user.
package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// nobox is the binary under test: $NOBOX, else built by the Makefile.
var nobox string

// scratchRoot holds whatever the tests write. It lies below the home, not in
// /tmp, of which a box has its own; it is removed at the end.
var scratchRoot string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientOf {
		os.Exit(client(os.Args[2:]))
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	cannot := func(what string, err error) int {
		fmt.Fprintf(os.Stderr, "tests: cannot %s: %v\n", what, err)
		return 1
	}
	for _, w := range requiredWords() {
		if _, known := vocabulary[w]; !known && w != "all" && !strings.HasPrefix(w, "kernel:") {
			return cannot("read NOBOX_REQUIRE", fmt.Errorf("unknown word %q: there are %s", w, strings.Join(words(), " ")))
		}
	}
	home, err := os.UserHomeDir()
	if err != nil || unix.Access(home, unix.W_OK) != nil {
		home = os.TempDir()
	}
	if scratchRoot, err = os.MkdirTemp(home, "nobox-tests-"); err != nil {
		return cannot("make a directory", err)
	}
	defer os.RemoveAll(scratchRoot)
	if scratchRoot, err = filepath.EvalSymlinks(scratchRoot); err != nil {
		return cannot("resolve the directory", err)
	}
	os.Setenv("GOTMPDIR", scratchRoot) // testscript makes its directories there

	bin := filepath.Join(scratchRoot, "bin", "nobox")
	if err := os.Mkdir(filepath.Dir(bin), 0o755); err != nil {
		return cannot("make a directory", err)
	}
	if nobox = os.Getenv("NOBOX"); nobox == "" {
		nobox = bin
		out, err := exec.Command("make", "-s", "-C", "..", "build", "BIN="+bin).CombinedOutput()
		if err != nil {
			return cannot("build nobox", fmt.Errorf("%v\n%s", err, out))
		}
	} else {
		if nobox, err = filepath.Abs(nobox); err != nil {
			return cannot("find nobox", err)
		}
		if err := unix.Access(nobox, unix.X_OK); err != nil {
			return cannot("run "+nobox, err)
		}
		if err := os.Symlink(nobox, bin); err != nil {
			return cannot("link nobox", err)
		}
	}
	code := m.Run()
	sayMissed()
	return code
}

// scratch is a new directory below the home, gone when the test ends.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratchRoot, "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// asUser skips a test that is about an ordinary user where root runs it; it is
// no missing word, for tests/run gives such tests to an ordinary user.
func asUser(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("for an ordinary user: sh tests/run")
	}
}

// ---- what a test may need

// vocabulary has every word that a skip may be given for, and how to find out:
// the reason why not, "" if the machine has it. "kernel:x.y" is one more.
var vocabulary = map[string]func() string{
	"userns":      noUserns,
	"subids":      noSubids,
	"int80":       noInt80,
	"landlock":    func() string { return noLandlock(3) },
	"landlock6":   func() string { return noLandlock(6) },
	"tun":         func() string { return noOpen("/dev/net/tun") },
	"cgroup2":     noCgroup2,
	"cgroup1":     noCgroup1,
	"systemd":     func() string { return noFile("/run/systemd/system") },
	"root":        noRoot,
	"network":     noNetwork,
	"pasta":       func() string { return noTool("pasta") },
	"slirp4netns": func() string { return noTool("slirp4netns") },
	"tmux":        func() string { return noTool("tmux") },
	"bwrap":       func() string { return noTool("bwrap") },
	"strace":      func() string { return noTool("strace") },
	"busybox":     noBusybox,
	"mmdebstrap":  func() string { return noTool("mmdebstrap") },
	"newuidmap":   func() string { return noTool("newuidmap") },
	"unshare":     func() string { return noTool("unshare") },
	"setpriv":     func() string { return noTool("setpriv") },
	"ip":          func() string { return noTool("ip") },
	"ps":          func() string { return noTool("ps") },
	"script":      func() string { return noTool("script") },
	"vi":          func() string { return noTool("vi") },
	"cron":        func() string { return noTool("cron") },
	"bash":        func() string { return noTool("bash") },
	"zsh":         func() string { return noTool("zsh") },
	"fish":        func() string { return noTool("fish") },
	"ipv6":        noIPv6,
	"overlayfs":   func() string { return noFile("/sys/module/overlay") },
	"jq":          func() string { return noTool("jq") },
	"python3":     func() string { return noTool("python3") },
	"qemu":        func() string { return noTool("qemu-system-x86_64") }, // of tests/vm
}

func words() []string {
	ws := []string{"kernel:x.y"}
	for w := range vocabulary {
		ws = append(ws, w)
	}
	sort.Strings(ws)
	return ws
}

// need skips the test unless the machine has what each word says. A word in
// NOBOX_REQUIRE ("all" is every one) makes it fail instead.
func need(t testing.TB, ws ...string) {
	t.Helper()
	for _, w := range ws {
		why, err := missing(w)
		switch {
		case err != nil:
			t.Fatal(err)
		case why == "":
		case required(w):
			t.Fatalf("NOBOX_REQUIRE has %s, but %s", w, why)
		default:
			missed(w, t.Name())
			t.Skipf("needs %s: %s", w, why)
		}
	}
}

var found struct {
	sync.Mutex
	why    map[string]string
	missed map[string][]string
}

// missing says why the machine has not what the word says, "" if it has. An
// unknown word is an error.
func missing(w string) (string, error) {
	found.Lock()
	defer found.Unlock()
	if why, done := found.why[w]; done {
		return why, nil
	}
	var why string
	if v, ok := strings.CutPrefix(w, "kernel:"); ok {
		var err error
		if why, err = noKernel(v); err != nil {
			return "", err
		}
	} else if probe, known := vocabulary[w]; known {
		why = probe()
	} else {
		return "", fmt.Errorf("unknown word %q: there are %s", w, strings.Join(words(), " "))
	}
	if found.why == nil {
		found.why = map[string]string{}
	}
	found.why[w] = why
	return why, nil
}

func requiredWords() []string {
	return strings.FieldsFunc(os.Getenv("NOBOX_REQUIRE"), func(r rune) bool { return r == ' ' || r == ',' })
}

func required(w string) bool {
	for _, r := range requiredWords() {
		// Root has a pass of its own; see tests/run.
		if r == w || r == "all" && w != "root" {
			return true
		}
	}
	return false
}

func missed(w, test string) {
	found.Lock()
	defer found.Unlock()
	if found.missed == nil {
		found.missed = map[string][]string{}
	}
	found.missed[w] = append(found.missed[w], test)
}

// sayMissed prints what was skipped, for a pass that skips is only half one.
func sayMissed() {
	var ws []string
	for w := range found.missed {
		ws = append(ws, w)
	}
	sort.Strings(ws)
	for _, w := range ws {
		tests := found.missed[w]
		sort.Strings(tests)
		fmt.Fprintf(os.Stderr, "skipped for want of %s (%s): %s\n", w, found.why[w], strings.Join(tests, " "))
	}
}

// ---- probes: why not, "" if so

func noFile(name string) string {
	if _, err := os.Stat(name); err != nil {
		return err.Error()
	}
	return ""
}

func noOpen(name string) string {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	f.Close()
	return ""
}

func noTool(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return "there is no " + name + " in PATH"
	}
	return ""
}

func noIPv6() string {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return err.Error()
	}
	l.Close()
	return ""
}

func noBusybox() string {
	if why := noTool("busybox"); why != "" {
		return why
	}
	b, err := exec.LookPath("busybox")
	if err != nil {
		return err.Error()
	}
	data, err := os.ReadFile(b)
	if err != nil {
		return err.Error()
	}
	if strings.Contains(string(data), "/ld-linux") || strings.Contains(string(data), "/ld-musl") {
		return "busybox is not static"
	}
	return ""
}

// noUserns tries: no switch tells for every kernel.
func noUserns() string {
	c := exec.Command("/bin/sh", "-c", ":")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS}
	if err := c.Run(); err != nil {
		return "no user namespace: " + err.Error()
	}
	return ""
}

func noSubids() string {
	for _, h := range []string{"newuidmap", "newgidmap"} {
		if why := noTool(h); why != "" {
			return why
		}
	}
	me, err := user.Current()
	if err != nil {
		return err.Error()
	}
	for _, f := range []string{"/etc/subuid", "/etc/subgid"} {
		data, _ := os.ReadFile(f)
		has := false
		for line := range strings.Lines(string(data)) {
			has = has || strings.HasPrefix(line, me.Username+":") || strings.HasPrefix(line, me.Uid+":")
		}
		if !has {
			return f + " has no range for " + me.Username
		}
	}
	return ""
}

// noLandlock asks for an ABI of Landlock.
func noLandlock(abi int) string {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case e != 0:
		return "no Landlock: " + e.Error()
	case int(v) < abi:
		return fmt.Sprintf("Landlock has ABI %d, not %d", v, abi)
	}
	return ""
}

// noInt80 tries, in a process of its own: a kernel without the entry sends
// SIGSEGV.
func noInt80() string {
	exe, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	if err := exec.Command(exe, "payload:entry32").Run(); err != nil {
		return "no call comes through int 0x80: " + err.Error()
	}
	return ""
}

func noCgroup2() string {
	var s unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &s); err != nil {
		return err.Error()
	}
	if s.Type != unix.CGROUP2_SUPER_MAGIC {
		return "/sys/fs/cgroup is no cgroup v2"
	}
	return ""
}

func noCgroup1() string {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err.Error()
	}
	if !strings.Contains(string(b), ":memory") && !strings.Contains(string(b), ",memory") {
		return "cgroup v1 does not have the memory controller"
	}
	return ""
}

func noRoot() string {
	if os.Getuid() != 0 {
		return "the tests do not run as root"
	}
	return ""
}

// noNetwork looks for a way to a Debian mirror, by a proxy if there is one.
func noNetwork() string {
	for _, v := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		if os.Getenv(v) != "" {
			return ""
		}
	}
	// Where apt would look for packages, as it is set up here.
	out, _ := exec.Command("apt-get", "--print-uris", "update").Output()
	_, rest, _ := strings.Cut(string(out), "://")
	host, _, _ := strings.Cut(rest, "/")
	if host == "" {
		return "apt-get knows no source of packages"
	}
	if exec.Command("getent", "ahosts", host).Run() != nil {
		return "the source of packages has no address"
	}
	return ""
}

func noKernel(want string) (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	release := unix.ByteSliceToString(u.Release[:])
	number := func(v string) (n [2]int, ok bool) {
		a, rest, dot := strings.Cut(v, ".")
		b := rest
		if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
			b = rest[:i]
		}
		var e1, e2 error
		n[0], e1 = strconv.Atoi(a)
		n[1], e2 = strconv.Atoi(b)
		return n, dot && e1 == nil && e2 == nil
	}
	w, ok := number(want)
	if !ok {
		return "", fmt.Errorf("kernel:%s: the version is wanted as x.y", want)
	}
	have, _ := number(release)
	if have[0] < w[0] || have[0] == w[0] && have[1] < w[1] {
		return "this is Linux " + release, nil
	}
	return "", nil
}
