package host

import "testing"

func TestOutside(t *testing.T) {
	const shadow = "         0       1002          1\n         1     100000      65536\n"
	for _, c := range []struct {
		uidMap   string
		id, want uint32
	}{
		{shadow, 0, 1002},
		{shadow, 1, 100000},
		{shadow, 65536, 165535},
		{shadow, 65537, 65537},
		{"0 0 4294967295\n", 4294967294, 4294967294},
		{"", 7, 7},
	} {
		if got := outside(c.uidMap, c.id); got != c.want {
			t.Errorf("outside(%q, %d) = %d, want %d", c.uidMap, c.id, got, c.want)
		}
	}
}
