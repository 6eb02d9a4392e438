package sandbox

import (
	"bytes"
	"errors"
	"fmt"
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
		u = byNumber(name, group, hasGroup, u, passwd.Content)
		return u, checkMapped(u, ids, o.User)
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
	if err := checkMapped(u, ids, o.User); err != nil {
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
// /etc/passwd if it knows the uid, else gid 0, as docker has it, and /.
func byNumber(name, group string, hasGroup bool, def user, passwd []byte) user {
	uid, _ := strconv.ParseUint(name, 10, 32)
	u := user{uid: uint32(uid), home: "/"}
	if uint32(uid) == def.uid {
		u.gid = def.gid
	}
	for line := range bytes.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) < 6 || f[2] != name {
			continue
		}
		if gid, err := strconv.ParseUint(f[3], 10, 32); err == nil {
			u.gid = uint32(gid)
		}
		u.home = f[5]
		break
	}
	if hasGroup {
		gid, _ := strconv.ParseUint(group, 10, 32)
		u.gid = uint32(gid)
	}
	return u
}

func checkMapped(u user, ids idmap.Map, asked string) error {
	for _, c := range []struct {
		name string
		id   uint32
		host func(uint32) (uint32, bool)
	}{{"uid", u.uid, ids.HostUID}, {"gid", u.gid, ids.HostGID}} {
		if _, ok := c.host(c.id); !ok {
			return &Error{What: "run as " + plan.Quote(asked), Flag: "-u", Cause: fmt.Errorf("%s %d is not mapped", c.name, c.id), Hints: mapHint(ids)}
		}
	}
	return nil
}

func mapHint(ids idmap.Map) []string {
	if ids.Self {
		return []string{"only one id is mapped; a range of subordinate ids maps more: subuid(5)"}
	}
	return nil
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
