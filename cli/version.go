package cli

import (
	"runtime"
	"runtime/debug"
	"strings"

	"nobox/doctor"
	"nobox/plan"
)

// version and commit are set by the linker: -X nobox/cli.version=1.2.3.
var version, commit string

// Version is what "nobox version" prints: the version and what it was built for
// and by; the commit, where it is known; the kernel, and what of it boxes use.
func Version() string {
	v := version
	if v == "" {
		v = "devel"
		if info, ok := debug.ReadBuildInfo(); ok {
			v += revision(info.Settings)
		}
	}
	out := "nobox " + v + " " + runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version() + "\n"
	if commit != "" {
		out += "commit " + commit + "\n"
	}
	release, features := doctor.Features()
	return out + "Linux " + plan.Printable(release) + ": " + strings.Join(features, ", ") + "\n"
}

// revision is the commit a binary without a version was built from.
func revision(settings []debug.BuildSetting) string {
	rev, dirty := "", ""
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			rev = "-" + s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if rev == "" {
		return ""
	}
	return rev + dirty
}
