package tests

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is for what must happen, but may take its time on a busy machine.
const patience = 30 * time.Second

// gone is how soon nothing of a box may be left.
const gone = 2 * time.Second

// A place is where nobox is started: its directories are empty at first.
type place struct {
	work, home, tmp, run string
}

func newPlace(t testing.TB) place {
	t.Helper()
	root := scratch(t)
	p := place{root + "/work", root + "/home", root + "/tmp", root + "/run"}
	for _, d := range []string{p.work, p.home, p.tmp, p.run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p place) env() []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + p.home, "TMPDIR=" + p.tmp,
		"XDG_RUNTIME_DIR=" + p.run, "TERM=xterm", "LC_ALL=C",
	}
}

// command is a program to be started in the place.
func (p place) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir, c.Env = p.work, p.env()
	return c
}

// expectEmpty checks that nothing was left in any of the directories.
func (p place) expectEmpty(t testing.TB) {
	t.Helper()
	for _, d := range []string{p.work, p.home, p.tmp, p.run} {
		es, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			t.Errorf("left behind: %s", filepath.Join(d, e.Name()))
		}
	}
}

// self is the test binary.
func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		t.Fatal(err)
	}
	return exe
}

// boxed is the command line of a box that runs a payload of the test binary:
// nobox, flags, then the payload and its arguments.
func boxed(t testing.TB, flags []string, payload string, args ...string) []string {
	t.Helper()
	if slices.Contains(flags, "--tier=landlock") { // where everything is where the host has it
		return alone(t, flags, payload, args...)
	}
	line := append([]string{nobox, "--net=none", "-v", self(t) + ":/tmp/self:ro"}, flags...)
	return append(append(line, "--", "/tmp/self", "payload:"+payload), args...)
}

// box is the command line of a box that runs a command.
func box(flags []string, command ...string) []string {
	line := append([]string{nobox, "--net=none"}, flags...)
	return append(append(line, "--"), command...)
}

// A process is a running program of the test's, with what it wrote.
type process struct {
	*exec.Cmd
	in             io.WriteCloser // unless Stdin was set
	out            *bufio.Reader  // unless Stdout was set
	stderr         bytes.Buffer   // unless Stderr was set
	done           chan struct{}
	outEnd, inPipe *os.File
}

// start starts c, with pipes for the streams that are not set.
func start(t testing.TB, c *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: c, done: make(chan struct{})}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	}
	var ours []*os.File
	if c.Stdin == nil {
		r, w := pipe()
		c.Stdin, p.in, p.inPipe = r, w, w
		ours = append(ours, r)
	}
	if c.Stdout == nil {
		r, w := pipe()
		r.SetReadDeadline(time.Now().Add(patience))
		c.Stdout, p.out, p.outEnd = w, bufio.NewReader(r), r
		ours = append(ours, w)
	}
	if c.Stderr == nil {
		c.Stderr = &p.stderr
		// A process that outlives nobox and holds stderr is another test's matter.
		c.WaitDelay = 5 * time.Second
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range ours {
		f.Close()
	}
	go func() {
		c.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			c.Process.Kill()
			<-p.done
		}
		if p.inPipe != nil {
			p.inPipe.Close()
		}
		if p.outEnd != nil {
			p.outEnd.Close()
		}
	})
	return p
}

// expectLine reads the next line of the process's output.
func (p *process) expectLine(t testing.TB, want string) {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if line != want+"\n" {
		t.Fatalf("%.200q wrote %q, want %q: %v; stderr: %s", p.Args, line, want, err, p.errors())
	}
}

// errors is what the process said, once it has ended.
func (p *process) errors() string {
	select {
	case <-p.done:
		return p.stderr.String()
	case <-time.After(time.Second):
		return "(still running)"
	}
}

// end waits for the process and returns its exit code, 1000+n if a signal
// ended it.
func (p *process) end(t testing.TB, limit time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		tree := describe(family(p.Process.Pid))
		p.Process.Kill()
		t.Fatalf("%.200q has not ended within %v:\n%s", p.Args, limit, tree)
	}
	if ws := p.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 1000 + int(ws.Signal())
	}
	return p.ProcessState.ExitCode()
}

func (p *process) expectEnd(t testing.TB, limit time.Duration, code int) {
	t.Helper()
	if got := p.end(t, limit); got != code {
		t.Errorf("%.200q ended with %d, want %d; stderr: %s", p.Args, got, code, p.stderr.String())
	}
}

// run runs a program to its end with input and returns what it wrote.
func run(t testing.TB, c *exec.Cmd, input string) (stdout, stderr string, code int) {
	t.Helper()
	var out bytes.Buffer
	c.Stdin, c.Stdout = strings.NewReader(input), &out
	p := start(t, c)
	code = p.end(t, patience)
	return out.String(), p.stderr.String(), code
}

// expectWorks checks that the next start works.
func expectWorks(t testing.TB, p place) {
	t.Helper()
	line := box(nil, "echo", "works")
	if out, stderr, code := run(t, p.command(line[0], line[1:]...), ""); out != "works\n" || code != 0 {
		t.Errorf("the next start gave %q, exit code %d: %s", out, code, stderr)
	}
}

// ---- who is there

// A member is a process of a box, or of nobox's around it.
type member struct {
	pid, parent int
	state       string
	name        string
	inner       string // its pid in its own namespace, "" if that is the test's
}

