package tests

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// The tests of the network run in a lab: network and mount namespaces of their
// own, in which "the host" has the addresses 192.0.2.1 and 2001:db8::1, a
// resolver at the first, and nothing else. What they reach is this very
// process. inLab runs a test again in there, once for each way that a box's
// device is made: by /dev/net/tun, and as one of a pair where that is hidden.

const (
	host4 = "192.0.2.1"
	host6 = "2001:db8::1"
)

// inLab returns true in the lab, and elsewhere runs the test there.
func inLab(t *testing.T) bool {
	t.Helper()
	if os.Getenv("NOBOX_LAB") == t.Name() {
		return true
	}
	asUser(t)
	need(t, "userns", "unshare", "ip")
	test := t.Name()
	t.Run("tun", func(t *testing.T) {
		need(t, "tun")
		lab(t, test, "")
	})
	t.Run("veth", func(t *testing.T) { lab(t, test, "mount -t tmpfs none /dev/net; [ ! -e /dev/net/tun ]") })
	return false
}

// labTime is how long a test in the lab may take: NOBOX_CONNECTS asks for more
// boxes than CI has time for.
func labTime() time.Duration {
	n, _ := strconv.Atoi(os.Getenv("NOBOX_CONNECTS"))
	return 2*time.Minute + time.Duration(n)*200*time.Millisecond
}

// lab runs a test in the lab, after a command.
func lab(t *testing.T, test, first string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), labTime())
	defer cancel()
	c := exec.CommandContext(ctx, "unshare", "-rnm", "sh", "-ec", `
		ip link set lo up
		ip link add eth0 type veth peer name eth1
		ip link set eth1 up
		ip addr add `+host4+`/24 dev eth0
		ip -6 addr add `+host6+`/64 dev eth0 nodad
		ip link set eth0 up
		echo "0 0" >/proc/sys/net/ipv4/ping_group_range
		mount -t tmpfs none /run
		echo nameserver `+host4+` >/run/resolv.conf
		mount --bind /run/resolv.conf /etc/resolv.conf
		`+first+`
		exec "$@"`, "lab", exe, "-test.run=^"+test+"$", "-test.count=1", "-test.v")
	c.Env = append(os.Environ(), "NOBOX_LAB="+test, "NOBOX="+nobox)
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
		t.Errorf("in the lab: %v\n%s", err, out)
	}
}

