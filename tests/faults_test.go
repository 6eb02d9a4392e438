package tests

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Faults of the network, in the lab of network_test.go: what goes wrong outside,
// and what a box does that it should not. A box that runs asks for a change by
// connecting to a server of the test's (onConnect).

// onConnect makes a change when a box connects, and then tells it.
func onConnect(t *testing.T, address string, change func() string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	connections(t, l, err, func(c net.Conn) {
		io.ReadAll(c)
		fmt.Fprintln(c, change())
		c.Close()
	})
}

// ip runs ip(8) in the lab, and says what is wrong, "ok" for nothing.
func ip(args ...string) string {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Sprint(err, string(out))
	}
	return "ok"
}

// soon says whether something that must not wait did not.
func soon(t *testing.T, what string, most time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > most {
		t.Errorf("%s took %v", what, d)
	}
}

// doFault is what the client of network_test.go can do besides.
func doFault(what, arg string) (string, bool) {
	said := func(s string, err error) (string, bool) {
		if err != nil {
			return errnoName(err), true
		}
		return s, true
	}
	to, rest, _ := strings.Cut(arg, ",")
	n, _ := strconv.Atoi(rest)
	switch what {
	case "hear": // what the other side says until it says no more, then answer it
		c, err := net.DialTimeout("tcp", to, 10*time.Second)
		if err != nil {
			return said("", err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		b, err := io.ReadAll(c)
		if err == nil {
			_, err = fmt.Fprintln(c, "after")
		}
		return said(strings.TrimSpace(string(b)), err)
	case "reset": // connect, and end it hard
		c, err := net.DialTimeout("tcp", to, 10*time.Second)
		if err != nil {
			return said("", err)
		}
		fmt.Fprintln(c, "x")
		c.(*net.TCPConn).SetLinger(0)
		return said("reset", c.Close())
	case "many": // open so many, each used once all are open; how many could be
		var cs []net.Conn
		first := "none"
		for range n {
			c, err := net.DialTimeout("tcp", to, 10*time.Second)
			if err != nil {
				first = errnoName(err)
				break
			}
			cs = append(cs, c)
		}
		good := 0
		for _, c := range cs {
			c.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintln(c, "hello")
			c.(*net.TCPConn).CloseWrite()
			if b, err := io.ReadAll(c); err == nil && strings.TrimSpace(string(b)) == "hello" {
				good++
			}
			c.Close()
		}
		return fmt.Sprintf("%d open, %d good, then %s", len(cs), good, first), true
	case "udpflood": // datagrams to so many ports, of all sizes
		host, _, _ := net.SplitHostPort(to)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return said("", err)
		}
		defer unix.Close(fd)
		sa := &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(host).To4())}
		b := make([]byte, 60000)
		for i := range n {
			sa.Port = 1 + i%65535
			unix.Sendto(fd, b[:1+(i*977)%len(b)], 0, sa)
		}
		return "sent", true
	case "garbage": // IP packets of chance, as root inside may make them
		var fds [2]int
		for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
			fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			if err != nil {
				return said("", err)
			}
			defer unix.Close(fd)
			fds[i] = fd
		}
		r := rand.New(rand.NewPCG(1, uint64(n)))
		dst := [4]byte{192, 0, 2, 1}
		sent := 0
		for i := range n {
			b := make([]byte, 40+r.IntN(1400))
			for j := range b {
				b[j] = byte(r.Uint32())
			}
			var err error
			if i%3 == 2 {
				b[0], b[6] = 0x60|b[0]&15, []byte{6, 17, 58, 44, 0, 43, 60, b[6]}[r.IntN(8)]
				copy(b[24:], net.ParseIP(host6))
				err = unix.Sendto(fds[1], b, 0, &unix.SockaddrInet6{Addr: [16]byte(net.ParseIP(host6))})
			} else {
				b[0], b[9] = 0x45|byte(r.IntN(11)), []byte{6, 17, 1, 2, b[9]}[r.IntN(5)]
				copy(b[16:], dst[:])
				if r.IntN(4) > 0 { // some whole ones
					b[0], b[6], b[7] = 0x45, 0, 0
				}
				err = unix.Sendto(fds[0], b, 0, &unix.SockaddrInet4{Addr: dst})
			}
			if err == nil {
				sent++
			}
		}
		return fmt.Sprint("sent most: ", sent > n/2), true
	case "segments": // many datagrams by one call, which the device takes apart; udp(7)
		c, err := net.Dial("udp", to)
		if err != nil {
			return said("", err)
		}
		defer c.Close()
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			return said("", err)
		}
		raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1000) })
		if err != nil {
			return said("", err)
		}
		if _, err := c.Write(make([]byte, n)); err != nil {
			return said("", err)
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		b, count, bytes := make([]byte, 1<<16), 0, 0
		for bytes < n {
			k, err := c.Read(b)
			if err != nil {
				break
			}
			count, bytes = count+1, bytes+k
		}
		return fmt.Sprintf("%d datagrams, %d bytes", count, bytes), true
	case "say": // one datagram, and wait for nothing
		c, err := net.Dial("udp", to)
		if err == nil {
			_, err = c.Write([]byte("x"))
		}
		return said("said", err)
	case "hold": // open so many, and keep them until stdin ends
		var cs []net.Conn
		for range n {
			c, err := net.DialTimeout("tcp", to, 10*time.Second)
			if err != nil {
				return said("", err)
			}
			cs = append(cs, c)
		}
		fmt.Println("open")
		io.Copy(io.Discard, os.Stdin)
		return fmt.Sprint(len(cs)), true
	}
	return "", false
}

