package sandbox

import (
	"encoding/binary"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/signals"
	"nobox/terminal"
)

// Attached says how an Attach ended.
type Attached uint8

const (
	AttachEnded    Attached = iota // the box wrote all it will; it has ended, or is about to
	AttachDetached                 // the keys were typed, or a signal came
	AttachHungUp                   // the caller's terminal is gone
)

// An Attachment is a connection to a detached box.
type Attachment struct {
	Terminal bool // the box has one

	socket, input int
}

// OpenAttachment takes what the nobox that runs the box hands out.
func OpenAttachment(socket int) (*Attachment, error) {
	kind, input, err := terminal.Attach(socket)
	if err != nil {
		return nil, err
	}
	return &Attachment{Terminal: kind == terminal.SharePTY, socket: socket, input: input}, nil
}

// OnTerminal says whether the caller's stdin is a terminal.
func OnTerminal() bool { return terminal.Probe().TTY[0] }

// Join joins the caller's terminal and the box's until the box ends, the keys
// are typed or a signal ends it, which is returned. watch is told before the
// terminal is made raw, and after it has its own modes back.
//
// Preconditions: the box has a terminal and the caller as well; it is called on
// the main thread.
func (a *Attachment) Join(keys []byte, watch func(raw bool, own unix.Termios)) (Attached, unix.Signal, error) {
	inbox, err := signals.Take(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGWINCH, unix.SIGCONT)
	if err != nil {
		return 0, 0, err
	}
	defer inbox.GiveBack()
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return 0, 0, err
	}
	defer unix.Close(event)
	how := make(chan Attached, 3) // each is told once at most
	tell := func(h Attached) {
		how <- h
		unix.Write(event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	runtime.GOMAXPROCS(2) // the relay's thread, and this one; package caller says one
	r := terminal.NewRelay(a.input, terminal.Probe())
	r.Source, r.Keys, r.Modes = a.socket, keys, watch
	socket := a.socket
	a.socket, a.input = -1, -1 // the relay's
	r.Over = func(typed bool) {
		if typed {
			// What the box writes next is not this terminal's any more.
			unix.Shutdown(socket, unix.SHUT_RDWR)
			tell(AttachDetached)
		} else {
			tell(AttachEnded)
		}
	}
	defer r.Close()
	if err := r.Start(); err != nil {
		return 0, 0, err
	}
	gone := r.HungUp()
	go func() {
		<-gone
		tell(AttachHungUp)
	}()
	for {
		fds := []unix.PollFd{{Fd: int32(inbox.FD()), Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return 0, 0, err
		}
		if fds[1].Revents != 0 {
			return <-how, 0, nil
		}
		for {
			sig, ok := inbox.Next()
			if !ok {
				break
			}
			switch sig {
			case unix.SIGWINCH:
				r.Resize()
			case unix.SIGCONT:
				r.Resume()
			default:
				unix.Shutdown(socket, unix.SHUT_RDWR)
				return AttachDetached, sig, nil
			}
		}
	}
}

// Follow calls more, which copies what the box has written, until the box's
// nobox, a pidfd of which is given, has ended or, where signals do not go on to
// the box, one comes. What can be read from stdin goes to the command's, if that
// was left open and input is true.
//
// Preconditions: it is called on the main thread.
func (a *Attachment) Follow(nobox int, input, pass bool, every time.Duration, more func() error) error {
	if input && a.input >= 0 {
		f := os.NewFile(uintptr(a.input), "stdin")
		a.input = -1
		go func() {
			io.Copy(f, os.Stdin)
			f.Close()
		}()
	}
	fds := []unix.PollFd{{Fd: int32(nobox), Events: unix.POLLIN}, {Fd: -1}}
	var inbox *signals.Inbox
	if pass {
		var err error
		if inbox, err = signals.Take(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2); err != nil {
			return err
		}
		defer inbox.GiveBack()
		fds[1] = unix.PollFd{Fd: int32(inbox.FD()), Events: unix.POLLIN}
	}
	for {
		_, err := unix.Poll(fds, int(every.Milliseconds()))
		if err != nil && err != unix.EINTR {
			return err
		}
		if inbox != nil && fds[1].Revents != 0 {
			if sig, ok := inbox.Next(); ok {
				unix.PidfdSendSignal(nobox, sig, nil, 0)
			}
		}
		over := err == nil && fds[0].Revents != 0
		if err := more(); err != nil || over {
			return err
		}
	}
}

// Close lets go of the box, which runs on.
func (a *Attachment) Close() {
	for _, fd := range []int{a.socket, a.input} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// RestoreVerb is the verb under which nobox restores a terminal; see Restorer.
const RestoreVerb = "restore-terminal"

// restoreFD is where that one reads what to do.
const restoreFD = 3

// Restorer starts a process that gives the terminal on stdin its modes back
// should this one be killed while it is raw. tell is for Join. stop ends it, and
// waits until it has.
func Restorer() (tell func(raw bool, own unix.Termios), stop func(), err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	// In a session of its own the terminal's signals do not reach it, and it may
	// set the modes whoever is in the foreground.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"nobox", RestoreVerb}, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{0, 1, 2, uintptr(p[0])},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	unix.Close(p[0])
	if err != nil {
		unix.Close(p[1])
		return nil, nil, err
	}
	return func(raw bool, own unix.Termios) { unix.Write(p[1], restoring(raw, own)) }, func() {
		unix.Close(p[1])
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
	}, nil
}

// restoring is what a Restorer is told.
func restoring(raw bool, t unix.Termios) []byte {
	is := byte(0)
	if raw {
		is = 1
	}
	b := []byte{is}
	for _, v := range []uint32{t.Iflag, t.Oflag, t.Cflag, t.Lflag} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return append(append(b, t.Line), t.Cc[:]...)
}

// RestoreTerminal is what nobox does under RestoreVerb.
func RestoreTerminal() {
	var t unix.Termios
	last := make([]byte, len(restoring(false, t)))
	b := make([]byte, len(last))
	for {
		n, err := unix.Read(restoreFD, b)
		if err == unix.EINTR {
			continue
		}
		if n != len(b) {
			break
		}
		copy(last, b)
	}
	if last[0] == 0 {
		return
	}
	for i, v := range []*uint32{&t.Iflag, &t.Oflag, &t.Cflag, &t.Lflag} {
		*v = binary.NativeEndian.Uint32(last[1+4*i:])
	}
	t.Line = last[17]
	copy(t.Cc[:], last[18:])
	unix.IoctlSetTermios(0, unix.TCSETS, &t)
}

// ParseKeys reads the keys that end an Attach, as docker writes them.
func ParseKeys(s string) ([]byte, error) { return terminal.ParseKeys(s) }
