package netstack

import "testing"

func TestFewDescriptorsAreShared(t *testing.T) {
	for _, files := range []uint64{0, 32, 64, 200, 256, 1024, 2048, 3000, 3408, 4096, 1 << 20, 1<<64 - 1} {
		l := limitsFor(files)
		for _, n := range []int{l.connections, l.flows, l.questions, l.streams, l.pings} {
			if n < 1 {
				t.Errorf("%d: %+v leaves something out", files, l)
			}
		}
		if sum := l.connections + l.flows + l.questions + l.pings + ownFiles; files >= 32 && uint64(sum) > files && l != most || sum > 3408 {
			t.Errorf("%d: %+v takes %d", files, l, sum)
		}
	}
	if limitsFor(4096) != most {
		t.Error("4096 are enough for all")
	}
}