func TestAHostThatIsOfflineIsSaidAtOnceAndNoticedWhenItIsBack(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serveUDP(t, "192.0.2.1:53", names(map[string][]string{"a.test": {"192.0.2.7"}}))
	// The box has a port of the host's loopback to be told by.
	onConnect(t, "127.0.0.1:7001", func() string { return ip("link", "set", "eth0", "down") })
	onConnect(t, "127.0.0.1:7002", func() string {
		return ip("link", "set", "eth0", "up") + ip("addr", "replace", host6+"/64", "dev", "eth0", "nodad")
	})
	if s := ip("route", "add", "default", "via", "192.0.2.254"); s != "ok" {
		t.Fatal(s)
	}
	soon(t, "the box", 20*time.Second, func() {
		out, _ := inBox(t, []string{"--host-port", "7001", "--host-port", "7002"},
			"tcp=192.0.2.1:7000", "tcp=10.0.2.2:7001", "tcp=198.51.100.1:80", "udp=198.51.100.1:80", "tcp=[2001:db8:1::1]:80", "ping=ip4,198.51.100.1",
			"tcp=10.0.2.2:7002", "tcp=192.0.2.1:7000", "name=ip4,a.test")
		lines(t, out, "hello", "ok", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "unreachable 0", "okok", "hello", "[192.0.2.7]")
	})
}

func TestAddressesThatChangeWhileABoxRunsAreFollowed(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "0.0.0.0:7000")
	onConnect(t, "127.0.0.1:7001", func() string {
		return ip("addr", "add", "203.0.113.1/24", "dev", "eth0") + ip("addr", "del", host4+"/24", "dev", "eth0")
	})
	out, _ := inBox(t, []string{"--host-port", "7001"},
		"tcp=192.0.2.1:7000", "tcp=203.0.113.1:7000", "udp=203.0.113.1:7000", "tcp=10.0.2.2:7001", "tcp=203.0.113.1:7000", "tcp=192.0.2.1:7000")
	lines(t, out, "hello", "ENETUNREACH", "ENETUNREACH", "okok", "hello", "ENETUNREACH")
}

func TestAHostWithoutIPv6IsSaidAtOnce(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serveUDP(t, "192.0.2.1:53", names(map[string][]string{"both.test": {"192.0.2.1", "2001:db8::1"}, "six.test": {"2001:db8::1"}}))
	for _, dev := range []string{"eth0", "eth1"} {
		if s := ip("-6", "addr", "flush", "dev", dev); s != "ok" {
			t.Fatal(s)
		}
	}
	soon(t, "it", 5*time.Second, func() {
		out, _ := inBox(t, nil, "tcp=[2001:db8::1]:7000", "udp=[2001:db8::1]:7000", "ping=ip6,2001:db8::1", "tcp=six.test:7000", "tcp=both.test:7000", "name=ip6,six.test")
		lines(t, out, "ENETUNREACH", "ECONNREFUSED", "unreachable 0", "ENETUNREACH", "hello", "[2001:db8::1]")
	})
}

