package host

import (
	"os"
	"path"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A Glob is a pattern of paths of the box, absolute: "*", "?" and "[...]"
// stand for a part of a name, a leading dot included, and "**" for any number
// of directories.
type Glob struct {
	Pattern string
	Base    plan.HostPath // the box's root
}

// A Shown is a directory of the box that shows one of the host's, or with no
// Source nothing of the host's.
type Shown struct {
	At     plan.BoxPath
	Source plan.HostPath
}

// A Match is what a path of the box that fits a pattern shows. Links on the
// way are not followed; of one at its end it is what that leads to.
type Match struct {
	At     plan.BoxPath
	Source plan.HostPath
	Kind   Kind
	Linked bool // At is a link, and Source what it leads to
}

// GlobFact is what fits a pattern. Err is the first directory that could not
// be looked into, and why.
type GlobFact struct {
	Matches []Match
	Err     error
	At      plan.BoxPath // of Err
}

// IsGlob says whether a path is a pattern.
func IsGlob(p string) bool { return strings.ContainsAny(p, "*?[") }

// Segments are the parts of a pattern.
func Segments(pattern string) []string {
	return strings.Split(strings.Trim(path.Clean(pattern), "/"), "/")
}

// Advance is where in a pattern one may be after a name, from where one was
// before; done says that the name ends it. Both are sets of segments' numbers.
func Advance(segs []string, before []int, name string) (after []int, done bool) {
	add := func(i int) {
		for ; ; i++ {
			if i == len(segs) {
				done = true
				return
			}
			known := false
			for _, k := range after {
				known = known || k == i
			}
			if !known {
				after = append(after, i)
			}
			if segs[i] != "**" || i == len(segs)-1 {
				return // "**" may be no directory at all, but at the end it is one
			}
		}
	}
	for _, i := range before {
		switch {
		case segs[i] == "**" && i == len(segs)-1:
			done = true
		case segs[i] == "**":
			add(i)
		default:
			if ok, _ := path.Match(segs[i], name); ok {
				add(i + 1)
			}
		}
	}
	return after, done
}

// Begin is where in a pattern one is at the root.
func Begin(segs []string) (at []int) {
	for i := range segs {
		at = append(at, i)
		if segs[i] != "**" {
			break
		}
	}
	return at
}

// glob looks a pattern up, in what the box shows.
func glob(g Glob, shown []Shown) GlobFact {
	w := globber{base: string(g.Base), segs: Segments(g.Pattern), shown: make(map[string]plan.HostPath, len(shown)), inner: map[string][]string{}}
	for _, s := range shown {
		w.shown[string(s.At)] = s.Source
		// A directory that holds such a place is gone into even where it is none of the host's.
		for at := string(s.At); at != "/"; at = path.Dir(at) {
			dir, name := path.Split(at)
			dir = path.Clean(dir)
			if known := w.inner[dir]; len(known) == 0 || known[len(known)-1] != name {
				w.inner[dir] = append(known, name)
			}
		}
	}
	w.dir("/", string(g.Base), Begin(w.segs))
	return w.fact
}

type globber struct {
	base  string
	segs  []string
	shown map[string]plan.HostPath
	inner map[string][]string // names below a directory that lead to a place of shown
	fact  GlobFact
}

// dir looks into a directory of the box; host is "" where it is none of the
// host's.
func (w *globber) dir(at, host string, states []int) {
	seen := map[string]bool{}
	visit := func(name string, mode uint32) {
		after, done := Advance(w.segs, states, name)
		if !done && len(after) == 0 || seen[name] {
			return
		}
		seen[name] = true
		child := join(at, "/"+name)
		source := ""
		if host != "" {
			source = join(host, "/"+name)
		}
		if s, other := w.shown[child]; other {
			source, mode = string(s), unix.S_IFDIR
		}
		if done {
			if source == "" {
				return
			}
			m := Match{At: plan.BoxPath(child), Source: plan.HostPath(source), Kind: kindOf(&unix.Stat_t{Mode: mode})}
			if mode == unix.S_IFLNK && !w.follow(&m) {
				return // it leads to nothing of the host's
			}
			w.fact.Matches = append(w.fact.Matches, m)
			return
		}
		if mode == unix.S_IFDIR && (source != "" || len(w.inner[child]) > 0) {
			w.dir(child, source, after)
		}
	}
	for _, name := range w.inner[at] {
		if host == "" {
			visit(name, unix.S_IFDIR)
		} else if _, own := w.shown[join(at, "/"+name)]; own {
			visit(name, unix.S_IFDIR)
		}
	}
	if host == "" {
		return
	}
	literal := true
	for _, i := range states {
		literal = literal && !IsGlob(w.segs[i])
	}
	if literal {
		for _, i := range states {
			var st unix.Stat_t
			name := join(at, "/"+w.segs[i])
			switch err := lstat(join(host, "/"+w.segs[i]), &st); {
			case err == nil:
				visit(w.segs[i], st.Mode&unix.S_IFMT)
			case !tells(err):
				w.fail(err, name)
			}
		}
		return
	}
	entries, err := os.ReadDir(host)
	if err != nil {
		w.fail(unwrap(err), at)
		return
	}
	for _, e := range entries {
		visit(e.Name(), modeOf(e.Type()))
	}
}

// fail keeps the first error, or the first that says nothing of what is there.
func (w *globber) fail(err error, at string) {
	if w.fact.Err == nil || tells(w.fact.Err) && !tells(err) {
		w.fact.Err, w.fact.At = err, plan.BoxPath(at)
	}
}

// follow has a match be what its link leads to, as the box sees it.
func (w *globber) follow(m *Match) bool {
	to := string(m.At)
	for range 8 {
		outer, source := w.holder(to)
		if source == "" {
			return false
		}
		root := outer == "/"
		rel := strings.TrimPrefix(to, strings.TrimSuffix(outer, "/"))
		pf := place(Place{Base: plan.HostPath(source), Path: join("", rel), Bound: !root}, map[string]bool{})
		if pf.Err == ErrLeaves {
			link, err := os.Readlink(join(source, rel))
			if err != nil {
				return false
			}
			if !path.IsAbs(link) {
				link = path.Join(path.Dir(to), link)
			}
			to = path.Clean(link)
			continue
		}
		if pf.Kind == None {
			return false
		}
		if at := join(outer, string(pf.Resolved)); root && at != to {
			if o, _ := w.holder(at); o != outer {
				to = at // in something that is mounted
				continue
			}
		}
		m.Source, m.Kind, m.Linked = plan.HostPath(join(source, string(pf.Resolved))), pf.Kind, true
		return true
	}
	return false
}

// holder is the innermost place of shown at or above a path, and its source.
func (w *globber) holder(at string) (string, string) {
	for p := at; p != "/"; p = path.Dir(p) {
		if s, ok := w.shown[p]; ok {
			return p, string(s)
		}
	}
	return "/", w.base
}

func modeOf(m os.FileMode) uint32 {
	switch {
	case m.IsDir():
		return unix.S_IFDIR
	case m&os.ModeSymlink != 0:
		return unix.S_IFLNK
	case m.IsRegular():
		return unix.S_IFREG
	case m&os.ModeCharDevice != 0:
		return unix.S_IFCHR
	}
	return unix.S_IFSOCK
}

func unwrap(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

// SortMatches orders matches by their place.
func SortMatches(ms []Match) {
	sort.Slice(ms, func(i, j int) bool { return ms[i].At < ms[j].At })
}
