package userns

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// When the network's process ended before the box nobody answers any more what
// the box sends, and a connect would wait for minutes. So nobox takes the device
// down: what is begun from then on has no route (ENETUNREACH), and ends the
// connections there are (ECONNABORTED). It does both by a socket of the box's
// network namespace that the inside made: nobox runs as the user who made the
// user namespace that this one belongs to, and so has power over it without
// entering it; user_namespaces(7).

// linux/sock_diag.h, linux/inet_diag.h
const (
	sockDiagByFamily   = 20
	sockDestroy        = 21
	sizeofInetSockID   = 48 // ports, addresses, interface, cookie
	sizeofInetDiagReq  = 8 + sizeofInetSockID
	sizeofInetDiagMsg  = 4 + sizeofInetSockID + 20
	tcpListen          = 10
	tcpTimeWait        = 6
	tcpClose           = 7
	maxCutConnections  = 1 << 16
	cutOffAnswers      = 32 << 10
	inetDiagStatesOpen = (1<<12 - 1) &^ (1<<tcpListen | 1<<tcpTimeWait | 1<<tcpClose | 1)
)

// cutOff takes the box's device down and ends the connections over it. What
// cannot be done, for want of the kernel's modules tcp_diag and udp_diag, is
// left: those connections end by their own timeouts.
func (b *Box) cutOff() {
	if b.netSwitch < 0 {
		return
	}
	ifr, err := unix.NewIfreq(b.device)
	if err != nil {
		return
	}
	ifr.SetUint16(unix.IFF_NOARP)
	unix.IoctlIfreq(b.netSwitch, unix.SIOCSIFFLAGS, ifr)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
			for _, id := range b.connections(family, proto) {
				b.diag(sockDestroy, 0, family, proto, id)
			}
		}
	}
	unix.Close(b.netSwitch)
	b.netSwitch = -1
}

// diag asks the kernel about sockets, or for the end of one.
func (b *Box) diag(kind, flags uint16, family, proto byte, id []byte) error {
	m := make([]byte, unix.SizeofNlMsghdr+8, unix.SizeofNlMsghdr+sizeofInetDiagReq)
	binary.NativeEndian.PutUint32(m, uint32(cap(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|flags)
	m[16], m[17] = family, proto
	binary.NativeEndian.PutUint32(m[20:], inetDiagStatesOpen)
	m = append(m, id...)
	return unix.Sendto(b.netSwitch, m[:cap(m)], unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// connections are the sockets that are connected to elsewhere than the box
// itself, as the kernel names them.
func (b *Box) connections(family, proto byte) (ids [][]byte) {
	if b.diag(sockDiagByFamily, unix.NLM_F_DUMP, family, proto, nil) != nil {
		return nil
	}
	buf := make([]byte, cutOffAnswers)
	for len(ids) < maxCutConnections {
		n, _, err := unix.Recvfrom(b.netSwitch, buf, unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return ids
		}
		more, done := inetSockIDs(buf[:n], family)
		ids = append(ids, more...)
		if done {
			return ids
		}
	}
	return ids
}

// inetSockIDs are the connected sockets of one answer, and whether it was the
// last.
func inetSockIDs(b []byte, family byte) (ids [][]byte, done bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return ids, true
		}
		switch kind := binary.NativeEndian.Uint16(b[4:]); {
		case kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR:
			return ids, true
		case kind == sockDiagByFamily && n >= unix.SizeofNlMsghdr+sizeofInetDiagMsg:
			id := b[unix.SizeofNlMsghdr+4:][:sizeofInetSockID]
			if to := inetSockTo(id, family); !to.IsUnspecified() && !to.IsLoopback() {
				ids = append(ids, append([]byte(nil), id...))
			}
		}
		n = (n + 3) &^ 3
		b = b[min(n, len(b)):]
	}
	return ids, false
}

// inetSockTo is where a socket is connected to.
func inetSockTo(id []byte, family byte) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(id[20:]))
	}
	return netip.AddrFrom16([16]byte(id[20:])).Unmap()
}
