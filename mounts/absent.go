package mounts

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// A mask of what is not there, in an overlay, is a name that stays free: a
// whiteout in the layer that is written to, on which something is mounted. The
// kernel renames onto no name that is a mount point in the caller's namespace
// (EBUSY; fs/namei.c, vfs_rename), and that is how an overlay makes what had a
// whiteout. The mounts lie below nobox's own files, where no path leads.
// docs/adr/0019.

// An absence is a name of a piece that is to stay free.
type absence struct {
	rel  string // below the piece, no "/" in front
	from string
	made bool // kept changes have the whiteout already
}

// isGround says whether something of its own comes to an entry's place.
func (e *entry) isGround() bool {
	return e.What != Make && e.What != Link && e.What != Mask && e.at != "/"
}

// upperOf is where an overlay of source keeps what is written.
func (k *Keep) upperOf(source plan.HostPath) plan.HostPath {
	return plan.HostPath(path.Join(string(k.Dir), plan.LayerName(source), "upper"))
}

// absent is what there is to know of a mask's place that may not be there: who
// owns the directory that it would be in, and what an earlier box left of it.
// The latter is asked for by the place's resolved path, once that is known.
func (v View) absent(f *host.Facts, at string, binds map[string]plan.HostPath) (ps []host.Place) {
	ask := func(base plan.HostPath, rel string, bound bool) {
		p := host.Place{Base: base, Path: rel, Bound: bound, Make: true}
		ps = append(ps, p)
		pf, ok := f.Places[p]
		if v.Keep == nil || !ok || pf.Resolved == "" {
			return
		}
		source := path.Join(string(base), string(pf.Resolved))
		for outer := range above(source) {
			if rest, ok := below(outer, source); ok {
				ps = append(ps, host.Place{Base: v.Keep.upperOf(plan.HostPath(outer)), Path: rest, Bound: true})
			}
		}
	}
	if v.Overlay != "" {
		ask(v.base(), at, false)
	}
	for outer := range above(at) {
		if source, bound := binds[outer]; bound {
			rel, _ := below(outer, at)
			ask(source, rel, true)
		}
	}
	return ps
}

// absences finds the masks of what is not there.
func (m *builder) absences(todo []*overlaid, entries []*entry) error {
	type owner struct {
		o *overlaid
		p *piece
	}
	pieces, other := map[string]owner{}, map[string]bool{}
	for _, o := range todo {
		for _, p := range o.pieces {
			if o.upper && !p.readOnly {
				pieces[p.at] = owner{o, p}
			}
		}
	}
	for _, e := range entries {
		if _, is := pieces[e.at]; !is && e.isGround() {
			other[e.at] = true
		}
	}
	for _, e := range entries {
		if e.What != Mask || e.From == "" {
			continue
		}
		var in owner
		for d := range above(e.at) {
			if in = pieces[d]; in.p != nil || other[d] {
				break
			}
		}
		if in.p == nil || m.isMade(e.at) {
			continue
		}
		if err := m.absence(e, in.o, in.p); err != nil {
			return err
		}
	}
	return nil
}