// members are all processes of the machine.
func members() []member {
	var ms []member
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var m member
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			v := strings.Fields(value)
			if len(v) == 0 {
				continue
			}
			switch key {
			case "Name":
				m.name = v[0]
			case "State":
				m.state = v[0]
			case "Pid":
				m.pid, _ = strconv.Atoi(v[0])
			case "PPid":
				m.parent, _ = strconv.Atoi(v[0])
			case "NSpid":
				if len(v) > 1 {
					m.inner = v[len(v)-1]
				}
			}
		}
		ms = append(ms, m)
	}
	return ms
}

// family are the descendants of a process.
func family(pid int) []member {
	var fam []member
	all := members()
	in := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, m := range all {
			if in[m.parent] && !in[m.pid] {
				in[m.pid], grown = true, true
				fam = append(fam, m)
			}
		}
	}
	slices.SortFunc(fam, func(a, b member) int { return a.pid - b.pid })
	return fam
}

func describe(ms []member) string {
	var b strings.Builder
	for _, m := range ms {
		fmt.Fprintf(&b, "  pid %d (%s inside) of %d: %s, state %s\n", m.pid, m.inner, m.parent, m.name, m.state)
	}
	if b.Len() == 0 {
		return "  nobody\n"
	}
	return b.String()
}

// roles tells the members of a box apart: its pid 1, the command, which may be
// the same, and the watcher, which may be missing.
func roles(nobox int) (init, command, watcher int) {
	fam := family(nobox)
	for _, m := range fam {
		switch {
		case m.parent == nobox && m.inner == "1":
			init = m.pid
		case m.parent == nobox && m.inner == "" && m.state != "Z":
			watcher = m.pid
		}
	}
	command = init
	for _, m := range fam {
		if m.parent == init && m.inner == "2" {
			command = m.pid
		}
	}
	return init, command, watcher
}

// A grip is a set of processes held by pidfd.
type grip []unix.PollFd

