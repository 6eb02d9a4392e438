package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A screen of 80 by 24, of which the shell's prompt takes a line.
func TestHelpFitsAScreen(t *testing.T) {
	pages := map[string]string{"": Help("")}
	for _, topic := range helpTopics() {
		if topic != "all" {
			pages[topic] = Help(topic)
		}
	}
	for i := range verbs {
		pages[verbs[i].name] = Help(verbs[i].name)
	}
	for topic, page := range pages {
		if n := strings.Count(page, "\n"); n > 23 {
			t.Errorf("nobox help %s has %d lines", topic, n)
		}
	}
	pages["all"] = Help("all")
	for i := range flags {
		pages["--"+flags[i].name] = Help("--" + flags[i].name)
	}
	for topic, page := range pages {
		for line := range strings.Lines(page) {
			// What is to be pasted stands as it is.
			if utf8.RuneCountInString(line)-1 > 80 && !strings.HasPrefix(line, "      ") {
				t.Errorf("nobox help %s: too wide: %s", topic, line)
			}
		}
	}
	for g := range groups {
		if !strings.Contains(pages[""], "\n  "+g.topic()+" ") {
			t.Errorf("the page does not name %s", g.topic())
		}
	}
}
