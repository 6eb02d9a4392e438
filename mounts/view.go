package mounts

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// A View is what a box's file system is to be.
type View struct {
	Rootfs   plan.HostPath // resolved; "" is the host's own tree, read-only
	ReadOnly bool          // of a Rootfs; the host's tree is, unless HostRW
	HostRW   string        // the flag that asks for the host's tree read-write
	From     string        // the flag that named the root

	Entries []Entry
	Etc     Etc
	Protect []plan.HostPath // files and directories of the host that the box must not write

	HostNet  bool      // the network namespace is the host's
	Terminal bool      // the box gets a pty
	Streams  [3]bool   // which standard streams become the pty
	TTYGid   *uint32   // the box's gid for ptys, nil to leave it
	Owner    [2]uint32 // uid and gid of who runs the command
}

// What an Entry puts at its place.
type What uint8

const (
	Bind  What = iota // a tree of the host
	Tmpfs             // an empty file system in memory
	Empty             // an empty directory in memory that hides what is there; it may be missing
	Make              // a directory to be made where that touches no host directory; else nothing
	Mask              // an empty, read-only file or directory in the place of what is there
)

// An Entry is one place of the view that is not the root's own.
type Entry struct {
	At   plan.BoxPath
	What What

	Source     plan.HostPath // of a Bind
	SourceKind host.Kind
	ReadOnly   bool
	NoExec     bool
	Size       uint64 // of a Tmpfs, bytes; 0 is the kernel's default
	Mode       uint32 // of a Tmpfs, an Empty or a Make

	From string // the flag; "" is a default, which gives way to a flag
	Why  string
}

// Etc is the content of the files in /etc that are the box's own.
type Etc struct{ Hosts, ResolvConf, Hostname string }

// Dirs are the mount points that nobox itself needs below a root.
var Dirs = [...]string{"proc", "sys", "dev", "tmp", "run", "var/tmp"}

// An Error is a view that cannot be, found before anything starts.
type Error struct {
	What, Flag string
	Cause      error
	Remedy     string
}

func (e *Error) Error() string {
	if e.Flag == "" {
		return fmt.Sprintf("cannot %s: %v", e.What, e.Cause)
	}
	return fmt.Sprintf("cannot %s (%s): %v", e.What, e.Flag, e.Cause)
}
func (e *Error) Unwrap() error { return e.Cause }
func (e *Error) Hint() string  { return e.Remedy }

// Places are what Steps needs to know of the root.
func (v View) Places() []host.Place {
	var ps []host.Place
	ask := func(p string) { ps = append(ps, host.Place{Base: v.base(), Path: p}) }
	for _, e := range v.Entries {
		ask(string(e.At))
		if rel, ok := below("/sys", string(e.At)); ok {
			ps = append(ps, host.Place{Base: "/sys", Path: rel})
		}
	}
	ask("/var") // mkdirs
	for _, d := range Dirs {
		ask("/" + d)
	}
	for _, f := range etcFiles {
		ask(f.path)
	}
	// A place below a bind is looked at in what is bound.
	for _, outer := range v.Entries {
		if outer.What != Bind {
			continue
		}
		inner := func(at string) {
			if rel, ok := below(string(outer.At), at); ok {
				ps = append(ps, host.Place{Base: outer.Source, Path: rel})
			}
		}
		for _, e := range v.Entries {
			inner(string(e.At))
		}
		for _, f := range etcFiles {
			inner(f.path)
		}
	}
	for _, p := range systemPlaces {
		ps = append(ps, host.Place{Path: p})
	}
	return ps
}

func (v View) base() plan.HostPath {
	if v.Rootfs == "" {
		return "/"
	}
	return v.Rootfs
}

// below returns at relative to outer, "/"-led, if it lies strictly below.
func below(outer, at string) (string, bool) {
	if outer == "/" {
		return at, at != "/"
	}
	if strings.HasPrefix(at, outer+"/") {
		return at[len(outer):], true
	}
	return "", false
}

