package idmap

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nobox/host"
	"nobox/plan"
)

// boxer is a caller for whom all is well; each change makes it less so.
func boxer(changes ...func(*host.IDs)) host.IDs {
	ids := host.IDs{
		UID: 1001, GID: 1002, User: "boxer",
		SubUID:    host.Subordinate{File: "/etc/subuid", Ranges: []host.Range{{Start: 100000, Count: 65536}}},
		SubGID:    host.Subordinate{File: "/etc/subgid", Ranges: []host.Range{{Start: 200000, Count: 65536}}},
		NewUIDMap: host.Helper{Name: "newuidmap", Path: "/usr/bin/newuidmap"},
		NewGIDMap: host.Helper{Name: "newgidmap", Path: "/usr/bin/newgidmap"},
	}
	for _, change := range changes {
		change(&ids)
	}
	return ids
}

func root(ids *host.IDs) { ids.UID, ids.GID, ids.User = 0, 0, "root" }
func noRanges(ids *host.IDs) {
	ids.SubUID.Ranges, ids.SubGID.Ranges = nil, nil
}
func uids(ranges ...host.Range) func(*host.IDs) {
	return func(ids *host.IDs) { ids.SubUID.Ranges = ranges }
}
func gids(ranges ...host.Range) func(*host.IDs) {
	return func(ids *host.IDs) { ids.SubGID.Ranges = ranges }
}
func caller(uid, gid uint32) func(*host.IDs) {
	return func(ids *host.IDs) { ids.UID, ids.GID = uid, gid }
}
func helpers(state host.HelperState) func(*host.IDs) {
	return func(ids *host.IDs) { ids.NewUIDMap.State, ids.NewGIDMap.State = state, state }
}

type lines = []plan.IDMap

