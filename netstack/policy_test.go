package netstack

import (
	"net/netip"
	"testing"

	"nobox/egress"
)

func TestWhatNoBoxReachesUnasked(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "239.1.2.3", "255.255.255.255",
		"::", "::1", "fe80::1", "febf::1", "ff02::1", "ff05::2",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::169.254.169.254", "::ffff:0:0",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "::ffff:0:127.0.0.1",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1", "fd00:100::100:200",
		"100.100.100.200", "168.63.129.16", "192.0.0.192", "::ffff:100.100.100.200", "64:ff9b::168.63.129.16",
	} {
		if closed(netip.MustParseAddr(a)) == "" {
			t.Errorf("%s is open", a)
		}
	}
	for _, a := range []string{
		"192.0.2.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8", "126.255.255.255", "128.0.0.1", "169.253.0.1",
		"2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1", "2002:c000:201::1", "::ffff:192.0.2.1", "fec0::1",
		"fd00:ec3::254", "fd20:ce::255", "fd00:c1::1", "fd00:42::43", "100.100.100.100", "168.63.129.17", "192.0.0.170",
	} {
		if kind := closed(netip.MustParseAddr(a)); kind != "" {
			t.Errorf("%s is closed as %s", a, kind)
		}
	}
}

func FuzzClosed(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		// However it is written, it is the same address.
		if (closed(a) == "") != (closed(netip.MustParseAddr(a.String())) == "") {
			t.Error(a)
		}
		if a.Is4() && closed(a) != closed(netip.AddrFrom16(a.As16())) {
			t.Errorf("%s is another one mapped", a)
		}
	})
}

// A cloud's address is opened by who names it, not by a prefix that holds it too.
func TestOnlyItsOwnAddressOpensACloudsMetadata(t *testing.T) {
	to := netip.MustParseAddrPort("[fd00:ec2::254]:80")
	for allow, open := range map[string]bool{"fd00:ec2::254": true, "fd00::/8": false, "::/0": false, "169.254.169.254": false, "example.org": false} {
		r, err := egress.Parse(allow)
		if err != nil {
			t.Fatal(err)
		}
		p := &policy{allow: []egress.Rule{r}}
		if _, why := p.decide(to); (why == "") != open {
			t.Errorf("--allow-host %s: %q", allow, why)
		}
	}
	if _, why := (&policy{}).decide(to); why != metadata {
		t.Errorf("unasked: %q", why)
	}
}
