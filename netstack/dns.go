package netstack

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"nobox/egress"
)

// resolver answers the box's questions for names. It asks the servers that the
// host asks, and passes on what they say; of a message it reads no more than it
// must.
type resolver struct {
	*network
	conf    resolvConf
	asking  chan struct{} // one for each question that waits for an answer
	streams chan struct{} // one for each connection
	good    atomic.Uint32 // index of the server that answered last
}

const (
	// A question is put to each server twice, and answered by SERVFAIL before
	// the five seconds are over that a resolver waits (resolv.conf(5)): a box
	// whose host is offline learns it at once, not after minutes.
	askTimeout  = 1500 * time.Millisecond
	askAtMost   = 4500 * time.Millisecond
	streamIdle  = 10 * time.Second
	maxMessage  = 65535
	maxDatagram = 4096
)

// hostName is what the box calls the host by; slirp.HostName.
const hostName = "host.nobox.internal."

func newResolver(n *network) *resolver {
	return &resolver{
		network: n,
		conf:    resolvConf{path: "/etc/resolv.conf"},
		asking:  make(chan struct{}, n.limits.questions),
		streams: make(chan struct{}, n.limits.streams),
	}
}

// datagram answers a question that came by UDP.
func (r *resolver) datagram(id stack.TransportEndpointID, q []byte) {
	select {
	case r.asking <- struct{}{}:
	default:
		return // it will be asked again
	}
	q = append([]byte(nil), q...)
	go func() {
		defer func() { <-r.asking }()
		if a := r.answer(q, "udp"); a != nil {
			r.reply(id, a)
		}
	}()
}

// serveDNS answers the questions of one connection.
func (f *tcpForward) serveDNS(req *tcp.ForwarderRequest) {
	r := f.dns
	select {
	case r.streams <- struct{}{}:
		defer func() { <-r.streams }()
	default:
		req.Complete(true)
		return
	}
	var wq waiter.Queue
	ep, err := req.CreateEndpoint(&wq)
	req.Complete(err != nil)
	if err != nil {
		return
	}
	c := gonet.NewTCPConn(&wq, ep)
	defer c.Close()
	for {
		c.SetDeadline(time.Now().Add(streamIdle))
		q, err := readMessage(c)
		if err != nil {
			return
		}
		a := r.answer(q, "tcp")
		if a == nil {
			return
		}
		if _, err := c.Write(framed(a)); err != nil {
			return
		}
	}
}

// readMessage reads a message with its length before it; RFC 1035, 4.2.2.
func readMessage(c io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(c, m)
	return m, err
}

func framed(m []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, len(m)+2), uint16(len(m))), m...)
}

// answer is the answer to a question, nil for none.
func (r *resolver) answer(q []byte, network string) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(q)
	if err != nil || h.Response {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return refusal(h, nil, dnsmessage.RCodeFormatError)
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone {
		return refusal(h, nil, dnsmessage.RCodeFormatError)
	}
	if h.OpCode != 0 || question.Class != dnsmessage.ClassINET {
		return refusal(h, &question, dnsmessage.RCodeNotImplemented)
	}
	switch name := strings.ToLower(question.Name.String()); {
	case name == hostName:
		return own(h, question, r.config.Gateways)
	case name == "localhost.", strings.HasSuffix(name, ".localhost."):
		// A root without /etc/hosts has it from here; RFC 6761, 6.3.
		return own(h, question, localhost[:])
	}
	name := egress.Canonical(question.Name.String())
	if why := r.policy.ask(name); why != "" {
		if !strings.HasSuffix(name, ".arpa") { // addresses that a program wants named
			r.policy.refused(name, why)
		}
		// Not REFUSED, after which some resolvers wait, and others ask again.
		return refusal(h, &question, dnsmessage.RCodeNameError)
	}
	if r.policy.active() && (question.Type == typeSVCB || question.Type == typeHTTPS) {
		// They give addresses that are not pinned, and keys that hide the name.
		return refusal(h, &question, dnsmessage.RCodeSuccess)
	}
	a, err := r.ask(q, network)
	if err != nil {
		return refusal(h, &question, dnsmessage.RCodeServerFailure)
	}
	r.pinAnswers(name, a)
	return a
}

// RFC 9460
const (
	typeSVCB  dnsmessage.Type = 64
	typeHTTPS dnsmessage.Type = 65
)

