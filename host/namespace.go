package host

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// A Network is a network namespace of the caller's choice.
type Network struct {
	FD    int // of the namespace
	Owner int // of the user namespace that it belongs to; -1 if that is the caller's own
	Own   bool
}

// errNoNetwork is a file that is no network namespace.
var errNoNetwork = errors.New("it is no network namespace")

// errAbove is one that belongs to a user namespace which the caller is not above.
var errAbove = errors.New("it belongs to a user namespace that is not the caller's")

// NetworkAt opens a network namespace and the user namespace that it belongs to;
// ioctl_ns(2). The descriptors are close-on-exec.
func NetworkAt(path string) (n Network, err error) {
	n.Owner = -1
	n.FD, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return n, err
	}
	if kind, err := unix.IoctlRetInt(n.FD, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWNET {
		unix.Close(n.FD)
		return n, errNoNetwork
	}
	if n.Own = sameFile(n.FD, "/proc/self/ns/net"); n.Own {
		return n, nil
	}
	owner, err := unix.IoctlRetInt(n.FD, unix.NS_GET_USERNS)
	if err != nil {
		unix.Close(n.FD)
		if err == unix.EPERM {
			err = errAbove
		}
		return n, err
	}
	unix.CloseOnExec(owner)
	if sameFile(owner, "/proc/self/ns/user") {
		unix.Close(owner)
		return n, nil
	}
	n.Owner = owner
	return n, nil
}

func sameFile(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Stat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// Mapped says whether this user namespace knows the caller by a number: in one
// that does not no box can be made; user_namespaces(7).
func Mapped() bool {
	text, err := readBelow(Place{Base: "/", Path: "/proc/self/uid_map"}, 1<<16)
	return err == nil && strings.TrimSpace(string(text)) != ""
}

// NoUserns says whether no user namespace can be made in this one, by its own
// limit; namespaces(7), /proc/sys/user.
func NoUserns() bool {
	text, err := readBelow(Place{Base: "/", Path: "/proc/sys/user/max_user_namespaces"}, 64)
	return err == nil && strings.TrimSpace(string(text)) == "0"
}
