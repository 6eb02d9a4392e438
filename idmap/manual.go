package idmap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// Manual is one C:H:N of --uidmap or --gidmap: Count ids from Box inside. Host
// counts from the ids the caller owns (0 is the caller, 1 and up the
// subordinate ids in order), as rootless podman counts; for root, and with
// Absolute (@H), it is an id of the host.
type Manual struct {
	Box, Host, Count uint32
	Absolute         bool
	From             string // the flag as given
}

// ParseManual reads C:H:N or C:@H:N; without N it is 1.
func ParseManual(flag, s string) (Manual, error) {
	m := Manual{Count: 1, From: flag + " " + plan.Quote(s)}
	bad := func(cause string) (Manual, error) {
		return Manual{}, &Error{What: "map ids", Flag: m.From, Cause: cause}
	}
	fields := strings.Split(s, ":")
	if len(fields) != 2 && len(fields) != 3 {
		return bad("C:H:N is wanted: the first id inside, the first outside, how many")
	}
	fields[1], m.Absolute = strings.CutPrefix(fields[1], "@")
	for i, f := range []struct {
		name string
		into *uint32
	}{{"C, the first id inside,", &m.Box}, {"H, the first id outside,", &m.Host}, {"N, how many ids,", &m.Count}}[:len(fields)] {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange), n > maxID:
			return bad(fmt.Sprintf("%s is above %d, the highest id", f.name, uint32(maxID)))
		case err != nil:
			return bad(f.name + " is not a number")
		}
		*f.into = uint32(n)
	}
	if cause := m.invalid(); cause != "" {
		return bad(cause)
	}
	return m, nil
}

// invalid says why the numbers cannot be mapped whoever asks, "" if they can.
func (m Manual) invalid() string {
	switch {
	case m.Count == 0:
		return "N, how many ids, is 0"
	case uint64(m.Box)+uint64(m.Count) > maxID+1:
		return fmt.Sprintf("the ids inside end above %d, the highest id", uint32(maxID))
	case uint64(m.Host)+uint64(m.Count) > maxID+1:
		return fmt.Sprintf("the ids outside end above %d, the highest id", uint32(maxID))
	}
	return ""
}

// manual is the map by hand, or why it cannot be.
func manual(uid, gid []Manual, ids host.IDs) (Map, error) {
	if len(uid) == 0 {
		uid = gid
	}
	if len(gid) == 0 {
		gid = uid
	}
	m := Map{Direct: ids.UID == 0}
	var err error
	if m.UID, err = uidsOf(ids).byHand(uid, ids); err != nil {
		return Map{}, err
	}
	if m.GID, err = gidsOf(ids).byHand(gid, ids); err != nil {
		return Map{}, err
	}
	ownGID := onlyOwn(m.GID, ids.GID)
	m.Self = !m.Direct && onlyOwn(m.UID, ids.UID) && ownGID
	m.Setgroups = (m.Direct || !ownGID) && !ids.SetgroupsDenied
	if !m.Self && !m.Direct {
		if why := helpersFail(ids); why != nil {
			return Map{}, &Error{What: "map ids", Flag: flags(uid, gid), Cause: why.cause, Remedy: why.remedy}
		}
	}
	return m, nil
}

func onlyOwn(lines []plan.IDMap, own uint32) bool {
	return len(lines) == 1 && lines[0].Count == 1 && lines[0].Host == own
}

// flags lists the flags as given, each once.
func flags(lists ...[]Manual) string {
	var s []string
	for _, r := range slices.Concat(lists...) {
		if !slices.Contains(s, r.From) {
			s = append(s, r.From)
		}
	}
	return strings.Join(s, ", ")
}

// byHand checks the requests and makes the lines of the map of them.
func (k kind) byHand(reqs []Manual, ids host.IDs) ([]plan.IDMap, error) {
	what := "map " + k.name + "s"
	root := false
	for _, r := range reqs {
		if cause := r.invalid(); cause != "" {
			return nil, &Error{What: what, Flag: r.From, Cause: cause}
		}
		root = root || r.Box == 0
	}
	if !root {
		return nil, &Error{
			What: what, Flag: flags(reqs),
			Cause:  fmt.Sprintf("%s 0 of the box is not mapped: the box is set up by its root", k.name),
			Remedy: fmt.Sprintf("add --%smap 0:H:1 with an H that no other map uses", k.name),
		}
	}
	var lines []source
	for i := range reqs {
		ls, err := k.resolve(&reqs[i], ids)
		if err != nil {
			return nil, err
		}
		lines = append(lines, ls...)
	}
	if err := overlap(lines, what, k.name+"s of the host", func(l plan.IDMap) uint32 { return l.Host }); err != nil {
		return nil, err
	}
	// last, as this leaves the lines in the order of Map
	if err := overlap(lines, what, k.name+"s of the box", func(l plan.IDMap) uint32 { return l.Box }); err != nil {
		return nil, err
	}
	maps := make([]plan.IDMap, len(lines))
	for i, l := range lines {
		maps[i] = l.IDMap
	}
	if cause := fits(maps); cause != "" {
		return nil, &Error{What: what, Flag: flags(reqs), Cause: cause}
	}
	return maps, nil
}