// inBox runs a client in a box with a network, and returns what it says.
func inBox(t *testing.T, flags []string, client ...string) (stdout, stderr string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append([]string{"-r", "--net=user", "--cwd=hidden", "-v", exe + ":" + exe + ":ro"}, flags...)
	c := exec.CommandContext(ctx, nobox, append(append(args, "--", exe, clientOf), client...)...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Logf("%s: %v\n%s%s", client, err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), errs.String()
}

// clientOf is the first argument of a test binary that is a client inside.
const clientOf = "net-client"

// client is what runs inside: each word is something to do, and a line about
// it.
func client(args []string) int {
	for _, a := range args {
		what, arg, _ := strings.Cut(a, "=")
		fmt.Println(doClient(what, arg))
	}
	return 0
}

func doClient(what, arg string) string {
	said := func(s string, err error) string {
		if err == nil {
			return s
		}
		return errnoName(err)
	}
	if s, known := doFault(what, arg); known {
		return s
	}
	switch what {
	case "tcp": // says hello, and no more, and hears the answer
		c, err := net.DialTimeout("tcp", arg, 10*time.Second)
		if err != nil {
			return said("", err)
		}
		defer c.Close()
		fmt.Fprintln(c, "hello")
		c.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(c)
		return said(strings.TrimSpace(string(b)), err)
	case "udp":
		to, size, _ := strings.Cut(arg, ",")
		c, err := net.Dial("udp", to)
		if err != nil {
			return said("", err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		n, _ := strconv.Atoi(size)
		m := []byte(strings.Repeat("x", max(n, 1)))
		if _, err := c.Write(m); err != nil {
			return said("", err)
		}
		b := make([]byte, 1<<16)
		n, err = c.Read(b)
		return said(strconv.Itoa(n), err)
	case "name":
		network, name, _ := strings.Cut(arg, ",")
		r := net.Resolver{PreferGo: true}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		as, err := r.LookupNetIP(ctx, network, name)
		for i := range as {
			as[i] = as[i].Unmap()
		}
		var e *net.DNSError
		if errors.As(err, &e) {
			return map[bool]string{true: "no such name", false: "no answer"}[e.IsNotFound]
		}
		return said(fmt.Sprint(as), err)
	case "ping":
		network, to, _ := strings.Cut(arg, ",")
		return said(ping(network, to))
	case "echo":
		return said(echoRequest(netip.MustParseAddr(arg)))
	case "connects": // one after the other
		to, count, _ := strings.Cut(arg, ",")
		n, _ := strconv.Atoi(count)
		for i := range n {
			c, err := net.DialTimeout("tcp", to, 10*time.Second)
			if err != nil {
				return fmt.Sprintf("%d: %v", i, err)
			}
			if i%3 == 0 {
				c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
		return "all"
	case "flood", "deaf": // open so many, and say all that is taken, or hear nothing
		to, count, _ := strings.Cut(arg, ",")
		n, _ := strconv.Atoi(count)
		var cs []net.Conn
		for range n {
			c, err := net.DialTimeout("tcp", to, 10*time.Second)
			if err != nil {
				break
			}
			cs = append(cs, c)
		}
		deadline := time.Now().Add(4 * time.Second)
		var all sync.WaitGroup
		for _, c := range cs {
			all.Go(func() {
				c.SetDeadline(deadline)
				b := make([]byte, 64<<10)
				for what == "flood" {
					if _, err := c.Write(b); err != nil {
						return
					}
				}
			})
		}
		all.Wait()
		fmt.Println(len(cs))
		io.Copy(io.Discard, os.Stdin) // all stays open meanwhile
		return "done"
	case "open": // so many at once, each used once all are open
		to, count, _ := strings.Cut(arg, ",")
		n, _ := strconv.Atoi(count)
		var cs []net.Conn
		for i := range n {
			c, err := net.DialTimeout("tcp", to, 10*time.Second)
			if err != nil {
				return fmt.Sprintf("%d: %v", i, err)
			}
			cs = append(cs, c)
		}
		for i, c := range cs {
			fmt.Fprintln(c, "hello")
			c.(*net.TCPConn).CloseWrite()
			if b, err := io.ReadAll(c); err != nil || strings.TrimSpace(string(b)) != "hello" {
				return fmt.Sprintf("%d: %q %v", i, b, err)
			}
		}
		return "all"
	}
	return "no such thing: " + what
}

// errnoName is the name of the errno in an error, or the error.
func errnoName(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// pingSocket is one for echo requests to an address, and their type; icmp(7), raw(7).
func pingSocket(to netip.Addr, kind int) (fd int, sa unix.Sockaddr, request byte, err error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if request = 8; to.Is6() {
		family, proto, request = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128
		sa = &unix.SockaddrInet6{Addr: to.As16()}
	} else {
		sa = &unix.SockaddrInet4{Addr: to.As4()}
	}
	if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto); err == nil {
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3})
	}
	return fd, sa, request, err
}

// echoRequest sends one by a socket that takes no capability.
func echoRequest(to netip.Addr) (string, error) {
	fd, sa, kind, err := pingSocket(to, unix.SOCK_DGRAM)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, []byte{kind, 0, 0, 0, 0, 0, 0, 1, 'n', 'o', 'b', 'o', 'x', '.'}, 0, sa); err != nil {
		return "", err
	}
	b := make([]byte, 100)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil || n < 8 || string(b[8:n]) != "nobox." {
		return fmt.Sprintf("%x", b[:max(n, 0)]), err
	}
	return "pong", nil
}

// ping sends one echo request by a raw socket, as root inside may.
func ping(network, to string) (string, error) {
	fd, sa, kind, err := pingSocket(netip.MustParseAddr(to), unix.SOCK_RAW)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	m := []byte{kind, 0, 0, 0, 0x12, 0x34, 0, 1, 'n', 'o', 'b', 'o', 'x', '.'}
	if network == "ip4" {
		var sum uint32
		for i := 0; i < len(m); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(m[i:]))
		}
		sum = sum>>16 + sum&0xffff
		binary.BigEndian.PutUint16(m[2:], ^uint16(sum+sum>>16))
	}
	if err := unix.Sendto(fd, m, 0, sa); err != nil {
		return "", err
	}
	b := make([]byte, 1500)
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			return "", err
		}
		r := b[:n]
		if network == "ip4" && n >= 20 {
			r = b[20:n]
		}
		switch {
		case len(r) < 8:
		case r[0] == 0 || r[0] == 129:
			if binary.BigEndian.Uint16(r[4:]) == 0x1234 && string(r[8:]) == "nobox." {
				return "pong", nil
			}
		case r[0] == 3 || r[0] == 1:
			return fmt.Sprintf("unreachable %d", r[1]), nil
		}
	}
}

