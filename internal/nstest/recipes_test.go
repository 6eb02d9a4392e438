package nstest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each command of docs/recipes.md is one of a transcript, as it stands there.
// Those of the Debian tree are demo.txtar's, which asks for less output.
func TestEachRecipeIsRunByATranscript(t *testing.T) {
	doc, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../tests/testdata/script/recipe_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts of recipes", err)
	}
	run := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSuffix(strings.TrimSpace(line), " >/dev/null")
			run[strings.TrimPrefix(line, "exec ")] = true
		}
	}
	demo, err := os.ReadFile("../../tests/testdata/script/demo.txtar")
	if err != nil {
		t.Fatal(err)
	}
	section, n := "", 0
	for line := range strings.Lines(string(doc)) {
		line = strings.TrimSuffix(line, "\n")
		if head, ok := strings.CutPrefix(line, "## "); ok {
			section = head
		}
		command, ok := strings.CutPrefix(line, "    nobox")
		if !ok {
			continue
		}
		command = "nobox" + command
		n++
		if strings.HasPrefix(section, "A Debian tree") {
			// mmdebstrap, the tree as the root, apt in it, its removal
			for _, word := range []string{"mmdebstrap", "--rootfs", "apt-get install", "rm -rf debian"} {
				if !strings.Contains(string(demo), word) {
					t.Errorf("demo.txtar has no %s", word)
				}
			}
			continue
		}
		if command != "nobox" && !run[command] { // the shell is shell.txtar's
			t.Errorf("%s: no recipe_*.txtar runs %s", section, command)
		}
	}
	if n < 12 {
		t.Errorf("only %d commands in the recipes", n)
	}
}