func hold(t testing.TB, pids ...int) grip {
	t.Helper()
	var g grip
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			t.Fatal("pidfd_open: ", err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		g = append(g, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return g
}

// holdFamily holds all descendants of a process.
func holdFamily(t testing.TB, pid int) grip {
	t.Helper()
	var pids []int
	for _, m := range family(pid) {
		pids = append(pids, m.pid)
	}
	return hold(t, pids...)
}

// expectGone waits until all have ended.
func (g grip) expectGone(t testing.TB, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	left := slices.Clone(g)
	for len(left) > 0 {
		n, err := unix.Poll(left, max(0, int(time.Until(end).Milliseconds())))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			t.Errorf("%d of %d processes of the box live after %v", len(left), len(g), limit)
			for _, p := range left {
				unix.PidfdSendSignal(int(p.Fd), unix.SIGKILL, nil, 0)
			}
			return
		}
		left = slices.DeleteFunc(left, func(p unix.PollFd) bool { return p.Revents != 0 })
	}
}

// ---- dying together

// kills is a program of its own: it starts boxes, ends nobox with a signal and
// checks that everything of theirs goes. As a subreaper it is who inherits
// what nobox leaves: when it has no children any more nothing is left, whatever
// it was called and wherever it hid.
func kills(args []string) int {
	f := flag.NewFlagSet("kills", flag.ExitOnError)
	from := f.Duration("from", 0, "first delay")
	to := f.Duration("to", 0, "last delay")
	step := f.Duration("step", time.Millisecond, "between two delays")
	rounds := f.Int("rounds", 1, "how often")
	many := f.Int("many", 1, "boxes at once")
	pty := f.Bool("pty", false, "give them a terminal")
	ready := f.Bool("ready", false, "wait until they say that they are ready")
	freeze := f.Bool("freeze", false, "stop their pid 1 first")
	sig := f.Int("signal", int(unix.SIGKILL), "which signal")
	f.Parse(args)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fail(err)
	}
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	failures := 0
	complain := func(format string, a ...any) {
		failures++
		fmt.Printf(format+"\n", a...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	slowest := time.Duration(0)
	for round := 0; round < *rounds; round++ {
		for delay := *from; delay <= *to; delay += *step {
			var boxes []*victim
			for i := 0; i < *many; i++ {
				b, err := newVictim(f.Args(), *pty, *ready)
				if err != nil {
					fail(err)
				}
				boxes = append(boxes, b)
			}
			for _, b := range boxes {
				if *ready && !b.ready() {
					complain("a box did not get ready: %q", b.said)
					unix.Kill(b.pid, unix.SIGKILL)
					return 1
				}
			}
			if *freeze {
				for _, b := range boxes {
					init, _, _ := roles(b.pid)
					unix.Kill(init, unix.SIGSTOP)
				}
			}
			time.Sleep(delay) // the moment to be killed at
			killed := time.Now()
			for _, b := range boxes {
				unix.Kill(b.pid, unix.Signal(*sig))
			}
			limit := time.NewTimer(gone)
			late := false
			for left := true; left; {
				var ws unix.WaitStatus
				pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
				switch {
				case err == unix.EINTR:
				case err != nil:
					left = false
				case pid == 0 && late:
					// Tried once; do not hang on what cannot be killed.
					select {
					case <-child:
					case <-time.After(gone):
						complain("and not even SIGKILL ends it")
						return 1
					}
				case pid == 0:
					select {
					case <-child:
					case <-limit.C:
						late = true
						complain("killed after %v, alive %v later:\n%s", delay, gone, describe(family(os.Getpid())))
						for _, m := range family(os.Getpid()) {
							unix.Kill(m.pid, unix.SIGKILL)
						}
					}
				}
			}
			limit.Stop()
			slowest = max(slowest, time.Since(killed))
			for _, b := range boxes {
				if err := b.close(); err != nil {
					complain("killed after %v: %v", delay, err)
				}
			}
		}
	}
	if now, _ := os.ReadFile("/proc/self/mountinfo"); !bytes.Equal(now, mounts) {
		complain("mounts left:\n%s\nwere:\n%s", now, mounts)
	}
	fmt.Printf("the slowest took %v\n", slowest.Round(time.Millisecond))
	if failures > 0 {
		return 1
	}
	return 0
}

// A victim is a nobox that kills ends.
type victim struct {
	pid   int
	out   *os.File // what the box writes: a pipe, or the master of a pty
	tty   int      // -1, or the pty
	modes unix.Termios
	said  []byte
}

func newVictim(line []string, pty, ready bool) (*victim, error) {
	v := &victim{tty: -1}
	attr := &os.ProcAttr{Sys: &syscall.SysProcAttr{}}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var theirs *os.File
	if pty {
		master, tty, err := openTerminal()
		if err != nil {
			return nil, err
		}
		v.out, v.tty = master, tty
		t, err := unix.IoctlGetTermios(tty, unix.TCGETS)
		if err != nil {
			return nil, err
		}
		v.modes = *t
		dup, err := unix.FcntlInt(uintptr(tty), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, err
		}
		theirs = os.NewFile(uintptr(dup), "tty")
		attr.Files = []*os.File{theirs, theirs, theirs}
		attr.Sys.Setsid, attr.Sys.Setctty, attr.Sys.Ctty = true, true, 0
	} else {
		if v.out, theirs, err = os.Pipe(); err != nil {
			return nil, err
		}
		attr.Files = []*os.File{null, theirs, theirs}
	}
	p, err := os.StartProcess(line[0], line, attr)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	v.pid = p.Pid
	v.out.SetReadDeadline(time.Now().Add(patience / 2))
	if !ready && pty {
		// A terminal that nobody reads would stop nobox.
		go io.Copy(io.Discard, v.out)
	}
	return v, nil
}

// ready waits until the box says so.
func (v *victim) ready() bool {
	b := make([]byte, 1024)
	for !bytes.Contains(v.said, []byte("ready")) {
		n, err := v.out.Read(b)
		v.said = append(v.said, b[:n]...)
		if err != nil {
			v.said = append(v.said, err.Error()...)
			return false
		}
	}
	return true
}

// close checks that the terminal is as it was, and that nobody holds the pipe.
func (v *victim) close() error {
	defer v.out.Close()
	if v.tty < 0 {
		v.out.SetReadDeadline(time.Now().Add(gone))
		if _, err := io.Copy(io.Discard, v.out); err != nil {
			return fmt.Errorf("the pipe on stdout is still open: %w", err)
		}
		return nil
	}
	defer unix.Close(v.tty)
	t, err := unix.IoctlGetTermios(v.tty, unix.TCGETS)
	if err != nil {
		return err
	}
	if *t != v.modes {
		return fmt.Errorf("the terminal's modes are %+v, were %+v", *t, v.modes)
	}
	return nil
}

// expectNothingLeft runs payload:kills with args, in a place of its own.
func expectNothingLeft(t *testing.T, args []string, line []string) {
	t.Helper()
	p := newPlace(t)
	c := p.command(self(t), append(append(append([]string{"payload:kills"}, args...), "--"), line...)...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	k := start(t, c)
	if code := k.end(t, 4*time.Minute); code != 0 {
		t.Errorf("%s", lastLines(out.String(), 60))
	} else {
		t.Logf("%s", lastLines(out.String(), 1))
	}
	p.expectEmpty(t)
	expectWorks(t, p)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{"…"}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}

// load keeps the processors busy until the test ends.
func load(t testing.TB) {
	t.Helper()
	for i := 0; i < 3; i++ {
		c := exec.Command("/bin/sh", "-c", "while :; do :; done")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Process.Kill()
			c.Wait()
		})
	}
}

// A shape is a kind of box whose processes are put together in another way.
type shape struct {
	name  string
	flags []string
	pty   bool
}

var shapes = []shape{
	{"mapped range", nil, false},
	{"root alone", []string{"-r"}, false},
	{"caller's ids", []string{"-c"}, false},
	{"as pid 1", []string{"-r", "--as-pid-1"}, false},
	{"range as pid 1", []string{"--as-pid-1"}, false},
	{"terminal", nil, true},
	{"terminal as pid 1", []string{"-r", "--as-pid-1"}, true},
}

func (s shape) args(args ...string) []string {
	if s.pty {
		args = append(args, "-pty")
	}
	return args
}

func TestNothingIsLeftWhenNoboxIsKilledDuringAStart(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // which makes the moments differ
			expectNothingLeft(t, s.args("-to=30ms", "-rounds=2"), box(s.flags, "sleep", "600"))
		})
	}
}

func TestNothingIsLeftWhenNoboxIsKilledDuringAStartUnderLoad(t *testing.T) {
	need(t, "userns")
	load(t)
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			expectNothingLeft(t, s.args("-to=30ms", "-step=3ms"), box(s.flags, "sleep", "600"))
		})
	}
}

