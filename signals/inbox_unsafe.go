//lint:file-ignore U1000 handler and restorer are used by handler_*.s.

package signals

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipe is the write end that handler writes to.
var pipe int32 = -1

// handler is a signal handler: it writes the signal's number, one byte, to
// pipe. It must not be called.
func handler()

// restorer returns from a signal handler; sigreturn(2).
func restorer()

// handlerPC and restorerPC are their addresses.
func handlerPC() uintptr
func restorerPC() uintptr

// action is struct sigaction of the kernel; asm-generic/signal.h.
type action struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const (
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
	saRestorer = 0x04000000
)

// An Inbox is where the signals taken arrive.
type Inbox struct {
	read, write int
	taken       []unix.Signal
	before      []action
}

// Take makes the signals arrive in an inbox, instead of whatever they did. One
// inbox can be open at a time.
func Take(sigs ...unix.Signal) (*Inbox, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	pipe = int32(p[1])
	in := &Inbox{read: p[0], write: p[1], before: make([]action, len(sigs))}
	a := action{handler: handlerPC(), flags: saOnStack | saRestart | saRestorer, restorer: restorerPC()}
	for i, sig := range sigs {
		if err := sigaction(sig, &a, &in.before[i]); err != nil {
			in.GiveBack()
			return nil, err
		}
		in.taken = append(in.taken, sig)
	}
	return in, nil
}

// Ignore has the signals ignored: the runtime keeps that of a caller only for
// HUP and INT.
func Ignore(sigs ...unix.Signal) error {
	a := action{handler: 1} // SIG_IGN
	for _, sig := range sigs {
		if err := sigaction(sig, &a, nil); err != nil {
			return err
		}
	}
	return nil
}

func sigaction(sig unix.Signal, a, old *action) error {
	_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// FD becomes readable when a signal came.
func (in *Inbox) FD() int { return in.read }

// Next is the next signal that came, false if there is none.
func (in *Inbox) Next() (unix.Signal, bool) {
	var b [1]byte
	if n, err := unix.Read(in.read, b[:]); err != nil || n != 1 {
		return 0, false
	}
	return unix.Signal(b[0]), true
}

// GiveBack lets the signals do again what they did.
func (in *Inbox) GiveBack() {
	for i, sig := range in.taken {
		sigaction(sig, &in.before[i], nil)
	}
	in.taken = nil
	pipe = -1
	unix.Close(in.read)
	unix.Close(in.write)
}
