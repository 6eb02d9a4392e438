package idmap

import (
	"fmt"

	"nobox/host"
	"nobox/plan"
)

// Mode is how the ids are to be mapped.
type Mode uint8

const (
	Auto   Mode = iota // root inside is the caller, and the subordinate ids from 1 up
	Root               // root inside is the caller, nothing else
	KeepID             // the caller keeps uid and gid, the subordinate ids lie around
	ByHand             // as --uidmap and --gidmap say
)

// Request is the map that was asked for. The lists are for ByHand; with one of
// them empty the other counts for both.
type Request struct {
	Mode     Mode
	UID, GID []Manual
}

// Choose picks the map. Auto and KeepID do with one id where the machine
// grants no more; ByHand is done as it says or fails with an *Error.
//
// Preconditions: ids is from host.ProbeIDs, with ranges unless the mode is Root.
func Choose(req Request, ids host.IDs) (Map, error) {
	switch req.Mode {
	case Root:
		return single(ids, 0, 0), nil
	case KeepID:
		return ranges(ids, true), nil
	case ByHand:
		return manual(req.UID, req.GID, ids)
	}
	return ranges(ids, false), nil
}

// single maps the caller's own ids alone.
func single(ids host.IDs, uid, gid uint32) Map {
	return Map{
		UID:       []plan.IDMap{{Box: uid, Host: ids.UID, Count: 1}},
		GID:       []plan.IDMap{{Box: gid, Host: ids.GID, Count: 1}},
		UIDInside: uid, GIDInside: gid,
		Self: true,
	}
}

// ranges makes the caller root inside, or with keep leaves uid and gid as they
// are, and fills the ids around from the subordinate ids, where there are any
// and they can be mapped.
func ranges(ids host.IDs, keep bool) Map {
	uid, gid := uint32(0), uint32(0)
	if keep {
		uid, gid = ids.UID, ids.GID
	}
	m := single(ids, uid, gid)
	why := obstacle(ids)
	if why == nil {
		u, g := uidsOf(ids), gidsOf(ids)
		var noteU, noteG string
		m.UID, noteU = u.around(uid)
		m.GID, noteG = g.around(gid)
		if m.Note = noteU; noteU == "" {
			m.Note = noteG
		}
	}
	m.Direct = ids.UID == 0
	m.Self = why != nil && !m.Direct
	m.Setgroups = !m.Self && !ids.SetgroupsDenied
	// Who keeps the own ids wants these: without ranges nothing is missing. And
	// root is rarely granted any.
	if why != nil && !(why.notSetUp && (keep || m.Direct)) {
		m.Note = fmt.Sprintf("one id only: %s; remedy: %s", why.cause, why.remedy)
	}
	return m
}

// kind is the caller's uids or gids, which follow the same rules.
type kind struct {
	name    string // uid or gid
	own     uint32
	granted host.Subordinate
	who     string // the caller's name
}

func uidsOf(ids host.IDs) kind { return kind{"uid", ids.UID, ids.SubUID, who(ids)} }
func gidsOf(ids host.IDs) kind { return kind{"gid", ids.GID, ids.SubGID, who(ids)} }

// who names the caller.
func who(ids host.IDs) string {
	if ids.User == "" {
		return fmt.Sprintf("uid %d", ids.UID)
	}
	return plan.Quote(ids.User)
}

// around maps the own id to at and the ranges to the ids from 0 up, with at
// left out. Note says what the kernel has no room for.
func (k kind) around(at uint32) (lines []plan.IDMap, note string) {
	for n := min(len(k.granted.Ranges), maxLines); ; n-- {
		lines = around(at, k.own, k.granted.Ranges[:n])
		if fits(lines) != "" {
			continue
		}
		if n < len(k.granted.Ranges) {
			note = fmt.Sprintf("only the first %d of the %d ranges of %s are mapped: the kernel takes %d lines and %d bytes",
				n, len(k.granted.Ranges), k.granted.File, maxLines, maxBytes)
		}
		return lines, note
	}
}

func around(at, own uint32, ranges []host.Range) []plan.IDMap {
	var lines []plan.IDMap
	next, placed := uint32(0), false
	place := func() {
		lines = append(lines, plan.IDMap{Box: at, Host: own, Count: 1})
		next, placed = at+1, true
	}
	for _, r := range ranges {
		for r.Count > 0 {
			if next == at && !placed {
				place()
			}
			n := r.Count
			if !placed {
				n = min(n, at-next)
			}
			lines = append(lines, plan.IDMap{Box: next, Host: r.Start, Count: n})
			next += n
			r.Start += n
			r.Count -= n
		}
	}
	if !placed {
		place()
	}
	return lines
}
