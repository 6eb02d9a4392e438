package idmap

import (
	"fmt"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// trouble is why the subordinate ids cannot be mapped.
type trouble struct {
	cause, remedy string
	// notSetUp: nobody ever granted the caller ranges, so nothing is broken.
	notSetUp bool
}

// obstacle is why the caller's subordinate ids cannot be mapped, nil if they can.
func obstacle(ids host.IDs) *trouble {
	if t := uidsOf(ids).noRange(ids); t != nil {
		return t
	}
	if t := gidsOf(ids).noRange(ids); t != nil {
		return t
	}
	return helpersFail(ids)
}

// noRange is why there are no subordinate ids of the kind, nil if there are.
func (k kind) noRange(ids host.IDs) *trouble {
	s := k.granted
	switch {
	case len(s.Ranges) > 0:
		return nil
	case s.Err != "" && !s.Missing:
		return &trouble{
			cause:  fmt.Sprintf("cannot read %s: %s", s.File, s.Err),
			remedy: "sudo chmod a+r " + s.File,
		}
	case len(s.Problems) > 0:
		more := ""
		if n := len(s.Problems) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		return &trouble{
			cause:  fmt.Sprintf("%s grants %s no range that can be used: %s%s", s.File, k.who, s.Problems[0], more),
			remedy: grant(ids), // the bad line does not keep a good one from working
		}
	case s.Missing:
		return &trouble{
			cause:    "there is no " + s.File,
			remedy:   grant(ids),
			notSetUp: true,
		}
	}
	return &trouble{
		cause:    fmt.Sprintf("%s grants %s no range", s.File, k.who),
		remedy:   grant(ids),
		notSetUp: true,
	}
}

// grant is the command that grants the caller the ranges that are not there.
func grant(ids host.IDs) string {
	r := freeRange(ids)
	var flags, files string
	plain := ids.User != "" && !ids.FromDirectory
	for _, f := range []struct {
		s    host.Subordinate
		flag string
		file string
	}{{ids.SubUID, "--add-subuids", "/etc/subuid"}, {ids.SubGID, "--add-subgids", "/etc/subgid"}} {
		if len(f.s.Ranges) > 0 {
			continue
		}
		flags += fmt.Sprintf(" %s %d-%d", f.flag, r.Start, r.Last())
		files += " " + f.file
		plain = plain && !f.s.Missing
	}
	if plain {
		return fmt.Sprintf("sudo usermod%s %s", flags, who(ids))
	}
	// usermod(8) changes neither a user of a directory nor a file that is missing.
	return fmt.Sprintf("echo %s:%d:%d | sudo tee -a%s", owner(ids), r.Start, r.Count, files)
}

// owner is the caller as the first field of subuid(5).
func owner(ids host.IDs) string {
	if ids.User == "" {
		return fmt.Sprint(ids.UID)
	}
	return plan.Quote(ids.User)
}

// freeRange is a range that can be granted to the caller: as many ids as
// images use, above those of all others, without the caller's own.
func freeRange(ids host.IDs) host.Range {
	const count = 65536
	r := host.Range{Start: max(100000, ids.SubUID.Free, ids.SubGID.Free), Count: count}
	for range 2 { // behind one own id the other may lie
		for _, own := range []uint32{ids.UID, ids.GID} {
			if r.Contains(own) {
				r.Start = own + 1
			}
		}
	}
	if r.Start > maxID-count {
		r.Start = 100000 // nothing above is left: a place to start looking
	}
	return r
}

// helpersFail is why newuidmap and newgidmap cannot map ids for the caller,
// nil if nothing speaks against it. Root does without them.
func helpersFail(ids host.IDs) *trouble {
	if ids.HelpersRefused != "" {
		return &trouble{
			cause:  "the ranges were refused: " + oneLine(ids.HelpersRefused),
			remedy: "check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are the system's own",
		}
	}
	if ids.UID == 0 {
		return nil
	}
	u, g := ids.NewUIDMap, ids.NewGIDMap
	state := u.State
	if state == host.HelperOK {
		state = g.State
	}
	var failing []host.Helper // with the same cause, so that one remedy does
	for _, h := range []host.Helper{u, g} {
		if h.State == state {
			failing = append(failing, h)
		}
	}
	list := func(word func(host.Helper) string, and string) string {
		s := word(failing[0])
		if len(failing) > 1 && word(failing[1]) != s {
			s += and + word(failing[1])
		}
		return s
	}
	name := func(h host.Helper) string { return h.Name }
	path := func(h host.Helper) string { return plan.Quote(string(h.Path)) }
	both := func(one, two string) string {
		if len(failing) > 1 {
			return two
		}
		return one
	}
	switch state {
	case host.HelperMissing:
		return &trouble{
			cause:  list(name, " and ") + both(" is", " are") + " not installed",
			remedy: "sudo apt install uidmap (Debian, Ubuntu), sudo dnf install shadow-utils (Fedora, RHEL)",
		}
	case host.HelperPowerless:
		caps := func(h host.Helper) string {
			return fmt.Sprintf("sudo setcap cap_set%s+ep %s", strings.TrimSuffix(strings.TrimPrefix(h.Name, "new"), "map"), path(h))
		}
		return &trouble{
			cause:  list(path, " and ") + both(" is neither setuid root nor has", " are neither setuid root nor have") + " file capabilities",
			remedy: "sudo chmod u+s " + list(path, " ") + ", or " + list(caps, " && "),
		}
	case host.HelperNosuid:
		mount := func(h host.Helper) string { return plan.Quote(string(h.Mount)) }
		mounts, verb := list(mount, " and "), " is"
		if mounts != mount(failing[0]) {
			verb = " are"
		}
		return &trouble{
			cause:  list(path, " and ") + both(" has", " have") + " no power: " + mounts + verb + " mounted nosuid",
			remedy: list(func(h host.Helper) string { return "sudo mount -o remount,suid " + mount(h) }, " && "),
		}
	case host.HelperNoNewPrivs:
		return &trouble{
			cause:  list(name, " and ") + both(" has", " have") + " no power: the caller runs with no_new_privs",
			remedy: "start nobox outside of what set that, or without its NoNewPrivileges",
		}
	}
	return nil
}

// oneLine makes one printable line of what a program said.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
