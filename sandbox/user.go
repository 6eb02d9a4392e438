package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	mobyuser "github.com/moby/sys/user"

	"nobox/host"
	"nobox/idmap"
	"nobox/plan"
)

// lookupUser finds who runs the command: ids of the box, names from the box's
// own /etc/passwd and /etc/group.
func lookupUser(o *Options, f *host.Facts, ids idmap.Map) (user, error) {
	u := user{home: "/root"}
	if o.Userns == UsernsKeepID {
		u.uid, u.gid = f.UID, f.GID
	}
	if o.User == "" {
		if u.uid != 0 {
			u.home = "/"
		}
		return u, nil
	}
	bad := func(cause error, hints ...string) (user, error) {
		return user{}, &Error{What: "run as " + plan.Quote(o.User), Flag: "-u", Cause: cause, Hints: hints}
	}
	name, group, hasGroup := strings.Cut(o.User, ":")
	for _, part := range []string{name, group} {
		if err := checkID(part); err != nil && (part != group || hasGroup) {
			return bad(err)
		}
	}
	root := o.Rootfs
	if root != "" {
		root = f.Sources[string(o.Rootfs)].Resolved
	} else {
		root = "/"
	}
	passwd := f.Files[host.Place{Base: root, Path: "/etc/passwd"}]
	groups := f.Files[host.Place{Base: root, Path: "/etc/group"}]
	numeric := isNumber(name) && (!hasGroup || isNumber(group))
	if passwd.Err != nil && !numeric {
		return bad(fmt.Errorf("the box's /etc/passwd: %w", passwd.Err), "a number needs no look-up: -u 1000:1000")
	}
	if isNumber(name) && (!hasGroup || isNumber(group)) {
		// moby/sys/user takes no id above 2^31, which directories give out.
		u = byNumber(name, group, hasGroup, u, passwd.Content, groups.Content, ids)
		return u, checkMapped(u, o, ids)
	}
	e, err := mobyuser.GetExecUser(o.User, &mobyuser.ExecUser{Uid: int(u.uid), Gid: int(u.gid), Home: "/"},
		bytes.NewReader(passwd.Content), bytes.NewReader(groups.Content))
	if err != nil {
		if errors.Is(err, mobyuser.ErrNoPasswdEntries) || strings.Contains(err.Error(), "unable to find user") {
			err = errors.New("the box's /etc/passwd has no such user")
		} else if errors.Is(err, mobyuser.ErrNoGroupEntries) || strings.Contains(err.Error(), "unable to find group") {
			err = errors.New("the box's /etc/group has no such group")
		}
		return bad(err)
	}
	u = user{uid: uint32(e.Uid), gid: uint32(e.Gid), home: e.Home}
	if err := checkMapped(u, o, ids); err != nil {
		return user{}, err
	}
	for _, g := range e.Sgids {
		if _, ok := ids.HostGID(uint32(g)); ok && uint32(g) != u.gid {
			u.groups = append(u.groups, uint32(g))
		}
	}
	return u, nil
}

// byNumber is the user of a number; group and home are those of the box's
// /etc/passwd if it knows the uid, else gid 0, as docker has it, and /. Where it
// knows it, and no group was asked for, the groups of that name are there too.
func byNumber(name, group string, hasGroup bool, def user, passwd, groups []byte, ids idmap.Map) user {
	uid, _ := strconv.ParseUint(name, 10, 32)
	u := user{uid: uint32(uid), home: "/"}
	if uint32(uid) == def.uid {
		u.gid = def.gid
	}
	known := ""
	for line := range bytes.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) < 6 || f[2] != name {
			continue
		}
		if gid, err := strconv.ParseUint(f[3], 10, 32); err == nil {
			u.gid = uint32(gid)
		}
		known, u.home = f[0], f[5]
		break
	}
	if hasGroup {
		gid, _ := strconv.ParseUint(group, 10, 32)
		u.gid = uint32(gid)
		return u
	}
	if known != "" {
		u.groups = groupsOf(known, u.gid, groups, ids)
	}
	return u
}

// groupsOf are the groups of /etc/group that have the user for a member, but
// for own and for those that are not mapped; group(5).
func groupsOf(name string, own uint32, group []byte, ids idmap.Map) (gids []uint32) {
	for line := range bytes.Lines(group) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) < 4 || !slices.Contains(strings.Split(f[3], ","), name) {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || uint32(n) == own || slices.Contains(gids, uint32(n)) {
			continue
		}
		if _, ok := ids.HostGID(uint32(n)); ok {
			gids = append(gids, uint32(n))
		}
	}
	return gids
}

func checkMapped(u user, o *Options, ids idmap.Map) error {
	for _, c := range []struct {
		name string
		id   uint32
		host func(uint32) (uint32, bool)
		has  []plan.IDMap
	}{{"uid", u.uid, ids.HostUID, ids.UID}, {"gid", u.gid, ids.HostGID, ids.GID}} {
		if _, ok := c.host(c.id); !ok {
			return &Error{What: "run as " + plan.Quote(o.User), Flag: "-u", Cause: fmt.Errorf("%s %d is not mapped", c.name, c.id), Hints: []string{mapHint(o, ids, c.name, c.id, c.has)}}
		}
	}
	return nil
}

// mapHint says what is mapped, and how more would be.
func mapHint(o *Options, ids idmap.Map, name string, id uint32, has []plan.IDMap) string {
	switch {
	case ids.Self && o.Userns == UsernsRoot:
		return "-r maps one id alone; without it the caller's subordinate ids are mapped too: subuid(5)"
	case ids.Self:
		return "only one id is mapped; a range of subordinate ids maps more: subuid(5)"
	}
	var spans []string
	for i := 0; i < len(has); {
		first, end := uint64(has[i].Box), uint64(has[i].Box)
		for ; i < len(has) && uint64(has[i].Box) == end; i++ {
			end += uint64(has[i].Count)
		}
		if end-first == 1 {
			spans = append(spans, strconv.FormatUint(first, 10))
		} else {
			spans = append(spans, fmt.Sprintf("%d–%d", first, end-1))
		}
	}
	const most = 5
	if len(spans) > most {
		spans = append(spans[:most], "more")
	}
	hint := fmt.Sprintf("the %ss of the box are %s", name, strings.Join(spans, ", "))
	if o.Userns == UsernsAuto && len(o.UIDMap)+len(o.GIDMap) == 0 {
		hint += fmt.Sprintf("; --%smap 0:0 --%smap %d:1 maps one of the caller's range there", name, name, id)
	}
	return hint
}

// checkID refuses what looks like a number and is none (CVE-2026-30892).
func checkID(s string) error {
	if s == "" {
		return errors.New("it has an empty part; UID|NAME[:GID|GROUP] is wanted")
	}
	if strings.IndexByte(s, ':') >= 0 {
		return errors.New("it has more than two parts; UID|NAME[:GID|GROUP] is wanted")
	}
	if c := s[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == ' ' {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil || v == 1<<32-1 {
			return fmt.Errorf("%s is no id: 0 to 4294967294 is", plan.Quote(s))
		}
	}
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}
