package nstest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
)

// A Tree is a file system, by absolute path. The directories that hold what is
// listed are there of their own accord; host.None takes away what is.
type Tree map[string]Node

// A Node is what stands at a path.
type Node struct {
	Kind    host.Kind
	Link    string // where a symbolic link leads; then Kind is not looked at
	Rdev    uint64
	Content string
	Err     error // what looking at it says
}

// The usual nodes.
var (
	Dir    = Node{Kind: host.Dir}
	File   = Node{Kind: host.File}
	Fifo   = Node{Kind: host.Other}
	Closed = Node{Kind: host.None, Err: unix.EACCES}
	Absent = Node{Kind: host.None}
)

// Link is a symbolic link.
func Link(to string) Node { return Node{Link: to} }

// Text is a file with a content.
func Text(s string) Node { return Node{Kind: host.File, Content: s} }

// Device is a character device.
func Device(major, minor uint32) Node {
	return Node{Kind: host.CharDev, Rdev: unix.Mkdev(major, minor)}
}

// With is a copy of the tree with more in it, or something else.
func (t Tree) With(more Tree) Tree {
	out := maps.Clone(t)
	maps.Copy(out, more)
	delete(out, whole)
	return out
}

// whole is the key of a tree in which every directory is listed.
const whole = ""

// Whole lists every directory, which makes looking at the tree fast.
func (t Tree) Whole() Tree {
	out := maps.Clone(t)
	for p, n := range t {
		for d := path.Dir(p); (n.Kind != host.None || n.Link != "" || n.Err != nil) && d != "/" && d != "."; d = path.Dir(d) {
			if _, ok := out[d]; !ok {
				out[d] = Dir
			}
		}
	}
	out[whole] = Absent
	return out
}

// at is what stands at a path whose parents are directories.
func (t Tree) at(p string) Node {
	if n, ok := t[p]; ok {
		return n
	}
	if p == "/" {
		return Dir
	}
	if _, ok := t[whole]; ok {
		return Absent
	}
	for q, n := range t {
		if (n.Kind != host.None || n.Link != "" || n.Err != nil) && strings.HasPrefix(q, p+"/") {
			return Dir
		}
	}
	return Absent
}

// longest is NAME_MAX; limits.h.
const longest = 255

// invalid is what the kernel says of a path before it looks.
func invalid(p string) error {
	switch {
	case strings.IndexByte(p, 0) >= 0:
		return unix.EINVAL
	case len(p) >= unix.PathMax:
		return unix.ENAMETOOLONG
	}
	return nil
}

// Place is what host.Probe would say of a place.
func (t Tree) Place(p host.Place) host.PlaceFact {
	if p.Base == "" {
		n := t.at(p.Path)
		switch {
		case invalid(p.Path) != nil:
			n = Node{Err: invalid(p.Path)}
		case n.Link != "":
			n = Node{Kind: host.Other}
		}
		return host.PlaceFact{Resolved: plan.BoxPath(p.Path), Kind: n.Kind, Rdev: n.Rdev, Err: n.Err}
	}
	base := strings.TrimSuffix(string(p.Base), "/")
	rest := strings.Split(strings.Trim(path.Clean(p.Path), "/"), "/")
	cur, links := "", 0
	f := host.PlaceFact{Kind: host.Dir}
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if p.Bound && cur == "" {
				return host.PlaceFact{Symlink: f.Symlink, Err: host.ErrLeaves}
			}
			cur = cur[:max(strings.LastIndexByte(cur, '/'), 0)]
			continue
		}
		name := base + cur + "/" + c
		n := t.at(name)
		err := invalid(name)
		switch {
		case err != nil:
		case len(c) > longest:
			err = unix.ENAMETOOLONG
		case f.Kind != host.Dir:
			err = unix.ENOTDIR
		case n.Err != nil:
			err = n.Err
		case n.Kind == host.None && n.Link == "":
			err = unix.ENOENT
		}
		if err != nil {
			f.Resolved, f.Kind = plan.BoxPath(path.Join("/", cur, c, path.Join(rest...))), host.None
			if err != unix.ENOENT {
				f.Err = err
				return f
			}
			if f.Exists = plan.BoxPath(cur); cur == "" {
				f.Exists = "/"
			}
			f.Makeable = p.Make
			return f
		}
		if n.Link != "" {
			if links++; links > 40 {
				return host.PlaceFact{Symlink: f.Symlink, Err: unix.ELOOP}
			}
			f.Symlink = f.Symlink || len(rest) == 0 && links == 1
			if strings.HasPrefix(n.Link, "/") {
				if p.Bound {
					return host.PlaceFact{Symlink: f.Symlink, Err: host.ErrLeaves}
				}
				cur = ""
			}
			rest = append(strings.Split(strings.Trim(n.Link, "/"), "/"), rest...)
			continue
		}
		cur += "/" + c
		f.Kind, f.Rdev = n.Kind, n.Rdev
	}
	f.Resolved = plan.BoxPath(cur)
	if cur == "" {
		f.Resolved, f.Kind = "/", host.Dir
	}
	return f
}

