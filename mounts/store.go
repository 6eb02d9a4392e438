package mounts

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strconv"

	"nobox/host"
	"nobox/plan"
)

// The store is a tmpfs of nobox's own, mounted where the box's /dev comes to
// lie on top of it: what is in it can be mounted in the box piece by piece, and
// no path leads to it. So nothing that the box, or a flag, does to a directory
// touches it.

func (m *builder) makeStore() error {
	if err := m.systemPoint("/dev"); err != nil {
		return err
	}
	m.store = m.newTmpfs("", "nobox's own files: /dev will lie on top of them", 0, 0o755, nosuidNodev)
	m.Inside("", "", plan.Attach{Tree: m.store, Root: m.root, At: "/dev", NoSymlinks: true, What: "mount nobox's own files"})
	return nil
}

var maskAttr = plan.Attr{ReadOnly: true, NoSuid: true, NoDev: true, NoExec: true}

// mask is a detached tree to put over something: an empty directory or an
// empty file, read-only.
func (m *builder) mask(dir bool) plan.Slot {
	if !m.masks {
		m.masks = true
		m.Inside("", "an empty directory for masks", plan.Mkdir{In: m.store, Path: "dir", Mode: 0o555})
		m.Inside("", "an empty file for masks", plan.File{In: m.store, Path: "file", Mode: 0o444})
	}
	t, name := m.NewSlot(), "file"
	if dir {
		name = "dir"
	}
	m.Inside("", "", plan.CopyTree{Of: m.store, Path: name, Attr: &maskAttr, Into: t})
	return t
}

// maskPlace puts something empty and read-only over what is there.
func (m *builder) maskPlace(e *entry) error {
	if e.absent {
		return nil // hold
	}
	have := m.standing(e.at)
	if have.Kind == host.None {
		if e.From == "" || m.hidden[m.under(e.at).at] {
			return nil
		}
		return &Error{What: e.what(), Flag: e.From, Cause: errors.New("there is nothing in the box"), Remedy: "only what is there can be masked"}
	}
	if m.hidden[e.at] {
		return nil
	}
	if g := m.under(e.at); g.source != "" {
		// The thing itself is meant, not the place alone.
		rel, _ := below(g.at, e.at)
		m.v.Hide = append(m.v.Hide, Thing{Path: plan.HostPath(path.Join(string(g.source), rel)), Kind: have.Kind, From: e.From, Why: e.Why, Stays: true})
	}
	m.keepAt(m.under(e.at), e.at, e.From)
	m.cover(e, have.Kind == host.Dir)
	return nil
}

// cover masks a place. What flags put below a masked directory still shows.
func (m *builder) cover(e *entry, dir bool) {
	m.hidden[e.at] = true
	if dir {
		m.ownTmpfs(e, "mask", 0, 0o555, maskAttr)
		return
	}
	m.Inside(e.From, e.Why, plan.Attach{Tree: m.mask(false), Root: m.root, At: plan.BoxPath(e.at), What: "mask"})
}

// shown are the places of the box that show something of the host, by whatever
// name, with the ground that each stands on. What a flag bound by that very
// name, or a part of it, is not among them.
func (m *builder) shown(p plan.HostPath, f func(g *ground, at string)) {
	for _, name := range m.f.Mounts.Names(p) {
		for source := range above(string(name)) {
			for _, g := range m.sources[plan.HostPath(source)] {
				rel, _ := below(source, string(name))
				at := path.Join(g.at, rel)
				if m.under(at) == g && (m.grounds[at] == nil || m.hidden[at]) {
					f(g, at)
				}
			}
		}
	}
}

// hide masks the things that the box must not see, wherever it would.
func (m *builder) hide() {
	for _, h := range m.v.Hide {
		m.shown(h.Path, func(g *ground, at string) {
			if m.isMasked(g, at) {
				return
			}
			m.hidden[at] = true
			if h.Stays {
				m.keepAt(g, at, h.From)
			}
			t := m.mask(h.Kind == host.Dir)
			m.Inside(h.From, h.Why, plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at), What: "mask"})
		})
	}
}

// isMasked says whether there is a mask at a place of a ground already, or over
// a directory above it.
func (m *builder) isMasked(g *ground, at string) bool {
	if m.hidden[at] {
		return true
	}
	for d := range above(at) {
		if len(d) < len(g.at) {
			break
		}
		if m.hidden[d] {
			return true
		}
	}
	return false
}

// keepAt has a place stay where it is: the directories above it, as far as the
// box may change them, are not to be renamed, or what is masked at a path would
// be masked at another, and something new could be made at the path.
func (m *builder) keepAt(g *ground, at, from string) {
	if from == "" || !g.writable && (g.of == nil || !g.of.upper) {
		return
	}
	k := m.kept[g]
	if k == nil {
		k = &keptDirs{from: from, seen: map[string]bool{}}
		if m.kept == nil {
			m.kept = map[*ground]*keptDirs{}
		}
		m.kept[g] = k
		m.keptIn = append(m.keptIn, g)
	}
	rel, _ := below(g.at, at)
	for d := path.Dir(rel); d != "/" && !k.seen[d]; d = path.Dir(d) {
		k.seen[d] = true
		k.dirs = append(k.dirs, d[1:])
	}
}

