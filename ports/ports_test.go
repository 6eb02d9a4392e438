package ports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nobox/internal/nstest"
)

func TestArgsAreReadAsTheyAreWritten(t *testing.T) {
	ps := []Port{{FD: 7, Box: 80}, {FD: 8, Box: 53, UDP: true}, {FD: 9, Box: 65535, Path: "/run/a:b", Dir: 10}}
	for i, a := range Args(ps) {
		if got, err := parseArg(a); err != nil || got != ps[i] {
			t.Errorf("%q: %+v, %v", a, got, err)
		}
	}
	for _, a := range []string{"", "tcp", "tcp:1", "tcp:1:0", "tcp:-1:80", "tcp:1:65536", "sctp:1:2", "tcp:1:2:x", "unix:1:2", "unix:1:2:", "unix:1:2:3", "unix:1:2:3:", "unix:1:2:x:/p", "unix:1:2:-1:/p", "tcp:99999999999:1"} {
		if got, err := parseArg(a); err == nil {
			t.Errorf("%q: %+v", a, got)
		}
	}
}

// published is a forwarder to a port of this machine, which is its own inside.
func published(t *testing.T, port uint16) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serveTCP(l, port, false)
	return l.Addr().String()
}

// cannotListen: a machine may lack IPv6, but no loopback.
func cannotListen(t *testing.T, address string, err error) {
	t.Helper()
	if strings.HasPrefix(address, "[") {
		nstest.Lacks(t, "ipv6", err)
	}
	t.Fatal(err)
}

func serverAt(t *testing.T, network, address string, handle func(*net.TCPConn)) uint16 {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		cannotListen(t, address, err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.Close()
}

func connect(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

func TestBytesPassUnchangedAndTheEndOfOneDirectionIsPassedOn(t *testing.T) {
	addr := published(t, serverAt(t, "tcp", "127.0.0.1:0", echo))
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			data := make([]byte, 1<<20+i)
			for j := range data {
				data[j] = byte(rand.Uint32())
			}
			c := connect(t, addr)
			go func() {
				c.Write(data)
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
			}
		})
	}
	all.Wait()
}

func TestAServerThatSpeaksFirstAndEndsIsHeard(t *testing.T) {
	addr := published(t, serverAt(t, "tcp", "127.0.0.1:0", func(c *net.TCPConn) { io.WriteString(c, "hello"); c.Close() }))
	if got, err := io.ReadAll(connect(t, addr)); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAServerOnTheIPv6LoopbackAloneIsFound(t *testing.T) {
	port := serverAt(t, "tcp6", "[::1]:0", echo)
	c := connect(t, published(t, port))
	io.WriteString(c, "six")
	c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "six" {
		t.Errorf("%q, %v", got, err)
	}
}

// unused is a port that nobody serves.
func unused(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func TestWithoutAServerTheClientIsReset(t *testing.T) {
	c, err := net.Dial("tcp", published(t, unused(t)))
	if err == nil { // the reset may come before
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

func TestAResetIsPassedOnInBothDirections(t *testing.T) {
	got := make(chan error, 1)
	addr := published(t, serverAt(t, "tcp", "127.0.0.1:0", func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 1))
		got <- err
		c.Close()
	}))
	c := connect(t, addr)
	c.SetLinger(0)
	c.Close()
	if err := <-got; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("of the client: %v", err)
	}
	addr = published(t, serverAt(t, "tcp", "127.0.0.1:0", func(c *net.TCPConn) {
		c.SetLinger(0)
		c.Close()
	}))
	// It may come before connect returns.
	r, err := net.Dial("tcp", addr)
	if err == nil {
		_, err = r.Read(make([]byte, 1))
		r.Close()
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("of the server: %v", err)
	}
}

// ---- UDP

