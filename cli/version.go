package cli

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X nobox/cli.version=1.2.3.
var version string

// Version is what "nobox version" prints.
func Version() string {
	v := version
	if v == "" {
		v = "devel"
		if info, ok := debug.ReadBuildInfo(); ok {
			v += revision(info.Settings)
		}
	}
	return "nobox " + v + " " + runtime.GOOS + "/" + runtime.GOARCH + " " + runtime.Version() + "\n"
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
