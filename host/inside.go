package host

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNotInside is an Inside that was started where its trials would be the
// machine's.
var ErrNotInside = errors.New("it is a part of nobox doctor, which starts it in namespaces of its own")

// Inside is the process that Try starts in new namespaces. It tries each task
// and returns, a line each, what came of it; then it waits until stdin ends, so
// that the host side may look at it meanwhile. Outer is the user namespace that
// Try runs in.
func Inside(outer string, tasks []string) (string, error) {
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil || own == outer || !strings.HasPrefix(outer, "user:") {
		return "", ErrNotInside
	}
	runtime.LockOSThread() // no_new_privs and the filter are a thread's
	var b strings.Builder
	for _, task := range tasks {
		said, err := inside(task)
		code := "0"
		var errno syscall.Errno
		switch {
		case errors.As(err, &errno):
			code = strconv.Itoa(int(errno))
		case err != nil:
			code, said = "-", err.Error()
		}
		b.WriteString(taskName(task) + "\t" + code + "\t" + strings.NewReplacer("\t", " ", "\n", " ").Replace(said) + "\n")
	}
	var buf [1]byte
	for {
		if n, err := unix.Read(0, buf[:]); n == 0 || err != nil && err != unix.EINTR {
			return b.String(), nil
		}
	}
}

func inside(task string) (string, error) {
	name, arg, _ := strings.Cut(task, ":")
	switch name {
	case "capabilities":
		// Ubuntu's AppArmor lets the namespace be made and takes the power in it.
		if err := unix.Sethostname([]byte("nobox")); err != nil {
			return "", err
		}
		return "", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	case "proc":
		_, err := newMount("proc")
		return "", err
	case "tun":
		return "", tryTun()
	case "veth":
		return "", tryVeth()
	case "ipv6":
		return "", tryIPv6()
	case "seccomp":
		return "", trySeccomp()
	case "lower", "upper":
		_, dir, _ := strings.Cut(arg, ":")
		return "", tryOverlay(dir, name == "upper")
	}
	return "", unix.EINVAL
}

// newMount makes a file system as nobox does; fsopen(2). Options are names and
// values, "" for one that has none.
func newMount(typ string, options ...string) (int, error) {
	fs, err := unix.Fsopen(typ, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for i := 0; i+1 < len(options); i += 2 {
		name, value := options[i], options[i+1]
		set := func() error { return unix.FsconfigSetString(fs, name, value) }
		if value == "" {
			set = func() error { return unix.FsconfigSetFlag(fs, name) }
		}
		if err := set(); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
}

// tryTun makes a device of the network in user space; tun.txt of the kernel.
func tryTun() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("nobox0")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
}

// tryIPv6 brings lo up and binds to ::1.
func tryIPv6() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return err
	}
	six, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(six)
	return unix.Bind(six, &unix.SockaddrInet6{Addr: [16]byte{15: 1}})
}

// tryOverlay mounts an overlay with dir as one of its layers, the other being in
// memory, and writes a file through it.
func tryOverlay(dir string, upper bool) error {
	const path = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	given, err := unix.Open(dir, path, 0)
	if err != nil {
		return err
	}
	mem, err := newMount("tmpfs", "mode", "0755")
	if err != nil {
		return err
	}
	// A layer has to be mounted. /proc is there, and nothing here needs it
	// by a path from now on but through the descriptors.
	if err := unix.MoveMount(mem, "", unix.AT_FDCWD, "/sys", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	defer unix.Unmount("/sys", unix.MNT_DETACH)
	base := mem
	if upper {
		base = given
	}
	for _, name := range []string{"upper", "work"} {
		if err := unix.Mkdirat(base, name, 0o755); err != nil {
			return err
		}
	}
	fd := func(n int) string { return "/proc/self/fd/" + strconv.Itoa(n) }
	lower := given
	if upper {
		lower = mem
	}
	o, err := newMount("overlay", "lowerdir", fd(lower), "upperdir", fd(base)+"/upper", "workdir", fd(base)+"/work", "userxattr", "")
	if err != nil {
		return err
	}
	defer unix.Close(o)
	f, err := unix.Openat(o, ".nobox-doctor", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	unix.Close(f)
	return unix.Unlinkat(o, ".nobox-doctor", 0)
}

// tryVeth makes the pair of devices that stands in for /dev/net/tun, and a
// packet socket; rtnetlink(7), packet(7).
func tryVeth() error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	attr := func(kind uint16, data ...byte) []byte {
		n := 4 + len(data)
		b := []byte{byte(n), byte(n >> 8), byte(kind), byte(kind >> 8)} // little endian, as amd64 and arm64 are
		b = append(b, data...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		return b
	}
	ifinfo := make([]byte, unix.SizeofIfInfomsg)
	const vethInfoPeer = 1 // linux/veth.h
	peer := attr(vethInfoPeer, append(append([]byte{}, ifinfo...), attr(unix.IFLA_IFNAME, []byte("nobox2\x00")...)...)...)
	info := attr(unix.IFLA_LINKINFO, append(attr(unix.IFLA_INFO_KIND, []byte("veth\x00")...), attr(unix.IFLA_INFO_DATA, peer...)...)...)
	body := append(append(append([]byte{}, ifinfo...), attr(unix.IFLA_IFNAME, []byte("nobox1\x00")...)...), info...)
	n := unix.SizeofNlMsghdr + len(body)
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL)
	msg := append([]byte{byte(n), byte(n >> 8), 0, 0, unix.RTM_NEWLINK, 0, byte(flags), byte(flags >> 8), 1, 0, 0, 0, 0, 0, 0, 0}, body...)
	if err := unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	got, _, err := unix.Recvfrom(s, buf, 0)
	if err != nil {
		return err
	}
	if got < unix.SizeofNlMsghdr+4 {
		return unix.EPROTO
	}
	e := buf[unix.SizeofNlMsghdr:]
	if code := int32(uint32(e[0]) | uint32(e[1])<<8 | uint32(e[2])<<16 | uint32(e[3])<<24); code != 0 {
		return syscall.Errno(-code)
	}
	p, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(p)
}