// serve answers each connection with what it said, once it says no more, until
// the test ends.
func serve(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	connections(t, l, err, func(c net.Conn) {
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	})
}

// connections calls f for each connection to what net.Listen returned, one after
// the other, until the test ends.
func connections(t *testing.T, l net.Listener, err error, f func(net.Conn)) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
}

func serveUDP(t *testing.T, address string, answer func([]byte) []byte) {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				c.WriteTo(a, from)
			}
		}
	}()
}

// names answers questions for names: each has addresses.
func names(zone map[string][]string) func([]byte) []byte {
	var mu sync.Mutex
	return func(q []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		var p dnsmessage.Parser
		h, err := p.Start(q)
		if err != nil {
			return nil
		}
		question, err := p.Question()
		if err != nil {
			return nil
		}
		as, known := zone[strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))]
		code := dnsmessage.RCodeSuccess
		if !known {
			code = dnsmessage.RCodeNameError
		}
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true, RCode: code})
		b.StartQuestions()
		b.Question(question)
		b.StartAnswers()
		for _, s := range as {
			rr := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 30}
			switch a := netip.MustParseAddr(s); {
			case a.Is4() && question.Type == dnsmessage.TypeA:
				b.AResource(rr, dnsmessage.AResource{A: a.As4()})
			case a.Is6() && question.Type == dnsmessage.TypeAAAA:
				b.AAAAResource(rr, dnsmessage.AAAAResource{AAAA: a.As16()})
			}
		}
		m, err := b.Finish()
		if err != nil {
			return nil
		}
		return m
	}
}

// lines compares what clients said with what they must, one line each.
func lines(t *testing.T, have string, want ...string) {
	t.Helper()
	var got []string
	for s := bufio.NewScanner(strings.NewReader(have)); s.Scan(); {
		got = append(got, s.Text())
	}
	for i, w := range want {
		g := "nothing"
		if i < len(got) {
			g = got[i]
		}
		if g != w {
			t.Errorf("line %d: %q, want %q", i+1, g, w)
		}
	}
	if len(got) > len(want) {
		t.Errorf("more: %q", got[len(want):])
	}
}