func TestNothingIsLeftOfFiftyBoxesWhoseNoboxesAreKilledAtOnce(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.name == "caller's ids" || s.name == "range as pid 1" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			expectNothingLeft(t, s.args("-many=50", "-to=120ms", "-step=60ms"), box(s.flags, "sleep", "600"))
		})
	}
}

func TestNothingIsLeftWhenNoboxIsToldToEndDuringAStart(t *testing.T) {
	need(t, "userns")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		for _, s := range shapes {
			if slices.Contains(s.flags, "--as-pid-1") {
				continue // pid 1 does not die of these
			}
			t.Run(unix.SignalName(sig)+" "+s.name, func(t *testing.T) {
				t.Parallel()
				expectNothingLeft(t, s.args("-to=30ms", "-step=2ms", fmt.Sprintf("-signal=%d", int(sig))), box(s.flags, "sleep", "600"))
			})
		}
	}
}

func TestNothingIsLeftWhenNoboxIsKilledDuringARun(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			expectNothingLeft(t, s.args("-ready", "-to=4ms"), boxed(t, s.flags, "stubborn"))
		})
	}
	for _, s := range shapes {
		if slices.Contains(s.flags, "-r") || slices.Contains(s.flags, "-c") {
			continue
		}
		t.Run("another user, "+s.name, func(t *testing.T) {
			need(t, "subids")
			t.Parallel()
			expectNothingLeft(t, s.args("-ready", "-to=4ms"), boxed(t, s.flags, "stubborn", "setuid"))
		})
	}
}

func TestNothingIsLeftWhenNoboxIsKilledWhileItsPid1IsStopped(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			expectNothingLeft(t, s.args("-ready", "-freeze"), boxed(t, s.flags, "stubborn"))
		})
	}
}

func TestEveryProcessOfABoxMayDie(t *testing.T) {
	need(t, "userns")
	const killed = 128 + int(unix.SIGKILL)
	for _, s := range shapes {
		for _, who := range []string{"pid 1", "the command", "the watcher", "nobox"} {
			t.Run(s.name+", "+who, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				line := box(s.flags, "sh", "-c", "echo ready; read x; exit 7")
				c := p.command(line[0], line[1:]...)
				var tty *screen
				if s.pty {
					tty = newScreen(t)
					tty.on(c)
				}
				b := start(t, c)
				if s.pty {
					tty.expect("ready")
				} else {
					b.expectLine(t, "ready")
				}
				fam := holdFamily(t, b.Process.Pid)
				init, command, watcher := roles(b.Process.Pid)
				if init == 0 || command == 0 {
					t.Fatalf("pid 1 is %d, the command %d:\n%s", init, command, describe(family(b.Process.Pid)))
				}
				pid, code := 0, 0
				switch who {
				case "pid 1":
					pid, code = init, killed
				case "the command":
					pid, code = command, killed
				case "nobox":
					pid, code = b.Process.Pid, 1000+int(unix.SIGKILL)
				case "the watcher":
					if watcher == 0 {
						t.Skip("there is none")
					}
					pid, code = watcher, 7
				}
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				if pid == watcher {
					hold(t, watcher).expectGone(t, gone)
					if s.pty {
						tty.send("\n")
					} else {
						io.WriteString(b.in, "\n")
					}
				}
				b.expectEnd(t, 10*time.Second, code)
				fam.expectGone(t, gone)
				if s.pty {
					tty.expectModes("after it ended", tty.modes)
				}
			})
		}
	}
}

// ---- signals and exit codes

func TestSignalsToNoboxReachTheCommandOnce(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := boxed(t, s.flags, "signals")
			b := start(t, p.command(line[0], line[1:]...))
			b.expectLine(t, "ready")
			for _, sig := range passedSignals {
				b.Process.Signal(sig)
				b.expectLine(t, unix.SignalName(sig.(unix.Signal)))
			}
			b.in.Close()
			b.expectEnd(t, patience, 0)
			if rest, _ := io.ReadAll(b.out); len(rest) > 0 {
				t.Errorf("signals that nobody sent: %q", rest)
			}
		})
	}
}

func TestASignalThatEndsTheCommandIsTheExitCode(t *testing.T) {
	need(t, "userns")
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := box([]string{"--ulimit", "core=0"}, "sh", "-c", "echo ready; exec sleep 600")
			b := start(t, p.command(line[0], line[1:]...))
			b.expectLine(t, "ready")
			fam := holdFamily(t, b.Process.Pid)
			b.Process.Signal(sig)
			b.expectEnd(t, 5*time.Second, 128+int(sig))
			fam.expectGone(t, gone)
			if s := b.stderr.String(); s != "" {
				t.Errorf("nobox said %q", s)
			}
		})
	}
	t.Run("sent inside", func(t *testing.T) {
		p := newPlace(t)
		for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSEGV, unix.SIGABRT, unix.SIGTERM, unix.SIGPIPE, 34, 64} {
			line := box([]string{"--ulimit", "core=0"}, "sh", "-c", fmt.Sprintf("kill -%d $$; exit 1", int(sig)))
			if _, stderr, code := run(t, p.command(line[0], line[1:]...), ""); code != 128+int(sig) || stderr != "" {
				t.Errorf("signal %d: exit code %d, %q", sig, code, stderr)
			}
		}
	})
	t.Run("codes", func(t *testing.T) {
		p := newPlace(t)
		for _, s := range shapes {
			if s.pty {
				continue
			}
			for _, want := range []int{0, 1, 7, 125, 126, 127, 128, 255} {
				line := box(s.flags, "sh", "-c", fmt.Sprintf("exit %d", want))
				if _, stderr, code := run(t, p.command(line[0], line[1:]...), ""); code != want || stderr != "" {
					t.Errorf("%s: exit code %d, want %d, %q", s.name, code, want, stderr)
				}
			}
		}
	})
}

