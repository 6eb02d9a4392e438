package userns

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// An attendant is a process outside that serves the box: a network helper, or
// the forwarder of the published ports. It ends with the box. It is told by the
// kernel when nobox dies (PR_SET_PDEATHSIG), and holds one end of a pipe or
// socket whose other end is nobox's.
type attendant struct {
	name  string
	pid   int
	pidfd int
	words int // what it says, -1 if nothing
	hold  int // closed when nobox ends, -1 if words is that as well
}

// helperReady is how long a network helper may take to set the network up.
const helperReady = 5 * time.Second

// An AttendantError is the failure of a helper or the forwarder.
type AttendantError struct {
	Name  string
	Words string // the last line of what it said
	Err   error
}

func (e *AttendantError) Error() string {
	if e.Words != "" {
		return fmt.Sprintf("%v, and said: %s", e.Err, e.Words)
	}
	return e.Err.Error()
}

func (e *AttendantError) Unwrap() error { return e.Err }

// takeNamespaces receives both from the inside.
func (b *Box) takeNamespaces() error {
	for _, into := range []struct {
		kind uint32
		fd   *int
	}{{msgUserNS, &b.userNS}, {msgNetNS, &b.netNS}} {
		m, fd, err := b.receive()
		if err != nil {
			return err
		}
		if m.kind != into.kind || fd < 0 {
			b.early = b.stepError(m)
			return errors.New("the inside failed")
		}
		*into.fd = fd
	}
	return nil
}

// seeNamespaces receives the namespaces that the inside shows and keeps their
// inodes.
func (b *Box) seeNamespaces() error {
	for i := range b.shown {
		m, fd, err := b.receive()
		if err != nil {
			return err
		}
		if m.kind != msgShown || fd < 0 {
			b.early = b.stepError(m)
			return errors.New("the inside failed")
		}
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		unix.Close(fd)
		if err != nil {
			return err
		}
		b.shown[i] = st.Ino
	}
	return nil
}

// Shown are the inodes of plan.ShownNamespaces, zero where the plan has no
// SeeNamespaces.
func (b *Box) Shown() [len(plan.ShownNamespaces)]uint64 { return b.shown }

// startNetHelper starts slirp4netns or pasta and waits until it is ready.
func (b *Box) startNetHelper(a plan.StartHelper) error {
	args := []string{string(a.Path)}
	for _, v := range a.Args {
		if v == plan.BoxPID {
			v = strconv.Itoa(b.pid)
		}
		args = append(args, v)
	}
	var ready, words, exit [2]int
	for _, p := range []*[2]int{&ready, &words, &exit} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
	}
	defer unix.Close(ready[0])
	// Who says more than a pipe holds must not stop for it: nobody reads before
	// the end.
	unix.SetNonblock(words[1], true)
	unix.SetNonblock(words[0], true)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	files := []uintptr{uintptr(null), uintptr(words[1]), uintptr(words[1]), plan.HelperExit: uintptr(exit[0]), plan.HelperReady: uintptr(ready[1])}
	if a.Ready == unix.Stdout {
		files = files[:plan.HelperReady]
		files[unix.Stdout] = uintptr(ready[1])
	}
	pidfd := -1
	pid, err := syscall.ForkExec(string(a.Path), args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	for _, fd := range []int{null, ready[1], words[1], exit[0]} {
		unix.Close(fd)
	}
	if err != nil {
		unix.Close(words[0])
		unix.Close(exit[1])
		return err
	}
	h := &attendant{name: a.Name, pid: pid, pidfd: pidfd, words: words[0], hold: exit[1]}
	b.attendants = append(b.attendants, h)
	deadline := time.Now().Add(helperReady)
	for {
		fds := []unix.PollFd{{Fd: int32(ready[0]), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(b.control)}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline).Milliseconds(), 0)))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return &AttendantError{h.name, h.lastWords(), fmt.Errorf("it was not ready within %v", helperReady)}
		case fds[0].Revents&unix.POLLIN != 0:
			return nil
		case fds[1].Revents != 0, fds[0].Revents != 0:
			// An end of its stdout, which says nothing, is not far from its own.
			if fds[1].Revents == 0 {
				unix.Poll(fds[1:2], int(helperReady.Milliseconds()))
				h.kill()
			}
			return &AttendantError{h.name, h.lastWords(), errors.New("it ended: " + exitText(h.wait()))}
		case fds[2].Revents != 0:
			return errors.New("the inside failed")
		}
	}
}

