package sandbox

import (
	"os"
	"path/filepath"
	"strconv"

	"nobox/cgroups"
	"nobox/host"
	"nobox/landlock"
	"nobox/plan"
	"nobox/seccomp"
	"nobox/userns"
)

// needs are the rules for what nobox itself opens and changes outside once it
// has let go of the rest: while a box runs, and when it has ended.
func needs(o *Options, h *Hooks, cg *cgroups.Player, box *userns.Box, held []plan.HostPath) (rules []plan.LandlockRule) {
	const look = landlock.ReadFile | landlock.ReadDir
	rule := func(path string, rights uint64) {
		if abs, err := filepath.Abs(path); err == nil {
			rules = append(rules, plan.LandlockRule{Path: plan.BoxPath(abs), Files: rights, MayBeFile: true})
		}
	}
	rule("/proc", look)
	if base := cg.Base(); base != "" {
		rule(base, look|landlock.WriteFile|landlock.RemoveDir)
	}
	for _, p := range box.Published() {
		if p.Path != "" {
			// The directory that is held, whatever its path leads to by now.
			rule("/proc/self/fd/"+strconv.Itoa(p.Dir), landlock.RemoveFile)
		}
	}
	for _, d := range held {
		// It is removed, and what it is in if that was made for it.
		for d := filepath.Dir(string(d)); d != "/"; d = filepath.Dir(d) {
			if rule(d, look|landlock.RemoveDir); !host.PassesAt(d) {
				break
			}
		}
	}
	if h.Named != "" {
		rule(h.Named, landlock.WriteFile|landlock.MakeReg|landlock.RemoveFile)
		// It is removed, and so is the one that it is in if it was the last: that is
		// opened, for its lock.
		rule(filepath.Dir(h.Named), landlock.ReadDir)
		rule(filepath.Dir(filepath.Dir(h.Named)), landlock.RemoveDir)
	}
	if h.Empty != "" {
		rule(filepath.Dir(h.Empty), landlock.RemoveDir)
	}
	if o.OverlayDir != "" {
		rule(o.OverlayDir, look)
		if h.Review {
			rule("/dev/tty", landlock.ReadFile|landlock.WriteFile|landlock.IoctlDev)
			rule(o.OverlayDir, look|landlock.Write)
			rule(filepath.Dir(o.OverlayDir), landlock.RemoveDir)
			layers, _ := os.ReadDir(o.OverlayDir)
			for _, l := range layers {
				if source, ok := plan.SourceOf(l.Name()); ok {
					rules = append(rules, plan.LandlockRule{Path: plan.BoxPath(source), Files: look | landlock.Write, MayBeFile: true, NoLinks: true})
				}
			}
		}
	}
	return rules
}

// ConfineForwarder binds the forwarder of published ports, before it serves any:
// it copies what the box says, outside of the box's mounts. It dials in the box,
// whose network it is in, and removes the sockets that it listens at, of which
// requests bring more.
func ConfineForwarder() {
	wall := landlock.Supervisor(host.LandlockABI(), []plan.LandlockRule{{Path: "/", Files: landlock.RemoveFile}})
	if wall != nil {
		wall.Ports = 0
	}
	if filter, err := seccomp.Default(seccomp.Want{Process: true}); err == nil {
		userns.LetGo(filter, wall)
	}
}
