package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A screen is a terminal as its user sees it: what is typed goes in, what is
// shown comes out.
type screen struct {
	t      testing.TB
	master *os.File
	tty    int // the terminal, as a shell hands it out: blocking
	modes  unix.Termios

	mu    sync.Mutex
	shown []byte
	seen  int           // how much of it was expected
	more  chan struct{} // closed when more is shown
	ended bool
}

// openTerminal opens a pty that is nobody's controlling terminal. The master
// has deadlines.
func openTerminal() (master *os.File, tty int, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, -1, err
	}
	master = os.NewFile(uintptr(m), "terminal")
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, -1, err
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		master.Close()
		return nil, -1, errno
	}
	return master, int(fd), nil
}

func newScreen(t testing.TB) *screen {
	t.Helper()
	master, tty, err := openTerminal()
	if err != nil {
		t.Fatal("open a pty: ", err)
	}
	s := &screen{t: t, master: master, tty: tty, more: make(chan struct{})}
	t.Cleanup(func() {
		s.hangUp()
		if s.tty >= 0 {
			unix.Close(s.tty)
		}
	})
	s.resize(24, 80)
	// Modes that nothing sets by itself.
	m := s.now()
	m.Cc[unix.VERASE], m.Cc[unix.VKILL] = 8, 'X'&0x1f
	m.Iflag |= unix.IUTF8 | unix.IXANY
	s.set(m)
	s.modes = s.now()
	go s.show()
	return s
}

func (s *screen) show() {
	b := make([]byte, 4096)
	for {
		n, err := s.master.Read(b)
		s.mu.Lock()
		s.shown = append(s.shown, b[:n]...)
		if err != nil && n == 0 {
			s.ended = true
		}
		close(s.more)
		s.more = make(chan struct{})
		end := s.ended
		s.mu.Unlock()
		if end {
			return
		}
	}
}

func (s *screen) now() unix.Termios {
	s.t.Helper()
	m, err := unix.IoctlGetTermios(s.tty, unix.TCGETS)
	if err != nil {
		s.t.Fatal("modes of the terminal: ", err)
	}
	return *m
}

func (s *screen) set(m unix.Termios) {
	s.t.Helper()
	if err := unix.IoctlSetTermios(s.tty, unix.TCSETS, &m); err != nil {
		s.t.Fatal("set the terminal's modes: ", err)
	}
}

func (s *screen) resize(rows, cols uint16) {
	s.t.Helper()
	if err := unix.IoctlSetWinsize(s.tty, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		s.t.Fatal(err)
	}
}

