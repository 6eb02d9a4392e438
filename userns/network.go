package userns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// The network's process is a program of its own, since what it needs would be
// paid for by every start of nobox if it were part of it. nobox carries it as a
// string, and it runs from a sealed memfd: nobox stays one file, and leaves
// none. It is started by the player, from a second small program of calls,
// which waits for the box's first packet before it becomes nobox-net: a box that
// sends none does not pay for it.
//
// It has two descriptors besides the standard streams. DeviceFD is the box's
// device, which the inside sent. NetworkFD is a socket of type SOCK_SEQPACKET
// whose other end nobox has, and until the command runs the inside. What comes
// in is 16 bytes, the first 4 the kind of the message, with a descriptor. What
// goes out is text, a line for the user a message. When the other end is gone,
// so is the box.

// The descriptors of the network's process that lead to nobox and to the box.
const (
	NetworkFD = 3
	DeviceFD  = 4
	LogFD     = 5 // where there is a log
)

// networkSocket makes the socket between the network's process and the inside
// and nobox: it must be there before the inside is.
func (b *Box) networkSocket() error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b.network, b.networkEnd = fds[0], fds[1]
	if fds[1] > NetworkFD {
		return nil
	}
	// dup3(2) refuses to copy a descriptor to itself.
	b.networkEnd, err = unix.FcntlInt(uintptr(fds[1]), unix.F_DUPFD_CLOEXEC, NetworkFD+1)
	unix.Close(fds[1])
	return err
}

// startNetwork starts the network's process.
func (b *Box) startNetwork(a plan.StartNet, text string) error {
	if text == "" {
		return errors.New("this nobox was built without it")
	}
	log := -1
	if a.Log != "" {
		fd, err := OpenOutside(string(a.Log), unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return fmt.Errorf("the log %s: %w", plan.Quote(string(a.Log)), err)
		}
		defer unix.Close(fd)
		if log, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, LogFD+1); err != nil {
			return err
		}
		defer unix.Close(log)
	}
	prog := networkProgram(a, len(text), os.Getpid())
	pid, pidfd, err := cloneProgram(prog, b.networkEnd, b.network, func(m *childMem) {
		m.fill(slotText, addressOf(text))
		m.fill(slotLog, uintptr(log))
	})
	if err != nil {
		return err
	}
	b.networkPID, b.networkPIDFD = pid, pidfd
	unix.Close(b.networkEnd)
	b.networkEnd = -1
	return nil
}

// slotText is the address of the network's program.
const slotText = slotBase + 1

// slotLog is the descriptor of the log.
const slotLog = slotText + 1

// networkProgram are the calls that become the network's process. It waits,
// small as it is, for the device and for the box's first packet. nobox is the
// pid of who starts it.
func networkProgram(a plan.StartNet, size, nobox int) *program {
	l := &lowerer{next: slotLog + 1, arena: make([]byte, 8, 8<<10)}
	l.dieWithParent()
	// The inside holds the other end of this one's control socket too: as long as
	// it lives, the socket does not tell that nobox died before the signal was asked for.
	l.call(unix.SYS_GETPPID).want = int32(nobox)
	// Out of the terminal's reach, and of the caller's directory.
	l.call(unix.SYS_SETSID)
	l.call(unix.SYS_CHDIR, l.str("/"))
	l.capset(0, 0)
	l.call(unix.SYS_PRCTL, num(unix.PR_SET_NO_NEW_PRIVS), num(1))
	// nobox's own is 10 ms, for its short life.
	l.call(unix.SYS_PRCTL, num(unix.PR_SET_TIMERSLACK), num(50000))

	devnull := l.temp()
	l.make(devnull, unix.SYS_OPENAT, cwd(), l.str("/dev/null"), hex(unix.O_RDWR|unix.O_CLOEXEC))
	l.call(unix.SYS_DUP3, devnull, num(0), num(0))
	l.call(unix.SYS_DUP3, devnull, num(1), num(0))
	l.make(control(), unix.SYS_DUP3, control(), num(NetworkFD), num(0))
	beyond := DeviceFD
	if a.Log != "" {
		l.call(unix.SYS_DUP3, arg{v: slotLog, how: argSlot}, num(LogFD), num(0))
		l.call(unix.SYS_CLOSE_RANGE, num(DeviceFD), num(DeviceFD), num(0))
		beyond = LogFD + 1
	}
	l.call(unix.SYS_CLOSE_RANGE, num(beyond), hex(uint32(0xffffffff)), num(0))

	// With all above closed, the descriptor that comes is the next one.
	message, rights := l.data(make([]byte, sizeofMessage)), l.data(make([]byte, unix.CmsgSpace(4)))
	l.call(unix.SYS_RECVMSG, control(), l.msghdr(message, rights, unix.CmsgSpace(4)), num(0)).want = sizeofMessage
	if !a.AtOnce {
		// The first packet, or the end of the box (killNetwork). With the second alone
		// there is nothing to become another program for: the second call fails, by a
		// result of 0, which no other call that fails here has.
		var pfds []byte
		for _, f := range [][2]uint32{{DeviceFD, unix.POLLIN}, {NetworkFD, unix.POLLRDHUP}} {
			pfds = binary.NativeEndian.AppendUint32(pfds, f[0])
			pfds = binary.NativeEndian.AppendUint32(pfds, f[1])
		}
		l.call(unix.SYS_PPOLL, l.data(pfds), num(2), null(), null(), num(sizeofSigset))
		l.call(unix.SYS_PPOLL, l.data(pfds), num(1), l.words(0, 0), null(), num(sizeofSigset)).want = 1
	}

	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING | unix.MFD_EXEC
	if a.NoMFDExec {
		flags &^= unix.MFD_EXEC
	}
	file := l.temp()
	l.make(file, unix.SYS_MEMFD_CREATE, l.str("nobox-net"), hex(flags))
	l.call(unix.SYS_WRITE, file, arg{v: slotText, how: argSlot}, num(size)).want = int32(size)
	l.call(unix.SYS_FCNTL, file, num(unix.F_ADD_SEALS), hex(unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE))
	l.call(unix.SYS_RT_SIGPROCMASK, num(sigSetmask), l.words(0), null(), num(sizeofSigset))
	l.confine(a)
	l.call(unix.SYS_EXECVEAT, file, l.str(""), l.vector(append([]string{"nobox-net"}, a.Args...)), l.vector(nil), hex(unix.AT_EMPTY_PATH))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}

