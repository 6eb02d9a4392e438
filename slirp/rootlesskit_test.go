package slirp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rootless-containers/rootlesskit/v3/pkg/network/slirp4netns"

	"nobox/host"
)

// What a slirp4netns can do rootlesskit finds out from its help, as nobox does:
// where one says that something nobox needs is there, or is not, so does the
// other.
func TestFeaturesOfSlirp4netnsAreThoseThatRootlesskitDetects(t *testing.T) {
	all := []string{"--configure", "--mtu", "--netns-type", "--ready-fd", "--exit-fd", "--cidr", "--api-socket",
		"--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", "--enable-ipv6"}
	for _, without := range append([]string{""}, all[7:]...) {
		help := "usage:\n"
		for _, o := range all {
			if o != without {
				help += "  " + o + "=X  does it\n"
			}
		}
		program := filepath.Join(t.TempDir(), "slirp4netns")
		if err := os.WriteFile(program, []byte("#!/bin/sh\ncat <<'END'\n"+help+"END\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := slirp4netns.DetectFeatures(program)
		if err != nil {
			t.Fatal(err)
		}
		theirs := f.SupportsDisableHostLoopback && f.SupportsEnableSandbox && f.SupportsEnableSeccomp && f.SupportsEnableIPv6
		_, cause := Slirp4netns.Unfit(host.Tool{Path: "/usr/bin/slirp4netns", Version: slirpSays, Help: help})
		if (cause == nil) != theirs || cause != nil && !strings.Contains(cause.Error(), without) {
			t.Errorf("without %q rootlesskit finds %+v, and nobox says %v", without, *f, cause)
		}
	}
}
