package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"nobox/doctor"
	"nobox/plan"
	"nobox/profiles"
)

// Every word of an error, a hint and a note is said here. The rules:
//
//   - nobox: cannot WHAT (FLAG): CAUSE
//   - CAUSE says what is wrong with this value, then what would be right; no
//     full stop, no "please", no "invalid".
//   - One line "nobox: help:" with the row of the flag, where there is one.
//   - A name that came from outside goes through show.

// Exit codes; the others are the command's own.
const (
	ExitTimeout       = 124 // --timeout passed
	ExitCannot        = 125 // nobox could not do what was asked; usage errors too
	ExitNotExecutable = 126
	ExitNotFound      = 127
	ExitSignal        = 128 // plus the number of the signal that ended the command
)

// A UsageError is a command line that cannot be done as it is written.
type UsageError struct {
	Text string // the line, without "nobox: "
	Hint string // what to write instead, "" if Text says it
	Help string // the line of the help that matters, "" if none
}

func (e *UsageError) Error() string { return e.Text }

// SayError writes an error and its hints. One that is no UsageError says what
// could not be done: its text is the object of "cannot", as plan.StepError has
// it, or begins with the word itself.
func SayError(w io.Writer, err error, hints ...string) {
	var b strings.Builder
	var usage *UsageError
	if errors.As(err, &usage) {
		sayLine(&b, "", usage.Text)
		if usage.Hint != "" {
			sayLine(&b, "hint: ", usage.Hint)
		}
		if usage.Help != "" {
			sayLine(&b, "help: ", usage.Help)
		}
	} else {
		sayLine(&b, "cannot ", strings.TrimPrefix(err.Error(), "cannot "))
	}
	for _, h := range hints {
		sayLine(&b, "hint: ", h)
	}
	io.WriteString(w, b.String())
}

// SayHint writes a hint.
func SayHint(w io.Writer, hint string) { say(w, "hint: ", hint) }

// SayNote writes a line about something that is no error.
func SayNote(w io.Writer, note string) {
	// While a box has the terminal, that is raw, and a newline alone would leave
	// what follows in the middle of the next line.
	if f, ok := w.(*os.File); ok {
		if t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil && t.Oflag&unix.OPOST == 0 {
			var b strings.Builder
			sayLine(&b, "", note)
			io.WriteString(w, strings.TrimSuffix(b.String(), "\n")+"\r\n")
			return
		}
	}
	say(w, "", note)
}

// say writes one line by one write, so that those of two boxes do not mix.
func say(w io.Writer, kind, text string) {
	var b strings.Builder
	sayLine(&b, kind, text)
	io.WriteString(w, b.String())
}

func sayLine(b *strings.Builder, kind, text string) {
	b.WriteString("nobox: ")
	b.WriteString(kind)
	b.WriteString(plan.Printable(text))
	b.WriteByte('\n')
}

// showMax is how much of a value an error repeats.
const showMax = 160

// show makes a name that came from outside fit to be read in a message.
func show(s string) string {
	if len(s) > showMax {
		return plan.Quote(s[:showMax]) + "…"
	}
	return plan.Quote(s)
}

// written is a flag with its value as messages and plans show it.
func (f *flag) written(as, value string) string {
	switch {
	case f.isSwitch() && value == "true":
		return as
	case f.isSwitch(), f.values != nil:
		return as + "=" + show(value)
	}
	return as + " " + show(value)
}

// wrong is the error of one flag. given is the flag as it was written.
func (f *flag) wrong(given string, err error) *UsageError {
	e := &UsageError{Text: "cannot " + f.what + " (" + given + "): " + err.Error()}
	if !f.hidden {
		e.Help = f.usage() + "  " + f.help
	}
	var c cause
	if errors.As(err, &c) {
		e.Hint = c.hint
	}
	return e
}

// usage is the flag with its argument, as help lists it.
func (f *flag) usage() string {
	s := "--" + f.name
	if f.short != "" {
		s = "-" + f.short + ", " + s
	}
	switch {
	case f.bare != "" && f.isSwitch():
		return s + "[=false]"
	case f.bare != "":
		return s + "[=" + f.arg + "]"
	case f.values != nil && f.arg != "":
		return s + "=" + f.arg
	case f.second != "":
		return s + " " + f.arg + " " + f.second
	case f.arg != "":
		return s + " " + f.arg
	}
	return s
}

// ---- causes: what is wrong with a value

// A cause is what stands behind the colon, and what to write instead.
type cause struct{ text, hint string }

func (c cause) Error() string { return c.text }