// ground is what a place stands on.
type ground struct {
	at     string
	tree   plan.Slot     // of our own tmpfs, where mount points can be made
	source plan.HostPath // of a host directory, where they cannot
	why    string
}

type builder struct {
	*plan.Builder
	v       View
	f       *host.Facts
	root    plan.Slot
	grounds []ground
	mask    plan.Slot // the empty read-only directory, 0 before its first use
	null    plan.Slot // /dev/null as attached in the box
	devpts  plan.Slot
	run     plan.Slot // the tmpfs that holds nobox's own files
	made    map[string]bool
	Master  plan.Slot
	Peer    plan.Slot
}

// PTY is the slots of the box's pty, zero without a terminal.
type PTY struct{ Master, Peer plan.Slot }

var nosuidNodev = plan.Attr{NoSuid: true, NoDev: true}

// Steps appends the steps that make the view, from cutting propagation to
// pivot_root, or reports what cannot be.
func (v View) Steps(b *plan.Builder, f *host.Facts) (PTY, error) {
	m := &builder{Builder: b, v: v, f: f, made: map[string]bool{}}
	b.Inside("", "what is mounted here stays here", plan.PrivateMounts{})
	if err := m.enterRoot(); err != nil {
		return PTY{}, err
	}
	entries, err := m.resolve()
	if err != nil {
		return PTY{}, err
	}
	for _, e := range entries {
		if err := m.place(e); err != nil {
			return PTY{}, err
		}
	}
	if err := m.etc(); err != nil {
		return PTY{}, err
	}
	m.protect(entries)
	pty := m.terminal()
	b.Inside("", "the host's tree is out of reach from here on", plan.Pivot{Root: m.root})
	return pty, nil
}

// enterRoot takes the root's tree and makes it the box's.
func (m *builder) enterRoot() error {
	m.root = m.NewSlot()
	if m.v.Rootfs == "" {
		attr := nosuidNodev
		attr.ReadOnly = m.v.HostRW == ""
		m.Inside(m.v.HostRW, "the host view", plan.OpenTree{Source: "/", Recursive: true, Attr: attr, Into: m.root})
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
		m.grounds = append(m.grounds, ground{at: "/", source: "/", why: "the host's tree"})
		return nil
	}
	var missing []string
	for _, d := range Dirs {
		pf := m.at("/" + d)
		switch {
		case pf.Err != nil:
			return &Error{What: "use " + plan.Quote(string(m.v.Rootfs)) + " as the root", Flag: m.v.From, Cause: fmt.Errorf("its /%s: %w", d, pf.Err)}
		case pf.Symlink && (d == "proc" || d == "sys" || d == "dev"):
			// runc refuses these too: CVE-2019-19921, CVE-2026-41579.
			return &Error{What: "use " + plan.Quote(string(m.v.Rootfs)) + " as the root", Flag: m.v.From, Cause: fmt.Errorf("its /%s is a symbolic link", d), Remedy: "make it a directory"}
		case pf.Kind == host.None:
			if pf.Resolved != plan.BoxPath("/"+d) && d != "var/tmp" {
				return &Error{What: "use " + plan.Quote(string(m.v.Rootfs)) + " as the root", Flag: m.v.From, Cause: fmt.Errorf("its /%s is a symbolic link to %s, which does not exist", d, plan.Quote(string(pf.Resolved)))}
			}
			missing = append(missing, d)
		case pf.Kind != host.Dir:
			return &Error{What: "use " + plan.Quote(string(m.v.Rootfs)) + " as the root", Flag: m.v.From, Cause: fmt.Errorf("its /%s is not a directory", d)}
		}
	}
	attr := nosuidNodev
	attr.ReadOnly = m.v.ReadOnly
	if m.v.ReadOnly && len(missing) > 0 {
		// Mount points below a directory that must not be touched: a second
		// lower layer gives them. An overlay without an upper layer is
		// read-only by itself.
		stub, dir := m.NewSlot(), m.NewSlot()
		m.Inside("--read-only", "a place for two layers", plan.NewFS{Type: "tmpfs", Options: []plan.Option{{Key: "mode", Value: "0755"}}, Attr: nosuidNodev, Into: stub})
		m.Inside("--read-only", "", plan.Mkdir{In: stub, Path: "root", Mode: 0o755})
		m.Inside("--read-only", "mount points that the root lacks", plan.Mkdir{In: stub, Path: "lacks", Mode: 0o755})
		var below []string
		for _, d := range missing {
			below = append(below, "lacks/"+d)
		}
		m.mkdirs(stub, below)
		m.Inside("", "", plan.AttachRoot{Tree: stub})
		m.Inside(m.v.From, "the root", plan.OpenTree{Source: m.v.Rootfs, Recursive: true, Attr: attr, Into: dir})
		m.Inside("", "", plan.AttachIn{Tree: dir, In: stub, Name: "root"})
		m.Inside("", "the overlay names its layers by path, 255 bytes at most", plan.EnterTree{Tree: stub})
		m.Inside(m.v.From, "the root, with the mount points it lacks", plan.NewFS{Type: "overlay", Options: []plan.Option{{Key: "lowerdir", Value: "root:lacks"}}, Attr: attr, Into: m.root})
		m.Inside("", "the overlay has its own hold on it", plan.Detach{Tree: stub})
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
	} else {
		m.Inside(m.v.From, "the root", plan.OpenTree{Source: m.v.Rootfs, Recursive: true, Attr: attr, Into: m.root})
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
		m.mkdirs(m.root, missing)
	}
	for _, d := range missing {
		m.made["/"+d] = true
	}
	m.grounds = append(m.grounds, ground{at: "/", source: m.v.Rootfs, why: "the root directory"})
	return nil
}

