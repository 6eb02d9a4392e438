package mounts

import (
	"fmt"
	"iter"
	"path"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// A View is what a box's file system is to be.
type View struct {
	Rootfs   plan.HostPath // resolved; "" is the host's own tree, read-only
	ReadOnly bool          // a Rootfs, and Etc; the host's tree is, unless HostRW
	RootPerm uint32        // the root's mode
	Overlay  string        // the flag that has the box write to an overlay of the root
	Keep     *Keep         // where the changes of overlays are kept; nil is memory
	HostRW   string        // the flag that asks for the host's tree read-write
	From     string        // the flag that named the root

	Entries []Entry
	Etc     Etc
	Protect []Thing         // of nobox's own, which the box must not write, by whichever name
	FoundBy []plan.HostPath // the symbolic links by which that is found, which the box must not replace
	Hide    []Thing         // of the host, which the box must not see, by whichever name

	Cgroup     Cgroup // what the box sees of cgroups
	CgroupFrom string // the flag, "" for a default

	HostNet  bool      // the network namespace is the host's
	Terminal bool      // the box gets a pty
	Streams  [3]bool   // which standard streams become the pty
	TTYGid   *uint32   // the box's gid for ptys, nil to leave it
	Owner    [2]uint32 // uid and gid of who runs the command

	// Unmasked is the flag that leaves /proc and /sys without the OCI lists: a
	// covered one cannot be mounted anew in a namespace inside.
	Unmasked string

	// Nested: the inside goes into one more user namespace once the view is made.
	Nested bool

	NoNamespaces []string // types of namespaces that the box may make none of
	FirstPID     int      // the pid that the box's next process gets, 0 to leave that

	// Mapped says whether ids of the host have one inside; nil: all have.
	Mapped func(uid, gid uint32) bool
	// Remounts is the flag that lets the box make mounts, "" if none does.
	Remounts string
}

// Cgroup is what a box sees of cgroups: those below its own, in a namespace
// whose root that is.
type Cgroup uint8

const (
	CgroupNone Cgroup = iota
	CgroupReadOnly
	CgroupWritable
)

// What an Entry puts at its place.
type What uint8

const (
	Bind   What = iota // a tree of the host
	Tmpfs              // an empty file system in memory
	Empty              // an empty directory in memory that hides what is there; it may be missing
	Make               // a directory to be made where that touches no host directory; else nothing
	Mask               // an empty, read-only file or directory in the place of what is there
	Device             // a device of the host, or a directory of them
	Link               // a symbolic link to Target where that touches no host directory; else nothing
)

// An Entry is one place of the view that is not the root's own.
type Entry struct {
	At   plan.BoxPath
	What What

	Source     plan.HostPath // of a Bind
	SourceKind host.Kind
	SourcePerm uint32
	Overlay    bool // of a Bind: what is written goes elsewhere
	ReadOnly   bool
	NoExec     bool
	Flat       bool   // of a Bind: an empty directory stands for each mount below
	Target     string // of a Link
	Size       uint64 // of a Tmpfs, bytes; 0 is the kernel's default
	Mode       uint32 // of a Tmpfs, an Empty or a Make

	From string // the flag; "" is a default, which gives way to a flag
	Why  string
}

// A Thing is a file or directory of the host that is meant whatever it is
// called.
type Thing struct {
	Path plan.HostPath // resolved
	Kind host.Kind     // host.None: it is not there
	// Of what is protected: where a writable share shows it, it is made if it is not
	// there, and stays for as long as it is held; and it shows as an empty directory.
	Held, Empty bool

	From  string
	Why   string
	Stays bool // the path is meant as well: nothing else is to come to it
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
func (v View) Places(f *host.Facts) []host.Place {
	ps := make([]host.Place, 0, 3*len(v.Entries)+48)
	ask := func(p string) { ps = append(ps, host.Place{Base: v.base(), Path: p}) }
	// A place below a bind is looked at in what is bound.
	var binds map[string]plan.HostPath
	for _, e := range v.Entries {
		if e.What == Bind {
			if binds == nil {
				binds = make(map[string]plan.HostPath, len(v.Entries))
			}
			binds[string(e.At)] = e.Source
		}
	}
	inner := func(at string) {
		if len(binds) == 0 {
			return
		}
		for outer := range above(at) {
			if source, bound := binds[outer]; bound {
				rel, _ := below(outer, at)
				ps = append(ps, host.Place{Base: source, Path: rel, Bound: true})
			}
		}
	}
	for _, e := range v.Entries {
		ask(string(e.At))
		inner(string(e.At))
		if e.Flat {
			for _, p := range f.Mounts.Below(e.Source) {
				rel, _ := below(string(e.Source), string(p))
				ps = append(ps, host.Place{Base: e.Source, Path: rel, Bound: true})
			}
		}
		if e.What == Mask && e.From != "" {
			ps = append(ps, v.absent(f, string(e.At), binds)...)
		}
		if rel, ok := below("/sys", string(e.At)); ok {
			ps = append(ps, host.Place{Base: "/sys", Path: rel, Bound: true})
		}
	}
	ask("/var") // mkdirs
	ask("/etc") // lacking
	for _, d := range Dirs {
		ask("/" + d)
	}
	for _, f := range etcFiles {
		ask(f.path)
		inner(f.path)
	}
	for _, group := range systemPlaces {
		for _, p := range group {
			ps = append(ps, host.Place{Path: p})
		}
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
	if len(at) > len(outer) && at[len(outer)] == '/' && at[:len(outer)] == outer {
		return at[len(outer):], true
	}
	return "", false
}

// above are the directories that hold a path, the nearest first, "/" last.
func above(at string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at != "/" && at != "" {
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			if at == "" {
				at = "/"
			}
			if !yield(at) {
				return
			}
		}
	}
}

type builder struct {
	*plan.Builder
	v        View
	f        *host.Facts
	root     plan.Slot
	grounds  map[string]*ground          // by their place
	sources  map[plan.HostPath][]*ground // those that show something of the host's
	known    map[host.Place]host.PlaceFact
	seal     []*ground       // own file systems to be made read-only at the end
	hidden   map[string]bool // places that are masked
	held     []*piece        // those with absences
	kept     map[*ground]*keptDirs
	keptIn   []*ground            // of kept, in order
	noEtc    []string             // files of etc that the root lacks
	early    map[string]plan.Slot // trees of binds opened before the root, by their place
	missing  []string             // of Dirs, what the root lacks
	overRoot *overlaid            // the root, where it is one
	over     map[*entry]*overlaid
	store    plan.Slot       // nobox's own files, which the box does not see
	own      map[string]bool // all names of what Protect names
	ownHeld  []plan.HostPath // of what Protect names what is to be held
	ownFrom  string
	masks    bool      // the store has what masks are made of
	null     plan.Slot // /dev/null as attached in the box
	devpts   plan.Slot
	made     map[string]bool // mount points that nobox made; true is a directory
	Master   plan.Slot
	Peer     plan.Slot
}

// Built is what there is to know of a view that was made.
type Built struct {
	PTY PTY
	// NoEtc are the files of Etc that the root lacks, and has nothing of: nobox
	// makes nothing in a directory of the host's.
	NoEtc []string
	// Held is nil, or the step that has nobox's own directories stay where they are,
	// which is to be played before the inside starts, and the flag that it is for.
	Held     *plan.HoldDirs
	HeldFrom string
}

// PTY is the slots of the box's pty, zero without a terminal.
type PTY struct{ Master, Peer plan.Slot }

var nosuidNodev = plan.Attr{NoSuid: true, NoDev: true}

// Steps appends the steps that make the view, from cutting propagation to
// pivot_root, or reports what cannot be.
func (v View) Steps(b *plan.Builder, f *host.Facts) (Built, error) {
	m := &builder{Builder: b, v: v, f: f, made: map[string]bool{}, hidden: map[string]bool{},
		grounds: make(map[string]*ground, len(v.Entries)+8), sources: make(map[plan.HostPath][]*ground, len(v.Entries)+4)}
	m.know()
	b.Inside("", "what is mounted here stays here", plan.PrivateMounts{})
	m.openWhole()
	if err := m.rootPoints(); err != nil {
		return Built{}, err
	}
	entries, err := m.resolve()
	if err != nil {
		return Built{}, err
	}
	if err := m.overlays(entries); err != nil {
		return Built{}, err
	}
	m.enterRoot()
	if err := m.makeStore(); err != nil {
		return Built{}, err
	}
	m.hold()
	for _, e := range entries {
		if err := m.place(e); err != nil {
			return Built{}, err
		}
	}
	m.etc()
	m.hide()
	m.keepDirs()
	if err := m.protect(); err != nil {
		return Built{}, err
	}
	m.sealAll()
	pty := m.terminal()
	b.Inside("", "the host's tree is out of reach from here on", plan.Pivot{Root: m.root})
	built := Built{PTY: pty, NoEtc: m.noEtc}
	if len(m.ownHeld) > 0 {
		built.Held, built.HeldFrom = &plan.HoldDirs{Dirs: m.ownHeld}, m.ownFrom
	}
	return built, nil
}

// rootPoints finds what a root of its own lacks of the directories that nobox
// mounts on.
func (m *builder) rootPoints() error {
	if m.v.Rootfs == "" {
		return nil
	}
	for _, d := range Dirs {
		pf := m.at("/" + d)
		bad := func(cause error, remedy string) error {
			return &Error{What: "use " + plan.Quote(string(m.v.Rootfs)) + " as the root", Flag: m.v.From, Cause: cause, Remedy: remedy}
		}
		switch {
		case pf.Err != nil:
			return bad(fmt.Errorf("its /%s: %w", d, pf.Err), "")
		case pf.Symlink && (d == "proc" || d == "sys" || d == "dev"):
			// runc refuses these too: CVE-2019-19921, CVE-2026-41579.
			return bad(fmt.Errorf("its /%s is a symbolic link", d), "make it a directory")
		case pf.Kind == host.None:
			if pf.Resolved != plan.BoxPath("/"+d) && d != "var/tmp" {
				return bad(fmt.Errorf("its /%s is a symbolic link to %s, which does not exist", d, plan.Quote(string(pf.Resolved))), "")
			}
			m.missing = append(m.missing, d)
			m.made["/"+d] = true
		case pf.Kind != host.Dir:
			return bad(fmt.Errorf("its /%s is not a directory", d), "")
		}
	}
	return nil
}

// enterRoot takes the root's tree and makes it the box's.
func (m *builder) enterRoot() {
	switch o := m.overRoot; {
	case o != nil:
		m.root = o.pieces[0].tree
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
		m.attachPieces(o, "the root")
	case m.v.Rootfs == "":
		m.root = m.NewSlot()
		attr := nosuidNodev
		attr.ReadOnly = m.v.HostRW == ""
		m.Inside(m.v.HostRW, "the host view", plan.OpenTree{Source: "/", Recursive: true, Attr: attr, Into: m.root})
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
		m.stand(&ground{at: "/", tree: m.root, source: "/", writable: !attr.ReadOnly, from: m.v.HostRW, why: "the host's tree"})
	default:
		m.root = m.NewSlot()
		attr := nosuidNodev
		attr.ReadOnly = m.v.ReadOnly
		m.Inside(m.v.From, "the root", plan.OpenTree{Source: m.v.Rootfs, Recursive: true, Attr: attr, Into: m.root})
		m.Inside("", "", plan.AttachRoot{Tree: m.root})
		m.mkdirs(m.root, m.missing)
		m.stand(&ground{at: "/", tree: m.root, source: m.v.Rootfs, writable: !m.v.ReadOnly, from: m.v.From, why: "the root directory"})
	}
}

// mkdirs makes the mount points that a read-write root lacks.
func (m *builder) mkdirs(in plan.Slot, missing []string) {
	for _, d := range missing {
		mode := uint32(0o755)
		switch path.Base(d) {
		case "tmp":
			mode = 0o1777
		}
		if v := path.Dir(d); path.Base(v) == "var" && m.at("/var").Kind == host.None {
			m.Inside(m.v.From, "", plan.Mkdir{In: in, Path: v, Mode: 0o755, MayExist: true})
		}
		m.Inside(m.v.From, "the root lacks it, and nobox needs it as a mount point", plan.Mkdir{In: in, Path: d, Mode: mode, MayExist: true})
	}
}