func causef(format string, a ...any) error { return cause{text: fmt.Sprintf(format, a...)} }

// all joins words: "a", "a and b", "a, b and c".
func all(words []string) string {
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + " and " + words[n]
}

func notOneOf(v string, words []string) error {
	return causef("%s is not one of %s", show(v), strings.Join(words, ", "))
}

func needsTwo(f *flag) error { return causef("it needs two arguments: %s %s", f.arg, f.second) }

func equalsInName() error { return causef("the name of a variable has no \"=\" in it") }

func noOther(v string) error { return causef("it holds in every box, and %s cannot be had", show(v)) }

func elsewhere(at string) error { return causef("every box has it at %s, and nowhere else", at) }

func alwaysSo() error { return causef("it cannot be switched off") }

func keptWhenDetached() error {
	return causef("how a box that was started with -d ended is kept until \"nobox rm\"")
}

func noValue() error { return causef("it needs a value") }

func flagForValue(v string) error {
	if v == "--" {
		return causef(`it needs a value before "--"`)
	}
	return causef("it needs a value, and %s is a flag", show(v))
}

func nulInValue() error { return causef("a NUL byte cannot be in it") }

func emptyPath() error { return causef("the path is empty") }

func tilde(v string) error {
	return cause{
		"the shell left the ~ as it is, which it replaces at the start of a word only",
		`write "$HOME` + plan.Printable(v[1:min(len(v), showMax)]) + `", or "./~" for a directory of that name`,
	}
}

func notAbsolute(v string) error {
	return causef(`%s is not an absolute path of the box: it starts with "/"`, show(v))
}

func mountAtRoot() error {
	return cause{"/ is the root itself", "--rootfs DIR takes another root"}
}

// rootAtRoot is err, or for the host's root at the box's what stands for it.
func rootAtRoot(src, dst string, err error) error {
	if src == "/" && dst == "/" {
		return cause{"/ is the root itself", "the host's tree is there without a flag, read-only; --home=ro shows the homes"}
	}
	return err
}

func noDestination(v string) error {
	if v == "" || v[0] != '/' {
		return causef("it needs a source and a destination: SRC:DST")
	}
	return cause{
		"it needs a source and a destination: SRC:DST",
		shellLine([]string{"-v", v + ":" + v}) + " shares it at the same path",
	}
}

func colonInDevice() error {
	return causef(`there is one ":" too many; a path with ":" in it cannot be written here`)
}

func colonInPath() error {
	return causef(`there is one ":" too many; a path with ":" in it can be given to --bind SRC DST, --ro-bind or --mount`)
}

func deviceAccess(may string) error {
	return causef("%s alone cannot be had: the box may do with a device what the host's permissions let the caller do", may)
}

func namedVolume(v string) error {
	return causef("%s would be a volume with a name, which nobox does not have; the path is %s", show(v), show("./"+v))
}

func notPair(v string) error {
	return causef("%s is not KEY=VALUE", show(v))
}

func unknownKey(k string, keys []string) error {
	return causef("%s is not one of %s", show(k), strings.Join(keys, ", "))
}

func missingKey(k string) error { return causef("it lacks %s=", k) }

func notForType(k, typ string) error { return causef("%s is not for type=%s", show(k), typ) }

func noRelabelling(o string) error {
	return causef("nobox does not relabel files for SELinux (%s): what the caller can read, the box can; leave it out", o)
}

func noPropagation(o string) error {
	return causef("mounts of a box and of the host do not show in one another (%s): a bind is always private", o)
}

func noChown(o string) error {
	return causef("nobox gives no file another owner (%s): root inside is the caller; --userns=keep-id is for a command that is to be the caller itself", o)
}

func noVolumeType() error {
	return causef("nobox has no volumes with a name: type=bind,source=./DIR shares a directory, type=tmpfs is one that goes with the box")
}

func needsReadOnly() error { return causef("bind-recursive=readonly goes with readonly alone") }

func noWritableBelow() error {
	return causef("bind-recursive=writable cannot be had: a read-only mount is so below its submounts too")
}

func contradiction(a, b string) error {
	return causef("%s and %s exclude one another", show(a), show(b))
}

func notSize(v string) error {
	return causef("%s is not a size: a number of bytes, or one with k, m, g or t behind it", show(v))
}

func zeroSize() error {
	return causef("a size of 0 would be no limit; without size= half of the memory is")
}

func zeroMemory() error { return causef("a limit of 0 would end the box at once") }

