package nstest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// skips are what unit tests may be skipped for the want of; those of tests have a
// vocabulary of their own, which has these words too.
var skips = []string{"bash", "zsh", "fish", "ipv6", "overlayfs"}

// Lacks skips a test for the want of what the word says, or fails it where
// NOBOX_REQUIRE has the word or "all"; why is what the machine said.
func Lacks(t testing.TB, word string, why any) {
	t.Helper()
	if !slices.Contains(skips, word) {
		t.Fatalf("unknown word %q: there are %s", word, strings.Join(skips, " "))
	}
	for _, r := range strings.FieldsFunc(os.Getenv("NOBOX_REQUIRE"), func(r rune) bool { return r == ' ' || r == ',' }) {
		if r == word || r == "all" {
			t.Fatalf("NOBOX_REQUIRE has %s, but %v", word, why)
		}
	}
	t.Skipf("needs %s: %v", word, why)
}
