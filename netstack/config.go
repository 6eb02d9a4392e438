package netstack

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"nobox/egress"
)

// Config is what the network is to be, as nobox gives it by arguments.
type Config struct {
	MTU      int
	Ethernet [6]byte      // the box's link address, where its device is one of a pair
	Pair     bool         // which it is: what comes is Ethernet, from a packet socket
	Gateways []netip.Addr // what answers for the host, of each family
	Resolver []netip.Addr // what answers questions for names, of each family

	Upstream    []netip.Addr  // the servers to ask, none for the host's
	HostPorts   []uint16      // of the host's loopback, open to the box
	Allow, Deny []egress.Rule // what the box may reach
	Log         bool          // connections go to logFD
}

// addrs is a flag with addresses, parted by commas.
type addrs []netip.Addr

func (l *addrs) String() string { return fmt.Sprint(*l) }

func (l *addrs) Set(v string) error {
	for _, s := range strings.Split(v, ",") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return err
		}
		*l = append(*l, a)
	}
	return nil
}

// ParseConfig reads the arguments.
func ParseConfig(args []string) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("nobox-net", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&c.MTU, "mtu", 1500, "")
	fs.Var((*addrs)(&c.Gateways), "gateway", "")
	fs.Var((*addrs)(&c.Resolver), "resolver", "")
	fs.Var((*addrs)(&c.Upstream), "dns", "")
	fs.BoolVar(&c.Log, "log", false, "")
	fs.Func("ethernet", "", func(v string) error {
		a, err := net.ParseMAC(v)
		if err == nil && len(a) != len(c.Ethernet) {
			err = errors.New("no Ethernet address")
		}
		c.Pair = err == nil && copy(c.Ethernet[:], a) > 0
		return err
	})
	fs.Func("host-port", "", func(v string) error {
		p, err := strconv.ParseUint(v, 10, 16)
		c.HostPorts = append(c.HostPorts, uint16(p))
		return err
	})
	rule := func(to *[]egress.Rule) func(string) error {
		return func(v string) error {
			r, err := egress.Parse(v)
			*to = append(*to, r)
			return err
		}
	}
	fs.Func("allow", "", rule(&c.Allow))
	fs.Func("deny", "", rule(&c.Deny))
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, errors.New("nobox-net takes flags alone")
	}
	return c, nil
}

func has(l []netip.Addr, a netip.Addr) bool {
	for _, x := range l {
		if x == a {
			return true
		}
	}
	return false
}
