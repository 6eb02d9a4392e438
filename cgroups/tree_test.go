package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCPUListsAreRead(t *testing.T) {
	for s, want := range map[string][]int{
		"0": {0}, "0-3": {0, 1, 2, 3}, "3,1-2,2": {1, 2, 3}, "7,0": {0, 7},
		"": nil, "a": nil, "3-1": nil, "1,": nil, "-1": nil, "0-99999": nil, "0 1": nil,
	} {
		got, err := ParseCPUs(s)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
	}
}

func TestCountsOfTheKernelAreRead(t *testing.T) {
	r, w := ioBytes("259:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=x\n")
	if r != 4097 || w != 8192 {
		t.Error(r, w)
	}
	m := keyed("low 0\noom 2\noom_kill 1\nnonsense\n")
	if get(m, "oom") != 2 || get(m, "oom_kill") != 1 || get(m, "none") != Unknown || number("max") != Unknown {
		t.Error(m)
	}
}

// A box may make cgroups deeper than a path can say.
func TestATreeIsRemovedHoweverDeepItIs(t *testing.T) {
	base := t.TempDir()
	root, err := os.OpenRoot(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"box", "box/a", "box/a/b", "box/c", "box/c/d", "beside"} {
		if err := root.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := root
	for range 1000 {
		if err := at.Mkdir("deep", 0o755); err != nil {
			t.Fatal(err)
		}
		below, err := at.OpenRoot("deep")
		if err != nil {
			t.Fatal(err)
		}
		at.Close()
		at = below
	}
	at.Close()
	for _, d := range []string{"box", "deep", "none"} {
		if err := removeAll(filepath.Join(base, d)); err != nil {
			t.Error(d, err)
		}
	}
	left, err := os.ReadDir(base)
	if err != nil || len(left) != 1 || left[0].Name() != "beside" {
		t.Error(left, err)
	}

	// What is in use is said, and stays.
	full := filepath.Join(base, "full")
	if err := os.MkdirAll(full+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full+"/in/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := removeAll(full); err != unix.EBUSY {
		t.Error(err)
	}
}

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,7")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseCPUs(s)
		if err == nil && (len(got) == 0 || !slices.IsSorted(got)) {
			t.Fatal(got)
		}
	})
}
