package netstack

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestTheBoxsOwnNamesAreAnsweredWithoutAskingAnybody(t *testing.T) {
	r := &resolver{network: &network{config: Config{Gateways: []netip.Addr{netip.MustParseAddr("10.0.2.2"), netip.MustParseAddr("fd00::2")}}}}
	tests := []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"localhost.", dnsmessage.TypeA, "127.0.0.1"}, {"LocalHost.", dnsmessage.TypeAAAA, "::1"}, {"a.b.localhost.", dnsmessage.TypeA, "127.0.0.1"},
		{"localhost.", dnsmessage.TypeMX, ""},
		{"host.nobox.internal.", dnsmessage.TypeA, "10.0.2.2"}, {"HOST.nobox.internal.", dnsmessage.TypeAAAA, "fd00::2"},
	}
	for _, tt := range tests {
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
		b.StartQuestions()
		b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(tt.name), Type: tt.kind, Class: dnsmessage.ClassINET})
		q, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		var m dnsmessage.Message
		if err := m.Unpack(r.answer(q, "udp")); err != nil || m.ID != 7 || m.RCode != dnsmessage.RCodeSuccess {
			t.Fatalf("%s: %+v, %v", tt.name, m, err)
		}
		got := ""
		for _, a := range m.Answers {
			switch a := a.Body.(type) {
			case *dnsmessage.AResource:
				got += netip.AddrFrom4(a.A).String()
			case *dnsmessage.AAAAResource:
				got += netip.AddrFrom16(a.AAAA).String()
			}
		}
		if got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.name, tt.kind, got, tt.want)
		}
	}
}
