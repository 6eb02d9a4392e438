package userns

import (
	"golang.org/x/sys/unix"
)

// Guard has a process send a message by a socket when nobox has ended, however that
// was, until it is released: what nobox asked another for may come when nobody is
// there any more who would give it back.
func Guard(socket int, message []byte) (release func(), err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(p[0])
	// It shares nobox's memory, as newuidmap does until it is that: a copy would cost
	// both sides time.
	pid := 0
	r, err := newRegion(0) // place makes one that is large enough
	if err == nil {
		var m *childMem
		if r, m, err = place(r, guardProgram(socket, message, p[0]), uintptr(p[0]), childMem{hostEnd: uintptr(p[1])}); err == nil {
			pid, err = cloneHelper(r, m)
		}
	}
	if err != nil {
		unix.Close(p[1])
		if r != nil {
			r.free()
		}
		return nil, err
	}
	return func() {
		unix.Kill(pid, unix.SIGKILL)
		unix.Close(p[1])
		for {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
		r.free()
	}, nil
}

// guardProgram are the calls of that process. All signals are blocked, as the
// player has it.
func guardProgram(socket int, message []byte, life int) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 1<<10)}
	l.call(unix.SYS_SETSID) // out of the terminal's reach
	l.call(unix.SYS_CHDIR, l.str("/"))
	next := 0
	for _, fd := range [...]int{min(socket, life), max(socket, life)} {
		if fd > next {
			l.call(unix.SYS_CLOSE_RANGE, num(next), num(fd-1), num(0))
		}
		next = fd + 1
	}
	l.call(unix.SYS_CLOSE_RANGE, num(next), hex(uint32(0xffffffff)), num(0))
	pfd := l.data(make([]byte, 8)) // struct pollfd; POLLHUP alone is reported
	l.poke(pfd, 0, control())
	l.call(unix.SYS_PPOLL, pfd, num(1), null(), null(), num(sizeofSigset))
	l.call(unix.SYS_SENDTO, num(socket), l.data(message), num(len(message)), hex(unix.MSG_NOSIGNAL), null(), num(0))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}
