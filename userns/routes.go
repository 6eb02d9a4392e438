package userns

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// What the inside says besides the messages of child_unsafe.go; each comes with
// a descriptor.
const (
	msgUserNS = 5
	msgNetNS  = 6
	msgSwitch = 7
	msgShown  = 8
)

// localRoutes adds routes of the type "local", which there is no ioctl for, by
// netlink; rtnetlink(7). The kernel answers a request before sendmsg(2)
// returns, and without NLM_F_ACK it answers only what went wrong: then there is
// something to read.
func (l *lowerer) localRoutes(a plan.LocalRoutes) {
	ifr := l.data(ifreq(a.Device))
	t := l.temp()
	l.make(t, unix.SYS_SOCKET, num(unix.AF_INET), num(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), num(0))
	l.call(unix.SYS_IOCTL, t, hex(unix.SIOCGIFINDEX), ifr)
	l.done(t)
	t = l.temp()
	l.make(t, unix.SYS_SOCKET, num(unix.AF_NETLINK), num(unix.SOCK_RAW|unix.SOCK_CLOEXEC), num(unix.NETLINK_ROUTE))
	answer := l.data(make([]byte, 256))
	for _, p := range a.Prefixes {
		msg := l.data(localRoute(netip.MustParsePrefix(p)))
		// The device's number, which SIOCGIFINDEX has put behind its name, is the
		// end of the message.
		const size = 4
		length := uint64(len(l.arena)) - uint64(msg.v)
		iov := l.words(uint64(msg.v), length, uint64(ifr.v)+unix.IFNAMSIZ, size)
		l.relocs = append(l.relocs, int(iov.v), int(iov.v)+16)
		hdr := l.words(0, 0, uint64(iov.v), 2, 0, 0, 0)
		l.relocs = append(l.relocs, int(hdr.v)+16)
		l.call(unix.SYS_SENDMSG, t, hdr, num(0)).want = int32(length + size)
		o := l.call(unix.SYS_RECVFROM, t, answer, num(256), hex(unix.MSG_DONTWAIT), null(), null())
		o.want = 0
		o.ignore[0] = uint8(unix.EAGAIN)
	}
	l.done(t)
}

// localRoute is a request for a route, up to the number of the device.
//
// Preconditions: p is masked.
func localRoute(p netip.Prefix) []byte {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	ip := p.Addr().AsSlice()
	var b []byte
	u16 := func(v int) { b = binary.NativeEndian.AppendUint16(b, uint16(v)) }
	u32 := func(v int) { b = binary.NativeEndian.AppendUint32(b, uint32(v)) }
	u32(unix.SizeofNlMsghdr + unix.SizeofRtMsg + 4 + len(ip) + 8) // struct nlmsghdr
	u16(unix.RTM_NEWROUTE)
	// Behind the one of lo, not in its place.
	u16(unix.NLM_F_REQUEST | unix.NLM_F_CREATE | unix.NLM_F_APPEND)
	u32(1)
	u32(0)
	b = append(b, family, byte(p.Bits()), 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL) // struct rtmsg
	u32(0)
	u16(4 + len(ip))
	u16(unix.RTA_DST)
	b = append(b, ip...)
	u16(8)
	u16(unix.RTA_OIF)
	return b
}

// clientTable is a routing table that the kernel has no use of its own for.
const clientTable = 123

// clientRoutes adds a rule and a route for each family: what a process sends from
// a loopback address is for this host, whatever it is sent to; linux/fib_rules.h.
func (l *lowerer) clientRoutes(a plan.ClientRoutes) {
	const frActToTbl, fraSrc, fraIifname = 1, 2, 3
	lo := binary.NativeEndian.AppendUint32(nil, 1) // its index, in every namespace
	s := l.temp()
	l.make(s, unix.SYS_SOCKET, num(unix.AF_NETLINK), num(unix.SOCK_RAW|unix.SOCK_CLOEXEC), num(unix.NETLINK_ROUTE))
	answer := l.data(make([]byte, 256))
	send := func(msg []byte) {
		l.call(unix.SYS_SENDTO, s, l.data(msg), num(len(msg)), num(0), null(), num(0)).want = int32(len(msg))
		o := l.call(unix.SYS_RECVFROM, s, answer, num(256), hex(unix.MSG_DONTWAIT), null(), null())
		o.want = 0
		o.ignore[0] = uint8(unix.EAGAIN)
	}
	for _, from := range []string{"127.0.0.0/8", "::1/128"} {
		p := netip.MustParsePrefix(from)
		family := byte(unix.AF_INET)
		if p.Addr().Is6() {
			if !a.IPv6 {
				continue
			}
			family = unix.AF_INET6
		}
		rule := []byte{family, 0, byte(p.Bits()), 0, clientTable, 0, 0, frActToTbl, 0, 0, 0, 0} // struct fib_rule_hdr
		send(linkMessage(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, rule, nlattr(fraSrc, p.Addr().AsSlice()), nlattr(fraIifname, []byte("lo\x00"))))
		route := []byte{family, 0, 0, 0, clientTable, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL, 0, 0, 0, 0} // struct rtmsg
		send(linkMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, route, nlattr(unix.RTA_OIF, lo)))
	}
	l.done(s)
}
