package cli

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nobox/doctor"
	"nobox/plan"
)

// doctorTrials are the boxes to start besides the main one.
func doctorTrials() []doctor.Trial {
	return []doctor.Trial{
		{Name: doctor.NetworkUser, Args: []string{"--net=user"}},
		{Name: doctor.NetworkPasta, Args: []string{"--net=pasta"}},
		{Name: doctor.NetworkSlirp, Args: []string{"--net=slirp4netns"}},
		{Name: doctor.Limits, Args: []string{"--memory=64m", "--pids-limit=64"}},
	}
}

// doctorText is the lines for a person: the name, how it is, what was found;
// below it what to paste, which is never wrapped. Width is the terminal's, 0 for
// one line each.
func doctorText(lines []doctor.Line, width int, colour bool) string {
	const indent = 18
	var b strings.Builder
	for _, l := range lines {
		paint := [...]string{green, yellow, red}[l.State]
		state := l.State.String()
		b.WriteString(l.Name + strings.Repeat(" ", max(indent-len(l.Name), 1)))
		b.WriteString(painted(state, paint, colour))
		text := l.What
		switch {
		case text != "" && l.Cause != "":
			text += "; " + l.Cause
		case text == "":
			text = l.Cause
		}
		wrapped(&b, ": "+plan.Printable(text), indent, indent+utf8.RuneCountInString(state), width)
		for _, r := range l.Remedy {
			b.WriteString(strings.Repeat(" ", indent) + painted("remedy: ", bold, colour) + plan.Printable(r) + "\n")
		}
	}
	return b.String()
}

// wrapped writes a text that begins in a column, and goes on below it indented,
// where it would be wider than most; 0 is no limit.
func wrapped(b *strings.Builder, text string, indent, col, most int) {
	for i, w := range strings.Fields(text) {
		n := utf8.RuneCountInString(w)
		switch {
		case i == 0:
		case most > 0 && col+1+n > most:
			b.WriteString("\n" + strings.Repeat(" ", indent))
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

// The colours of a terminal; ECMA-48.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
)

func painted(s, how string, colour bool) string {
	if !colour {
		return s
	}
	return "\x1b[" + how + "m" + s + "\x1b[0m"
}

// columns is the width of the terminal that f is, 0 if it is none.
func columns(f *os.File) int {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col < 40 {
		return 0
	}
	return int(ws.Col)
}

// colourful says whether what is written to a file may be coloured: it is a
// terminal that can, and the user has not said no; no-color.org.
func colourful(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && doctor.Colour()
}
