package tests

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// detached starts a box in the background, and has it forgotten at the end.
func detached(t *testing.T, p place, name string, flags []string, command ...string) {
	t.Helper()
	line := box(append([]string{"-d", "-r", "--name", name}, flags...), command...)
	out, stderr, code := run(t, p.command(line[0], line[1:]...), "")
	if out != name+"\n" || code != 0 {
		t.Fatalf("%q, exit code %d: %s", out, code, stderr)
	}
	t.Cleanup(func() { p.command(nobox, "stop", "--time", "0", name).Run() })
	if strings.HasPrefix(command[len(command)-1], "stty -echo; echo ready;") {
		until(t, "a terminal without echo", func() bool {
			return strings.Contains(first(run(t, p.command(nobox, "logs", name), "")), "ready")
		})
	}
}

// ended waits for the box, and sees that nothing of it is left once it is forgotten.
func ended(t *testing.T, p place, name string, code int) {
	t.Helper()
	if _, stderr, got := run(t, p.command(nobox, "wait", name), ""); got != code {
		t.Errorf("nobox wait returned %d, not %d: %s", got, code, stderr)
	}
	if _, stderr, got := run(t, p.command(nobox, "rm", name), ""); got != 0 {
		t.Errorf("nobox rm: %d, %s", got, stderr)
	}
	p.expectEmpty(t)
}

const answers = "stty -echo; echo ready; while read x; do echo got:$x; [ $x = end ] && exit 7; [ $x = size ] && stty size; done"

func TestADetachedBoxsTerminalIsAttachedToLeftAndTakenUpAgain(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", answers)
	for i := range 3 {
		s.resize(uint16(30+i), 90)
		before := s.flags()
		a := s.start(p, []string{nobox, "attach", "web"})
		until(t, "raw mode", s.raw)
		s.send("one\n")
		s.expect("got:one\r\n")
		s.send("size\n")
		s.expect(fmt.Sprintf("%d 90\r\n", 30+i))
		s.resize(50, uint16(100+i))
		s.send("size\n")
		s.expect("got:size")
		until(t, "the new size", func() bool {
			s.send("size\n")
			s.expect("got:size\r\n")
			return strings.Contains(s.expect("\r\n"), fmt.Sprintf("50 %d", 100+i))
		})
		s.send("\x10x\n") // half of the keys is what was typed
		s.expect("got:\x10x")
		s.send("\x10")
		s.send("\x11")
		s.expect("detached from web, which runs on")
		a.expectEnd(t, patience, 0)
		s.expectModes("after detaching", s.modes)
		if f := s.flags(); f != before {
			t.Errorf("the description's flags are %#x, were %#x", f, before)
		}
		if names := boxNames(t, p); len(names) != 1 {
			t.Fatalf("the box is gone: %v", names)
		}
	}
	a := s.start(p, []string{nobox, "attach", "--detach-keys", "ctrl-x,y", "web"})
	until(t, "raw mode", s.raw)
	s.send("\x10\x0ftwo\n") // none of this one's
	s.expect("got:\x10")
	s.send("\x18y")
	a.expectEnd(t, patience, 0)
	a = s.start(p, []string{nobox, "attach", "--detach-keys=", "web"})
	until(t, "raw mode", s.raw)
	s.send("end\n")
	s.expect("got:end")
	a.expectEnd(t, patience, 7)
	s.expectModes("after the box's end", s.modes)
	if out, _, _ := run(t, p.command(nobox, "logs", "web"), ""); !strings.HasPrefix(out, "ready\r\n") || !strings.HasSuffix(out, "got:end\r\n") {
		t.Errorf("the log is %q", out)
	}
	_, stderr, code := run(t, p.command(nobox, "attach", "web"), "")
	if code != 125 || !strings.HasPrefix(stderr, "nobox: cannot attach to web: it has ended\nnobox: hint: ") {
		t.Errorf("attached to what has ended: %d, %s", code, stderr)
	}
	ended(t, p, "web", 7)
}