// Network is a descriptor that becomes readable when NextNetwork has something
// to tell, -1 if the box has no such process, or it is gone.
func (b *Box) Network() int { return b.network }

// NextNetwork is a line that the network's process has for the user. The error
// is why there will be no more: the process ended, or could not be started.
// The box has no network then.
func (b *Box) NextNetwork() (string, error) {
	var buf [2048]byte
	n, err := unix.Read(b.network, buf[:])
	switch {
	case err == unix.EINTR, err == unix.ECONNRESET: // the latter comes before what was said last; see receive
		return "", nil
	case n > 0 && binary.NativeEndian.Uint32(append(buf[:n:n], 0, 0, 0, 0)) == msgFailed:
		b.cutOff()
		b.endNetwork()
		return "", notStarted(buf[:n:n])
	case n > 0:
		return string(buf[:n]), nil
	}
	b.cutOff()
	return "", &NetworkError{Err: errors.New(exitText(b.endNetwork()))}
}

// notStarted is what the failure of the calls that start the network's process
// comes down to.
func notStarted(msg []byte) *NetworkError {
	m := messageOf(append(msg, make([]byte, sizeofMessage)...)[:sizeofMessage])
	if m.b == 0 {
		return &NetworkError{Start: true, Err: ErrCutShort}
	}
	return &NetworkError{Start: true, Err: syscall.Errno(m.b)}
}

// LastNetwork are the lines that the network's process had for the user and that
// nobody has heard yet, once the box was reaped: what the box sent last may have
// been refused. The error says that the process could not be started.
func (b *Box) LastNetwork() ([]string, error) { return b.lastLines, b.lastError }

// hearNetwork keeps for LastNetwork what is there.
func (b *Box) hearNetwork() {
	var buf [2048]byte
	for b.network >= 0 {
		n, _, err := unix.Recvfrom(b.network, buf[:], unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR, err == unix.ECONNRESET:
		case err != nil || n == 0:
			return
		case binary.NativeEndian.Uint32(append(buf[:n:n], 0, 0, 0, 0)) == msgFailed:
			if m := messageOf(buf[:n]); !b.networkTold || m.b != 0 || m.c != 0 {
				b.lastError = notStarted(buf[:n:n])
			}
			return // else the box had sent nothing
		default:
			b.lastLines = append(b.lastLines, string(buf[:n]))
		}
	}
}

// ErrCutShort is the cause where not all of the network's program could be
// written to memory, for want of that or by RLIMIT_FSIZE.
var ErrCutShort = errors.New("not all of its program could be written to memory")

// NetworkError says that the network's process is no more.
type NetworkError struct {
	Start bool // it could not be started
	Err   error
}