func udpServer(t *testing.T, network, address string) uint16 {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		cannotListen(t, address, err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
			if string(buf[:n]) == "who" {
				c.WriteTo([]byte(from.String()), from)
			}
		}
	}()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func publishedUDP(t *testing.T, at string, port uint16, idle time.Duration) (*udp, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenPacket("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	u := newUDP(c.(*net.UDPConn), port, false)
	t.Cleanup(func() {
		c.Close()
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, s := range u.sessions {
			s.conn.Close() // of a test that is run many times
		}
	})
	u.idle = idle
	go u.serve()
	return u, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func ask(t *testing.T, c *net.UDPConn, s []byte) []byte {
	t.Helper()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(s); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func udpClient(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDatagramsOfEverySizeComeBackToWhoSentThem(t *testing.T) {
	_, addr := publishedUDP(t, "127.0.0.1:0", udpServer(t, "udp", "127.0.0.1:0"), udpIdle)
	for _, size := range []int{0, 1, 1400, 2048, 2049, 9000, 65507} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		if got := ask(t, udpClient(t, addr), data); !bytes.Equal(got, data) {
			t.Errorf("%d bytes: %d", size, len(got))
		}
	}
}

func TestEachClientHasAnAddressInside(t *testing.T) {
	_, addr := publishedUDP(t, "127.0.0.1:0", udpServer(t, "udp", "127.0.0.1:0"), udpIdle)
	var seen []string
	for range 5 {
		c := udpClient(t, addr)
		ask(t, c, []byte("who"))
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, []byte("again"))
		seen = append(seen, string(buf[:n]))
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 5 {
		t.Error(seen)
	}
}

func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	_, addr := publishedUDP(t, "0.0.0.0:0", udpServer(t, "udp", "127.0.0.1:0"), udpIdle)
	// A connected socket takes nothing from another address.
	for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.9.9.9"} {
		c := udpClient(t, netip.AddrPortFrom(netip.MustParseAddr(a), addr.Port()))
		if got := ask(t, c, []byte(a)); string(got) != a {
			t.Errorf("%s: %q", a, got)
		}
	}
}

func TestAUDPServerOnTheIPv6LoopbackAloneIsFound(t *testing.T) {
	_, addr := publishedUDP(t, "127.0.0.1:0", udpServer(t, "udp6", "[::1]:0"), udpIdle)
	if got := ask(t, udpClient(t, addr), []byte("six")); string(got) != "six" {
		t.Errorf("%q", got)
	}
}

func TestAServerThatComesLateIsFoundByTheNextDatagram(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.LocalAddr().String()
	port := uint16(l.LocalAddr().(*net.UDPAddr).Port)
	l.Close()
	u, addr := publishedUDP(t, "127.0.0.1:0", port, udpIdle)
	c := udpClient(t, addr)
	c.Write([]byte("lost"))
	udpServer(t, "udp", at)
	// The first may be on its way still, and be answered.
	if got := ask(t, c, []byte("found")); string(got) != "found" && string(got) != "lost" {
		t.Errorf("%q", got)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.sessions) != 1 {
		t.Errorf("%d sessions", len(u.sessions))
	}
}

// wait polls what another goroutine changes: the time is the subject here.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestASilentClientIsForgotten(t *testing.T) {
	u, addr := publishedUDP(t, "127.0.0.1:0", udpServer(t, "udp", "127.0.0.1:0"), 50*time.Millisecond)
	c := udpClient(t, addr)
	ask(t, c, []byte("a"))
	wait(t, "the session stays", func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.sessions) == 0
	})
	if got := ask(t, c, []byte("b")); string(got) != "b" {
		t.Errorf("%q", got)
	}
}

func TestTheOldestClientMakesRoom(t *testing.T) {
	u, addr := publishedUDP(t, "127.0.0.1:0", udpServer(t, "udp", "127.0.0.1:0"), udpIdle)
	first := udpClient(t, addr)
	ask(t, first, []byte("first"))
	for i := range udpClients {
		c := udpClient(t, addr)
		ask(t, c, fmt.Append(nil, i))
	}
	u.mu.Lock()
	n := len(u.sessions)
	_, there := u.sessions[clientKey{from: first.LocalAddr().(*net.UDPAddr).AddrPort()}]
	u.mu.Unlock()
	if n != udpClients || there {
		t.Errorf("%d sessions, the first there: %v", n, there)
	}
}

// A process that sends what nobody asked for does not use up the forwarder's
// descriptors.
func TestDescriptorsThatNobodyAskedForAreClosed(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &st); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := unix.Sendmsg(ends[0], []byte(From), unix.UnixRights(p[1], p[1], p[1]), nil, 0); err != nil {
			t.Fatal(err)
		}
		if (namespace{st.Dev, st.Ino}).has(ends[1]) {
			t.Error("the ends of a pipe are taken for a namespace")
		}
		if err := unix.Sendmsg(ends[0], []byte("list"), unix.UnixRights(p[1], p[1]), nil, 0); err != nil {
			t.Fatal(err)
		}
		newServed().answer(ends[1])
	}
	unix.Close(p[1])
	if n, err := unix.Read(p[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("somebody holds the pipe: %d, %v", n, err)
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"tcp 80", "udp 53", "unix 80 /a b", "tcp", "unix 80", "control 80", "tcp 80 x", "tcp:1:2 3", "unix 80:9:/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, fds := range [][]int{{77}, {77, 78}} {
			p, err := parseAdd(s, fds)
			if err == nil && (p.FD != 77 || p.Box == 0 || (p.Path != "") != (len(fds) == 2) || p.Path != "" && p.Dir != 78) {
				t.Errorf("%q with %v is %+v", s, fds, p)
			}
		}
		if _, err := parseAdd(s, nil); err == nil {
			t.Errorf("%q is taken without a socket", s)
		}
	})
}
