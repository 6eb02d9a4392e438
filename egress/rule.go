package egress

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// A Rule matches names or addresses, and ports.
type Rule struct {
	Name      string       // in small letters, without a dot at the end; "" for addresses
	Below     bool         // what is below Name, not itself: *.NAME
	Prefix    netip.Prefix // of addresses
	Low, High uint16       // ports
	Ports     bool         // they were given
}

// Parse reads NAME, *.NAME, an address or a CIDR prefix, with :PORT or
// :PORT-PORT behind it. An IPv6 address with a port stands in brackets.
func Parse(s string) (Rule, error) {
	r := Rule{High: 65535}
	what, ports := s, ""
	switch {
	case strings.HasPrefix(s, "["):
		in, rest, ok := strings.Cut(s[1:], "]")
		if !ok || rest != "" && rest[0] != ':' {
			return r, errors.New(`"[" has no "]", or something stands behind it`)
		}
		if what = in; rest != "" {
			if ports = rest[1:]; ports == "" {
				return r, errors.New("there is no port behind the colon")
			}
		}
	case strings.Count(s, ":") == 1:
		what, ports, _ = strings.Cut(s, ":")
		if ports == "" {
			return r, errors.New("there is no port behind the colon")
		}
	}
	if ports != "" {
		var err error
		if r.Low, r.High, err = portRange(ports); err != nil {
			return r, err
		}
		r.Ports = true
	}
	if what == "" {
		return r, errors.New("there is no name and no address")
	}
	if strings.Contains(what, "/") {
		p, err := netip.ParsePrefix(what)
		if err != nil {
			return r, errors.New("it is no CIDR prefix")
		}
		if p.Addr().Is4In6() {
			return r, errors.New("write the IPv4 addresses as such")
		}
		if p.Masked() != p {
			return r, errors.New("bits are set behind the prefix: " + p.Masked().String() + " is meant?")
		}
		r.Prefix = p
		return r, nil
	}
	if a, err := netip.ParseAddr(what); err == nil {
		if a.Zone() != "" {
			return r, errors.New("an address with a zone is link-local to one interface of the host's")
		}
		a = a.Unmap()
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	if rest, ok := strings.CutPrefix(what, "*."); ok {
		r.Below, what = true, rest
	}
	r.Name = Canonical(what)
	return r, checkName(r.Name)
}

// Canonical is a name as rules have it.
func Canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func checkName(n string) error {
	if n == "" || len(n) > 253 {
		return errors.New("a name has 1 to 253 letters; 0.0.0.0/0 and ::/0 are all addresses")
	}
	labels := strings.Split(n, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return errors.New("a part of a name between dots has 1 to 63 letters")
		}
		for _, c := range []byte(l) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				if c >= 0x80 {
					return errors.New("a name is written in its ASCII form here, xn--…")
				}
				return errors.New(`a name has letters, digits, "-" and "."; "*." stands in front alone`)
			}
		}
	}
	// 127.1, 0x7f000001 and 2130706433 are addresses to some programs.
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' {
		return errors.New("it is neither a name nor an address as written in full")
	}
	return nil
}

func portRange(s string) (low, high uint16, err error) {
	a, b, two := strings.Cut(s, "-")
	if !two {
		b = a
	}
	l, err1 := strconv.ParseUint(a, 10, 16)
	h, err2 := strconv.ParseUint(b, 10, 16)
	if err1 != nil || err2 != nil || l == 0 || l > h {
		return 0, 0, errors.New("a port is a number from 1 to 65535, a range two of them, the lower first")
	}
	return uint16(l), uint16(h), nil
}

// Port says whether the rule is about a port.
func (r Rule) Port(p uint16) bool { return r.Low <= p && p <= r.High }

// Matches says whether the rule is about a name, which is Canonical.
func (r Rule) Matches(name string) bool {
	switch {
	case r.Name == "":
		return false
	case r.Below:
		return len(name) > len(r.Name)+1 && strings.HasSuffix(name, r.Name) && name[len(name)-len(r.Name)-1] == '.'
	}
	return name == r.Name
}

// Contains says whether the rule is about an address.
func (r Rule) Contains(a netip.Addr) bool { return r.Prefix.IsValid() && r.Prefix.Contains(a.Unmap()) }
