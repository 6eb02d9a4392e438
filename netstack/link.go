package netstack

import (
	"encoding/binary"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// A link is the box's device, seen from its other end: IP packets with a
// virtio-net header before each, by which segments of up to 64 KiB cross at any
// MTU and need no checksum (linux/virtio_net.h, networking/tuntap.rst).
//
// It is no fdbased.Endpoint, which uses such headers on packet sockets alone,
// and waits in ppoll(2) with a processor of the runtime's in its hand: where
// there are two, the goroutine that a packet wakes waits for the monitor.
type link struct {
	file *os.File
	conn syscall.RawConn
	mtu  uint32

	// frame is what stands before a packet to the box besides its virtio-net
	// header: an Ethernet header without the type, where the other end of the
	// device is a packet socket; nil where it is a tun.
	frame []byte

	// intercept sees each packet before the stack, and may take it.
	intercept func(proto tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) bool

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher

	taken, done atomic.Uint64 // packets of the box's, and those that were dealt with
}

// idle says whether all that the box has sent was dealt with.
func (l *link) idle() bool {
	if l.taken.Load() != l.done.Load() {
		return false
	}
	waiting := true
	l.conn.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		waiting = err != nil || n > 0
	})
	return !waiting && l.taken.Load() == l.done.Load()
}

const (
	vnetHdrLen = 10
	// The largest IPv4 packet, as sent by a box that has no smaller limit.
	maxPacket = 65535
	// segmentMax is what a segment to the box carries at most. With the longest
	// headers, those of IPv6 and TCP with all of its options, it is no longer than
	// an MTU of 65520, the largest that is usual.
	segmentMax = 65408
	// gsoMax is what the stack makes of that: it takes off what headers could be
	// below TCP's, and one more (sender.sendData of its package tcp).
	gsoMax = segmentMax + header.TCPTotalHeaderMaximumSize + 1
)

// linux/virtio_net.h
const (
	vnetNeedsCsum = 1
	vnetGSOTCPv4  = 1
	vnetGSOTCPv6  = 4
	vnetGSOUDP    = 5 // since Linux 6.2
	vnetGSOECN    = 0x80
)

// pair has the link work on a packet socket: what comes and goes has Ethernet
// headers, the box's of its own address since it asks nobody for another
// (IFF_NOARP), and the kernel hands over segments of UDP as well, which a tun
// is not told that it may.
func (l *link) pair(box [6]byte) {
	l.frame = append(box[:], 2, 0, 0, 0, 0, 1, 0, 0)
}

// newLink takes over fd, which is non-blocking.
func newLink(fd int, mtu uint32) (*link, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "device")
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &link{file: f, conn: conn, mtu: mtu}, nil
}

// read hands packets to the stack until the device is gone. A packet is read
// into a view that any fits into; what fills less than half of one moves to a
// smaller, so that the stack keeps no more memory than twice what was sent.
func (l *link) read() error {
	hdr := make([]byte, vnetHdrLen+len(l.frame))
	var view *buffer.View
	iovs := [][]byte{hdr, nil}
	for {
		if view == nil {
			view = buffer.NewViewSize(buffer.MaxChunkSize)
			iovs[1] = view.AsSlice()
		}
		var n int
		var err error
		l.done.Store(l.taken.Load())
		if e := l.conn.Read(func(fd uintptr) bool {
			l.taken.Add(1)
			for {
				if n, err = unix.Readv(int(fd), iovs); err != unix.EINTR {
					if err == unix.EAGAIN {
						l.done.Store(l.taken.Load())
					}
					return err != unix.EAGAIN
				}
			}
		}); e != nil {
			return e
		}
		if err == unix.ENETDOWN && l.frame != nil {
			continue // the box is gone, and what it sent last is still here
		}
		if err == unix.EINVAL && l.frame != nil {
			continue // segments of a kind that this kernel has no word for; packet(7)
		}
		if err != nil {
			return err
		}
		n -= len(hdr)
		switch {
		case n <= 0 || l.frame != nil && !ip(hdr[vnetHdrLen:]):
		case hdr[1]&^vnetGSOECN == vnetGSOUDP:
			for _, p := range datagramsOf(iovs[1][:n], int(binary.NativeEndian.Uint16(hdr[4:]))) {
				l.deliver(buffer.MakeWithData(p))
			}
		case n <= buffer.MaxChunkSize/2:
			l.deliver(buffer.MakeWithData(iovs[1][:n]))
		default:
			view.CapLength(n)
			l.deliver(buffer.MakeWithView(view))
			view = nil
		}
	}
}

// ip says whether an Ethernet header is before an IP packet.
func ip(h []byte) bool {
	t := binary.BigEndian.Uint16(h[12:])
	return t == unix.ETH_P_IP || t == unix.ETH_P_IPV6
}

