package netstack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	pingIdle = 10 * time.Second
)

// pings goes on with the box's echo requests by ping sockets of the host, which
// an ordinary user may have where net.ipv4.ping_group_range says so; icmp(7).
// The stack would answer by itself for every address there is, so it never
// sees them.
type pings struct {
	*network

	mu    sync.Mutex
	flows map[pingID]*pingFlow
	said  atomic.Bool
}

// pingID is one ping(8): the kernel's socket has an identifier of its own.
type pingID struct {
	box, to tcpip.Address
	ident   uint16
}

type pingFlow struct {
	id   pingID
	host *os.File
}

func newPing(n *network) *pings { return &pings{network: n, flows: map[pingID]*pingFlow{}} }

// packet takes what is ICMP and not for the stack's own addresses, and IPv4's
// echo requests for these.
func (p *pings) packet(proto tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) bool {
	data := pkt.Data().AsRange().ToSlice
	if proto == header.IPv4ProtocolNumber {
		head, ok := pkt.Data().PullUp(header.IPv4MinimumSize)
		if !ok {
			return true
		}
		ip := header.IPv4(head)
		if ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
			return false
		}
		own := p.own(ip.DestinationAddress())
		all := header.IPv4(data())
		if !all.IsValid(len(all)) || all.More() || all.FragmentOffset() != 0 {
			return !own // the stack would put it together, and answer it
		}
		m := header.ICMPv4(all.Payload())
		if len(m) < header.ICMPv4MinimumSize || m.Type() != header.ICMPv4Echo {
			return !own
		}
		id := pingID{ip.SourceAddress(), ip.DestinationAddress(), m.Ident()}
		if !own {
			p.echo(id, m)
			return true
		}
		// The stack has its addresses for the time of a packet alone, and of IPv4
		// answers no echo by one of these; of IPv6 it does.
		if checksum.Checksum(m, 0) == 0xffff {
			m = append(header.ICMPv4(nil), m...)
			m.SetType(header.ICMPv4EchoReply)
			p.answer(id, m)
		}
		return true
	}
	head, ok := pkt.Data().PullUp(header.IPv6MinimumSize)
	if !ok {
		return true
	}
	ip := header.IPv6(head)
	if p.own(ip.DestinationAddress()) {
		return false
	}
	switch tcpip.TransportProtocolNumber(ip.NextHeader()) {
	case header.TCPProtocolNumber, header.UDPProtocolNumber:
		return false
	case header.ICMPv6ProtocolNumber:
	default:
		// Nothing behind an extension header but a fragment of a datagram is
		// worth a look; header chains are how filters are got round.
		return !fragmentOf(data(), header.UDPProtocolNumber)
	}
	all := header.IPv6(data())
	if !all.IsValid(len(all)) || header.IsV6MulticastAddress(ip.DestinationAddress()) {
		return true
	}
	m := header.ICMPv6(all.Payload())
	if len(m) >= header.ICMPv6EchoMinimumSize && m.Type() == header.ICMPv6EchoRequest {
		p.echo(pingID{ip.SourceAddress(), ip.DestinationAddress(), m.Ident()}, m)
	}
	return true
}

// fragmentOf says whether an IPv6 packet is a fragment of a protocol's, with no
// other extension header.
func fragmentOf(p []byte, proto tcpip.TransportProtocolNumber) bool {
	const at = header.IPv6MinimumSize
	return len(p) >= at+header.IPv6FragmentHeaderSize && header.IPv6(p).NextHeader() == uint8(header.IPv6FragmentExtHdrIdentifier) &&
		p[at] == uint8(proto)
}

// own says whether an address is one that the stack answers for itself.
func (n *network) own(a tcpip.Address) bool {
	x := addr(a)
	return has(n.config.Gateways, x) || has(n.config.Resolver, x)
}

// echo sends a request on.
func (p *pings) echo(id pingID, m []byte) {
	to := netip.AddrPortFrom(addr(id.to), 0)
	t := p.reach("icmp", to)
	if t.err != nil {
		p.refuse(id, m, errRefused)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[id]
	if f == nil {
		if len(p.flows) >= p.limits.pings {
			return
		}
		host, err := openPing(t.addr.Addr())
		if err != nil {
			if (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)) && p.said.CompareAndSwap(false, true) {
				p.say("ping does not work: the host's net.ipv4.ping_group_range does not include this user's group")
			}
			p.refuse(id, m, err)
			return
		}
		f = &pingFlow{id, host}
		p.flows[id] = f
		go p.back(f)
	}
	f.host.SetReadDeadline(time.Now().Add(pingIdle))
	if _, err := f.host.Write(m); err != nil {
		p.refuse(id, m, err)
	}
}

func (p *pings) refuse(id pingID, m []byte, why error) {
	proto := header.ICMPv4ProtocolNumber
	if id.to.Len() == 16 {
		proto = header.ICMPv6ProtocolNumber
	}
	p.unreachableFor(id.box, id.to, proto, m[:8], why)
}

// openPing makes a ping socket that is connected to an address.
func openPing(to netip.Addr) (*os.File, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	var sa unix.Sockaddr
	if to = to.Unmap(); to.Is4() {
		sa = &unix.SockaddrInet4{Addr: to.As4()}
	} else {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
		sa = &unix.SockaddrInet6{Addr: to.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, sa); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ping"), nil
}

// back passes on the answers.
func (p *pings) back(f *pingFlow) {
	defer func() {
		p.mu.Lock()
		delete(p.flows, f.id)
		p.mu.Unlock()
		f.host.Close()
	}()
	buf := make([]byte, 2048)
	for {
		n, err := f.host.Read(buf)
		if err != nil {
			return
		}
		if n >= 8 {
			p.answer(f.id, buf[:n])
		}
	}
}

// answer sends a reply to the box, with the identifier that it knows.
func (p *pings) answer(id pingID, m []byte) {
	binary.BigEndian.PutUint16(m[4:], id.ident)
	if id.to.Len() == 4 {
		q := make([]byte, header.IPv4MinimumSize+len(m))
		copy(q[header.IPv4MinimumSize:], m)
		icmp := header.ICMPv4(q[header.IPv4MinimumSize:])
		icmp.SetChecksum(0)
		icmp.SetChecksum(^checksum.Checksum(icmp, 0))
		ip := header.IPv4(q)
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(q)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber), SrcAddr: id.to, DstAddr: id.box})
		ip.SetChecksum(^ip.CalculateChecksum())
		p.link.inject(q)
		return
	}
	q := make([]byte, header.IPv6MinimumSize+len(m))
	copy(q[header.IPv6MinimumSize:], m)
	icmp := header.ICMPv6(q[header.IPv6MinimumSize:])
	icmp.SetChecksum(0)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: id.to, Dst: id.box}))
	header.IPv6(q).Encode(&header.IPv6Fields{PayloadLength: uint16(len(m)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: id.to, DstAddr: id.box})
	p.link.inject(q)
}
