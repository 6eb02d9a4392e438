package userns

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// sweep starts a process that waits until nobox has let go of one end of a pipe,
// by ending if not before, and then becomes nobox again, to remove the box's
// cgroups. Inside it has the rights over files of root in the box's user namespace
// and no other, and is otherwise the caller's process: not the box's to see or to signal.
func (b *Box) sweep(c Cgroup, inside bool) error {
	if c == nil {
		return errors.New("nothing plays this step")
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(p[0])
	pid, pidfd, err := cloneProgram(afterProgram(c.Sweeper(), p[0], inside), p[0], p[1], func(m *childMem) {
		m.fill(slotNet, uintptr(b.pidfd))
	})
	if err != nil {
		unix.Close(p[1])
		return err
	}
	unix.Close(int(pidfd))
	c.Swept(pid, p[1])
	return nil
}

// afterProgram are the calls of a process that waits until nobody holds the other
// end of life and then becomes nobox again, with these arguments and life as its
// stdin. All signals are blocked, as the player has it, and stay so: systemd sends
// SIGTERM to all of a scope that it stops. Inside it enters the user namespace of
// the box whose pidfd slot slotNet has.
func afterProgram(argv []string, life int, inside bool) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 1<<10)}
	l.call(unix.SYS_SETSID) // out of the terminal's reach
	l.call(unix.SYS_CHDIR, l.str("/"))
	if inside {
		l.call(unix.SYS_SETNS, network(), hex(unix.CLONE_NEWUSER))
		// The caller's id may be root's there: what root has by execve(2) is more
		// than is needed.
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_SECUREBITS), hex(1<<0|1<<1)) // SECBIT_NOROOT, locked; linux/securebits.h
		const bit = 1 << unix.CAP_DAC_OVERRIDE
		hdr := binary.NativeEndian.AppendUint32(nil, linuxCapabilityV3)
		hdr = binary.NativeEndian.AppendUint32(hdr, 0)
		data := make([]byte, 0, 24)
		for _, v := range [6]uint32{bit, bit, bit} { // effective, permitted, inheritable, and the upper halves
			data = binary.NativeEndian.AppendUint32(data, v)
		}
		l.call(unix.SYS_CAPSET, l.data(hdr), l.data(data))
		l.call(unix.SYS_PRCTL, num(unix.PR_CAP_AMBIENT), num(unix.PR_CAP_AMBIENT_RAISE), num(unix.CAP_DAC_OVERRIDE), num(0), num(0))
	}
	if life > 3 {
		l.call(unix.SYS_CLOSE_RANGE, num(3), num(life-1), num(0))
	}
	l.call(unix.SYS_CLOSE_RANGE, num(life+1), hex(uint32(0xffffffff)), num(0))
	devnull := l.temp() // not one of the three: the runtime opened those that were closed
	l.make(devnull, unix.SYS_OPENAT, cwd(), l.str("/dev/null"), hex(unix.O_RDWR|unix.O_CLOEXEC))
	for fd := 0; fd < 3; fd++ { // a pipe of the caller's ends when the command is done with it
		l.call(unix.SYS_DUP3, devnull, num(fd), num(0))
	}
	l.done(devnull)
	pfd := l.data(make([]byte, 8)) // struct pollfd; POLLHUP alone is reported
	l.poke(pfd, 0, control())
	l.call(unix.SYS_PPOLL, pfd, num(1), null(), null(), num(sizeofSigset))
	l.call(unix.SYS_DUP3, control(), num(0), num(0))
	l.call(unix.SYS_EXECVE, l.str("/proc/self/exe"), l.vector(argv), l.vector(nil))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}