// datagramsOf takes a packet apart that carries several datagrams of a size,
// the last perhaps shorter, as what sends many at once (UDP_SEGMENT, udp(7))
// leaves to the device. What is no such packet gives none.
func datagramsOf(p []byte, size int) (out [][]byte) {
	at := 0
	switch {
	case len(p) >= header.IPv4MinimumSize && p[0]>>4 == 4:
		at = int(p[0]&15) * 4
		if at < header.IPv4MinimumSize || p[9] != uint8(header.UDPProtocolNumber) {
			return nil
		}
	case len(p) >= header.IPv6MinimumSize && p[0]>>4 == 6:
		at = header.IPv6MinimumSize
		if p[6] != uint8(header.UDPProtocolNumber) {
			return nil
		}
	default:
		return nil
	}
	body := at + header.UDPMinimumSize
	if size < 1 || len(p) < body {
		return nil
	}
	for rest := p[body:]; len(rest) > 0; {
		n := min(size, len(rest))
		q := make([]byte, body+n)
		copy(q, p[:body])
		copy(q[body:], rest[:n])
		rest = rest[n:]
		header.UDP(q[at:]).SetLength(uint16(header.UDPMinimumSize + n))
		if q[0]>>4 == 4 {
			h := header.IPv4(q)
			h.SetTotalLength(uint16(len(q)))
			h.SetChecksum(0)
			h.SetChecksum(^h.CalculateChecksum())
		} else {
			header.IPv6(q).SetPayloadLength(uint16(header.UDPMinimumSize + n))
		}
		out = append(out, q)
	}
	return out
}

// deliver hands one packet, as it came from the box, to the stack.
func (l *link) deliver(payload buffer.Buffer) {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	defer pkt.DecRef()
	first, ok := pkt.Data().PullUp(1)
	if !ok {
		return
	}
	var proto tcpip.NetworkProtocolNumber
	switch first[0] >> 4 {
	case 4:
		proto = header.IPv4ProtocolNumber
	case 6:
		proto = header.IPv6ProtocolNumber
	default:
		return
	}
	if l.intercept != nil && l.intercept(proto, pkt) {
		return
	}
	l.mu.RLock()
	d := l.dispatcher
	l.mu.RUnlock()
	if d != nil {
		// The checksums of what comes from a box's own kernel are not made yet
		// (vnetNeedsCsum); RXChecksumOffload says not to look.
		d.DeliverNetworkPacket(proto, pkt)
	}
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range pkts.AsSlice() {
		if err := l.write(pkt); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (l *link) write(pkt *stack.PacketBuffer) tcpip.Error {
	var hdr [vnetHdrLen]byte
	if g := pkt.GSOOptions; g.Type != stack.GSONone {
		binary.NativeEndian.PutUint16(hdr[2:], uint16(pkt.HeaderSize()+len(l.frame)))
		if g.NeedsCsum {
			hdr[0] = vnetNeedsCsum
			binary.NativeEndian.PutUint16(hdr[6:], g.L3HdrLen+uint16(len(l.frame)))
			binary.NativeEndian.PutUint16(hdr[8:], g.CsumOffset)
		}
		if pkt.Data().Size() > int(g.MSS) {
			hdr[1] = vnetGSOTCPv4
			if g.Type == stack.GSOTCPv6 {
				hdr[1] = vnetGSOTCPv6
			}
			binary.NativeEndian.PutUint16(hdr[4:], g.MSS)
		}
	}
	return l.writev(hdr[:], pkt.AsSlices())
}

// writev writes one packet. What the device does not take is lost, as on any
// link.
func (l *link) writev(hdr []byte, parts [][]byte) tcpip.Error {
	var room [8][]byte
	iovs := append(room[:0], hdr)
	if l.frame != nil {
		var frame [14]byte
		copy(frame[:], l.frame)
		kind := uint16(unix.ETH_P_IP)
		if firstByte(parts)>>4 == 6 {
			kind = unix.ETH_P_IPV6
		}
		binary.BigEndian.PutUint16(frame[12:], kind)
		iovs = append(iovs, frame[:])
	}
	iovs = append(iovs, parts...)
	var err error
	if e := l.conn.Control(func(fd uintptr) {
		for {
			if _, err = unix.Writev(int(fd), iovs); err != unix.EINTR {
				return
			}
		}
	}); e != nil {
		return &tcpip.ErrAborted{}
	}
	if err == unix.EAGAIN || err == unix.ENOBUFS {
		return &tcpip.ErrNoBufferSpace{}
	}
	if err != nil {
		return &tcpip.ErrAborted{}
	}
	return nil
}

func firstByte(parts [][]byte) byte {
	for _, p := range parts {
		if len(p) > 0 {
			return p[0]
		}
	}
	return 0
}

// inject writes an IP packet that the stack did not make.
func (l *link) inject(packet []byte) {
	var hdr [vnetHdrLen]byte
	l.writev(hdr[:], [][]byte{packet})
}

func (l *link) MTU() uint32                             { return l.mtu }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return 0 }
func (l *link) LinkAddress() tcpip.LinkAddress          { return "" }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (l *link) AddHeader(*stack.PacketBuffer)           {}
func (l *link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (l *link) Close()                                  {}
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) Wait()                                   {}
func (l *link) GSOMaxSize() uint32                      { return gsoMax }
func (l *link) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	l.dispatcher = d
	l.mu.Unlock()
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.dispatcher != nil
}
