package userns

import (
	"golang.org/x/sys/unix"

	"nobox/plan"
)

// PID is the host's number for the box's pid 1.
func (b *Box) PID() int { return b.pid }

// Signal sends sig to the box's pid 1: the reaper passes it on to the command,
// or it is the command. Of a box that ended it is not an error.
func (b *Box) Signal(sig unix.Signal) {
	if b.plan.Init.Reaper {
		unix.PidfdSendSignal(b.pidfd, sig, nil, 0)
		return
	}
	switch sig {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTSTP, unix.SIGCONT:
		// As the reaper does: what a terminal would send goes to the group.
		// The number is not reused before reap.
		if unix.Kill(-b.pid, sig) == nil {
			return
		}
	}
	unix.PidfdSendSignal(b.pidfd, sig, nil, 0)
}

// Kill ends everything inside.
func (b *Box) Kill() {
	if b.pidfd >= 0 {
		unix.PidfdSendSignal(b.pidfd, unix.SIGKILL, nil, 0)
		if b.cgroup != nil {
			b.cgroup.Kill()
		}
	}
}

// Control is a descriptor that becomes readable when Next has something to
// tell, and at the latest when the command runs as pid 1 or the box ended.
func (b *Box) Control() int { return b.control }

// PIDFD is a descriptor that becomes readable when the box ended.
func (b *Box) PIDFD() int { return b.pidfd }

// An Event is what the inside says of itself; one of the fields is set.
type Event struct {
	Failed  *plan.StepError // a step failed; the box ends
	Exited  bool            // the command ended, with Status; the box ends
	Status  unix.WaitStatus
	Stopped bool // the command was stopped by a signal
}

// Next waits for what the inside says next. The error means that it will say
// no more.
func (b *Box) Next() (Event, error) {
	for {
		m, fd, err := b.receive()
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil {
			return Event{}, err
		}
		switch m.kind {
		case msgFailed:
			if e := b.stepError(m); e != nil {
				return Event{Failed: e}, nil
			}
		case msgExited:
			return Event{Exited: true, Status: unix.WaitStatus(m.a)}, nil
		case msgStopped:
			return Event{Stopped: true}, nil
		}
	}
}

// Reap waits until the box has ended, everything inside included, forgets it,
// and returns the wait status of its pid 1.
func (b *Box) Reap() unix.WaitStatus {
	b.killNetwork() // all end side by side
	b.killAttendants()
	b.reap()
	b.finish()
	return b.status
}

// reap waits for the box's pid 1; the kernel lets it end only after all else
// in its pid namespace; pid_namespaces(7).
func (b *Box) reap() {
	if b.pid < 0 || b.reaped {
		return
	}
	for {
		pid, err := unix.Wait4(b.pid, &b.status, 0, &b.usage)
		if err == unix.EINTR {
			continue
		}
		_ = pid
		break
	}
	b.reaped = true
	b.endKept()
}

// Usage is what the box took by the kernel's count for wait4(2): the command
// and those that were waited for.
//
// Preconditions: the box was reaped.
func (b *Box) Usage() *unix.Rusage { return &b.usage }

// Dismiss ends the watcher. Preconditions: the box was reaped, and the terminal
// has its modes back.
func (b *Box) Dismiss() {
	if b.watcher < 0 {
		return
	}
	if pid, _ := unix.Wait4(b.watcher, nil, unix.WNOHANG, nil); pid == 0 {
		unix.Kill(b.watcher, unix.SIGKILL)
	}
	for {
		if _, err := unix.Wait4(b.watcher, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	b.modes = nil // in the region, which stays, as finish has it
	unix.Close(b.lifeEnd)
	b.watcher, b.lifeEnd = -1, -1
}

// finish forgets the descriptors that only a live box needs; Master stays for
// the relay to drain. The region goes with nobox, which ends now: to unmap it
// first would be done twice.
func (b *Box) finish() {
	b.region = nil
	master := b.Master
	b.Master = -1
	b.close()
	b.Master = master
}
