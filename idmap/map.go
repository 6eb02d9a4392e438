package idmap

import (
	"fmt"
	"math"

	"nobox/host"
	"nobox/plan"
)

// maxID is the highest id there is: 2^32-1 is (uid_t)-1, "no id".
const maxID = math.MaxUint32 - 1

// What the kernel takes as one map, which is one write(2); user_namespaces(7).
// The bytes are a page's, and fewer than that, with the smallest pages.
const (
	maxLines = 340
	maxBytes = 4096 - 1
)

// Map says which ids of the host the ids inside are.
type Map struct {
	UID, GID []plan.IDMap // by ascending box ids
	// UIDInside and GIDInside are who one is inside unless -u says otherwise:
	// the box's root, with KeepID the caller.
	UIDInside, GIDInside uint32
	// Self: one id each, written from inside without a helper, for which the
	// kernel wants setgroups(2) denied.
	Self bool
	// Direct: the caller is root, and nobox writes the maps itself. At most
	// one of Self and Direct is set; with neither newuidmap and newgidmap do it.
	Direct bool
	// Setgroups: the box may change supplementary groups. newgidmap denies it
	// where it maps none but the caller's own gid; CVE-2018-7169.
	Setgroups bool
	// Note is a line for stderr, "" if there is nothing to say.
	Note string
}

// BoxUID is the uid inside of a uid of the host, false if it has none.
func (m Map) BoxUID(host uint32) (uint32, bool) { return toBox(m.UID, host) }

// BoxGID is the gid inside of a gid of the host, false if it has none.
func (m Map) BoxGID(host uint32) (uint32, bool) { return toBox(m.GID, host) }

// HostUID is the uid on the host of a uid inside, false if it has none.
func (m Map) HostUID(box uint32) (uint32, bool) { return toHost(m.UID, box) }

// HostGID is the gid on the host of a gid inside, false if it has none.
func (m Map) HostGID(box uint32) (uint32, bool) { return toHost(m.GID, box) }

func toBox(lines []plan.IDMap, id uint32) (uint32, bool) {
	for _, l := range lines {
		if id >= l.Host && id-l.Host < l.Count {
			return l.Box + (id - l.Host), true
		}
	}
	return 0, false
}

func toHost(lines []plan.IDMap, id uint32) (uint32, bool) {
	for _, l := range lines {
		if id >= l.Box && id-l.Box < l.Count {
			return l.Host + (id - l.Box), true
		}
	}
	return 0, false
}

// Steps appends what puts the map into effect. From is the flag that asked for
// it; with fallback the helpers may refuse, and the plan is made once more
// with what they said in host.IDs.HelpersRefused.
//
// Preconditions: m is Choose's for the same ids, and fallback is not set for
// a map by hand.
func (m Map) Steps(b *plan.Builder, from string, fallback bool, ids host.IDs) {
	if m.Self {
		b.Inside(from, "the kernel lets a process map its own id, and no other, without a helper",
			plan.MapSelf{UID: m.UID[0], GID: m.GID[0]})
		return
	}
	do := plan.MapIDs{UID: m.UID, GID: m.GID}
	why := "root may map any id"
	if !m.Direct {
		do.NewUIDMap, do.NewGIDMap = ids.NewUIDMap.Path, ids.NewGIDMap.Path
		why = "they check in the host's files that these ids are the caller's"
	}
	mapIDs := b.Host(from, why, do)
	if fallback && !m.Direct {
		mapIDs.Needs = plan.FactNewIDMap
	}
	b.Host(from, "", plan.Release{Event: plan.EventMapped})
	b.Inside(from, "without a map every id inside is nobody's", plan.Await{Event: plan.EventMapped})

	uid, uidMapped := m.BoxUID(ids.UID)
	gid, gidMapped := m.BoxGID(ids.GID)
	if !uidMapped || !gidMapped || uid != m.UIDInside || gid != m.GIDInside {
		become := plan.SetIDs{UID: m.UIDInside, GID: m.GIDInside}
		if m.Setgroups {
			become.Groups = []uint32{}
		}
		b.Inside(from, "the map does not make the caller root inside", become)
	}
}

// fits says whether the kernel takes the lines, "" if it does.
func fits(lines []plan.IDMap) string {
	if len(lines) > maxLines {
		return fmt.Sprintf("%d lines of map are needed, the kernel takes %d", len(lines), maxLines)
	}
	size := 0
	for _, l := range lines {
		size += digits(l.Box) + digits(l.Host) + digits(l.Count) + len("  \n")
	}
	if size > maxBytes {
		return fmt.Sprintf("%d lines of map take %d bytes, the kernel takes %d", len(lines), size, maxBytes)
	}
	return ""
}

func digits(n uint32) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

// Error is why the ids cannot be mapped as asked.
type Error struct {
	What   string // what cannot be done, as the object of "cannot"
	Flag   string // the flags that asked for it, as given
	Cause  string
	Remedy string // what to do, "" if this machine's facts support nothing
}

func (e *Error) Error() string {
	if e.Flag == "" {
		return fmt.Sprintf("cannot %s: %s", e.What, e.Cause)
	}
	return fmt.Sprintf("cannot %s (%s): %s", e.What, e.Flag, e.Cause)
}

// Hint is the remedy.
func (e *Error) Hint() string { return e.Remedy }