// lastWords are the last line of what it said.
func (h *attendant) lastWords() string {
	if h.words < 0 {
		return ""
	}
	var all []byte
	buf := make([]byte, 4096)
	for len(all) < 64<<10 {
		n, err := unix.Read(h.words, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			break
		}
		all = append(all, buf[:n]...)
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	last := lines[len(lines)-1]
	return last[:min(len(last), 500)]
}

func (h *attendant) kill() {
	if h.pid > 0 {
		unix.PidfdSendSignal(h.pidfd, unix.SIGKILL, nil, 0)
	}
}

func (h *attendant) wait() (ws unix.WaitStatus) {
	if h.pid <= 0 {
		return 0
	}
	for {
		if _, err := unix.Wait4(h.pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	h.pid = 0
	return ws
}

// killAttendants ends those processes, endAttendants waits until they have.
func (b *Box) killAttendants() {
	for _, h := range b.attendants {
		h.kill()
	}
}

func (b *Box) endAttendants() {
	b.killAttendants()
	for _, h := range b.attendants {
		h.wait()
		for _, fd := range []*int{&h.pidfd, &h.words, &h.hold} {
			if *fd >= 0 {
				unix.Close(*fd)
				*fd = -1
			}
		}
	}
	b.attendants = nil
	for _, l := range b.listening {
		for _, fd := range l.fds {
			unix.Close(fd)
		}
		if l.path != "" {
			unix.Unlinkat(l.dir, filepath.Base(l.path), 0)
			unix.Close(l.dir)
		}
	}
	b.listening = nil
	for _, fd := range []*int{&b.userNS, &b.netNS} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// Attendants are descriptors, each of which becomes readable when one of the
// processes that serve the box ends while it runs.
func (b *Box) Attendants() []int {
	var fds []int
	for _, h := range b.attendants {
		fds = append(fds, h.pidfd)
	}
	return fds
}

// AttendantEnded says what became of the i-th attendant: its name, and how it
// ended.
func (b *Box) AttendantEnded(i int) (name string, err error) {
	h := b.attendants[i]
	words := h.lastWords()
	return h.name, &AttendantError{h.name, words, errors.New(exitText(h.wait()))}
}

// ---- published ports

// listening is what one Listen bound.
type listening struct {
	step  plan.Listen
	from  string
	fds   []int
	ports []netip.AddrPort
	path  string // absolute, of the socket in the file system
	dir   int    // of the directory that it is in, with a path
}

// firstOwnFD is the lowest number a listening socket may have: those below are
// the forwarder's own.
const firstOwnFD = 10

// tries is how often another free port is tried where the one the kernel gave
// for one address is taken at the next.
const tries = 32

// listen binds a published port at all of its addresses, or at none.
func (b *Box) listen(a plan.Listen, from string) error {
	l := listening{step: a, from: from}
	if a.Path != "" {
		fd, dir, path, err := listenUnix(string(a.Path))
		if err != nil {
			return err
		}
		l.fds, l.dir, l.path = []int{fd}, dir, path
		b.listening = append(b.listening, l)
		return nil
	}
	attempts := int(a.Last-a.First) + 1
	if a.First == 0 {
		attempts = tries
	}
	var err error
	for i := range attempts {
		port := a.First
		if port != 0 {
			port += uint16(i)
		}
		if l.fds, l.ports, err = listenAll(a, port); err == nil {
			b.listening = append(b.listening, l)
			return nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	return err
}

// listenAll binds the port at every address; 0 is the one the kernel gives for
// the first.
func listenAll(a plan.Listen, port uint16) (fds []int, at []netip.AddrPort, err error) {
	for _, s := range a.At {
		ip, err := netip.ParseAddr(s)
		if err == nil {
			var fd int
			if fd, err = listenAt(netip.AddrPortFrom(ip, port), a.UDP); err == nil {
				fds = append(fds, fd)
				if port == 0 {
					port, err = boundPort(fd)
				}
				at = append(at, netip.AddrPortFrom(ip, port))
			}
		}
		if err != nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
			if len(a.At) > 1 {
				err = &ListenError{At: s, Err: err}
			}
			return nil, nil, err
		}
	}
	return fds, at, nil
}

// A ListenError says at which of several addresses a port could not be bound.
type ListenError struct {
	At  string
	Err error
}

func (e *ListenError) Error() string { return "at " + e.At + ": " + e.Err.Error() }
func (e *ListenError) Unwrap() error { return e.Err }

// backlog is the kernel's to cut; net.core.somaxconn.
const backlog = 4096

func listenAt(at netip.AddrPort, udp bool) (fd int, err error) {
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	if at.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	if udp {
		kind = unix.SOCK_DGRAM
	}
	low, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	fd, err = unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, firstOwnFD)
	unix.Close(low)
	if err != nil {
		return -1, err
	}
	if !udp {
		// Connections of a box that just ended are no reason to wait.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil && family == unix.AF_INET6 {
		// IPv4 has a socket of its own, or was not asked for.
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil && !udp {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func boundPort(fd int) (uint16, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port), nil
	case *unix.SockaddrInet6:
		return uint16(sa.Port), nil
	}
	return 0, unix.EAFNOSUPPORT
}

// listenUnix makes a socket that only the caller can connect to. Its directory is
// held: by its path a box could have it lead elsewhere by the time the socket is
// removed, and a box that ran before could have left a link there.
func listenUnix(path string) (fd, dir int, abs string, err error) {
	if abs, err = filepath.Abs(path); err != nil {
		return -1, -1, "", err
	}
	if dir, err = OpenOutside(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return -1, -1, "", err
	}
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	for _, n := range []*int{&fd, &dir} {
		if err == nil {
			low := *n
			*n, err = unix.FcntlInt(uintptr(low), unix.F_DUPFD_CLOEXEC, firstOwnFD)
			unix.Close(low)
		}
	}
	base := filepath.Base(path)
	if err == nil {
		old := unix.Umask(0o177)
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + base})
		unix.Umask(old)
	}
	if err == nil {
		if err = unix.Listen(fd, backlog); err != nil {
			unix.Unlinkat(dir, base, 0)
		}
	}
	if err != nil {
		unix.Close(fd)
		unix.Close(dir)
		return -1, -1, "", err
	}
	return fd, dir, abs, nil
}

// A Published port is where on the host a port of the box is.
type Published struct {
	Step plan.Listen
	From string
	FDs  []int
	At   []netip.AddrPort
	Path string
	Dir  int // of the directory of Path
}

// Published are the published ports, as they were bound.
func (b *Box) Published() []Published { return b.published() }

func (b *Box) published() (ps []Published) {
	for _, l := range b.listening {
		ps = append(ps, Published{l.step, l.from, l.fds, l.ports, l.path, l.dir})
	}
	return ps
}

// startForwarder starts nobox's own program as the forwarder; see package
// ports. It is the player that makes it so, in a process that has one thread:
// only such a one can enter a user namespace (setns(2)).
func (b *Box) startForwarder(args []string, files []int, visible bool) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[1])
	theirs := ends[1]
	if theirs <= forwarderControl {
		// dup3(2) refuses to copy a descriptor to itself.
		if theirs, err = unix.FcntlInt(uintptr(ends[1]), unix.F_DUPFD_CLOEXEC, firstOwnFD); err != nil {
			unix.Close(ends[0])
			return err
		}
		defer unix.Close(theirs)
	}
	pid, pidfd, err := cloneProgram(b.forwarderProgram(args, files, visible), theirs, ends[0], nil)
	if err != nil {
		unix.Close(ends[0])
		return err
	}
	unix.SetNonblock(ends[0], true)
	b.attendants = append(b.attendants, &attendant{name: args[0], pid: pid, pidfd: int(pidfd), words: ends[0], hold: -1})
	return nil
}

// forwarderControl is the forwarder's descriptor that leads to nobox.
const forwarderControl = 3

// forwarderProgram are the calls that become the forwarder, which has the
// listening sockets and these files.
func (b *Box) forwarderProgram(args []string, files []int, visible bool) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 8<<10)}
	l.dieWithParent()
	l.call(unix.SYS_SETSID)
	l.call(unix.SYS_CHDIR, l.str("/"))
	l.call(unix.SYS_DUP3, control(), num(forwarderControl), num(0))
	byItself := len(files) > 0
	for _, p := range b.listening {
		files = append(files, p.fds...)
		if p.path != "" {
			byItself = true
			files = append(files, p.dir)
		}
	}
	l.call(unix.SYS_SETNS, num(b.userNS), hex(unix.CLONE_NEWUSER))
	l.call(unix.SYS_SETNS, num(b.netNS), hex(unix.CLONE_NEWNET))
	l.becomeForwarder(files, 1, visible)
	if byItself {
		// It has, or may come to have, a socket to remove when nobox is gone, and
		// ends by itself then.
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_PDEATHSIG), num(0))
	}
	l.call(unix.SYS_EXECVE, l.str("/proc/self/exe"), l.vector(args), l.vector(nil))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}

