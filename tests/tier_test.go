package tests

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// alone is the command line of a payload in a box that Landlock alone holds.
func alone(t testing.TB, flags []string, payload string, args ...string) []string {
	t.Helper()
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f == "--tier=landlock" })
	line := append([]string{nobox, "--tier=landlock", "-v", self(t) + ":" + self(t) + ":ro"}, flags...)
	return append(append(line, "--", self(t), "payload:"+payload), args...)
}

// Landlock alone holds less, and what it does not hold is said: all else is shut.
func TestNothingGetsOutOfABoxThatLandlockAloneHolds(t *testing.T) {
	asUser(t)
	need(t, "landlock6")
	lacks := []string{"pid_host", "ns", "devpts_host", "proc_masked", "nosuid", "setgroups_dropped", "caps", "seccomp", "securebits", "dev_raw"}
	for _, m := range []struct {
		name  string
		flags []string
		open  []string
	}{
		{"no network", nil, nil},
		{"the port", []string{"--connect-tcp", "PORT"}, []string{"loopback_host"}},
		{"another port", []string{"--connect-tcp", "1,65535", "--bind-tcp", "0"}, nil},
		{"host network", []string{"--net=host"}, []string{"loopback_host", "udp_host"}},
		{"home", []string{"--home=ro"}, []string{"home_secret"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			p := newPlace(t)
			b := layBait(t, p)
			_, port, _ := net.SplitHostPort(b["tcp"])
			flags := slices.Clone(m.flags)
			for i := range flags {
				flags[i] = strings.ReplaceAll(flags[i], "PORT", port)
			}
			all := tryEscape(t, p, b, alone(t, flags, "escape"))
			for _, x := range probes() {
				may := slices.Contains(m.open, x.name)
				switch f := all[x.name]; {
				case f.open && !may && !slices.Contains(lacks, x.name):
					t.Errorf("%s is open: %s", x.name, f.what)
				case !f.open && may:
					t.Errorf("%s is shut, which the flag opens: %s", x.name, f.what)
				}
			}
		})
	}
}
