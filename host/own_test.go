package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func mustHold(t *testing.T, dir string) *HeldDir {
	t.Helper()
	h, err := HoldDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// realDir is a temporary directory by a path without links, as Probe gives it.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestADirectoryMadeForABoxGoesWithTheLast(t *testing.T) {
	home := realDir(t)
	dir := filepath.Join(home, ".local/state/nobox")
	a := mustHold(t, dir)
	st, err := os.Stat(dir)
	if err != nil || !PassesAt(dir) || st.Mode().Perm() != 0o700 {
		t.Fatalf("made as %v, %v", st.Mode(), err)
	}
	b := mustHold(t, dir)
	a.LetGo()
	if !there(dir) {
		t.Error("the directory went while another holds it")
	}
	RemoveIdle(dir, true)
	RemoveIdle(dir, false)
	if !there(dir) {
		t.Error("the directory was removed while it is held")
	}
	b.LetGo()
	if there(filepath.Join(home, ".local")) {
		t.Error("what was made for the directory stays")
	}
	if !there(home) {
		t.Error("what was there before went too")
	}
}

func TestADirectoryOfTheCallersStays(t *testing.T) {
	home := realDir(t)
	dir := filepath.Join(home, ".config/nobox")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustHold(t, dir).LetGo()
	RemoveIdle(dir, true)
	if !there(dir) {
		t.Error("an empty directory of the caller's was removed")
	}
	RemoveIdle(dir, false)
	if there(dir) || !there(filepath.Join(home, ".config")) {
		t.Error("not the one directory was removed")
	}
	// One whose maker was killed on the way to it.
	if err := os.Mkdir(filepath.Join(home, ".local"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(home, ".local"), os.ModeSticky|0o700); err != nil {
		t.Fatal(err)
	}
	RemoveIdle(filepath.Join(home, ".local/state/nobox"), true)
	if there(filepath.Join(home, ".local")) {
		t.Error("what a killed nobox had made stays")
	}
}

func TestADirectoryThatGotSomethingStays(t *testing.T) {
	home := realDir(t)
	dir := filepath.Join(home, ".config/nobox")
	h := mustHold(t, dir)
	if err := os.WriteFile(filepath.Join(home, ".config/mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.LetGo()
	if there(dir) || !there(filepath.Join(home, ".config/mine")) {
		t.Error("not the one directory was removed")
	}
	st, err := os.Stat(filepath.Join(home, ".config"))
	if err != nil || st.Mode() != os.ModeDir|0o700 {
		t.Errorf("what stays is %v, %v", st.Mode(), err)
	}
	h = mustHold(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "secrets"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.LetGo()
	if !there(filepath.Join(dir, "secrets")) || PassesAt(dir) {
		t.Error("a configuration did not stay as any other")
	}
}

func TestNoLinkIsFollowedToADirectoryThatIsHeld(t *testing.T) {
	home := realDir(t)
	if err := os.Mkdir(filepath.Join(home, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(home, ".config")); err != nil {
		t.Fatal(err)
	}
	if _, err := HoldDir(filepath.Join(home, ".config/nobox")); !errors.Is(err, unix.ELOOP) {
		t.Errorf("HoldDir: %v", err)
	}
	if there(filepath.Join(home, "other/nobox")) {
		t.Error("it was made where the link leads")
	}
}

func TestADirectoryThatCannotBeHeldLeavesNothing(t *testing.T) {
	home := realDir(t)
	if err := os.WriteFile(filepath.Join(home, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := HoldDir(filepath.Join(home, "file/nobox")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	long := filepath.Join(home, ".config", strings.Repeat("n", 256))
	if _, err := HoldDir(long); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a name that is too long: %v", err)
	}
	if there(filepath.Join(home, ".config")) {
		t.Error("what was made on the way stays")
	}
	dir := filepath.Join(home, "nobox")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := HoldDir(dir); !errors.Is(err, ErrHeld) {
		t.Errorf("locked by somebody: %v", err)
	}
}

func TestADirectoryIsThereForEachThatHoldsIt(t *testing.T) {
	home := realDir(t)
	dir := filepath.Join(home, ".local/state/nobox")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				h, err := HoldDir(dir)
				if err != nil {
					t.Error(err)
					return
				}
				var st unix.Stat_t
				if unix.Fstat(h.fd, &st) != nil || !isAt(h.fd, dir) {
					t.Error("the directory that is held is not at its path")
				}
				h.LetGo()
			}
		})
	}
	all.Wait()
	if there(filepath.Join(home, ".local")) {
		t.Error("the last left it")
	}
}

// Who finds something of another's in it leaves the directory to that one, who
// may have found it locked by then.
func TestADirectoryThatManyEmptyAtOnceGoes(t *testing.T) {
	dir := filepath.Join(realDir(t), "nobox")
	names := strings.Split("abcdefghijklmnop", "")
	for range 400 {
		for _, name := range names {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for _, name := range names {
			all.Go(func() {
				os.Remove(filepath.Join(dir, name))
				RemoveIdle(dir, false)
			})
		}
		all.Wait()
		if there(dir) {
			t.Fatal("the directory is empty, and stays")
		}
	}
}

func TestTheMarkIsKnownWhateverTheMaskAndTheDirectoryAbove(t *testing.T) {
	for _, tt := range []struct {
		name string
		home os.FileMode
		mask int
	}{
		{"the set-group-ID bit", 0o700 | os.ModeSetgid, 0o022},
		{"a mask that takes all", 0o700, 0o777},
		{"a mask that takes writing", 0o700, 0o222},
	} {
		t.Run(tt.name, func(t *testing.T) {
			home := realDir(t)
			if err := os.Chmod(home, tt.home); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(home, ".local/state/nobox")
			old := unix.Umask(tt.mask)
			h, err := HoldDir(dir)
			if now := unix.Umask(old); now != tt.mask {
				t.Errorf("the mask is %#o, was %#o", now, tt.mask)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !PassesAt(dir) || !PassesAt(filepath.Dir(dir)) {
				t.Error("what was made has no mark")
			}
			if h.LetGo(); there(filepath.Join(home, ".local")) {
				t.Error("what was made stays")
			}
		})
	}
}

func TestTheDirectoryOfTheStateStaysOnceItIsUsed(t *testing.T) {
	home := realDir(t)
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	dir := filepath.Join(home, ".local/state/nobox")
	var boxes sync.WaitGroup
	for range 4 {
		boxes.Go(func() {
			for range 200 {
				if h, err := HoldDir(dir); err != nil {
					t.Error(err)
				} else {
					h.LetGo()
				}
			}
		})
	}
	for range 200 {
		got := StateDir()
		if got != dir || !there(dir) || PassesAt(dir) {
			t.Fatalf("StateDir says %q", got)
		}
		if err := unix.Chmod(dir, Passing); err != nil {
			t.Fatal(err)
		}
	}
	boxes.Wait()
	unix.Chmod(dir, Passing)
	h := mustHold(t, dir)
	StateDir()
	h.LetGo()
	for d := dir; d != home; d = filepath.Dir(d) {
		if !there(d) || PassesAt(d) {
			t.Errorf("%s is not one that stays", d)
		}
	}
}

func TestWhatTheCallerCouldMakeAfterChmodIsMakeable(t *testing.T) {
	home := realDir(t)
	closed := filepath.Join(home, "closed")
	if err := os.Mkdir(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("closed", filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}
	pf := place(Place{Base: "/", Path: filepath.Join(home, "link/nobox"), Make: true}, map[string]bool{})
	if !pf.Makeable || string(pf.Exists) != closed {
		t.Errorf("%+v", pf)
	}
	if len(pf.Links) != 1 || string(pf.Links[0]) != filepath.Join(home, "link") {
		t.Errorf("the links are %q", pf.Links)
	}
}
