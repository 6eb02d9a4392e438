package userns

import (
	"errors"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// mapNested maps the ids of the namespace that the inside went into, from the one
// that it came from, which it hands out when it is there: only from there, or from
// within, are maps written, and from within it is one id (user_namespaces(7)). The
// player does so in a process of its own, for a program with threads enters no user
// namespace (setns(2)).
func (b *Box) mapNested(a plan.MapNested) error {
	m, outer, err := b.receive()
	if err != nil {
		return err
	}
	if m.kind != msgUserNS || outer < 0 {
		b.early = b.stepError(m)
		return errors.New("the inside failed")
	}
	defer unix.Close(outer)
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[0])
	pid, pidfd, err := cloneProgram(nestedProgram(outer, b.pid, a), ends[1], ends[0], nil)
	unix.Close(ends[1])
	if err != nil {
		return err
	}
	unix.Close(int(pidfd))
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	if ws.Exited() && ws.ExitStatus() == 0 {
		return nil
	}
	var buf [sizeofMessage]byte
	if n, err := unix.Read(ends[0], buf[:]); err == nil {
		if m := messageOf(buf[:n]); m.kind == msgFailed && m.b != 0 {
			return syscall.Errno(m.b)
		}
	}
	return errors.New("the process that was to write them " + exitText(ws))
}

// nestedProgram are its calls.
func nestedProgram(outer, pid int, a plan.MapNested) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 4<<10)}
	l.dieWithParent()
	l.call(unix.SYS_SETNS, num(outer), hex(unix.CLONE_NEWUSER))
	proc := "/proc/" + strconv.Itoa(pid)
	l.writeFile(proc+"/uid_map", string(mapText(a.UID)))
	l.writeFile(proc+"/gid_map", string(mapText(a.GID)))
	l.call(unix.SYS_EXIT_GROUP, num(0))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}