func (m *builder) mkdirs(in plan.Slot, missing []string) {
	for _, d := range missing {
		mode := uint32(0o755)
		switch path.Base(d) {
		case "tmp":
			mode = 0o1777
		}
		if v := path.Dir(d); path.Base(v) == "var" && (m.at("/var").Kind == host.None || m.v.ReadOnly) {
			m.Inside(m.v.From, "", plan.Mkdir{In: in, Path: v, Mode: 0o755, MayExist: true})
		}
		m.Inside(m.v.From, "the root lacks it, and nobox needs it as a mount point", plan.Mkdir{In: in, Path: d, Mode: mode, MayExist: true})
	}
}

func (m *builder) at(p string) host.PlaceFact {
	return m.f.Places[host.Place{Base: m.v.base(), Path: p}]
}

// entry is an Entry whose place is resolved below the root.
type entry struct {
	Entry
	at     string
	system bool // /proc, /sys or /dev
}

// resolve adds nobox's own places, drops defaults that a flag replaces, and
// sorts so that what holds a place comes before it, whatever the order of the
// flags.
func (m *builder) resolve() ([]entry, error) {
	var todo []entry
	for _, e := range m.v.Entries {
		todo = append(todo, entry{Entry: e, at: string(e.At)})
	}
	for _, e := range []Entry{
		{At: "/proc", Why: "the processes of the box"},
		{At: "/sys", Why: "read-only"},
		{At: "/dev", Why: "the few devices a program needs"},
	} {
		todo = append(todo, entry{Entry: e, at: string(e.At), system: true})
	}
	// What holds a place is resolved before it; flags come before defaults.
	sort.SliceStable(todo, func(i, j int) bool {
		a, b := &todo[i], &todo[j]
		if a.at == b.at {
			return a.From != "" && b.From == "" || a.From == b.From && a.system && !b.system
		}
		return lessPath(a.at, b.at)
	})
	var out []*entry
	for i := range todo {
		e := &todo[i]
		keep, err := m.settle(e, out)
		if err != nil {
			return nil, err
		}
		if keep {
			out = append(out, e)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return lessPath(out[i].at, out[j].at) })
	es := make([]entry, len(out))
	for i, e := range out {
		es[i] = *e
	}
	return es, nil
}

