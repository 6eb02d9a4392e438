package netstack

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// nic is the one interface there is.
const nic = tcpip.NICID(1)

// A network is the stack that ends the box's connections, and what goes on
// with them outside.
type network struct {
	config Config
	stack  *stack.Stack
	link   *link
	limits limits
	say    func(line string) // to the user

	policy  *policy
	logFile *os.File // of --net-log, nil without

	tcp *tcpForward
	udp *udpForward
	dns *resolver
}

// newNetwork makes the stack on a link. It answers as every address there is:
// whatever the box sends comes to one of the forwarders.
func newNetwork(c Config, l *link, say func(string)) (*network, error) {
	n := &network{config: c, link: l, say: say, limits: ownLimits()}
	n.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	// A SYN that meets an endpoint in TIME-WAIT goes to a listener, which there
	// is none of, and never to the forwarder: a port used again would hang.
	timeWait := tcpip.TCPTimeWaitTimeoutOption(time.Millisecond)
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	sack := tcpip.TCPSACKEnabled(true)
	cubic := tcpip.CongestionControlOption("cubic")
	for _, o := range []tcpip.SettableTransportProtocolOption{&timeWait, &moderate, &sack, &cubic} {
		if err := n.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return nil, fmt.Errorf("%T: %v", o, err)
		}
	}
	if err := n.stack.CreateNICWithOptions(nic, l, stack.NICOptions{}); err != nil {
		return nil, fmt.Errorf("interface: %v", err)
	}
	n.stack.SetPromiscuousMode(nic, true)
	n.stack.SetSpoofing(nic, true)
	n.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	n.policy = &policy{allow: c.Allow, deny: c.Deny, hostPorts: c.HostPorts, say: say, pins: map[netip.Addr]map[string]time.Time{}, said: map[string]bool{}}
	if c.Log {
		n.logFile = os.NewFile(logFD, "net-log")
	}
	n.dns = newResolver(n)
	n.tcp = newTCPForward(n)
	n.udp = newUDPForward(n)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, n.tcp.packet)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, n.udp.packet)
	l.intercept = newPing(n).packet
	return n, nil
}

// addr is an address of the stack's as one of the standard library's.
func addr(a tcpip.Address) netip.Addr {
	switch a.Len() {
	case 4:
		return netip.AddrFrom4(a.As4())
	case 16:
		return netip.AddrFrom16(a.As16())
	}
	return netip.Addr{}
}

// target is where a connection or datagram to an address of the box's network
// goes on the host.
type target struct {
	addr netip.AddrPort
	who  string // the name it goes by, or the address
	err  error  // refused
}
