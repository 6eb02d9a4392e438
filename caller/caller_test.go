package caller_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shower is a program that says what it was handed, and whether its own
// runtime still works.
const shower = `package main

import (
	"fmt"
	"os"

	"nobox/caller"
)

func main() {
	soft, hard := caller.NoFile()
	n := make(chan int)
	go func() { n <- len(os.Args) + len(os.Getenv("MARK")) }()
	fmt.Println(caller.Ignored(), caller.Blocked(), soft, hard, caller.Complete(), <-n)
}
`

// handed is what a shower says.
type handed struct {
	ignored, blocked, soft, hard uint64
	complete                     bool
	n                            int
}

var builds = map[bool]func() (string, error){true: sync.OnceValues(func() (string, error) { return build(true) }), false: sync.OnceValues(func() (string, error) { return build(false) })}

var dir string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	var err error
	if dir, err = os.MkdirTemp("", "nobox-caller-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// build builds the program, with nobox's entry point or without. It lies in
// the module by an overlay only.
func build(entry bool) (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	src, overlay := filepath.Join(dir, "shower.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(src, []byte(shower), 0o644); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, "shower", "main.go"): src}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, text, 0o644); err != nil {
		return "", err
	}
	flags, bin := "-s -w", filepath.Join(dir, fmt.Sprint("shower-", entry))
	if entry {
		flags += " -E nobox/caller.Entry"
	}
	c := exec.Command("go", "build", "-overlay", overlay, "-ldflags", flags, "-o", bin, "./shower")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v\n%s", err, out)
	}
	return bin, nil
}

// show runs the program by a line of sh, in which "$0" is its name.
func show(t *testing.T, entry bool, line string) handed {
	t.Helper()
	bin, err := builds[entry]()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", line, bin)
	c.Env = append(os.Environ(), "MARK=12345")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	var h handed
	if _, err := fmt.Sscan(string(out), &h.ignored, &h.blocked, &h.soft, &h.hard, &h.complete, &h.n); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return h
}

func set(sigs ...syscall.Signal) (v uint64) {
	for _, s := range sigs {
		v |= 1 << (s - 1)
	}
	return v
}

// base is what this test itself was handed.
func base(t *testing.T) uint64 { return show(t, true, `exec "$0"`).ignored }

func TestEveryIgnoredSignalIsKept(t *testing.T) {
	already := base(t)
	for line, want := range map[string]uint64{
		`exec "$0"`:                                 0,
		`trap '' HUP; exec "$0"`:                    set(unix.SIGHUP),
		`trap '' PIPE USR1; exec "$0"`:              set(unix.SIGPIPE, unix.SIGUSR1),
		`exec env --ignore-signal=CHLD "$0"`:        set(unix.SIGCHLD), // dash has no trap for it
		`trap '' INT QUIT TERM TSTP URG; exec "$0"`: set(unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGTSTP, unix.SIGURG),
	} {
		h := show(t, true, line)
		if h.ignored != want|already || !h.complete {
			t.Errorf("%s: %#x, want %#x; complete: %v", line, h.ignored, want|already, h.complete)
		}
		if h.n != 6 {
			t.Errorf("%s: arguments or environment are lost: %d", line, h.n)
		}
	}
}

func TestTheLimitOnFilesIsTheCallersNotTheRuntimes(t *testing.T) {
	for _, entry := range []bool{true, false} {
		h := show(t, entry, `ulimit -Sn 321; ulimit -Hn 500; exec "$0"`)
		if h.soft != 321 || h.hard != 500 || h.complete != entry {
			t.Errorf("with the entry point %v: %+v", entry, h)
		}
	}
}

func TestBlockedSignalsAreKept(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, block unix.Sigset_t
	want := set(unix.SIGUSR1, unix.SIGTERM, unix.SIGWINCH)
	block.Val[0] = want
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &block, &old); err != nil {
		t.Fatal(err)
	}
	h := show(t, true, `exec "$0"`)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		t.Fatal(err)
	}
	if h.blocked&want != want {
		t.Errorf("%#x, want %#x", h.blocked, want)
	}
}

func TestTheAssemblyOfBothArchitecturesVets(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		c := exec.Command("go", "vet", "nobox/caller", "nobox/signals", "nobox/userns")
		c.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", arch, err, strings.TrimSpace(string(out)))
		}
	}
}
