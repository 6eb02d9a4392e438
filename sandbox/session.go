package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
	"nobox/ports"
	"nobox/seccomp"
	"nobox/signals"
	"nobox/terminal"
	"nobox/userns"
)

// A session is a running box and what is passed on to it. One thread does it
// all, in one poll: each hand-over between threads costs a short-lived box
// more than the system calls it needs.
type session struct {
	box         *userns.Box
	signals     *signals.Inbox
	relay       *terminal.Relay // nil without a terminal
	hungUp      int             // becomes readable when the terminal is gone; -1
	note        func(string)    // a line for the user
	stopTimeout time.Duration

	streams func()                // lets go of what the caller handed over for the command
	wall    func() *plan.Landlock // what nobox itself may do to files from then on

	kill  time.Time // when to end what TERM did not, zero for never
	letGo time.Time // when to let go of what a running box does not need, zero for never
}

// letGoAfter is how long a box lives before nobox lets go of what it does not
// need: one that ends sooner does not pay for it, nor does a start.
const letGoAfter = 250 * time.Millisecond

// confine lets go of it, once the inside has no step left after which nobox would
// start anew, which takes all that the caller handed over.
func (s *session) confine(now time.Time) {
	if !host.Confined(s.box.PID()) {
		s.letGo = now.Add(letGoAfter)
		return
	}
	s.letGo = time.Time{}
	s.streams()
	s.box.LetGo()
	if filter, err := seccomp.Default(seccomp.Want{Process: true}); err == nil {
		userns.LetGo(filter, s.wall())
	}
}

// wait passes signals on and keeps the time until the box has ended.
func (s *session) wait(timeout time.Duration) (Result, error) {
	var r Result
	var failed error
	var expires time.Time
	if timeout > 0 {
		expires = time.Now().Add(timeout)
	}
	known := false // the command's status is
	say := func(line string) {
		if to, ok := strings.CutPrefix(line, "refused "); ok {
			r.Refused = append(r.Refused, to)
		}
		s.note(line)
	}
	reap := func() unix.WaitStatus {
		status := s.box.Reap()
		lines, err := s.box.LastNetwork()
		for _, line := range lines {
			say(line)
		}
		if err != nil {
			s.noNetwork(err, "")
		}
		return status
	}
	s.letGo = time.Now().Add(letGoAfter)
	fds := []unix.PollFd{
		{Fd: int32(s.box.Control()), Events: unix.POLLIN},
		{Fd: int32(s.box.PIDFD()), Events: unix.POLLIN},
		{Fd: int32(s.signals.FD()), Events: unix.POLLIN},
		{Fd: int32(s.hungUp), Events: unix.POLLIN},
		{Fd: int32(s.box.Network()), Events: unix.POLLIN},
	}
	attendants := len(fds)
	for _, fd := range s.box.Attendants() {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		if _, err := unix.Poll(fds, untilFirst(expires, s.kill, s.letGo)); err != nil && err != unix.EINTR {
			s.box.Kill()
			s.box.Reap()
			return Result{}, err
		}
		for fds[2].Revents != 0 {
			sig, ok := s.signals.Next()
			if !ok {
				break
			}
			s.pass(sig)
		}
		if fds[0].Revents != 0 {
			e, err := s.box.Next()
			switch {
			case err != nil:
				fds[0].Fd = -1 // closed by execve, or by the end
			case e.Failed != nil:
				failed = e.Failed
			case e.Exited:
				r.Status, known = e.Status, true
			case e.Stopped:
				s.stopped()
			}
			if failed != nil || known {
				reap()
				return r, failed
			}
			continue // what was said before the end comes first
		}
		if fds[1].Revents != 0 {
			if status := reap(); !known {
				r.Status = status
			}
			return r, failed
		}
		if fds[4].Revents != 0 {
			line, err := s.box.NextNetwork()
			if err != nil {
				fds[4].Fd = -1
				s.noNetwork(err, "; the box has no network any more")
			} else if line != "" {
				say(line)
			}
		}
		for i := attendants; i < len(fds); i++ {
			if fds[i].Revents != 0 {
				fds[i].Fd = -1
				s.note(attendantEnded(s.box.AttendantEnded(i - attendants)))
			}
		}
		if fds[3].Revents != 0 {
			fds[3].Fd = -1
			s.box.Signal(unix.SIGHUP)
			s.kill = time.Now().Add(hangupGrace)
		}
		now := time.Now()
		if !expires.IsZero() && !now.Before(expires) {
			expires = time.Time{}
			r.TimedOut = true
			s.terminate()
		}
		if !s.letGo.IsZero() && !now.Before(s.letGo) {
			s.confine(now)
		}
		if !s.kill.IsZero() && !now.Before(s.kill) {
			s.kill = time.Time{}
			s.box.Kill()
		}
	}
}

