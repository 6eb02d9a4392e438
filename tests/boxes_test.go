package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// boxNames are those that nobox ps lists in the place.
func boxNames(t *testing.T, p place) (names []string) {
	t.Helper()
	out, err := p.command(nobox, "ps", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Name string }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, b := range all {
		names = append(names, b.Name)
	}
	return names
}

// started starts a box with a name, whose command says that it runs, and waits
// for its end where the test ends.
func started(t *testing.T, p place, name string) *process {
	t.Helper()
	b := start(t, p.command(nobox, "-r", "--net=none", "--name", name, "--", "sh", "-c", "echo up; exec sleep 1000"))
	if line, err := b.out.ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%s: %q, %v, %s", name, line, err, b.stderr.String())
	}
	return b
}

func TestTwoStartsThatRaceForANameDoNotBothGetIt(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	for round := range 10 {
		name := fmt.Sprintf("box%d", round)
		var mu sync.Mutex
		var wg sync.WaitGroup
		up, refused := 0, 0
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c := p.command(nobox, "-r", "--net=none", "--name", name, "--", "sh", "-c", "echo up; exec sleep 1000")
				var stderr strings.Builder
				c.Stderr = &stderr
				r, err := c.StdoutPipe()
				if err == nil {
					err = c.Start()
				}
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, 3)
				_, err = io.ReadFull(r, b)
				mu.Lock()
				if err == nil {
					up++
				} else {
					refused++
				}
				both := up+refused == 8
				mu.Unlock()
				if both {
					// All have tried: the one that has the name may go.
					if out, err := p.command(nobox, "stop", "--time", "0", name).CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				}
				err = c.Wait()
				if code := c.ProcessState.ExitCode(); code != 137 && (code != 125 || !strings.Contains(stderr.String(), "a box of that name is running")) {
					t.Errorf("exit %d, %v: %s", code, err, stderr.String())
				}
			}()
		}
		wg.Wait()
		if up != 1 || refused != 7 {
			t.Fatalf("%d have the name, %d were refused", up, refused)
		}
	}
	p.expectEmpty(t)
}

func TestAHundredBoxesWithNamesAreAllThereAndAllEnd(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	const n = 100
	var boxes [n]*process
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			boxes[i] = start(t, p.command(nobox, "-r", "--net=none", "--name", fmt.Sprintf("b%02d", i), "--", "sh", "-c", "echo up; exec sleep 1000"))
			if line, err := boxes[i].out.ReadString('\n'); err != nil {
				t.Errorf("box %d: %q, %v, %s", i, line, err, boxes[i].stderr.String())
			}
		}()
	}
	wg.Wait()
	names := boxNames(t, p)
	if len(names) != n {
		t.Errorf("%d boxes are listed: %v", len(names), names)
	}
	args := append([]string{"stop", "--time", "0"}, names...)
	if out, err := p.command(nobox, args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, b := range boxes {
		b.end(t, patience)
	}
	if left := boxNames(t, p); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	p.expectEmpty(t)
}

func TestOfANoboxThatWasKilledNothingIsListedAndItsNameIsFree(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	b := started(t, p, "one")
	more := start(t, p.command(nobox, "exec", "one", "--", "sh", "-c", "echo up; exec sleep 1000"))
	if _, err := more.out.ReadString('\n'); err != nil {
		t.Fatal(err, more.stderr.String())
	}
	b.Process.Signal(syscall.SIGKILL)
	b.end(t, patience)
	more.end(t, patience) // it ended with the box
	if names := boxNames(t, p); len(names) != 0 {
		t.Errorf("listed: %v", names)
	}
	p.expectEmpty(t)
	again := started(t, p, "one")
	again.Process.Signal(syscall.SIGTERM)
	again.end(t, patience)
	p.expectEmpty(t)
}

func TestACommandInABoxEndsWithItsNobox(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	b := started(t, p, "one")
	more := start(t, p.command(nobox, "exec", "one", "--", "sh", "-c", "echo up; exec sleep 999"))
	if _, err := more.out.ReadString('\n'); err != nil {
		t.Fatal(err, more.stderr.String())
	}
	more.Process.Signal(syscall.SIGKILL)
	more.end(t, patience)
	limit := time.Now().Add(gone)
	for {
		out, err := p.command(nobox, "exec", "one", "--", "sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done").Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), "sleep 999") {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("the command outlives its nobox:\n%s", out)
		}
	}
	b.Process.Signal(syscall.SIGTERM)
	b.end(t, patience)
	p.expectEmpty(t)
}

