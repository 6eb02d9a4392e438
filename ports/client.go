package ports

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where servers are to see who their clients are the forwarder connects to them
// from the client's own address, which is not the box's (ip(7), IP_TRANSPARENT;
// it takes CAP_NET_RAW in the box's network). What they answer the box's routes
// lead back: plan.ClientRoutes.

// clientOf is who a connection comes from, the zero one where servers are not to
// see that, or where it is nobody that an address says something of.
func clientOf(c stream, visible bool) netip.AddrPort {
	t, ok := c.RemoteAddr().(*net.TCPAddr)
	if !visible || !ok {
		return netip.AddrPort{}
	}
	a := t.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// order are the addresses inside, those of the client's family first.
func order(client netip.AddrPort) []netip.Addr {
	if client.IsValid() && client.Addr().Is6() {
		return []netip.Addr{inside[1], inside[0]}
	}
	return inside[:]
}

// dialAs connects from a client's address if the two can be of one connection,
// else from one of the box's own.
func dialAs(d net.Dialer, network string, client, to netip.AddrPort) (net.Conn, error) {
	if !client.IsValid() || client.Addr().IsLoopback() || client.Addr().Is4() != to.Addr().Is4() {
		return d.Dial(network, to.String())
	}
	d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) {
			if client.Addr().Is4() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TRANSPARENT, 1)
			}
		}); e != nil {
			return e
		}
		return err
	}
	var err error
	// The same port, unless it was used a moment ago.
	for _, port := range [...]uint16{client.Port(), 0} {
		from := netip.AddrPortFrom(client.Addr(), port)
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
		var c net.Conn
		if c, err = d.Dial(network, to.String()); err == nil {
			return c, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	return nil, err
}
