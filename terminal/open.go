package terminal

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// A descriptor is a way to a terminal; none is the lack of one.
type descriptor struct {
	fd     int
	own    bool // opened here, so closed here; non-blocking
	blocks bool // inherited, and blocking: written in pieces, after a poll
}

var none = descriptor{fd: -1}

func (d *descriptor) close() {
	if d.own {
		unix.Close(d.fd)
	}
	*d = none
}

// An opener opens a description of its own of the terminal behind fd; -1 if
// that is refused.
type opener func(fd, access int) int

// reopen is the opener in use. Two ways lead to the same terminal. /proc
// needs permission on its device node, which is missing after su to another
// user, and on one with TIOCEXCL. /dev/tty, which anyone may open, is only
// the process's controlling terminal. What comes back is compared by device number: from
// a /dev/ptmx, for one, the kernel makes a new pty; and a terminal hung up in
// between may belong to another login by now, in which case the ioctl on the
// inherited descriptor fails.
func reopen(fd, access int) int {
	paths := []string{"/proc/self/fd/" + strconv.Itoa(fd)}
	if _, err := unix.IoctlGetUint32(fd, unix.TIOCGPGRP); err == nil {
		paths = append(paths, "/dev/tty")
	}
	for _, path := range paths {
		own, err := retry(func() (int, error) {
			return unix.Open(path, access|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			continue
		}
		a, errA := unix.IoctlGetUint32(own, unix.TIOCGDEV)
		b, errB := unix.IoctlGetUint32(fd, unix.TIOCGDEV)
		if errA == nil && errB == nil && a == b {
			return own
		}
		unix.Close(own)
	}
	return -1
}

// open makes a descriptor for the terminal behind fd. access is O_RDONLY or
// O_WRONLY.
func (open opener) open(fd, access int) descriptor {
	if own := open(fd, access); own >= 0 {
		return descriptor{fd: own, own: true}
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if mode := flags & unix.O_ACCMODE; err != nil || mode != access && mode != unix.O_RDWR {
		return none
	}
	return descriptor{fd: fd, blocks: flags&unix.O_NONBLOCK == 0}
}

// input opens what is typed.
func (open opener) input(s Streams) descriptor {
	if s.FD < 0 {
		return none
	}
	return open.open(s.FD, unix.O_RDONLY)
}

// output opens the screen: stdout, else stderr, else stdin, whichever is a
// terminal and can be written to.
func (open opener) output(s Streams) descriptor {
	for _, c := range [...]struct {
		tty bool
		fd  int
	}{{s.TTY[1], 1}, {s.TTY[2], 2}, {s.FD >= 0, s.FD}} {
		if !c.tty {
			continue
		}
		if d := open.open(c.fd, unix.O_WRONLY); d.fd >= 0 {
			return d
		}
	}
	return none
}