// becomeForwarder are the last calls before the forwarder's program, which keeps
// files and has /dev/null for the streams up to last. It has no capability or, to
// connect as its clients, CAP_NET_RAW, whoever it is inside.
func (l *lowerer) becomeForwarder(files []int, last int, visible bool) {
	devnull := l.temp()
	l.make(devnull, unix.SYS_OPENAT, cwd(), l.str("/dev/null"), hex(unix.O_RDWR|unix.O_CLOEXEC))
	for fd := range last + 1 {
		l.call(unix.SYS_DUP3, devnull, num(fd), num(0))
	}
	for _, fd := range files {
		l.call(unix.SYS_FCNTL, num(fd), num(unix.F_SETFD), num(0))
	}
	if visible {
		l.capset(1<<unix.CAP_NET_RAW, 1<<unix.CAP_NET_RAW)
		l.call(unix.SYS_PRCTL, num(unix.PR_CAP_AMBIENT), num(unix.PR_CAP_AMBIENT_RAISE), num(unix.CAP_NET_RAW), num(0), num(0))
	} else {
		l.capset(0, 0)
	}
	l.call(unix.SYS_PRCTL, num(unix.PR_SET_NO_NEW_PRIVS), num(1))
	l.call(unix.SYS_PRCTL, num(unix.PR_SET_TIMERSLACK), num(50000))
	l.call(unix.SYS_RT_SIGPROCMASK, num(sigSetmask), l.words(0), null(), num(sizeofSigset))
}

