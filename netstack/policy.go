package netstack

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"nobox/egress"
)

// errRefused is a destination that the policy does not let the box reach.
var errRefused = errors.New("refused by policy")

const (
	// maxPins addresses are known by a name at once.
	maxPins = 4096
	// A name's address is good for as long as its answer is, and some: programs
	// keep it for a little longer, and an answer may be good for no time at all.
	pinLeast = 60 * time.Second
	pinGrace = 60 * time.Second
	maxSaid  = 1024
)

// policy decides what the box may reach. It knows names by the answers that
// went through this process's own resolver, and by nothing that the box says.
type policy struct {
	allow, deny []egress.Rule
	hostPorts   []uint16
	say         func(string)

	mu   sync.Mutex
	pins map[netip.Addr]map[string]time.Time // name, and until when
	said map[string]bool
}

// active says whether a flag made a policy of its own.
func (p *policy) active() bool { return len(p.allow)+len(p.deny) > 0 }

// pin remembers that a name had an address.
func (p *policy) pin(name string, a netip.Addr, ttl time.Duration) {
	a = a.Unmap()
	until := time.Now().Add(max(ttl, pinLeast) + pinGrace)
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.pins[a]
	if names == nil {
		if len(p.pins) >= maxPins {
			p.forget()
		}
		names = map[string]time.Time{}
		p.pins[a] = names
	}
	if len(names) < 16 || !names[name].IsZero() {
		names[name] = until
	}
}

// forget makes room: what is over, or else something. Preconditions: mu is held.
func (p *policy) forget() {
	now := time.Now()
	for a, names := range p.pins {
		for n, until := range names {
			if now.After(until) {
				delete(names, n)
			}
		}
		if len(names) == 0 {
			delete(p.pins, a)
		}
	}
	for a := range p.pins {
		if len(p.pins) < maxPins {
			return
		}
		delete(p.pins, a)
	}
}

// names are those that an address has now.
func (p *policy) names(a netip.Addr) (out []string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, until := range p.pins[a.Unmap()] {
		if now.Before(until) {
			out = append(out, n)
		}
	}
	return out
}

// ask says whether a question for a name may be put, "" or why not.
func (p *policy) ask(name string) string {
	for _, r := range p.deny {
		if r.Matches(name) && !r.Ports {
			return "--deny-host matches"
		}
	}
	if len(p.allow) == 0 {
		return ""
	}
	for _, r := range p.allow {
		if r.Matches(name) {
			return ""
		}
	}
	return "no --allow-host matches"
}

// decide says whether an address and port may be reached, "" or why not, and
// what name it goes by. The decision is about the very address that is dialled.
func (p *policy) decide(to netip.AddrPort) (who, why string) {
	a, port := to.Addr().Unmap(), to.Port()
	names := p.names(a)
	who = a.String()
	if len(names) > 0 {
		who = names[0]
	}
	byAddress := func(rules []egress.Rule, must func(egress.Rule) bool) bool {
		for _, r := range rules {
			if r.Contains(a) && r.Port(port) && must(r) {
				return true
			}
		}
		return false
	}
	any := func(egress.Rule) bool { return true }
	if kind := closed(a); kind != "" {
		// Only who names link-local addresses opens them, or a cloud's; all
		// addresses there are does not, and nothing opens loopback but --host-port.
		if (kind == linkLocal || kind == metadata) && byAddress(p.allow, func(r egress.Rule) bool { return closed(r.Prefix.Addr()) == kind }) {
			return who, ""
		}
		return who, kind
	}
	if byAddress(p.deny, any) {
		return who, "--deny-host matches"
	}
	for _, n := range names {
		for _, r := range p.deny {
			if r.Matches(n) && r.Port(port) {
				return n, "--deny-host matches"
			}
		}
	}
	if !p.active() {
		return who, ""
	}
	if port == 53 || port == 853 {
		// Another resolver would give names that no rule saw.
		if byAddress(p.allow, func(r egress.Rule) bool { return r.Ports }) {
			return who, ""
		}
		return who, "another resolver than the box's own"
	}
	if len(p.allow) == 0 || byAddress(p.allow, any) {
		return who, ""
	}
	for _, n := range names {
		for _, r := range p.allow {
			if r.Matches(n) && r.Port(port) {
				// Whoever owns a name may point it at what only the host's own
				// neighbourhood can reach.
				if private(a) {
					return n, "its address " + a.String() + " is private; --allow-host " + a.String() + " opens it"
				}
				return n, ""
			}
		}
	}
	return who, "no --allow-host matches"
}

