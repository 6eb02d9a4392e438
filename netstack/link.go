package netstack

import (
	"encoding/binary"
	"os"
	"sync"
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

	// intercept sees each packet before the stack, and may take it.
	intercept func(proto tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer) bool

	mu         sync.RWMutex
	dispatcher stack.NetworkDispatcher
}

const (
	vnetHdrLen = 10
	// The largest IPv4 packet, as sent by a box that has no smaller limit.
	maxPacket = 65535
	// gsoMax keeps a segment and its headers below maxPacket.
	gsoMax = maxPacket - 60
)

// linux/virtio_net.h
const (
	vnetNeedsCsum = 1
	vnetGSOTCPv4  = 1
	vnetGSOTCPv6  = 4
)

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
	var hdr [vnetHdrLen]byte
	var view *buffer.View
	iovs := [][]byte{hdr[:], nil}
	for {
		if view == nil {
			view = buffer.NewViewSize(buffer.MaxChunkSize)
			iovs[1] = view.AsSlice()
		}
		var n int
		var err error
		if e := l.conn.Read(func(fd uintptr) bool {
			for {
				if n, err = unix.Readv(int(fd), iovs); err != unix.EINTR {
					return err != unix.EAGAIN
				}
			}
		}); e != nil {
			return e
		}
		if err != nil {
			return err
		}
		n -= vnetHdrLen
		switch {
		case n <= 0:
		case n <= buffer.MaxChunkSize/2:
			l.deliver(buffer.MakeWithData(iovs[1][:n]))
		default:
			view.CapLength(n)
			l.deliver(buffer.MakeWithView(view))
			view = nil
		}
	}
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
		binary.NativeEndian.PutUint16(hdr[2:], uint16(pkt.HeaderSize()))
		if g.NeedsCsum {
			hdr[0] = vnetNeedsCsum
			binary.NativeEndian.PutUint16(hdr[6:], g.L3HdrLen)
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
	iovs := append(append(room[:0], hdr), parts...)
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
