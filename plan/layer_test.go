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
	for _, bad := range []string{"", "layer", "layerx", "applied", "layer+a%zz", "layer+a%2", "layer+a++b", "layer+..", "layer+a+..+b", "layer+a+", "layer+%61", "layer+a%2fb"} {
		if got, ok := SourceOf(bad); ok {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func FuzzSourceOf(f *testing.F) {
	f.Add("layer+a%2bb")
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := SourceOf(s); ok && (LayerName(p) != s || !strings.HasPrefix(string(p), "/") || path.Clean(string(p)) != string(p)) {
			t.Fatalf("%q: %q", s, p)
		}
	})
}
