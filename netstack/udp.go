package netstack

import (
	lru "container/list"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

const (
	// flowIdle is how long a flow without a datagram in either direction is
	// kept: RFC 4787, 4.3, wants two minutes.
	flowIdle = 2 * time.Minute
)

// udpForward goes on with the box's datagrams on the host: one socket for each
// pair of the box's address and port and one outside, so that what comes
// back is from there alone, and errors are told.
type udpForward struct {
	*network

	mu    sync.Mutex
	flows map[stack.TransportEndpointID]*flow
	used  lru.List // of *flow, the one used last in front
}

type flow struct {
	id    stack.TransportEndpointID
	to    netip.AddrPort // as the box wrote to it
	who   string
	host  *net.UDPConn
	entry *lru.Element
	last  atomic.Int64 // when used, Unix seconds

	sent, received atomic.Int64
	logged         atomic.Bool
}

// logEnd writes a flow's line of the log, once.
func (f *udpForward) logEnd(fl *flow) {
	if fl.logged.CompareAndSwap(false, true) {
		f.log("udp", fl.who, fl.to, fl.sent.Load(), fl.received.Load(), "allowed")
	}
}

// logEnds does for all that end with the box.
func (f *udpForward) logEnds() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.flows {
		f.logEnd(fl)
	}
}

func newUDPForward(n *network) *udpForward {
	return &udpForward{network: n, flows: map[stack.TransportEndpointID]*flow{}}
}

// packet gets each datagram of the box's.
func (f *udpForward) packet(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	to := netip.AddrPortFrom(addr(id.LocalAddress), id.LocalPort)
	if has(f.config.Resolver, to.Addr()) {
		if to.Port() != 53 {
			return false // unreachable
		}
		if q, ok := datagram(pkt); ok {
			f.dns.datagram(id, q)
		}
		return true
	}
	data, ok := datagram(pkt)
	if !ok {
		return true
	}
	fl, err := f.flow(id, to)
	switch {
	case errors.Is(err, errRefused):
		return false // unreachable, as a port that nobody listens at
	case err != nil:
		f.unreachable(id, header.UDPProtocolNumber, err)
		return true
	}
	fl.last.Store(time.Now().Unix())
	if _, err = fl.host.Write(data); errors.Is(err, unix.ECONNREFUSED) {
		// That was about an earlier one.
		f.unreachable(id, header.UDPProtocolNumber, unix.ECONNREFUSED)
		_, err = fl.host.Write(data)
	}
	if err != nil {
		f.unreachable(id, header.UDPProtocolNumber, err)
		return true
	}
	fl.sent.Add(int64(len(data)))
	return true
}

// datagram is what a packet carries, as its header has the length.
func datagram(pkt *stack.PacketBuffer) ([]byte, bool) {
	h := header.UDP(pkt.TransportHeader().Slice())
	if len(h) < header.UDPMinimumSize || int(h.Length()) < header.UDPMinimumSize {
		return nil, false
	}
	data := pkt.Data().AsRange().ToSlice()
	n := int(h.Length()) - header.UDPMinimumSize
	if n > len(data) {
		return nil, false
	}
	return data[:n], true
}

// flow finds the flow of a datagram, or makes one.
func (f *udpForward) flow(id stack.TransportEndpointID, to netip.AddrPort) (*flow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flows[id]; fl != nil {
		f.used.MoveToFront(fl.entry)
		return fl, nil
	}
	t := f.reach("udp", to)
	if t.err != nil {
		return nil, t.err
	}
	c, err := dialUDP(t.addr)
	if err != nil {
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			f.evict()
		}
		return nil, err
	}
	if len(f.flows) >= f.limits.flows {
		f.evict()
	}
	fl := &flow{id: id, to: to, who: t.who, host: c}
	fl.last.Store(time.Now().Unix())
	fl.entry = f.used.PushFront(fl)
	f.flows[id] = fl
	go f.back(fl)
	return fl, nil
}

// dialUDP connects a datagram socket, which waits for nothing. The broadcast
// address of a network of the host's looks like any other: it is the kernel that
// knows it, and refuses it to a socket that is not for broadcasts. Those of package
// net are.
func dialUDP(to netip.AddrPort) (*net.UDPConn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0) })
		return errors.Join(err, failed)
	}}
	c, err := d.Dial("udp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// evict ends the flow that was unused for longest. Preconditions: mu is held.
func (f *udpForward) evict() {
	if e := f.used.Back(); e != nil {
		e.Value.(*flow).host.Close() // back does the rest
		f.remove(e.Value.(*flow))
	}
}

// remove forgets a flow. Preconditions: mu is held.
func (f *udpForward) remove(fl *flow) {
	if f.flows[fl.id] == fl {
		delete(f.flows, fl.id)
		f.used.Remove(fl.entry)
	}
}

// datagrams are buffers for one of any size.
var datagrams = sync.Pool{New: func() any { return new([maxPacket]byte) }}

// back passes on what comes back.
func (f *udpForward) back(fl *flow) {
	defer func() {
		f.logEnd(fl)
		fl.host.Close()
		f.mu.Lock()
		f.remove(fl)
		f.mu.Unlock()
	}()
	conn, err := fl.host.SyscallConn()
	if err != nil {
		return
	}
	for {
		fl.host.SetReadDeadline(time.Unix(fl.last.Load(), 0).Add(flowIdle))
		var n int
		var failed error
		// A buffer is taken only where there is something to read.
		err := conn.Read(func(fd uintptr) bool {
			buf := datagrams.Get().(*[maxPacket]byte)
			defer datagrams.Put(buf)
			n, failed = unix.Read(int(fd), buf[:])
			if failed == unix.EAGAIN || failed == unix.EINTR {
				return false
			}
			if failed == nil {
				f.reply(fl.id, buf[:n])
			}
			return true
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(fl.last.Load(), 0)) < flowIdle:
			// It was used meanwhile.
		case err != nil:
			return
		case failed == unix.ECONNREFUSED:
			f.unreachable(fl.id, header.UDPProtocolNumber, failed)
		case failed != nil:
			return
		default:
			fl.last.Store(time.Now().Unix())
			fl.received.Add(int64(n))
		}
	}
}

// reply sends a datagram to the box, from the address that it wrote to.
func (n *network) reply(id stack.TransportEndpointID, data []byte) {
	r, err := n.route(id)
	if err != nil {
		return
	}
	defer r.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.UDPMinimumSize + int(r.MaxHeaderLength()),
		Payload:            buffer.MakeWithData(data),
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = header.UDPProtocolNumber
	h := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
	h.Encode(&header.UDPFields{SrcPort: id.LocalPort, DstPort: id.RemotePort, Length: uint16(pkt.Size())})
	sum := r.PseudoHeaderChecksum(header.UDPProtocolNumber, uint16(pkt.Size()))
	h.SetChecksum(^h.CalculateChecksum(checksum.Combine(sum, pkt.Data().Checksum())))
	r.WritePacket(stack.NetworkHeaderParams{Protocol: header.UDPProtocolNumber, TTL: r.DefaultTTL()}, pkt)
}

// route leads from an address that the box wrote to back to the box.
func (n *network) route(id stack.TransportEndpointID) (*stack.Route, tcpip.Error) {
	proto := ipv4.ProtocolNumber
	if id.LocalAddress.Len() == 16 {
		proto = ipv6.ProtocolNumber
	}
	return n.stack.FindRoute(nic, id.LocalAddress, id.RemoteAddress, proto, false)
}