// Whenever the nobox that runs a detached box is killed, or the one that starts
// it: the box is listed and runs, or is not and does not, and its name is free.
func TestADetachedBoxWhoseNoboxIsKilledAtAnyTimeIsThereOrNot(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	for i := range 60 {
		name := fmt.Sprintf("b%d", i)
		c := p.command(nobox, "-d", "-r", "--net=none", "--name", name, "--", "sleep", "1000")
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		b := start(t, c)
		fam := holdFamily(t, b.Process.Pid)
		if i%3 > 0 { // else the start alone
			for limit := time.Now().Add(time.Duration(i) * time.Millisecond / 4); time.Now().Before(limit); {
				fam = holdFamily(t, b.Process.Pid)
			}
		}
		for _, m := range family(b.Process.Pid) {
			if m.pid != b.Process.Pid || i%2 == 0 {
				syscall.Kill(m.pid, syscall.SIGKILL)
			}
		}
		b.end(t, patience)
		_ = fam
		names := boxNames(t, p)
		switch len(names) {
		case 0:
		case 1: // it was not there yet, and came to be
			if out, err := p.command(nobox, "stop", "--time", "0", name).CombinedOutput(); err != nil && !strings.Contains(string(out), "no box of that name") {
				t.Fatalf("round %d: %v: %s", i, err, out)
			}
		default:
			t.Fatalf("round %d: %v", i, names)
		}
		// The name can be had again, if that box did not come to be after all.
		until(t, "a free name", func() bool {
			_, stderr, code := run(t, p.command(nobox, "-r", "--net=none", "--name", name, "--", "true"), "")
			if code == 0 {
				return true
			}
			if !strings.Contains(stderr, "a box of that name is running") {
				t.Fatalf("round %d: %d, %s", i, code, stderr)
			}
			p.command(nobox, "stop", "--time", "0", name).Run()
			return false
		})
	}
	p.expectEmpty(t)
	for _, m := range members() {
		if m.name == "sleep" && strings.Contains(commandOf(m.pid), "sleep 1000") && ownedByMe(m.pid) {
			t.Errorf("left: %d", m.pid)
		}
	}
}

func commandOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.ReplaceAll(string(b), "\x00", " ")
}

func ownedByMe(pid int) bool {
	st, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil && int(st.Sys().(*syscall.Stat_t).Uid) == os.Getuid()
}

func TestWhatIsToldOfABoxSurvivesWhatBefallsItsDirectory(t *testing.T) {
	asUser(t)
	need(t, "userns")

	// Removed while the box runs: it runs on, is not found, and leaves nothing.
	p := newPlace(t)
	b := started(t, p, "one")
	detached(t, p, "two", nil, "sh", "-c", "sleep 1000 & wait")
	two := noboxOf(t, p, "two")
	if err := os.RemoveAll(p.run + "/nobox"); err != nil {
		t.Fatal(err)
	}
	if names := boxNames(t, p); len(names) != 0 {
		t.Errorf("listed: %v", names)
	}
	if _, stderr, code := run(t, p.command(nobox, "exec", "one", "--", "true"), ""); code != 125 || !strings.Contains(stderr, "no box of that name") {
		t.Errorf("exec: %d, %s", code, stderr)
	}
	again := started(t, p, "one")
	b.Process.Signal(syscall.SIGTERM)
	b.end(t, patience)
	if names := boxNames(t, p); len(names) != 1 {
		t.Errorf("the end of the first took away the second: %v", names)
	}
	again.Process.Signal(syscall.SIGTERM)
	again.end(t, patience)
	grip := holdFamily(t, two)
	syscall.Kill(two, syscall.SIGTERM)
	grip.expectGone(t, patience)
	p.expectEmpty(t)

	// What cannot be made there is said, and nothing runs.
	for what, change := range map[string]func(p place){
		"not writable":        func(p place) { os.Chmod(p.run, 0o500) },
		"a file in its place": func(p place) { os.WriteFile(p.run+"/nobox", nil, 0o600) },
		"open to others":      func(p place) { os.Mkdir(p.run+"/nobox", 0o755) },
		"a link in its place": func(p place) { os.Symlink(p.home, p.run+"/nobox") },
	} {
		p := newPlace(t)
		change(p)
		for _, flags := range [][]string{{"--name", "one"}, {"-d"}} {
			line := box(append([]string{"-r"}, flags...), "touch", "ran")
			_, stderr, code := run(t, p.command(line[0], line[1:]...), "")
			if code != 125 || !strings.HasPrefix(stderr, "nobox: cannot name the box (--name ") || !strings.Contains(stderr, p.run+"/nobox: ") {
				t.Errorf("%s: %d, %s", what, code, stderr)
			}
			if _, err := os.Stat(p.work + "/ran"); err == nil {
				t.Errorf("%s: it ran", what)
			}
		}
		os.Chmod(p.run, 0o700)
	}

	// Without XDG_RUNTIME_DIR, or with one that is not the caller's, it is elsewhere.
	for _, dir := range []string{"", "/", "/nowhere", "relative"} {
		p := newPlace(t)
		c := p.command(nobox, "-r", "--net=none", "--name", fmt.Sprintf("elsewhere-%d", os.Getpid()), "--", "true")
		c.Env = append(p.env(), "XDG_RUNTIME_DIR="+dir)
		if _, stderr, code := run(t, c, ""); code != 0 {
			t.Errorf("%q: %d, %s", dir, code, stderr)
		}
		p.expectEmpty(t)
	}
}

