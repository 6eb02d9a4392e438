package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// maxDialing may wait for an answer from outside at once; a SYN above that
	// is dropped, and comes again.
	maxDialing = 512
	// dialTimeout: connect(2) of Linux gives up after about two minutes; a box
	// whose own timeout is shorter has given up by itself.
	dialTimeout = 60 * time.Second

	keepalive = 60 * time.Second

	// All connections share this much for what the box said and the host has not
	// taken, and for what the host said. What was taken before others came stays
	// where it is, so that of the latter, which a box that does not read leaves
	// for ever, some eight times as much can lie here.
	receiveBudget = 4 << 20
	sendBudget    = 2 << 20
	receiveMin    = 8 << 10
	sendMin       = 4 << 10
	bufferMax     = 1 << 20
)

// bufferSize is what each of n connections gets of a budget, and not less than
// that.
func bufferSize(budget, least, n int) int { return min(max(budget/max(n, 1), least), bufferMax) }

// tcpForward goes on with the box's TCP connections on the host: one socket
// each, dialled before the box gets an answer, so that what is refused outside
// is refused inside.
type tcpForward struct {
	*network
	forward *tcp.Forwarder

	mu    sync.Mutex
	syns  map[stack.TransportEndpointID][8]byte // what an answer to them must repeat
	conns map[*connection]struct{}
	open  int // those, and those that are on their way
	size  int // of what each may have said, when it was last set for all
}

func newTCPForward(n *network) *tcpForward {
	f := &tcpForward{network: n, conns: map[*connection]struct{}{}, syns: map[stack.TransportEndpointID][8]byte{}, size: bufferSize(receiveBudget, receiveMin, 1)}
	f.forward = tcp.NewForwarder(n.stack, bufferMax, maxDialing, f.request)
	return f
}

// packet gets each segment that belongs to no connection.
func (f *tcpForward) packet(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	if len(h) >= header.TCPMinimumSize && h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) == header.TCPFlagSyn {
		f.mu.Lock()
		if len(f.syns) < maxDialing {
			f.syns[id] = [8]byte(h)
		}
		f.mu.Unlock()
	}
	return f.forward.HandlePacket(id, pkt)
}

// syn is the start of the SYN that a request is about, which forgetSYN forgets.
func (f *tcpForward) syn(id stack.TransportEndpointID) [8]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syns[id]
}

func (f *tcpForward) forgetSYN(id stack.TransportEndpointID) {
	f.mu.Lock()
	delete(f.syns, id)
	f.mu.Unlock()
}

// request is called for each SYN, in a goroutine of its own.
func (f *tcpForward) request(r *tcp.ForwarderRequest) {
	to := target{}
	if host := f.dialFor(r, &to); host != nil {
		f.connect(r, host, to.who)
	}
}

// dialFor makes the connection outside, or answers the box that there is none.
func (f *tcpForward) dialFor(r *tcp.ForwarderRequest, at *target) *net.TCPConn {
	id := r.ID()
	defer f.forgetSYN(id)
	syn := f.syn(id)
	to := netip.AddrPortFrom(addr(id.LocalAddress), id.LocalPort)
	if has(f.config.Resolver, to.Addr()) {
		if to.Port() == 53 {
			f.serveDNS(r)
		} else {
			r.Complete(true)
		}
		return nil
	}
	t := f.reach("tcp", to)
	*at = t
	if t.err != nil {
		r.Complete(true)
		return nil
	}
	// What comes above the limit is reset.
	f.mu.Lock()
	full := f.open >= f.limits.connections
	if !full {
		f.open++
	}
	f.mu.Unlock()
	if full {
		r.Complete(true)
		return nil
	}
	host, err := dial(t.addr)
	if err != nil {
		f.closed()
		// Only a refusal is a reset; that there is no way, or no answer, is said
		// by the network. One that was reset before it was looked at is refused.
		refused := errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET)
		r.Complete(refused)
		if !refused {
			f.unreachableFor(id.RemoteAddress, id.LocalAddress, tcp.ProtocolNumber, syn[:], err)
		}
		return nil
	}
	return host
}

