package cli

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"nobox/internal/nstest"
	"nobox/plan"
)

func TestErrorsAreSaid(t *testing.T) {
	step := &plan.StepError{Step: plan.Step{Do: plan.Hostname{Name: "x"}, From: "--hostname x"}, Err: errors.New("operation not permitted")}
	for _, c := range []struct {
		err   error
		hints []string
		want  string
	}{
		{&UsageError{Text: "unknown flag -x", Hint: "a", Help: "b"}, nil, "nobox: unknown flag -x\nnobox: hint: a\nnobox: help: b\n"},
		{fmt.Errorf("wrapped: %w", &UsageError{Text: "x"}), nil, "nobox: x\n"},
		{step, nil, "nobox: cannot set the host name (--hostname x): operation not permitted\n"},
		{errors.New("cannot read the plan: gone"), []string{"a", "b"}, "nobox: cannot read the plan: gone\nnobox: hint: a\nnobox: hint: b\n"},
		{errors.New("open /a\n\x1b]0;x\a: gone"), nil, `nobox: cannot open /a\n\x1b]0;x\a: gone` + "\n"},
	} {
		var b strings.Builder
		SayError(&b, c.err, c.hints...)
		if b.String() != c.want {
			t.Errorf("got  %q\nwant %q", b.String(), c.want)
		}
	}
	var b strings.Builder
	SayHint(&b, "do it")
	SayNote(&b, "the box is\twarm")
	if b.String() != "nobox: hint: do it\nnobox: the box is\\twarm\n" {
		t.Errorf("%q", b.String())
	}
}

func TestNothingSaidDrivesATerminal(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text, 100%", "plain text, 100%"},
		{"größe …", "größe …"},
		{"\x1b[31m", `\x1b[31m`},
		{"a\r\nb\tc\x7f", `a\r\nb\tc\x7f`},
		{"\u009b31m", `\u009b31m`},
		{"\u202eabc", `\u202eabc`},
		{"\xff\x9b", `\xff\x9b`},
		{`"\x1b"`, `"\x1b"`},
	} {
		if got := plan.Printable(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	// Whatever stands on the command line, wherever it is repeated.
	evil := "\x1b]0;x\a\u009b31m\r\xff\u202e"
	for i := range flags {
		for _, s := range flags[i].spellings() {
			for _, args := range [][]string{{s + "=" + evil}, {s, evil}, {s, "/a:" + evil}, {s, evil, evil}, {evil, s}, {"--" + evil}, {"-" + evil}, {"help", evil}, {"ps", evil}} {
				_, err := parse(args, noFiles)
				if err == nil {
					continue
				}
				var b strings.Builder
				SayError(&b, err)
				if said := b.String(); strings.ContainsAny(said, "\x1b\a\r\u009b\u202e") || strings.Contains(said, "\xff") {
					t.Errorf("%q: %q", args, said)
				}
			}
		}
	}
}

func TestALongValueIsCut(t *testing.T) {
	_, err := parse([]string{"-w", strings.Repeat("x", 1<<20)}, noFiles)
	if err == nil || len(err.Error()) > 1000 {
		t.Error("too long")
	}
	_, err = parse(append([]string{"ls"}, strings.Fields(strings.Repeat("x ", 20000))...), noFiles)
	if err == nil || len(err.Error()) > 2000 || !strings.HasSuffix(err.Error(), " …") {
		t.Errorf("%.3000v", err)
	}
}

var shellWords = []string{"plain", "", "a b", "it's", `a"b$c\`, "~", "=x", "*", "-n", "a\nb", "a\tb", "\x1b[31m", "\xff\x00"[:1], "größe", "$(x)", "a'b\n\\c", "\x01" + "7", "!x", "#x"}

func TestWhatIsQuotedForAShellIsReadBack(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		nstest.Lacks(t, "bash", err)
	}
	out, err := exec.Command(bash, "-c", `printf '%s\0' `+shellLine(shellWords)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), strings.Join(shellWords, "\x00")+"\x00"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := shellLine(shellWords); strings.ContainsAny(got, "\x1b\n\t") {
		t.Errorf("%q", got)
	}
}
