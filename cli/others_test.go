package cli

import (
	"strings"
	"testing"
)

func TestVerbsOfOthersAreNotNoboxs(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range otherVerbs {
		for _, n := range strings.Fields(o.names) {
			name, flag, has := strings.Cut(n, "/")
			v := lookupVerb(name)
			switch {
			case seen[n]:
				t.Errorf("%s is there twice", n)
			case v != nil != has:
				t.Errorf("%s is never looked up", n)
			case has:
				if _, err := parse([]string{name, flag, "x"}, noFiles); err == nil || !strings.Contains(err.Error(), "it has no "+flag) {
					t.Errorf("%s: %v", n, err)
				}
			}
			seen[n] = true
		}
	}
}

func TestWhatOthersHaveIsNotNoboxs(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range others {
		if o.whose == "" || o.instead == "" || strings.HasSuffix(o.instead, ".") || o.names == "" {
			t.Errorf("%q: a column is empty, or ends in a full stop", o.names)
		}
		for _, n := range strings.Fields(o.names) {
			if seen[n] {
				t.Errorf("%s is there twice", n)
			}
			seen[n] = true
			name, _, valued := strings.Cut(n, "=")
			f := lookup(dashed(name))
			switch {
			case f == nil && valued, valued && f.name != name, f != nil && !valued && !f.needsValue():
				t.Errorf("%s is never looked up", n)
			}
		}
		// The flags that it names are there.
		for _, w := range strings.FieldsFunc(o.instead, func(r rune) bool { return strings.ContainsRune(" ,;:'=", r) }) {
			if strings.HasPrefix(w, "--") && len(w) > 2 && lookup(w) == nil && w != "--pdeathsig" {
				t.Errorf("%s: %s is no flag", o.names, w)
			}
		}
	}
}