// dial connects to an address of the host's network, no name.
func dial(to netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	d := net.Dialer{KeepAlive: -1}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// connect answers the box, and passes on what each side says to the other.
func (f *tcpForward) connect(r *tcp.ForwarderRequest, host *net.TCPConn, who string) {
	to := netip.AddrPortFrom(addr(r.ID().LocalAddress), r.ID().LocalPort)
	c, err := f.accept(r, host, to, who)
	r.Complete(err != nil)
	if err != nil { // the box has given up, by a reset perhaps
		host.SetLinger(0)
		host.Close()
		f.closed()
		f.log("tcp", who, to, 0, 0, "allowed")
		return
	}
	var out sync.WaitGroup
	out.Go(c.toHost)
	c.toBox()
	out.Wait()
	f.logEnd(c) // before it is forgotten: see logEnds
	f.forget(c)
	c.close()
	f.closed()
}

// logEnd writes a connection's line of the log, once.
func (f *tcpForward) logEnd(c *connection) {
	if c.logged.CompareAndSwap(false, true) {
		f.log("tcp", c.who, c.to, c.sent.Load(), c.received.Load(), "allowed")
	}
}

// logEnds does for all that end with the box.
func (f *tcpForward) logEnds() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		f.logEnd(c)
	}
}

// A connection is one of the box's, with the one outside that goes on with it.
type connection struct {
	box   tcpip.Endpoint
	queue waiter.Queue
	host  *net.TCPConn
	conn  syscall.RawConn

	to     netip.AddrPort // as the box has it
	who    string
	logged atomic.Bool

	readable, writable chan struct{} // the box's end
	entries            [2]waiter.Entry

	sent, received atomic.Int64 // bytes, as the box sees it
	broken         atomic.Bool  // one side was reset
	said           atomic.Bool  // what the box said has gone on to the last
}

func (f *tcpForward) accept(r *tcp.ForwarderRequest, host *net.TCPConn, to netip.AddrPort, who string) (*connection, error) {
	c := &connection{host: host, to: to, who: who}
	var err error
	if c.conn, err = host.SyscallConn(); err != nil {
		return nil, err
	}
	ep, e := r.CreateEndpoint(&c.queue)
	if e != nil {
		return nil, errors.New(e.String())
	}
	c.box = ep
	c.entries[0], c.readable = waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	c.entries[1], c.writable = waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	c.queue.EventRegister(&c.entries[0])
	c.queue.EventRegister(&c.entries[1])
	ep.SocketOptions().SetDelayOption(false)
	// A box's process that is gone left an end that its kernel answers for no
	// more: only a probe tells.
	idle, interval := tcpip.KeepaliveIdleOption(keepalive), tcpip.KeepaliveIntervalOption(keepalive/4)
	ep.SetSockOpt(&idle)
	ep.SetSockOpt(&interval)
	ep.SetSockOptInt(tcpip.KeepaliveCountOption, 4)
	ep.SocketOptions().SetKeepAlive(true)

	f.mu.Lock()
	f.conns[c] = struct{}{}
	f.resize()
	n := len(f.conns)
	f.mu.Unlock()
	c.resize(n)
	return c, nil
}

// idle says whether all that the box said has gone on, and each end as well.
func (f *tcpForward) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if n, err := c.box.GetSockOptInt(tcpip.ReceiveQueueSizeOption); err == nil && n > 0 {
			return false
		}
		// It said its last, and that was not passed on yet.
		if s := tcp.EndpointState(c.box.State()); !c.said.Load() && (s == tcp.StateCloseWait || s == tcp.StateError) {
			return false
		}
	}
	return true
}

// closed says that there is one less than dialFor has counted.
func (f *tcpForward) closed() {
	f.mu.Lock()
	f.open--
	f.mu.Unlock()
}

func (f *tcpForward) forget(c *connection) {
	f.mu.Lock()
	delete(f.conns, c)
	f.resize()
	f.mu.Unlock()
}

// resize shares the budget among the connections there are, when their number
// has changed enough. Preconditions: mu is held.
func (f *tcpForward) resize() {
	want := bufferSize(receiveBudget, receiveMin, len(f.conns))
	if want > f.size/2 && want < f.size*2 {
		return
	}
	f.size = want
	for c := range f.conns {
		c.resize(len(f.conns))
	}
}

