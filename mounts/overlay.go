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

// An overlay lets the box write to a tree of the host without the tree being
// written: the changes go to memory, or are kept in a directory.
//
// The kernel takes no tree for a layer that something of the host is mounted
// on, since that would uncover what is below (mount_namespaces(7)). So a tree
// with mounts in it becomes several overlays: the directories that lead to the
// mounts are made anew, a skeleton, and everything that they hold is an overlay
// of its own, put in its place. docs/adr/0011.

// Keep is where changes are kept. Each layer has a directory there, named for
// its source (plan.LayerName), with upper and work below it.
type Keep struct {
	Dir     plan.HostPath
	From    string
	NoAttrs bool  // its file system has no user.* attributes
	Err     error // why nothing can be made in it
}

// notLower are the file systems that cannot be a lower layer: their names have
// rules of their own (fs/overlayfs/util.c, ovl_dentry_weird).
func notLower(typ string) bool {
	switch typ {
	case "vfat", "msdos", "exfat", "ntfs", "ntfs3, nocase", "cifs", "smb3", "autofs", "hfs", "hfsplus":
		return true
	}
	return pseudo(typ)
}

// pseudo are the kernel's own, in which there is nothing to keep.
func pseudo(typ string) bool {
	switch typ {
	case "proc", "sysfs", "cgroup", "cgroup2", "devtmpfs", "devpts", "mqueue", "debugfs", "tracefs", "securityfs", "bpf", "pstore",
		"configfs", "efivarfs", "fusectl", "binfmt_misc", "hugetlbfs", "rpc_pipefs", "nsfs":
		return true
	}
	return false
}

// notUpper says why a file system cannot hold an overlay's changes, "" if it
// can: it must rename with a whiteout left behind, and keep user.* attributes.
func notUpper(typ string) string {
	switch typ {
	case "nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "virtiofs":
		return "is a network's file system (" + typ + "), which cannot hold an overlay's changes"
	case "overlay", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "ntfs3, nocase", "iso9660", "squashfs", "erofs", "fuseblk", "fuse", "ecryptfs", "aufs":
		return "is " + typ + ", which cannot hold an overlay's changes"
	}
	if strings.HasPrefix(typ, "fuse.") {
		return "is " + typ + ", which cannot hold an overlay's changes"
	}
	return ""
}

// piece is what an overlaid tree is made of: an overlay of one directory.
type piece struct {
	source   plan.HostPath
	at       string
	perm     uint32
	skeleton string // the directory of the stub that is its lower layer, "" for the source itself
	lacks    []lack // mount points that it lacks
	tree     plan.Slot
	readOnly bool // not an overlay: what cannot be a layer
	absent   []absence
	held     plan.Slot // the layer that is written to, where there are absences
}

type lack struct {
	rel  string // "/"-led, below the piece
	dir  bool
	etc  bool // for a file of the box's own
	mode uint32
}

// overlaid is a tree of the host to be overlaid.
type overlaid struct {
	entry  *entry // nil is the root
	source plan.HostPath
	at     string
	from   string
	why    string
	noExec bool
	upper  bool // else it is read-only, and there for the mount points alone
	bones  []bone
	pieces []*piece // the first is the tree's own root
}

// bone is what a skeleton has besides directories that pieces lie on.
type bone struct {
	rel  string // below the overlaid tree
	kind host.Kind
	link string // of a symbolic link
	perm uint32
	file plan.HostPath // to be bound there, read-only
}

