package plan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write testdata/*.txt and *.json anew")

// golden compares got with a file of testdata, or makes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := 0; i < len(g) && i < len(w); i++ {
		if g[i] != w[i] {
			t.Fatalf("%s:%d:\n got %s\nwant %s\n(go test ./plan -update makes it anew)", name, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", name, len(g), len(w))
}

func TestAPlanReadsLikeItsGolden(t *testing.T) {
	for name, g := range good {
		golden(t, name+".txt", g.plan().String())
	}
}

func TestNoLineIsWiderThanAHundredColumns(t *testing.T) {
	for name, g := range good {
		for _, line := range strings.Split(g.plan().String(), "\n") {
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
	}
}

func TestAWordThatIsTooLongIsNotTorn(t *testing.T) {
	long := strings.Repeat("x", 150)
	p := &Plan{Steps: []Step{{Side: Inside, Do: Chdir{BoxPath("/" + long)}, From: "-w /" + long, Why: "a reason"}}}
	want := " 1 inside  change to\n             /" + long + "\n             (-w\n             /" + long + ")\n             — a reason\n"
	if got, _, _ := strings.Cut(p.String(), "   ------"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestWordsHoldNoControlCharacters(t *testing.T) {
	const evil = "a\x1b]0;b\x07\r\nc\x9b\u009b\u202e\x7f"
	p := &Plan{Notes: []string{evil}, Steps: []Step{
		{Side: Inside, Do: NewFS{Type: "overlay", Options: []Option{{"lowerdir", evil}}}, From: "--rootfs " + evil, Why: evil},
		{Side: Inside, Do: OpenTree{Source: evil}},
		{Side: Host, Do: MapIDs{NewUIDMap: evil, NewGIDMap: evil}},
		{Side: Inside, Do: Exec{Args: []string{evil}, Env: []string{evil + "=" + evil}}},
	}}
	b, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{p.String(), string(b)} {
		for _, r := range s {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r == '\u202e' {
				t.Fatalf("%U in %q", r, s)
			}
		}
	}
	if want := `a\x1b]0;b\a\r\nc\x9b\u009b\u202e\x7f`; !strings.Contains(p.String(), want) {
		t.Errorf("%q is not in %q", want, p.String())
	}
}

func TestWordsShowNoValueOfTheEnvironment(t *testing.T) {
	for name, g := range good {
		s := g.plan().String()
		if strings.Contains(s, "secret") || !strings.Contains(s, "TOKEN") {
			t.Errorf("%s: %s", name, s)
		}
	}
}