func TestAResolverMayBeSlowDeadOrSpeakTCPAlone(t *testing.T) {
	if !inLab(t) {
		return
	}
	zone := names(map[string][]string{"a.test": {"192.0.2.7"}, "six.test": {"2001:db8::7"}, "host.corp.test": {"192.0.2.8"}})
	serveUDP(t, "192.0.2.1:53", func(q []byte) []byte {
		time.Sleep(700 * time.Millisecond) // as slow as that
		return zone(q)
	})
	soon(t, "a slow one", 6*time.Second, func() {
		out, _ := inBox(t, nil, "name=ip4,a.test")
		lines(t, out, "[192.0.2.7]")
	})
	// The first does not answer, the second is systemd-resolved's, on loopback.
	dead, err := net.ListenPacket("udp", "192.0.2.1:5399")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	if s := ip("addr", "add", "192.0.2.9/24", "dev", "eth0"); s != "ok" {
		t.Fatal(s)
	}
	mute, err := net.ListenPacket("udp", "192.0.2.9:53")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	serveUDP(t, "127.0.0.53:53", zone)
	if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver 192.0.2.9\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	soon(t, "a dead one", 8*time.Second, func() {
		out, _ := inBox(t, nil, "name=ip4,a.test", "name=ip4,a.test", "name=ip4,host", "name=ip,six.test")
		lines(t, out, "[192.0.2.7]", "[192.0.2.7]", "[192.0.2.8]", "[2001:db8::7]")
	})
}

func TestAnAnswerThatFitsNoDatagramComesByTCP(t *testing.T) {
	if !inLab(t) {
		return
	}
	var all []string
	for i := range 200 {
		all = append(all, fmt.Sprintf("192.0.2.%d", i+1))
	}
	zone := names(map[string][]string{"big.test": all})
	serveUDP(t, "192.0.2.1:53", func(q []byte) []byte { // truncated
		var p dnsmessage.Parser
		h, err := p.Start(q)
		if err != nil {
			return nil
		}
		question, err := p.Question()
		if err != nil {
			return nil
		}
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: h.ID, Response: true, Truncated: true})
		b.StartQuestions()
		b.Question(question)
		m, _ := b.Finish()
		return m
	})
	l, err := net.Listen("tcp", "192.0.2.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					var n [2]byte
					if _, err := io.ReadFull(c, n[:]); err != nil {
						return
					}
					q := make([]byte, binary.BigEndian.Uint16(n[:]))
					if _, err := io.ReadFull(c, q); err != nil {
						return
					}
					a := zone(q)
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
				}
			}()
		}
	}()
	out, _ := inBox(t, nil, "name=ip4,big.test")
	if n := strings.Count(out, "192.0.2."); n != 200 {
		t.Errorf("%d of 200 addresses: %s", n, out)
	}
	// And what such an answer gave is what a policy lets pass.
	serve(t, "192.0.2.1:7000")
	out, _ = inBox(t, []string{"--allow-host", "big.test"}, "tcp=192.0.2.1:7000", "name=ip4,big.test", "tcp=192.0.2.1:7000")
	if !strings.HasPrefix(out, "ECONNREFUSED\n") || !strings.HasSuffix(out, "\nhello") {
		t.Error(out)
	}
}

