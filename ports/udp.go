package ports

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// udpIdle is how long a client is remembered once the server has answered
	// it, and udpUnanswered before: a name server's clients ask once, each from
	// a port of its own. conntrack has 120 and 30 s; udp_timeout_stream.
	udpIdle       = 2 * time.Minute
	udpUnanswered = 30 * time.Second

	// udpClients is how many are remembered a port; the one that was silent
	// longest makes room.
	udpClients = 1024

	udpLargest = 65535
)

// A client is told apart by its address and, where the port is published at
// every address of the host, by the one it wrote to: the answer has to come
// from there.
type clientKey struct {
	from netip.AddrPort
	to   netip.Addr
}

// A session is one client's socket inside.
type session struct {
	conn *net.UDPConn
	last time.Time
	oob  []byte // says where answers come from, nil if the socket's address does
}

type udp struct {
	outside  *net.UDPConn
	port     uint16
	visible  bool
	any      bool // the socket is bound to no address
	idle     time.Duration
	mu       sync.Mutex
	sessions map[clientKey]*session
}

func newUDP(c *net.UDPConn, port uint16, visible bool) *udp {
	u := &udp{outside: c, port: port, visible: visible, idle: udpIdle, sessions: map[clientKey]*session{}}
	local := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	if u.any = local.IsUnspecified(); u.any {
		if raw, err := c.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) {
				// One of them fails, by the socket's family.
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			})
		}
	}
	return u
}

// serve passes on what clients send.
func (u *udp) serve() {
	buf := make([]byte, udpLargest)
	oob := make([]byte, 128)
	for {
		n, oobn, _, from, err := u.outside.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an answer that could not be delivered; ip(7), IP_RECVERR
		}
		key := clientKey{from: from}
		if u.any {
			key.to = arrivedAt(oob[:oobn])
		}
		u.pass(key, buf[:n])
	}
}

// pass sends a datagram on, by the client's socket or, if it has none, by a new
// one.
func (u *udp) pass(key clientKey, datagram []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.sessions[key]; s != nil {
		s.last = time.Now()
		s.conn.Write(datagram)
		return
	}
	if len(u.sessions) >= udpClients {
		u.forgetOldest()
	}
	client := netip.AddrPort{}
	if u.visible {
		client = netip.AddrPortFrom(key.from.Addr().Unmap(), key.from.Port())
	}
	for _, a := range order(client) {
		conn, err := dialAs(net.Dialer{}, "udp", client, netip.AddrPortFrom(a, u.port))
		if err != nil {
			continue
		}
		c := conn.(*net.UDPConn)
		c.Write(datagram)
		if refused(c) {
			c.Close() // nobody is there: the next datagram asks again
			continue
		}
		s := &session{conn: c, last: time.Now(), oob: sentFrom(key.to)}
		u.sessions[key] = s
		go u.answer(key, s)
		return
	}
}

// refused says whether what was just sent met no server: on lo the answer is
// there before the call that sent it returns.
func refused(c *net.UDPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var code int
	raw.Control(func(fd uintptr) { code, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR) })
	return err == nil && code == int(unix.ECONNREFUSED)
}

// forgetOldest makes room. Preconditions: u.mu is held.
func (u *udp) forgetOldest() {
	var oldest clientKey
	var at time.Time
	for k, s := range u.sessions {
		if at.IsZero() || s.last.Before(at) {
			oldest, at = k, s.last
		}
	}
	if s := u.sessions[oldest]; s != nil {
		delete(u.sessions, oldest)
		s.conn.Close() // ends answer
	}
}

// answer passes on what the server sends to one client, until nothing has
// passed for a while.
func (u *udp) answer(key clientKey, s *session) {
	defer s.conn.Close()
	wait := min(u.idle, udpUnanswered)
	buf := make([]byte, 2048)
	for {
		s.conn.SetReadDeadline(time.Now().Add(wait))
		n, err := readWhole(s.conn, &buf)
		switch {
		case err == nil:
			wait = u.idle
			u.mu.Lock()
			s.last = time.Now()
			u.mu.Unlock()
			u.outside.WriteMsgUDPAddrPort(buf[:n], s.oob, key.from)
		default:
			// Forgotten, silent for long enough, or the server went away.
			u.mu.Lock()
			if isTimeout(err) && time.Since(s.last) < wait && u.sessions[key] == s {
				u.mu.Unlock()
				continue // the client was not silent
			}
			if u.sessions[key] == s {
				delete(u.sessions, key)
			}
			u.mu.Unlock()
			return
		}
	}
}

// readWhole reads one datagram; the buffer grows with the largest seen, so that
// a client that is sent little costs little.
func readWhole(c *net.UDPConn, buf *[]byte) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	e := raw.Read(func(fd uintptr) bool {
		for {
			// The length of what is there, without taking it; recv(2), MSG_TRUNC.
			var size int
			size, _, err = unix.Recvfrom(int(fd), (*buf)[:1], unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			if err == nil {
				if size > len(*buf) {
					*buf = make([]byte, size)
				}
				n, _, err = unix.Recvfrom(int(fd), *buf, unix.MSG_DONTWAIT)
			}
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if e != nil {
		return 0, e
	}
	return n, err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// arrivedAt is the address of the host that a datagram was sent to; ip(7),
// IP_PKTINFO, and ipv6(7).
func arrivedAt(oob []byte) netip.Addr {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(m.Data[8:12])) // ipi_addr
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			a := netip.AddrFrom16([16]byte(m.Data[:16]))
			if a.IsLinkLocalUnicast() {
				return netip.Addr{} // would need the interface as well
			}
			return a
		}
	}
	return netip.Addr{}
}

// sentFrom is the control message that has a datagram come from an address.
func sentFrom(a netip.Addr) []byte {
	switch {
	case a.Is4():
		oob := make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		header(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		ip := a.As4()
		copy(oob[unix.CmsgLen(0)+4:], ip[:]) // ipi_spec_dst
		return oob
	case a.Is6():
		oob := make([]byte, unix.CmsgSpace(unix.SizeofInet6Pktinfo))
		header(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		ip := a.As16()
		copy(oob[unix.CmsgLen(0):], ip[:])
		return oob
	}
	return nil
}

// header fills in a struct cmsghdr: an 8-byte length, level and type; cmsg(3).
func header(oob []byte, level, kind, size int) {
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(size)))
	binary.NativeEndian.PutUint32(oob[8:], uint32(level))
	binary.NativeEndian.PutUint32(oob[12:], uint32(kind))
}