func (e *NetworkError) Error() string {
	if e.Start {
		return fmt.Sprintf("cannot start the network's process: %v", e.Err)
	}
	return fmt.Sprintf("the network's process ended: %v", e.Err)
}

func (e *NetworkError) Unwrap() error { return e.Err }

func exitText(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return fmt.Sprintf("killed by signal %d", ws.Signal())
	}
	return fmt.Sprintf("exit status %d", ws.ExitStatus())
}

// networkDrain is how long the network's process may take, once the box has
// ended, to send on what the box sent last: a datagram, and all that follows of a
// connection that was closed. It keeps a shorter time by itself, which begins
// when it runs; to become another program can take longer where many others want
// the processors.
const networkDrain = 3 * time.Second

// killNetwork ends the network's process, endNetwork waits until it has ended.
// One that is at work is told first, by the end of its socket, and ends by
// itself; the second call ends it whatever it does. One that waits for the box's
// first packet has nothing to send on, and does not listen.
func (b *Box) killNetwork() {
	switch {
	case b.networkPID <= 0:
		return
	case !b.networkTold && b.network >= 0:
		if b.networkWorks() {
			b.networkTold = true
			unix.Shutdown(b.network, unix.SHUT_WR)
			return
		}
		b.networkIdle = true
	case b.networkTold:
		awaitEnd(int(b.networkPIDFD), networkDrain)
	}
	unix.PidfdSendSignal(int(b.networkPIDFD), unix.SIGKILL, nil, 0)
}

// awaitEnd waits until a process has ended, but not longer than that. A signal
// does not cut it short: the end of another child is one, and the runtime sends
// its own.
func awaitEnd(pidfd int, atMost time.Duration) {
	end := time.Now().Add(atMost)
	for {
		left := max(time.Until(end), 0)
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())); err != unix.EINTR {
			return
		}
	}
}

// networkWorks says whether the box has sent anything: the process then is about
// to become another program, or has, and has its name; proc_pid_stat(5). A
// packet that has just been sent has made it runnable, as it is too when it did
// not get to wait yet.
func (b *Box) networkWorks() bool {
	var buf [256]byte
	b.openNetworkStat()
	n, err := unix.Pread(b.networkStat, buf[:], 0)
	if err != nil || n <= 0 {
		return false
	}
	_, rest, _ := bytes.Cut(buf[:n], []byte("("))
	i := bytes.LastIndexByte(rest, ')')
	if i < 0 || i+2 >= len(rest) {
		return false
	}
	name, state := string(rest[:i]), rest[i+2]
	return name != ownName() || state != 'S' && state != 'Z'
}

// openNetworkStat opens the file that networkWorks reads.
func (b *Box) openNetworkStat() {
	if b.networkPID > 0 && b.networkStat < 0 {
		b.networkStat, _ = unix.Open("/proc/"+strconv.Itoa(b.networkPID)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
}

// LetGo is for right before this process lets go of what it does not need, and
// with it of looking at another process in a /proc with hidepid.
func (b *Box) LetGo() { b.openNetworkStat() }

// ownName is what the kernel calls this process, and a copy of it.
func ownName() string {
	name, _ := os.ReadFile("/proc/self/comm")
	return string(bytes.TrimSuffix(name, []byte("\n")))
}

// networkGrace is how long a network's process that closed its socket may take
// to end by itself: only then its status tells why.
const networkGrace = time.Second

func (b *Box) endNetwork() (ws unix.WaitStatus) {
	if b.networkTold {
		awaitEnd(int(b.networkPIDFD), networkDrain)
	}
	b.hearNetwork()
	if b.network >= 0 {
		unix.Close(b.network)
		b.network = -1
	}
	if b.networkEnd >= 0 {
		unix.Close(b.networkEnd)
		b.networkEnd = -1
	}
	if b.networkPID <= 0 {
		return 0
	}
	if b.networkIdle {
		// It is on its way out, has nothing to tell, and lets go of the device, for
		// which the kernel waits for grace periods of RCU: nobody waits for that.
		unix.Close(int(b.networkPIDFD))
		b.networkPID, b.networkPIDFD = -1, -1
		return 0
	}
	awaitEnd(int(b.networkPIDFD), networkGrace)
	b.killNetwork()
	for {
		if _, err := unix.Wait4(b.networkPID, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	unix.Close(int(b.networkPIDFD))
	b.networkPID, b.networkPIDFD = -1, -1
	if b.networkStat >= 0 {
		unix.Close(b.networkStat)
		b.networkStat = -1
	}
	return ws
}
