package tests

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestScript runs the transcripts of testdata/script as an ordinary user.
func TestScript(t *testing.T) {
	asUser(t)
	runScripts(t, filepath.Join("testdata", "script"))
}

// TestRoot runs the transcripts that are about root; tests/run has a pass of
// their own for them.
func TestRoot(t *testing.T) {
	need(t, "root")
	runScripts(t, filepath.Join("testdata", "root"))
}

// Each transcript opens with the sentence that must hold.
func TestATranscriptOpensWithASentence(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txtar")
	vm, _ := filepath.Glob("testdata/vm/*/*.txtar")
	files = append(files, vm...)
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(data), "\n")
		if s, ok := strings.CutPrefix(line, "# "); !ok || !strings.HasSuffix(s, ".") {
			t.Errorf("%s opens with %q, not with a sentence in a comment", f, line)
		}
	}
}

func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		Setup:               plainCaller,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"need":     cmdNeed,
			"exits":    cmdExits,
			"rootfs":   cmdRootfs,
			"snapshot": cmdSnapshot,
			"longdir":  cmdLongdir,
			"json":     cmdJSON,
			"gone":     cmdGone,
		},
	})
}

type tKey struct{} // of the test among a script's values

// plainCaller gives a transcript a caller as plain as can be: only what a login has.
func plainCaller(e *testscript.Env) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return err
	}
	path := filepath.Join(scratchRoot, "bin")
	for _, d := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if filepath.IsAbs(d) {
			path += ":" + d
		}
	}
	for _, kv := range [][2]string{
		{"HOME", home}, {"PATH", path}, {"SHELL", "/bin/sh"}, {"TERM", "dumb"}, {"LC_ALL", "C"},
		{"UID", strconv.Itoa(os.Getuid())}, {"GID", strconv.Itoa(os.Getgid())}, {"LOGIN", me.Username},
		{"NOBOX", nobox},
	} {
		e.Setenv(kv[0], kv[1])
	}
	e.Values[tKey{}] = e.T()
	return nil
}

// need WORD... skips the transcript unless the machine has it all.
func cmdNeed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: need WORD...")
	}
	for _, w := range args {
		why, err := missing(w)
		ts.Check(err)
		switch {
		case why == "":
		case required(w):
			ts.Fatalf("NOBOX_REQUIRE has %s, but %s", w, why)
		default:
			missed(w, ts.Name())
			ts.Value(tKey{}).(testscript.T).Skip(fmt.Sprintf("needs %s: %s", w, why))
		}
	}
}

// exits CODE PROGRAM [ARG...] runs a program that must exit with that code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	have := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		if have = exit.ExitCode(); have < 0 {
			ts.Fatalf("it did not exit: %v; code %d is wanted", exit, want)
		}
	}
	if have != want {
		ts.Fatalf("exit code %d, %d is wanted", have, want)
	}
}

// rootfs DIR makes a root directory of busybox alone: bin and etc.
func cmdRootfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: rootfs DIR")
	}
	cmdNeed(ts, false, []string{"busybox"})
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	ts.Check(os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	busybox, err := exec.LookPath("busybox")
	ts.Check(err)
	data, err := os.ReadFile(busybox)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	list, err := exec.Command(busybox, "--list").Output()
	ts.Check(err)
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			ts.Check(os.Symlink("busybox", filepath.Join(dir, "bin", applet)))
		}
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\napp:x:7:8:app:/srv:/bin/sh\n"), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "etc/group"), []byte("root:x:0:\napps:x:8:\nmore:x:9:app\n"), 0o644))
}

// snapshot DIR FILE writes all there is to know of a tree to FILE: names,
// modes, owners, times, links, contents.
func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: snapshot DIR FILE")
	}
	dir := ts.MkAbs(args[0])
	var lines []string
	ts.Check(filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		line := fmt.Sprintf("%q %o %d:%d %d %d.%09d", rel, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(data))
		case unix.S_IFLNK:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line += " -> " + to
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

// longdir BASE PROGRAM [ARG...] runs a program in a directory below BASE whose
// path is longer than PATH_MAX.
func cmdLongdir(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: longdir BASE PROGRAM [ARG...]")
	}
	// A shell loses its way at PATH_MAX; openat does not.
	name := strings.Repeat("d", 250)
	fd, err := unix.Open(ts.MkAbs(args[0]), unix.O_PATH|unix.O_CLOEXEC, 0)
	ts.Check(err)
	for range 18 {
		ts.Check(unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		ts.Check(err)
		unix.Close(fd)
		fd = next
	}
	defer unix.Close(fd)
	ts.Check(ts.Exec("sh", append([]string{"-c", `cd /proc/$0/fd/$1 && shift && exec "$@"`,
		strconv.Itoa(os.Getpid()), strconv.Itoa(fd)}, args[1:]...)...))
}

// json FILE is true of JSON; of stdout with "stdout".
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: json FILE")
	}
	if !json.Valid([]byte(ts.ReadFile(args[0]))) {
		ts.Fatalf("%s is not JSON", args[0])
	}
}

// gone PATTERN... waits until no file of the host matches: systemd removes what
// is empty when it has heard of it.
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: gone PATTERN...")
	}
	until := time.Now().Add(20 * time.Second)
	for _, pattern := range args {
		for {
			left, err := filepath.Glob(pattern)
			ts.Check(err)
			if len(left) == 0 {
				break
			}
			if time.Now().After(until) {
				ts.Fatalf("still there: %s", strings.Join(left, " "))
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