// settle finds where an entry's place is, given those that may hold it, and
// whether it is to be there at all.
func (m *builder) settle(e *entry, before []*entry) (keep bool, err error) {
	asked := string(e.At)
	pf := m.at(asked)
	if at := string(pf.Resolved); at != "" && !m.made[asked] {
		e.at = at
	}
	// Below something that is mounted the root's own tree plays no part, least
	// of all a link that another user of the host may have put there.
	var holder *entry
	for _, b := range before {
		if _, in := below(string(b.At), asked); in && (holder == nil || len(b.At) > len(holder.At)) {
			if b.What == Empty && m.hidesNothing(b) {
				continue
			}
			holder = b
		}
	}
	if holder != nil {
		rel, _ := below(string(holder.At), asked)
		switch {
		case holder.What == Bind && !holder.system:
			pf = m.f.Places[host.Place{Base: holder.Source, Path: rel}]
			if pf.Resolved != "" {
				rel = string(pf.Resolved)
			}
		default:
			pf = host.PlaceFact{}
		}
		e.at = path.Join(holder.at, rel)
	}
	bad := func(cause error, remedy string) (bool, error) {
		if e.From == "" {
			return false, nil // a default gives way
		}
		return false, &Error{What: e.what(), Flag: e.From, Cause: cause, Remedy: remedy}
	}
	if !e.system {
		_, inProc := below("/proc", e.at)
		switch {
		case pf.Err != nil:
			return bad(pf.Err, "")
		case e.at == "/" && e.What != Make:
			return bad(errors.New("it is the root directory itself"), "--rootfs DIR names another root")
		case inProc || e.at == "/proc":
			return bad(errors.New("/proc is the box's own"), "")
		case e.at == "/dev":
			return bad(errors.New("/dev is the box's own"), "")
		}
	}
	for _, old := range before {
		if old.at != e.at {
			continue
		}
		if old.From == "" && !old.system && e.From != "" && e.What != Mask {
			*old = *e // by another name, a flag replaces a default
			return false, nil
		}
		if e.From == "" || e.system {
			return false, nil
		}
		return bad(fmt.Errorf("%s is already there (%s)", plan.Quote(e.at), old.From), "")
	}
	return true, nil
}

// hidesNothing says whether an Empty will not be there, for want of a
// directory to hide.
func (m *builder) hidesNothing(e *entry) bool {
	return m.at(string(e.At)).Kind != host.Dir && !m.made[string(e.At)]
}

// lessPath orders by component, so that a directory comes right before what
// is below it.
func lessPath(a, b string) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return a[i] == '/' || (b[i] != '/' && a[i] < b[i])
		}
	}
	return len(a) < len(b)
}

func (e Entry) what() string {
	switch e.What {
	case Bind:
		return "bind " + plan.Quote(string(e.Source)) + " at " + plan.Quote(string(e.At))
	case Mask:
		return "mask " + plan.Quote(string(e.At))
	}
	return "mount a tmpfs at " + plan.Quote(string(e.At))
}

// under finds the innermost ground below at.
func (m *builder) under(at string) ground {
	for i := len(m.grounds) - 1; i > 0; i-- {
		if _, ok := below(m.grounds[i].at, at); ok {
			return m.grounds[i]
		}
	}
	return m.grounds[0]
}

