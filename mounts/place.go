package mounts

import (
	"errors"
	"fmt"
	"path"

	"nobox/host"
	"nobox/plan"
)

// place puts one entry where it belongs.
func (m *builder) place(e *entry) error {
	if e.system {
		switch e.at {
		case "/proc":
			return m.proc(e)
		case "/sys":
			return m.sys(e)
		default:
			return m.dev(e)
		}
	}
	switch e.What {
	case Bind:
		return m.bind(e)
	case Mask:
		return m.maskPlace(e)
	case Device:
		return m.device(e)
	case Make:
		if g := m.under(e.at); g.source == "" {
			rel, _ := below(g.at, e.at)
			m.parents(g, rel)
			if !m.made[e.at] {
				m.made[e.at] = true
				m.open(g)
				m.Inside(e.From, e.Why, plan.Mkdir{In: g.tree, Path: rel[1:], Mode: e.Mode, MayExist: true})
			}
		}
		return nil
	case Link:
		if g := m.under(e.at); g.source == "" && !m.isMade(e.at) {
			rel, _ := below(g.at, e.at)
			m.parents(g, rel)
			m.made[e.at] = false
			m.open(g)
			m.Inside(e.From, e.Why, plan.Symlink{In: g.tree, Name: rel[1:], Target: e.Target})
		}
		return nil
	case Empty:
		if g := m.under(e.at); g.source != "" {
			if have := m.standing(e.at); have.Kind != host.Dir {
				return nil // nothing to hide
			}
		}
	}
	return m.tmpfs(e)
}

func (m *builder) bind(e *entry) error {
	dir := e.SourceKind == host.Dir
	if e.SourceKind == host.CharDev || e.SourceKind == host.None {
		return &Error{What: e.what(), Flag: e.From, Cause: errors.New("it is a device"), Remedy: "--device shares one"}
	}
	// What an outer bind already shows the same way needs no second mount.
	if g := m.under(e.at); e.From == "" && g.source != "" && g.at != "/" && m.early[string(e.At)] == 0 {
		rel, _ := below(g.at, e.at)
		if path.Join(string(g.source), rel) == string(e.Source) && g.writable != e.ReadOnly {
			return nil
		}
	}
	if err := m.point(e, dir); err != nil {
		return err
	}
	if o := m.over[e]; o != nil {
		m.Inside(e.From, "", plan.Attach{Tree: o.pieces[0].tree, Root: m.root, At: plan.BoxPath(e.at), What: "mount an overlay"})
		m.attachPieces(o, "what is overlaid at "+plan.Quote(e.at))
		if e.Flat {
			m.flatten(e, m.grounds[e.at])
		}
		return nil
	}
	tree := m.early[string(e.At)]
	if tree == 0 {
		tree = m.NewSlot()
		m.Inside(e.From, e.Why, m.openTree(e.Entry, tree))
	}
	attr := m.attrOf(e.Entry)
	m.Inside(e.From, "", plan.Attach{Tree: tree, Root: m.root, At: plan.BoxPath(e.at), What: "bind " + plan.Quote(string(e.Source))})
	g := &ground{at: e.at, tree: tree, source: e.Source, writable: !attr.ReadOnly, from: e.From, why: "what is bound at " + plan.Quote(e.at)}
	m.stand(g)
	if e.Flat && dir {
		m.flatten(e, g)
	}
	return nil
}

// flatten covers what is mounted below a source. The kernel gives no tree
// without it: what a mount covers on the host would come to light
// (mount_namespaces(7), on locked mounts).
func (m *builder) flatten(e *entry, g *ground) {
	last := ""
	for _, p := range m.f.Mounts.Below(g.source) {
		rel, _ := below(string(g.source), string(p))
		if _, in := below(last, rel); in && last != "" {
			continue // covered with what it is mounted on
		}
		kind := m.known[host.Place{Base: g.source, Path: rel, Bound: true}].Kind
		at := path.Join(g.at, rel)
		if kind == host.None || m.hidden[at] {
			continue
		}
		last = rel
		m.hidden[at] = true
		m.Inside(e.From, "mounted on the host, and not asked for", plan.Attach{Tree: m.mask(kind == host.Dir), Root: m.root, At: plan.BoxPath(at), What: "mask"})
	}
}

