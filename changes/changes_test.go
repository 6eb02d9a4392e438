package changes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nobox/internal/nstest"
	"nobox/plan"
)

// scene is a tree of the host and a directory of changes of it.
type scene struct {
	t          *testing.T
	host, keep string
	upper      string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, host: dir + "/host", keep: dir + "/keep"}
	s.upper = s.keep + "/" + plan.LayerName(plan.HostPath(s.host)) + "/upper"
	for _, d := range []string{s.host, s.upper} {
		s.must(os.MkdirAll(d, 0o755))
	}
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) write(p, content string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(p), 0o755))
	s.must(os.WriteFile(p, []byte(content), 0o644))
}

func (s *scene) whiteout(rel string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Dir(s.upper+"/"+rel), 0o755))
	if err := unix.Mknod(s.upper+"/"+rel, unix.S_IFCHR, 0); err != nil {
		nstest.Lacks(s.t, "overlayfs", err) // whiteouts
	}
}

// mask is nobox's own whiteout, of what a mask named (plan.Whiteout).
func (s *scene) mask(rel string) {
	s.t.Helper()
	s.whiteout(rel)
	s.must(os.Chmod(s.upper+"/"+rel, 0o444))
}

func (s *scene) opaque(rel string) {
	s.t.Helper()
	s.must(os.MkdirAll(s.upper+"/"+rel, 0o755))
	if err := unix.Setxattr(s.upper+"/"+rel, "user.overlay.opaque", []byte("y"), 0); err != nil {
		nstest.Lacks(s.t, "overlayfs", err) // opaque directories
	}
}

// begin has the changes begin later than all that was made before.
func (s *scene) begin() {
	s.t.Helper()
	now := unix.NsecToTimespec(time.Now().UnixNano())
	s.must(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Dir(s.upper), []unix.Timespec{now, now}, 0))
}

func (s *scene) list() (out []string) {
	s.t.Helper()
	set, err := Open(s.keep)
	s.must(err)
	defer set.Close()
	cs, err := set.List()
	s.must(err)
	for _, c := range cs {
		out = append(out, c.Kind.String()+" "+strings.TrimPrefix(string(c.Path), s.host+"/"))
	}
	return out
}

