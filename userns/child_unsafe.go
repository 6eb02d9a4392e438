//lint:file-ignore U1000 play, accompany and watch are entered from clone_*.s.

package userns

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The player. This file is frozen: a feature adds steps and a lowering.
//
// What runs here runs in a copy of a threaded process in which only the
// cloning thread exists. It must not allocate, grow the stack, take a lock,
// touch a channel, map or interface, or call anything that is not nosplit. It
// has a stack of its own and no heap: all memory it works on is in one region,
// made before the clone. Slices are indexed through pointers, because a bounds
// check is a call.

// What the inside says to the host side: four words, one message.
const (
	msgFailed  = 1 // op index, errno, sticky errno
	msgExited  = 2 // wait status
	msgStopped = 3 // signal
	msgPTY     = 4 // comes with a descriptor
)

// childMem is what the player works on. It is filled before the clone.
type childMem struct {
	ops   *op
	nops  uintptr
	first uintptr  // the number of the first of ops in the program
	slots *uintptr // indexed by slot number
	arena uintptr

	beside      *childMem // of the process beside; nil if there is none
	besideStack uintptr
	besidePC    uintptr

	hostEnd  uintptr // the other end of the control socket, to be closed
	clone    uintptr // flags of the reaper's clone
	argv     *byte   // the process's argument area, nil to leave it
	argvLen  uintptr
	terminal uintptr // 1: descriptor 0 is the box's terminal
	unused   unused  // what the reaper gives back

	all     uint64 // every signal
	act     [4]uint64
	msg     [4]uint32
	status  int32
	pfd     [2]pollFD
	siginfo [128]byte
}

type pollFD struct {
	fd              int32
	events, revents int16
}

// value is what the kernel gets for an argument.
//
//go:nosplit
//go:norace
func (m *childMem) value(o *op, i uintptr) uintptr {
	v := *(*uint32)(unsafe.Add(unsafe.Pointer(&o.arg), 4*i))
	switch how := *(*argKind)(unsafe.Add(unsafe.Pointer(&o.how), i)); {
	case how <= argFD:
		return uintptr(int32(v))
	case how <= argNull:
		return uintptr(v)
	case how == argSlot:
		return *(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*uintptr(v)))
	}
	return m.arena + uintptr(v)
}

//go:nosplit
//go:norace
func (m *childMem) say(kind, a, b, c uint32) {
	m.msg = [4]uint32{kind, a, b, c}
	control := *(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*slotControl))
	syscall.RawSyscall6(unix.SYS_SENDTO, control, uintptr(unsafe.Pointer(&m.msg)), sizeofMessage, unix.MSG_NOSIGNAL, 0, 0)
}

// exit does not return.
//
//go:nosplit
//go:norace
func exit(code uintptr) {
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}

// quiet blocks all signals and gives each its default disposition: no handler
// of the runtime may run here, and the reaper needs that of SIGCHLD, whatever
// the caller's.
//
//go:nosplit
//go:norace
func quiet(all *uint64, act *[4]uint64) {
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(all)), 0, sizeofSigset, 0, 0)
	for sig := uintptr(1); sig <= 64; sig++ {
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(act)), 0, sizeofSigset, 0, 0)
	}
}

// unused are two ranges of memory, from and to: between the program's image and
// the region, and between that and the argument area. All of the runtime's own
// is there, which a process that only plays has no use for: giving it back
// while nobody waits makes the process small, and its end quick.
type unused [2][2]uintptr

//go:nosplit
//go:norace
func (u *unused) unmap() {
	for i := uintptr(0); i < 2; i++ {
		r := (*[2]uintptr)(unsafe.Add(unsafe.Pointer(u), i*unsafe.Sizeof(u[0])))
		if r[1] > r[0] {
			syscall.RawSyscall(unix.SYS_MUNMAP, r[0], r[1]-r[0], 0)
		}
	}
}

// play runs the program in the cloned process and does not return: it ends in
// execve, in the reaper, or in exit after a report.
//
//go:nosplit
//go:norace
func play(m *childMem) {
	quiet(&m.all, &m.act)
	syscall.RawSyscall(unix.SYS_CLOSE, m.hostEnd, 0, 0)

	run(m)
	exit(1)
}

// accompany runs a part of the program in a process that shares the player's
// memory and descriptors and runs along with it. It does not return.
//
//go:nosplit
//go:norace
func accompany(m *childMem) {
	run(m)
	exit(0)
}

