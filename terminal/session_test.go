package terminal

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Job control needs a session with a terminal, so processes of their own: a
// shell, the session's leader, which moves the terminal's foreground, and
// nobox, which has the relay. Both are this test binary, do what they are told
// byte by byte on a socket, and end when it closes.
const (
	roleShell = "terminal-test-shell"
	roleNobox = "terminal-test-nobox"
	roleProbe = "terminal-test-probe"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleShell:
			beShell()
			return
		case roleNobox:
			beNobox()
			return
		case roleProbe:
			json.NewEncoder(os.NewFile(3, "socket")).Encode(Probe())
			return
		}
	}
	os.Exit(m.Run())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// beShell starts nobox as a background job and moves the terminal to it (f)
// and back (b). 3 is its socket, 4 nobox's, 5 the master side of the box's pty.
func beShell() {
	for fd := 3; fd <= 5; fd++ {
		unix.CloseOnExec(fd)
	}
	me, err := os.Executable()
	check(err)
	job := exec.Command(me, roleNobox)
	job.Stdin, job.Stdout, job.Stderr = os.Stdin, os.Stdout, os.Stderr
	job.ExtraFiles = []*os.File{os.NewFile(4, "socket"), os.NewFile(5, "master")}
	job.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(job.Start())
	job.ExtraFiles[0].Close()
	job.ExtraFiles[1].Close()

	// As shells do: from the background TIOCSPGRP too is worth a SIGTTOU.
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGTTOU - 1)
	check(unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
	obey(os.NewFile(3, "socket"), func(order byte) string {
		group := job.Process.Pid
		if order == 'b' {
			group = unix.Getpgrp()
		}
		check(unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group))
		return "ok"
	})
}

// beNobox relays its streams to the pty whose master side is 4. 3 is its
// socket.
func beNobox() {
	signal.Ignore(unix.SIGHUP)
	r := NewRelay(4, Probe())
	obey(os.NewFile(3, "socket"), func(order byte) string {
		switch order {
		case 'p':
			return fmt.Sprint(r.streams.Background)
		case 's':
			check(r.Start())
		case 'r':
			r.Resume()
		case 'h':
			<-r.HungUp()
		case 'c':
			r.Close()
		}
		return "ok"
	})
}

// obey answers each byte of s with a packet, until s closes.
func obey(s *os.File, do func(byte) string) {
	b := make([]byte, 1)
	for {
		if n, err := s.Read(b); n == 0 || err != nil {
			return
		}
		_, err := s.WriteString(do(b[0]))
		check(err)
	}
}

// socket is this process's end and another's.
func socket(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	ours, theirs = os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	ours.SetDeadline(time.Now().Add(deadline))
	t.Cleanup(func() { ours.Close() })
	return ours, theirs
}

func order(t *testing.T, s *os.File, what byte, want string) {
	t.Helper()
	b := make([]byte, 64)
	if _, err := s.Write([]byte{what}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("order %c: answer %q, want %q: %v", what, b[:n], want, err)
	}
}

// run starts this binary in role, in a session of its own whose terminal is
// stdin, and closes its descriptors here.
func run(t *testing.T, role string, stdio [3]*os.File, extra ...*os.File) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], role)
	c.Stdin, c.Stdout, c.Stderr = stdio[0], stdio[1], stdio[2]
	c.ExtraFiles = extra
	// The race detector's pause at exit, a second otherwise.
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	_, err := unix.IoctlGetTermios(int(stdio[0].Fd()), unix.TCGETS)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: err == nil}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Wait() })
	for _, f := range extra {
		f.Close()
	}
	return c
}

// A login is a shell on a terminal and a nobox it started in the background.
type login struct {
	*pty
	before       unix.Termios
	shell, nobox *os.File
	box          *os.File
}