func TestACommandThatIgnoresTERMIsKilledAfterTheStopTimeout(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := boxed(t, append([]string{"--stop-timeout=1s"}, s.flags...), "stubborn")
			b := start(t, p.command(line[0], line[1:]...))
			b.expectLine(t, "ready")
			fam := holdFamily(t, b.Process.Pid)
			began := time.Now()
			b.Process.Signal(unix.SIGTERM)
			b.expectEnd(t, 6*time.Second, 128+int(unix.SIGKILL))
			if took := time.Since(began); took < 900*time.Millisecond {
				t.Errorf("it had %v", took)
			}
			fam.expectGone(t, gone)
		})
	}
}

func TestTheTimeoutEndsABoxWith124(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			flags := append([]string{"--timeout=1s", "--stop-timeout=1s"}, s.flags...)
			for _, line := range [][]string{box(flags, "sleep", "600"), boxed(t, flags, "stubborn")} {
				c := p.command(line[0], line[1:]...)
				var tty *screen
				if s.pty {
					tty = newScreen(t)
					tty.on(c)
				}
				began := time.Now()
				b := start(t, c)
				b.expectEnd(t, 10*time.Second, 124)
				if took := time.Since(began); took < 900*time.Millisecond {
					t.Errorf("it had %v", took)
				}
				if s.pty {
					tty.expectModes("after the timeout", tty.modes)
				}
			}
		})
	}
	t.Run("not passed", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t)
		line := box([]string{"--timeout=1h"}, "sh", "-c", "exit 7")
		b := start(t, p.command(line[0], line[1:]...))
		b.expectEnd(t, patience, 7)
	})
}

// waitFor waits for a process to change its state, without reaping it.
func waitFor(t testing.TB, pid, options int) {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, options|unix.WNOWAIT, nil)
			if err != unix.EINTR {
				result <- err
				return
			}
		}
	}()
	select {
	case err := <-result:
		if err != nil {
			t.Fatal("waitid: ", err)
		}
	case <-time.After(patience):
		unix.Kill(pid, unix.SIGKILL)
		t.Fatalf("process %d did not change its state", pid)
	}
}

func TestTSTPWithoutATerminalStopsTheCommandAndNobox(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty || slices.Contains(s.flags, "--as-pid-1") {
			continue // pid 1 does not stop
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := box(append([]string{"-t=false"}, s.flags...), "cat")
			c := p.command(line[0], line[1:]...)
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a job of its own
			b := start(t, c)
			io.WriteString(b.in, "ready\n")
			b.expectLine(t, "ready")
			b.Process.Signal(unix.SIGTSTP)
			waitFor(t, b.Process.Pid, unix.WSTOPPED)
			_, command, _ := roles(b.Process.Pid)
			for _, m := range family(b.Process.Pid) {
				if m.pid == command && m.state != "T" {
					t.Errorf("nobox is stopped, its command is not:\n%s", describe([]member{m}))
				}
			}
			b.Process.Signal(unix.SIGCONT)
			io.WriteString(b.in, "on\n")
			b.expectLine(t, "on")
			b.in.Close()
			b.expectEnd(t, patience, 0)
		})
	}
}

func TestACommandThatStopsItselfGoesOnWhereNobodyCouldContinueIt(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	line := box(nil, "sh", "-c", "kill -STOP $$; exit 7")
	b := start(t, p.command("setsid", append([]string{"-w"}, line...)...))
	b.expectEnd(t, 10*time.Second, 7)
}

// ---- pid 1

func TestPid1IsNoboxAndTheCommandItsChild(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	script := `read name </proc/1/comm; echo $name $$ $PPID; tr '\0' ' ' </proc/1/cmdline; echo; ls /proc | grep -c '^[0-9]'`
	line := box(nil, "sh", "-c", script, "secret-argument")
	out, stderr, code := run(t, p.command(line[0], line[1:]...), "")
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) < 2 || lines[0] != "nobox 2 1" || strings.TrimSpace(lines[1]) != "nobox" {
		t.Errorf("%q, exit code %d: %s", out, code, stderr)
	}
}

func TestAsPid1ThereAreTwoProcesses(t *testing.T) {
	need(t, "userns", "ps")
	p := newPlace(t)
	for _, flags := range [][]string{{"--as-pid-1"}, {"-r", "--as-pid-1"}} {
		line := box(flags, "sh", "-c", "ps -eo pid=,ppid=,comm=; echo $$")
		out, stderr, code := run(t, p.command(line[0], line[1:]...), "")
		f := strings.Fields(out)
		if code != 0 || len(f) != 7 || f[0] != "1" || f[2] != "sh" || f[4] != "1" || f[5] != "ps" || f[6] != "1" {
			t.Errorf("%v: %q, exit code %d: %s", flags, out, code, stderr)
		}
	}
}

func TestZombiesAreReaped(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	line := boxed(t, nil, "orphans")
	if out, stderr, code := run(t, p.command(line[0], line[1:]...), ""); out != "2\n" || code != 0 {
		t.Errorf("%s processes are left, want 2; exit code %d: %s", strings.TrimSpace(out), code, stderr)
	}
}