func (m *builder) absence(e *entry, o *overlaid, p *piece) error {
	bad := func(cause error, remedy string) error {
		return &Error{What: e.what(), Flag: e.From, Cause: cause, Remedy: remedy}
	}
	base, bound, at := o.source, o.entry != nil, e.at
	if bound {
		at, _ = below(o.at, e.at)
	}
	low := m.known[host.Place{Base: base, Path: at, Bound: bound, Make: true}]
	rel, _ := below(p.at, e.at)
	var kept host.PlaceFact
	if k := m.v.Keep; k != nil {
		kept = m.known[host.Place{Base: k.upperOf(p.source), Path: rel, Bound: true}]
		switch {
		case low.Err != nil:
			return nil // point says so
		case kept.Err != nil:
			return bad(fmt.Errorf("what %s keeps of it: %w", plan.Quote(string(k.Dir)), kept.Err), "")
		case kept.Kind == host.CharDev: // a whiteout: an earlier box deleted it, or was not to have it
			e.absent = true
			p.absent = append(p.absent, absence{rel: rel[1:], from: e.From, made: true})
			return m.mayHold(e)
		case kept.Kind != host.None && low.Kind == host.None:
			m.made[e.at] = kept.Kind == host.Dir // what an earlier box made
			return nil
		}
	}
	if low.Err != nil || low.Kind != host.None || low.Exists == "" {
		return nil
	}
	// The first of its components that is not there.
	name, _, _ := strings.Cut(strings.TrimPrefix(at[len(strings.TrimSuffix(string(low.Exists), "/")):], "/"), "/")
	first := path.Join(o.at, string(low.Exists), name)
	rel, ok := below(p.at, first)
	if !ok {
		return nil
	}
	if k := m.v.Keep; k != nil && kept.Exists != "" && len(kept.Exists) >= len(rel) {
		return bad(fmt.Errorf("%s is only there in what an earlier box left in %s", plan.Quote(first), plan.Quote(string(k.Dir))), "apply or discard that first")
	}
	for _, l := range p.lacks {
		if l.rel == rel {
			return bad(fmt.Errorf("%s is only there as a mount point that nobox makes", plan.Quote(first)), "make it on the host")
		}
	}
	e.absent = true
	if path.Dir(rel) != "/" && m.v.Mapped != nil && !m.v.Mapped(low.Owner[0], low.Owner[1]) {
		return nil // no overlay copies up a directory of ids that are not mapped: nothing can be made in it
	}
	for _, a := range p.absent {
		if a.rel == rel[1:] {
			return nil
		}
	}
	p.absent = append(p.absent, absence{rel: rel[1:], from: e.From})
	return m.mayHold(e)
}

// mayHold: who may make mounts can leave those behind that keep a name free.
func (m *builder) mayHold(e *entry) error {
	if m.v.Remounts == "" {
		return nil
	}
	return &Error{What: e.what(), Flag: e.From, Cause: errors.New("there is nothing in the box, and with " + m.v.Remounts + " the box could make it"),
		Remedy: "make it on the host, empty: then it can be masked"}
}

// whiteouts makes the whiteouts of a piece, in the layer that it writes to,
// which is a directory of a tree. Nobody has looked into the overlay yet.
func (m *builder) whiteouts(p *piece, tree plan.Slot, upper string) {
	if len(p.absent) == 0 {
		return
	}
	copied := map[string]bool{".": true}
	for _, a := range p.absent {
		if a.made {
			continue
		}
		if dir := path.Dir(a.rel); !copied[dir] {
			copied[dir] = true
			m.Inside(a.from, "it is to lack a name", plan.CopyUp{In: p.tree, Path: dir})
		}
		m.Inside(a.from, "it is not there, and is to stay so", plan.Whiteout{In: tree, Path: upper + "/" + a.rel})
	}
	attr := maskAttr
	attr.NoLinks = true
	p.held = m.NewSlot()
	m.Inside(p.absent[0].from, "", plan.CopyTree{Of: tree, Path: upper, Attr: &attr, Into: p.held})
	m.held = append(m.held, p)
}

// hold mounts something on each whiteout, and on the directories above it: those
// can be removed otherwise, and made again without it.
func (m *builder) hold() {
	for i, p := range m.held {
		name := "held" + strconv.Itoa(i+1)
		from := p.absent[0].from
		m.Inside(from, "", plan.Mkdir{In: m.store, Path: name, Mode: 0o555})
		m.Inside(from, "here the layer is out of reach", plan.AttachIn{Tree: p.held, In: m.store, Name: name})
		var dirs []string
		seen := map[string]bool{".": true}
		for _, a := range p.absent {
			m.Inside(a.from, "nothing can be made where something is mounted below", plan.AttachIn{Tree: m.mask(false), In: p.held, Name: a.rel})
			for d := path.Dir(a.rel); !seen[d]; d = path.Dir(d) {
				seen[d] = true
				dirs = append(dirs, d)
			}
		}
		m.holdDirs(from, p.held, dirs)
	}
}

// holdDirs mounts something on directories of a tree that is out of reach, the
// deepest first: it covers what is in them.
func (m *builder) holdDirs(from string, tree plan.Slot, dirs []string) {
	sort.SliceStable(dirs, func(i, j int) bool { return strings.Count(dirs[i], "/") > strings.Count(dirs[j], "/") })
	for _, d := range dirs {
		m.Inside(from, "so that it is neither renamed nor removed", plan.AttachIn{Tree: m.mask(true), In: tree, Name: d})
	}
}