func newLogin(t *testing.T) *login {
	term, inner := openPTY(t), openPTY(t)
	set(t, inner.tty, raw(modes(t, inner.tty)))
	inner.closeTTY()
	master := os.NewFile(uintptr(inner.takeMaster(t)), "master")
	l := &login{pty: term, before: modes(t, term.tty), box: inner.peer}
	shell, shellEnd := socket(t)
	nobox, noboxEnd := socket(t)
	l.shell, l.nobox = shell, nobox
	dup, err := unix.FcntlInt(uintptr(term.tty), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	tty := os.NewFile(uintptr(dup), "tty")
	defer tty.Close()
	run(t, roleShell, [3]*os.File{tty, tty, tty}, shellEnd, noboxEnd, master)
	t.Cleanup(func() { l.shell.Close(); l.nobox.Close() })
	return l
}

// through has the relay go round once more: what was ready before has been
// looked at when the output arrives.
func (l *login) through(t *testing.T, s string) {
	t.Helper()
	send(t, l.box, s)
	expect(t, l.master, s)
}

func (l *login) expectUntouched(t *testing.T, when string, want unix.Termios, unread int) {
	t.Helper()
	if got := modes(t, l.tty); got != want {
		t.Fatalf("%s: modes are\n%+v, want\n%+v", when, got, want)
	}
	if n := queued(t, l.tty); n != unread {
		t.Fatalf("%s: %d bytes left to read, want %d", when, n, unread)
	}
}

func TestInTheBackgroundTheTerminalIsNeitherReadNorChanged(t *testing.T) {
	l := newLogin(t)
	order(t, l.nobox, 'p', "true")
	order(t, l.nobox, 's', "ok")
	send(t, l.master, "ls\n")
	expect(t, l.master, "ls\r\n") // the terminal's own echo
	l.through(t, "output")
	l.expectUntouched(t, "in the background", l.before, 3)

	order(t, l.nobox, 'r', "ok")
	l.expectUntouched(t, "after a Resume in the background", l.before, 3)

	// As fg without a stop: nobody tells the relay.
	order(t, l.shell, 'f', "ok")
	expect(t, l.box, "ls\n")
	l.expectUntouched(t, "in the foreground", raw(l.before), 0)

	// The shell takes the terminal back without a stop.
	order(t, l.shell, 'b', "ok")
	send(t, l.master, "for the shell")
	l.through(t, "output")
	l.expectUntouched(t, "in the background again", raw(l.before), 13)

	order(t, l.shell, 'f', "ok")
	order(t, l.nobox, 'r', "ok")
	expect(t, l.box, "for the shell")
	l.box.Close()
	order(t, l.nobox, 'c', "ok")
	l.expectUntouched(t, "after Close", l.before, 0)
}

func TestTheModesFoundInTheBackgroundAreNotTheOnesRestored(t *testing.T) {
	l := newLogin(t)
	editor := raw(l.before)
	set(t, l.tty, editor) // a shell's line editor
	order(t, l.nobox, 's', "ok")
	set(t, l.tty, l.before) // what it gives a job
	order(t, l.shell, 'f', "ok")
	order(t, l.nobox, 'r', "ok")
	l.expectUntouched(t, "in the foreground", raw(l.before), 0)
	l.box.Close()
	order(t, l.nobox, 'c', "ok")
	l.expectUntouched(t, "after Close", l.before, 0)
}

func TestCloseInTheBackgroundLeavesTheModesToWhoeverIsInFront(t *testing.T) {
	l := newLogin(t)
	order(t, l.shell, 'f', "ok")
	order(t, l.nobox, 's', "ok")
	order(t, l.shell, 'b', "ok")
	theirs := l.before
	theirs.Lflag &^= unix.ECHO
	set(t, l.tty, theirs)
	send(t, l.box, "the end")
	l.box.Close()
	order(t, l.nobox, 'c', "ok")
	expect(t, l.master, "the end")
	l.expectUntouched(t, "after Close", theirs, 0)
}

func TestAHangUpIsNoticedInTheForegroundAndInTheBackground(t *testing.T) {
	for _, background := range []bool{false, true} {
		t.Run(fmt.Sprintf("background %v", background), func(t *testing.T) {
			l := newLogin(t)
			if !background {
				order(t, l.shell, 'f', "ok")
			}
			order(t, l.nobox, 's', "ok")
			l.master.Close()
			expectEnd(t, l.box)
			order(t, l.nobox, 'h', "ok")
			order(t, l.nobox, 'c', "ok")
		})
	}
}

// A stream is what a test gives a process as one of its three.
type stream struct {
	name string
	file func(t *testing.T, a, b *pty, pipe *os.File) *os.File
}

func reopened(t *testing.T, p *pty, access int) *os.File {
	return os.NewFile(uintptr(openPeer(t, int(p.master.Fd()), access)), "tty")
}

func terminalA(access int) stream {
	return stream{"terminal", func(t *testing.T, a, _ *pty, _ *os.File) *os.File { return reopened(t, a, access) }}
}

func terminalB() stream {
	return stream{"other terminal", func(t *testing.T, _, b *pty, _ *os.File) *os.File { return reopened(t, b, unix.O_RDWR) }}
}

func notTerminal() stream {
	return stream{"pipe", func(_ *testing.T, _, _ *pty, pipe *os.File) *os.File { return pipe }}
}

func TestProbeAndTheScreenFollowTheStreams(t *testing.T) {
	for _, c := range []struct {
		streams [3]stream
		tty     [3]bool
		screen  string // a or b
	}{
		{[3]stream{terminalA(unix.O_RDWR), terminalA(unix.O_RDWR), terminalA(unix.O_RDWR)}, [3]bool{true, true, true}, "a"},
		{[3]stream{terminalA(unix.O_RDWR), terminalB(), notTerminal()}, [3]bool{true, true, false}, "b"},
		{[3]stream{terminalA(unix.O_RDWR), notTerminal(), terminalB()}, [3]bool{true, false, true}, "b"},
		{[3]stream{terminalA(unix.O_RDWR), notTerminal(), notTerminal()}, [3]bool{true, false, false}, "a"},
		{[3]stream{terminalA(unix.O_RDONLY), notTerminal(), notTerminal()}, [3]bool{true, false, false}, "a"},
		{[3]stream{notTerminal(), terminalA(unix.O_RDWR), terminalB()}, [3]bool{false, true, true}, ""},
	} {
		name := c.streams[0].name + ", " + c.streams[1].name + ", " + c.streams[2].name
		t.Run(name, func(t *testing.T) {
			a, b, inner := openPTY(t), openPTY(t), openPTY(t)
			resize(t, a.tty, unix.Winsize{Row: 33, Col: 99})
			for _, p := range []*pty{a, b, inner} {
				set(t, p.tty, raw(modes(t, p.tty)))
			}
			pipe, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer pipe.Close()
			var stdio [3]*os.File
			for i, s := range c.streams {
				stdio[i] = s.file(t, a, b, pipe)
				defer stdio[i].Close()
			}

			out, outEnd := socket(t)
			probe := run(t, roleProbe, stdio, outEnd)
			var s Streams
			packet := make([]byte, 4096)
			n, err := out.Read(packet)
			if err == nil {
				err = json.Unmarshal(packet[:n], &s)
			}
			if err != nil {
				t.Fatal("the probe's answer: ", err)
			}
			want := Streams{TTY: c.tty, FD: -1}
			if c.tty[0] {
				want.FD, want.Size, want.Termios = 0, size(t, a.tty), modes(t, a.tty)
			}
			probe.Wait() // a terminal has one session at a time
			if s != want {
				t.Errorf("Probe is\n%+v, want\n%+v", s, want)
			}
			if !c.tty[0] {
				return
			}

			nobox, noboxEnd := socket(t)
			inner.closeTTY()
			run(t, roleNobox, stdio, noboxEnd, os.NewFile(uintptr(inner.takeMaster(t)), "master"))
			order(t, nobox, 'p', "false")
			order(t, nobox, 's', "ok")
			send(t, inner.peer, "shown")
			screen, other := a, b
			if c.screen == "b" {
				screen, other = b, a
			}
			expect(t, screen.master, "shown")
			expectNothing(t, other.master)
			inner.peer.Close()
			order(t, nobox, 'c', "ok")
			nobox.Close()
		})
	}
}

// Else this process's own job control would take part in the other tests.
func TestThisProcessHasNoControllingTerminalFromTheTests(t *testing.T) {
	p := openPTY(t)
	if _, err := unix.IoctlGetUint32(p.tty, unix.TIOCGPGRP); err != unix.ENOTTY {
		t.Errorf("a test's pty is the controlling terminal: %v", err)
	}
}