func TestABoxReachesWhatTheHostDoes(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serve(t, "[2001:db8::1]:7000")
	echo := func(b []byte) []byte { return b }
	serveUDP(t, "192.0.2.1:7000", echo)
	serveUDP(t, "[2001:db8::1]:7000", echo)
	out, errs := inBox(t, nil,
		"tcp=192.0.2.1:7000", "tcp=[2001:db8::1]:7000", // and the box's half-close arrives
		"udp=192.0.2.1:7000,1", "udp=[2001:db8::1]:7000,1400",
		"udp=192.0.2.1:7000,60000", "udp=[2001:db8::1]:7000,60000", // in fragments
		"ping=ip4,192.0.2.1", "ping=ip6,2001:db8::1")
	lines(t, out, "hello", "hello", "1", "1400", "60000", "60000", "pong", "pong")
	if errs != "" {
		t.Errorf("it says %q", errs)
	}
	// Not everybody at once on a network of the host's.
	serveUDP(t, "0.0.0.0:7002", echo)
	out, _ = inBox(t, nil, "udp=192.0.2.1:7002", "udp=192.0.2.255:7002")
	lines(t, out, "1", "EHOSTUNREACH")
	// The gateway and the resolver are there to be pinged.
	out, _ = inBox(t, nil, "ping=ip4,10.0.2.2", "ping=ip4,10.0.2.3", "ping=ip6,fd6e:6f62:6f78::2", "ping=ip6,fd6e:6f62:6f78::3")
	lines(t, out, "pong", "pong", "pong", "pong")
	// Who has no CAP_NET_RAW pings without.
	out, _ = inBox(t, []string{"--cap-drop", "NET_RAW"}, "ping=ip4,192.0.2.1", "echo=192.0.2.1", "echo=2001:db8::1", "echo=10.0.2.2")
	lines(t, out, "EPERM", "pong", "pong", "pong")
	// What is refused outside is refused inside, and what is out of reach says so.
	out, _ = inBox(t, nil, "tcp=192.0.2.1:7001", "udp=192.0.2.1:7001", "tcp=198.51.100.1:7000", "tcp=[2001:db8:1::1]:7000", "ping=ip4,198.51.100.1")
	lines(t, out, "ECONNREFUSED", "ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "unreachable 0")
}

func TestABoxDoesNotReachTheHostsLoopback(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "127.0.0.1:7000")
	serve(t, "[::1]:7000")
	if have := doClient("tcp", "127.0.0.1:7000"); have != "hello" {
		t.Fatalf("the server says %q", have)
	}
	out, _ := inBox(t, nil,
		"tcp=10.0.2.2:7000", "tcp=10.0.2.3:7000", "tcp=[fd6e:6f62:6f78::2]:7000", // the host's names for itself
		"tcp=169.254.169.254:80", "tcp=[::ffff:7f00:1]:7000", "tcp=[64:ff9b::7f00:1]:7000", "tcp=[2002:7f00:1::1]:7000",
		"udp=10.0.2.2:7000", "udp=169.254.1.1:53", "tcp=127.0.0.1:7000", "tcp=0.0.0.0:7000", "ping=ip4,169.254.169.254")
	lines(t, out, "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED",
		"ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED",
		"ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "unreachable 13")
}

func TestNamesAreThoseOfTheHostsResolverAsItChanges(t *testing.T) {
	if !inLab(t) {
		return
	}
	serveUDP(t, "192.0.2.1:53", names(map[string][]string{"a.test": {"192.0.2.7", "2001:db8::7"}, "four.test": {"192.0.2.8"}}))
	out, _ := inBox(t, nil, "name=ip4,a.test", "name=ip6,a.test", "name=ip,four.test", "name=ip,none.test", "name=ip4,host.nobox.internal")
	lines(t, out, "[192.0.2.7]", "[2001:db8::7]", "[192.0.2.8]", "no such name", "[10.0.2.2]")

	// A VPN comes up while a box runs: another server, in a file that takes the
	// place of the other.
	serveUDP(t, "[2001:db8::1]:53", names(map[string][]string{"a.test": {"192.0.2.9"}}))
	l, err := net.Listen("tcp", "192.0.2.1:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.ReadAll(c)
		err = os.WriteFile("/etc/resolv.conf", []byte("nameserver 2001:db8::1\n"), 0o644)
		fmt.Fprintln(c, "changed", err)
	}()
	out, _ = inBox(t, nil, "name=ip4,a.test", "tcp=192.0.2.1:7000", "name=ip4,a.test")
	lines(t, out, "[192.0.2.7]", "changed <nil>", "[192.0.2.9]")
}

func TestAResolverThatIsGoneIsSaidInTime(t *testing.T) {
	if !inLab(t) {
		return
	}
	start := time.Now()
	out, _ := inBox(t, nil, "name=ip4,a.test") // nobody listens
	lines(t, out, "no answer")
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("a resolver that is not there took %v", d)
	}
}