// device shares a device, or a directory of them.
func (m *builder) device(e *entry) error {
	dir := e.SourceKind == host.Dir
	if e.SourceKind == host.File || e.SourceKind == host.None {
		return &Error{What: e.what(), Flag: e.From, Cause: fmt.Errorf("it is %v, not a device", e.SourceKind)}
	}
	if _, ok := below("/dev", string(e.Source)); !ok {
		return &Error{What: e.what(), Flag: e.From, Cause: errors.New("it does not lie below /dev")}
	}
	if err := m.point(e, dir); err != nil {
		return err
	}
	tree := m.NewSlot()
	m.Inside(e.From, e.Why, plan.OpenTree{Source: e.Source, Recursive: dir, Attr: plan.Attr{NoSuid: true, NoExec: true}, Into: tree})
	m.Inside(e.From, "", plan.Attach{Tree: tree, Root: m.root, At: plan.BoxPath(e.at), What: "share a device"})
	return nil
}

func (m *builder) tmpfs(e *entry) error {
	if err := m.point(e, true); err != nil {
		return err
	}
	m.ownTmpfs(e, "mount a tmpfs", e.Size, e.Mode, plan.Attr{NoSuid: true, NoDev: true, NoExec: e.NoExec, ReadOnly: e.ReadOnly})
	return nil
}

// ownTmpfs mounts a new tmpfs, which becomes a ground.
func (m *builder) ownTmpfs(e *entry, what string, size uint64, mode uint32, attr plan.Attr) {
	g := &ground{at: e.at, from: e.From, step: len(m.Steps), sealed: attr.ReadOnly}
	g.tree = m.newTmpfs(e.From, e.Why, size, mode, attr)
	m.Inside(e.From, "", plan.Attach{Tree: g.tree, Root: m.root, At: plan.BoxPath(e.at), What: what})
	m.stand(g)
}

func (m *builder) newTmpfs(from, why string, size uint64, mode uint32, attr plan.Attr) plan.Slot {
	tree := m.NewSlot()
	opts := []plan.Option{{Key: "mode", Value: fmt.Sprintf("%04o", mode)}}
	if size > 0 {
		opts = append(opts, plan.Option{Key: "size", Value: fmt.Sprint(size)})
	}
	m.Inside(from, why, plan.NewFS{Type: "tmpfs", Options: opts, Attr: attr, Into: tree})
	return tree
}

// openWhole opens the host's whole tree for those who bind it, as long as the
// box's own root is not mounted on it.
func (m *builder) openWhole() {
	for _, e := range m.v.Entries {
		if e.What == Bind && e.Source == "/" && !e.Overlay {
			m.openEarly(e)
		}
	}
}

// openEarly opens the tree of a bind before its turn.
func (m *builder) openEarly(e Entry) {
	if m.early[string(e.At)] != 0 {
		return // the same place twice, which is an error later
	}
	if m.early == nil {
		m.early = map[string]plan.Slot{}
	}
	tree := m.NewSlot()
	m.early[string(e.At)] = tree
	m.Inside(e.From, e.Why, m.openTree(e, tree))
}

// openTree is the step that opens a bind's source.
func (m *builder) openTree(e Entry, tree plan.Slot) plan.OpenTree {
	src := e.Source
	if e.From == "" && src == m.f.Cwd {
		src = plan.WorkingDirectory
	}
	return plan.OpenTree{Source: src, Recursive: true, Attr: m.attrOf(e), Into: tree}
}

func (m *builder) attrOf(e Entry) plan.Attr {
	return plan.Attr{NoSuid: true, NoDev: true, ReadOnly: e.ReadOnly || m.ownIsAbove(e.Source), NoExec: e.NoExec}
}
