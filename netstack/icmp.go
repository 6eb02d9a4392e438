package netstack

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// unreachable tells the box that what it sent did not arrive, and why; RFC 792
// and RFC 4443, 3.1. The packet that it is about is made again as far as the
// box's kernel looks at it: addresses, protocol, ports.
//
// about is the box's connection: its local side is what the box wrote to.
func (n *network) unreachable(about stack.TransportEndpointID, proto tcpip.TransportProtocolNumber, why error) {
	var ports [8]byte // of TCP the sequence number too, which nobody knows any more
	binary.BigEndian.PutUint16(ports[0:], about.RemotePort)
	binary.BigEndian.PutUint16(ports[2:], about.LocalPort)
	n.unreachableFor(about.RemoteAddress, about.LocalAddress, proto, ports[:], why)
}

// netUnknown is what UDP learns of a network without a way to it: Linux tells a
// program of this one at once, and of "network unreachable" never
// (net/ipv4/icmp.c, icmp_err_convert). IPv6 has none such (net/ipv6/icmp.c): it
// learns that the port is unreachable.
const netUnknown header.ICMPv4Code = 6

// unreachableFor is unreachable about a packet from box to to whose payload
// begins with head.
func (n *network) unreachableFor(box, to tcpip.Address, proto tcpip.TransportProtocolNumber, head []byte, why error) {
	if box.Len() == 4 {
		n.unreachable4(box, to, proto, head, why)
	} else {
		n.unreachable6(box, to, proto, head, why)
	}
}

func (n *network) unreachable4(box, to tcpip.Address, proto tcpip.TransportProtocolNumber, head []byte, why error) {
	code := header.ICMPv4HostUnreachable
	switch {
	case errors.Is(why, unix.ECONNREFUSED):
		code = header.ICMPv4PortUnreachable
	case errors.Is(why, unix.ENETUNREACH), errors.Is(why, unix.EADDRNOTAVAIL), errors.Is(why, unix.EAFNOSUPPORT):
		code = header.ICMPv4NetUnreachable
	case errors.Is(why, errRefused), errors.Is(why, unix.EACCES), errors.Is(why, unix.EPERM):
		code = header.ICMPv4AdminProhibited
	}
	if code == header.ICMPv4NetUnreachable && proto == header.UDPProtocolNumber {
		code = netUnknown
	}
	const ip, all = header.IPv4MinimumSize, header.IPv4MinimumSize + header.ICMPv4MinimumSize + header.IPv4MinimumSize
	p := make([]byte, all+len(head))
	inner := header.IPv4(p[ip+header.ICMPv4MinimumSize:])
	inner.Encode(&header.IPv4Fields{TotalLength: uint16(ip + len(head)), TTL: 64, Protocol: uint8(proto), SrcAddr: box, DstAddr: to})
	inner.SetChecksum(^inner.CalculateChecksum())
	copy(p[all:], head)
	m := header.ICMPv4(p[ip:])
	m.SetType(header.ICMPv4DstUnreachable)
	m.SetCode(code)
	m.SetChecksum(^checksum.Checksum(m, 0))
	outer := header.IPv4(p)
	outer.Encode(&header.IPv4Fields{TotalLength: uint16(len(p)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber), SrcAddr: to, DstAddr: box})
	outer.SetChecksum(^outer.CalculateChecksum())
	n.link.inject(p)
}

func (n *network) unreachable6(box, to tcpip.Address, proto tcpip.TransportProtocolNumber, head []byte, why error) {
	code := header.ICMPv6AddressUnreachable
	switch {
	case errors.Is(why, unix.ECONNREFUSED):
		code = header.ICMPv6PortUnreachable
	case errors.Is(why, unix.ENETUNREACH), errors.Is(why, unix.EADDRNOTAVAIL), errors.Is(why, unix.EAFNOSUPPORT):
		code = header.ICMPv6NetworkUnreachable
	case errors.Is(why, errRefused), errors.Is(why, unix.EACCES), errors.Is(why, unix.EPERM):
		code = header.ICMPv6Prohibited
	}
	if code == header.ICMPv6NetworkUnreachable && proto == header.UDPProtocolNumber {
		code = header.ICMPv6PortUnreachable
	}
	const ip, all = header.IPv6MinimumSize, header.IPv6MinimumSize + header.ICMPv6DstUnreachableMinimumSize + header.IPv6MinimumSize
	p := make([]byte, all+len(head))
	header.IPv6(p[ip+header.ICMPv6DstUnreachableMinimumSize:]).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(head)), TransportProtocol: proto, HopLimit: 64, SrcAddr: box, DstAddr: to})
	copy(p[all:], head)
	m := header.ICMPv6(p[ip:])
	m.SetType(header.ICMPv6DstUnreachable)
	m.SetCode(code)
	m.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: m, Src: to, Dst: box}))
	header.IPv6(p).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(p) - ip), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: to, DstAddr: box})
	n.link.inject(p)
}