// flags are the status flags of the description that the programs share.
func (s *screen) flags() int {
	s.t.Helper()
	f, err := unix.FcntlInt(uintptr(s.tty), unix.F_GETFL, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// queued is how many bytes are there to be read from the terminal, unfinished
// lines too.
func (s *screen) queued() int {
	s.t.Helper()
	m := s.now()
	m.Lflag &^= unix.ICANON
	s.set(m)
	n, err := unix.IoctlGetUint32(s.tty, unix.TIOCINQ)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

// hangUp takes the terminal away.
func (s *screen) hangUp() { s.master.Close() }

// on has c started in a session of its own with the terminal.
func (s *screen) on(c *exec.Cmd) {
	s.t.Helper()
	dup, err := unix.FcntlInt(uintptr(s.tty), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		s.t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "tty")
	s.t.Cleanup(func() { f.Close() })
	if c.Stdin == nil {
		c.Stdin = f
	}
	if c.Stdout == nil {
		c.Stdout = f
	}
	if c.Stderr == nil {
		c.Stderr = f
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}

// start starts a program on the terminal.
func (s *screen) start(p place, line []string) *process {
	s.t.Helper()
	c := p.command(line[0], line[1:]...)
	s.on(c)
	return start(s.t, c)
}

func (s *screen) send(text string) {
	s.t.Helper()
	s.master.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(s.master, text); err != nil {
		s.t.Fatalf("type %q: %v", text, err)
	}
}

// expect waits until the text is shown, behind what was expected before, and
// returns what was shown up to it.
func (s *screen) expect(text string) string {
	s.t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		more, ended := s.more, s.ended
		rest := string(s.shown[s.seen:])
		if i := strings.Index(rest, text); i >= 0 {
			s.seen += i + len(text)
			s.mu.Unlock()
			return rest[:i]
		}
		s.mu.Unlock()
		if ended {
			s.t.Fatalf("the terminal ended without %q: %q", text, rest)
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("the terminal does not show %q: %q", text, rest)
		}
	}
}

// all is everything that was shown so far.
func (s *screen) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.shown)
}

func (s *screen) expectModes(when string, want unix.Termios) {
	s.t.Helper()
	if got := s.now(); got != want {
		s.t.Errorf("%s the terminal's modes are\n  %+v, not\n  %+v", when, got, want)
	}
}

// until waits for something that is told by no descriptor.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func (s *screen) raw() bool { return s.now().Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) == 0 }

// terminalShapes are the kinds of box with a terminal.
var terminalShapes = []shape{
	{"reaper", nil, true},
	{"root alone", []string{"-r"}, true},
	{"as pid 1", []string{"-r", "--as-pid-1"}, true},
	{"Landlock alone", []string{"--tier=landlock"}, true},
}

func eachShape(t *testing.T, test func(t *testing.T, flags []string)) {
	t.Helper()
	need(t, "userns")
	for _, s := range terminalShapes {
		t.Run(s.name, func(t *testing.T) {
			if slices.Contains(s.flags, "--tier=landlock") {
				need(t, "landlock6")
			}
			t.Parallel()
			test(t, s.flags)
		})
	}
}

func TestTheTerminalIsAsItWasAfterTheCommand(t *testing.T) {
	eachShape(t, func(t *testing.T, flags []string) {
		p, s := newPlace(t), newScreen(t)
		before := s.flags()
		b := s.start(p, box(flags, "sh", "-c", "stty raw -echo; echo ready; read x; exit 7"))
		s.expect("ready")
		until(t, "raw mode", s.raw)
		if f := s.flags(); f != before {
			t.Errorf("the description's flags are %#x during the run, were %#x", f, before)
		}
		s.send("\n")
		b.expectEnd(t, patience, 7)
		s.expectModes("after the end", s.modes)
		if f := s.flags(); f != before {
			t.Errorf("the description's flags are %#x after the run, were %#x", f, before)
		}
	})
}

func TestTheTerminalIsAsItWasAfterAKill(t *testing.T) {
	for _, who := range []string{"the command", "nobox"} {
		t.Run(who, func(t *testing.T) {
			eachShape(t, func(t *testing.T, flags []string) {
				p, s := newPlace(t), newScreen(t)
				before := s.flags()
				b := s.start(p, box(flags, "sh", "-c", "echo ready; exec sleep 600"))
				s.expect("ready")
				until(t, "raw mode", s.raw)
				_, command, _ := roles(b.Process.Pid)
				fam := holdFamily(t, b.Process.Pid)
				pid, code := command, 128+int(unix.SIGKILL)
				if command <= 1 && who == "the command" {
					if !slices.Contains(flags, "--tier=landlock") { // whose processes have no such roles
						t.Fatal("there is no command")
					}
					b.Process.Kill()
					b.expectEnd(t, patience, 1000+int(unix.SIGKILL))
					return
				}
				if who == "nobox" {
					pid, code = b.Process.Pid, 1000+int(unix.SIGKILL)
				}
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
				b.expectEnd(t, patience, code)
				fam.expectGone(t, gone)
				s.expectModes("after the kill", s.modes)
				if f := s.flags(); f != before {
					t.Errorf("the description's flags are %#x, were %#x", f, before)
				}
			})
		})
	}
}

func TestCtrlCAndCtrlBackslashEndTheCommand(t *testing.T) {
	need(t, "userns")
	for key, sig := range map[string]unix.Signal{"\x03": unix.SIGINT, "\x1c": unix.SIGQUIT} {
		p, s := newPlace(t), newScreen(t)
		b := s.start(p, box([]string{"--ulimit", "core=0"}, "sh", "-c", "echo ready; exec sleep 600"))
		s.expect("ready")
		s.send(key)
		b.expectEnd(t, patience, 128+int(sig))
		s.expectModes("after the signal", s.modes)
	}
}

func TestAShellInsideHasJobControl(t *testing.T) {
	need(t, "userns", "bash")
	p, s := newPlace(t), newScreen(t)
	b := s.start(p, box([]string{"-e", "PS1=in> ", "-e", "PS2="}, "bash", "--norc", "--noprofile", "-i"))
	s.expect("in> ")
	s.send("tty; echo $((40+2))\n")
	s.expect("/dev/pts/")
	s.expect("42")
	s.send("sleep 600\n")
	running := func() bool {
		return slices.ContainsFunc(family(b.Process.Pid), func(m member) bool { return m.name == "sleep" && m.state == "S" })
	}
	until(t, "sleep", running)
	s.send("\x1a")
	s.expect("Stopped")
	s.expect("in> ")
	s.send("jobs; fg\n")
	s.expect("Stopped")
	s.expect("sleep 600")
	until(t, "sleep again", running)
	s.send("\x03")
	s.expect("in> ")
	s.send("echo code $?\n")
	s.expect("code 130")
	s.send("sleep 600 & kill %1; wait; echo en''ded\n")
	s.expect("ended")
	s.send("exit 3\n")
	b.expectEnd(t, patience, 3)
	if strings.Contains(s.all(), "job control") {
		t.Errorf("bash complains: %q", s.all())
	}
	s.expectModes("after bash", s.modes)
}

func TestCtrlZGivesTheOuterShellItsTerminalAndFgGoesOn(t *testing.T) {
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	// The payload does not see that it was stopped but in what it answers.
	line := box(nil, "sh", "-c", "stty -echo; echo ready; while read x; do echo got:$x; done; echo end; exit 7")
	sh := s.start(p, append([]string{self(t), "payload:jobshell"}, line...))
	s.expect("prompt")
	s.send("run\n")
	s.expect("ready")
	for range 3 {
		until(t, "raw mode", s.raw)
		s.send("one\n")
		s.expect("got:one")
		s.send("\x1a")
		s.expect("stopped by")
		s.expectModes("while nobox is stopped", s.modes)
		s.send("two\n")
		s.expect(`typed "two"`)
		s.send("fg\n")
	}
	until(t, "raw mode", s.raw)
	s.send("three\n")
	s.expect("got:three")
	s.send("\x04")
	s.expect("end")
	s.expect("exit 7")
	s.expectModes("after the end", s.modes)
	s.send("exit\n")
	sh.expectEnd(t, patience, 0)
}

func TestABoxStoppedByCtrlZMayBeKilled(t *testing.T) {
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	sh := s.start(p, append([]string{self(t), "payload:jobshell"}, box(nil, "sh", "-c", "echo ready; exec sleep 600")...))
	s.expect("prompt")
	s.send("run\n")
	s.expect("ready")
	until(t, "raw mode", s.raw)
	s.send("\x1a")
	s.expect("stopped by")
	fam := holdFamily(t, sh.Process.Pid)
	// What a line editor does while its user types "kill -9 %1".
	edit := s.modes
	edit.Lflag &^= unix.ECHO
	edit.Cc[unix.VQUIT] = 0
	s.set(edit)
	s.send("kill\n")
	s.expect("killed")
	s.send("wait\n")
	s.expect("killed by SIGKILL")
	fam.expectGone(t, gone)
	s.expectModes("after the stopped nobox was killed", edit)
	s.send("exit\n")
	sh.expectEnd(t, patience, 0)
}

func TestTheSizeOfTheTerminalReachesTheCommand(t *testing.T) {
	eachShape(t, func(t *testing.T, flags []string) {
		p, s := newPlace(t), newScreen(t)
		s.resize(33, 101)
		b := s.start(p, boxed(t, flags, "size"))
		s.expect("size 33 101.")
		for i := uint16(40); i < 45; i++ {
			s.resize(i, 2*i)
			s.expect(fmt.Sprintf("size %d %d.", i, 2*i))
		}
		s.send("\n")
		b.expectEnd(t, patience, 0)
	})
}

func TestABoxInAPipeOfATerminal(t *testing.T) {
	need(t, "userns")
	q := func(line []string) string {
		var words []string
		for _, w := range line {
			words = append(words, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		return strings.Join(words, " ")
	}
	t.Run("first", func(t *testing.T) {
		p, s := newPlace(t), newScreen(t)
		b := s.start(p, []string{"sh", "-c", q(box(nil, "sh", "-c", "stty size >&2; exec cat")) + " | tr a-z A-Z"})
		s.expect("24 80")
		s.send("hello\n\x04")
		s.expect("HELLO")
		b.expectEnd(t, patience, 0)
		s.expectModes("after the pipe", s.modes)
	})
	t.Run("last", func(t *testing.T) {
		p, s := newPlace(t), newScreen(t)
		b := s.start(p, []string{"sh", "-c", "echo hello | " + q(box(nil, "tr", "a-z", "A-Z"))})
		s.expect("HELLO")
		b.expectEnd(t, patience, 0)
		s.expectModes("after the pipe", s.modes)
	})
	t.Run("between", func(t *testing.T) {
		p, s := newPlace(t), newScreen(t)
		b := s.start(p, []string{"sh", "-c", "echo hello | " + q(box(nil, "tr", "a-z", "A-Z")) + " | " + q(box(nil, "tr", "L", "M"))})
		s.expect("HEMMO")
		b.expectEnd(t, patience, 0)
		s.expectModes("after the pipe", s.modes)
	})
}

func TestARedirectedStreamIsNoTerminal(t *testing.T) {
	eachShape(t, func(t *testing.T, flags []string) {
		p, s := newPlace(t), newScreen(t)
		f, err := os.Create(filepath.Join(p.tmp, "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		line := box(flags, "sh", "-c", `for i in 0 1 2; do [ -t $i ] && echo $i is >&2; done; printf 'line\n'; printf asked: >&2; read x; echo $x`)
		c := p.command(line[0], line[1:]...)
		c.Stdout = f
		s.on(c)
		b := start(t, c)
		s.expect("0 is")
		s.expect("2 is")
		s.expect("asked:")
		s.send("answer\n")
		b.expectEnd(t, patience, 0)
		if strings.Contains(s.all(), "1 is") {
			t.Error("stdout is a terminal")
		}
		if got, _ := os.ReadFile(f.Name()); string(got) != "line\nanswer\n" {
			t.Errorf("the file got %q", got)
		}
		s.expectModes("after the end", s.modes)
	})
}

func TestWithoutATerminalOfItsOwnTheBoxUsesTheCallers(t *testing.T) {
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	b := s.start(p, box([]string{"-t=false"}, "sh", "-c", "echo ready; read x; echo got:$x; exec sleep 600"))
	s.expect("ready")
	s.expectModes("during the run", s.modes)
	s.send("line\n")
	s.expect("got:line")
	s.expectModes("during the run", s.modes)
	s.send("\x03")
	b.expectEnd(t, patience, 128+int(unix.SIGINT))
	s.expectModes("after the end", s.modes)
}

func TestABoxStartedInTheBackgroundLeavesTheTerminalAlone(t *testing.T) {
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	line := box(nil, "sh", "-c", "echo ready; read x; echo got:$x; exit 7")
	sh := s.start(p, append([]string{self(t), "payload:jobshell"}, line...))
	s.expect("prompt")
	s.send("start\n")
	s.expect("pid")
	s.expect("ready")
	s.expectModes("while nobox is in the background", s.modes)
	s.send("for the shell\n")
	s.expect(`typed "for the shell"`)
	s.send("fg\n")
	until(t, "raw mode", s.raw)
	s.send("for the box\n")
	s.expect("got:for the box")
	s.expect("exit 7")
	s.expectModes("after the end", s.modes)
	s.send("exit\n")
	sh.expectEnd(t, patience, 0)
}

func TestANoboxKilledInTheBackgroundLeavesTheTerminalAlone(t *testing.T) {
	need(t, "userns")
	p, s := newPlace(t), newScreen(t)
	sh := s.start(p, append([]string{self(t), "payload:jobshell"}, box(nil, "sh", "-c", "echo ready; exec sleep 600")...))
	s.expect("prompt")
	s.send("start\n")
	s.expect("pid")
	s.expect("ready")
	fam := holdFamily(t, sh.Process.Pid)
	// An editor in the foreground.
	editor := s.modes
	editor.Lflag &^= unix.ECHO | unix.ISIG
	editor.Oflag &^= unix.OPOST
	editor.Cc[unix.VEOF] = 0
	s.set(editor)
	s.send("kill\n")
	s.expect("killed")
	s.send("wait\n")
	s.expect("killed by SIGKILL")
	fam.expectGone(t, gone)
	s.expectModes("after nobox was killed in the background", editor)
	s.send("exit\n")
	sh.expectEnd(t, patience, 0)
}

func TestTheCallersTerminalCannotBeTypedInto(t *testing.T) {
	need(t, "userns")
	for _, flags := range [][]string{nil, {"--as-pid-1"}, {"-t=false"}, {"-t=false", "--as-pid-1"}, {"-r", "-t=false", "--as-pid-1"}, {"--preserve-fd", "3"},
		{"-r", "--cap-add=ALL"}, {"-r", "-t=false", "--cap-add=ALL"}, {"--tier=landlock"}, {"--tier=landlock", "-t=false"}} {
		for _, redirect := range []bool{false, true} {
			t.Run(fmt.Sprint(flags, redirect), func(t *testing.T) {
				if slices.Contains(flags, "--tier=landlock") {
					need(t, "landlock6")
				}
				t.Parallel()
				p, s := newPlace(t), newScreen(t)
				quiet := s.modes
				quiet.Lflag &^= unix.ECHO
				s.set(quiet)
				line := boxed(t, flags, "tiocsti")
				c := p.command(line[0], line[1:]...)
				if redirect {
					// Then the box has no terminal of its own, and the caller's
					// for its stdout.
					null, err := os.Open("/dev/null")
					if err != nil {
						t.Fatal(err)
					}
					defer null.Close()
					c.Stdin = null
				}
				s.on(c)
				if redirect {
					c.SysProcAttr.Ctty = 1
				}
				// A careless caller's, which is the box's where a flag says so.
				tty, err := unix.FcntlInt(uintptr(s.tty), unix.F_DUPFD_CLOEXEC, 10)
				if err != nil {
					t.Fatal(err)
				}
				inherited := os.NewFile(uintptr(tty), "tty")
				defer inherited.Close()
				c.ExtraFiles = []*os.File{inherited}
				b := start(t, c)
				b.end(t, patience)
				if _, err := os.Stat(filepath.Join(p.work, "tried")); err != nil {
					t.Fatalf("the payload did not run: %q", s.all())
				}
				if n := s.queued(); n != 0 {
					buf := make([]byte, n)
					n, _ = unix.Read(s.tty, buf)
					t.Errorf("typed into the caller's terminal: %q", buf[:n])
				}
			})
		}
	}
}

func TestOtherTerminalsOfTheCallerAreNotThere(t *testing.T) {
	need(t, "userns")
	p, s, other := newPlace(t), newScreen(t), newScreen(t)
	b := s.start(p, boxed(t, nil, "terminals"))
	b.expectEnd(t, patience, 0)
	s.expect("terminals: ")
	for _, name := range strings.Fields(s.expect("\n")) {
		if strings.HasPrefix(name, "/dev/pts/") && name != "/dev/pts/0" && name != "/dev/pts/ptmx" {
			t.Errorf("%s is there", name)
		}
	}
	// What was written would be shown in front of this.
	unix.Write(other.tty, []byte("mark"))
	if shown := other.expect("mark"); shown != "" {
		t.Errorf("written to another terminal: %q", shown)
	}
}

func TestTheHangUpOfTheTerminalEndsEverything(t *testing.T) {
	eachShape(t, func(t *testing.T, flags []string) {
		for _, line := range [][]string{box(flags, "sh", "-c", "echo ready; exec sleep 600"), boxed(t, flags, "stubborn")} {
			p, s := newPlace(t), newScreen(t)
			b := s.start(p, line)
			s.expect("ready")
			fam := holdFamily(t, b.Process.Pid)
			// The terminal is only gone when nobody but the box has it, and
			// this process only keeps it for its modes.
			s.hangUp()
			if code := b.end(t, 8*time.Second); code != 128+int(unix.SIGHUP) && code != 128+int(unix.SIGKILL) {
				t.Errorf("exit code %d", code)
			}
			fam.expectGone(t, gone)
			p.expectEmpty(t)
		}
	})
}

func TestALargeOutputToATerminalIsComplete(t *testing.T) {
	eachShape(t, func(t *testing.T, flags []string) {
		p, s := newPlace(t), newScreen(t)
		b := s.start(p, box(flags, "sh", "-c", "seq 1 60000; printf last"))
		b.expectEnd(t, patience, 0)
		s.expect("last")
		var want strings.Builder
		for i := 1; i <= 60000; i++ {
			fmt.Fprintf(&want, "%d\r\n", i)
		}
		got := s.all()
		if slices.Contains(flags, "--tier=landlock") { // whose first line says what it lacks
			_, got, _ = strings.Cut(got, "\n")
		}
		if got != want.String()+"last" {
			t.Errorf("%d bytes are shown, want %d", len(got), want.Len()+4)
		}
	})
}

func TestInTmux(t *testing.T) {
	need(t, "userns", "tmux", "bash")
	p := newPlace(t)
	socket := filepath.Join(p.tmp, "tmux")
	log := filepath.Join(p.tmp, "log")
	tmux := func(args ...string) string {
		t.Helper()
		c := p.command("tmux", append([]string{"-S", socket, "-f", "/dev/null"}, args...)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tmux("new-session", "-d", "-x", "90", "-y", "30", "-s", "s", "env PS1='out> ' bash --norc --noprofile -i")
	t.Cleanup(func() { p.command("tmux", "-S", socket, "kill-server").Run() })
	tmux("pipe-pane", "-t", "s", "cat >>"+log)
	seen := 0
	expect := func(text string) string {
		t.Helper()
		var rest string
		defer func() {
			if t.Failed() {
				t.Logf("the terminal shows %q", rest)
			}
		}()
		until(t, fmt.Sprintf("%q", text), func() bool {
			b, _ := os.ReadFile(log)
			rest = string(b[seen:])
			i := strings.Index(rest, text)
			if i >= 0 {
				seen += i + len(text)
				rest = rest[:i]
			}
			return i >= 0
		})
		return rest
	}
	keys := func(k ...string) {
		t.Helper()
		tmux(append([]string{"send-keys", "-t", "s"}, k...)...)
	}
	modes := func() string {
		t.Helper()
		keys("echo a-$((1))a $(stty -g) a-$((2))a", "Enter")
		expect("a-1a ")
		m := expect(" a-2a")
		expect("out> ")
		return m
	}
	keys("", "Enter")
	expect("out> ")
	before := modes()
	keys(nobox+" --net=none -e PS1='in> ' -- bash --norc --noprofile -i", "Enter")
	expect("in> ")
	keys("stty size", "Enter")
	expect("30 90")
	expect("in> ")
	tmux("resize-window", "-t", "s", "-x", "70", "-y", "20")
	keys("until [ \"$(stty size)\" = '20 70' ]; do :; done; echo re''sized", "Enter")
	expect("resized")
	expect("in> ")
	// One job: between two, Ctrl-C could find the shell itself in the foreground.
	keys("sh -c \"echo sl''eeping; exec sleep 600\"", "Enter")
	expect("sleeping")
	keys("C-c")
	expect("in> ")
	keys("exit 5", "Enter")
	expect("out> ")
	keys("echo code $?", "Enter")
	expect("code 5")
	expect("out> ")
	if after := modes(); after != before {
		t.Errorf("stty -g gives %s, gave %s", after, before)
	}
	// The outer shell's own job control.
	keys(nobox+" --net=none -- sh -c 'echo in''side; exec sleep 600'", "Enter")
	expect("inside")
	keys("C-z")
	expect("Stopped")
	expect("out> ")
	if after := modes(); after != before {
		t.Errorf("while nobox is stopped stty -g gives %s, gave %s", after, before)
	}
	keys("fg; echo code $?", "Enter")
	expect("fg; echo code $?")
	expect("sleep 600")
	keys("C-c")
	expect("code 130")
	expect("out> ")
	if after := modes(); after != before {
		t.Errorf("after fg stty -g gives %s, gave %s", after, before)
	}
}
