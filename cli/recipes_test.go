package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The tables of docs/recipes.md translate the flags of other tools into flags
// that nobox has.
func TestTheTablesNameFlagsThatAreThere(t *testing.T) {
	doc, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, ok := strings.Cut(string(doc), "# From other tools")
	if !ok {
		t.Fatal("there are no tables")
	}
	flagWord := regexp.MustCompile("(^|[ `(])(--?[a-zA-Z][a-z0-9-]*)")
	n := 0
	for line := range strings.Lines(tables) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		right := cells[2]
		if strings.HasPrefix(strings.TrimSpace(right), "the same") {
			right = cells[1] + right
		}
		for _, m := range flagWord.FindAllStringSubmatch(right, -1) {
			n++
			if lookup(m[2]) == nil {
				t.Errorf("nobox has no %s: %s", m[2], line)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d flags in the tables", n)
	}
}
