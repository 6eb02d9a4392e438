package boxes

import (
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstPort is above what the forwarder of published ports has of its own.
const firstPort = 16

// The forwarder of a box's published ports listens in the box's directory.
// XDG_RUNTIME_DIR may be too long for the name of a socket (unix(7), 108 bytes):
// it is named by a descriptor of the directory.
func portsSocket(dir string, use func(at *unix.SockaddrUnix) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return use(&unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(fd) + "/ports"})
}

func listenPorts(dir string) (int, error) {
	low, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	fd, err := unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, firstPort)
	unix.Close(low)
	if err != nil {
		return -1, err
	}
	unix.Unlink(dir + "/ports") // of a forwarder that is gone
	if err := portsSocket(dir, func(at *unix.SockaddrUnix) error { return unix.Bind(fd, at) }); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ListenPorts makes the socket of a box's forwarder, for who has its name, and
// for who starts a forwarder for it.
func (c *Claim) ListenPorts() (int, error) { return listenPorts(c.dir) }
func (d Dir) ListenPorts(name string) (int, error) {
	return listenPorts(filepath.Join(string(d), name))
}

// ConnectPorts connects to a box's forwarder; an error if it has none.
func (d Dir) ConnectPorts(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := portsSocket(filepath.Join(string(d), name), func(at *unix.SockaddrUnix) error { return unix.Connect(fd, at) }); err != nil {
		unix.Close(fd)
		return -1, err
	}
	// Not from a box, to which the directory may be shown: ports.From.
	if err := sayFrom(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