// run makes the calls of m, in order. It returns behind the last.
//
//go:nosplit
//go:norace
func run(m *childMem) {
	var sticky uint32
	for i := uintptr(0); i < m.nops; i++ {
		o := (*op)(unsafe.Add(unsafe.Pointer(m.ops), i*unsafe.Sizeof(op{})))
		a0, a1, a2 := m.value(o, 0), m.value(o, 1), m.value(o, 2)
		a3, a4, a5 := m.value(o, 3), m.value(o, 4), m.value(o, 5)

		if o.kind == opPoke {
			**(**int32)(unsafe.Pointer(&a0)) = int32(a1)
			continue
		}
		if o.kind == opFork {
			pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, m.clone, 0, 0, 0, 0, 0)
			if e != 0 {
				m.say(msgFailed, uint32(m.first+i), uint32(e), 0)
				exit(1)
			}
			if pid != 0 {
				reap(m, pid)
			}
			continue
		}
		if o.kind == opBeside {
			// No signal at its end: a SIGCHLD would stay pending for the command.
			pid := cloneOnto(unix.CLONE_VM|unix.CLONE_FILES, m.besideStack, nil, m.besidePC, uintptr(unsafe.Pointer(m.beside)))
			if e := -int(pid); e > 0 && e < 4096 {
				m.say(msgFailed, uint32(m.first+i), uint32(e), 0)
				exit(1)
			}
			*(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*uintptr(o.into))) = pid
			i += a0
			continue
		}
		if o.kind == opMeet {
			_, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, a0, uintptr(unsafe.Pointer(&m.status)), unix.WALL, 0, 0, 0)
			for e == unix.EINTR {
				_, _, e = syscall.RawSyscall6(unix.SYS_WAIT4, a0, uintptr(unsafe.Pointer(&m.status)), unix.WALL, 0, 0, 0)
			}
			if e == 0 && m.status == 0 {
				continue
			}
			if e == 0 && m.status != 1<<8 {
				e = unix.ECHILD // it was killed
			}
			if e != 0 {
				m.say(msgFailed, uint32(m.first+i), uint32(e), 0)
			}
			exit(1) // else it has said why
		}

		r, _, e := syscall.RawSyscall6(uintptr(o.nr), a0, a1, a2, a3, a4, a5)
		for e == unix.EINTR || (e == unix.EAGAIN && o.nr == unix.SYS_OPENAT2) {
			// openat2(2): a rename elsewhere during a scoped lookup gives EAGAIN.
			r, _, e = syscall.RawSyscall6(uintptr(o.nr), a0, a1, a2, a3, a4, a5)
		}
		if e != 0 {
			if x := uintptr(e); x == uintptr(o.ignore[0]) || x == uintptr(o.ignore[1]) || x == uintptr(o.ignore[2]) {
				if e == unix.EACCES {
					sticky = uint32(e)
				}
				continue
			}
			m.say(msgFailed, uint32(m.first+i), uint32(e), sticky)
			exit(1)
		}
		if o.want != anyResult && r != uintptr(o.want) {
			m.say(msgFailed, uint32(m.first+i), 0, uint32(r))
			exit(1)
		}
		if o.into != 0 {
			*(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*uintptr(o.into))) = r
		}
	}
}

