package slirp

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
)

// A Mode is the kind of a box's network.
type Mode uint8

const (
	None        Mode = iota // a namespace with lo alone
	Host                    // the host's own network
	User                    // the stack in the network's process
	Pasta                   // pasta(1)
	Slirp4netns             // slirp4netns(1)
	Joined                  // a namespace that nobox has entered
)

// A Network is what a box's network is to be.
type Network struct {
	Mode Mode
	From string // the flag that asked for it, "" for a default
	MTU  int    // of the box's device, 0 is DefaultMTU

	HostPorts   []uint16      // of the host's loopback, open to the box
	DNS         []string      // servers to ask, none for the host's
	Allow, Deny []string      // what the box may reach; package egress
	Log         plan.HostPath // file for a line on each connection, "" for none

	Pingers plan.PingGroups // the groups of the box
	Dev     plan.Slot       // the host's /dev, where it is not by its path any more
	Publish []Port
	Visible string // the flag by which servers see who their clients are, "" without
	Beside  bool   // the namespace is made beside; see CanBeside
}

// CanBeside says whether the network's namespace can be made along with the
// rest of the box: nobody outside waits for it, and it is made at one go.
func (n Network) CanBeside(f *host.Facts) bool {
	return (n.Mode == None || n.Mode == User && f.Has(plan.FactTun)) && len(n.Publish) == 0
}

// A Port is a published one.
type Port struct {
	Listen plan.Listen
	From   string
}

// DefaultMTU is what most of the world's links have. Segments of 64 KiB cross
// the device whatever it is, so that a larger one gains little.
const DefaultMTU = 1500

// The addresses of a box with a network in user space, and of what the stack
// answers for itself. They are the box's alone: nothing of the host's is
// covered but hosts with exactly these addresses. The IPv4 ones are what
// slirp has had since 1995; the others are "nobox" in a prefix for private use
// (RFC 4193), from where no resolver prefers IPv6 without a reason (RFC 6724).
const (
	BoxIPv4     = "10.0.2.100"
	GatewayIPv4 = "10.0.2.2" // host.nobox.internal
	DNSIPv4     = "10.0.2.3"
	BoxIPv6     = "fd6e:6f62:6f78::100"
	GatewayIPv6 = "fd6e:6f62:6f78::2"
	DNSIPv6     = "fd6e:6f62:6f78::3"
)

// The box's network device. The number is high enough not to be another's, the
// link address, where it has one, from the range for private use.
const (
	device      = "eth0"
	deviceIndex = 64
	linkAddress = "02:6e:6f:62:6f:78"
)

// Steps appends what a box's network takes. The host's own network takes
// nothing.
func (n Network) Steps(b *plan.Builder, f *host.Facts) {
	inside := b.Inside
	if n.Beside {
		inside = b.Beside
		inside(n.From, "it takes longest of all namespaces", plan.Unshare{Flags: unix.CLONE_NEWNET})
	}
	switch n.Mode {
	case None:
		inside(n.From, "a network namespace with nothing else in it", plan.LoopbackUp{})
	case User:
		n.user(b, inside, f)
	case Pasta, Slirp4netns:
		n.helper(b, f)
	}
	if n.Beside {
		ns := b.NewSlot()
		inside("", "", plan.HoldNet{Into: ns})
		b.Inside(n.From, "", plan.EnterNet{Net: ns})
	}
	name := n.Mode.HelperName()
	if name == "" && len(n.Publish) == 0 {
		return
	}
	from := n.From
	if name == "" {
		from = n.Publish[0].From
	}
	visible := n.Visible != "" && len(n.Publish) > 0
	if visible {
		b.Inside(n.Visible, "a server answers who connected, and the forwarder is who it was", plan.ClientRoutes{IPv6: f.Has(plan.FactIPv6) && f.IPv6Loopback})
	}
	b.Inside(from, "", plan.SendNamespaces{})
	b.Host(from, "", plan.TakeNamespaces{})
	if len(n.Publish) > 0 {
		b.Host(n.Publish[0].From, "what comes in does not pass the box's device", plan.StartForwarder{Visible: visible})
	}
	if name != "" {
		b.Host(n.From, "", plan.StartHelper{Name: name, Path: f.NetHelper.Path, Args: n.Mode.helperArgs(), Ready: n.Mode.helperReady()})
	}
}

// Listen appends what comes before all else: the sockets of published ports.
func (n Network) Listen(b *plan.Builder) {
	for _, p := range n.Publish {
		b.Host(p.From, "", p.Listen)
	}
}

// user makes the network in user space. The inside does not wait for the
// process: what is sent before it reads waits in the device's queue.
func (n Network) user(b *plan.Builder, inside func(from, why string, do plan.Action) *plan.Step, f *host.Facts) {
	mtu := n.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	args := []string{
		"--mtu=" + strconv.Itoa(mtu),
		"--gateway=" + GatewayIPv4 + "," + GatewayIPv6,
		"--resolver=" + DNSIPv4 + "," + DNSIPv6,
	}
	if len(n.DNS) > 0 {
		args = append(args, "--dns="+strings.Join(n.DNS, ","))
	}
	for _, p := range n.HostPorts {
		args = append(args, "--host-port="+strconv.Itoa(int(p)))
	}
	for _, r := range n.Allow {
		args = append(args, "--allow="+r)
	}
	for _, r := range n.Deny {
		args = append(args, "--deny="+r)
	}
	if n.Log != "" {
		args = append(args, "--log")
	}
	if !f.Has(plan.FactTun) {
		args = append(args, "--ethernet="+linkAddress)
	}
	b.Host(n.From, "the box's packets go to it, and nowhere else", plan.StartNet{
		Args:      args,
		Log:       n.Log,
		NoMFDExec: f.Kernel[0] < 6 || f.Kernel[0] == 6 && f.Kernel[1] < 3,
	})
	packets := b.NewSlot()
	if f.Has(plan.FactTun) {
		inside(n.From, "", plan.MakeTun{Name: device, Index: deviceIndex, Into: packets, Dev: n.Dev}).Needs = plan.FactTun
	} else {
		inside(n.From, "/dev/net/tun: "+f.Refused[plan.FactTun], plan.MakeVeth{Name: device, Index: deviceIndex, MTU: mtu, Address: linkAddress, Into: packets}).Needs = plan.FactVeth
	}
	inside(n.From, "", plan.LoopbackUp{})
	inside(n.From, "", plan.Device{Name: device, MTU: mtu, Address: BoxIPv4 + "/24", Gateway: GatewayIPv4})
	if f.Has(plan.FactIPv6) {
		inside(n.From, "", plan.DeviceIPv6{Name: device, Index: deviceIndex, Address: BoxIPv6 + "/64", Gateway: GatewayIPv6}).Needs = plan.FactIPv6
	}
	inside(n.From, "the command need not wait: packets do", plan.SendNet{Device: packets})
	inside(n.From, "", plan.SendSwitch{})
	b.Host(n.From, "a connection then fails at once", plan.TakeSwitch{Device: device})
}
