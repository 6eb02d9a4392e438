package landlock

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// AloneABI is the least that holds a box by itself: with less, signals and
// connections to abstract sockets leave it.
const AloneABI = 6

// ABIs are the first Linux versions with each ABI that brought a right; landlock(7).
var abis = [...]string{1: "5.13", 2: "5.19", 3: "6.2", 4: "6.7", 5: "6.10", 6: "6.12"}

// Linux is the first version of Linux that has an ABI.
func Linux(abi int) string {
	if abi < 1 || abi >= len(abis) {
		return ""
	}
	return abis[abi]
}

// Access is what a box may do with a place of the host.
type Access uint8

const (
	Hidden Access = iota
	ReadOnly
	ReadWrite
	Device // opened, read, written and asked by ioctl(2), and nothing made in it
)

// rights of an access.
func (a Access) rights() uint64 {
	switch a {
	case ReadOnly:
		return Read
	case ReadWrite:
		return Read | Write
	case Device:
		return ReadFile | WriteFile | IoctlDev
	}
	return 0
}

// An Area is a place of the host, with all below that is no area of its own.
type Area struct {
	Path   string // absolute, no symbolic links
	Access Access
	NoExec bool
	From   string // the flag, "" is a default
	Why    string // of what is hidden or read-only: what it is, in an error
}

func (a Area) rights() uint64 {
	r := a.Access.rights()
	if a.NoExec {
		r &^= Execute
	}
	return r
}

// A HoleError is an area that would have to be taken out of a writable one: rules
// of Landlock only ever add, so that what stands next to it could be listed, but
// nothing new be made there.
type HoleError struct{ In, Hole Area }

func (e *HoleError) Error() string {
	what := e.Hole.Why
	if what == "" {
		what = "what must be kept from the box"
	}
	return fmt.Sprintf("it holds %s, %s, and Landlock cannot take a part out of what is writable", plan.Quote(e.Hole.Path), what)
}

// holes are the areas below one that lack a right of its.
func holes(areas []Area, of Area) (out []Area) {
	for _, a := range areas {
		if a.Path != of.Path && inside(of.Path, a.Path) && of.rights()&^a.rights() != 0 {
			out = append(out, a)
		}
	}
	return out
}

// inside says whether p is dir or below it.
func inside(dir, p string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// sorted are the areas by path, the last of each path; Check is that of Alone.
func sorted(areas []Area) []Area {
	out := make([]Area, 0, len(areas))
	for _, a := range areas {
		if i := slices.IndexFunc(out, func(b Area) bool { return b.Path == a.Path }); i >= 0 {
			out[i] = a
		} else {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b Area) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Lists are the directories whose entries Alone needs: those on the way to what
// is taken out of a readable area.
func Lists(areas []Area) (dirs []plan.HostPath) {
	areas = sorted(areas)
	seen := map[string]bool{}
	for _, a := range areas {
		if a.Access != ReadOnly {
			continue
		}
		for _, h := range holes(areas, a) {
			for d := path.Dir(h.Path); inside(a.Path, d); d = path.Dir(d) {
				if !seen[d] {
					seen[d] = true
					dirs = append(dirs, plan.HostPath(d))
				}
				if d == "/" {
					break
				}
			}
		}
	}
	slices.Sort(dirs)
	return dirs
}

// Alone makes the rules of a box that Landlock alone holds: of the areas what
// each gives, and of the rest nothing. What a readable area holds besides
// something hidden is named entry by entry, as lists has it; symbolic links are
// left out, since a rule is for what they lead to, which has a rule of its own or
// none. abi is at least AloneABI.
func Alone(areas []Area, lists map[plan.HostPath]host.ListFact, connect, bind []uint16, ports bool) (plan.Landlock, error) {
	fs, net, scoped := Rights(AloneABI)
	w := plan.Landlock{Files: fs, Scoped: scoped}
	areas = sorted(areas)
	rule := func(p string, a Area, mayBeFile bool) {
		w.Rules = append(w.Rules, plan.LandlockRule{Path: plan.BoxPath(p), Files: a.rights(), MayBeFile: mayBeFile, NoLinks: true, From: a.From})
	}
	for _, a := range areas {
		if a.Access == Hidden {
			continue
		}
		hs := holes(areas, a)
		if len(hs) == 0 {
			rule(a.Path, a, true)
			continue
		}
		if a.Access != ReadOnly {
			return w, &HoleError{In: a, Hole: hs[0]}
		}
		var expand func(dir string)
		expand = func(dir string) {
			for _, e := range lists[plan.HostPath(dir)].Entries {
				p := path.Join(dir, e.Name)
				switch {
				case e.Link != "" || e.Kind == host.None:
				case slices.ContainsFunc(areas, func(b Area) bool { return b.Path == p }):
					// which has rules of its own
				case slices.ContainsFunc(hs, func(h Area) bool { return inside(p, h.Path) }):
					expand(p)
				default:
					rule(p, a, e.Kind != host.Dir)
				}
			}
		}
		expand(a.Path)
	}
	if ports {
		w.Ports = net
		for _, p := range connect {
			w.TCP = append(w.TCP, plan.LandlockPort{Port: p, Rights: ConnectTCP})
		}
		for _, p := range bind {
			w.TCP = append(w.TCP, plan.LandlockPort{Port: p, Rights: BindTCP})
		}
	}
	return w, nil
}

// ErrOld says which Landlock this kernel has.
func ErrOld(abi int, release string) error {
	if abi < 1 {
		return fmt.Errorf("this Linux, %s, has no Landlock, or it is switched off; ABI %d is needed, of Linux %s", release, AloneABI, Linux(AloneABI))
	}
	if abi < AloneABI {
		return fmt.Errorf("the Landlock of this Linux, %s, is ABI %d; ABI %d is needed, of Linux %s: with less, signals leave the box", release, abi, AloneABI, Linux(AloneABI))
	}
	return errors.New("the kernel refused it")
}
