package cli

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/rootless-containers/rootlesskit/v3/pkg/port/portutil"
)

// A port as rootlesskit writes it, which is one of docker's forms with nothing
// left out, is the same port to nobox: what rootlesskit's own parser takes, and
// would write so, -p takes as well and reads no other way.
func samePort(t *testing.T, s string) {
	t.Helper()
	theirs, err := portutil.ParsePortSpec(s)
	if err != nil || portutil.ValidatePortSpec(*theirs, nil) != nil {
		return
	}
	if theirs.Proto != "tcp" && theirs.Proto != "udp" {
		return // tcp4 and the like: an address says as much
	}
	if s != net.JoinHostPort(theirs.ParentIP, strconv.Itoa(theirs.ParentPort))+":"+strconv.Itoa(theirs.ChildPort)+"/"+theirs.Proto {
		return // with an address behind a device, where nobox's forwarder is inside; or written in another way
	}
	addr, err := netip.ParseAddr(theirs.ParentIP)
	if theirs.ParentIP != "" && (err != nil || addr.Zone() != "") {
		return
	}
	if theirs.Proto != "tcp" && theirs.Proto != "udp" {
		return // tcp4 and the like: an address says as much
	}
	ours, err := publish(s)
	if err != nil {
		t.Errorf("%q: rootlesskit reads %+v, and nobox says %v", s, *theirs, err)
		return
	}
	if len(ours) != 1 || ours[0].Addr != addr.Unmap() || int(ours[0].First) != theirs.ParentPort || ours[0].First != ours[0].Last ||
		int(ours[0].Box) != theirs.ChildPort || ours[0].UDP != (theirs.Proto == "udp") {
		t.Errorf("%q: rootlesskit reads %+v, nobox %+v", s, *theirs, ours)
	}
}

var rootlesskitPorts = []string{
	"127.0.0.1:8080:80/tcp", "0.0.0.0:53:5353/udp", "[::1]:8080:80/tcp", "[2001:db8::1]:1:65535/udp", "127.0.0.1:8080:10.0.2.100:80/tcp",
	"[::1]:8080:[::2]:80/udp", ":8080:80/tcp", "192.0.2.1:65535:1/tcp4", "127.0.0.1:8080:80/sctp", "127.0.0.1:8080:80", "127.0.0.1:0:80/tcp",
}

func TestAPortIsReadAsRootlesskitReadsIt(t *testing.T) {
	read := 0
	for _, s := range rootlesskitPorts {
		if _, err := portutil.ParsePortSpec(s); err == nil {
			read++
		}
		samePort(t, s)
	}
	if read < 6 {
		t.Errorf("rootlesskit reads only %d of them", read)
	}
}

func FuzzAPortIsReadAsRootlesskitReadsIt(f *testing.F) {
	for _, s := range rootlesskitPorts {
		f.Add(s)
	}
	f.Fuzz(samePort)
}
