package userns

import (
	"errors"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A Holder holds directories of nobox's own: what comes of it lets go of the one.
// It is package host's, which knows the machine.
type Holder struct {
	Hold func(plan.HostPath) (letGo func(), err error)
	// After is the command line of nobox's that lets go of them when nobox and the
	// box have ended, whose stdin is the other end of what AwaitBox wants.
	After func([]plan.HostPath) []string
}

// holding is what a box has of that.
type holding struct {
	letGo []func()
	end   int // closing it without ending the process first has that let go
	pid   int
}

// hold holds the directories. The process that removes them should nobox be killed
// is there before one is made.
func (b *Box) hold(dirs []plan.HostPath, h Holder) error {
	if h.Hold == nil {
		return errors.New("nothing plays this step")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[1])
	pid, pidfd, err := cloneProgram(afterProgram(h.After(dirs), fds[1], false), fds[1], fds[0], nil)
	if err != nil {
		unix.Close(fds[0])
		return err
	}
	unix.Close(int(pidfd))
	b.held = &holding{end: fds[0], pid: pid}
	for _, d := range dirs {
		letGo, err := h.Hold(d)
		if err != nil {
			return err
		}
		b.held.letGo = append(b.held.letGo, letGo)
	}
	return nil
}

// tell tells that process of the box: what the box could still make is not to be
// removed before it has ended.
func (h *holding) tell(pidfd int) error {
	if h == nil {
		return nil
	}
	return unix.Sendmsg(h.end, []byte{0}, unix.UnixRights(pidfd), nil, unix.MSG_NOSIGNAL)
}

// release lets go of the directories, and ends the process. Preconditions: the box
// was reaped, or never was.
func (b *Box) release() {
	h := b.held
	if h == nil {
		return
	}
	b.held = nil
	for i := len(h.letGo) - 1; i >= 0; i-- {
		h.letGo[i]()
	}
	unix.Kill(h.pid, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(h.pid, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	unix.Close(h.end)
}

// AwaitBox waits until a box has ended of whose nobox nothing is left but what it
// said by this socket: its pidfd. If it said nothing the box had no command yet.
func AwaitBox(socket int) {
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data[:], oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return
	}
	box := descriptorIn(oob[:n])
	if box < 0 {
		return
	}
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(box), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			return
		}
	}
}
