package terminal

import (
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadline is for what must happen, but may take its time on a busy machine.
const deadline = 20 * time.Second

// A pty as a test sees it. Its files have deadlines, which needs them
// non-blocking; tty is a blocking description, as a shell hands out.
type pty struct {
	master *os.File
	peer   *os.File
	tty    int
}

// openPTY opens a pty with a peer that is not this process's controlling terminal.
func openPTY(t testing.TB) *pty {
	t.Helper()
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal("open /dev/ptmx: ", err)
	}
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal("unlock the pty: ", err)
	}
	p := &pty{tty: openPeer(t, m, unix.O_RDWR)}
	p.master = os.NewFile(uintptr(m), "master")
	p.peer = os.NewFile(uintptr(openPeer(t, m, unix.O_RDWR|unix.O_NONBLOCK)), "peer")
	for _, f := range []*os.File{p.master, p.peer} {
		if err := f.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		p.master.Close()
		p.peer.Close()
		p.closeTTY()
	})
	return p
}

func openPeer(t testing.TB, master, flags int) int {
	t.Helper()
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, uintptr(flags|unix.O_NOCTTY|unix.O_CLOEXEC))
	if errno != 0 {
		t.Fatal("open the peer: ", errno)
	}
	return int(fd)
}

func (p *pty) closeTTY() {
	if p.tty >= 0 {
		unix.Close(p.tty)
	}
	p.tty = -1
}

// takeMaster is the master for a relay to own: the same description as
// p.master, which is closed, so that the relay's is the last.
func (p *pty) takeMaster(t testing.TB) int {
	t.Helper()
	fd, err := unix.FcntlInt(p.master.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	p.master.Close()
	return fd
}

func modes(t testing.TB, tty int) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		t.Fatal("modes of the terminal: ", err)
	}
	return *m
}

func set(t testing.TB, tty int, m unix.Termios) {
	t.Helper()
	if err := unix.IoctlSetTermios(tty, unix.TCSETS, &m); err != nil {
		t.Fatal("set the terminal's modes: ", err)
	}
}

func size(t testing.TB, tty int) unix.Winsize {
	t.Helper()
	ws, err := unix.IoctlGetWinsize(tty, unix.TIOCGWINSZ)
	if err != nil {
		t.Fatal("size of the terminal: ", err)
	}
	return *ws
}

func resize(t testing.TB, tty int, ws unix.Winsize) {
	t.Helper()
	if err := unix.IoctlSetWinsize(tty, unix.TIOCSWINSZ, &ws); err != nil {
		t.Fatal(err)
	}
}

// queued is how many bytes the terminal has for who reads it; in cooked mode,
// of whole lines.
func queued(t testing.TB, tty int) int {
	t.Helper()
	n, err := unix.IoctlGetUint32(tty, unix.TIOCINQ)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func send(t testing.TB, f *os.File, s string) {
	t.Helper()
	if _, err := f.WriteString(s); err != nil {
		t.Fatalf("write %.40q to the %s: %v", s, f.Name(), err)
	}
}

// expect reads exactly s.
func expect(t testing.TB, f *os.File, s string) {
	t.Helper()
	b := make([]byte, len(s))
	if n, err := io.ReadFull(f, b); err != nil || string(b) != s {
		t.Fatalf("read %.40q from the %s, want %.40q: %v", b[:n], f.Name(), s, err)
	}
}

// expectNothing checks that nothing is there to be read.
func expectNothing(t testing.TB, f *os.File) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 0); n != 0 || err != nil {
		t.Fatalf("the %s has something to read: %v", f.Name(), err)
	}
}

// expectEnd reads until the pty is hung up.
func expectEnd(t testing.TB, f *os.File) {
	t.Helper()
	b := make([]byte, 4096)
	for {
		_, err := f.Read(b)
		if os.IsTimeout(err) {
			t.Fatalf("the %s is still open", f.Name())
		}
		if err != nil {
			return
		}
	}
}
