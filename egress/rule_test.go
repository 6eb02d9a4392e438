package egress

import (
	"net/netip"
	"testing"
)

func TestARuleMatches(t *testing.T) {
	for _, c := range []struct {
		rule, what string
		port       uint16
		want       bool
	}{
		{"example.com", "example.com", 443, true},
		{"Example.COM.", "example.com", 443, true},
		{"example.com", "www.example.com", 443, false},
		{"example.com", "example.com.evil.org", 443, false},
		{"example.com", "notexample.com", 443, false},
		{"*.example.com", "www.example.com", 443, true},
		{"*.example.com", "a.b.example.com", 443, true},
		{"*.example.com", "example.com", 443, false},
		{"*.example.com", "notexample.com", 443, false},
		{"*.example.com", ".example.com", 443, false},
		{"example.com:443", "example.com", 443, true},
		{"example.com:443", "example.com", 80, false},
		{"example.com:8000-8010", "example.com", 8010, true},
		{"example.com:8000-8010", "example.com", 8011, false},
		{"192.0.2.0/24", "192.0.2.255", 1, true},
		{"192.0.2.0/24", "192.0.3.0", 1, false},
		{"192.0.2.0/24", "::ffff:192.0.2.9", 1, true},
		{"192.0.2.1:53", "192.0.2.1", 53, true},
		{"2001:db8::/32", "2001:db8:1::1", 9, true},
		{"[2001:db8::1]:22", "2001:db8::1", 22, true},
		{"[2001:db8::1]:22", "2001:db8::1", 23, false},
		{"::ffff:192.0.2.1", "192.0.2.1", 1, true},
	} {
		r, err := Parse(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		have := r.Matches(c.what)
		if a, err := netip.ParseAddr(c.what); err == nil {
			have = r.Contains(a)
		}
		if have = have && r.Port(c.port); have != c.want {
			t.Errorf("%s and %s:%d: %v", c.rule, c.what, c.port, have)
		}
	}
}

func TestARuleThatSaysNothingIsRefused(t *testing.T) {
	for _, s := range []string{
		"", ":80", "*", "*.", "*.*.com", "a..b", "a.com:", "a.com:0", "a.com:65536", "a.com:9-8", "a.com:x", "a.com:80-", "a com",
		"127.1", "0x7f.1", "2130706433", "017700000001", "1.2.3.4.5", "a.1", "192.0.2.1/24", "192.0.2.0/33", "[::1", "[::1]x", "[::1]:",
		"fe80::1%eth0", "bücher.example", "http://example.com", "example.com/path", "::ffff:10.0.0.0/104", "a\x00b", "-:1-2-3",
	} {
		if r, err := Parse(s); err == nil {
			t.Errorf("%q is %+v", s, r)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"*.example.com:443", "192.0.2.0/24:1-2", "[2001:db8::/32]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if (r.Name == "") != r.Prefix.IsValid() || r.Low > r.High {
			t.Errorf("%q is %+v", s, r)
		}
		if r.Name != "" && (r.Matches(r.Name) == r.Below || r.Matches("x."+r.Name) != r.Below || r.Matches("x"+r.Name)) {
			t.Errorf("%q does not match its own name", s)
		}
	})
}
