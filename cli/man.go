package cli

import "strings"

// manDate stands in the page's header; a page of the same table is the same
// page on every day and machine.
const manDate = "2026-11-23"

// Man is the manual page nobox(1) in roff; man(7).
func Man() string {
	var b strings.Builder
	b.WriteString(".\\\" Made by \"nobox man\" from the table of flags; not to be edited.\n")
	b.WriteString(".TH NOBOX 1 " + manDate + " nobox \"User Commands\"\n.nh\n")

	section(&b, "NAME")
	b.WriteString("nobox \\- run a command in a box of its own, without root\n")

	section(&b, "SYNOPSIS")
	b.WriteString(".B nobox\n.RI [ FLAGS ]\n.RB [ \\-\\-\n.I COMMAND\n.RI [ ARG ...]]\n")
	for i := range verbs {
		if v := &verbs[i]; !v.hidden {
			b.WriteString(".br\n.B " + roff("nobox "+v.name) + "\n")
			if v.args != "" {
				b.WriteString(".I " + roff(v.args) + "\n")
			}
		}
	}

	section(&b, "DESCRIPTION")
	paragraphs(&b, ".PP", manDescription)

	section(&b, "FLAGS")
	paragraphs(&b, ".PP", manFlags)
	for g := range groups {
		b.WriteString(".SS " + g.String() + "\n")
		for i := range flags {
			f := &flags[i]
			if f.group != g || f.hidden {
				continue
			}
			b.WriteString(".TP\n" + f.tag() + "\n")
			paragraphs(&b, ".IP", f.long)
			if s := f.fineprint(); s != "" {
				b.WriteString(".IP\n")
				roffText(&b, s)
			}
		}
	}

	section(&b, "VERBS")
	for i := range verbs {
		v := &verbs[i]
		b.WriteString(".TP\n\\fBnobox " + roff(v.name) + `\fR`)
		if v.args != "" {
			b.WriteString(` \fI` + roff(v.args) + `\fR`)
		}
		b.WriteString("\n")
		paragraphs(&b, ".IP", v.long)
	}

	section(&b, "EXIT STATUS")
	for _, e := range manExit {
		b.WriteString(".TP\n.B " + roff(e[0]) + "\n")
		roffText(&b, e[1])
	}

	section(&b, "ENVIRONMENT")
	for _, e := range manEnvironment {
		b.WriteString(".TP\n.B " + roff(e[0]) + "\n")
		roffText(&b, e[1])
	}

	section(&b, "FILES")
	for _, e := range manFiles {
		b.WriteString(".TP\n.I " + roff(e[0]) + "\n")
		roffText(&b, e[1])
	}

	section(&b, "EXAMPLES")
	for _, e := range examples {
		b.WriteString(".TP\n.B " + roff(e.line) + "\n")
		roffText(&b, strings.ToUpper(e.does[:1])+e.does[1:]+".")
	}

	section(&b, "SEE ALSO")
	for i, p := range manSeeAlso {
		sep := ","
		if i == len(manSeeAlso)-1 {
			sep = ""
		}
		name, sec, _ := strings.Cut(p, "(")
		b.WriteString(".BR " + roff(name) + " (" + sec + sep + "\n")
	}
	return b.String()
}

const manDescription = `nobox runs COMMAND in a box: a process with its own user, mount, pid, network, uts, ipc and cgroup namespaces and its own root directory, entered with pivot_root(2). It takes an ordinary user: no root, no daemon, and nothing setuid but newuidmap(1) and newgidmap(1), which are called only when a range of ids is mapped. Without a COMMAND it is a shell, $SHELL if it exists inside and else /bin/sh.

Without --rootfs the box sees the host's own tree, read-only, with the working directory read-write at the same path and the home directories hidden behind an empty tmpfs. With --rootfs it sees another directory as its root, and nothing of the host's. Either way it has a /proc of its own pid namespace, a read-only /sys, a minimal /dev, and /tmp, /var/tmp and /run fresh and empty. Nothing is left on the host but the empty directories that --rootfs tells of.

Pid 1 of the box is nobox's reaper and the command is its child. With a terminal on stdin the box has a terminal of its own. TERM, INT, HUP, QUIT, USR1, USR2, WINCH and CONT go on to the command. When nobox dies everything inside dies, too.

Always on: no_new_privs, a short list of capabilities that have power over the box alone, and none with -c, every descriptor above 2 closed, an environment by allow-list.

A box weaker than asked for is an error and not a warning. Nothing is started before everything that can be checked has been.`

const manFlags = `Names follow docker-run(1) and podman-run(1), then unshare(1) and bwrap(1). The value of a flag with a long name is the next word, or stands behind "="; where the name is written with "[=", it stands behind "=" only. Switches take =false. Of a flag given twice the last one counts, if nothing else is said.`

var manExit = [...][2]string{
	{"124", "--timeout has passed."},
	{"125", "nobox could not do what was asked; stderr says what, and why."},
	{"126", "COMMAND was found and could not be executed."},
	{"127", "COMMAND was not found."},
	{"128+n", "Signal n ended COMMAND."},
	{"else", "What COMMAND exited with."},
}

