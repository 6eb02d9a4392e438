package cli

import (
	"strings"
	"unicode/utf8"
)

// width is the terminal that help is written for.
const width = 80

// An example is a command line and what it does.
type example struct{ line, does string }

var examples = [...]example{
	{"nobox -- make test", "the home is hidden, the host read-only"},
	{"nobox -v ~/data:/mnt:ro -- ls /mnt", "share a directory, read-only"},
	{"nobox -c --timeout 10m -- make", "your own uid, and ten minutes at most"},
	{"nobox --explain -- make", "what would be done, step by step"},
}

// Help is what "nobox help TOPIC" prints. Topic is as Parse leaves it: "" for
// the page, a flag with its dashes, a verb, a task, or "all".
func Help(topic string) string {
	if f := lookup(topic); f != nil {
		return flagHelp(f)
	}
	if v := lookupVerb(topic); v != nil {
		return verbHelp(v)
	}
	if topic == "all" {
		return everything()
	}
	for g := range groups {
		if g.topic() == topic {
			var b strings.Builder
			b.WriteString(g.does() + "\n\n")
			groupRows(&b, g)
			b.WriteString("\nnobox help FLAG tells all about one.\n")
			return b.String()
		}
	}
	return page()
}

// topic is the word by which "nobox help" finds a group.
func (g group) topic() string {
	word, _, _ := strings.Cut(strings.ToLower(g.String()), " ")
	return word
}

// helpTopics are the words behind "nobox help" that are neither flag nor verb.
func helpTopics() []string {
	var s []string
	for g := range groups {
		s = append(s, g.topic())
	}
	return append(s, "all")
}

// page is one screen of 80 by 24, the prompt that follows included: how to run a
// command, by example, and some flags of each task.
func page() string {
	var b strings.Builder
	b.WriteString("nobox runs a command in a box of its own, without root and without a daemon.\n\n")
	row(&b, "  nobox [FLAGS] [-- COMMAND [ARG...]]", 41, "without a command, a shell")
	var names []string
	for i := range verbs {
		if v := &verbs[i]; !v.hidden {
			names = append(names, v.name)
		}
	}
	hanging(&b, "  nobox VERB", 14, strings.Join(names, " "))
	b.WriteByte('\n')
	for _, e := range examples {
		row(&b, "  "+e.line, 41, e.does)
	}
	b.WriteString("\nFlags by task, some of them. All: nobox help TASK, nobox help all. About one:\nnobox help FLAG, nobox help VERB.\n")
	for g := range groups {
		line := "  " + g.topic() + strings.Repeat(" ", max(13-2-len(g.topic()), 1))
		for i := range flags {
			f := &flags[i]
			if f.group != g || f.hidden {
				continue
			}
			w := "--" + f.name
			if f.short != "" {
				w = "-" + f.short
			}
			if len(line)+len(w)+len(" …") > width {
				line += "…"
				break
			}
			line += w + " "
		}
		b.WriteString(strings.TrimSuffix(line, " ") + "\n")
	}
	b.WriteString(exitLine + "\n")
	return b.String()
}

// hanging writes a row whose right column is wrapped.
func hanging(b *strings.Builder, left string, column int, text string) {
	b.WriteString(left + strings.Repeat(" ", max(column-len(left), 1)))
	col := column
	for i, w := range strings.Fields(text) {
		switch {
		case i == 0:
		case col+1+len(w) > width:
			b.WriteString("\n" + strings.Repeat(" ", column))
			col = column
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	b.WriteByte('\n')
}

// everything is each flag with its line, "nobox help all".
func everything() string {
	var b strings.Builder
	for i := range verbs {
		if v := &verbs[i]; !v.hidden {
			row(&b, "  "+v.usage(), 41, v.help)
		}
	}
	for g := range groups {
		b.WriteString("\n" + g.String() + "\n")
		groupRows(&b, g)
	}
	b.WriteString("\n" + exitLine + "\n")
	return b.String()
}

func groupRows(b *strings.Builder, g group) {
	for i := range flags {
		f := &flags[i]
		if f.group != g || f.hidden {
			continue
		}
		u := f.usage()
		if f.short == "" {
			u = "    " + u
		}
		row(b, "  "+u, 33, f.help)
	}
}

const exitLine = "Exit: the command's own code, 128+n when signal n ended it, 124 --timeout,\n" +
	"125 nobox could not do what was asked, 126 not executable, 127 not found."

// row writes a line of two columns.
func row(b *strings.Builder, left string, column int, right string) {
	b.WriteString(left)
	b.WriteString(strings.Repeat(" ", max(column-utf8.RuneCountInString(left), 1)))
	b.WriteString(right)
	b.WriteByte('\n')
}

func flagHelp(f *flag) string {
	var b strings.Builder
	b.WriteString(f.usage() + "\n")
	prose(&b, f.long, 4)
	if s := f.fineprint(); s != "" {
		b.WriteString("\n")
		prose(&b, s, 4)
	}
	return b.String()
}

// fineprint is what the row itself says beyond its long text.
func (f *flag) fineprint() string {
	var s []string
	if f.repeat {
		s = append(s, "May be given more than once.")
	}
	if len(f.aliases) > 0 {
		var a []string
		for _, n := range f.aliases {
			a = append(a, dashed(n))
		}
		s = append(s, "Also spelled "+all(a)+".")
	}
	return strings.Join(s, " ")
}

func verbHelp(v *verb) string {
	var b strings.Builder
	b.WriteString(v.usage() + "\n")
	prose(&b, v.long, 4)
	return b.String()
}

// prose writes paragraphs, indented and wrapped; lines that are indented
// already stay as they are.
func prose(b *strings.Builder, text string, indent int) {
	pad := strings.Repeat(" ", indent)
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			b.WriteString(strings.TrimRight(pad+line, " ") + "\n")
			continue
		}
		col := 0
		for w := range strings.FieldsSeq(line) {
			n := utf8.RuneCountInString(w)
			switch {
			case col == 0:
				b.WriteString(pad)
				col = indent
			case col+1+n > width:
				b.WriteString("\n" + pad)
				col = indent
			default:
				b.WriteByte(' ')
				col++
			}
			b.WriteString(w)
			col += n
		}
		b.WriteByte('\n')
	}
}
