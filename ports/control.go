package ports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What a box that has a name publishes can be asked and changed while it runs
// (nobox port): its forwarder listens at a socket in the box's directory, which
// is the caller's alone. It is of type SOCK_SEQPACKET; a connection has one
// request and one answer, each a message:
//
//	list                  a line for each port: PROTO BOX WHERE
//	add PROTO BOX [PATH]  with a listening socket, and with PATH the directory that
//	                      it is in: nothing, or what is wrong
//	close PROTO WHERE     nothing, or what is wrong
//
// PROTO is tcp, udp or unix, BOX the port inside, and WHERE an address and port
// of the host, or the path of a socket.

// maxRequest is more than a path may be long.
const maxRequest = 4096

// maxList is more than the longest list.
const maxList = 1 << 20

// A Listed port is one that is published.
type Listed struct {
	Proto string // tcp, udp, unix
	Box   uint16
	Where string // ADDRESS:PORT, or the path of a socket
}

// served are the ports that this process serves.
type served struct {
	visible bool // servers see the address of who connects; client.go

	mu    sync.Mutex
	ports map[string]*open // by proto and where
}

type open struct {
	Listed
	io.Closer
	port Port
}

func (o *open) close() {
	o.Close()
	if o.Proto == "unix" {
		o.port.remove()
		unix.Close(o.port.Dir)
	}
}

func (o Listed) key() string { return o.Proto + " " + o.Where }

func newServed() *served { return &served{ports: map[string]*open{}} }

// serve starts to serve a port.
func (s *served) serve(p Port) error {
	f := os.NewFile(uintptr(p.FD), "")
	if f == nil {
		return errors.New("a descriptor that is none")
	}
	defer f.Close()
	o := &open{Listed: Listed{Proto: "tcp", Box: p.Box}, port: p}
	if p.UDP {
		c, err := net.FilePacketConn(f)
		if err != nil {
			return err
		}
		u, ok := c.(*net.UDPConn)
		if !ok {
			return errors.New("a socket that is not udp")
		}
		o.Proto, o.Where, o.Closer = "udp", u.LocalAddr().String(), u
		go newUDP(u, p.Box, s.visible).serve()
	} else {
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		o.Where, o.Closer = l.Addr().String(), l
		if p.Path != "" {
			o.Proto, o.Where = "unix", p.Path
		}
		go serveTCP(l, p.Box, s.visible)
	}
	s.mu.Lock()
	s.ports[o.key()] = o
	s.mu.Unlock()
	return nil
}

// stop ends the serving of a port; connections that are there go on.
func (s *served) stop(key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.ports[key]
	if o == nil {
		return errors.New("nothing is published there")
	}
	delete(s.ports, key)
	o.close()
	return nil
}

// stopAll removes what would be left.
func (s *served) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ports {
		if o.Proto == "unix" {
			o.port.remove()
		}
	}
}

func (s *served) list() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, o := range s.ports {
		lines = append(lines, o.Proto+" "+strconv.Itoa(int(o.Box))+" "+o.Where)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// A namespace is known by its file.
type namespace struct{ dev, ino uint64 }

// has says whether who connected a socket is in the user namespace: the first
// message comes with the file of its own. The forwarder, which is in the box's, may
// look up no other process's, and nobody gets a file of one that is above his own
// (ioctl_nsfs(2), NS_GET_PARENT).
func (n namespace) has(socket int) bool {
	said, fds, err := receive(socket, maxRequest)
	defer closeAll(fds)
	var st unix.Stat_t
	return err == nil && len(fds) == 1 && said == From && n.ino != 0 && unix.Fstat(fds[0], &st) == nil && st.Dev == n.dev && st.Ino == n.ino
}

// From is the first message to a control socket, which comes with the file of the
// sender's user namespace.
const From = "from"

// answerRequests answers what comes in by the control socket, from a process in
// the namespace.
func (s *served) answerRequests(fd int, from namespace) {
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
			unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5})
			if from.has(c) {
				s.answer(c)
			}
			unix.Close(c)
		case unix.EINTR, unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			unix.Nanosleep(&unix.Timespec{Nsec: acceptPause.Nanoseconds()}, nil)
		default:
			return
		}
	}
}