func littleMemory(v string) error {
	return causef("%s is too little for anything to run: 6m is the least", show(v))
}

func notCPUs(v string) error {
	return causef("%s is not a number of CPUs: from 0.01 up, such as 0.5 or 2", show(v))
}

func notCPUList(v string) error {
	return causef("%s is not a list of CPUs: numbers and ranges, such as 0-3,7", show(v))
}

func notWithin(v string, least, most uint64) error {
	return causef("%s is not a number from %d to %d", show(v), least, most)
}

func noRate(key string) error {
	unit := "SIZE"
	if strings.HasSuffix(key, "iops") {
		unit = "N"
	}
	return causef("it needs a path and a rate: PATH:%s", unit)
}

func notCgroup(v string) error {
	return causef("%s is not one of auto, systemd, off, nor the absolute path of a cgroup", show(v))
}

func notMode(v string) error {
	return causef("%s is not a mode: octal digits from 1 to 7777", show(v))
}

func noName() error { return causef("the name of the variable is missing: K=V") }

func emptyName() error { return causef("the name is empty") }

func longHostname(n int) error { return causef("%d bytes are too long a name: 64 at most", n) }

func badHostname(v string) error {
	return causef(`%s is not a host name: letters, digits and "_", and within "-" and "."`, show(v))
}

func notDuration(v string) error {
	return causef("%s is not a duration: seconds, or such as 90s, 5m or 1h30m", show(v))
}

func notLimit(v string) error {
	return causef("%s is not one of %s", show(v), strings.Join(limitNames(), ", "))
}

func noLimitValue(name string) error {
	return causef("the limit is missing: %s=SOFT[:HARD]", name)
}

func notLimitValue(v string) error {
	return causef("%s is not a limit: a number from 0 up, or unlimited", show(v))
}

func softAboveHard(soft, hard string) error {
	return causef("the soft limit %s is above the hard limit %s", soft, hard)
}

func noUser(id, name string) error {
	return causef("the %s is missing: a %s, or the name of a %s inside", name, id, name)
}

func notID(v, id string) error {
	return causef("%s is not a %s: a number from 0 to 4294967294", show(v), id)
}

func notUser(v, id, name string) error {
	return causef("%s is neither a %s nor the name of a %s", show(v), id, name)
}

func notDescriptor(v string) error {
	return causef("%s is not the number of an open file: 1 or more, as in --json-status-fd 3 3>FILE", show(v))
}

func notPreservable(v string) error {
	return causef("%s is not the number of an open file above 2", show(v))
}

func notCapability(v string) error {
	return cause{
		show(v) + " is no capability",
		"capabilities(7) has their names, such as NET_ADMIN; ALL is all of them",
	}
}

func alwaysHolds(name string) error { return causef("%s always holds", name) }

func noSeccompFile() error {
	return causef("it needs a file or unconfined: seccomp=FILE")
}

func notSecurityOpt(name string) error {
	return causef("%s is not one of seccomp, systempaths, no-new-privileges", show(name))
}

func notUnmask(name string) error {
	if name == "unmask" {
		return causef("the one value that it has here is ALL")
	}
	return causef("the one value that it has is unconfined")
}

func excluded(other string) error {
	return causef("%s was given too, and only one of --userns, -r, -c and --uidmap can be", other)
}

// ---- causes: -p

func notPort(v string) error {
	return causef("%s is not a port: a number from 1 to 65535", show(v))
}

func notProtocol(v string) error {
	return causef("%s is not a protocol: tcp or udp", show(v))
}

func noSCTP() error { return causef("sctp cannot be published, only tcp and udp") }

func noBoxPort() error {
	return causef("the port of the box is missing: [IP:]HOST:BOX")
}

func notAddress(v string) error {
	return causef("%s is not an address: 127.0.0.1, or [::1] in brackets", show(v))
}

func notIP(v string) error {
	return causef("%s is not an address, such as 192.0.2.53 or 2001:db8::53", show(v))
}

func localhostIsDefault() error {
	return cause{"localhost is a name, and an address stands here", "without one it is 127.0.0.1 and [::1]"}
}

func backwardRange(v string) error {
	return causef("the range %s ends before it begins", show(v))
}

func unequalRanges(host, box string) error {
	return causef("the ranges %s and %s are not of the same length", show(host), show(box))
}

func manyPorts(n int) error {
	return causef("%d ports are too many: %d at most", n, maxPublished)
}

func onlyTCPSocket() error { return causef("a socket of the file system stands for a tcp port") }

func longSocketPath(n int) error {
	return causef("%d bytes are too long a path for a socket: %d at most", n, maxSocketPath)
}