// standing is what is at a place before anything is put there.
func (m *builder) standing(at string) host.PlaceFact {
	g := m.under(at)
	if g.source == "" {
		if m.made[at] {
			return host.PlaceFact{Kind: host.Dir, Resolved: plan.BoxPath(at)}
		}
		return host.PlaceFact{Resolved: plan.BoxPath(at)}
	}
	if m.made[at] {
		return host.PlaceFact{Kind: host.Dir, Resolved: plan.BoxPath(at)}
	}
	if g.at == "/" {
		// Asked by the name it was given; its resolved name is itself.
		if pf, ok := m.f.Places[host.Place{Base: m.v.base(), Path: at}]; ok {
			return pf
		}
		for _, e := range m.v.Entries {
			if pf := m.at(string(e.At)); string(pf.Resolved) == at {
				return pf
			}
		}
		for _, d := range Dirs {
			if pf := m.at("/" + d); string(pf.Resolved) == at {
				return pf
			}
		}
		for _, f := range etcFiles {
			if pf := m.at(f.path); string(pf.Resolved) == at {
				return pf
			}
		}
		return host.PlaceFact{}
	}
	rel, _ := below(g.at, at)
	if pf, ok := m.f.Places[host.Place{Base: g.source, Path: rel}]; ok {
		return pf
	}
	// Asked by another name, with a link on the way.
	for p, pf := range m.f.Places {
		if p.Base == g.source && string(pf.Resolved) == rel {
			return pf
		}
	}
	return host.PlaceFact{}
}