func TestTheCommandsEndIsTheBoxsEnd(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := box(s.flags, "sh", "-c", "setsid sleep 600 & setsid setsid sleep 600 & (trap '' TERM HUP; sleep 600) & echo ready; read x; exit 7")
			b := start(t, p.command(line[0], line[1:]...))
			b.expectLine(t, "ready")
			fam := holdFamily(t, b.Process.Pid)
			io.WriteString(b.in, "\n")
			b.expectEnd(t, 5*time.Second, 7)
			fam.expectGone(t, gone)
			b.outEnd.SetReadDeadline(time.Now().Add(gone))
			if rest, err := io.ReadAll(b.out); err != nil || len(rest) > 0 {
				t.Errorf("a daemon holds the pipe: %q, %v", rest, err)
			}
		})
	}
}

// ---- what the command inherits

// inherited is what a process has of its caller.
func inherited(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	out, stderr, code := run(t, c, "")
	if code != 0 {
		t.Fatalf("%.300q: exit code %d: %s", c.Args, code, stderr)
	}
	status, rest, _ := strings.Cut(out, "=====\n")
	stat, limits, _ := strings.Cut(rest, "=====\n")
	var b strings.Builder
	for line := range strings.Lines(status) {
		for _, key := range []string{"Umask:", "SigBlk:", "SigIgn:", "SigPnd:", "ShdPnd:", "Cpus_allowed_list:"} {
			if strings.HasPrefix(line, key) {
				b.WriteString(line)
			}
		}
	}
	_, fields, ok := strings.Cut(stat, ") ")
	f := strings.Fields(fields)
	if !ok || len(f) < 40 {
		t.Fatalf("/proc/self/stat: %q", stat)
	}
	fmt.Fprintf(&b, "nice:\t%s\npolicy:\t%s\n", f[16], f[38])
	b.WriteString(limits)
	return b.String()
}

func TestTheCommandInheritsWhatTheCallerHas(t *testing.T) {
	need(t, "userns")
	with := func(what ...string) []string {
		return append(append([]string{self(t), "payload:start-with"}, what...), "--")
	}
	sh := func(script string) []string { return []string{"sh", "-c", script + `; exec "$@"`, "sh"} }
	signals := []unix.Signal{
		unix.SIGCHLD, unix.SIGPIPE, unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGQUIT,
		unix.SIGTSTP, unix.SIGTTOU, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH, unix.SIGURG, unix.SIGPROF, 34, 64,
	}
	starts := map[string][]string{
		"as it is":           {"env"},
		"nohup":              {"nohup"},
		"setsid":             {"setsid", "-w"},
		"nice":               {"nice", "-n", "5"},
		"umask 0":            sh("umask 0"),
		"umask 077":          sh("umask 077"),
		"umask 777":          sh("umask 777"),
		"100 files":          sh("ulimit -S -n 100"),
		"64 files":           sh("ulimit -n 64"),
		"all files":          sh("ulimit -S -n $(ulimit -H -n)"),
		"no core":            sh("ulimit -c 0"),
		"a small stack":      sh("ulimit -s 1024"),
		"some memory":        sh("ulimit -v 4194304"),
		"processor time":     sh("ulimit -t 60"),
		"no locked memory":   sh("ulimit -l 0"),
		"many ignored":       with("ignore=1,2,3,13,15,17,20,21,22,28,34"),
		"many blocked":       with("block=1,2,3,10,12,13,14,15,17,18,20,21,22,28,34,64"),
		"ignored, blocked":   with("ignore=17,15", "block=17,15"),
		"runtime's, blocked": with("block=23,27,32,33"),
	}
	for _, sig := range signals {
		starts[fmt.Sprintf("%d ignored", sig)] = with(fmt.Sprintf("ignore=%d", sig))
		starts[fmt.Sprintf("%d blocked", sig)] = with(fmt.Sprintf("block=%d", sig))
	}
	var order []string
	for name := range starts {
		order = append(order, name)
	}
	slices.Sort(order)
	payload := []string{"sh", "-c", "cat /proc/self/status; echo =====; cat /proc/self/stat; echo =====; cat /proc/self/limits; exit 0"}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			by := starts[name]
			line := append(slices.Clone(by), payload...)
			want := inherited(t, p.command(line[0], line[1:]...))
			for _, s := range shapes {
				if s.pty || s.name == "caller's ids" {
					continue
				}
				line := append(slices.Clone(by), box(s.flags, payload...)...)
				got := inherited(t, p.command(line[0], line[1:]...))
				if got != want {
					t.Errorf("%s:\n%s", s.name, difference(got, want))
				}
			}
			line = append(slices.Clone(by), box([]string{"-r"}, "sh", "-c", "exit 7")...)
			if _, stderr, code := run(t, p.command(line[0], line[1:]...), ""); code != 7 {
				t.Errorf("exit code %d, want 7: %s", code, stderr)
			}
		})
	}
}