// keptDirs are directories of a ground that are not to be renamed.
type keptDirs struct {
	from string
	seen map[string]bool
	dirs []string
}

// keepDirs mounts something on the directories of keepAt: a mount point cannot be
// renamed or removed (vfs_rename in fs/namei.c). As in hold, that is in a copy of
// the tree that no path leads to, so that rename(2) crosses no border. Who may
// make mounts could leave the copy behind: there it is done in place.
func (m *builder) keepDirs() {
	for i, g := range m.keptIn {
		k := m.kept[g]
		if len(k.dirs) == 0 {
			continue
		}
		if m.v.Remounts != "" {
			sort.Strings(k.dirs) // what holds a place before it
			for _, d := range k.dirs {
				m.pin(path.Join(g.at, d), nosuidNodev, "so that what is masked below stays where it is")
			}
			continue
		}
		attr := maskAttr
		attr.NoLinks = true
		t, name := m.NewSlot(), "kept"+strconv.Itoa(i+1)
		if g.of == nil && len(m.f.Mounts.Below(g.source)) > 0 {
			// What the host has mounted below is not uncovered; mount_namespaces(7).
			m.Inside(k.from, "what is masked stays where it is", plan.CopyBoxTree{Root: m.root, Path: plan.BoxPath(g.at), Attr: attr, Into: t})
		} else {
			m.Inside(k.from, "what is masked stays where it is", plan.CopyTree{Of: g.tree, Attr: &attr, Into: t})
		}
		m.Inside(k.from, "", plan.Mkdir{In: m.store, Path: name, Mode: 0o555})
		m.Inside(k.from, "here the tree is out of reach", plan.AttachIn{Tree: t, In: m.store, Name: name})
		m.holdDirs(k.from, t, k.dirs)
	}
}

// ownIsAbove says whether a source lies in a directory of nobox's own, or is it.
func (m *builder) ownIsAbove(source plan.HostPath) bool {
	if m.own == nil {
		m.own = make(map[string]bool, 8)
		for _, p := range m.v.Protect {
			for _, name := range m.f.Mounts.Names(p.Path) {
				m.own[string(name)] = true
			}
		}
	}
	if m.own[string(source)] {
		return true
	}
	for p := range above(string(source)) {
		if m.own[p] {
			return true
		}
	}
	return false
}

// protect makes what the box must never write read-only wherever a writable
// share shows it. The directories on the way become mount points too, since a
// directory that is one cannot be renamed away with what is in it. One that is
// made for the time of boxes shows as an empty one: its lock is not theirs to take.
func (m *builder) protect() (err error) {
	pinned := map[string]bool{} // by the place in the box
	pinAbove := func(g *ground, at string) {
		for i := len(g.at) + 1; i < len(at); i++ {
			if d := at[:i]; at[i] == '/' && !pinned[d] && d != "" && d != g.at {
				pinned[d] = true
				m.pin(d, nosuidNodev, "so that it cannot be renamed with nobox's own in it")
			}
		}
	}
	for _, link := range m.v.FoundBy {
		m.shown(link, func(g *ground, at string) {
			if !g.writable || m.hidden[at] || pinned[at] {
				return
			}
			pinned[at] = true
			pinAbove(g, at)
			m.pinLink(at)
		})
	}
	for _, p := range m.v.Protect {
		held := false
		m.shown(p.Path, func(g *ground, at string) {
			if !g.writable || m.hidden[at] {
				return
			}
			if p.Kind == host.None && !p.Held {
				if err == nil {
					err = &Error{What: "share " + plan.Quote(string(g.source)), Flag: g.from, Cause: fmt.Errorf("the box could make %s, nobox's own", plan.Quote(string(p.Path))), Remedy: "touch " + ShellQuote(string(p.Path))}
				}
				return
			}
			if p.Held && !held {
				held = true
				m.ownHeld = append(m.ownHeld, p.Path)
				if m.ownFrom == "" {
					m.ownFrom = g.from
				}
			}
			pinAbove(g, at)
			if pinned[at] {
				return
			}
			pinned[at] = true
			if p.Empty {
				m.Inside(g.from, "nobox's own: were nothing there, the box could make it", plan.Attach{Tree: m.mask(true), Root: m.root, At: plan.BoxPath(at), What: "an empty directory"})
				return
			}
			attr := nosuidNodev
			attr.ReadOnly = true
			m.pin(at, attr, "nobox's own, never writable from inside")
		})
	}
	return err
}

// pinLink mounts a symbolic link on itself: it leads where it led, and is neither
// renamed nor removed.
func (m *builder) pinLink(at string) {
	t := m.NewSlot()
	m.Inside("", "by it nobox's own is found: the box could put another in its place", plan.CopyBoxTree{Root: m.root, Path: plan.BoxPath(at), Link: true, Attr: nosuidNodev, Into: t})
	m.Inside("", "", plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at), Link: true})
}

// pin mounts a path of the box on itself.
func (m *builder) pin(at string, attr plan.Attr, why string) {
	t := m.NewSlot()
	m.Inside("", why, plan.CopyBoxTree{Root: m.root, Path: plan.BoxPath(at), Attr: attr, Into: t})
	m.Inside("", "", plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at)})
}