func (s *served) answer(c int) {
	asked, fds, err := receive(c, maxRequest)
	if err != nil {
		return
	}
	kind, rest, _ := strings.Cut(asked, " ")
	text := ""
	switch kind {
	case "list":
		text = s.list()
	case "close":
		err = s.stop(rest)
	case "add":
		var p Port
		if p, err = parseAdd(rest, fds); err == nil {
			err = s.serve(p)
			fds = nil // they are closed, or have an owner
		}
	default:
		err = fmt.Errorf("%q is no request", kind)
	}
	closeAll(fds)
	if err != nil {
		text = err.Error()
	}
	unix.Sendto(c, []byte(text), unix.MSG_NOSIGNAL, nil)
}

// parseAdd reads PROTO BOX [PATH], of a socket and, with a path, its directory.
func parseAdd(s string, fds []int) (Port, error) {
	f := strings.SplitN(s, " ", 3)
	if len(f) < 2 || len(fds) != len(f)-1 || strings.Contains(f[0]+f[1], ":") {
		return Port{}, errors.New("no port, or no socket")
	}
	args := []string{f[0], strconv.Itoa(fds[0]), f[1]}
	if len(f) == 3 {
		args = append(args, strconv.Itoa(fds[1]), f[2])
	}
	return parseArg(strings.Join(args, ":"))
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// receive reads one message, and the descriptors that came with it, at most two.
func receive(c, most int) (text string, fds []int, err error) {
	buf := make([]byte, most)
	oob := make([]byte, unix.CmsgSpace(2*4)) // of more the kernel closes the rest
	for {
		n, oobn, _, _, err := unix.Recvmsg(c, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		cs, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for i := range cs {
			some, _ := unix.ParseUnixRights(&cs[i])
			fds = append(fds, some...)
		}
		return string(buf[:n]), fds, nil
	}
}

// ---- the asking side

// request puts a request to a forwarder, by a connected socket.
func request(c int, text string, fds ...int) (string, error) {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(c, []byte(text), oob, nil, unix.MSG_NOSIGNAL); err != nil {
		return "", err
	}
	answer, others, err := receive(c, maxList)
	closeAll(others)
	return answer, err
}

// List is what the forwarder at the other end of c publishes.
func List(c int) (all []Listed, err error) {
	answer, err := request(c, "list")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(answer) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(f) != 3 {
			return nil, errors.New("an answer that is none")
		}
		box, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			return nil, errors.New("an answer that is none")
		}
		all = append(all, Listed{f[0], uint16(box), f[2]})
	}
	return all, nil
}

// Add has the forwarder serve one more port, whose socket it takes over.
func Add(c int, p Port) error {
	proto, rest, fds := "tcp", "", []int{p.FD}
	switch {
	case p.UDP:
		proto = "udp"
	case p.Path != "":
		proto, rest, fds = "unix", " "+p.Path, append(fds, p.Dir)
	}
	answer, err := request(c, "add "+proto+" "+strconv.Itoa(int(p.Box))+rest, fds...)
	if err == nil && answer != "" {
		err = errors.New(answer)
	}
	return err
}

// Close has the forwarder serve a port no more.
func Close(c int, l Listed) error {
	answer, err := request(c, "close "+l.key())
	if err == nil && answer != "" {
		err = errors.New(answer)
	}
	return err
}

// At says whether a listed port is at a port of the host, at that address if
// one is given.
func (o Listed) At(addr netip.Addr, port uint16) bool {
	at, err := netip.ParseAddrPort(o.Where)
	return o.Proto != "unix" && err == nil && at.Port() == port && (!addr.IsValid() || at.Addr().Unmap() == addr)
}