// Source is what host.Probe would say of a path of the host, as someone in cwd
// wrote it.
func (t Tree) Source(cwd plan.HostPath, name string) host.SourceFact {
	if name == "" {
		return host.SourceFact{Err: unix.ENOENT}
	}
	if !strings.HasPrefix(name, "/") {
		name = string(cwd) + "/" + name
	}
	if err := invalid(name); err != nil {
		return host.SourceFact{Err: err}
	}
	f := t.Place(host.Place{Base: "/", Path: name})
	switch {
	case f.Err != nil:
		return host.SourceFact{Err: f.Err}
	case f.Kind == host.None:
		return host.SourceFact{Err: unix.ENOENT}
	}
	return host.SourceFact{Resolved: plan.HostPath(f.Resolved), Kind: f.Kind, Rdev: f.Rdev}
}

// List is what host.Probe would say of a directory.
func (t Tree) List(dir plan.HostPath) (f host.ListFact) {
	seen := map[string]bool{}
	for p := range t {
		rel, ok := strings.CutPrefix(p, strings.TrimSuffix(string(dir), "/")+"/")
		if name, _, _ := strings.Cut(rel, "/"); ok && name != "" {
			seen[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if n := t.at(path.Join(string(dir), name)); n.Kind != host.None || n.Link != "" {
			f.Entries = append(f.Entries, host.ListEntry{Name: name, Kind: n.Kind, Link: n.Link})
		}
	}
	return f
}

// Glob is what host.Probe would say of a pattern.
func (t Tree) Glob(g host.Glob, shown []host.Shown) (f host.GlobFact) {
	segs := host.Segments(g.Pattern)
	at := map[string]bool{}
	for p := range t {
		for q := p; q != "/" && q != "."; q = path.Dir(q) {
			at[q] = true
		}
	}
	for _, p := range slices.Sorted(maps.Keys(at)) {
		n := t.at(p)
		rel, below := strings.CutPrefix(p, strings.TrimSuffix(string(g.Base), "/"))
		if !below || !strings.HasPrefix(rel, "/") || n.Kind == host.None && n.Link == "" {
			continue
		}
		hidden := false
		for _, s := range shown {
			hidden = hidden || (rel == string(s.At) || strings.HasPrefix(rel, string(s.At)+"/")) && string(s.Source) != string(s.At)
		}
		states := host.Begin(segs)
		done := false
		for _, name := range strings.Split(rel[1:], "/") {
			if done {
				states = nil
			}
			states, done = host.Advance(segs, states, name)
		}
		if done && !hidden {
			m := host.Match{At: plan.BoxPath(rel), Source: plan.HostPath(p), Kind: n.Kind}
			if n.Link != "" {
				pf := t.Place(host.Place{Base: g.Base, Path: rel})
				if pf.Kind == host.None {
					continue
				}
				m.Source, m.Kind, m.Linked = plan.HostPath(path.Join(string(g.Base), string(pf.Resolved))), pf.Kind, true
			}
			f.Matches = append(f.Matches, m)
		}
	}
	return f
}

// Content is what host.Probe would say of a file's content.
func (t Tree) Content(p host.Place) host.FileFact {
	if p.Base == "" {
		p.Base = "/"
	}
	f := t.Place(p)
	switch {
	case f.Err != nil:
		return host.FileFact{Err: f.Err}
	case f.Kind == host.None:
		return host.FileFact{Err: unix.ENOENT}
	case f.Kind != host.File:
		return host.FileFact{Err: host.ErrNotRegular}
	}
	name := path.Join(string(p.Base), string(f.Resolved))
	return host.FileFact{Content: []byte(t[name].Content)}
}

// Answer answers the questions about places in f.
func (t Tree) Answer(f *host.Facts, q host.Questions) {
	if q.Cgroups && f.Cgroups == nil {
		f.Cgroups = Cgroups()
	}
	for _, p := range q.Disks {
		if f.Disks == nil {
			f.Disks = map[string]host.Disk{}
		}
		if _, known := f.Disks[p]; !known {
			f.Disks[p] = host.Disk{Major: 259}
		}
	}
	if f.Places == nil {
		f.Places = map[host.Place]host.PlaceFact{}
	}
	if f.Sources == nil {
		f.Sources = map[string]host.SourceFact{}
	}
	if f.Files == nil {
		f.Files = map[host.Place]host.FileFact{}
	}
	for _, s := range q.Sources {
		f.Sources[s] = t.Source(f.Cwd, s)
	}
	for _, p := range q.Places {
		f.Places[p] = t.Place(p)
	}
	for _, d := range q.Lists {
		if f.Lists == nil {
			f.Lists = map[plan.HostPath]host.ListFact{}
		}
		f.Lists[d] = t.List(d)
	}
	for _, g := range q.Globs {
		if f.Globs == nil {
			f.Globs = map[host.Glob]host.GlobFact{}
		}
		f.Globs[g] = t.Glob(g, q.Shown)
	}
	for _, p := range q.Files {
		f.Files[p] = t.Content(p)
	}
}

// Paths lists what the tree has, sorted.
func (t Tree) Paths() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t)), func(p string) bool { return p == whole })
}
