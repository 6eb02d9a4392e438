package cgroups

import (
	"slices"
	"testing"
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

func FuzzParseCPUs(f *testing.F) {
	f.Add("0-3,7")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseCPUs(s)
		if err == nil && (len(got) == 0 || !slices.IsSorted(got)) {
			t.Fatal(got)
		}
	})
}