// point sees to it that there is a mount point of the right kind at e.at.
func (m *builder) point(e entry, dir bool) error {
	g := m.under(e.at)
	have := m.standing(e.at)
	if g.source == "" {
		if have.Kind == host.None {
			rel, _ := below(g.at, e.at)
			m.parents(g, rel)
			if dir {
				m.mkdir(e.From, g, rel, 0o755)
			} else {
				m.Inside(e.From, "a mount point", plan.File{In: g.tree, Path: rel[1:], Mode: 0o644})
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
			Remedy: m.makeHint(g, e.at, dir)}
	case dir != (have.Kind == host.Dir):
		return &Error{What: e.what(), Flag: e.From, Cause: fmt.Errorf("%s is %v, and a %s would be mounted there", plan.Quote(e.at), have.Kind, kind)}
	}
	return nil
}

func (m *builder) makeHint(g ground, at string, dir bool) string {
	if m.v.Rootfs == "" && g.at == "/" {
		return "a place below /tmp, /run or the home is made as needed"
	}
	rel, _ := below(g.at, at)
	p := path.Join(string(g.source), rel)
	if dir {
		return "mkdir -p " + shellQuote(p)
	}
	return "mkdir -p " + shellQuote(path.Dir(p)) + " && touch " + shellQuote(p)
}

func shellQuote(s string) string {
	if q := plan.Quote(s); q == s && !strings.ContainsAny(s, "$`*?[]{}()<>|&;~#!") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// parents makes the directories above rel in our own tmpfs.
func (m *builder) parents(g ground, rel string) {
	for i := 1; i < len(rel); i++ {
		if rel[i] == '/' {
			m.mkdir("", g, rel[:i], 0o755)
		}
	}
}

func (m *builder) mkdir(from string, g ground, rel string, mode uint32) {
	at := path.Join(g.at, rel)
	if m.made[at] {
		return
	}
	m.made[at] = true
	m.Inside(from, "a mount point", plan.Mkdir{In: g.tree, Path: rel[1:], Mode: mode, MayExist: true})
}

// place puts one entry where it belongs.
func (m *builder) place(e entry) error {
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
	case Make:
		if g := m.under(e.at); g.source == "" && e.at != g.at {
			rel, _ := below(g.at, e.at)
			m.parents(g, rel)
			if !m.made[e.at] {
				m.made[e.at] = true
				m.Inside(e.From, e.Why, plan.Mkdir{In: g.tree, Path: rel[1:], Mode: e.Mode, MayExist: true})
			}
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

func (m *builder) bind(e entry) error {
	dir := e.SourceKind == host.Dir
	if e.SourceKind == host.CharDev || e.SourceKind == host.None {
		return &Error{What: e.what(), Flag: e.From, Cause: errors.New("it is a device")}
	}
	// What an outer bind already shows the same way needs no second mount.
	if g := m.under(e.at); e.From == "" && g.source != "" && g.at != "/" {
		rel, _ := below(g.at, e.at)
		if path.Join(string(g.source), rel) == string(e.Source) && m.sameWay(g.at, e.ReadOnly) {
			return nil
		}
	}
	if err := m.point(e, dir); err != nil {
		return err
	}
	tree := m.NewSlot()
	attr := nosuidNodev
	attr.ReadOnly, attr.NoExec = e.ReadOnly, e.NoExec
	src := e.Source
	if e.From == "" && src == m.f.Cwd {
		src = plan.WorkingDirectory
	}
	m.Inside(e.From, e.Why, plan.OpenTree{Source: src, Recursive: true, Attr: attr, Into: tree})
	m.Inside(e.From, "", plan.Attach{Tree: tree, Root: m.root, At: plan.BoxPath(e.at), What: "bind " + plan.Quote(string(e.Source))})
	if dir {
		m.grounds = append(m.grounds, ground{at: e.at, source: e.Source, why: "what is bound at " + plan.Quote(e.at)})
	}
	return nil
}

// sameWay says whether the bind at a place is as writable as asked.
func (m *builder) sameWay(at string, readOnly bool) bool {
	for _, e := range m.v.Entries {
		if e.What == Bind && string(m.at(string(e.At)).Resolved) == at {
			return e.ReadOnly == readOnly
		}
	}
	return false
}

func (m *builder) tmpfs(e entry) error {
	if err := m.point(e, true); err != nil {
		return err
	}
	tree := m.newTmpfs(e.From, e.Why, e.Size, e.Mode, plan.Attr{NoSuid: true, NoDev: true, NoExec: e.NoExec, ReadOnly: e.ReadOnly})
	m.Inside(e.From, "", plan.Attach{Tree: tree, Root: m.root, At: plan.BoxPath(e.at), What: "mount a tmpfs"})
	m.grounds = append(m.grounds, ground{at: e.at, tree: tree})
	if e.at == "/run" && !e.ReadOnly {
		m.run = tree
	}
	return nil
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

// protect makes what the box must never write read-only wherever a writable
// share shows it. The directories on the way become mount points too, since a
// directory that is one cannot be renamed away with what is in it.
func (m *builder) protect(entries []entry) {
	type share struct {
		at     string
		source plan.HostPath
	}
	var writable []share
	if m.v.Rootfs != "" && !m.v.ReadOnly {
		writable = append(writable, share{"/", m.v.Rootfs})
	}
	if m.v.Rootfs == "" && m.v.HostRW != "" {
		writable = append(writable, share{"/", "/"})
	}
	for _, e := range entries {
		if !e.system && e.What == Bind && !e.ReadOnly {
			writable = append(writable, share{e.at, e.Source})
		}
	}
	for _, p := range m.v.Protect {
		for _, w := range writable {
			rel, ok := below(string(w.source), string(p))
			if !ok {
				if p != w.source {
					continue
				}
				rel = ""
			}
			if m.under(path.Join(w.at, rel, "x")).at != w.at && rel != "" {
				// Something else is mounted in between.
				if g := m.under(path.Join(w.at, rel)); g.at != w.at {
					continue
				}
			}
			for i := 1; i < len(rel); i++ {
				if rel[i] == '/' {
					m.pin(path.Join(w.at, rel[:i]), nosuidNodev, "so that it cannot be renamed with nobox's own file in it")
				}
			}
			attr := nosuidNodev
			attr.ReadOnly = true
			m.pin(path.Join(w.at, rel), attr, "nobox's own, never writable from inside")
		}
	}
}

// pin mounts a path of the box on itself.
func (m *builder) pin(at string, attr plan.Attr, why string) {
	t := m.NewSlot()
	m.Inside("", why, plan.CopyBoxTree{Root: m.root, Path: plan.BoxPath(at), Attr: attr, Into: t})
	m.Inside("", "", plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at)})
}