func TestHalfClosedAndResetConnectionsAreSoOnBothSides(t *testing.T) {
	if !inLab(t) {
		return
	}
	after, reset := make(chan string, 1), make(chan string, 1) // nothing orders two connections
	accept := func(address string, f func(*net.TCPConn)) {
		l, err := net.Listen("tcp", address)
		connections(t, l, err, func(c net.Conn) { go f(c.(*net.TCPConn)) })
	}
	// The server says its last word first.
	accept("192.0.2.1:7000", func(c *net.TCPConn) {
		fmt.Fprintln(c, "before")
		c.CloseWrite()
		b, err := io.ReadAll(c)
		after <- fmt.Sprint(strings.TrimSpace(string(b)), err)
		c.Close()
	})
	// It resets.
	accept("192.0.2.1:7001", func(c *net.TCPConn) {
		c.Read(make([]byte, 100))
		c.SetLinger(0)
		c.Close()
	})
	// It is reset.
	accept("192.0.2.1:7002", func(c *net.TCPConn) {
		var b [100]byte
		var err error
		for err == nil {
			_, err = c.Read(b[:])
		}
		reset <- errnoName(err)
		c.Close()
	})
	out, _ := inBox(t, nil, "hear=192.0.2.1:7000", "tcp=192.0.2.1:7001", "reset=192.0.2.1:7002", "tcp=192.0.2.1:7003")
	lines(t, out, "before", "ECONNRESET", "reset", "ECONNREFUSED")
	for want, heard := range map[string]chan string{"after<nil>": after, "ECONNRESET": reset} {
		select {
		case got := <-heard:
			if got != want {
				t.Errorf("the server heard %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the server did not hear %q", want)
		}
	}
}

func TestAsManyConnectionsAtOnceAsThereMayBeAndThenNoMore(t *testing.T) {
	if !inLab(t) {
		return
	}
	var files unix.Rlimit
	unix.Getrlimit(unix.RLIMIT_NOFILE, &files)
	if files.Max < 5000 {
		t.Logf("a limit of %d files", files.Max)
	}
	serve(t, "192.0.2.1:7000")
	// One more than there may be is reset, those that are open are good, and when
	// they are closed there is room.
	out, _ := inBox(t, []string{"--ulimit", "nofile=4096"}, "many=192.0.2.1:7000,2100", "tcp=192.0.2.1:7000")
	lines(t, out, "1536 open, 1536 good, then ECONNREFUSED", "hello")
}

func TestANetworkWithoutDescriptorsComesBack(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serveUDP(t, "192.0.2.1:7000", func(b []byte) []byte { return b })
	old := nobox
	defer func() { nobox = old }()
	// Few descriptors for all of nobox's, many for what is inside.
	low := t.TempDir() + "/low"
	if err := os.WriteFile(low, []byte("#!/bin/sh\nulimit -n 200\nexec "+old+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	nobox = low
	out, errs := inBox(t, nil, "many=192.0.2.1:7000,190", "udpflood=192.0.2.1:0,2000", "tcp=192.0.2.1:7000", "udp=192.0.2.1:7000,10")
	var open, good int
	var then string
	if _, err := fmt.Sscanf(out, "%d open, %d good, then %s", &open, &good, &then); err != nil || open < 100 || good != open {
		t.Errorf("%s %v", out, err)
	}
	if !strings.HasSuffix(out, "\nsent\nhello\n10") {
		t.Errorf("it does not come back: %s %s", out, errs)
	}
}

func TestAFloodOfDatagramsAndFramesOfChanceDoNoHarm(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serveUDP(t, "192.0.2.1:7000", func(b []byte) []byte { return b })
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(nobox, "-r", "--net=user", "--cwd=hidden", "-v", exe+":"+exe+":ro", "--", exe, clientOf,
		"udpflood=192.0.2.1:0,30000", "garbage=192.0.2.1,10000", "tcp=192.0.2.1:7000", "udp=192.0.2.1:7000,1400", "hold=192.0.2.1:7000,10")
	var errs strings.Builder
	in, s := piped(t, c, &errs)
	for _, want := range []string{"sent", "sent most: true", "hello", "1400", "open"} {
		if s.Scan(); s.Text() != want {
			t.Errorf("%q, want %q", s.Text(), want)
		}
	}
	mib := memory(t, c.Process.Pid)
	t.Logf("%d MiB at most", mib)
	if mib > 64 {
		t.Errorf("it takes %d MiB", mib)
	}
	in.Close()
	for s.Scan() {
	}
	if err := c.Wait(); err != nil {
		t.Error(err, errs.String())
	}
	if strings.Contains(errs.String(), "network's process") {
		t.Error(errs.String())
	}
}

func TestDatagramsThatAreSentByOneCallArriveOneByOne(t *testing.T) {
	if !inLab(t) {
		return
	}
	echo := func(b []byte) []byte { return b }
	serveUDP(t, "192.0.2.1:7000", echo)
	serveUDP(t, "[2001:db8::1]:7000", echo)
	out, _ := inBox(t, nil, "segments=192.0.2.1:7000,10500", "segments=[2001:db8::1]:7000,10500")
	lines(t, out, "11 datagrams, 10500 bytes", "11 datagrams, 10500 bytes")
}

func TestWhatABoxSendsLastGoesOn(t *testing.T) {
	if !inLab(t) {
		return
	}
	heard := make(chan struct{}, 100)
	serveUDP(t, "192.0.2.1:7000", func([]byte) []byte { heard <- struct{}{}; return nil })
	for i := range 20 {
		// Its first packet is its last.
		out, _ := inBox(t, nil, "say=192.0.2.1:7000")
		lines(t, out, "said")
		select {
		case <-heard:
		case <-time.After(2 * time.Second):
			t.Errorf("datagram %d is lost", i)
		}
	}
}

// The network's process gets its turn late, as on a machine with much to do:
// what the box sent goes on, and where it sent nothing nobody waits for it.
func TestWhatABoxSendsLastWaitsForTheNetworksProcess(t *testing.T) {
	if !inLab(t) {
		return
	}
	heard := make(chan struct{}, 1)
	serveUDP(t, "192.0.2.1:7000", func([]byte) []byte { heard <- struct{}{}; return nil })
	late(t, "echo x >/dev/udp/192.0.2.1/7000")
	select {
	case <-heard:
	case <-time.After(2 * time.Second):
		t.Error("the datagram is lost")
	}
	if d := late(t, ":"); d > time.Second {
		t.Errorf("a box that sent nothing took %v to end", d)
	}
}

// piped starts a command whose stdin is the first result, and whose lines are the second's.
func piped(t *testing.T, c *exec.Cmd, stderr io.Writer) (io.WriteCloser, *bufio.Scanner) {
	t.Helper()
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewScanner(out)
}

// late stops the network's process of a box, has the box do something and end,
// and has the process go on after that. It returns how long nobox takes from then.
func late(t *testing.T, do string) time.Duration {
	t.Helper()
	c := exec.Command(nobox, "-r", "--net=user", "--cwd=hidden", "--", "bash", "-c", "echo up; read -r; "+do)
	in, out := piped(t, c, os.Stderr)
	out.Scan()
	// Of nobox's children pid 1 of the box alone has children.
	var stopped []int
	box := 0
	for _, pid := range children(t, c.Process.Pid) {
		if len(children(t, pid)) > 0 {
			box = pid
			continue
		}
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped = append(stopped, pid)
	}
	pidfd, err := unix.PidfdOpen(box, 0)
	if err != nil || len(stopped) == 0 {
		t.Fatalf("box %d, others %v: %v", box, stopped, err)
	}
	defer unix.Close(pidfd)
	fmt.Fprintln(in)
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
			break
		}
	}
	time.Sleep(600 * time.Millisecond) // the delay itself
	start := time.Now()
	for _, pid := range stopped {
		unix.Kill(pid, unix.SIGCONT)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	return time.Since(start)
}

// A connection and a flow that end with the box are in the log as well.
func TestTheLogHasWhatEndsWithTheBox(t *testing.T) {
	if !inLab(t) {
		return
	}
	serve(t, "192.0.2.1:7000")
	serveUDP(t, "192.0.2.1:7000", func([]byte) []byte { return nil })
	log := filepath.Join(t.TempDir(), "log")
	out, err := exec.Command(nobox, "-r", "--net=user", "--cwd=hidden", "--net-log", log, "--", "bash", "-c",
		"exec 3<>/dev/tcp/192.0.2.1/7000; echo hello >&3; read -r -u 3; echo x >/dev/udp/192.0.2.1/7000; kill -9 $$").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+9 {
		t.Errorf("%v %s", err, out)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"proto":"tcp","name":"","address":"192.0.2.1","port":7000,"sent":6,"received":6,"verdict":"allowed"`,
		`"proto":"udp","name":"","address":"192.0.2.1","port":7000,"sent":2,"received":0,"verdict":"allowed"`,
	} {
		if strings.Count(string(b), want) != 1 {
			t.Errorf("%s is not once in\n%s", want, b)
		}
	}
}

// The network's process starts with the box's first packet: what fails then is
// said in a line, and what would help in another, and nothing waits.
func TestANetworkThatCannotStartIsSaidWithWhatWouldHelp(t *testing.T) {
	asUser(t)
	need(t, "userns", "strace", "bash")
	for _, fault := range []struct{ inject, cause, hint string }{
		{"memfd_create:error=ENOMEM", "cannot allocate memory", "nobox: hint: the machine, or the cgroup that nobox runs in, has no memory left"},
		{"execveat:error=ENOMEM", "cannot allocate memory", "nobox: hint: the machine, or the cgroup that nobox runs in, has no memory left"},
		{"memfd_create:error=EACCES", "permission denied", ""},
		{"memfd_create:error=EMFILE", "too many open files", ""},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		c := exec.CommandContext(ctx, "strace", "-f", "-o", "/dev/null", "-e", "trace=memfd_create,execveat", "-e", "inject="+fault.inject,
			nobox, "-r", "--net=user", "--cwd=hidden", "--", "bash", "-c", "{ : </dev/tcp/192.0.2.1/7; } 2>/dev/null || echo refused")
		out, err := c.CombinedOutput()
		cancel()
		said := "nobox: cannot start the network's process: " + fault.cause + "; the box has no network any more\n"
		if s := string(out); err != nil || strings.Count(s, said) != 1 || !strings.Contains(s, "refused\n") || !strings.Contains(s, fault.hint) || fault.hint == "" && strings.Contains(s, "hint") {
			t.Errorf("%s: %v\n%s", fault.inject, err, s)
		}
	}
}