func TestALimitThatLeavesNoRoomIsSaidInALine(t *testing.T) {
	need(t, "userns")
	for _, limit := range []string{"-v 524288", "-v 1048576", "-f 0", "-n 4", "-n 8", "-n 16", "-s 64", "-l 0", "-u 1"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			c := p.command("sh", append([]string{"-c", "ulimit " + limit + ` || exit 99; exec "$@"`, "sh"}, box(nil, "/bin/echo", "works")...)...)
			out, stderr, code := run(t, c, "")
			lines := strings.Split(strings.TrimRight(stderr, "\n"), "\n")
			said := len(lines) <= 3 && !slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "nobox: ") })
			switch {
			case code == 99:
				t.Skip("the limit is lower")
			case code == 0 && out == "works\n":
			case code == 125 && said:
				t.Log(stderr)
			case code == 126 && said:
				t.Log(stderr) // the command itself did not fit
			default:
				t.Errorf("exit code %d: %s", code, lastLines(stderr, 5))
			}
		})
	}
}

func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	var b strings.Builder
	for i := range max(len(g), len(w)) {
		var x, y string
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			fmt.Fprintf(&b, "  got  %s\n  want %s\n", x, y)
		}
	}
	return b.String()
}

func TestASignalIgnoredByTheCallerStaysIgnored(t *testing.T) {
	need(t, "userns")
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGQUIT} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := append([]string{"payload:start-with", fmt.Sprintf("ignore=%d", sig), "--"},
				box([]string{"--stop-timeout=1h"}, "sh", "-c", "echo ready; read x; exit 7")...)
			b := start(t, p.command(self(t), line...))
			b.expectLine(t, "ready")
			b.Process.Signal(sig)
			io.WriteString(b.in, "\n")
			b.expectEnd(t, patience, 7)
		})
	}
}

// ---- streams

func TestNothingIsTakenFromStdinThatTheCommandDidNotRead(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			file, err := os.Create(filepath.Join(p.tmp, "input"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			file.WriteString("abcdefghij")
			file.Seek(0, io.SeekStart)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			io.WriteString(w, "abcdefghij")
			w.Close()
			for name, f := range map[string]*os.File{"file": file, "pipe": r} {
				for _, step := range []struct{ command, want string }{
					{"true", ""}, {"dd bs=1 count=3 status=none", "abc"}, {"sleep 0.01", ""}, {"dd bs=2 count=1 status=none", "de"},
				} {
					line := box(s.flags, strings.Fields(step.command)...)
					c := p.command(line[0], line[1:]...)
					var out bytes.Buffer
					c.Stdin, c.Stdout = f, &out
					start(t, c).expectEnd(t, patience, 0)
					if out.String() != step.want {
						t.Errorf("%s of the %s gave %q, want %q", step.command, name, out.String(), step.want)
					}
				}
				if rest, _ := io.ReadAll(f); string(rest) != "fghij" {
					t.Errorf("of the %s %q is left, want %q", name, rest, "fghij")
				}
			}
		})
	}
}

// A noise is a stream of bytes that no two places have in common.
type noise struct{ left, state uint64 }

func (n *noise) Read(b []byte) (int, error) {
	if n.left == 0 {
		return 0, io.EOF
	}
	if uint64(len(b)) > n.left {
		b = b[:n.left]
	}
	for i := range b {
		n.state = n.state*6364136223846793005 + 1442695040888963407
		b[i] = byte(n.state >> 56)
	}
	n.left -= uint64(len(b))
	return len(b), nil
}

func TestSixtyFourMegabytesPassUnchanged(t *testing.T) {
	need(t, "userns")
	const size = 64 << 20
	p := newPlace(t)
	for _, flags := range [][]string{nil, {"--as-pid-1"}} {
		line := box(flags, "cat")
		b := start(t, p.command(line[0], line[1:]...))
		go func() {
			io.Copy(b.in, &noise{left: size})
			b.in.Close()
		}()
		want, got := bufio.NewReader(&noise{left: size}), b.out
		var x, y [1 << 15]byte
		for total := 0; ; {
			n, err := io.ReadFull(got, x[:])
			m, _ := io.ReadFull(want, y[:])
			total += n
			if n != m || !bytes.Equal(x[:n], y[:m]) {
				t.Fatalf("the %d bytes before offset %d differ", n, total)
			}
			if err != nil {
				break
			}
		}
		b.expectEnd(t, patience, 0)
	}
}

