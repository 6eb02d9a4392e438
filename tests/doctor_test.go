package tests

import (
	"strings"
	"testing"
)

func TestTheDoctorIsColouredOnATerminalAloneAndWhereThatIsWanted(t *testing.T) {
	need(t, "userns")
	for _, c := range []struct {
		env      string
		coloured bool
	}{
		{"TERM=xterm-256color", true}, {"NO_COLOR=", true}, {"NO_COLOR=1", false}, {"NO_COLOR=0", false}, {"TERM=dumb", false}, {"TERM=", false},
	} {
		p, s := newPlace(t), newScreen(t)
		cmd := p.command(nobox, "doctor", "proc")
		cmd.Env = append(p.env(), c.env)
		s.on(cmd)
		start(t, cmd).end(t, patience)
		s.expect("proc ")
		s.expect("\r\n")
		if got := strings.Contains(s.all(), "\x1b["); got != c.coloured {
			t.Errorf("%s: coloured is %v: %q", c.env, got, s.all())
		}
	}
	p, s := newPlace(t), newScreen(t)
	cmd := p.command(nobox, "doctor", "proc")
	var out strings.Builder
	cmd.Stdout = &out // a pipe, on a terminal
	s.on(cmd)
	start(t, cmd).end(t, patience)
	if strings.Contains(out.String(), "\x1b") || !strings.HasPrefix(out.String(), "proc ") {
		t.Errorf("into a pipe: %q", out.String())
	}
}