// refused tells the user, once for each name and port.
func (p *policy) refused(who string, why string) {
	if why == "multicast" || why == "broadcast" {
		return // what a desktop's programs send all day
	}
	p.mu.Lock()
	known := p.said[who]
	if !known && len(p.said) < maxSaid {
		p.said[who] = true
	}
	full := len(p.said) >= maxSaid
	p.mu.Unlock()
	if !known && !full {
		p.say("refused " + who + " (" + why + ")")
	}
}

func private(a netip.Addr) bool {
	for _, x := range [...]netip.Addr{a, embedded(a)} {
		if x.IsValid() && (x.IsPrivate() || x.Is4() && x.As4()[0] == 100 && x.As4()[1]&0xc0 == 64) { // RFC 6598
			return true
		}
	}
	return false
}

// reach is where on the host's network something goes that the box sent to an
// address.
func (n *network) reach(proto string, to netip.AddrPort) target {
	if has(n.config.Gateways, to.Addr()) {
		for _, p := range n.policy.hostPorts {
			if p == to.Port() && proto != "icmp" {
				own := netip.AddrFrom4([4]byte{127, 0, 0, 1})
				if to.Addr().Is6() {
					own = netip.IPv6Loopback()
				}
				return target{addr: netip.AddrPortFrom(own, p), who: strings.TrimSuffix(hostName, ".")}
			}
		}
		n.log(proto, strings.TrimSuffix(hostName, "."), to, 0, 0, "refused")
		return target{err: errRefused}
	}
	who, why := n.policy.decide(to)
	if why != "" {
		n.policy.refused(portOf(who, to.Port()), why)
		n.log(proto, who, to, 0, 0, "refused")
		return target{err: errRefused}
	}
	return target{addr: netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), who: who}
}

func portOf(who string, port uint16) string {
	if port == 0 {
		return who
	}
	if a, err := netip.ParseAddr(who); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return fmt.Sprintf("%s:%d", who, port)
}

// The kinds of addresses that are closed.
const (
	loopback  = "the host's loopback"
	linkLocal = "link-local"
	metadata  = "a cloud's metadata"
)

// closed says what kind of address it is that no box reaches unless a flag
// opens it, "" for the others. An IPv4 address may hide in one of IPv6.
func closed(a netip.Addr) string {
	for _, x := range [...]netip.Addr{a, embedded(a)} {
		switch {
		case !x.IsValid():
		case x.IsLoopback(), x.IsUnspecified(), x.Is4() && x.As4()[0] == 127, x.Is4() && x.As4()[0] == 0:
			return loopback
		case x.IsLinkLocalUnicast(), x.IsLinkLocalMulticast(), x.IsInterfaceLocalMulticast():
			return linkLocal
		case x.IsMulticast():
			return "multicast"
		case x.Is4() && x.As4() == [4]byte{255, 255, 255, 255}:
			return "broadcast"
		case ofACloud(x):
			return metadata
		}
	}
	return ""
}

// ofACloud says whether at an address a cloud answers its own machines, with their
// credentials among other things, as at 169.254.169.254: what AWS (all of fd00:ec2::/32
// is for such services), Google, Oracle, Scaleway, Akamai, Alibaba and Azure document.
func ofACloud(a netip.Addr) bool {
	if a.Is4() {
		switch a.As4() {
		case [4]byte{100, 100, 100, 200}, [4]byte{168, 63, 129, 16}, [4]byte{192, 0, 0, 192}:
			return true
		}
		return false
	}
	switch b := a.As16(); b {
	case [16]byte{0xfd, 0x20, 0, 0xce, 14: 0x02, 15: 0x54}, // fd20:ce::254
		[16]byte{0xfd, 0, 0, 0xc1, 12: 0xa9, 13: 0xfe, 14: 0xa9, 15: 0xfe}, // fd00:c1::a9fe:a9fe
		[16]byte{0xfd, 0, 0, 0x42, 15: 0x42},                               // fd00:42::42
		[16]byte{0xfd, 0, 0xa9, 0xfe, 0xa9, 0xfe, 15: 1},                   // fd00:a9fe:a9fe::1
		[16]byte{0xfd, 0, 0x01, 0, 12: 0x01, 14: 0x02}:                     // fd00:100::100:200
		return true
	default:
		return b[0] == 0xfd && b[1] == 0 && b[2] == 0x0e && b[3] == 0xc2
	}
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
