package netstack

import (
	"errors"
	"net/netip"
)

// errRefused is a destination that the policy does not let the box reach.
var errRefused = errors.New("refused by policy")

// reach is where on the host's network something goes that the box sent to an
// address.
func (n *network) reach(proto string, to netip.AddrPort) target {
	a := to.Addr()
	if has(n.config.Gateways, a) {
		return target{err: errRefused}
	}
	if kind := closed(a); kind != "" {
		return target{err: errRefused}
	}
	return target{addr: netip.AddrPortFrom(a.Unmap(), to.Port())}
}

// closed says what kind of address it is that no box reaches unless a flag
// opens it, "" for the others. An IPv4 address may hide in one of IPv6.
func closed(a netip.Addr) string {
	for _, x := range [...]netip.Addr{a, embedded(a)} {
		switch {
		case !x.IsValid():
		case x.IsLoopback(), x.IsUnspecified(), x.Is4() && x.As4()[0] == 127, x.Is4() && x.As4()[0] == 0:
			return "the host's loopback"
		case x.IsLinkLocalUnicast(), x.IsLinkLocalMulticast(), x.IsInterfaceLocalMulticast():
			return "link-local"
		case x.IsMulticast():
			return "multicast"
		case x.Is4() && x.As4() == [4]byte{255, 255, 255, 255}:
			return "broadcast"
		}
	}
	return ""
}

// embedded is the IPv4 address that an address of IPv6 stands for: mapped or
// compatible (RFC 4291, 2.5.5), translated (RFC 6052 and RFC 8215, RFC 2765) or
// 6to4 (RFC 3056).
func embedded(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.Addr{}
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:16]))
	switch {
	case a.Is4In6():
		return last
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b:
		return last
	case allZero(b[:12]) && b[12] != 0, allZero(b[:8]) && b[8] == 0xff && b[9] == 0xff && b[10] == 0 && b[11] == 0:
		return last
	}
	return netip.Addr{}
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