func TestTheCallerIsRootInsideAndTheRangesFollow(t *testing.T) {
	for _, c := range []struct {
		name     string
		mode     Mode
		ids      host.IDs
		uid, gid lines
	}{
		{"one range", Auto, boxer(),
			lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 100000, Count: 65536}},
			lines{{Box: 0, Host: 1002, Count: 1}, {Box: 1, Host: 200000, Count: 65536}}},
		{"several, in the file's order, without a hole inside", Auto,
			boxer(uids(host.Range{Start: 300000, Count: 10}, host.Range{Start: 100000, Count: 5}), gids(host.Range{Start: 7, Count: 1})),
			lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 300000, Count: 10}, {Box: 11, Host: 100000, Count: 5}},
			lines{{Box: 0, Host: 1002, Count: 1}, {Box: 1, Host: 7, Count: 1}}},
		{"a uid above 2^31", Auto, boxer(caller(3000000000, 4294967294), uids(host.Range{Start: 3000000001, Count: 100})),
			lines{{Box: 0, Host: 3000000000, Count: 1}, {Box: 1, Host: 3000000001, Count: 100}},
			lines{{Box: 0, Host: 4294967294, Count: 1}, {Box: 1, Host: 200000, Count: 65536}}},
		{"keep-id: around the caller", KeepID, boxer(),
			lines{{Box: 0, Host: 100000, Count: 1001}, {Box: 1001, Host: 1001, Count: 1}, {Box: 1002, Host: 101001, Count: 64535}},
			lines{{Box: 0, Host: 200000, Count: 1002}, {Box: 1002, Host: 1002, Count: 1}, {Box: 1003, Host: 201002, Count: 64534}}},
		{"keep-id: fewer ids than the caller's uid, and exactly as many", KeepID,
			boxer(uids(host.Range{Start: 100000, Count: 1000}), gids(host.Range{Start: 200000, Count: 1002})),
			lines{{Box: 0, Host: 100000, Count: 1000}, {Box: 1001, Host: 1001, Count: 1}},
			lines{{Box: 0, Host: 200000, Count: 1002}, {Box: 1002, Host: 1002, Count: 1}}},
		{"keep-id: cut at the end of a range, and within the second", KeepID,
			boxer(uids(host.Range{Start: 100000, Count: 1001}, host.Range{Start: 300000, Count: 5}),
				gids(host.Range{Start: 200000, Count: 1000}, host.Range{Start: 300000, Count: 5})),
			lines{{Box: 0, Host: 100000, Count: 1001}, {Box: 1001, Host: 1001, Count: 1}, {Box: 1002, Host: 300000, Count: 5}},
			lines{{Box: 0, Host: 200000, Count: 1000}, {Box: 1000, Host: 300000, Count: 2}, {Box: 1002, Host: 1002, Count: 1}, {Box: 1003, Host: 300002, Count: 3}}},
		{"keep-id: a uid above 2^31, and a gid of 0", KeepID, boxer(caller(3000000000, 0)),
			lines{{Box: 0, Host: 100000, Count: 65536}, {Box: 3000000000, Host: 3000000000, Count: 1}},
			lines{{Box: 0, Host: 0, Count: 1}, {Box: 1, Host: 200000, Count: 65536}}},
		{"keep-id: all ids there are", KeepID,
			boxer(caller(4294967294, 1), uids(host.Range{Start: 1, Count: 4294967293}), gids(host.Range{Start: 2, Count: 4294967293})),
			lines{{Box: 0, Host: 1, Count: 4294967293}, {Box: 4294967294, Host: 4294967294, Count: 1}},
			lines{{Box: 0, Host: 2, Count: 1}, {Box: 1, Host: 1, Count: 1}, {Box: 2, Host: 3, Count: 4294967292}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Request{Mode: c.mode}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			want := Map{UID: c.uid, GID: c.gid, Setgroups: true}
			if c.mode == KeepID {
				want.UIDInside, want.GIDInside = c.ids.UID, c.ids.GID
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestOneIdIsMappedFromInside(t *testing.T) {
	for _, c := range []struct {
		name string
		req  Request
		ids  host.IDs
		id   bool // uid and gid stay
	}{
		{"-r, whatever the ranges", Request{Mode: Root}, boxer(), false},
		{"-r without facts about ranges", Request{Mode: Root}, host.IDs{UID: 1001, GID: 1002}, false},
		{"-r by a uid above 2^31", Request{Mode: Root}, host.IDs{UID: 3000000000, GID: 3000000001}, false},
		{"-r as root", Request{Mode: Root}, host.IDs{}, false},
		{"keep-id without ranges", Request{Mode: KeepID}, boxer(noRanges), true},
		{"keep-id without files", Request{Mode: KeepID}, boxer(noRanges, func(ids *host.IDs) {
			ids.SubUID.Err, ids.SubUID.Missing = "no such file or directory", true
		}), true},
		{"keep-id without ranges or helpers", Request{Mode: KeepID}, boxer(noRanges, helpers(host.HelperMissing)), true},
		{"keep-id with uids only", Request{Mode: KeepID}, boxer(gids()), true},
		{"by hand, the caller alone, without helpers", Request{Mode: ByHand, UID: []Manual{{Count: 1}}}, boxer(noRanges, helpers(host.HelperMissing)), false},
		{"by hand, the caller's own uid and gid", Request{Mode: ByHand,
			UID: []Manual{{Host: 1001, Count: 1, Absolute: true}}, GID: []Manual{{Host: 1002, Count: 1, Absolute: true}}}, boxer(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(c.req, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			want := Map{UID: lines{{Host: c.ids.UID, Count: 1}}, GID: lines{{Host: c.ids.GID, Count: 1}}, Self: true}
			if c.id {
				want.UID[0].Box, want.GID[0].Box = c.ids.UID, c.ids.GID
				want.UIDInside, want.GIDInside = c.ids.UID, c.ids.GID
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// The Note is the contract here: each cause has its own words, and a remedy
// for this caller on this machine.
func TestWhyThereIsOnlyOneIdIsSaidInOneLine(t *testing.T) {
	missing := func(s *host.Subordinate) {
		s.Ranges, s.Err, s.Missing = nil, "no such file or directory", true
	}
	spack := func(ids *host.IDs) {
		ids.NewGIDMap.Path, ids.NewGIDMap.Mount, ids.NewUIDMap.Mount = "/opt/my bin/newgidmap", "/opt/my bin", "/"
	}
	for _, c := range []struct {
		name string
		ids  host.IDs
		want string
		keep bool // said to who keeps the id, too
	}{
		{"no range", boxer(noRanges),
			"/etc/subuid grants boxer no range; remedy: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 boxer", false},
		{"no uids", boxer(uids()),
			"/etc/subuid grants boxer no range; remedy: sudo usermod --add-subuids 100000-165535 boxer", false},
		{"no gids, and others have some", boxer(gids(), func(ids *host.IDs) { ids.SubGID.Free = 165536 }),
			"/etc/subgid grants boxer no range; remedy: sudo usermod --add-subgids 165536-231071 boxer", false},
		{"the range would contain the caller", boxer(noRanges, caller(165535, 165536)),
			"/etc/subuid grants boxer no range; remedy: sudo usermod --add-subuids 165537-231072 --add-subgids 165537-231072 boxer", false},
		{"the range would contain the caller's gid, then uid", boxer(noRanges, caller(165536, 165535)),
			"/etc/subuid grants boxer no range; remedy: sudo usermod --add-subuids 165537-231072 --add-subgids 165537-231072 boxer", false},
		{"no name", boxer(noRanges, func(ids *host.IDs) { ids.User = "" }),
			"/etc/subuid grants uid 1001 no range; remedy: echo 1001:100000:65536 | sudo tee -a /etc/subuid /etc/subgid", false},
		{"a user of LDAP", boxer(noRanges, func(ids *host.IDs) { ids.User, ids.FromDirectory = `CORP\boxer`, true }),
			`/etc/subuid grants "CORP\\boxer" no range; remedy: echo "CORP\\boxer":100000:65536 | sudo tee -a /etc/subuid /etc/subgid`, false},
		{"no file", boxer(func(ids *host.IDs) { missing(&ids.SubGID) }),
			"there is no /etc/subgid; remedy: echo boxer:100000:65536 | sudo tee -a /etc/subgid", false},
		{"a file that cannot be read", boxer(noRanges, func(ids *host.IDs) { ids.SubUID.Err = "permission denied" }),
			"cannot read /etc/subuid: permission denied; remedy: sudo chmod a+r /etc/subuid", true},
		{"bad lines", boxer(uids(), func(ids *host.IDs) {
			ids.SubUID.Problems = []string{`line 3, "boxer:x:1": the start is not a number`, "another"}
		}),
			`/etc/subuid grants boxer no range that can be used: line 3, "boxer:x:1": the start is not a number (and 1 more); remedy: sudo usermod --add-subuids 100000-165535 boxer`, true},
		{"no helpers", boxer(helpers(host.HelperMissing)),
			"newuidmap and newgidmap are not installed; remedy: sudo apt install uidmap (Debian, Ubuntu), sudo dnf install shadow-utils (Fedora, RHEL)", true},
		{"no newgidmap", boxer(func(ids *host.IDs) { ids.NewGIDMap.State = host.HelperMissing }),
			"newgidmap is not installed; remedy: sudo apt install uidmap (Debian, Ubuntu), sudo dnf install shadow-utils (Fedora, RHEL)", true},
		{"powerless", boxer(helpers(host.HelperPowerless), spack),
			`/usr/bin/newuidmap and "/opt/my bin/newgidmap" are neither setuid root nor have file capabilities; remedy: sudo chmod u+s /usr/bin/newuidmap "/opt/my bin/newgidmap", or sudo setcap cap_setuid+ep /usr/bin/newuidmap && sudo setcap cap_setgid+ep "/opt/my bin/newgidmap"`, true},
		{"one powerless", boxer(func(ids *host.IDs) { ids.NewGIDMap.State = host.HelperPowerless }),
			"/usr/bin/newgidmap is neither setuid root nor has file capabilities; remedy: sudo chmod u+s /usr/bin/newgidmap, or sudo setcap cap_setgid+ep /usr/bin/newgidmap", true},
		{"nosuid", boxer(helpers(host.HelperNosuid), func(ids *host.IDs) { ids.NewUIDMap.Mount, ids.NewGIDMap.Mount = "/usr", "/usr" }),
			"/usr/bin/newuidmap and /usr/bin/newgidmap have no power: /usr is mounted nosuid; remedy: sudo mount -o remount,suid /usr", true},
		{"nosuid twice", boxer(helpers(host.HelperNosuid), spack),
			`/usr/bin/newuidmap and "/opt/my bin/newgidmap" have no power: / and "/opt/my bin" are mounted nosuid; remedy: sudo mount -o remount,suid / && sudo mount -o remount,suid "/opt/my bin"`, true},
		{"no_new_privs", boxer(helpers(host.HelperNoNewPrivs)),
			"newuidmap and newgidmap have no power: the caller runs with no_new_privs; remedy: start nobox outside of what set that, or without its NoNewPrivileges", true},
		{"refused", boxer(func(ids *host.IDs) {
			ids.HelpersRefused = "newuidmap: uid range [0-1) -> [1001-1002) not allowed\n\x1b[31m"
		}),
			"the ranges were refused: newuidmap: uid range [0-1) -> [1001-1002) not allowed [31m; remedy: check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are the system's own", true},
		{"the range before the helper", boxer(noRanges, helpers(host.HelperMissing)),
			"/etc/subuid grants boxer no range; remedy: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 boxer", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Request{Mode: Auto}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			want := Map{UID: lines{{Host: c.ids.UID, Count: 1}}, GID: lines{{Host: c.ids.GID, Count: 1}}, Self: true, Note: "one id only: " + c.want}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
			kept, err := Choose(Request{Mode: KeepID}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			if !c.keep {
				want.Note = ""
			}
			if kept.Note != want.Note || !kept.Self {
				t.Errorf("keep-id: self %v, note\n%s\nwant\n%s", kept.Self, kept.Note, want.Note)
			}
		})
	}
}

func TestRootWritesItsMapsItself(t *testing.T) {
	one := lines{{Count: 1}}
	uid := lines{{Count: 1}, {Box: 1, Host: 100000, Count: 65536}}
	gid := lines{{Count: 1}, {Box: 1, Host: 200000, Count: 65536}}
	for _, c := range []struct {
		name     string
		mode     Mode
		ids      host.IDs
		uid, gid lines
		note     string
	}{
		{"with ranges, without helpers", Auto, boxer(root, helpers(host.HelperMissing)), uid, gid, ""},
		{"without ranges", Auto, boxer(root, noRanges), one, one, ""},
		{"without gids", Auto, boxer(root, gids()), one, one, ""},
		{"with ranges that were refused", Auto, boxer(root, func(ids *host.IDs) { ids.HelpersRefused = "operation not permitted" }), one, one,
			"one id only: the ranges were refused: operation not permitted; remedy: check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are the system's own"},
		{"keeping the id", KeepID, boxer(root), uid, gid, ""},
		{"in a group of another gid", Auto, boxer(root, caller(0, 5)), uid, lines{{Host: 5, Count: 1}, gid[1]}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Request{Mode: c.mode}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			want := Map{UID: c.uid, GID: c.gid, Direct: true, Setgroups: true, Note: c.note}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestTheKernelsLimitCutsRangesNotTheRun(t *testing.T) {
	many := func(n int, start uint32) func(*host.IDs) {
		var r []host.Range
		for i := range n {
			r = append(r, host.Range{Start: start + uint32(i)*2, Count: 1})
		}
		return uids(r...)
	}
	for _, c := range []struct {
		name string
		ids  host.IDs
		mode Mode
		want int
		note string
	}{
		{"by lines", boxer(many(400, 1100)), Auto, 340, "only the first 339 of the 400 ranges of /etc/subuid are mapped: the kernel takes 340 lines and 4095 bytes"},
		{"by bytes", boxer(many(400, 3000000000)), Auto, 247, "only the first 246 of the 400 ranges of /etc/subuid are mapped: the kernel takes 340 lines and 4095 bytes"},
		{"keeping the id, by lines", boxer(many(400, 1100)), KeepID, 340, "only the first 339 of the 400 ranges of /etc/subuid are mapped: the kernel takes 340 lines and 4095 bytes"},
		{"as many as fit", boxer(many(339, 1100)), Auto, 340, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Request{Mode: c.mode}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.UID) != c.want || got.Note != c.note {
				t.Errorf("%d lines, note %q, want %d, %q", len(got.UID), got.Note, c.want, c.note)
			}
			if inside, ok := got.BoxUID(1001); !ok || inside != got.UIDInside {
				t.Errorf("the caller is %d, %v inside", inside, ok)
			}
			if size := len(text(got.UID)); size > 4095 {
				t.Errorf("%d bytes", size)
			}
		})
	}
}

// text is a map as it is written to the kernel.
func text(ls lines) string {
	var b strings.Builder
	for _, l := range ls {
		b.WriteString(strings.Join([]string{dec(l.Box), dec(l.Host), dec(l.Count)}, " ") + "\n")
	}
	return b.String()
}

func TestIdsAreFoundInBothDirections(t *testing.T) {
	m := Map{
		UID: lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 100000, Count: 65536}, {Box: 3000000000, Host: 4294967294, Count: 1}},
		GID: lines{{Box: 0, Host: 7, Count: 2}},
	}
	for _, c := range []struct {
		name string
		f    func(uint32) (uint32, bool)
		in   uint32
		want uint32
		ok   bool
	}{
		{"BoxUID", m.BoxUID, 1001, 0, true},
		{"BoxUID", m.BoxUID, 1002, 0, false},
		{"BoxUID", m.BoxUID, 100000, 1, true},
		{"BoxUID", m.BoxUID, 165535, 65536, true},
		{"BoxUID", m.BoxUID, 165536, 0, false},
		{"BoxUID", m.BoxUID, 4294967294, 3000000000, true},
		{"HostUID", m.HostUID, 0, 1001, true},
		{"HostUID", m.HostUID, 65536, 165535, true},
		{"HostUID", m.HostUID, 65537, 0, false},
		{"HostUID", m.HostUID, 3000000000, 4294967294, true},
		{"HostUID", m.HostUID, math.MaxUint32, 0, false},
		{"BoxGID", m.BoxGID, 8, 1, true},
		{"BoxGID", m.BoxGID, 9, 0, false},
		{"HostGID", m.HostGID, 1, 8, true},
		{"HostGID", m.HostGID, 2, 0, false},
	} {
		if got, ok := c.f(c.in); got != c.want || ok != c.ok {
			t.Errorf("%s(%d) = %d, %v, want %d, %v", c.name, c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestStepsPutTheMapIntoEffect(t *testing.T) {
	become := func(groups []uint32) plan.Action { return plan.SetIDs{Groups: groups} }
	release, await := plan.Release{Event: plan.EventMapped}, plan.Await{Event: plan.EventMapped}
	for _, c := range []struct {
		name  string
		req   Request
		ids   host.IDs
		needs bool
		after []plan.Action // MapIDs; nil is MapSelf alone
	}{
		{"one id", Request{Mode: Root}, boxer(), false, nil},
		{"one id kept", Request{Mode: KeepID}, boxer(noRanges), false, nil},
		{"ranges", Request{Mode: Auto}, boxer(), true, []plan.Action{release, await}},
		{"ranges around the kept id", Request{Mode: KeepID}, boxer(), true, []plan.Action{release, await}},
		{"as root", Request{Mode: Auto}, boxer(root), false, []plan.Action{release, await}},
		{"by hand, the caller as root", Request{Mode: ByHand, UID: []Manual{{Count: 10}}}, boxer(), false, []plan.Action{release, await}},
		{"by hand, another id as root", Request{Mode: ByHand, UID: []Manual{{Host: 1, Count: 10}}}, boxer(), false,
			[]plan.Action{release, await, become([]uint32{})}},
		{"by hand, the caller as someone else", Request{Mode: ByHand, UID: []Manual{{Host: 1, Count: 10}, {Box: 1001, Count: 1}}}, boxer(), false,
			[]plan.Action{release, await, become([]uint32{})}},
		{"by hand, another uid and the own gid, which denies setgroups",
			Request{Mode: ByHand, UID: []Manual{{Host: 1, Count: 10}}, GID: []Manual{{Count: 1}}}, boxer(), false,
			[]plan.Action{release, await, become(nil)}},
		{"by hand, as root", Request{Mode: ByHand, UID: []Manual{{Host: 100000, Count: 10}}}, boxer(root), false,
			[]plan.Action{release, await, become([]uint32{})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Choose(c.req, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			first := plan.Action(plan.MapSelf{UID: m.UID[0], GID: m.GID[0]})
			if c.after != nil {
				do := plan.MapIDs{UID: m.UID, GID: m.GID}
				if c.ids.UID != 0 {
					do.NewUIDMap, do.NewGIDMap = "/usr/bin/newuidmap", "/usr/bin/newgidmap"
				}
				first = do
			}
			var b plan.Builder
			m.Steps(&b, "--flag", c.req.Mode != ByHand, c.ids)
			var got []plan.Action
			for i, s := range b.Steps {
				got = append(got, s.Do)
				if s.From != "--flag" {
					t.Errorf("step %d is from %q", i, s.From)
				}
				switch s.Do.(type) {
				case plan.MapIDs, plan.Release:
					if s.Side != plan.Host {
						t.Errorf("step %d, %v, is %v", i, s.Do, s.Side)
					}
				default:
					if s.Side != plan.Inside {
						t.Errorf("step %d, %v, is %v", i, s.Do, s.Side)
					}
				}
				needs := plan.FactNone
				if i == 0 && c.needs {
					needs = plan.FactNewIDMap
				}
				if s.Needs != needs {
					t.Errorf("step %d, %v, needs %q, want %q", i, s.Do, s.Needs, needs)
				}
			}
			if want := append([]plan.Action{first}, c.after...); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%v\nwant\n%v", got, want)
			}
		})
	}
}

func TestErrorsSayWhatFlagAndCause(t *testing.T) {
	err := error(&Error{What: "map uids", Flag: "--uidmap 0:0:1", Cause: "no", Remedy: "ask"})
	if got, want := err.Error(), "cannot map uids (--uidmap 0:0:1): no"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || hint.Hint() != "ask" {
		t.Errorf("hint %v", hint)
	}
	if got, want := (&Error{What: "map uids", Cause: "no"}).Error(), "cannot map uids: no"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzChoose: whatever the caller owns and asks for, no id is mapped twice on
// either side, every id outside is the caller's, and the ids inside are those
// asked for. Bytes of owned and asked become ranges and requests.
func FuzzChoose(f *testing.F) {
	f.Add(uint32(1001), uint32(1002), uint8(Auto), []byte{10, 0, 20, 0}, []byte{})
	f.Add(uint32(1001), uint32(1002), uint8(KeepID), []byte{200, 3, 200, 3, 10, 1}, []byte{})
	f.Add(uint32(5), uint32(5), uint8(ByHand), []byte{10, 0, 20, 3}, []byte{0, 1, 5, 0, 10, 0, 1, 0, 0, 130, 1, 1})
	f.Add(uint32(0), uint32(0), uint8(ByHand), []byte{}, []byte{0, 90, 5, 1})
	f.Add(uint32(4294967294), uint32(3000000000), uint8(KeepID), []byte{255, 255}, []byte{})
	f.Fuzz(func(t *testing.T, uid, gid uint32, mode uint8, owned, asked []byte) {
		uid, gid = min(uid, maxID), min(gid, maxID)
		owned, asked = owned[:min(len(owned), 1000)], asked[:min(len(asked), 4*400)]
		ids := boxer(caller(uid, gid), uids(fuzzRanges(owned, uid)...), gids(fuzzRanges(owned, gid)...))
		req := Request{Mode: Mode(mode % 4)}
		for len(asked) >= 4 && req.Mode == ByHand {
			m := Manual{Box: uint32(asked[0]), Host: uint32(asked[1]), Count: uint32(asked[2]), From: "--uidmap " + dec(uint32(len(asked)))}
			m.Absolute = asked[3]&1 != 0
			if asked[3]&4 != 0 {
				m.Host += maxID - 200
			}
			if asked[3]&2 != 0 {
				req.GID = append(req.GID, m)
			} else {
				req.UID = append(req.UID, m)
			}
			asked = asked[4:]
		}
		m, err := Choose(req, ids)
		if err != nil {
			var e *Error
			if req.Mode != ByHand || !errors.As(err, &e) || e.Cause == "" || e.What == "" || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%+v: %v", req, err)
			}
			return
		}
		if m.Self && m.Direct || strings.Contains(m.Note, "\n") {
			t.Fatalf("%+v", m)
		}
		reqUID, reqGID := req.UID, req.GID
		if len(reqUID) == 0 {
			reqUID = reqGID
		}
		if len(reqGID) == 0 {
			reqGID = reqUID
		}
		checkMap(t, req.Mode, m.UID, m.UIDInside, uid, ids.SubUID.Ranges, reqUID, m.Direct)
		checkMap(t, req.Mode, m.GID, m.GIDInside, gid, ids.SubGID.Ranges, reqGID, m.Direct)
		if m.Self && (len(m.UID) != 1 || len(m.GID) != 1 || m.UID[0].Host != uid || m.GID[0].Host != gid) {
			t.Fatalf("not the caller's own alone: %+v", m)
		}
		var b plan.Builder
		m.Steps(&b, "", req.Mode != ByHand, ids)
		if n := len(b.Steps); m.Self && n != 1 || !m.Self && n < 3 {
			t.Fatalf("steps %v", b.Steps)
		}
	})
}

// fuzzRanges makes ranges that do not overlap, nor contain own: the gap
// before and the length of each from two bytes.
func fuzzRanges(b []byte, own uint32) []host.Range {
	var ranges []host.Range
	next := uint64(1)
	for ; len(b) >= 2; b = b[2:] {
		start := next + uint64(b[0])*uint64(b[0])
		next = start + uint64(b[1])*uint64(b[1])<<(b[0]%18)
		if next > maxID+1 {
			break
		}
		r := host.Range{Start: uint32(start), Count: uint32(next - start)}
		if r.Count > 0 && !r.Contains(own) {
			ranges = append(ranges, r)
		}
	}
	if len(ranges)%2 == 0 {
		slices.Reverse(ranges)
	}
	return ranges
}

func checkMap(t *testing.T, mode Mode, got lines, inside, own uint32, owned []host.Range, asked []Manual, direct bool) {
	t.Helper()
	if len(got) > 340 || len(text(got)) > 4095 {
		t.Fatalf("%d lines", len(got))
	}
	var total, askedTotal uint64
	for i, l := range got {
		if l.Count == 0 || uint64(l.Box)+uint64(l.Count) > maxID+1 || uint64(l.Host)+uint64(l.Count) > maxID+1 {
			t.Fatalf("line %v", l)
		}
		total += uint64(l.Count)
		if i > 0 && l.Box < got[i-1].Box {
			t.Fatalf("not in order: %v", got)
		}
		for _, o := range got[:i] {
			if l.Box < o.Box+o.Count && o.Box < l.Box+l.Count || l.Host < o.Host+o.Count && o.Host < l.Host+l.Count {
				t.Fatalf("%v and %v overlap", o, l)
			}
		}
		mine := l.Host == own && l.Count == 1 || direct && mode == ByHand
		for _, r := range owned {
			mine = mine || r.Contains(l.Host) && r.Contains(l.Host+l.Count-1)
		}
		if !mine {
			t.Fatalf("line %v is not of %d with %v", l, own, owned)
		}
	}
	if _, ok := toHost(got, inside); !ok {
		t.Fatalf("%d, who one is inside, is not in %v", inside, got)
	}
	switch mode {
	case ByHand:
		for _, a := range asked {
			askedTotal += uint64(a.Count)
			for _, n := range []uint32{0, a.Count / 2, a.Count - 1} {
				want := a.Host + n
				if !a.Absolute && !direct {
					want = nth(own, owned, a.Host+n)
				}
				if host, ok := toHost(got, a.Box+n); !ok || host != want {
					t.Fatalf("%+v: %d is %d, %v, want %d", a, a.Box+n, host, ok, want)
				}
			}
		}
		if total != askedTotal {
			t.Fatalf("%d ids mapped, %d asked for", total, askedTotal)
		}
	case Root:
		if total != 1 || got[0].Box != 0 {
			t.Fatalf("%v", got)
		}
	default:
		if host, ok := toHost(got, inside); !ok || host != own {
			t.Fatalf("the caller is %d", host)
		}
		// no hole but between the ranges' end and the caller kept
		for i, l := range got[1:] {
			if before := got[i]; l.Box != before.Box+before.Count && (l.Host != own || i+2 != len(got)) {
				t.Fatalf("hole before %v in %v", l, got)
			}
		}
	}
}

// nth is the id with a number as Manual.Host counts.
func nth(own uint32, owned []host.Range, n uint32) uint32 {
	if n == 0 {
		return own
	}
	n--
	for _, r := range owned {
		if n < r.Count {
			return r.Start + n
		}
		n -= r.Count
	}
	return math.MaxUint32
}