func TestAClosedStreamIsNoneOfNoboxsOwn(t *testing.T) {
	need(t, "userns")
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"} {
		for _, flags := range [][]string{nil, {"-r"}, {"-r", "--as-pid-1"}} {
			p := newPlace(t)
			c := p.command("sh", append([]string{"-c", `exec "$@" ` + closed, "sh"}, box(flags, "sh", "-c", "cp -P /proc/$$/fd/[0-9]* .; exit 7")...)...)
			if _, _, code := run(t, c, ""); code != 7 {
				t.Errorf("%s, %v: exit code %d", closed, flags, code)
				continue
			}
			es, err := os.ReadDir(p.work)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range es {
				to, err := os.Readlink(filepath.Join(p.work, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				mark := map[string]string{"0": "<&-", "1": " >&-", "2": "2>&-"}[e.Name()]
				switch {
				case mark == "":
					t.Errorf("%s, %v: descriptor %s is %s", closed, flags, e.Name(), to)
				case strings.Contains(" "+closed, mark) && to != "/dev/null":
					t.Errorf("%s, %v: descriptor %s is %s, not closed", closed, flags, e.Name(), to)
				}
			}
		}
	}
}

func TestAFullStdoutIsTheCommandsError(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	line := box(nil, "/bin/echo", "x")
	c := p.command(line[0], line[1:]...)
	c.Stdout = full
	b := start(t, c)
	b.expectEnd(t, patience, 1)
	if s := b.stderr.String(); !strings.Contains(s, "No space left") || strings.Contains(s, "nobox:") {
		t.Errorf("stderr: %s", s)
	}
}

func TestAReaderThatLeavesEndsTheBoxAtOnce(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	for _, flags := range [][]string{nil, {"--as-pid-1"}} {
		line := box(flags, "yes")
		b := start(t, p.command(line[0], line[1:]...))
		b.expectLine(t, "y")
		b.outEnd.Close()
		if flags == nil {
			b.expectEnd(t, 5*time.Second, 128+int(unix.SIGPIPE))
		} else {
			// Pid 1 does not die of SIGPIPE, but of the error behind it.
			b.expectEnd(t, 5*time.Second, 1)
		}
		if s := b.stderr.String(); flags == nil && s != "" {
			t.Errorf("stderr: %s", s)
		}
	}
}

func TestTheReadersPipeEndsWhenTheCommandClosesItsStdout(t *testing.T) {
	need(t, "userns")
	for _, s := range shapes {
		if s.pty {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			line := box(s.flags, "sh", "-c", "echo last; exec >&-; read x; exit 7")
			b := start(t, p.command(line[0], line[1:]...))
			b.expectLine(t, "last")
			if _, err := b.out.ReadByte(); err != io.EOF {
				t.Fatalf("the pipe has not ended: %v", err)
			}
			select {
			case <-b.done:
				t.Error("nobox has ended")
			default:
			}
			io.WriteString(b.in, "\n")
			b.expectEnd(t, patience, 7)
		})
	}
}

func TestAWriterLearnsThatTheCommandClosedItsStdin(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	line := box(nil, "sh", "-c", "exec <&-; echo closed; exec sleep 600")
	b := start(t, p.command(line[0], line[1:]...))
	b.expectLine(t, "closed")
	b.inPipe.SetWriteDeadline(time.Now().Add(patience))
	if _, err := b.in.Write(make([]byte, 1<<20)); !errors.Is(err, unix.EPIPE) {
		t.Errorf("a write to the closed stdin: %v", err)
	}
}

func TestArgumentsArriveExact(t *testing.T) {
	need(t, "userns")
	var many []string
	for i := 0; i < 20000; i++ {
		many = append(many, fmt.Sprintf("argument %d", i))
	}
	var all []string
	for i := 1; i < 256; i++ {
		all = append(all, string([]byte{byte(i)}))
	}
	p := newPlace(t)
	for name, args := range map[string][]string{
		"odd":      {"", "--", "--help", "-h", "-", "", "a b", "a\nb", "'\"\\$x`", "\xff\xfe\x80", "ä", "--net=host", "=", ""},
		"any byte": append(all, strings.Join(all, "")),
		"many":     many,
		"long":     {strings.Repeat("x", 120<<10)},
	} {
		for _, flags := range [][]string{nil, {"-r", "--as-pid-1"}} {
			line := box(flags, append([]string{"sh", "-c", `printf '%s\0' "$@"`, "sh"}, args...)...)
			out, stderr, code := run(t, p.command(line[0], line[1:]...), "")
			if want := strings.Join(args, "\x00") + "\x00"; out != want || code != 0 {
				t.Errorf("%s, %v: got %.300q, exit code %d: %.300s", name, flags, out, code, stderr)
			}
		}
	}
	line := box(nil, "printf", "%s", "--help")
	if out, stderr, code := run(t, p.command(line[0], line[1:]...), ""); out != "--help" || code != 0 {
		t.Errorf("%q, exit code %d: %s", out, code, stderr)
	}
}

func TestAnEnvironmentOfAMegabyteArrives(t *testing.T) {
	need(t, "userns")
	var big []string
	for i := 0; i < 10; i++ {
		big = append(big, fmt.Sprintf("BIG%d=%s", i, strings.Repeat(string(rune('a'+i)), 100<<10)))
	}
	p := newPlace(t)
	for _, flags := range [][]string{{"--env-host"}, {"--env-host", "--as-pid-1"}} {
		line := box(flags, "env")
		c := p.command(line[0], line[1:]...)
		c.Env = append(c.Env, big...)
		out, stderr, code := run(t, c, "")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		got := strings.Split(out, "\n")
		for _, want := range append(big, "XDG_RUNTIME_DIR="+p.run) {
			if !slices.Contains(got, want) {
				t.Errorf("%.20s is not there", want)
			}
		}
	}
	// It is no burden where it was not asked for.
	line := box(nil, "env")
	c := p.command(line[0], line[1:]...)
	c.Env = append(c.Env, big...)
	if out, stderr, code := run(t, c, ""); code != 0 || strings.Contains(out, "BIG") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestManyBoxesAtOnceAllAnswer(t *testing.T) {
	need(t, "userns")
	p := newPlace(t)
	var wg sync.WaitGroup
	for i := 0; i < 100; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			line := box(nil, "sh", "-c", fmt.Sprintf("echo $(hostname 2>/dev/null) %d", i))
			c := p.command(line[0], line[1:]...)
			out, err := c.Output()
			if f := strings.Fields(string(out)); err != nil || len(f) == 0 || f[len(f)-1] != strconv.Itoa(i) {
				t.Errorf("box %d: %q, %v", i, out, err)
			}
		}()
	}
	wg.Wait()
	p.expectEmpty(t)
}