// tree is all there is of a directory, in a line each.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", strings.TrimPrefix(p, dir), i.Mode())
		if i.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += " " + string(b)
		}
		if i.Mode()&fs.ModeSymlink != 0 {
			to, _ := os.Readlink(p)
			line += " -> " + to
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// everything is one change of each sort, and what overlays make of them.
func everything(t *testing.T) *scene {
	s := newScene(t)
	for _, f := range []string{"a", "gone", "mode", "same", "file-to-dir", "dir-to-file/x", "dir-to-file/y/z", "d/b", "d/x/c", "od/l", "od/sub/m", "od/sub/n", "deep/1/2/3"} {
		s.write(s.host+"/"+f, "host "+f)
	}
	s.must(os.Symlink("a", s.host+"/link"))
	s.begin()
	s.write(s.upper+"/a", "box a")
	s.whiteout("gone")
	s.write(s.upper+"/mode", "host mode")
	s.must(os.Chmod(s.upper+"/mode", 0o700))
	s.write(s.upper+"/same", "host same")
	s.write(s.upper+"/file-to-dir/new", "new")
	s.write(s.upper+"/dir-to-file", "now a file")
	s.whiteout("d/x")
	s.write(s.upper+"/d/new/er", "newer")
	s.opaque("d/new")
	s.opaque("od")
	s.write(s.upper+"/od/sub/n", "box n")
	s.whiteout("deep")
	s.must(os.Symlink("b", s.upper+"/link"))
	s.must(os.MkdirAll(s.upper+"/closed", 0o500))
	return s
}

var everyChange = []string{
	"modified a", "added closed", "added d/new", "added d/new/er", "deleted d/x", "deleted d/x/c", "deleted deep", "deleted deep/1", "deleted deep/1/2", "deleted deep/1/2/3",
	"type dir-to-file", "deleted dir-to-file/x", "deleted dir-to-file/y", "deleted dir-to-file/y/z", "type file-to-dir", "added file-to-dir/new", "deleted gone", "modified link",
	"mode mode", "deleted od/l", "deleted od/sub/m", "modified od/sub/n",
}

func TestEveryChangeIsListedDeletionsBelowOpaqueDirectoriesToo(t *testing.T) {
	if got := everything(t).list(); !slices.Equal(got, everyChange) {
		t.Errorf("\n got %q\nwant %q", got, everyChange)
	}
}

type stop struct{}

// apply applies all, and stops behind so many changes.
func (s *scene) apply(after int, force bool) (applied int, err error) {
	s.t.Helper()
	return s.applyInBatches(0, after, force)
}

func (s *scene) applyInBatches(of, after int, force bool) (applied int, err error) {
	s.t.Helper()
	set, err := Open(s.keep)
	s.must(err)
	set.batch = of
	defer set.Close()
	cs, err := set.List()
	s.must(err)
	defer func() {
		if r := recover(); r != nil && r != any(stop{}) {
			panic(r)
		}
	}()
	err = set.Apply(cs, force, func(Change) {
		if applied++; applied == after {
			panic(stop{})
		}
	})
	return applied, err
}

func TestAnApplyThatStopsAnywhereGoesOnToTheSameEnd(t *testing.T) {
	whole := everything(t)
	if _, err := whole.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	want := tree(t, whole.host)
	if left := whole.list(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	for _, gone := range []string{"/gone", "/d/x", "/deep", "/od/l", "/od/sub/m", "/dir-to-file/x"} {
		if slices.ContainsFunc(want, func(l string) bool { return strings.HasPrefix(l, gone+" ") }) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, there := range []string{"/a -rw-r--r-- box a", "/mode -rwx------ host mode", "/file-to-dir/new -rw-r--r-- new", "/dir-to-file -rw-r--r-- now a file",
		"/d/b -rw-r--r-- host d/b", "/d/new/er -rw-r--r-- newer", "/od/sub/n -rw-r--r-- box n", "/link Lrwxrwxrwx -> b", "/closed dr-x------", "/same -rw-r--r-- host same"} {
		if !slices.Contains(want, there) {
			t.Errorf("%s is not there:\n%s", there, strings.Join(want, "\n"))
		}
	}
	for _, batch := range []int{0, 1, 3, 512} {
		for after := 1; after <= len(everyChange); after++ {
			s := everything(t)
			n, err := s.applyInBatches(batch, after, false)
			if err != nil || n != after {
				t.Fatalf("batches of %d: stopped behind %d, wanted %d: %v", batch, n, after, err)
			}
			if _, err := s.applyInBatches(batch, -1, false); err != nil {
				t.Fatalf("batches of %d: behind %d: %v", batch, after, err)
			}
			if got := tree(t, s.host); !slices.Equal(got, want) {
				t.Errorf("batches of %d: behind %d:\n got %q\nwant %q", batch, after, got, want)
			}
			if left := s.list(); len(left) > 0 {
				t.Errorf("batches of %d: behind %d: left: %q", batch, after, left)
			}
		}
	}
}

// What is in its place may not be on the disk yet: until it is, the set has it too.
func TestNothingIsTakenOutOfTheSetBeforeItIsOnTheDisk(t *testing.T) {
	s := newScene(t)
	s.write(s.host+"/gone", "host")
	s.begin()
	for i := range 7 {
		s.write(fmt.Sprintf("%s/f%d", s.upper, i), "box")
	}
	s.whiteout("gone")
	if n, err := s.applyInBatches(3, 6, false); n != 6 || err != nil { // gone, three, two of the next three
		t.Fatal(n, err)
	}
	for name, want := range map[string]bool{"gone": false, "f0": false, "f2": false, "f3": true, "f4": true, "f5": true, "f6": true} {
		if _, err := os.Lstat(s.upper + "/" + name); (err == nil) != want {
			t.Errorf("%s is in the set: %v", name, err == nil)
		}
	}
	staged := func() (n int) {
		for _, l := range tree(t, s.host) {
			if strings.HasPrefix(l, "/"+temporary) {
				n++
			}
		}
		return n
	}
	if n := staged(); n != 1 { // f5
		t.Errorf("%d files under other names", n)
	}
	// The next takes that away, whatever it is to write back itself.
	for i := range 7 {
		os.Remove(fmt.Sprintf("%s/f%d", s.upper, i))
	}
	if _, err := s.applyInBatches(3, -1, false); err != nil {
		t.Fatal(err)
	}
	if n := staged(); n != 0 {
		t.Errorf("%d files under other names", n)
	}
}

// What fails does not keep back what came before it, and leaves nothing of its
// batch.
func TestAFailureInABatchKeepsWhatWasDone(t *testing.T) {
	s := newScene(t)
	s.must(os.Mkdir(s.host+"/d", 0o755))
	s.write(s.host+"/d/x", "host")
	s.begin()
	s.write(s.upper+"/a", "box")
	s.write(s.upper+"/d", "a file")
	s.write(s.upper+"/e", "box")
	set, err := Open(s.keep)
	s.must(err)
	defer set.Close()
	set.batch = 512
	cs, err := set.List()
	s.must(err)
	n := 0
	err = set.Apply(cs, false, func(c Change) {
		if n++; c.Kind == Deleted {
			s.write(s.host+"/d/y", "made since")
		}
	})
	if err == nil || n != 2 {
		t.Errorf("%d: %v", n, err)
	}
	want := []string{" drwxr-xr-x", "/a -rw-r--r-- box", "/d drwxr-xr-x", "/d/y -rw-r--r-- made since"}
	if got := tree(t, s.host); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got, err := names(set.layers[0].upper, ""); err != nil || !slices.Equal(got, []string{"d", "e"}) {
		t.Errorf("left: %q, %v", got, err)
	}
}

// A mask of what was not there leaves a whiteout, and no box deleted anything.
func TestAWhiteoutOfAMaskIsNoChange(t *testing.T) {
	s := newScene(t)
	s.write(s.host+"/d/old", "host")
	s.begin()
	s.mask(".env")
	s.mask("d/.env")
	s.whiteout("d/old")
	s.write(s.host+"/.env", "made since")
	s.write(s.host+"/d/.env", "made since")
	s.whiteout("d/stale") // an apply that was killed removed it
	if got := s.list(); !slices.Equal(got, []string{"deleted d/old"}) {
		t.Errorf("%q", got)
	}
	set, err := Open(s.keep)
	s.must(err)
	defer set.Close()
	cs, err := set.List()
	s.must(err)
	s.must(set.Apply(cs, true, func(Change) {}))
	for _, p := range []string{s.host + "/.env", s.host + "/d/.env", s.upper + "/.env", s.upper + "/d/.env"} {
		if _, err := os.Lstat(p); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(s.upper + "/d/stale"); !os.IsNotExist(err) {
		t.Errorf("the whiteout of what is gone is there: %v", err)
	}
	if _, err := os.Lstat(s.host + "/d/old"); !os.IsNotExist(err) {
		t.Errorf("what the box deleted is there: %v", err)
	}
}

func TestWhatChangedOutsideSinceIsRefusedAndNothingWritten(t *testing.T) {
	s := everything(t)
	s.must(os.WriteFile(s.host+"/od/sub/m", []byte("a thought of the caller's"), 0o644))
	before := tree(t, s.host)
	_, err := s.apply(-1, false)
	var c *Conflict
	if !errors.As(err, &c) || string(c.Path) != s.host+"/od/sub/m" {
		t.Fatalf("%v", err)
	}
	if after := tree(t, s.host); !slices.Equal(before, after) {
		t.Errorf("something is written:\n%q\n%q", before, after)
	}
	if _, err := s.apply(-1, true); err != nil {
		t.Fatal(err)
	}
}

func TestOnePathIsAppliedWithoutTheRest(t *testing.T) {
	s := everything(t)
	set, err := Open(s.keep)
	s.must(err)
	all, err := set.List()
	s.must(err)
	some, err := Select(all, []string{s.host + "/od/sub/n", s.host + "/d/new"})
	s.must(err)
	s.must(set.Apply(some, false, func(Change) {}))
	if _, err := Select(all, []string{s.host + "/none"}); err == nil {
		t.Error("a path without a change is taken")
	}
	set.Close()
	got := tree(t, s.host)
	for _, there := range []string{"/od/sub/n -rw-r--r-- box n", "/od/l -rw-r--r-- host od/l", "/od/sub/m -rw-r--r-- host od/sub/m", "/d/new/er -rw-r--r-- newer", "/a -rw-r--r-- host a"} {
		if !slices.Contains(got, there) {
			t.Errorf("%s is not there:\n%s", there, strings.Join(got, "\n"))
		}
	}
	want := slices.DeleteFunc(slices.Clone(everyChange), func(c string) bool {
		return c == "modified od/sub/n" || strings.HasPrefix(c, "added d/new")
	})
	if left := s.list(); !slices.Equal(left, want) {
		t.Errorf("\nleft %q\nwant %q", left, want)
	}
}

// CVE-2026-39861 is a tool that wrote, outside, through a link that was made
// inside.
func TestNoLinkIsFollowedOnEitherSide(t *testing.T) {
	s := newScene(t)
	outside := filepath.Dir(s.host) + "/outside"
	s.write(outside+"/f", "outside")
	s.must(os.Symlink(outside, s.host+"/way"))
	s.must(os.Symlink(outside, s.host+"/f"))
	s.begin()
	s.write(s.upper+"/way/f", "box")
	s.write(s.upper+"/f", "box")
	s.must(os.Symlink(outside+"/f", s.upper+"/up"))
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(outside + "/f"); string(b) != "outside" {
		t.Errorf("outside: %q", b)
	}
	if to, _ := os.Readlink(s.host + "/up"); to != outside+"/f" {
		t.Errorf("up: %q", to)
	}
	// Exchanged after the list was made.
	s.write(s.upper+"/later/f", "box")
	s.must(os.Mkdir(s.host+"/later", 0o755))
	set, err := Open(s.keep)
	s.must(err)
	defer set.Close()
	cs, err := set.List()
	s.must(err)
	s.must(os.Remove(s.host + "/later"))
	s.must(os.Symlink(outside, s.host+"/later"))
	if err := set.Apply(cs, true, func(Change) {}); err == nil {
		t.Error("written through a link")
	}
	if b, _ := os.ReadFile(outside + "/f"); string(b) != "outside" {
		t.Errorf("outside: %q", b)
	}
}

func TestABoxsSetUserIDBitIsNotWrittenBack(t *testing.T) {
	s := newScene(t)
	s.begin()
	s.write(s.upper+"/tool", "x")
	s.must(os.Chmod(s.upper+"/tool", 0o755|fs.ModeSetuid|fs.ModeSetgid))
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(s.host + "/tool"); err != nil || st.Mode() != 0o755 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestDiscardRemovesWhatABoxClosed(t *testing.T) {
	s := everything(t)
	s.must(os.MkdirAll(filepath.Join(filepath.Dir(s.upper), workDir, workDir), 0o755))
	s.must(os.Chmod(filepath.Join(filepath.Dir(s.upper), workDir, workDir), 0))
	set, err := Open(s.keep)
	s.must(err)
	if _, err := Open(s.keep); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	s.must(set.Discard())
	set.Close()
	if ns, _ := os.ReadDir(s.keep); len(ns) > 0 {
		t.Errorf("%v is left", ns)
	}
	if got := tree(t, s.host); !slices.Contains(got, "/gone -rw-r--r-- host gone") {
		t.Errorf("%q", got)
	}
}

func TestOnlyADirectoryOfChangesIsOne(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.HasPrefix(err.Error(), "cannot read the changes in ") {
		t.Errorf("%v", err)
	}
	if _, err := Open(dir + "/f"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("%v", err)
	}
}

// What has no way back is in nobody's way.
func TestASocketIsLeftAndAllElseApplied(t *testing.T) {
	s := newScene(t)
	s.begin()
	s.write(s.upper+"/a", "a")
	s.must(unix.Mknod(s.upper+"/m.sock", unix.S_IFSOCK|0o644, 0))
	s.must(unix.Mkfifo(s.upper+"/n", 0o600))
	s.write(s.upper+"/z/z", "z")
	set, err := Open(s.keep)
	s.must(err)
	cs, err := set.List()
	s.must(err)
	n := 0
	err = set.Apply(cs, false, func(Change) { n++ })
	set.Close()
	if err == nil || !strings.Contains(err.Error(), "/m.sock: it is a socket, which is not written back") || n != 4 {
		t.Errorf("%d, %v", n, err)
	}
	for _, p := range []string{"/a", "/n", "/z/z"} {
		if _, err := os.Lstat(s.host + p); err != nil {
			t.Error(err)
		}
	}
	if got := s.list(); !slices.Equal(got, []string{"added m.sock"}) {
		t.Errorf("left: %q", got)
	}
}

func TestHolesAttributesAndTimesAreWrittenBack(t *testing.T) {
	s := newScene(t)
	const size = 1 << 40
	sparse := func(p string, at int64, text string) {
		t.Helper()
		f, err := os.Create(p)
		s.must(err)
		defer f.Close()
		if err := f.Truncate(size); err != nil {
			t.Skipf("no file that large here: %v", err)
		}
		_, err = f.WriteAt([]byte(text), at)
		s.must(err)
	}
	sparse(s.host+"/same", size/2, "data")
	sparse(s.host+"/other", size/2, "data")
	s.begin()
	sparse(s.upper+"/same", size/2, "data")
	sparse(s.upper+"/other", size/2, "dada")
	sparse(s.upper+"/new", size/4, "data")
	s.write(s.upper+"/d/f", "f")
	for _, p := range []string{"/new", "/d"} {
		if err := unix.Setxattr(s.upper+p, "user.mine", []byte("v"), 0); err != nil {
			t.Skipf("no user attributes here: %v", err)
		}
		s.must(unix.Setxattr(s.upper+p, "user.overlay.origin", []byte("x"), 0))
		then := time.Unix(1e9, 0)
		s.must(os.Chtimes(s.upper+p, then, then))
	}
	if got := s.list(); !slices.Equal(got, []string{"added d", "added d/f", "added new", "modified other"}) {
		t.Fatalf("%q", got)
	}
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/new", "/d"} {
		var st unix.Stat_t
		s.must(unix.Lstat(s.host+p, &st))
		value := make([]byte, 9)
		n, err := unix.Getxattr(s.host+p, "user.mine", value)
		if err != nil || string(value[:n]) != "v" || st.Mtim.Sec != 1e9 || st.Blocks > 1<<10 {
			t.Errorf("%s: %q, %v, %d s, %d blocks", p, value[:max(n, 0)], err, st.Mtim.Sec, st.Blocks)
		}
		if _, err := unix.Getxattr(s.host+p, "user.overlay.origin", value); err != unix.ENODATA {
			t.Errorf("%s has what is overlayfs's: %v", p, err)
		}
	}
	f, err := os.Open(s.host + "/other")
	s.must(err)
	defer f.Close()
	text := make([]byte, 4)
	if _, err := f.ReadAt(text, size/2); err != nil || string(text) != "dada" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAChangeOfAttributesAloneIsOne(t *testing.T) {
	s := newScene(t)
	set := func(p, name, value string) {
		t.Helper()
		if err := unix.Setxattr(p, name, []byte(value), 0); err == unix.EOPNOTSUPP {
			t.Skipf("no user attributes here: %v", err)
		} else {
			s.must(err)
		}
	}
	for _, f := range []string{"same", "new", "other", "gone", "mode", "readonly", "d/in", "kept/in"} {
		for _, base := range []string{s.host, s.upper} {
			s.write(base+"/"+f, "content")
			if f != "new" {
				set(base+"/"+f, "user.mine", "v")
			}
		}
	}
	for _, d := range []string{"d", "kept"} {
		set(s.host+"/"+d, "user.dir", "v")
		set(s.upper+"/"+d, "user.dir", "w")
		set(s.upper+"/"+d, "user.overlay.impure", "y")
	}
	set(s.host, "user.hidden", "the box has not seen it")
	set(s.upper+"/new", "user.mine", "")
	set(s.upper+"/other", "user.mine", "w")
	set(s.upper+"/readonly", "user.mine", "w")
	s.must(unix.Removexattr(s.upper+"/gone", "user.mine"))
	set(s.upper+"/mode", "user.mine", "w")
	s.must(os.Chmod(s.upper+"/mode", 0o600))
	s.must(os.Chmod(s.upper+"/readonly", 0o444))
	s.must(os.Chmod(s.host+"/readonly", 0o444))
	s.begin()
	want := []string{"xattr d", "xattr gone", "xattr kept", "mode mode", "xattr new", "xattr other", "xattr readonly"}
	if got := s.list(); !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	// What is not wanted stays a change.
	all, err := Open(s.keep)
	s.must(err)
	cs, err := all.List()
	s.must(err)
	for i, c := range cs {
		if name := []string{"user.mine", "user.dir"}[map[bool]int{true: 1}[c.Is.Type == "directory"]]; !slices.Equal(c.Xattrs, []string{name}) {
			t.Errorf("%d, %s: %q", i, c.Path, c.Xattrs)
		}
	}
	some, err := Select(cs, []string{s.host + "/other"})
	s.must(err)
	s.must(all.Apply(some, false, func(Change) {}))
	all.Close()
	if got := s.list(); !slices.Equal(got, slices.DeleteFunc(slices.Clone(want), func(l string) bool { return l == "xattr other" })) {
		t.Errorf("left: %q", got)
	}
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	if got := s.list(); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	for p, want := range map[string]string{"new": "", "other": "w", "readonly": "w", "mode": "w", "same": "v"} {
		value := make([]byte, 9)
		n, err := unix.Getxattr(s.host+"/"+p, "user.mine", value)
		if err != nil || string(value[:n]) != want {
			t.Errorf("%s: %q, %v", p, value[:max(n, 0)], err)
		}
	}
	value := make([]byte, 9)
	if n, err := unix.Getxattr(s.host+"/d", "user.dir", value); err != nil || string(value[:n]) != "w" {
		t.Errorf("d: %v", err)
	}
	if _, err := unix.Getxattr(s.host+"/d", "user.overlay.impure", value); err != unix.ENODATA {
		t.Errorf("d has what is overlayfs's: %v", err)
	}
	if _, err := unix.Getxattr(s.host+"/gone", "user.mine", value); err != unix.ENODATA {
		t.Errorf("gone: %v", err)
	}
	if _, err := unix.Getxattr(s.host, "user.hidden", make([]byte, 99)); err != nil {
		t.Errorf("the attribute of the tree's own: %v", err)
	}
}

func TestALayerOfALongPathIsFound(t *testing.T) {
	keep := t.TempDir()
	source, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		source += "/" + strings.Repeat("l", 100)
	}
	s := &scene{t: t, host: source, keep: keep, upper: keep + "/" + plan.LayerName(plan.HostPath(source)) + "/upper"}
	s.must(os.MkdirAll(s.host, 0o755))
	s.must(os.MkdirAll(s.upper, 0o755))
	s.write(s.upper+"/f", "box")
	if got := s.list(); !slices.Equal(got, []string{"added f"}) {
		t.Errorf("%q", got)
	}
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(s.host + "/f"); string(b) != "box" {
		t.Errorf("%q, %v", b, err)
	}
	set, err := Open(keep)
	s.must(err)
	defer set.Close()
	s.must(set.Discard())
	if ns, _ := os.ReadDir(keep); len(ns) > 0 {
		t.Errorf("%v is left", ns)
	}
}

func TestALockIsOfTheDirectoryThatIsNamed(t *testing.T) {
	s := newScene(t)
	fd, err := Lock(s.keep)
	s.must(err)
	defer unix.Close(fd)
	s.must(Locked(fd, s.keep))
	if _, err := Lock(s.keep); !errors.Is(err, ErrInUse) {
		t.Errorf("locked twice: %v", err)
	}
	s.must(os.Rename(s.keep, s.keep+".away"))
	s.must(os.Mkdir(s.keep, 0o755))
	if err := Locked(fd, s.keep); err == nil || !strings.Contains(err.Error(), "another directory by now") {
		t.Error(err)
	}
	s.must(os.Remove(s.keep))
	s.must(os.Symlink(s.keep+".away", s.keep))
	if err := Locked(fd, s.keep); err == nil {
		t.Error("a link is taken for it")
	}
	if Locked(-1, s.keep+".away") == nil {
		t.Error("locked by nothing")
	}
}

// A copy that is as the host's file is would hide what the host makes of that later.
func TestWhatWasOnlyTouchedIsTakenOutAsWell(t *testing.T) {
	s := newScene(t)
	s.write(s.host+"/d/touched", "same")
	s.must(os.Symlink("d", s.host+"/link"))
	s.begin()
	s.write(s.upper+"/d/touched", "same")
	s.must(os.Symlink("d", s.upper+"/link"))
	s.write(s.upper+"/new", "new")
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	s.write(s.host+"/d/touched", "later")
	if got := s.list(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if got := tree(t, s.upper); len(got) != 1 {
		t.Errorf("left in the upper layer: %q", got)
	}
}

// A box can make paths that no call takes. They are said, and keep nobody from
// what lies elsewhere.
func TestAPathThatIsTooLongIsSaidAndTheRestCanBeApplied(t *testing.T) {
	s := newScene(t)
	s.begin()
	s.write(s.upper+"/a/f", "f")
	s.must(os.Mkdir(s.upper+"/z", 0o755))
	at, err := unix.Open(s.upper+"/z", unix.O_PATH, 0)
	s.must(err)
	name := strings.Repeat("n", 200)
	for range 30 {
		s.must(unix.Mkdirat(at, name, 0o755))
		next, err := unix.Openat(at, name, unix.O_PATH, 0)
		unix.Close(at)
		s.must(err)
		at = next
	}
	unix.Close(at)
	set, err := Open(s.keep)
	s.must(err)
	defer set.Close()
	cs, err := set.List()
	var unread *Unread
	if !errors.As(err, &unread) || !errors.Is(err, unix.ENAMETOOLONG) {
		t.Fatal(err)
	}
	if len(err.Error()) > 400 || !strings.HasSuffix(err.Error(), "file name too long") || !strings.Contains(unread.Hint(), "nobox apply "+s.keep+" PATH") {
		t.Errorf("%v; %s", err, unread.Hint())
	}
	for path, concerned := range map[string]bool{"/a": false, "/a/f": false, "": true, "/z": true, "/z/" + name: true, "/zz": false} {
		if unread.Concerns([]string{s.host + path}) != concerned {
			t.Errorf("%q: not %v", path, concerned)
		}
	}
	cs, err = Select(cs, []string{s.host + "/a"})
	s.must(err)
	s.must(set.Apply(cs, false, func(Change) {}))
	if b, err := os.ReadFile(s.host + "/a/f"); string(b) != "f" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(s.host + "/z"); err == nil {
		t.Error("z was written back")
	}
	s.must(set.Discard())
}

func TestNoFileIsMistakenForWhatAnApplyLeft(t *testing.T) {
	s := newScene(t)
	s.write(s.host+"/"+temporary, "host's")
	s.write(s.host+"/"+temporary+"a", "host's")
	s.begin()
	s.write(s.upper+"/"+temporary+"b", "box's")
	s.write(s.upper+"/f", "box's")
	if _, err := s.apply(-1, false); err != nil {
		t.Fatal(err)
	}
	want := []string{" drwxr-xr-x", "/" + temporary + " -rw-r--r-- host's", "/" + temporary + "a -rw-r--r-- host's", "/" + temporary + "b -rw-r--r-- box's", "/f -rw-r--r-- box's"}
	if got := tree(t, s.host); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	// What an apply that was killed left of f is taken away by the next.
	set, err := Open(s.keep)
	s.must(err)
	left := s.host + "/" + set.temporary + "-0"
	set.Close()
	if left == s.host+"/-0" {
		t.Fatal("the name is not noted")
	}
	s.write(left, "half")
	s.write(s.upper+"/f", "box's again")
	if _, err := s.apply(-1, true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Error("it is still there")
	}
}

// A box can make a tree that is deeper than a process has descriptors.
func TestATreeOfAnyDepthIsRemovedWithFewDescriptors(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func(string) error
	}{{"removed", Empty}, {"handed back", HandBack}} {
		dir := t.TempDir()
		at, err := unix.Open(dir, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			if err := unix.Mkdirat(at, "d", 0o755); err != nil {
				t.Fatal(err)
			}
			next, err := unix.Openat(at, "d", unix.O_PATH, 0)
			unix.Close(at)
			if err != nil {
				t.Fatal(err)
			}
			at = next
		}
		unix.Close(at)
		few := was
		few.Cur = 64
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
			t.Fatal(err)
		}
		err = c.do(dir)
		unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
		if os.Getuid() != 0 && c.name == "handed back" {
			if errors.Is(err, unix.EMFILE) {
				t.Error(err)
			}
			if err := Empty(dir); err != nil {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := Empty(dir); err != nil {
			t.Error(err)
		}
	}
}

// A full disk is said as one, not by the system call that met it.
func TestAnErrorIsSaidWithoutTheSystemCallsName(t *testing.T) {
	for _, err := range []error{unix.ENOSPC, os.NewSyscallError("copy_file_range", unix.ENOSPC),
		&os.PathError{Op: "write", Path: "/x", Err: unix.ENOSPC},
		&os.PathError{Op: "write", Path: "/x", Err: os.NewSyscallError("copy_file_range", unix.ENOSPC)}} {
		if got := bare(err); got != unix.ENOSPC {
			t.Errorf("%v: %v", err, got)
		}
	}
}
