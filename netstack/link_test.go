package netstack

import (
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestAPacketOfSeveralDatagramsIsTakenApart(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		at := header.IPv4MinimumSize
		p := make([]byte, at+header.UDPMinimumSize+2500)
		p[0], p[9] = 0x45, 17
		if v6 {
			at = header.IPv6MinimumSize
			p = make([]byte, at+header.UDPMinimumSize+2500)
			p[0], p[6] = 0x60, 17
		}
		all := datagramsOf(p, 1000)
		var sizes []int
		for _, q := range all {
			sizes = append(sizes, int(header.UDP(q[at:]).Length())-header.UDPMinimumSize)
			if v6 && int(header.IPv6(q).PayloadLength()) != len(q)-at || !v6 && (int(header.IPv4(q).TotalLength()) != len(q) || !header.IPv4(q).IsChecksumValid()) {
				t.Errorf("a header does not fit: % x", q[:at])
			}
		}
		if len(sizes) != 3 || sizes[0] != 1000 || sizes[1] != 1000 || sizes[2] != 500 {
			t.Error(sizes)
		}
	}
}

func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1)
	f.Add([]byte{0x6f, 0, 0, 0, 0, 0, 17}, 1000)
	f.Fuzz(func(t *testing.T, p []byte, size int) {
		if len(p) > 1<<16 {
			return
		}
		n := 0
		for _, q := range datagramsOf(p, size) {
			if n += len(q); len(q) > len(p) {
				t.Fatal("a datagram is longer than what it came from")
			}
		}
	})
}