func longSocketName(n int) error {
	return causef("%d bytes are too long a name for a socket here: %d at most", n, maxSocketName)
}

// ---- causes: --env-file

func notAFile(name string) error {
	return causef("%s is neither a file nor a pipe", show(name))
}

func silentFifo(waited time.Duration) error {
	return causef("it is a fifo, and nobody has opened it for writing within %d s", int(waited.Seconds()))
}

// goneFile says why a box's variables cannot be had again.
func goneFile(name string) error {
	return causef("it was started with --env-file %s, which is no regular file and cannot be read again", show(name))
}

func onceFile(name string) error {
	return &UsageError{Text: fmt.Sprintf("cannot read the variables (--env-file %s): with -d the nobox that stays reads them again, and it is no regular file", show(name))}
}

func bigFile(most int) error {
	return causef("the file is over %d MiB", most>>20)
}

func nulInFile(at string) error {
	return cause{show(at) + ": there is a NUL byte in the line", "the file must not be UTF-16"}
}

func noNameInFile(at string) error {
	return causef("%s: the name of the variable is missing: K=V", show(at))
}

// spaceInName does not show the line: in a file of another kind it may be a
// secret.
func spaceInName(at string, export bool) error {
	c := cause{text: show(at) + ": there is a space in the name of the variable"}
	if export {
		c.hint = `the file is no shell script: leave "export" and the quotes out`
	}
	return c
}

// ---- configuration

// configError puts an error of package profiles into nobox's words.
func configError(err error) error {
	var e *profiles.Error
	if !errors.As(err, &e) {
		return err
	}
	u := &UsageError{Text: "cannot read the settings: " + e.Text, Hint: e.Hint}
	switch {
	case e.At.File != "" && e.At.Line == 0:
		u.Text = "cannot read the settings (" + e.At.File + "): " + e.Text
	case e.At.File != "":
		u.Text = "cannot read the settings (" + e.At.String() + "): " + e.Text
	}
	return u
}

func wrongSetting(s *profiles.Setting, text string) error {
	return &UsageError{Text: fmt.Sprintf("cannot take %s (%s): %s", show(s.Key), s.At, text)}
}

// unknownSetting is about a key that is no flag's name, or of one that is not
// for a file.
func unknownSetting(s *profiles.Setting, f *flag) error {
	e := &UsageError{Text: fmt.Sprintf("cannot take %s (%s): no setting is called so", show(s.Key), s.At)}
	switch {
	case f != nil && f.isKey():
		e.Hint = "a setting has the long name of its flag: " + f.name
	case f != nil && f.second != "":
		e.Hint = "volume has source and destination in one"
	case f != nil:
		e.Text = fmt.Sprintf("cannot take %s (%s): it is for the command line only", show(s.Key), s.At)
	default:
		if near := nearest(s.Key, keys()); near != "" {
			e.Hint = "did you mean " + near + "?"
		} else {
			e.Hint = seeHelp + ", whose long names the settings have"
		}
	}
	return e
}

func loosens(s *profiles.Setting, value, why string) error {
	return &UsageError{
		Text: fmt.Sprintf("cannot take %s = %s from the project (%s): a project may only tighten, and %s", show(s.Key), show(value), s.At, why),
		Hint: "a box may have written it: look at it; a profile of your own may set it, and --profile=none leaves it out",
	}
}

func unknownProfile(name, near string) error {
	e := &UsageError{Text: "cannot tell about " + show(name) + ": there is no such profile", Hint: `"nobox profiles" lists them`}
	if near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return e
}

// ---- the command line as a whole

const seeHelp = `"nobox help" lists the flags`

func unknownFlag(given, near string) error {
	e := &UsageError{Text: "unknown flag " + show(given), Hint: seeHelp}
	if near != "" {
		e.Text += ": did you mean " + near + "?"
		e.Hint = ""
		if f := lookup(near); f != nil {
			e.Help = f.usage() + "  " + f.help
		}
	}
	return e
}

// flagOfOthers is about a flag that nobox does not have and others have.
func flagOfOthers(given string, o *other) error {
	return &UsageError{Text: "unknown flag " + show(given) + ", one of " + o.whose, Hint: o.instead}
}

func laterVerb(args []string) error {
	return &UsageError{
		Text: "cannot " + args[0] + ": not in this version",
		Hint: "a command of that name runs so: " + shellLine([]string{"nobox", "--"}, args),
	}
}

