package netstack

import (
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"

	"nobox/egress"
)

// closedNetwork is one from which nothing gets out: all is denied, and what
// would answer for names is not there. What it sends to the box is read and
// dropped.
func closedNetwork(t testing.TB) *network {
	t.Helper()
	hush()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	box := os.NewFile(uintptr(fds[1]), "box")
	t.Cleanup(func() { box.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			if _, err := box.Read(b); err != nil {
				return
			}
		}
	}()
	l, err := newLink(fds[0], 1500)
	if err != nil {
		t.Fatal(err)
	}
	var deny []egress.Rule
	for _, s := range []string{"0.0.0.0/0", "::/0"} {
		r, err := egress.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		deny = append(deny, r)
	}
	n, err := newNetwork(Config{
		MTU:      1500,
		Gateways: []netip.Addr{netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd6e:6f62:6f78::2")},
		Resolver: []netip.Addr{netip.MustParseAddr("10.0.2.3"), netip.MustParseAddr("fd6e:6f62:6f78::3")},
		Upstream: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Deny:     deny,
	}, l, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever the box sends, the process goes on.
func FuzzPacket(f *testing.F) {
	syn := []byte{0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 100, 192, 0, 2, 1, 4, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0}
	udp := []byte{0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 2, 100, 10, 0, 2, 3, 4, 0, 0, 53, 0, 9, 0, 0, 1}
	ping := []byte{0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 2, 100, 192, 0, 2, 1, 8, 0, 0, 0, 0, 1, 0, 1}
	fragment := append([]byte{0x45, 0, 0, 28, 0, 1, 0x20, 0, 64, 17, 0, 0, 10, 0, 2, 100, 192, 0, 2, 1}, 4, 0, 0, 53, 0, 99, 0, 0)
	six := append([]byte{0x60, 0, 0, 0, 0, 8, 58, 64}, make([]byte, 40)...)
	chain := append([]byte{0x60, 0, 0, 0, 0, 16, 0, 64}, make([]byte, 48)...)
	for _, p := range [][]byte{syn, udp, ping, fragment, six, chain, {}, {0x40}, {0x60}, {0x4f, 0}, {0x00}} {
		f.Add(p)
	}
	n := closedNetwork(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 0 {
			n.link.deliver(buffer.MakeWithData(p))
		}
	})
}

// A question is read as a hostile message, and what answers it is one.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 't', 'e', 's', 't', 0, 0, 1, 0, 1})
	n := closedNetwork(f)
	n.policy.allow = []egress.Rule{{Name: "nothing.test"}} // no question goes out
	f.Fuzz(func(t *testing.T, q []byte) {
		if a := n.dns.answer(q, "udp"); a != nil && (len(a) < 12 || a[0] != q[0] || a[1] != q[1] || a[2]&0x80 == 0) {
			t.Errorf("%x is answered by %x", q, a)
		}
		n.dns.pinAnswers("nothing.test", q)
	})
}
