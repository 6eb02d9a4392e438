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