func TestTheFirstConnectSucceeds(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	n := 100
	if v, err := strconv.Atoi(os.Getenv("NOBOX_CONNECTS")); err == nil {
		n = v
	}
	for i := range n {
		if out, errs := inBox(t, nil, "tcp=192.0.2.1:7000"); out != "hello" {
			t.Fatalf("box %d: %q %s", i, out, errs)
		}
	}
	t.Logf("%d of %d first connects", n, n)
}

func TestTenThousandConnectionsOneAfterTheOtherAndAThousandAtOnce(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	out, _ := inBox(t, nil, "connects=192.0.2.1:7000,10000", "open=192.0.2.1:7000,1000", "tcp=192.0.2.1:7000")
	lines(t, out, "all", "all", "hello")
}

func TestAnAllowListIsAllThatABoxReaches(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:443")
	serve(t, "192.0.2.1:8443")
	serve(t, "[2001:db8::1]:443")
	echo := func(b []byte) []byte { return b }
	serveUDP(t, "192.0.2.1:443", echo)
	zone := names(map[string][]string{
		"ok.test": {"192.0.2.1", "2001:db8::1"}, "www.sub.test": {"192.0.2.1"}, "evil.test": {"192.0.2.1"},
		"rebind.sub.test": {"127.0.0.1"}, "inner.sub.test": {"10.9.9.9"}, "meta.sub.test": {"169.254.169.254"},
	})
	serveUDP(t, "192.0.2.1:53", zone)

	// By address alone, before any name gave it: refused, and at once.
	start := time.Now()
	out, errs := inBox(t, []string{"--allow-host", "ok.test:443", "--allow-host", "*.sub.test"},
		"tcp=192.0.2.1:443", "udp=192.0.2.1:443", "ping=ip4,192.0.2.1",
		"name=ip,evil.test", "name=ip,sub.test",
		"name=ip4,ok.test", "tcp=192.0.2.1:443", "udp=192.0.2.1:443", "tcp=192.0.2.1:8443", "tcp=[2001:db8::1]:443",
		"name=ip4,OK.tESt.", "udp=192.0.2.1:53", "tcp=192.0.2.1:853")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	lines(t, out, "ECONNREFUSED", "ECONNREFUSED", "unreachable 13",
		"no such name", "no such name",
		"[192.0.2.1]", "hello", "1", "ECONNREFUSED", "ECONNREFUSED",
		"[192.0.2.1]", "ECONNREFUSED", "ECONNREFUSED")
	for _, want := range []string{
		"nobox: refused 192.0.2.1:443 (no --allow-host matches)\n", "nobox: refused evil.test (no --allow-host matches)\n",
		"nobox: refused sub.test (no --allow-host matches)\n", "nobox: refused ok.test:8443 (no --allow-host matches)\n",
		"nobox: refused ok.test:53 (another resolver than the box's own)\n",
	} {
		if strings.Count(errs, want) != 1 {
			t.Errorf("%q is said %d times in\n%s", want, strings.Count(errs, want), errs)
		}
	}

	// What an allowed name leads to is looked at, not only the name.
	serve(t, "127.0.0.1:7000")
	out, errs = inBox(t, []string{"--allow-host", "*.sub.test"},
		"name=ip4,rebind.sub.test", "name=ip4,inner.sub.test", "tcp=10.9.9.9:443", "name=ip4,meta.sub.test", "tcp=169.254.169.254:80",
		"tcp=[::ffff:c000:201]:443", "name=ip4,www.sub.test", "tcp=192.0.2.1:8443")
	lines(t, out, "[127.0.0.1]", "[10.9.9.9]", "ECONNREFUSED", "[169.254.169.254]", "ECONNREFUSED", "ECONNREFUSED", "[192.0.2.1]", "hello")
	if !strings.Contains(errs, "refused inner.sub.test:443 (its address 10.9.9.9 is private") || !strings.Contains(errs, "refused meta.sub.test:80 (link-local)") {
		t.Error(errs)
	}

	// Addresses, and what is denied comes first.
	out, _ = inBox(t, []string{"--allow-host", "192.0.2.0/24", "--deny-host", "192.0.2.1:8443"}, "tcp=192.0.2.1:443", "tcp=192.0.2.1:8443", "udp=192.0.2.1:53", "tcp=[2001:db8::1]:443")
	lines(t, out, "hello", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED")
	out, _ = inBox(t, []string{"--deny-host", "evil.test"}, "name=ip4,evil.test", "name=ip4,ok.test", "tcp=192.0.2.1:443", "udp=192.0.2.1:53")
	lines(t, out, "no such name", "[192.0.2.1]", "hello", "ECONNREFUSED")
}

func TestAPortOfTheHostsLoopbackIsOpenedByName(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "127.0.0.1:7000")
	serve(t, "127.0.0.1:7001")
	log := filepath.Join(t.TempDir(), "log")
	out, errs := inBox(t, []string{"--host-port", "7000", "--net-log", log, "--add-host", "db:host-gateway", "--mtu", "9000"},
		"tcp=host.nobox.internal:7000", "tcp=host.nobox.internal:7001", "tcp=db:7000", "tcp=10.0.2.2:7000", "tcp=127.0.0.1:7000")
	lines(t, out, "hello", "ECONNREFUSED", "hello", "hello", "ECONNREFUSED")
	if errs != "" {
		t.Errorf("it says %q", errs)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"host.nobox.internal","address":"10.0.2.2","port":7000,"sent":6,"received":6,"verdict":"allowed"`,
		`"port":7001,"sent":0,"received":0,"verdict":"refused"`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in\n%s", want, b)
		}
	}
}

// A policy that nobody applies would be none.
func TestAPolicyGoesWithTheNetworkThatAppliesIt(t *testing.T) {
	asUser(t)
	for _, net := range []string{"none", "host"} {
		out, err := exec.Command(nobox, "--net="+net, "--allow-host", "example.com", "--", "true").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 125 || !strings.Contains(string(out), "cannot set up the network (--allow-host): it goes with --net=user alone") {
			t.Errorf("--net=%s: %v %s", net, err, out)
		}
	}
}

// memory is the most that the network's process of a nobox has taken so far, in
// MiB, and what it takes of its own now.
func memory(t *testing.T, nobox int) int {
	t.Helper()
	for _, pid := range children(t, nobox) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if !strings.HasPrefix(string(line), "nobox-net") {
			continue
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(l, "VmHWM:"); ok {
				kb, _ := strconv.Atoi(strings.Fields(v)[0])
				return kb / 1024
			}
		}
	}
	t.Fatal("there is no network's process")
	return 0
}

// A box cannot grow the network's process by anything that it sends, nor by
// what it does not read.
func TestTheNetworksProcessStaysSmall(t *testing.T) {
	if !inLab(t) {
		return
	}
	// One server never reads, the other never stops.
	deaf, err := net.Listen("tcp", "192.0.2.1:7000")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	loud, err := net.Listen("tcp", "192.0.2.1:7001")
	if err != nil {
		t.Fatal(err)
	}
	defer loud.Close()
	hold := func(l net.Listener, f func(net.Conn)) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			go f(c)
		}
	}
	go hold(deaf, func(net.Conn) {})
	go hold(loud, func(c net.Conn) {
		for b := make([]byte, 64<<10); ; {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// More than there may be: as many as there are.
	for _, what := range []string{"flood=192.0.2.1:7000,1000", "deaf=192.0.2.1:7001,2100", "flood=192.0.2.1:7000,1"} {
		c := exec.Command(nobox, "-r", "--net=user", "--cwd=hidden", "--ulimit", "nofile=4096", "-v", exe+":"+exe+":ro", "--", exe, clientOf, what)
		in, s := piped(t, c, os.Stderr)
		s.Scan()
		mib := memory(t, c.Process.Pid)
		t.Logf("%s: %s connections, %d MiB at most", what, s.Text(), mib)
		if mib > 64 {
			t.Errorf("%s takes %d MiB", what, mib)
		}
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}