func commandBehindDashes(given, rest []string) error {
	e := &UsageError{Text: fmt.Sprintf(`cannot run %s: a command stands behind "--": %s`,
		show(rest[0]), shellLine([]string{"nobox"}, given, []string{"--"}, rest))}
	if o := among(otherVerbs[:], rest[0]); o != nil && len(given) == 0 {
		e.Hint = "as one of " + o.whose + " verbs: " + o.instead
	} else if len(given) == 0 {
		for i := range verbs {
			if v := &verbs[i]; !v.hidden && len(v.name) > 3 && slips(rest[0][:min(len(rest[0]), 40)], v.name) == 1 {
				e.Hint = "did you mean nobox " + v.name + "?"
			}
		}
	}
	return e
}

func onlyFlags(word string, right []string) error {
	return &UsageError{Text: fmt.Sprintf(`cannot make sense of %s: nothing but flags stands before "--": %s`,
		show(word), shellLine([]string{"nobox"}, right))}
}

func verbNotFirst(v *verb, given []string) error {
	return &UsageError{Text: fmt.Sprintf("cannot %s (%s): the verb stands first and takes no flags: nobox %s",
		v.name, plan.Printable(shellLine(given)), v.name)}
}

func verbWord(v *verb, word string) error {
	most := "nothing goes with it"
	if v.args != "" {
		most = "one word goes with it"
	}
	return &UsageError{
		Text: fmt.Sprintf("cannot %s (%s): %s", v.name, show(word), most),
		Help: v.usage() + "  " + v.help,
	}
}

func verbFlag(v *verb, given string, flags []string) error {
	e := &UsageError{Text: fmt.Sprintf("cannot %s (%s): its flags are %s", v.name, show(given), all(flags))}
	if near := nearest(given, flags); near != "" {
		e.Text = fmt.Sprintf("cannot %s (%s): did you mean %s?", v.name, show(given), near)
	}
	return e
}

func unknownLine(word, near string) error {
	e := &UsageError{Text: fmt.Sprintf("cannot tell about %s: nobox doctor has no such line", show(word)), Hint: "its lines are " + all(doctor.Names())}
	if near != "" {
		e.Hint = "did you mean " + near + "?"
	}
	return e
}

func whichShell() error {
	return &UsageError{Text: "cannot make completions: for which shell: nobox completion " + strings.Join(shells, "|")}
}

func unknownShell(word string) error {
	return &UsageError{Text: fmt.Sprintf("cannot make completions for %s: there are those for %s", show(word), all(shells))}
}

func unknownTopic(word, near string) error {
	e := &UsageError{Text: fmt.Sprintf("cannot help with %s: there is no such flag, verb or task", show(word)), Hint: seeHelp}
	if near != "" {
		e.Text += "; did you mean " + near + "?"
		e.Hint = ""
	}
	return e
}

func laterTopic(word string) error {
	return &UsageError{Text: "cannot help with " + show(word) + ": not in this version", Hint: seeHelp}
}

func (v *verb) usage() string {
	if v.args == "" {
		return "nobox " + v.name
	}
	return "nobox " + v.name + " " + v.args
}

// ---- for the shell

// shellLineMax is how long a command line a message proposes.
const shellLineMax = 1000

// shellLine is a command line that can be pasted into a shell.
func shellLine(words ...[]string) string {
	var b strings.Builder
	for _, ws := range words {
		for _, w := range ws {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			if b.Len()+len(w) > shellLineMax {
				b.WriteString("…")
				return b.String()
			}
			b.WriteString(shellQuote(w))
		}
	}
	return b.String()
}

// shellQuote quotes a word as bash and zsh read it, and in the plain cases
// every shell. No byte of it can drive a terminal.
func shellQuote(w string) string {
	plain, printable := w != "" && w[0] != '=', true
	for i := 0; i < len(w); {
		r, n := utf8.DecodeRuneInString(w[i:])
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			printable = false
		}
		if r >= utf8.RuneSelf || !isAlnum(w[i]) && strings.IndexByte("@%+=:,./-_", w[i]) < 0 {
			plain = false
		}
		i += n
	}
	switch {
	case plain:
		return w
	case printable:
		return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(w); {
		r, n := utf8.DecodeRuneInString(w[i:])
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(w[i])
		case r == utf8.RuneError && n == 1 || !strconv.IsPrint(r):
			for _, c := range []byte(w[i : i+n]) {
				// Three octal digits end by themselves, as hex ones do not in bash.
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(w[i : i+n])
		}
		i += n
	}
	b.WriteString("'")
	return b.String()
}
