package idmap

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"nobox/host"
)

func dec(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func TestAMapByHandIsReadStrictly(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  Manual
		cause string
	}{
		{in: "0:0:1", want: Manual{Count: 1}},
		{in: "0:0", want: Manual{Count: 1}},
		{in: "5:@100000:10", want: Manual{Box: 5, Host: 100000, Count: 10, Absolute: true}},
		{in: "3000000000:@4294967294", want: Manual{Box: 3000000000, Host: 4294967294, Count: 1, Absolute: true}},
		{in: "0:1:4294967294", want: Manual{Host: 1, Count: 4294967294}},
		{in: "007:08:09", want: Manual{Box: 7, Host: 8, Count: 9}},
		{in: "", cause: "C:H:N is wanted: the first id inside, the first outside, how many"},
		{in: "5", cause: "C:H:N is wanted: the first id inside, the first outside, how many"},
		{in: "1:2:3:4", cause: "C:H:N is wanted: the first id inside, the first outside, how many"},
		{in: ":0:1", cause: "C, the first id inside, is not a number"},
		{in: "+1:0:1", cause: "C, the first id inside, is not a number"},
		{in: "@1:0:1", cause: "C, the first id inside, is not a number"},
		{in: "0x1:0:1", cause: "C, the first id inside, is not a number"},
		{in: "1_0:0:1", cause: "C, the first id inside, is not a number"},
		{in: "-1:0:1", cause: "C, the first id inside, is not a number"},
		{in: " 1:0:1", cause: "C, the first id inside, is not a number"},
		{in: "٣:0:1", cause: "C, the first id inside, is not a number"},
		{in: "0::1", cause: "H, the first id outside, is not a number"},
		{in: "0:@:1", cause: "H, the first id outside, is not a number"},
		{in: "0:@@1:1", cause: "H, the first id outside, is not a number"},
		{in: "0:@-1:1", cause: "H, the first id outside, is not a number"},
		{in: "0:0:", cause: "N, how many ids, is not a number"},
		{in: "0:0:1 ", cause: "N, how many ids, is not a number"},
		{in: "0:0:1e3", cause: "N, how many ids, is not a number"},
		{in: "0:0:0", cause: "N, how many ids, is 0"},
		{in: "4294967295:0:1", cause: "C, the first id inside, is above 4294967294, the highest id"},
		{in: "0:@4294967295:1", cause: "H, the first id outside, is above 4294967294, the highest id"},
		{in: "0:99999999999999999999:1", cause: "H, the first id outside, is above 4294967294, the highest id"},
		{in: "0:0:4294967296", cause: "N, how many ids, is above 4294967294, the highest id"},
		{in: "4294967294:0:2", cause: "the ids inside end above 4294967294, the highest id"},
		{in: "0:4294967290:6", cause: "the ids outside end above 4294967294, the highest id"},
	} {
		t.Run(c.in, func(t *testing.T) {
			got, err := ParseManual("--uidmap", c.in)
			if c.cause == "" {
				c.want.From = "--uidmap " + c.in
				if err != nil || got != c.want {
					t.Errorf("got %+v, %v, want %+v", got, err, c.want)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Cause != c.cause || e.What != "map ids" || !strings.HasPrefix(e.Flag, "--uidmap ") || got != (Manual{}) {
				t.Errorf("got %+v, %v, want cause %q", got, err, c.cause)
			}
		})
	}
}

// by makes requests of their text.
func by(t *testing.T, flag string, list ...string) []Manual {
	t.Helper()
	var reqs []Manual
	for _, s := range list {
		m, err := ParseManual(flag, s)
		if err != nil {
			t.Fatal(err)
		}
		reqs = append(reqs, m)
	}
	return reqs
}

func TestAMapByHandIsResolvedToTheCallersIds(t *testing.T) {
	two := boxer(uids(host.Range{Start: 300000, Count: 10}, host.Range{Start: 1002, Count: 5}), gids(host.Range{Start: 400000, Count: 15}))
	for _, c := range []struct {
		name     string
		ids      host.IDs
		uid, gid []string
		wantUID  lines
		wantGID  lines
	}{
		{"as auto does", boxer(), []string{"0:0:65537"}, nil,
			lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 100000, Count: 65536}},
			lines{{Box: 0, Host: 1002, Count: 1}, {Box: 1, Host: 200000, Count: 65536}}},
		{"across ranges", two, []string{"0:0:16"}, nil,
			lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 300000, Count: 10}, {Box: 11, Host: 1002, Count: 5}},
			lines{{Box: 0, Host: 1002, Count: 1}, {Box: 1, Host: 400000, Count: 15}}},
		{"from the middle of one to the middle of the next", two, []string{"0:6:9"}, []string{"0:3:2", "9:0"},
			lines{{Box: 0, Host: 300005, Count: 5}, {Box: 5, Host: 1002, Count: 4}},
			lines{{Box: 0, Host: 400002, Count: 2}, {Box: 9, Host: 1002, Count: 1}}},
		{"the own id and the range behind it, by the host's numbers", two, []string{"0:@1001:6"}, []string{"0:@400000:15"},
			lines{{Box: 0, Host: 1001, Count: 1}, {Box: 1, Host: 1002, Count: 5}},
			lines{{Box: 0, Host: 400000, Count: 15}}},
		{"gids alone count for both", boxer(), nil, []string{"0:1:10"},
			lines{{Box: 0, Host: 100000, Count: 10}}, lines{{Box: 0, Host: 200000, Count: 10}}},
		{"any order, sorted by the ids inside", boxer(), []string{"1001:0", "0:1:1001"}, []string{"70:1:5", "0:6:1", "5:7:1"},
			lines{{Box: 0, Host: 100000, Count: 1001}, {Box: 1001, Host: 1001, Count: 1}},
			lines{{Box: 0, Host: 200005, Count: 1}, {Box: 5, Host: 200006, Count: 1}, {Box: 70, Host: 200000, Count: 5}}},
		{"one subordinate id is no single map", boxer(), []string{"0:1:1"}, []string{"0:0:1"},
			lines{{Box: 0, Host: 100000, Count: 1}}, lines{{Box: 0, Host: 1002, Count: 1}}},
		{"a uid above 2^31", boxer(caller(3000000000, 1002)), []string{"0:@3000000000", "3000000000:1:2"}, []string{"0:0"},
			lines{{Box: 0, Host: 3000000000, Count: 1}, {Box: 3000000000, Host: 100000, Count: 2}},
			lines{{Box: 0, Host: 1002, Count: 1}}},
		{"as root any id of the host", boxer(root, noRanges, helpers(host.HelperMissing)), []string{"0:70000:5", "5:@0:1"}, []string{"0:0:1"},
			lines{{Box: 0, Host: 70000, Count: 5}, {Box: 5, Host: 0, Count: 1}},
			lines{{Box: 0, Host: 0, Count: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(Request{Mode: ByHand, UID: by(t, "--uidmap", c.uid...), GID: by(t, "--gidmap", c.gid...)}, c.ids)
			if err != nil {
				t.Fatal(err)
			}
			want := Map{UID: c.wantUID, GID: c.wantGID, Direct: c.ids.UID == 0}
			want.Setgroups = want.Direct || !onlyOwn(c.wantGID, c.ids.GID)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestAMapByHandThatCannotBeIsAnError(t *testing.T) {
	var many []string
	for i := range 341 {
		n := uint32(i)
		many = append(many, dec(n)+":"+dec(n*2+1))
	}
	var long []string
	for i := range uint32(300) {
		long = append(long, dec(i+100000)+":"+dec(i*2+1))
	}
	long[0] = "0:1"
	spread := boxer(uids(host.Range{Start: 1, Count: 1}, host.Range{Start: 3, Count: 1}, host.Range{Start: 5, Count: 1},
		host.Range{Start: 7, Count: 2}, host.Range{Start: 10, Count: 1}, host.Range{Start: 12, Count: 1}))
	for _, c := range []struct {
		name     string
		ids      host.IDs
		uid, gid []string
		want     string
		remedy   string
	}{
		{"overlap inside", boxer(), []string{"0:0:10", "5:20:10"}, nil,
			"cannot map uids (--uidmap 0:0:10, --uidmap 5:20:10): both map uids of the box 5–9", ""},
		{"overlap inside, of the same flag twice", boxer(), []string{"0:0:1", "0:0:1"}, nil,
			"cannot map uids (--uidmap 0:0:1, --uidmap 0:0:1): both map uids of the host 1001", ""},
		{"overlap outside", boxer(), []string{"0:0:10", "50:5:10"}, nil,
			"cannot map uids (--uidmap 0:0:10, --uidmap 50:5:10): both map uids of the host 100004–100008", ""},
		{"overlap outside of both ways to count", boxer(), []string{"0:0:10"}, []string{"0:1:1", "7:0:1", "3:@200000"},
			"cannot map gids (--gidmap 0:1:1, --gidmap 3:@200000): both map gids of the host 200000", ""},
		{"overlap of a small in a large", boxer(), []string{"0:0:100", "10:200:1", "20:300:1"}, nil,
			"cannot map uids (--uidmap 0:0:100, --uidmap 10:200:1): both map uids of the box 10", ""},
		{"beyond the end", boxer(), []string{"0:0:65538"}, nil,
			"cannot map uids (--uidmap 0:0:65538): boxer has no uid with the number 65537 and owns 1001 (number 0), 100000–165535 (1–65536)", ""},
		{"a number of the host's range", boxer(), []string{"0:0", "1:165000:10"}, nil,
			"cannot map uids (--uidmap 1:165000:10): boxer has no uid with the number 165000 and owns 1001 (number 0), 100000–165535 (1–65536); @165000 is the one of the host", ""},
		{"far beyond the end, by a gid", boxer(), []string{"0:0"}, []string{"0:0", "1:4000000000"},
			"cannot map gids (--gidmap 1:4000000000): boxer has no gid with the number 4000000000 and owns 1002 (number 0), 200000–265535 (1–65536)", ""},
		{"many ranges", spread, []string{"0:@1", "1:@3:2"}, nil,
			"cannot map uids (--uidmap 1:@3:2): uid 4 of the host is not boxer's, who owns 1001 (number 0), 1 (1), 3 (2), 5 (3), 7–8 (4–5) and 2 more ranges", ""},
		{"no range", boxer(noRanges), []string{"0:0:2"}, nil,
			"cannot map uids (--uidmap 0:0:2): boxer has no uid with the number 1 and owns 1001 (number 0): /etc/subuid grants boxer no range",
			"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 boxer"},
		{"no gids", boxer(gids()), []string{"0:0:2"}, nil,
			"cannot map gids (--uidmap 0:0:2): boxer has no gid with the number 1 and owns 1002 (number 0): /etc/subgid grants boxer no range",
			"sudo usermod --add-subgids 100000-165535 boxer"},
		{"ids of others", boxer(), []string{"0:@99999:2"}, nil,
			"cannot map uids (--uidmap 0:@99999:2): uid 99999 of the host is not boxer's, who owns 1001 (number 0), 100000–165535 (1–65536)", ""},
		{"root of the host", boxer(), []string{"0:@0"}, nil,
			"cannot map uids (--uidmap 0:@0): uid 0 of the host is not boxer's, who owns 1001 (number 0), 100000–165535 (1–65536)", ""},
		{"box 0 unmapped", boxer(), []string{"1:0:10"}, []string{"0:0"},
			"cannot map uids (--uidmap 1:0:10): uid 0 of the box is not mapped: the box is set up by its root",
			"add --uidmap 0:H:1 with an H that no other map uses"},
		{"box gid 0 unmapped", boxer(), []string{"0:0"}, []string{"5:5", "6:6"},
			"cannot map gids (--gidmap 5:5, --gidmap 6:6): gid 0 of the box is not mapped: the box is set up by its root",
			"add --gidmap 0:H:1 with an H that no other map uses"},
		{"box 0 unmapped, as root", boxer(root), []string{"1:1"}, nil,
			"cannot map uids (--uidmap 1:1): uid 0 of the box is not mapped: the box is set up by its root",
			"add --uidmap 0:H:1 with an H that no other map uses"},
		{"too many lines", boxer(), many, []string{"0:0"},
			"341 lines of map are needed, the kernel takes 340", ""},
		{"too many bytes", boxer(), long, []string{"0:0"},
			"300 lines of map take 4795 bytes, the kernel takes 4095", ""},
		{"no helper", boxer(helpers(host.HelperMissing)), []string{"0:1:2"}, []string{"0:0"},
			"cannot map ids (--uidmap 0:1:2, --gidmap 0:0): newuidmap and newgidmap are not installed",
			"sudo apt install uidmap (Debian, Ubuntu), sudo dnf install shadow-utils (Fedora, RHEL)"},
		{"a helper that refused", boxer(func(ids *host.IDs) { ids.HelpersRefused = "newuidmap: no\n" }), []string{"0:1:2"}, nil,
			"cannot map ids (--uidmap 0:1:2): the ranges were refused: newuidmap: no", "check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are the system's own"},
		{"nothing", boxer(), nil, nil,
			"cannot map uids: uid 0 of the box is not mapped: the box is set up by its root",
			"add --uidmap 0:H:1 with an H that no other map uses"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Choose(Request{Mode: ByHand, UID: by(t, "--uidmap", c.uid...), GID: by(t, "--gidmap", c.gid...)}, c.ids)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %+v, %v", m, err)
			}
			if !strings.HasSuffix(err.Error(), c.want) || !reflect.DeepEqual(m, Map{}) {
				t.Errorf("got\n%v\nwant\n%v", err, c.want)
			}
			if e.Hint() != c.remedy {
				t.Errorf("hint\n%s\nwant\n%s", e.Hint(), c.remedy)
			}
		})
	}
}

// What did not come from ParseManual is checked as well.
func TestNumbersThatCannotBeMappedAreRefused(t *testing.T) {
	for _, m := range []Manual{{}, {Box: maxID, Count: 2}, {Host: maxID, Count: 2}, {Count: 1, Host: maxID + 1}} {
		if got, err := Choose(Request{Mode: ByHand, UID: []Manual{{Count: 1}, m}}, boxer()); err == nil {
			t.Errorf("%+v gives %+v", m, got)
		}
	}
}

// FuzzParseManual: what is read is what was written, and can be mapped.
func FuzzParseManual(f *testing.F) {
	for _, s := range []string{"0:0:1", "0:@100000:65536", "5:6", "4294967294:4294967294:1", "0:0:4294967295", "+1:-1:0x1", "::", "\x1b[31m:0:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseManual("--uidmap", s)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("control characters in %q", err)
			}
			return
		}
		if m.Count == 0 || uint64(m.Box)+uint64(m.Count) > maxID+1 || uint64(m.Host)+uint64(m.Count) > maxID+1 {
			t.Fatalf("%q gives %+v", s, m)
		}
		fields := strings.Split(strings.Replace(s, ":@", ":", 1), ":")
		for i, n := range []uint32{m.Box, m.Host, m.Count} {
			if i == 2 && len(fields) == 2 {
				fields = append(fields, "1")
			}
			// strconv takes leading zeros
			digits := strings.TrimLeft(fields[i], "0")
			if digits == "" {
				digits = "0"
			}
			if digits != dec(n) {
				t.Fatalf("%q gives %+v", s, m)
			}
		}
		if m.Absolute != strings.Contains(s, "@") || m.From != "--uidmap "+s {
			t.Fatalf("%q gives %+v", s, m)
		}
	})
}