// reap is pid 1: it waits for whatever ends inside, passes signals on to the
// command, and ends when the command or nobox does. The kernel then ends
// everything else in the pid namespace; pid_namespaces(7).
//
//go:nosplit
//go:norace
func reap(m *childMem, cmd uintptr) {
	control := *(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*slotControl))
	// Keep the control socket, and the terminal, so that its output does not
	// end while the box lives; nothing else: not the caller's pipes.
	if m.terminal == 0 {
		syscall.RawSyscall(unix.SYS_CLOSE, 0, 0, 0)
	}
	if control > 1 {
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 1, control-1, 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, control+1, 0xffffffff, 0)
	// ps shows the argument area of pid 1 to the box: take nobox's command
	// line, which may hold secrets, out of it.
	if m.argv != nil {
		for i := uintptr(0); i < m.argvLen; i++ {
			*(*byte)(unsafe.Add(unsafe.Pointer(m.argv), i)) = 0
		}
		name := [5]byte{'n', 'o', 'b', 'o', 'x'}
		for i := uintptr(0); i < 5 && i+1 < m.argvLen; i++ {
			*(*byte)(unsafe.Add(unsafe.Pointer(m.argv), i)) = *(*byte)(unsafe.Add(unsafe.Pointer(&name), i))
		}
	}
	m.unused.unmap()
	sigfd, _, e := syscall.RawSyscall6(unix.SYS_SIGNALFD4, ^uintptr(0), uintptr(unsafe.Pointer(&m.all)), sizeofSigset, unix.SFD_CLOEXEC, 0, 0)
	if e != 0 {
		m.say(msgFailed, 0, uint32(e), 0)
		exit(1)
	}
	m.pfd[0] = pollFD{fd: int32(control)}
	m.pfd[1] = pollFD{fd: int32(sigfd), events: unix.POLLIN}
	for {
		m.pfd[0].revents, m.pfd[1].revents = 0, 0
		syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&m.pfd)), 2, 0, 0, 0, 0)
		if m.pfd[0].revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			exit(128 + uintptr(unix.SIGKILL)) // nobox died
		}
		if m.pfd[1].revents&unix.POLLIN == 0 {
			continue
		}
		syscall.RawSyscall(unix.SYS_READ, sigfd, uintptr(unsafe.Pointer(&m.siginfo)), 128)
		sig := uintptr(*(*uint32)(unsafe.Pointer(&m.siginfo)))
		switch sig {
		case uintptr(unix.SIGCHLD):
			for {
				pid, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&m.status)), unix.WNOHANG|unix.WUNTRACED, 0, 0, 0)
				if e != 0 || pid == 0 {
					break
				}
				if pid != cmd {
					continue
				}
				status := uint32(m.status)
				if status&0xff == 0x7f {
					m.say(msgStopped, (status>>8)&0xff, 0, 0)
					continue
				}
				m.say(msgExited, status, 0, 0)
				if status&0x7f == 0 {
					exit(uintptr(status>>8) & 0xff)
				}
				exit(128 + uintptr(status&0x7f))
			}
		case uintptr(unix.SIGINT), uintptr(unix.SIGQUIT), uintptr(unix.SIGHUP), uintptr(unix.SIGTSTP), uintptr(unix.SIGCONT):
			// What a terminal would send goes to the whole process group, as a
			// terminal would send it.
			if _, _, e := syscall.RawSyscall(unix.SYS_KILL, -cmd, sig, 0); e != 0 {
				syscall.RawSyscall(unix.SYS_KILL, cmd, sig, 0)
			}
		case uintptr(unix.SIGTTIN), uintptr(unix.SIGTTOU):
		default:
			syscall.RawSyscall(unix.SYS_KILL, cmd, sig, 0)
		}
	}
}

// watchMem is what the watcher works on.
type watchMem struct {
	pfd     [2]pollFD
	life    uintptr    // read end of a pipe whose write end only nobox holds
	lifeEnd uintptr    // that write end, to be closed
	pidfd   uintptr    // of the box's pid 1
	keep    [3]uintptr // the three descriptors above, ascending
	nkeep   uintptr

	terminal uintptr // 1: tty is the caller's terminal
	tty      uintptr
	modes    modes
}

// modes is what nobox tells the watcher of the terminal.
type modes struct {
	raw     uint32 // nobox made the terminal raw
	_       uint32
	termios [64]byte // what to give it back; struct termios of the kernel
}

// watch runs in a process of its own, outside: should nobox die it gives the
// terminal its modes back and kills the box. It does not return.
//
//go:nosplit
//go:norace
func watch(m *watchMem) {
	// All signals stay blocked, as the clone left them; none is waited for.
	syscall.RawSyscall(unix.SYS_CLOSE, m.lifeEnd, 0, 0)
	// Out of the terminal's reach: its signals and its hangup are for nobox.
	syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	next := uintptr(0)
	for i := uintptr(0); i < m.nkeep; i++ {
		k := *(*uintptr)(unsafe.Add(unsafe.Pointer(&m.keep), 8*i))
		if k > next {
			syscall.RawSyscall(unix.SYS_CLOSE_RANGE, next, k-1, 0)
		}
		next = k + 1
	}
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, next, 0xffffffff, 0)
	// With no terminal to restore there is nothing to watch once the box has
	// ended: nobox need not end the watcher, and wait for that.
	fds := uintptr(2)
	if m.terminal != 0 {
		fds = 1
	}
	for {
		m.pfd[0] = pollFD{fd: int32(m.life)}
		m.pfd[1] = pollFD{fd: int32(m.pidfd), events: unix.POLLIN}
		syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&m.pfd)), fds, 0, 0, 0, 0)
		if m.pfd[0].revents&(unix.POLLHUP|unix.POLLERR) != 0 {
			break
		}
		if fds == 2 && m.pfd[1].revents != 0 {
			exit(0)
		}
	}
	syscall.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, m.pidfd, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	// Only what nobox made raw: the modes may be a shell's or an editor's.
	if m.terminal != 0 && m.modes.raw != 0 {
		syscall.RawSyscall(unix.SYS_IOCTL, m.tty, unix.TCSETS, uintptr(unsafe.Pointer(&m.modes.termios)))
	}
	exit(0)
}