// noNetwork says why the network's process is no more, and what would help.
func (s *session) noNetwork(err error, so string) {
	s.note(err.Error() + so)
	if hint := networkHint(err); hint != "" {
		s.note("hint: " + hint)
	}
}

// attendantEnded says what the box is without from here on.
func attendantEnded(name string, err error) string {
	if name == ports.Name {
		return fmt.Sprintf("the forwarder ended: %v; the published ports do not lead into the box any more", err)
	}
	return fmt.Sprintf("%s ended: %v; the box has no network any more", name, err)
}

// untilFirst is poll's timeout up to the first of the times that is set.
func untilFirst(times ...time.Time) int {
	ms := -1
	for _, t := range times {
		if t.IsZero() {
			continue
		}
		left := int(time.Until(t)/time.Millisecond) + 1
		if left < 0 {
			left = 0
		}
		if ms < 0 || left < ms {
			ms = left
		}
	}
	return ms
}

// terminate asks the command to end, and ends it if it does not.
func (s *session) terminate() {
	s.box.Signal(unix.SIGTERM)
	if s.kill.IsZero() {
		s.kill = time.Now().Add(s.stopTimeout)
	}
}

// pass passes a signal on to the command.
func (s *session) pass(sig unix.Signal) {
	switch sig {
	case unix.SIGTERM:
		s.terminate()
		return
	case unix.SIGWINCH:
		if s.relay != nil {
			s.relay.Resize() // the kernel tells the inside
			return
		}
	case unix.SIGCONT:
		if s.relay != nil {
			s.relay.Resume()
		}
	}
	s.box.Signal(sig)
}

// stopWait is how long nobox waits to be stopped after it asked to be. Where
// nobody could continue it, in an orphaned process group, the kernel does not
// stop it; setpgid(2).
const stopWait = 200 * time.Millisecond

// stopped is called when the command was stopped: nobox stops as well, so that
// the shell it was started from takes over, and both go on together.
func (s *session) stopped() {
	if s.relay != nil {
		s.relay.Suspend()
		unix.Kill(0, unix.SIGTSTP) // the whole job
	} else if continuable() {
		// The terminal stopped the rest of the job itself.
		unix.Kill(os.Getpid(), unix.SIGSTOP)
	}
	limit := time.Now().Add(stopWait)
	for {
		fds := []unix.PollFd{{Fd: int32(s.signals.FD()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, untilFirst(limit))
		if err == unix.EINTR {
			continue
		}
		if n == 0 {
			break
		}
		if sig, ok := s.signals.Next(); ok {
			s.pass(sig)
			if sig == unix.SIGCONT {
				return
			}
		}
	}
	if s.relay != nil {
		s.relay.Resume()
	}
	s.box.Signal(unix.SIGCONT)
}

// continuable says whether a shell with job control is there to continue
// nobox: its parent is of the same session, in another process group.
func continuable() bool {
	parent := os.Getppid()
	sid, err := unix.Getsid(parent)
	own, err2 := unix.Getsid(0)
	pgrp, err3 := unix.Getpgid(parent)
	return err == nil && err2 == nil && err3 == nil && sid == own && pgrp != unix.Getpgrp()
}

// watchTerminal makes hungUp of the relay's channel.
func (s *session) watchTerminal() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	s.hungUp = fd
	runtime.GOMAXPROCS(2) // the relay's thread, and this one; package caller says one
	gone := s.relay.HungUp()
	go func() {
		<-gone
		unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}()
	return nil
}