// interior are the directories of a tree in which or below which something is
// mounted, the tree's own first; none if nothing is.
func interior(ms host.Mounts, source plan.HostPath, covered func(string) bool) []plan.HostPath {
	set := map[string]bool{}
	for _, p := range ms.Below(source) {
		if covered(path.Dir(string(p))) {
			continue
		}
		for d := range above(string(p)) {
			if d != string(source) && !within(string(source), d) || set[d] {
				break
			}
			set[d] = true
			if d == string(source) {
				break
			}
		}
	}
	var out []plan.HostPath
	for d := range set {
		out = append(out, plan.HostPath(d))
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

func within(dir, p string) bool {
	_, ok := below(dir, p)
	return ok || p == dir
}

// Lists are the directories of the host whose entries Steps needs to know.
func (v View) Lists(f *host.Facts) (out []plan.HostPath) {
	if v.Overlay != "" {
		out = append(out, interior(f.Mounts, v.base(), v.covered())...)
	}
	for _, e := range v.Entries {
		if e.What == Bind && e.Overlay {
			out = append(out, interior(f.Mounts, e.Source, func(string) bool { return false })...)
		}
	}
	return out
}

// covered says whether a path of the host's tree is one that the box never
// shows, for something of its own lies over it.
func (v View) covered() func(string) bool {
	over := map[string]bool{"/proc": true, "/sys": true, "/dev": true}
	for _, e := range v.Entries {
		if e.What == Empty || e.What == Tmpfs || e.What == Bind {
			over[string(e.At)] = true
		}
	}
	base := strings.TrimSuffix(string(v.base()), "/")
	return func(p string) bool {
		p = strings.TrimPrefix(p, base)
		if over[p] {
			return true
		}
		for d := range above(p) {
			if over[d] {
				return true
			}
		}
		return false
	}
}

// overlays makes all overlays of the view, detached, before the box has its
// root: their layers are named by path, and a tmpfs that lies over the old root
// for that long holds them.
func (m *builder) overlays(entries []*entry) error {
	var todo []*overlaid
	if m.v.Overlay != "" || m.v.Rootfs != "" && m.v.ReadOnly {
		o := &overlaid{source: m.v.base(), at: "/", from: m.v.Overlay, why: "the root", upper: m.v.Overlay != ""}
		if o.from == "" {
			o.from = "--read-only"
		}
		todo = append(todo, o)
		m.overRoot = o
	}
	for _, e := range entries {
		if e.What == Bind && e.Overlay && !e.system {
			if e.SourceKind != host.Dir {
				return &Error{What: "overlay " + plan.Quote(string(e.Source)), Flag: e.From, Cause: fmt.Errorf("it is %v, and an overlay is of a directory", e.SourceKind)}
			}
			o := &overlaid{entry: e, source: e.Source, at: e.at, from: e.From, why: e.Why, upper: true, noExec: e.NoExec}
			todo = append(todo, o)
			if m.over == nil {
				m.over = map[*entry]*overlaid{}
			}
			m.over[e] = o
		}
	}
	if len(todo) == 0 {
		return nil
	}
	for _, o := range todo {
		if err := m.dissect(o); err != nil {
			return err
		}
	}
	m.lacking(todo, entries)
	if err := m.absences(todo, entries); err != nil {
		return err
	}
	if o := m.overRoot; o != nil && !o.upper && !m.worthIt(o) {
		todo, m.overRoot = todo[1:], nil
		if len(todo) == 0 {
			return nil
		}
	}

	// The working directory by the process's own reference, as long as it stands there.
	for _, e := range entries {
		if e.What == Bind && !e.Overlay && e.From == "" && e.Source == m.f.Cwd && !e.system {
			m.openEarly(e.Entry)
		}
	}
	stub := m.newTmpfs(todo[0].from, "a place for layers", 0, 0o755, nosuidNodev)
	m.Inside(todo[0].from, "for now: the box's root comes later", plan.AttachRoot{Tree: stub})
	keep := plan.Slot(0)
	if k := m.v.Keep; k != nil {
		keep = m.NewSlot()
		m.Inside(k.From, "the changes are kept here", plan.OpenTree{Source: k.Dir, Attr: plan.Attr{NoSuid: true, NoDev: true, NoLinks: true}, Into: keep})
		m.Inside(k.From, "", plan.Mkdir{In: stub, Path: "keep", Mode: 0o755})
		m.Inside(k.From, "", plan.AttachIn{Tree: keep, In: stub, Name: "keep"})
	}
	n := 0
	type made struct {
		o     *overlaid
		p     *piece
		n     string
		layer plan.Slot // that is kept
	}
	var all []made
	keeps := map[string]string{} // the flags, by the layer
	for _, o := range todo {
		for _, p := range o.pieces {
			if p.readOnly {
				continue
			}
			n++
			s := strconv.Itoa(n)
			all = append(all, made{o, p, s, 0})
			if p.skeleton != "" {
				m.skeleton(o, p, stub, "l"+s)
			} else {
				lower := m.NewSlot()
				m.Inside(o.from, "", plan.Mkdir{In: stub, Path: "l" + s, Mode: 0o755})
				attr := nosuidNodev
				attr.ReadOnly = true
				m.Inside(o.from, o.why, plan.OpenTree{Source: p.source, Recursive: true, Attr: attr, Into: lower})
				m.Inside(o.from, "", plan.AttachIn{Tree: lower, In: stub, Name: "l" + s})
			}
			if len(p.lacks) > 0 {
				m.Inside(o.from, "mount points that are not there", plan.Mkdir{In: stub, Path: "x" + s, Mode: 0o755})
				m.lackSteps(o, p, stub, "x"+s)
			}
			switch {
			case !o.upper:
			case keep == 0:
				m.Inside(o.from, "what is written goes to memory", plan.Mkdir{In: stub, Path: "u" + s, Mode: p.perm})
				m.Inside(o.from, "", plan.Mkdir{In: stub, Path: "w" + s, Mode: 0o700})
			default:
				k, layer := m.v.Keep, plan.LayerName(p.source)
				if other, twice := keeps[layer]; twice {
					// Two overlays with one upper layer are undefined; overlayfs.rst, "sharing and copying layers".
					return &Error{What: "keep the changes of " + plan.Quote(string(p.source)) + " twice", Flag: o.from, Cause: fmt.Errorf("%s is an overlay of it too", other),
						Remedy: "without " + k.From + " each has changes of its own, in memory"}
				}
				keeps[layer] = o.from
				t := m.NewSlot()
				all[len(all)-1].layer = t
				for i := range layer {
					if layer[i] == '/' {
						m.Inside(k.From, "a long path names several directories", plan.Mkdir{In: keep, Path: layer[:i], Mode: 0o700, MayExist: true})
					}
				}
				m.Inside(k.From, "", plan.Mkdir{In: keep, Path: layer, Mode: 0o700, MayExist: true})
				m.Inside(k.From, "what is written is kept here", plan.Mkdir{In: keep, Path: layer + "/upper", Mode: p.perm, MayExist: true})
				m.Inside(k.From, "", plan.Mkdir{In: keep, Path: layer + "/work", Mode: 0o700, MayExist: true})
				m.Inside(k.From, "", plan.CopyTree{Of: keep, Path: layer, Into: t})
				m.Inside(k.From, "", plan.Mkdir{In: stub, Path: "k" + s, Mode: 0o755})
				m.Inside(k.From, "", plan.AttachIn{Tree: t, In: stub, Name: "k" + s})
			}
		}
	}
	m.Inside("", "an overlay names its layers by path, 255 bytes at most", plan.EnterTree{Tree: stub})
	for _, x := range all {
		lower := "l" + x.n
		if len(x.p.lacks) > 0 {
			lower += ":x" + x.n
		}
		attr := nosuidNodev
		attr.NoExec = x.o.noExec
		opts := []plan.Option{{Key: "lowerdir", Value: lower}}
		switch {
		case !x.o.upper:
			attr.ReadOnly = true
		case keep == 0:
			opts = append(opts, plan.Option{Key: "upperdir", Value: "u" + x.n}, plan.Option{Key: "workdir", Value: "w" + x.n}, plan.Option{Key: "userxattr"})
		default:
			opts = append(opts, plan.Option{Key: "upperdir", Value: "k" + x.n + "/upper"}, plan.Option{Key: "workdir", Value: "k" + x.n + "/work"}, plan.Option{Key: "userxattr"})
		}
		x.p.tree = m.NewSlot()
		m.Inside(x.o.from, plan.Quote(string(x.p.source))+" as the box may change it", plan.NewFS{Type: "overlay", Options: opts, Attr: attr, Into: x.p.tree, Of: x.p.source})
	}
	for _, x := range all {
		if x.layer == 0 {
			m.whiteouts(x.p, stub, "u"+x.n)
		} else {
			m.whiteouts(x.p, x.layer, "upper")
		}
	}
	m.Inside("", "the overlays have their own hold on it", plan.Detach{Tree: stub})
	return nil
}

// worthIt says whether a read-only root is to be an overlay, for the mount
// points that it lacks. Those for files of /etc alone are not worth an error.
func (m *builder) worthIt(o *overlaid) bool {
	must := false
	for _, l := range o.pieces[0].lacks {
		must = must || !l.etc
	}
	if must || len(o.pieces[0].lacks) > 0 && len(m.f.Mounts.Below(o.source)) == 0 && !notLower(m.f.Mounts.TypeOf(o.source)) {
		return true
	}
	for _, l := range o.pieces[0].lacks {
		delete(m.made, l.rel)
	}
	return false
}

// dissect finds the pieces of a tree.
func (m *builder) dissect(o *overlaid) error {
	perm := func(p uint32) uint32 {
		if p == 0 {
			return 0o755
		}
		return p
	}
	rootPerm := perm(m.v.RootPerm)
	covered := func(string) bool { return false }
	if o.entry != nil {
		rootPerm = perm(o.entry.SourcePerm)
	} else {
		covered = m.v.covered()
	}
	cannot := func(p plan.HostPath, typ string) error {
		return &Error{What: "overlay " + plan.Quote(string(p)), Flag: o.from, Cause: fmt.Errorf("it is %s, which cannot be a layer of an overlay", typ)}
	}
	typeOf := func(p plan.HostPath) string {
		if m.f.Mounts == nil {
			return ""
		}
		return m.f.Mounts.TypeOf(p)
	}
	if k := m.v.Keep; k != nil && o.upper {
		why := notUpper(typeOf(k.Dir))
		if why == "" && k.NoAttrs {
			// mkdir(2) where something was removed would fail, with EIO.
			if why = "is on a file system without user.* attributes, which an overlay's changes need"; typeOf(k.Dir) != "" {
				why = "is " + typeOf(k.Dir) + ", without the user.* attributes that an overlay's changes need"
			}
		}
		if why != "" {
			return &Error{What: "keep changes in " + plan.Quote(string(k.Dir)), Flag: k.From, Cause: errors.New("it " + why), Remedy: "a directory on a local disk can; without one the changes go to memory"}
		}
		if k.Err != nil {
			return &Error{What: "keep changes in " + plan.Quote(string(k.Dir)), Flag: k.From, Cause: k.Err}
		}
		if within(string(k.Dir), string(o.source)) || o.source != "/" && within(string(o.source), string(k.Dir)) {
			return &Error{What: "keep changes in " + plan.Quote(string(k.Dir)), Flag: k.From, Cause: fmt.Errorf("one of it and %s, which is overlaid, holds the other", plan.Quote(string(o.source))), Remedy: "another directory, elsewhere"}
		}
	}
	if t := typeOf(o.source); notLower(t) && o.upper {
		return cannot(o.source, t)
	}
	inside := map[plan.HostPath]bool{}
	if o.upper {
		for _, d := range interior(m.f.Mounts, o.source, covered) {
			inside[d] = true
		}
	}
	boxOf := func(p plan.HostPath) string {
		if p == o.source {
			return o.at
		}
		rel, _ := below(string(o.source), string(p))
		return path.Join(o.at, rel)
	}
	root := &piece{source: o.source, at: o.at, perm: rootPerm}
	o.pieces = append(o.pieces, root)
	if !inside[o.source] {
		return nil
	}
	root.skeleton = "skeleton"
	mounted := map[plan.HostPath]bool{}
	for _, p := range m.f.Mounts.Below(o.source) {
		mounted[p] = true
	}
	var walk func(dir plan.HostPath) error
	walk = func(dir plan.HostPath) error {
		list := m.f.Lists[dir]
		if list.Err != nil {
			return &Error{What: "overlay " + plan.Quote(string(dir)), Flag: o.from, Cause: list.Err}
		}
		for _, e := range list.Entries {
			p := plan.HostPath(path.Join(string(dir), e.Name))
			rel, _ := below(string(o.source), string(p))
			b := bone{rel: rel, kind: e.Kind, link: e.Link, perm: perm(e.Perm)}
			switch {
			case e.Link != "":
			case e.Kind == host.Dir && covered(string(p)):
			case e.Kind == host.Dir && inside[p]:
				o.bones = append(o.bones, b)
				if mounted[p] && o.at == "/" && notLower(typeOf(p)) {
					o.pieces = append(o.pieces, &piece{source: p, at: boxOf(p), readOnly: true})
					continue
				}
				if err := walk(p); err != nil {
					return err
				}
				continue
			case e.Kind == host.Dir:
				t := typeOf(p)
				x := &piece{source: p, at: boxOf(p), perm: perm(e.Perm), readOnly: notLower(t)}
				if x.readOnly && o.entry != nil && !pseudo(t) {
					return cannot(p, t)
				}
				if k := m.v.Keep; k != nil && !x.readOnly && within(string(p), string(k.Dir)) {
					return &Error{What: "keep changes in " + plan.Quote(string(k.Dir)), Flag: k.From, Cause: fmt.Errorf("it lies in %s, which is overlaid", plan.Quote(string(p))), Remedy: "a directory below the home, or one that the box does not see"}
				}
				o.pieces = append(o.pieces, x)
			case e.Kind == host.File:
				b.file = p
			default:
				continue // a socket, a fifo, a device
			}
			o.bones = append(o.bones, b)
		}
		return nil
	}
	return walk(o.source)
}

// lacking finds the mount points that overlaid trees have to be given.
func (m *builder) lacking(todo []*overlaid, entries []*entry) {
	byAt := map[string]*piece{}
	ground := map[string]bool{} // places that something else than an overlay is put at
	for _, o := range todo {
		for _, p := range o.pieces {
			byAt[p.at] = p
		}
		for _, b := range o.bones {
			m.made[path.Join(o.at, b.rel)] = b.kind == host.Dir
		}
	}
	for _, e := range entries {
		if byAt[e.at] == nil && e.isGround() {
			ground[e.at] = true
		}
	}
	need := func(at string, have host.PlaceFact, dir bool, mode uint32) {
		if have.Kind != host.None || have.Err != nil || m.isMade(at) {
			return
		}
		var p *piece
		for d := range above(at) {
			if ground[d] {
				return
			}
			if p = byAt[d]; p != nil {
				break
			}
		}
		if p == nil || p.readOnly {
			return
		}
		rel, _ := below(p.at, at)
		for i := 1; i < len(rel); i++ {
			if rel[i] == '/' {
				p.lacks = append(p.lacks, lack{rel: rel[:i], dir: true, mode: 0o755})
			}
		}
		p.lacks = append(p.lacks, lack{rel: rel, dir: dir, mode: mode})
		m.made[at] = dir
	}
	fact := func(at string) host.PlaceFact {
		for d := range above(at) {
			if e := m.overAt(todo, d); e != nil && e.entry != nil {
				rel, _ := below(d, at)
				return m.known[host.Place{Base: e.source, Path: rel, Bound: true}]
			}
		}
		return m.at(at)
	}
	for _, d := range m.missing {
		mode := uint32(0o755)
		if path.Base(d) == "tmp" {
			mode = 0o1777
		}
		delete(m.made, "/"+d)
		need("/"+d, host.PlaceFact{}, true, mode)
		m.made["/"+d] = true
	}
	for _, e := range entries {
		switch e.What {
		case Bind, Device:
			need(e.at, fact(e.at), e.SourceKind == host.Dir, 0o755)
		case Tmpfs:
			need(e.at, fact(e.at), true, 0o755)
		}
	}
	if m.v.Rootfs != "" {
		etc := m.at("/etc")
		for _, f := range etcFiles {
			if pf := m.at(f.path); string(pf.Resolved) == f.path && (etc.Kind == host.Dir || etc.Kind == host.None && etc.Resolved == "/etc") {
				need(f.path, pf, false, 0o644)
				if p := todo[0].pieces[0]; len(p.lacks) > 0 && p.lacks[len(p.lacks)-1].rel == f.path {
					for i := range p.lacks {
						p.lacks[i].etc = p.lacks[i].etc || p.lacks[i].rel == f.path || p.lacks[i].rel == "/etc"
					}
				}
			}
		}
	}
}

func (m *builder) overAt(todo []*overlaid, at string) *overlaid {
	for _, o := range todo {
		if o.at == at {
			return o
		}
	}
	return nil
}

// lackSteps makes what a piece lacks, in a directory of the stub.
func (m *builder) lackSteps(o *overlaid, p *piece, stub plan.Slot, dir string) {
	done := map[string]bool{}
	for _, l := range p.lacks {
		if done[l.rel] {
			continue
		}
		done[l.rel] = true
		if l.dir {
			m.Inside(o.from, "", plan.Mkdir{In: stub, Path: dir + l.rel, Mode: l.mode, MayExist: true})
		} else {
			m.Inside(o.from, "", plan.File{In: stub, Path: dir + l.rel, Mode: l.mode})
		}
	}
}

// skeleton makes the directories that lead to what is mounted, and what they
// hold besides.
func (m *builder) skeleton(o *overlaid, p *piece, stub plan.Slot, dir string) {
	m.Inside(o.from, "what is mounted below it makes it several overlays", plan.Mkdir{In: stub, Path: dir, Mode: p.perm})
	for _, b := range o.bones {
		switch {
		case b.link != "":
			m.Inside(o.from, "", plan.Symlink{In: stub, Name: dir + b.rel, Target: b.link})
		case b.kind == host.Dir:
			m.Inside(o.from, "", plan.Mkdir{In: stub, Path: dir + b.rel, Mode: b.perm})
		default:
			m.Inside(o.from, "", plan.File{In: stub, Path: dir + b.rel, Mode: b.perm})
		}
	}
}

// attachPieces puts the pieces of an overlaid tree but the first in their
// places, and what cannot be a layer, read-only.
func (m *builder) attachPieces(o *overlaid, why string) {
	root := &ground{at: o.at, tree: o.pieces[0].tree, source: o.source, from: o.from, why: why, of: o}
	if m.grounds[o.at] == nil {
		m.stand(root)
	}
	attr := nosuidNodev
	attr.ReadOnly, attr.NoExec = true, o.noExec
	bind := func(source plan.HostPath, at, why string) {
		t := m.NewSlot()
		m.Inside(o.from, why, plan.OpenTree{Source: source, Recursive: true, Attr: attr, Into: t})
		m.Inside(o.from, "", plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at), What: "bind " + plan.Quote(string(source))})
		m.stand(&ground{at: at, tree: t, source: source, from: o.from, why: "the root", of: o})
	}
	for _, p := range o.pieces[1:] {
		if p.readOnly {
			bind(p.source, p.at, "it cannot be a layer, and is read-only")
			continue
		}
		m.Inside(o.from, "", plan.Attach{Tree: p.tree, Root: m.root, At: plan.BoxPath(p.at), What: "mount an overlay"})
		m.stand(&ground{at: p.at, tree: p.tree, source: p.source, from: o.from, why: why, of: o})
	}
	for _, b := range o.bones {
		if b.file != "" {
			bind(b.file, path.Join(o.at, b.rel), "a file next to a mount, read-only")
		}
	}
}
