package cli

import (
	"net/netip"
	"path"
	"strconv"
	"strings"

	"nobox/sandbox"
)

// maxPublished is how many ports one -p may name: each is a socket or two.
const maxPublished = 256

// publish reads docker's forms: BOX, HOST:BOX, IP:HOST:BOX and IP::BOX, each
// with a range FIRST-LAST in place of a port and with /tcp or /udp behind it.
// Beyond docker's a path of the host may stand in place of IP:HOST. A range is
// taken apart here, into a port each.
func publish(v string) ([]sandbox.Publish, error) {
	if isSocketPath(v) {
		return publishPath(v)
	}
	rest, proto, given := strings.Cut(v, "/")
	var p sandbox.Publish
	switch strings.ToLower(proto) {
	case "tcp":
	case "udp":
		p.UDP = true
	case "sctp":
		return nil, noSCTP()
	case "":
		if given {
			return nil, notProtocol(proto)
		}
	default:
		return nil, notProtocol(proto)
	}
	boxSide, host, addr := rest, "", ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.HasSuffix(rest, "]") {
		host, boxSide = rest[:i], rest[i+1:]
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			addr, host = host[:i], host[i+1:]
		}
	}
	if addr != "" {
		a, err := publishAddress(addr)
		if err != nil {
			return nil, err
		}
		p.Addr = a
	}
	if boxSide == "" {
		return nil, noBoxPort()
	}
	first, last, err := portRange(boxSide)
	if err != nil {
		return nil, err
	}
	n := int(last-first) + 1
	if n > maxPublished {
		return nil, manyPorts(n)
	}
	if host == "" || host == "0" {
		return each(p, first, n, func(*sandbox.Publish, uint16) {}), nil
	}
	hostFirst, hostLast, err := portRange(host)
	if err != nil {
		return nil, err
	}
	switch {
	case hostLast-hostFirst == last-first:
		return each(p, first, n, func(p *sandbox.Publish, i uint16) { p.First, p.Last = hostFirst+i, hostFirst+i }), nil
	case n > 1:
		return nil, unequalRanges(host, boxSide)
	}
	// As docker has it: the first free one of these.
	p.First, p.Last, p.Box = hostFirst, hostLast, first
	return []sandbox.Publish{p}, nil
}

func each(p sandbox.Publish, first uint16, n int, set func(*sandbox.Publish, uint16)) []sandbox.Publish {
	all := make([]sandbox.Publish, 0, n)
	for i := range uint16(n) {
		q := p
		q.Box = first + i
		set(&q, i)
		all = append(all, q)
	}
	return all
}

// isSocketPath says whether -p names a socket of the file system.
func isSocketPath(v string) bool {
	return strings.HasPrefix(v, "/") || strings.HasPrefix(v, "./") || strings.HasPrefix(v, "../") || strings.HasPrefix(v, "~")
}

// publishPath reads PATH:BOX. The port is the last part, since a path may have
// a ":" in it.
func publishPath(v string) ([]sandbox.Publish, error) {
	if err := hostPath(v); err != nil {
		return nil, err
	}
	i := strings.LastIndexByte(v, ':')
	if i < 0 {
		return nil, noBoxPort()
	}
	port, proto, given := strings.Cut(v[i+1:], "/")
	if given && strings.ToLower(proto) != "tcp" {
		return nil, onlyTCPSocket()
	}
	n, err := portNumber(port)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, notPort(port)
	}
	if len(v[:i]) > maxSocketPath {
		return nil, longSocketPath(len(v[:i]))
	}
	if n := len(path.Base(v[:i])); n > maxSocketName {
		return nil, longSocketName(n)
	}
	return []sandbox.Publish{{Path: v[:i], Box: n}}, nil
}

// maxSocketPath is what fits into sun_path; unix(7).
const maxSocketPath = 107

// maxSocketName leaves room for "/proc/self/fd/NUMBER/", by which it is bound.
const maxSocketName = 88

// publishAddress reads the address to listen at, IPv6 in brackets or, as docker
// also takes it, without.
func publishAddress(s string) (netip.Addr, error) {
	in := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		in = s[1 : len(s)-1]
		if !strings.Contains(in, ":") {
			return netip.Addr{}, notAddress(s)
		}
	}
	a, err := netip.ParseAddr(in)
	if err != nil || a.Zone() != "" {
		if strings.EqualFold(s, "localhost") {
			return netip.Addr{}, localhostIsDefault()
		}
		return netip.Addr{}, notAddress(s)
	}
	return a.Unmap(), nil
}

// portRange reads a port or FIRST-LAST, none of them 0.
func portRange(s string) (first, last uint16, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if first, err = portNumber(a); err != nil {
		return 0, 0, err
	}
	last = first
	if ranged {
		if last, err = portNumber(b); err != nil {
			return 0, 0, err
		}
	}
	if first == 0 || last == 0 {
		return 0, 0, notPort(s)
	}
	if last < first {
		return 0, 0, backwardRange(s)
	}
	return first, last, nil
}

// portNumber reads decimal digits alone.
func portNumber(s string) (uint16, error) {
	if len(s) == 0 || len(s) > 5 || strings.Trim(s, "0123456789") != "" {
		return 0, notPort(s)
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, notPort(s)
	}
	return uint16(n), nil
}