// Listen binds a published port, as the step does.
func Listen(a plan.Listen, from string) (Published, error) {
	var b Box
	if err := b.listen(a, from); err != nil {
		return Published{}, err
	}
	return b.published()[0], nil
}

// Forward starts a forwarder for a box that runs already, of which a process is
// known by a pidfd, and returns when it is on its way. It has files besides the
// standard streams and, as its descriptor 3, the pidfd of the nobox that runs
// the box, with which it ends.
//
// Preconditions: as Start; the descriptors are above 3.
func Forward(process, nobox int, args []string, files []int, visible bool) error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ends[0])
	theirs, err := unix.FcntlInt(uintptr(ends[1]), unix.F_DUPFD_CLOEXEC, firstOwnFD)
	unix.Close(ends[1])
	if err != nil {
		return err
	}
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 8<<10)}
	l.call(unix.SYS_SETSID)
	l.call(unix.SYS_CHDIR, l.str("/"))
	l.call(unix.SYS_SETNS, num(process), hex(unix.CLONE_NEWUSER|unix.CLONE_NEWNET))
	l.call(unix.SYS_DUP3, num(nobox), num(forwarderControl), num(0))
	l.becomeForwarder(files, unix.Stderr, visible)
	l.call(unix.SYS_EXECVE, l.str("/proc/self/exe"), l.vector(args), l.vector(nil))
	prog := &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
	_, pidfd, err := cloneProgram(prog, theirs, ends[0], nil)
	unix.Close(theirs)
	if err != nil {
		return err
	}
	unix.Close(int(pidfd))
	var buf [sizeofMessage]byte
	for {
		n, err := unix.Read(ends[0], buf[:])
		switch {
		case err == unix.EINTR:
		case n == sizeofMessage:
			if m := messageOf(buf[:]); m.kind == msgFailed {
				return syscall.Errno(m.b)
			}
		default: // closed by the execve
			return nil
		}
	}
}
