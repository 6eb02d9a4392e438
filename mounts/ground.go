package mounts

import (
	"fmt"
	"path"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// A ground is a directory of the box that something is mounted at: what a
// place below it stands on.
type ground struct {
	at     string
	tree   plan.Slot
	source plan.HostPath // of the host's; "" is a file system of the box's own, where mount points can be made
	// writable: the box may write to what is the host's.
	writable bool
	from     string    // the flag that asked for it
	of       *overlaid // that it is a piece of, nil if of none
	why      string

	step   int  // of an own file system: the index of the step that made it
	sealed bool // it is to be read-only, once nobox has made in it what it needs
}

// stand adds a ground.
func (m *builder) stand(g *ground) {
	m.grounds[g.at] = g
	if g.source != "" {
		m.sources[g.source] = append(m.sources[g.source], g)
	}
}

// under is the innermost ground below at.
func (m *builder) under(at string) *ground {
	for p := range above(at) {
		if g := m.grounds[p]; g != nil {
			return g
		}
	}
	return m.grounds["/"]
}

// know indexes what was asked about by what it turned out to be: a place is
// asked by the name it was given, with links on the way.
func (m *builder) know() {
	asked := m.v.Places(m.f)
	m.known = make(map[host.Place]host.PlaceFact, 2*len(asked))
	for _, p := range asked {
		pf, ok := m.f.Places[p]
		if !ok {
			continue
		}
		m.known[p] = pf
		if q := (host.Place{Base: p.Base, Path: string(pf.Resolved), Bound: p.Bound, Make: p.Make}); pf.Resolved != "" {
			if _, ok := m.known[q]; !ok {
				pf.Symlink = false
				m.known[q] = pf
			}
		}
	}
}

// at is what stands at a place of the root, as asked.
func (m *builder) at(p string) host.PlaceFact {
	return m.known[host.Place{Base: m.v.base(), Path: p}]
}

func (m *builder) isMade(at string) bool { _, ok := m.made[at]; return ok }

// standing is what is at a place before anything is put there.
func (m *builder) standing(at string) host.PlaceFact {
	if dir, ok := m.made[at]; ok {
		if dir {
			return host.PlaceFact{Kind: host.Dir, Resolved: plan.BoxPath(at)}
		}
		return host.PlaceFact{Kind: host.File, Resolved: plan.BoxPath(at)}
	}
	g := m.under(at)
	switch {
	case g.source == "":
		return host.PlaceFact{Resolved: plan.BoxPath(at)}
	case m.isRoot(g):
		return m.at(at)
	case g.of != nil:
		rel, _ := below(g.of.at, at)
		return m.known[host.Place{Base: g.of.source, Path: rel, Bound: true}]
	}
	rel, _ := below(g.at, at)
	return m.known[host.Place{Base: g.source, Path: rel, Bound: true}]
}

// isRoot says whether a ground is the root's, or a piece of it.
func (m *builder) isRoot(g *ground) bool { return g.at == "/" || g.of != nil && g.of.entry == nil }

// point sees to it that there is a mount point of the right kind at e.at.
func (m *builder) point(e *entry, dir bool) error {
	g := m.under(e.at)
	have := m.standing(e.at)
	if g.source == "" {
		if have.Kind == host.None {
			rel, _ := below(g.at, e.at)
			m.parents(g, rel)
			if dir {
				m.mkdir(e.From, g, rel, 0o755)
			} else {
				m.touch(e.From, g, rel)
			}
		}
		return nil
	}
	kind := "directory"
	if !dir {
		kind = "file"
	}
	switch {
	case have.Err != nil:
		return &Error{What: e.what(), Flag: e.From, Cause: fmt.Errorf("%s: %w", plan.Quote(e.at), have.Err)}
	case have.Kind == host.None:
		return &Error{What: e.what(), Flag: e.From,
			Cause:  fmt.Errorf("there is no %s %s in %s, and nobox makes nothing there", kind, plan.Quote(e.at), g.why),
			Remedy: m.makeHint(g, e.at, dir, have)}
	case dir != (have.Kind == host.Dir):
		return &Error{What: e.what(), Flag: e.From, Cause: fmt.Errorf("%s is %v, and a %s would be mounted there", plan.Quote(e.at), have.Kind, kind)}
	}
	return nil
}

// makeHint is what makes a place that is not there; have is what is known of it.
func (m *builder) makeHint(g *ground, at string, dir bool, have host.PlaceFact) string {
	if m.v.Rootfs == "" && g.at == "/" {
		return "a place below /tmp, /run or the home is made as needed"
	}
	if g.source == "/sys" {
		return "" // of the kernel's making
	}
	rel, _ := below(g.at, at)
	p := path.Join(string(g.source), rel)
	if dir {
		return "mkdir -p " + ShellQuote(p)
	}
	base := g.at
	switch {
	case m.isRoot(g):
		base = "/"
	case g.of != nil:
		base = g.of.at
	}
	if have.Exists != "" && path.Join(base, string(have.Exists)) == path.Dir(at) {
		return "touch " + ShellQuote(p)
	}
	return "mkdir -p " + ShellQuote(path.Dir(p)) + " && touch " + ShellQuote(p)
}

// ShellQuote quotes a path as a shell reads it.
func ShellQuote(s string) string {
	if q := plan.Quote(s); q == s && !strings.ContainsAny(s, "$`*?[]{}()<>|&;~#!") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ---- in file systems of the box's own

// parents makes the directories above rel in a file system of the box's own.
func (m *builder) parents(g *ground, rel string) {
	for i := 1; i < len(rel); i++ {
		if rel[i] == '/' {
			m.mkdir("", g, rel[:i], 0o755)
		}
	}
}

func (m *builder) mkdir(from string, g *ground, rel string, mode uint32) {
	at := path.Join(g.at, rel)
	if m.made[at] {
		return
	}
	m.made[at] = true
	m.open(g)
	m.Inside(from, "a mount point", plan.Mkdir{In: g.tree, Path: rel[1:], Mode: mode, MayExist: true})
}

func (m *builder) touch(from string, g *ground, rel string) {
	m.made[path.Join(g.at, rel)] = false
	m.open(g)
	m.Inside(from, "a mount point", plan.File{In: g.tree, Path: rel[1:], Mode: 0o644})
}

// open has an own file system made read-write that is to be read-only, for
// nobox makes something in it; it is sealed at the end.
func (m *builder) open(g *ground) {
	if !g.sealed {
		return
	}
	fs := m.Steps[g.step].Do.(plan.NewFS)
	if !fs.Attr.ReadOnly {
		return // already
	}
	fs.Attr.ReadOnly = false
	m.Steps[g.step].Do = fs
	m.seal = append(m.seal, g)
}

// sealAll makes read-only what open opened.
func (m *builder) sealAll() {
	for _, g := range m.seal {
		attr := m.Steps[g.step].Do.(plan.NewFS).Attr
		attr.ReadOnly = true
		m.Inside(g.from, "what nobox needed in it is made", plan.SetAttr{Tree: g.tree, Attr: attr})
	}
}
