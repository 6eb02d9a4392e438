package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEveryRowIsComplete(t *testing.T) {
	for i := range flags {
		f := &flags[i]
		switch {
		case f.name == "", f.what == "", f.help == "", f.long == "", f.set == nil, f.group >= groups:
			t.Errorf("--%s: a column is empty", f.name)
		case strings.HasSuffix(f.help, "."), strings.Contains(f.help, "\n"):
			t.Errorf("--%s: help is one line without a full stop", f.name)
		case !strings.HasSuffix(f.long, ".") && !strings.Contains(f.long, "\n  nobox "):
			t.Errorf("--%s: long is sentences", f.name)
		case f.isSwitch() && (f.values != nil && f.bare == "" || f.takes != takesAny):
			t.Errorf("--%s: a switch takes no argument", f.name)
		case f.bare != "" && f.values == nil && f.takes == takesAny:
			t.Errorf("--%s: an argument that may be missing has a set of values", f.name)
		}
	}
	for i := range verbs {
		if v := &verbs[i]; v.name == "" || v.help == "" || v.long == "" {
			t.Errorf("%s: a column is empty", v.name)
		}
	}
}

func TestEverySpellingIsOfOneFlagOnly(t *testing.T) {
	of := map[string]string{}
	for i := range flags {
		f := &flags[i]
		for _, s := range f.spellings() {
			if of[s] != "" {
				t.Errorf("%s is --%s and --%s", s, of[s], f.name)
			}
			of[s] = f.name
			if lookup(s) != f {
				t.Errorf("lookup(%q) is not --%s", s, f.name)
			}
		}
	}
	for _, s := range []string{"", "-", "--", "---", "v", "volume", "-volume", "--v", "--volume=", "-vv"} {
		if f := lookup(s); f != nil {
			t.Errorf("lookup(%q) is --%s", s, f.name)
		}
	}
}

func TestEveryFlagIsInHelpManAndCompletions(t *testing.T) {
	made := map[string]string{"help": Help("all"), "man": Man()}
	for _, s := range shells {
		made[s] = Completion(s)
	}
	for i := range flags {
		f := &flags[i]
		want := map[string]string{
			"help": "--" + f.name,
			"man":  `\-\-` + roff(f.name) + `\fR`,
			"bash": "--" + f.name,
			"zsh":  "--" + f.name,
			"fish": "-l " + f.name,
		}
		for in, text := range made {
			if found := has(text, want[in]); found == f.hidden {
				t.Errorf("--%s: in %s is %v", f.name, in, found)
			}
		}
		if f.short != "" && !f.hidden && !has(made["bash"], "-"+f.short) {
			t.Errorf("-%s is not in the completion", f.short)
		}
		for _, s := range f.spellings() {
			if h := Help(s); !strings.HasPrefix(h, f.usage()+"\n") {
				t.Errorf("help %s: %q", s, h)
			}
		}
		for _, v := range f.values {
			for _, s := range shells {
				if !f.hidden && !has(made[s], v) {
					t.Errorf("--%s=%s: not in %s", f.name, v, s)
				}
			}
		}
	}
	for i := range verbs {
		v := &verbs[i]
		for in, text := range made {
			if in != "man" && !v.hidden && !has(text, v.name) {
				t.Errorf("%s: not in %s", v.name, in)
			}
		}
		if !strings.HasPrefix(Help(v.name), v.usage()+"\n") {
			t.Errorf("help %s: %q", v.name, Help(v.name))
		}
	}
}

// has says that text has a word, which another letter or "-" would make
// another one.
func has(text, word string) bool {
	for {
		i := strings.Index(text, word)
		if i < 0 {
			return false
		}
		end := text[i+len(word):]
		if end == "" || !isAlnum(end[0]) && end[0] != '-' {
			return true
		}
		text = end
	}
}

func TestHelpFitsTheScreen(t *testing.T) {
	texts := append([]string{""}, helpTopics()...)
	for i := range verbs {
		texts = append(texts, verbs[i].name)
	}
	for i := range flags {
		texts = append(texts, "--"+flags[i].name)
	}
	for _, topic := range texts {
		lines := strings.Split(strings.TrimSuffix(Help(topic), "\n"), "\n")
		for _, l := range lines {
			if utf8.RuneCountInString(l) > width || strings.TrimRight(l, " ") != l || strings.Contains(l, "\t") {
				t.Errorf("help %s: %q", topic, l)
			}
		}
		if topic == "" && len(lines) > 40 {
			t.Errorf("help has %d lines", len(lines))
		}
	}
}

func TestThePageShowsColumnsApart(t *testing.T) {
	for i := range flags {
		f := &flags[i]
		if n := utf8.RuneCountInString(f.usage()); !f.hidden && (n > 30 || f.short == "" && n > 26) {
			t.Errorf("%s is too wide for its column", f.usage())
		}
	}
}

func TestManIsPlainRoff(t *testing.T) {
	for i, l := range strings.Split(Man(), "\n") {
		for _, r := range l {
			if r > '~' || r < ' ' {
				t.Errorf("line %d: %q", i+1, l)
			}
		}
		if strings.HasPrefix(l, "'") || strings.HasPrefix(l, ".") && !isLetter(l[1]) && l[1] != '\\' {
			t.Errorf("line %d is no macro: %q", i+1, l)
		}
	}
	for _, c := range []struct{ word, want string }{
		{"plain", "plain"}, {"a-b", `a\-b`}, {".ssh,", `\&.ssh,`}, {"'x'", `\&\(aqx\(aq`}, {`\e`, `\ee`}, {"~/x", `\(ti/x`},
		{"--cwd=rw", `\fB\-\-cwd\fR=rw`}, {"-c.", `\fB\-c\fR.`}, {"--nosuch", `\-\-nosuch`}, {"-1", `\-1`},
		{"DIR", `\fIDIR\fR`}, {`"DIR".`, `"\fIDIR\fR".`}, {"subuid(5),", `\fBsubuid\fR(5),`}, {"(--net)", `(\fB\-\-net\fR)`}, {"…", "..."},
	} {
		if got := roffWord(c.word); got != c.want {
			t.Errorf("roffWord(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestVersionNamesVersionAndMachine(t *testing.T) {
	commit = "0123abc"
	defer func() { commit = "" }()
	lines := strings.Split(Version(), "\n")
	if v := lines[0]; len(lines) != 4 || len(strings.Fields(v)) != 4 || !strings.HasPrefix(v, "nobox ") || lines[1] != "commit 0123abc" || !strings.HasPrefix(lines[2], "Linux ") || !strings.Contains(lines[2], ": mount_setattr") {
		t.Errorf("%q", v)
	}
}