var manEnvironment = [...][2]string{
	{"PATH, HOME, SHELL, TERM, COLORTERM, LANG, LC_*, TZ, NO_COLOR", "Passed on to the command; PATH and HOME not with --rootfs. Nothing else is, without -e, --env-file or --env-host."},
	{"SHELL", "The shell that runs where no COMMAND is given, if it exists inside."},
}

var manFiles = [...][2]string{
	{"/etc/subuid, /etc/subgid", "The ranges of ids the caller may map; subuid(5)."},
	{"/etc/passwd, /etc/group", "Inside, where the names of --user are looked up."},
	{"/etc/hosts, /etc/hostname, /etc/resolv.conf", "Made for the box, without writing to the host's or to those of --rootfs."},
}

var manSeeAlso = [...]string{
	"bwrap(1)", "newgidmap(1)", "newuidmap(1)", "podman-run(1)", "unshare(1)", "getrlimit(2)", "pivot_root(2)",
	"subgid(5)", "subuid(5)", "capabilities(7)", "namespaces(7)", "user_namespaces(7)",
}

func section(b *strings.Builder, name string) { b.WriteString(".SH " + name + "\n") }

// tag is the flag as the manual writes it: what is typed bold, what is filled
// in italic.
func (f *flag) tag() string {
	var s strings.Builder
	if f.short != "" {
		s.WriteString(`\fB\-` + f.short + `\fR, `)
	}
	s.WriteString(`\fB\-\-` + roff(f.name) + `\fR`)
	arg := roff(f.arg)
	if !strings.Contains(arg, "|") || f.values == nil {
		arg = `\fI` + arg + `\fR`
	}
	switch {
	case f.isSwitch() && f.bare != "":
		s.WriteString(`[=false]`)
	case f.isSwitch():
	case f.bare != "":
		s.WriteString("[=" + arg + "]")
	case f.values != nil:
		s.WriteString("=" + arg)
	default:
		s.WriteString(" " + arg)
	}
	return s.String()
}

// paragraphs writes text that has empty lines between paragraphs, and indented
// lines to be left as they are. Between is the macro for a new paragraph.
func paragraphs(b *strings.Builder, between, text string) {
	first := true
	for p := range strings.SplitSeq(text, "\n\n") {
		if !first {
			b.WriteString(between + "\n")
		}
		first = false
		if !strings.HasPrefix(p, " ") {
			roffText(b, p)
			continue
		}
		b.WriteString(".nf\n")
		for line := range strings.SplitSeq(p, "\n") {
			b.WriteString(roff(strings.TrimPrefix(line, "  ")) + "\n")
		}
		b.WriteString(".fi\n")
	}
}

// roffText writes running text: flags and the names of manual pages bold,
// placeholders italic. Its lines are wrapped, so that a change is a small diff.
func roffText(b *strings.Builder, text string) {
	col := 0
	for w := range strings.FieldsSeq(text) {
		r := roffWord(w)
		switch {
		case col == 0:
		case col+1+len(r) > width:
			b.WriteByte('\n')
			col = 0
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(r)
		col += len(r)
	}
	b.WriteByte('\n')
}

// placeholders are the arguments that running text speaks of.
var placeholders = []string{"COMMAND", "DIR", "HOW", "SRC", "DST", "DUR", "FD", "FILE", "FLAG", "SOFT", "HARD"}

func roffWord(w string) string {
	lead := len(w) - len(strings.TrimLeft(w, `"(`))
	word := w[lead:]
	n := 0
	for n < len(word) && (isAlnum(word[n]) || word[n] == '-' || word[n] == '_') {
		n++
	}
	name, rest := word[:n], word[n:]
	font := ""
	switch {
	case len(name) > 1 && name[0] == '-' && lookup(name) != nil:
		font = `\fB`
	case len(rest) > 2 && rest[0] == '(' && isDigit(rest[1]) && rest[2] == ')':
		font = `\fB`
	default:
		for _, p := range placeholders {
			if name == p {
				font = `\fI`
			}
		}
	}
	if font == "" {
		return roff(w)
	}
	// Within the word, so that a leading "." or "'" stays what roff guarded.
	return roff(w[:lead]) + font + roff(name) + `\fR` + strings.TrimPrefix(roff(rest), `\&`)
}

// roff escapes a piece of a line.
func roff(s string) string {
	var b strings.Builder
	if s != "" && (s[0] == '.' || s[0] == '\'') {
		b.WriteString(`\&`)
	}
	for _, r := range s {
		switch r {
		case '\\':
			b.WriteString(`\e`)
		case '-':
			b.WriteString(`\-`)
		case '~':
			b.WriteString(`\(ti`)
		case '^':
			b.WriteString(`\(ha`)
		case '\'':
			b.WriteString(`\(aq`)
		case '`':
			b.WriteString(`\(ga`)
		case '…':
			b.WriteString("...")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