// resize gives a connection its share among n.
func (c *connection) resize(n int) {
	c.box.SocketOptions().SetReceiveBufferSize(int64(bufferSize(receiveBudget, receiveMin, n)), true)
	c.box.SocketOptions().SetSendBufferSize(int64(bufferSize(sendBudget, sendMin, n)), true)
}

// errAgain is a host socket that takes or has no more for now.
var errAgain = errors.New("again")

// hostWriter writes to the host's socket what it takes at once.
type hostWriter int

func (w hostWriter) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Write(int(w), b[done:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return done, errAgain
		case err != nil:
			return done, err
		}
		done += n
	}
	return done, nil
}

// toHost passes on what the box says, from the stack's queue to the socket
// without a buffer between, until the box says no more.
func (c *connection) toHost() {
	defer c.said.Store(true)
	for {
		var e tcpip.Error
		var n int64
		var failed error
		err := c.conn.Write(func(fd uintptr) bool {
			w := &outcome{w: hostWriter(fd)}
			var res tcpip.ReadResult
			res, e = c.box.Read(w, tcpip.ReadOptions{})
			n += int64(res.Count)
			failed = w.err
			return failed != errAgain // else wait until the socket takes more
		})
		c.sent.Add(n)
		switch {
		case err != nil || failed != nil && failed != errAgain:
			c.breakOff()
			return
		case e == nil:
			continue
		}
		switch e.(type) {
		case *tcpip.ErrWouldBlock:
			<-c.readable
		case *tcpip.ErrClosedForReceive:
			// Whoever asks first learns that it was a reset.
			if tcp.EndpointState(c.box.State()) == tcp.StateError {
				c.breakOff()
				return
			}
			c.host.CloseWrite()
			return
		default:
			c.breakOff()
			return
		}
	}
}

// outcome keeps the error of a writer, which Endpoint.Read does not tell.
type outcome struct {
	w   io.Writer
	err error
}

func (o *outcome) Write(b []byte) (n int, err error) {
	n, o.err = o.w.Write(b)
	return n, o.err
}

// toBox passes on what comes from outside, until no more does.
func (c *connection) toBox() {
	for {
		p := payload{}
		var e tcpip.Error
		var n int64
		err := c.conn.Read(func(fd uintptr) bool {
			p = payload{fd: int(fd)}
			var m int64
			m, e = c.box.Write(&p, tcpip.WriteOptions{})
			n += m
			return !p.again
		})
		c.received.Add(n)
		if e != nil {
			if _, full := e.(*tcpip.ErrWouldBlock); full {
				<-c.writable
				continue
			}
			c.breakOff()
			return
		}
		switch {
		case err != nil || p.err != nil:
			c.breakOff()
			return
		case p.end:
			c.box.Shutdown(tcpip.ShutdownWrite)
			return
		}
	}
}

// payload is what a host's socket has, at most one segment's worth, read into
// the stack's own memory. The stack asks for the length first, and wants that
// much.
type payload struct {
	fd         int
	again, end bool
	err        error
}

// Len implements tcpip.Payloader.
func (p *payload) Len() int {
	n, err := unix.IoctlGetInt(p.fd, unix.TIOCINQ)
	if err != nil {
		p.err = err
		return 0
	}
	if n > 0 {
		return min(n, segmentMax)
	}
	// Nothing yet, or nothing any more.
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(p.fd, b[:], unix.MSG_PEEK)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			p.again = true
		case err != nil:
			p.err = err
		case n == 0:
			p.end = true
		default:
			return 1 // it has come just now
		}
		return 0
	}
}

// Read implements io.Reader.
func (p *payload) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, err := unix.Read(p.fd, b)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			p.err = err
			return 0, err
		case n == 0:
			p.err = io.ErrUnexpectedEOF
			return 0, p.err
		}
		return n, nil
	}
}

// breakOff ends both sides as one that was reset would.
func (c *connection) breakOff() {
	if !c.broken.CompareAndSwap(false, true) {
		return
	}
	c.host.SetLinger(0)
	c.host.Close()
	c.box.Abort()
}

func (c *connection) close() {
	c.queue.EventUnregister(&c.entries[0])
	c.queue.EventUnregister(&c.entries[1])
	c.box.Close()
	c.host.Close()
}
