package mounts

import (
	"errors"
	"fmt"
	"path"
	"sort"

	"nobox/host"
	"nobox/plan"
)

// entry is an Entry whose place is resolved below the root.
type entry struct {
	Entry
	at     string
	system bool // /proc, /sys or /dev
	absent bool // a mask of what is not there, and stays so
}

// A table is the entries settled so far.
type table struct {
	order []*entry
	asked map[string]*entry // by the place as asked
	at    map[string]*entry // by the place as resolved
}

// resolve adds nobox's own places, drops defaults that a flag replaces, and
// sorts so that what holds a place comes before it, whatever the order of the
// flags.
func (m *builder) resolve() ([]*entry, error) {
	todo := make([]entry, 0, len(m.v.Entries)+3)
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
	t := &table{asked: make(map[string]*entry, len(todo)), at: make(map[string]*entry, len(todo))}
	for i := range todo {
		e := &todo[i]
		keep, err := m.settle(e, t)
		if err != nil {
			return nil, err
		}
		if keep {
			t.order = append(t.order, e)
			t.asked[string(e.At)] = e
			t.at[e.at] = e
		}
	}
	sort.SliceStable(t.order, func(i, j int) bool { return lessPath(t.order[i].at, t.order[j].at) })
	return t.order, nil
}

// holder is the entry that a place as asked lies below, nil if that is the
// root.
func (m *builder) holder(t *table, asked string) *entry {
	for p := range above(asked) {
		if e := t.asked[p]; e != nil && e.What != Make && e.What != Link && !(e.What == Empty && m.hidesNothing(e)) {
			return e
		}
	}
	return nil
}

// settle finds where an entry's place is, given those that may hold it, and
// whether it is to be there at all.
func (m *builder) settle(e *entry, t *table) (keep bool, err error) {
	asked := string(e.At)
	pf := m.at(asked)
	if at := string(pf.Resolved); at != "" && !m.isMade(asked) {
		e.at = at
	}
	// Below something that is mounted the root's own tree plays no part, least
	// of all a link that another user of the host may have put there.
	if holder := m.holder(t, asked); holder != nil {
		rel, _ := below(string(holder.At), asked)
		switch {
		case holder.What == Bind && !holder.system:
			pf = m.known[host.Place{Base: holder.Source, Path: rel, Bound: true}]
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
		case ownInDev(e.at):
			if isPtmx := func(p string) bool { return p == "/dev/ptmx" || p == "/dev/pts/ptmx" }; e.What == Device && isPtmx(e.at) && isPtmx(string(e.Source)) {
				return false, nil // every box has one of its own, as of /dev/null
			}
			return bad(errors.New(e.at+" is the box's own"), "")
		}
	}
	old := t.at[e.at]
	if old == nil {
		return true, nil
	}
	if old.From == "" && !old.system && e.From != "" && e.What != Mask {
		// By another name, a flag replaces a default.
		delete(t.asked, string(old.At))
		*old = *e
		t.asked[string(old.At)] = old
		return false, nil
	}
	if e.From == "" || e.system || e.What == Mask && old.What == Mask {
		return false, nil
	}
	return bad(fmt.Errorf("%s is already there (%s)", plan.Quote(e.at), old.From), "")
}

// ownInDev says whether a place is one of the links that nobox makes in /dev, or in
// the box's devpts, where nothing can be made.
func ownInDev(at string) bool {
	for _, l := range devLinks {
		if _, in := below("/dev/"+l[0], at); in || at == "/dev/"+l[0] {
			return true
		}
	}
	_, in := below("/dev/pts", at)
	return in
}

// hidesNothing says whether an Empty will not be there, for want of a
// directory to hide.
func (m *builder) hidesNothing(e *entry) bool {
	return m.at(string(e.At)).Kind != host.Dir && !m.isMade(string(e.At))
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
	case Device:
		return "share the device " + plan.Quote(string(e.Source))
	case Mask:
		return "mask " + plan.Quote(string(e.At))
	}
	return "mount a tmpfs at " + plan.Quote(string(e.At))
}
