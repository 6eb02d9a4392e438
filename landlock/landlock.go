package landlock

import (
	"slices"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// Rights to files, LANDLOCK_ACCESS_FS_*; linux/landlock.h.
const (
	Execute uint64 = 1 << iota
	WriteFile
	ReadFile
	ReadDir
	RemoveDir
	RemoveFile
	MakeChar
	MakeDir
	MakeReg
	MakeSock
	MakeFifo
	MakeBlock
	MakeSym
	Refer    // ABI 2: link and rename across directories, which ABI 1 always refuses
	Truncate // ABI 3
	IoctlDev // ABI 5
)

// Rights to TCP ports, LANDLOCK_ACCESS_NET_*: ABI 4.
const (
	BindTCP uint64 = 1 << iota
	ConnectTCP
)

// Scopes, LANDLOCK_SCOPE_*: ABI 6.
const (
	AbstractUnix uint64 = 1 << iota
	Signal
)

// Write are the rights that change something, and File those of them, and of
// reading, that a file can have which is no directory.
const (
	Write = WriteFile | RemoveDir | RemoveFile | MakeChar | MakeDir | MakeReg | MakeSock | MakeFifo | MakeBlock | MakeSym | Refer | Truncate
	Read  = Execute | ReadFile | ReadDir
	File  = Execute | WriteFile | ReadFile | Truncate | IoctlDev
)

// Rights is what a kernel of an ABI has of all there is.
func Rights(abi int) (fs, net, scoped uint64) {
	if abi >= 1 {
		fs = Refer - 1
	}
	if abi >= 2 {
		fs |= Refer
	}
	if abi >= 3 {
		fs |= Truncate
	}
	if abi >= 4 {
		net = BindTCP | ConnectTCP
	}
	if abi >= 5 {
		fs |= IoctlDev
	}
	if abi >= 6 {
		scoped = AbstractUnix | Signal
	}
	return fs, net, scoped
}

// Wall is the step for a box whose view the steps have made: nothing is written
// to but what is mounted read-write, and neither abstract sockets nor signals
// leave the box. Without files it is about the latter alone: a process under
// rules for files cannot mount. streams are the caller's: those that he opened for
// writing can be written to by /dev/stdout too, the others by no name. False means that
// this kernel has nothing to offer.
func Wall(abi int, steps []plan.Step, files bool, streams [3]host.StreamFile) (plan.Landlock, bool) {
	fs, _, scoped := Rights(abi)
	w := plan.Landlock{Scoped: scoped}
	// With ABI 1 no file could be moved to another directory any more.
	if files && abi >= 2 {
		places, all := writable(steps)
		// Where the root is writable a rule for it says nothing but that streams are
		// not in it, if there are some to keep.
		keep := slices.Contains(streams[:], host.StreamRead) || slices.Contains(streams[:], host.StreamDir)
		if !all || keep {
			w.Files = fs & Write
			for _, p := range places {
				w.Rules = append(w.Rules, plan.LandlockRule{Path: p.at, Files: w.Files, MayBeFile: p.mayBeFile})
			}
			for i, is := range streams {
				if is == host.StreamWritten {
					w.Streams[i] = w.Files & File
				}
			}
		}
	}
	return w, w.Files|w.Scoped != 0
}

// Reader is what binds a process of nobox's own that reads what the box sends: it
// reads the paths, which must be there, writes to nothing, runs nothing, and
// sends no signal. Nil means that this kernel has nothing to offer.
func Reader(abi int, paths ...plan.BoxPath) *plan.Landlock {
	fs, _, scoped := Rights(abi)
	if fs == 0 {
		return nil
	}
	l := &plan.Landlock{Files: fs, Scoped: scoped}
	for _, p := range paths {
		l.Rules = append(l.Rules, plan.LandlockRule{Path: p, Files: ReadFile | ReadDir, MayBeFile: true})
	}
	return l
}

// Supervisor is what binds nobox itself while a box runs: it opens and changes
// nothing but what the rules leave, runs nothing, and has neither TCP nor
// abstract sockets to begin. Signals are not scoped: the box was made before, is
// in no domain below, and nobox is to end it. Nil means that this kernel has
// nothing to offer.
func Supervisor(abi int, rules []plan.LandlockRule) *plan.Landlock {
	fs, net, scoped := Rights(abi)
	if fs == 0 {
		return nil
	}
	l := &plan.Landlock{Files: fs, Ports: net, Scoped: scoped & AbstractUnix}
	for _, r := range rules {
		if r.Files &= fs; r.Files != 0 {
			l.Rules = append(l.Rules, r)
		}
	}
	return l
}

type writablePlace struct {
	at        plan.BoxPath
	mayBeFile bool
}

// writable are the places where something is mounted read-write, those below
// another one left out; all says that the root itself is, which then is the one.
func writable(steps []plan.Step) (places []writablePlace, all bool) {
	// By slot: a step fills two at most.
	rw := make([]bool, 2*len(steps)+1)   // trees that are read-write
	file := make([]bool, 2*len(steps)+1) // and those that may be a file
	root := plan.Slot(0)
	for i := range steps {
		switch a := steps[i].Do.(type) {
		case plan.OpenTree:
			rw[a.Into], file[a.Into] = !a.Attr.ReadOnly, true
		case plan.NewFS:
			rw[a.Into] = !a.Attr.ReadOnly
		case plan.CopyBoxTree:
			rw[a.Into], file[a.Into] = !a.Attr.ReadOnly, true
		case plan.CopyTree:
			rw[a.Into], file[a.Into] = rw[a.Of] && (a.Attr == nil || !a.Attr.ReadOnly), true
		case plan.AttachRoot:
			root = a.Tree
		case plan.Attach:
			if rw[a.Tree] {
				places = append(places, writablePlace{a.At, file[a.Tree]})
			}
		}
	}
	if rw[root] {
		return []writablePlace{{at: "/"}}, true
	}
	slices.SortStableFunc(places, func(a, b writablePlace) int { return strings.Compare(string(a.at), string(b.at)) })
	kept := places[:0]
	had := make(map[plan.BoxPath]bool, len(places))
	for _, p := range places {
		below := had[p.at]
		for at := string(p.at); !below && len(at) > 1; {
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			below = had[plan.BoxPath(at)]
		}
		if !below {
			kept = append(kept, p)
			had[p.at] = true
		}
	}
	return kept, false
}