// A full disk is found before the box runs; how it ended is kept where the disk
// got full meanwhile.
func TestWhereTheDiskIsFullNoBoxRunsUnknown(t *testing.T) {
	asUser(t)
	need(t, "userns", "unshare")
	p := newPlace(t)
	if err := os.WriteFile(p.work+"/full.sh", []byte(`set -u
mount -t tmpfs -o size=64k,mode=0700 none "$XDG_RUNTIME_DIR"
cd "$XDG_RUNTIME_DIR"
nobox() { "$NOBOX" "$@"; }
nobox -d -r --net=none --name web -v "$XDG_RUNTIME_DIR:/mnt" -- sh -c 'until [ -e /mnt/go ]; do sleep 0.01; done; echo out; exit 7'
dd if=/dev/zero of=fill bs=4k 2>/dev/null
nobox ps | grep -c '^web '
nobox -r --net=none --name two -- touch /mnt/ran
echo "code $?"
nobox -d -r --net=none --name two -- true
echo "code $?"
: >go
nobox wait web
echo "web $?"
nobox ps --all
rm fill
nobox rm web
ls -A
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := p.command("unshare", "-Urm", "sh", p.work+"/full.sh")
	c.Env = append(p.env(), "NOBOX="+nobox)
	out, stderr, _ := run(t, c, "")
	lines := strings.Split(out, "\n")
	if len(lines) < 7 || lines[0] != "web" || lines[1] != "1" || lines[2] != "code 125" || lines[3] != "code 125" || lines[4] != "web 7" || !strings.Contains(out, "\nweb ") || !strings.HasSuffix(out, "\ngo\n") {
		t.Errorf("%s\n%s", out, stderr)
	}
	if n := strings.Count(stderr, "no space left on device"); n < 2 {
		t.Errorf("not said: %s", stderr)
	}
}

// An exec that comes as the box ends runs, or says that there is no such box, or
// ends with it; it never hangs, and never is in another box.
func TestExecInABoxThatIsJustEnding(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	ran, none, died := 0, 0, 0
	for i := range 60 {
		b := started(t, p, "one")
		e := start(t, p.command(nobox, "exec", "one", "--", "echo", "ran"))
		time.Sleep(time.Duration(i%20) * time.Millisecond / 4)
		b.Process.Signal(syscall.SIGKILL)
		code := e.end(t, patience)
		switch {
		case code == 0:
			ran++
		case code == 125 && strings.HasPrefix(e.stderr.String(), "nobox: cannot "):
			none++
		case code == 137:
			died++
		default:
			t.Fatalf("round %d: %d, %s", i, code, e.stderr.String())
		}
		b.end(t, patience)
	}
	t.Logf("%d ran, %d found no box, %d ended with it", ran, none, died)
	if names := boxNames(t, p); len(names) != 0 {
		t.Errorf("listed: %v", names)
	}
	p.expectEmpty(t)
}

func TestStopKillsACommandThatIgnoresTERMAfterItsTime(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	for _, flags := range [][]string{nil, {"--as-pid-1"}} {
		detached(t, p, "web", flags, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done")
		until(t, "up", func() bool { return first(run(t, p.command(nobox, "logs", "web"), "")) == "up\n" })
		begin := time.Now()
		if _, stderr, code := run(t, p.command(nobox, "stop", "--time", "0.3", "web"), ""); code != 0 {
			t.Errorf("%d, %s", code, stderr)
		}
		if d := time.Since(begin); d < 250*time.Millisecond || d > 5*time.Second {
			t.Errorf("stopped after %v", d)
		}
		ended(t, p, "web", 137)
	}
	for _, c := range []struct {
		command string
		code    int
	}{{"/etc/passwd", 126}, {"/no/such", 127}, {"no-such", 127}} {
		b := started(t, p, "one")
		if _, stderr, code := run(t, p.command(nobox, "exec", "one", "--", c.command), ""); code != c.code {
			t.Errorf("exec %s: %d, %s", c.command, code, stderr)
		}
		b.Process.Signal(syscall.SIGTERM)
		b.end(t, patience)
	}
}

func TestAHundredDetachedBoxesAreAllThereAndAllEnd(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	const n = 100
	var wg sync.WaitGroup
	slots := make(chan struct{}, 20)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			c := p.command(nobox, "-d", "-r", "--net=none", "--name", fmt.Sprintf("b%02d", i), "--", "sh", "-c", fmt.Sprintf("echo %d; read x; exec sleep 1000", i))
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("box %d: %v: %s", i, err, out)
			}
		}()
	}
	wg.Wait()
	names := boxNames(t, p)
	if len(names) != n {
		t.Errorf("%d boxes are listed: %v", len(names), names)
	}
	if out, err := p.command(nobox, append([]string{"stop", "--time", "0"}, names...)...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for i, name := range names {
		if out, stderr, code := run(t, p.command(nobox, "wait", name), ""); code != 137 {
			t.Errorf("%s: %d, %s %s", name, code, out, stderr)
		}
		if out, _, _ := run(t, p.command(nobox, "logs", name), ""); out != fmt.Sprintf("%d\n", i) {
			t.Errorf("the log of %s is %q", name, out)
		}
	}
	if out, err := p.command(nobox, append([]string{"rm"}, names...)...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	p.expectEmpty(t)
}