// source is a line of a map and the request it is from.
type source struct {
	plan.IDMap
	req *Manual
}

// overlap sorts the lines by their first id on one side and says which two
// share some there.
func overlap(lines []source, what, side string, first func(plan.IDMap) uint32) error {
	slices.SortFunc(lines, func(a, b source) int { return cmp.Compare(first(a.IDMap), first(b.IDMap)) })
	for i := 1; i < len(lines); i++ {
		a, b := lines[i-1], lines[i]
		start, end := first(b.IDMap), min(first(a.IDMap)+a.Count, first(b.IDMap)+b.Count)
		if start < end {
			return &Error{
				What: what, Flag: a.req.From + ", " + b.req.From,
				Cause: fmt.Sprintf("both map %s %s", side, span(start, end-start)),
			}
		}
	}
	return nil
}

// resolve finds the ids of the host that a request means, one line for each
// range they lie in: newuidmap(1) does not take the own id and a range in one.
func (k kind) resolve(r *Manual, ids host.IDs) ([]source, error) {
	if ids.UID == 0 {
		return []source{{plan.IDMap{Box: r.Box, Host: r.Host, Count: r.Count}, r}}, nil
	}
	owned := append([]host.Range{{Start: k.own, Count: 1}}, k.granted.Ranges...)
	number := uint64(0) // that the range's first id has in the caller's count
	want := uint64(r.Host)
	if r.Absolute {
		slices.SortFunc(owned, func(a, b host.Range) int { return cmp.Compare(a.Start, b.Start) })
	}
	var lines []source
	left := r.Count
	for _, o := range owned {
		first := number
		if r.Absolute {
			first = uint64(o.Start)
		}
		number += uint64(o.Count)
		if left == 0 || want < first || want >= first+uint64(o.Count) {
			continue
		}
		skip := uint32(want - first)
		n := min(o.Count-skip, left)
		lines = append(lines, source{plan.IDMap{Box: r.Box + (r.Count - left), Host: o.Start + skip, Count: n}, r})
		want += uint64(n)
		left -= n
	}
	if left == 0 {
		return lines, nil
	}
	err := &Error{What: "map " + k.name + "s", Flag: r.From}
	if r.Absolute {
		err.Cause = fmt.Sprintf("%s %d of the host is not %s's, who owns %s", k.name, want, k.who, k.ownership())
	} else {
		err.Cause = fmt.Sprintf("%s has no %s with the number %d and owns %s", k.who, k.name, want, k.ownership())
		if k.owns(want) {
			err.Cause += fmt.Sprintf("; @%d is the one of the host", want)
		}
	}
	if t := k.noRange(ids); t != nil {
		err.Cause += ": " + t.cause
		err.Remedy = t.remedy
	}
	return nil, err
}

// owns says whether an id of the host is the caller's.
func (k kind) owns(id uint64) bool {
	return id == uint64(k.own) || slices.ContainsFunc(k.granted.Ranges, func(r host.Range) bool {
		return id >= uint64(r.Start) && id-uint64(r.Start) < uint64(r.Count)
	})
}

// ownership lists the caller's ids, with the numbers that Manual.Host counts.
func (k kind) ownership() string {
	const most = 4
	s := fmt.Sprintf("%d (number 0)", k.own)
	number := uint32(1)
	for i, r := range k.granted.Ranges {
		if i == most {
			return s + fmt.Sprintf(" and %d more ranges", len(k.granted.Ranges)-most)
		}
		s += fmt.Sprintf(", %s (%s)", span(r.Start, r.Count), span(number, r.Count))
		number += r.Count
	}
	return s
}

// span prints count ids from start on.
func span(start, count uint32) string {
	if count == 1 {
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d–%d", start, start+count-1)
}