func TestTwoWhoAreAttachedSeeTheSame(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, one, two := newPlace(t), newScreen(t), newScreen(t)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", answers)
	a := one.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", one.raw)
	b := two.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", two.raw)
	one.send("first\n")
	one.expect("got:first")
	two.expect("got:first")
	two.send("second\n")
	one.expect("got:second")
	two.expect("got:second")
	// One that is killed gives its terminal back, and is no loss to the other.
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	a.expectEnd(t, patience, 1000+int(unix.SIGKILL))
	until(t, "the modes of the killed one", func() bool { return one.now() == one.modes })
	two.send("third\n")
	two.expect("got:third")
	// A signal is no end of the box's either.
	b.Process.Signal(unix.SIGTERM)
	b.expectEnd(t, patience, 128+int(unix.SIGTERM))
	two.expect("detached from web")
	two.expectModes("after TERM", two.modes)
	// Nor is a terminal that goes away.
	c := two.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", two.raw)
	two.hangUp()
	c.expectEnd(t, patience, 128+int(unix.SIGHUP))
	d := one.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", one.raw)
	one.send("end\n")
	d.expectEnd(t, patience, 7)
	one.expectModes("after the end", one.modes)
	ended(t, p, "web", 7)
}

func TestWhoIsAttachedLearnsThatTheNoboxWasKilled(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", answers)
	a := s.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", s.raw)
	supervisor := noboxOf(t, p, "web")
	fam := holdFamily(t, supervisor)
	if err := unix.Kill(supervisor, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.expectEnd(t, patience, 125)
	s.expect("its nobox was killed")
	s.expectModes("after the kill", s.modes)
	fam.expectGone(t, gone)
	if _, _, code := run(t, p.command(nobox, "rm", "web"), ""); code != 0 {
		t.Errorf("nobox rm: %d", code)
	}
	p.expectEmpty(t)
}

// noboxOf is the nobox that runs a box.
func noboxOf(t *testing.T, p place, name string) int {
	t.Helper()
	out, stderr, _ := run(t, p.command(nobox, "inspect", name), "")
	_, rest, _ := strings.Cut(out, `"nobox": {`)
	_, rest, _ = strings.Cut(rest, `"pid": `)
	rest, _, _ = strings.Cut(rest, ",")
	pid, err := strconv.Atoi(rest)
	if err != nil {
		t.Fatal(out, stderr)
	}
	return pid
}

// All that a box writes is shown and kept, also where the terminal is slower, or
// stopped for a while.
func TestNothingIsLostOfWhatABoxWritesWhileSomebodyIsAttached(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", "stty -opost; read x; seq 1 300000; exit 3")
	a := s.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", s.raw)
	s.send("go\n")
	s.expect("\n1000\n")
	a.Process.Signal(unix.SIGSTOP)
	a.Process.Signal(unix.SIGCONT)
	a.expectEnd(t, patience, 3)
	var want strings.Builder
	for i := range 300000 {
		fmt.Fprintf(&want, "%d\n", i+1)
	}
	for what, got := range map[string]string{"shown": s.all(), "kept": first(run(t, p.command(nobox, "logs", "web"), ""))} {
		if _, got, _ = strings.Cut(got, "\n1\n"); "1\n"+got != want.String() {
			t.Errorf("%s: %d bytes, not %d", what, len(got)+2, want.Len())
		}
	}
	ended(t, p, "web", 3)
}

func first(a, _ string, _ int) string { return a }

func TestOfABoxWithoutATerminalWhoAttachesHasTheStreamsAndTheSignals(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	detached(t, p, "web", []string{"-i"}, "sh", "-c", "echo before; trap 'echo told; exit 9' TERM; while :; do read x && echo got:$x; done")
	until(t, "what is written before", func() bool { return first(run(t, p.command(nobox, "logs", "web"), "")) == "before\n" })
	a := start(t, p.command(nobox, "attach", "web"))
	fmt.Fprintln(a.in, "one")
	a.expectLine(t, "got:one")
	a.in.Close() // the command's stays open
	b := start(t, p.command(nobox, "attach", "--no-stdin", "web"))
	c := start(t, p.command(nobox, "attach", "web"))
	fmt.Fprintln(c.in, "two")
	c.expectLine(t, "got:two")
	a.expectLine(t, "got:two")
	c.Process.Signal(unix.SIGTERM)
	c.expectLine(t, "told")
	for _, x := range []*process{a, b, c} {
		x.expectEnd(t, patience, 9)
	}
	ended(t, p, "web", 9)

	detached(t, p, "two", nil, "sh", "-c", "read x; echo end:$x; exec sleep 600")
	d := start(t, p.command(nobox, "attach", "--sig-proxy=false", "two"))
	until(t, "an empty stdin", func() bool { return first(run(t, p.command(nobox, "logs", "two"), "")) == "end:\n" })
	d.Process.Signal(unix.SIGTERM)
	d.expectEnd(t, patience, 1000+int(unix.SIGTERM))
	if names := boxNames(t, p); len(names) != 1 {
		t.Errorf("the signal went to the box: %v", names)
	}
	run(t, p.command(nobox, "stop", "--time", "0", "two"), "")
	ended(t, p, "two", 137)
}

func TestWhatCannotBeAttachedToIsSaid(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	b := started(t, p, "one")
	for _, c := range []struct{ args, want string }{
		{"nobody", "cannot attach to nobody: no box of that name is running"},
		{"one", "cannot attach to one: it was not started with -d"},
		{"one two", "one box at a time"},
		{"--detach-keys ctrl-1 one", "ctrl-1"},
		{"--json one", "it has no --json"},
	} {
		_, stderr, code := run(t, p.command(nobox, append([]string{"attach"}, strings.Fields(c.args)...)...), "")
		if code != 125 || !strings.Contains(stderr, c.want) {
			t.Errorf("attach %s: %d, %s", c.args, code, stderr)
		}
	}
	b.Process.Signal(unix.SIGTERM)
	b.end(t, patience)
}

// A box may be shown the directory with the sockets of others; its root is the
// caller's uid to the kernel.
func TestABoxCannotAttachToAnother(t *testing.T) {
	asUser(t)
	need(t, "userns", "python3")
	p := newPlace(t)
	seenInside(t, p)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", answers)
	const connect = `import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
with open("/proc/self/ns/user") as ns:
    socket.send_fds(s, [b"from"], [ns.fileno()] if sys.argv[2] == "ns" else [])
print(len(s.recvmsg(1, 64)[0]), os.getuid())`
	for _, say := range []string{"ns", "nothing"} {
		line := box([]string{"-r", "-v", p.run + ":/mnt"}, "python3", "-c", connect, "/mnt/nobox/web/attach", say)
		if out, stderr, code := run(t, p.command(line[0], line[1:]...), ""); out != "0 0\n" {
			t.Errorf("from inside, with %s: %q, %d, %s", say, out, code, stderr)
		}
	}
	if out, stderr, _ := run(t, p.command("python3", "-c", connect, p.run+"/nobox/web/attach", "ns"), ""); !strings.HasPrefix(out, "1 ") {
		t.Errorf("from outside: %q, %s", out, stderr)
	}
	if out, _, _ := run(t, p.command("python3", "-c", connect, p.run+"/nobox/web/attach", "nothing"), ""); !strings.HasPrefix(out, "0 ") {
		t.Errorf("from outside, from nowhere: %q", out)
	}
	// Those inside who say nothing do not keep others out.
	const crowd = `import socket, sys
all = []
for i in range(200):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    all.append(s)
print("ready", flush=True)
sys.stdin.read()`
	line := box([]string{"-r", "-v", p.run + ":/mnt"}, "python3", "-c", crowd, "/mnt/nobox/web/attach")
	c := start(t, p.command(line[0], line[1:]...))
	c.expectLine(t, "ready")
	if out, stderr, _ := run(t, p.command("python3", "-c", connect, p.run+"/nobox/web/attach", "ns"), ""); !strings.HasPrefix(out, "1 ") {
		t.Errorf("from outside, in a crowd: %q, %s", out, stderr)
	}
	c.in.Close()
	c.expectEnd(t, patience, 0)
}

func TestExecHasATerminalOfTheBoxsOwn(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	detached(t, p, "web", nil, "sleep", "600")
	for _, flags := range [][]string{nil, {"-t"}} {
		s.resize(33, 101)
		e := s.start(p, slices.Concat([]string{nobox, "exec"}, flags, []string{"web", "--", "sh", "-c", "stty -echo; tty; stty size; read x; echo got:$x; exit 4"}))
		s.expect("/dev/pts/")
		s.expect("33 101")
		s.send("one\n")
		s.expect("got:one")
		e.expectEnd(t, patience, 4)
		s.expectModes("after exec", s.modes)
	}
	if _, stderr, code := run(t, p.command(nobox, "exec", "-t", "web", "--", "true"), ""); code != 125 || !strings.Contains(stderr, "(-t): stdin is not a terminal") {
		t.Errorf("-t without a terminal: %d, %s", code, stderr)
	}
	if out, stderr, code := run(t, p.command(nobox, "exec", "-t=false", "web", "--", "tty"), ""); out != "not a tty\n" || code != 1 {
		t.Errorf("-t=false: %q, %d, %s", out, code, stderr)
	}
}

// seenInside has a share of the place's show what nobox knows of boxes: one that
// nobox makes for their time shows as an empty directory.
func seenInside(t *testing.T, p place) {
	t.Helper()
	if err := os.Mkdir(p.run+"/nobox", 0o700); err != nil {
		t.Fatal(err)
	}
}

// Nor may it have ports published, or files removed as sockets.
func TestABoxCannotSpeakToAnothersForwarder(t *testing.T) {
	asUser(t)
	need(t, "userns", "python3")
	p := newPlace(t)
	seenInside(t, p)
	detached(t, p, "web", []string{"-p", "127.0.0.1:0:80"}, "sleep", "600")
	const list = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect(sys.argv[1])
try:
    with open("/proc/self/ns/user") as ns:
        socket.send_fds(s, [b"from"], [ns.fileno()])
    s.send(b"list")
    print(s.recv(1000).decode() or "nothing")
except (BrokenPipeError, ConnectionResetError):
    print("nothing")`
	line := box([]string{"-r", "-v", p.run + ":/mnt"}, "python3", "-c", list, "/mnt/nobox/web/ports")
	if out, stderr, code := run(t, p.command(line[0], line[1:]...), ""); out != "nothing\n" {
		t.Errorf("from inside: %q, %d, %s", out, code, stderr)
	}
	if out, stderr, _ := run(t, p.command("python3", "-c", list, p.run+"/nobox/web/ports"), ""); !strings.HasPrefix(out, "tcp 80 127.0.0.1:") {
		t.Errorf("from outside: %q, %s", out, stderr)
	}
	if out, stderr, code := run(t, p.command(nobox, "port", "web"), ""); code != 0 || !strings.HasPrefix(out, "80/tcp -> ") {
		t.Errorf("nobox port: %q, %d, %s", out, code, stderr)
	}
}

// Who takes nothing is waited for, and then let go of: the box goes on, and says
// so when he comes back.
func TestWhoTakesNothingForLongHoldsNoBoxUp(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	detached(t, p, "web", []string{"-t"}, "sh", "-c", "stty -opost; read x; seq 1 1000000; echo done; exec sleep 600")
	a := s.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", s.raw)
	a.Process.Signal(unix.SIGSTOP)
	b := start(t, p.command(nobox, "attach", "web")) // not on a terminal: it follows the log
	s2 := newScreen(t)
	c := s2.start(p, []string{nobox, "attach", "web"})
	until(t, "raw mode", s2.raw)
	s2.send("go\n")
	s2.expect("\ndone\n")
	a.Process.Signal(unix.SIGCONT)
	a.expectEnd(t, patience, 125)
	s.expect("its nobox let go of this terminal")
	s.expectModes("after it was let go of", s.modes)
	s2.send("\x10\x11")
	c.expectEnd(t, patience, 0)
	b.Process.Kill()
	run(t, p.command(nobox, "stop", "--time", "0", "web"), "")
	ended(t, p, "web", 137)
}