// pinAnswers remembers the addresses of an answer by the name that was asked
// for, whatever aliases led there.
func (r *resolver) pinAnswers(name string, a []byte) {
	var p dnsmessage.Parser
	if _, err := p.Start(a); err != nil || p.SkipAllQuestions() != nil {
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		ttl := time.Duration(min(h.TTL, 1<<20)) * time.Second
		switch h.Type {
		case dnsmessage.TypeA:
			rr, err := p.AResource()
			if err != nil {
				return
			}
			r.policy.pin(name, netip.AddrFrom4(rr.A), ttl)
		case dnsmessage.TypeAAAA:
			rr, err := p.AAAAResource()
			if err != nil {
				return
			}
			r.policy.pin(name, netip.AddrFrom16(rr.AAAA), ttl)
		default:
			if p.SkipAnswer() != nil {
				return
			}
		}
	}
}

// refusal is an answer without one.
func refusal(h dnsmessage.Header, q *dnsmessage.Question, code dnsmessage.RCode) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: code})
	if q != nil {
		b.StartQuestions()
		b.Question(*q)
	}
	m, err := b.Finish()
	if err != nil {
		return nil
	}
	return m
}

var localhost = [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// own answers for names that nobody outside knows.
func own(h dnsmessage.Header, q dnsmessage.Question, addrs []netip.Addr) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, Authoritative: true,
		RecursionDesired: h.RecursionDesired, RecursionAvailable: true})
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	rr := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
	for _, g := range addrs {
		switch {
		case g.Is4() && q.Type == dnsmessage.TypeA:
			b.AResource(rr, dnsmessage.AResource{A: g.As4()})
		case g.Is6() && q.Type == dnsmessage.TypeAAAA:
			b.AAAAResource(rr, dnsmessage.AAAAResource{AAAA: g.As16()})
		}
	}
	m, err := b.Finish()
	if err != nil {
		return nil
	}
	return m
}

// servers are those to ask: the host's, unless others were given.
func (r *resolver) servers() (out []netip.AddrPort) {
	for _, a := range r.config.Upstream {
		out = append(out, netip.AddrPortFrom(a, 53))
	}
	if out == nil {
		out = r.conf.Servers()
	}
	return out
}

// errNoAnswer: no server said anything in time.
var errNoAnswer = errors.New("no answer")

// ask puts a question to the host's servers, one after the other.
func (r *resolver) ask(q []byte, network string) ([]byte, error) {
	servers := r.servers()
	deadline := time.Now().Add(askAtMost)
	first := int(r.good.Load())
	for i := range 2 * len(servers) {
		at := (first + i) % len(servers)
		until := time.Now().Add(askTimeout)
		if until.After(deadline) {
			until = deadline
		}
		a, err := exchange(servers[at], network, q, until)
		if err == nil {
			r.good.Store(uint32(at))
			return a, nil
		}
		if !time.Now().Before(deadline) {
			break
		}
	}
	return nil, errNoAnswer
}

// exchange puts a question to one server, from a port of its own and under a
// number of its own: both are what an answer made up elsewhere must guess.
func exchange(server netip.AddrPort, network string, q []byte, until time.Time) ([]byte, error) {
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(until)
	id := uint16(rand.Uint32())
	asked := append([]byte(nil), q...)
	binary.BigEndian.PutUint16(asked, id)
	if network == "tcp" {
		asked = framed(asked)
	}
	if _, err := c.Write(asked); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for {
		var a []byte
		if network == "tcp" {
			if a, err = readMessage(c); err != nil {
				return nil, err
			}
		} else {
			n, err := c.Read(buf)
			if err != nil {
				return nil, err
			}
			a = buf[:n]
		}
		if len(a) >= 12 && binary.BigEndian.Uint16(a) == id && sameQuestion(a, q) {
			binary.BigEndian.PutUint16(a, binary.BigEndian.Uint16(q))
			return a, nil
		}
	}
}

// sameQuestion says whether a message is an answer to a question.
func sameQuestion(a, q []byte) bool {
	var pa, pq dnsmessage.Parser
	ha, err := pa.Start(a)
	if err != nil || !ha.Response {
		return false
	}
	pq.Start(q)
	x, err := pa.Question()
	y, err2 := pq.Question()
	return err == nil && err2 == nil && x.Type == y.Type && x.Class == y.Class && strings.EqualFold(x.Name.String(), y.Name.String())
}
