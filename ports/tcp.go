package ports

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// inside are the addresses that a server of the box may be found at, in the
// order in which they are tried: one that listens on ::1 alone is there as well.
var inside = [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// dialTimeout is for a server that does not accept: the queue of its socket is
// full then.
const dialTimeout = 10 * time.Second

// acceptPause is how long the forwarder waits where it has no descriptor left
// for one more connection: clients wait in the queue.
const acceptPause = 20 * time.Millisecond

// A stream is a connected socket, one of the two.
type stream interface {
	net.Conn
	CloseWrite() error
}

func serveTCP(l net.Listener, port uint16, visible bool) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			go carry(c.(stream), port, visible)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// ECONNABORTED is the client's matter; EMFILE, ENFILE, ENOBUFS and
			// ENOMEM pass.
			time.Sleep(acceptPause)
		}
	}
}

// carry joins a client with the server in the box.
func carry(client stream, port uint16, visible bool) {
	server, err := dial(port, clientOf(client, visible))
	if err != nil {
		reset(client)
		return
	}
	done := make(chan struct{})
	go func() {
		forward(server, client)
		close(done)
	}()
	forward(client, server)
	<-done
	client.Close()
	server.Close()
}

func dial(port uint16, client netip.AddrPort) (stream, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: -1}
	var first error
	for _, a := range order(client) {
		c, err := dialAs(d, "tcp", client, netip.AddrPortFrom(a, port))
		if err == nil {
			return c.(stream), nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, unix.ECONNREFUSED) {
			break
		}
	}
	return nil, first
}

// forward copies from src to dst until src ends, and passes the end on: the
// other direction goes on. What ends in any other way ends both at once.
func forward(dst, src stream) {
	_, err := io.Copy(dst, src) // splice(2)
	if err == nil {
		err = dst.CloseWrite()
		if errors.Is(err, unix.ENOTCONN) {
			err = nil // it ended its side and was reset meanwhile
		}
	}
	if err != nil {
		reset(dst)
		reset(src)
	}
}

// reset closes c so that its peer learns that it is no orderly end.
func reset(c stream) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}
