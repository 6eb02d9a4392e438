package host

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"nobox/plan"
)

// testMachine is a machine in a new directory. Files are its contents by
// name; those in bin/ are programs, and so on its PATH.
func testMachine(t *testing.T, files map[string]string) machine {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return machine{
		passwd: filepath.Join(dir, "passwd"), subuid: filepath.Join(dir, "subuid"), subgid: filepath.Join(dir, "subgid"),
		path: bin, uid: 1001, gid: 1002, patience: time.Minute,
	}
}

const passwd = "root:x:0:0:root:/root:/bin/bash\nboxer:x:1001:1002::/home/boxer:/bin/bash\n"

func TestTheFastPathReadsNeitherRangesNorHelpers(t *testing.T) {
	m := testMachine(t, map[string]string{"passwd": passwd})
	got := m.ids(false)
	want := IDs{UID: 1001, GID: 1002, User: "boxer", PasswdHome: "/home/boxer"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheCallerIsWhoTheProcessIs(t *testing.T) {
	ids := ProbeIDs(true)
	if int(ids.UID) != os.Getuid() || int(ids.GID) != os.Getgid() {
		t.Errorf("%d:%d, want %d:%d", ids.UID, ids.GID, os.Getuid(), os.Getgid())
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Contains(string(status), "NoNewPrivs:\t1"); ids.NoNewPrivs != want {
		t.Errorf("no_new_privs %v, want %v", ids.NoNewPrivs, want)
	}
	if ids.NewUIDMap.Name != "newuidmap" || ids.NewGIDMap.Name != "newgidmap" {
		t.Errorf("helpers %+v, %+v", ids.NewUIDMap, ids.NewGIDMap)
	}
}

func TestNamesAreThoseOfTheUIDInPasswd(t *testing.T) {
	const big = "root:x:0:0::/:/bin/sh\n+boxer:x:1001:1::/:\nbad:x:1001\nboxer:x:1001:1::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbig:x:3000000000:1::/:"
	for _, c := range []struct {
		name   string
		passwd string
		uid    uint32
		want   []string
	}{
		{"none in an empty file", "", 1001, nil},
		{"none for an unknown uid", big, 1002, nil},
		{"a line without a number is not root's", "x:x:y:0::/:\n", 0, nil},
		{"lines of NIS and short lines do not count", big, 1001, []string{"boxer"}},
		{"two names of one uid", big, 0, []string{"root", "toor"}},
		{"a uid above 2^31, without a newline at the end", big, 3000000000, []string{"big"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := userNames([]byte(c.passwd), c.uid); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRangesComeFromTheFiles(t *testing.T) {
	const listed = "boxer:100000:65536\n"
	for _, c := range []struct {
		name           string
		passwd         string
		subuid, subgid string
		uid            uint32
		want           []Range
	}{
		{"by name", passwd, listed, listed, 1001, []Range{{100000, 65536}}},
		{"by uid", passwd, "1001:100000:65536\n", "1001:5:1\n", 1001, []Range{{100000, 65536}}},
		{"by both, in order", passwd, "1001:300000:10\nother:1:1\n" + listed, listed, 1001, []Range{{300000, 10}, {100000, 65536}}},
		{"by every name of the uid", passwd + "fighter:x:1001:1002::/:\n", listed + "fighter:500:2\n", listed, 1001, []Range{{100000, 65536}, {500, 2}}},
		{"by uid without a name", "", "1001:100000:65536\n", "1001:5:1\n", 1001, []Range{{100000, 65536}}},
		{"for a uid above 2^31", "", "3000000000:3000000001:9\n", "3000000000:5:1\n", 3000000000, []Range{{3000000001, 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := testMachine(t, map[string]string{
				"passwd": c.passwd, "subuid": c.subuid, "subgid": c.subgid,
				"bin/getsubids": "#!/bin/sh\necho 0: boxer 7 7\n", "bin/id": "#!/bin/sh\necho wrong\n",
			})
			m.uid = c.uid
			ids := m.ids(true)
			if !reflect.DeepEqual(ids.SubUID.Ranges, c.want) || len(ids.SubUID.Problems) != 0 || ids.SubUID.File != m.subuid {
				t.Errorf("uids %+v, want %v of %s", ids.SubUID, c.want, m.subuid)
			}
			if len(ids.SubGID.Ranges) != 1 || ids.SubGID.File != m.subgid {
				t.Errorf("gids %+v", ids.SubGID)
			}
		})
	}
}

func TestALinkedFileIsFollowed(t *testing.T) {
	m := testMachine(t, map[string]string{"passwd": passwd, "real": "boxer:100000:65536\n", "subgid": "boxer:1:1\n"})
	if err := os.Symlink("real", m.subuid); err != nil {
		t.Fatal(err)
	}
	if got := m.ids(true).SubUID; len(got.Ranges) != 1 || got.Ranges[0] != (Range{100000, 65536}) {
		t.Errorf("got %+v", got)
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	m := testMachine(t, map[string]string{"passwd": passwd})
	if err := os.Mkdir(m.subgid, 0o755); err != nil {
		t.Fatal(err)
	}
	ids := m.ids(true)
	if want := (Subordinate{File: m.subuid, Err: "no such file or directory", Missing: true, Free: 100000}); !reflect.DeepEqual(ids.SubUID, want) {
		t.Errorf("got %+v, want %+v", ids.SubUID, want)
	}
	if want := (Subordinate{File: m.subgid, Err: "is a directory", Free: 100000}); !reflect.DeepEqual(ids.SubGID, want) {
		t.Errorf("got %+v, want %+v", ids.SubGID, want)
	}
}

func TestALargeFileIsReadWhole(t *testing.T) {
	var b strings.Builder
	for i := range 20000 {
		b.WriteString("user" + strconv.Itoa(i) + ":" + strconv.Itoa(1000000+i*10) + ":10\n")
	}
	// a line that a scanner would not take
	b.WriteString("other:" + strings.Repeat("9", 1<<17) + ":1\nboxer:100000:65536")
	m := testMachine(t, map[string]string{"passwd": passwd, "subuid": b.String(), "subgid": "boxer:1:1"})
	if got := m.ids(true).SubUID; len(got.Ranges) != 1 || len(got.Problems) != 0 {
		t.Errorf("got %+v", got)
	}
}

// With /proc, whose files have no size.
func TestAFileWithoutASizeIsReadWhole(t *testing.T) {
	got, err := ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

func TestTheDatabaseIsAskedOnlyWhereTheFilesDoNotListTheUser(t *testing.T) {
	const (
		listed    = "boxer:100000:65536\n"
		unlisted  = "other:100000:65536\n"
		getsubids = `#!/bin/sh
case "$*" in
boxer) printf '0: boxer 200000 10\n1: 1001 300000 20\n' ;;
"-g boxer") echo '0: boxer 400000 30' ;;
*) echo "Error fetching ranges" >&2; exit 1 ;;
esac
`
		id      = "#!/bin/sh\n[ \"$*\" = -un ] && echo boxer\n"
		fail    = "#!/bin/sh\necho 1001; exit 1\n"
		nothing = "#!/bin/sh\nexit 0\n"
	)
	asked := Subordinate{File: "getsubids boxer", Ranges: []Range{{200000, 10}, {300000, 20}}}
	askedGID := Subordinate{File: "getsubids -g boxer", Ranges: []Range{{400000, 30}}}
	file := Subordinate{File: "subuid", Ranges: []Range{{100000, 65536}}}
	fileGID := Subordinate{File: "subgid", Ranges: []Range{{100000, 65536}}}
	none := Subordinate{File: "subuid", Free: 165536}
	noneGID := Subordinate{File: "subgid", Free: 165536}

	for _, c := range []struct {
		name      string
		files     map[string]string
		user      string
		directory bool
		uid, gid  Subordinate
	}{
		{"both files list the user", map[string]string{"passwd": passwd, "subuid": listed, "subgid": listed, "bin/getsubids": getsubids}, "boxer", false, file, fileGID},
		{"neither does", map[string]string{"passwd": passwd, "subuid": unlisted, "subgid": unlisted, "bin/getsubids": getsubids}, "boxer", false, asked, askedGID},
		{"one does not", map[string]string{"passwd": passwd, "subuid": listed, "subgid": unlisted, "bin/getsubids": getsubids}, "boxer", false, file, askedGID},
		{"there are no files", map[string]string{"passwd": passwd, "bin/getsubids": getsubids}, "boxer", false, asked, askedGID},
		{"a bad line is a line", map[string]string{"passwd": passwd, "subuid": "boxer:x:1\n", "subgid": listed, "bin/getsubids": getsubids}, "boxer", false,
			Subordinate{File: "subuid", Free: 100000, Problems: []string{`line 1, "boxer:x:1": the start is not a number`}}, fileGID},
		{"getsubids is not there", map[string]string{"passwd": passwd, "subuid": unlisted, "subgid": unlisted}, "boxer", false, none, noneGID},
		{"getsubids says no", map[string]string{"passwd": passwd, "subuid": unlisted, "subgid": unlisted, "bin/getsubids": fail}, "boxer", false, none, noneGID},
		{"getsubids says nothing", map[string]string{"passwd": passwd, "subuid": unlisted, "subgid": unlisted, "bin/getsubids": nothing}, "boxer", false, none, noneGID},
		{"getsubids says nonsense", map[string]string{"passwd": passwd, "subuid": unlisted, "subgid": listed, "bin/getsubids": "#!/bin/sh\necho oh 1:2; echo 0: boxer 9 x\n"}, "boxer", false,
			Subordinate{File: "getsubids boxer", Free: 165536, Problems: []string{
				`line 1, "boxer:::oh 1:2": NAME:START:COUNT has three fields`, `line 2, "boxer:9:x": the count is not a number`}}, fileGID},
		{"a user of LDAP, by getsubids", map[string]string{"passwd": "", "subuid": unlisted, "subgid": unlisted, "bin/getsubids": getsubids, "bin/id": id}, "boxer", true, asked, askedGID},
		{"a user of LDAP, listed by name", map[string]string{"subuid": listed, "subgid": listed, "bin/id": id}, "boxer", true, file, fileGID},
		{"a user of LDAP, listed by uid", map[string]string{"subuid": "1001:100000:65536", "subgid": "1001:100000:65536", "bin/id": fail}, "", false, file, fileGID},
		{"a uid without a name", map[string]string{"subuid": unlisted, "subgid": unlisted, "bin/getsubids": getsubids, "bin/id": fail}, "", false, none, noneGID},
		{"a name that could be a flag", map[string]string{"subuid": unlisted, "subgid": unlisted, "bin/getsubids": getsubids, "bin/id": "#!/bin/sh\necho -g\n"}, "", false, none, noneGID},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := testMachine(t, c.files)
			got := m.ids(true)
			for _, s := range []*Subordinate{&got.SubUID, &got.SubGID} {
				s.File = filepath.Base(s.File)
			}
			if got.User != c.user || got.FromDirectory != c.directory {
				t.Errorf("user %q %v, want %q %v", got.User, got.FromDirectory, c.user, c.directory)
			}
			if !reflect.DeepEqual(got.SubUID, c.uid) {
				t.Errorf("uids %+v, want %+v", got.SubUID, c.uid)
			}
			if !reflect.DeepEqual(got.SubGID, c.gid) {
				t.Errorf("gids %+v, want %+v", got.SubGID, c.gid)
			}
		})
	}
}

func TestADatabaseThatDoesNotAnswerIsNamed(t *testing.T) {
	m := testMachine(t, map[string]string{"passwd": passwd, "bin/getsubids": "#!/bin/sh\nexec sleep 600\n"})
	m.patience = 20 * time.Millisecond
	m.path += ":/usr/bin:/bin"
	ids := m.ids(true)
	if want := []string{"getsubids boxer: no answer in time"}; !reflect.DeepEqual(ids.SubUID.Problems, want) {
		t.Errorf("got %q, want %q", ids.SubUID.Problems, want)
	}

	m = testMachine(t, map[string]string{"subuid": "other:1:1", "subgid": "1001:5:1", "bin/id": "#!/bin/sh\nexec sleep 600\n"})
	m.patience = 20 * time.Millisecond
	ids = m.ids(true)
	if want := []string{"id -un: no answer in time"}; !reflect.DeepEqual(ids.SubUID.Problems, want) || ids.SubGID.Problems != nil {
		t.Errorf("got %q and %q, want %q and none", ids.SubUID.Problems, ids.SubGID.Problems, want)
	}
}

func TestHelpersAreFound(t *testing.T) {
	m := testMachine(t, map[string]string{"bin/newuidmap": "#!/bin/sh\n"})
	if err := os.Symlink("newuidmap", filepath.Join(m.path, "newgidmap")); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(filepath.Join(m.path, "newuidmap"))
	if err != nil {
		t.Fatal(err)
	}
	bin := m.path
	for _, c := range []struct {
		name         string
		path         string
		places       []string
		noNewPrivs   bool
		newgidmap    bool
		wantState    HelperState
		wantRealPath bool
	}{
		{name: "nowhere", path: "/nonexistent", wantState: HelperMissing},
		{name: "nowhere, which no_new_privs does not hide", path: "", noNewPrivs: true, wantState: HelperMissing},
		{name: "on PATH", path: "/nonexistent:" + bin, wantState: HelperPowerless, wantRealPath: true},
		{name: "in the usual places", path: "/nonexistent", places: []string{bin}, wantState: HelperPowerless, wantRealPath: true},
		{name: "behind a link, whose target is named", path: bin + "/", newgidmap: true, wantState: HelperPowerless, wantRealPath: true},
		{name: "under no_new_privs", path: bin, noNewPrivs: true, wantState: HelperNoNewPrivs, wantRealPath: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.path, m.places, m.noNewPrivs = c.path, c.places, c.noNewPrivs
			name := "newuidmap"
			if c.newgidmap {
				name = "newgidmap"
			}
			want := Helper{Name: name, State: c.wantState}
			if c.wantRealPath {
				want.Path = plan.HostPath(real)
			}
			if got := m.helper(name); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestOnlyProgramsAreHelpers(t *testing.T) {
	m := testMachine(t, nil)
	if err := os.Mkdir(filepath.Join(m.path, "newuidmap"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.path, "newgidmap"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"newuidmap", "newgidmap"} {
		if got := m.helper(name); got.State != HelperMissing {
			t.Errorf("%s: %+v", name, got)
		}
	}
	t.Chdir(m.path)
	if err := os.Chmod("newgidmap", 0o755); err != nil {
		t.Fatal(err)
	}
	m.path = ".:"
	if got := m.helper("newgidmap"); got.State != HelperMissing {
		t.Errorf("found relative to the working directory: %+v", got)
	}
}

// passwd(1) and su(1) are setuid root nearly everywhere.
func TestAHelperWithPowerIsTakenBeforeOneWithout(t *testing.T) {
	m := testMachine(t, map[string]string{"bin/newuidmap": "#!/bin/sh\n"})
	powerful := filepath.Join(t.TempDir(), "newuidmap")
	for _, setuid := range []string{"/usr/bin/passwd", "/usr/bin/su", "/bin/su", "/run/wrappers/bin/su"} {
		if m.examine("su", setuid).State == HelperOK {
			if err := os.Symlink(setuid, powerful); err != nil {
				t.Fatal(err)
			}
			m.places = []string{filepath.Dir(powerful)}
			if got := m.helper("newuidmap"); got.State != HelperOK {
				t.Errorf("got %+v", got)
			}
			return
		}
	}
	t.Log("no program of this machine is setuid root")
}

func TestTheStateOfAHelperIsWhatMustChangeFirst(t *testing.T) {
	for _, c := range []struct {
		noNewPrivs, privileged, nosuid bool
		want                           HelperState
	}{
		{false, true, false, HelperOK},
		{false, false, false, HelperPowerless},
		{false, false, true, HelperPowerless},
		{false, true, true, HelperNosuid},
		{true, true, false, HelperNoNewPrivs},
		{true, false, true, HelperNoNewPrivs},
	} {
		if got := helperState(c.noNewPrivs, c.privileged, c.nosuid); got != c.want {
			t.Errorf("helperState(%v, %v, %v) = %v, want %v", c.noNewPrivs, c.privileged, c.nosuid, got, c.want)
		}
	}
}

func TestTheMountPointIsFoundUpwards(t *testing.T) {
	for path, want := range map[string]string{"/proc/self": "/proc", "/proc/1/status": "/proc", "/": "/"} {
		if got := mountPoint(path); got != want {
			t.Errorf("mountPoint(%q) = %q, want %q", path, got, want)
		}
	}
}

func BenchmarkProbeIDs(b *testing.B) {
	for _, ranges := range []bool{true, false} {
		b.Run("ranges="+strconv.FormatBool(ranges), func(b *testing.B) {
			for b.Loop() {
				ProbeIDs(ranges)
			}
		})
	}
}
