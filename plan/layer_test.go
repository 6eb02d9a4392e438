package plan

import (
	"path"
	"strings"
	"testing"
)

func TestALayersNameSaysWhatItIsOf(t *testing.T) {
	for name, source := range map[string]HostPath{
		"layer+": "/", "layer+home+ana": "/home/ana", "layer+a%2bb%25c+d": "/a+b%c/d", "layer+lost%2bfound": "/lost+found",
	} {
		if got := LayerName(source); got != name {
			t.Errorf("%s: %q, want %q", source, got, name)
		}
		if got, ok := SourceOf(name); !ok || got != source {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
	for n := 1; n < 4096; n += 7 {
		source := HostPath("/" + strings.Repeat("d+/", n/3) + strings.Repeat("x", n%3+1))
		name := LayerName(source)
		for part := range strings.SplitSeq(name, "/") {
			if len(part) > 255 {
				t.Errorf("of %d bytes: %q is too long for a name", n, part)
			}
		}
		if got, ok := SourceOf(name); !ok || got != source {
			t.Errorf("of %d bytes: %q, %v", n, got, ok)
		}
	}
	for _, bad := range []string{"part+a", "part+a/layerb", "layer+a/layerb", "layer+a/partb", "part+a/../layerb", "", "layer", "layerx", "applied", "layer+a%zz", "layer+a%2", "layer+a++b", "layer+..", "layer+a+..+b", "layer+a+", "layer+%61", "layer+a%2fb"} {
		if got, ok := SourceOf(bad); ok {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func FuzzSourceOf(f *testing.F) {
	f.Add("layer+a%2bb")
	f.Add("part+" + strings.Repeat("a", 250) + "/layerb")
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := SourceOf(s); ok && (LayerName(p) != s || !strings.HasPrefix(string(p), "/") || path.Clean(string(p)) != string(p)) {
			t.Fatalf("%q: %q", s, p)
		}
	})
}
