package plan

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// width is how many columns a line of String takes at most, unless one word
// is longer.
const width = 100

// String is the plan in words, for --explain: its notes, then its steps, one
// after the other, with their numbers and sides, the flag that asked for each,
// and why. It holds no control characters but newlines. Of the environment it
// shows names only; JSON has all.
func (p *Plan) String() string {
	var b strings.Builder
	for _, n := range p.Notes {
		wrap(&b, "note: ", Printable(n), "")
	}
	if len(p.Notes) > 0 {
		b.WriteByte('\n')
	}
	digits := max(2, len(strconv.Itoa(len(p.Steps))))
	joins, keeps := false, false
	for i := range p.Steps {
		s := &p.Steps[i]
		n := strconv.Itoa(i + 1)
		lead := strings.Repeat(" ", digits-len(n)) + n + " " + pad(s.Side.String())
		switch s.Do.(type) {
		case Join:
			joins = true
		case Keep:
			keeps = true
		}
		text := Printable(s.Do.String())
		if s.From != "" {
			text += " (" + Printable(s.From) + ")"
		}
		why := ""
		if s.Why != "" {
			why = "— " + Printable(s.Why)
		}
		wrap(&b, lead, text, why)
		if i == p.Init.After {
			text := "from here on pid 1 stays behind as the reaper; what follows is the command's process"
			if joins {
				text = "from here on this process waits for its child, which is in the box's pid namespace; what follows is the child's"
			}
			if keeps {
				text = "from here on this process stays behind as the reaper; what follows is the command's process"
			}
			if !p.Init.Reaper {
				text = "there is no reaper: this process, pid 1, becomes the command"
			}
			wrap(&b, strings.Repeat(" ", digits+1)+pad("------"), text, "")
		}
	}
	return b.String()
}

// pad fills the column of the sides.
func pad(side string) string { return side + strings.Repeat(" ", len("inside  ")-len(side)) }

// wrap writes text and why behind lead, and goes on below where text began.
// Why begins a line of its own if it would be torn otherwise.
func wrap(b *strings.Builder, lead, text, why string) {
	b.WriteString(lead)
	room := width - utf8.RuneCountInString(lead)
	indent := "\n" + strings.Repeat(" ", width-room+2)
	col, first := 0, true
	put := func(words string) {
		for words != "" {
			word, rest, _ := strings.Cut(words, " ")
			words = rest
			n := utf8.RuneCountInString(word)
			switch {
			case first:
				first = false
			case col+1+n > room:
				b.WriteString(indent)
				col = 2
			default:
				b.WriteByte(' ')
				col++
			}
			b.WriteString(word)
			col += n
		}
	}
	put(text)
	if why != "" {
		if n := utf8.RuneCountInString(why); col+1+n > room && 2+n <= room {
			col = room
		}
		put(why)
	}
	b.WriteByte('\n')
}

// Printable escapes what could drive a terminal or break a line, and what is not
// UTF-8, wherever a text came from. What Quote made it leaves alone.
func Printable(s string) string {
	plain := true
	for i := 0; plain && i < len(s); i++ {
		plain = ' ' <= s[i] && s[i] <= '~'
	}
	if plain {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x`)
			b.WriteByte("0123456789abcdef"[s[0]>>4])
			b.WriteByte("0123456789abcdef"[s[0]&15])
		case strconv.IsPrint(r):
			b.WriteString(s[:n])
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}
