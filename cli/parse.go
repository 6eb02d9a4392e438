package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"nobox/doctor"
	"nobox/profiles"
	"nobox/sandbox"
)

// DefaultStopTimeout is how long from TERM to KILL, as podman and docker have it.
const DefaultStopTimeout = 10 * time.Second

// An Invocation is a command line that was understood.
type Invocation struct {
	Verb  string   // "" runs a box; help, version, completion, man
	Topic string   // help: what about, a flag with its dashes or a verb, "" is the page; completion: the shell; doctor: the line
	Words []string // doctor: the flags; doctor-inside: the tasks

	Options                    sandbox.Options
	Explain                    string   // "", words, syscalls or json
	Review                     bool     // --review
	Args                       []string // of diff, apply, discard, rm-owned: the directory, and what follows
	JSON, Force, Yes, HandBack bool     // their flags
	StatusFD                   int      // 0 is none
	Verbose                    bool
	Name                       string        // of the box, "" for none
	Detach, Detached           bool          // -d; and it is the nobox that -d started
	Interactive                bool          // -i
	All, Follow                bool          // ps --all, logs --follow
	Profile                    string        // --profile
	fromFiles                  []fileSetting // what files have set, in order

	Close              []closing     // port: what to publish no more
	Names              []string      // the boxes that exec, stop, wait and inspect are about
	DetachKeys         []byte        // attach: what ends it
	NoStdin, NoSignals bool          // attach: its flags
	StopTime           time.Duration // stop: until the box is killed, negative for its own
	Report             string        // "" is none, "-" to stderr, else a file

	parsing
}

// parsing is what the set functions of the table need besides the value. Parse
// clears it.
type parsing struct {
	spelled string // the flag as it was written: "-v"
	given   string // the same with its value, fit to be shown: "-v /a:/b"

	ids struct { // the one of --userns, -r, -c, --uidmap in force
		by, given string
		fromFile  bool // yields to the command line
	}

	hostsAllowed bool // --allow-host, by what a project's settings are compared with

	seconds []*string // the second arguments of the flags that take two, in order; nil is none
	second  string    // that of the flag at hand

	removed, reaped bool   // --rm, --init
	apart, noUserns string // what asked for namespaces, and for no further ones

	fileEnv, env []sandbox.EnvVar
	readFile     func(name string) ([]byte, error)
}

// What a set function answers where there is nothing to set but the verb.
var (
	errHelp    = errors.New("help")
	errVersion = errors.New("version")
)

// Parse reads the arguments of a command line, the program's name left out. Its
// error is a *UsageError. Besides --env-file it reads nothing but args.
func Parse(args []string) (*Invocation, error) {
	var files envFiles
	o, err := parseWith(args, files.file)
	if err == nil && o.Detach && files.once != "" {
		return nil, onceFile(files.once)
	}
	return o, err
}

// ParseAgain reads those of a box that was started before.
func ParseAgain(args []string) (*Invocation, error) {
	files := envFiles{again: true}
	o, err := parseWith(args, files.file)
	switch {
	case files.once != "":
		return nil, goneFile(files.once)
	case err != nil || o.Verb != "":
		return nil, fmt.Errorf("it was started by another version of nobox, or with other settings: %v", err)
	}
	return o, nil
}

func parseWith(args []string, readFile func(string) ([]byte, error)) (*Invocation, error) {
	o, err := parse(args, readFile)
	if err != nil || o.Verb != "" {
		return o, err
	}
	// Before the first file is opened.
	if err := sandbox.CheckFiles(); err != nil {
		return nil, err
	}
	return configured(o, args, profiles.Read(), readFile)
}

// configured is o with the settings of files below its own; o itself where
// there are none.
func configured(o *Invocation, args []string, files profiles.Files, readFile func(string) ([]byte, error)) (*Invocation, error) {
	layers, err := profiles.Load(files, o.Profile)
	if err != nil {
		return nil, configError(err)
	}
	if len(layers) == 0 {
		return o, nil
	}
	return parseOver(args, readFile, func(over *Invocation) error { return over.configure(files, layers, o) })
}

func parse(args []string, readFile func(string) ([]byte, error)) (*Invocation, error) {
	return parseOver(args, readFile, nil)
}

// parseOver parses a command line over what below has set, if it is not nil.
func parseOver(args []string, readFile func(string) ([]byte, error), below func(*Invocation) error) (*Invocation, error) {
	if len(args) > 0 {
		if v := lookupVerb(args[0]); v != nil {
			return parseVerb(v, args[1:])
		}
		if slices.Contains(laterVerbs, args[0]) {
			return nil, laterVerb(args)
		}
	}
	o := &Invocation{parsing: parsing{readFile: readFile}}
	args, o.seconds = takeSeconds(args)
	o.Options.StopTimeout = DefaultStopTimeout
	var lower targets
	if below != nil {
		if err := below(o); err != nil {
			return nil, err
		}
		lower = o.takeTargets()
	}
	fs := flagSet(args)
	err := fs.ParseAll(args, func(f *pflag.Flag, value string) error {
		return o.setFlag(f.Value.(*spelling), value)
	})
	// What pflag has read, or could have if it did not get that far.
	own := beforeDashes(args)
	if err == nil {
		own = args[:len(args)-fs.NArg()]
	}
	if slip := misread(own); slip != nil {
		return nil, slip
	}
	switch {
	case err == errHelp:
		return &Invocation{Verb: "help"}, nil
	case err == errVersion:
		return &Invocation{Verb: "version"}, nil
	case err != nil:
		return nil, translate(err)
	}
	rest := fs.Args()
	if fs.ArgsLenAtDash() < 0 && len(rest) > 0 {
		return nil, strayWord(args[:len(args)-len(rest)], rest)
	}
	if len(rest) > 0 {
		o.Options.Command = rest
	}
	if below != nil {
		o.putBelow(lower)
	}
	switch {
	case o.removed && o.Detach:
		return nil, lookup("--rm").wrong("--rm", keptWhenDetached())
	case o.Options.EndWithParent && (o.Detach || o.Detached):
		return nil, lookup("--die-with-parent").wrong("--die-with-parent", contradiction("--die-with-parent", "-d"))
	case o.reaped && o.Options.AsPid1:
		return nil, lookup("--init").wrong("--init", contradiction("--init", "--as-pid-1"))
	case o.noUserns != "" && o.Options.AllowUserns:
		return nil, lookup("--disable-userns").wrong(o.noUserns, contradiction(o.noUserns, "--allow-userns"))
	case o.apart != "" && o.Options.Tier == sandbox.TierLandlock:
		return nil, lookup("--tier").wrong("--tier=landlock", contradiction("--tier=landlock", o.apart))
	case o.Options.EnvClear && o.Options.EnvHost:
		return nil, lookup("--clearenv").wrong("--clearenv", contradiction("--clearenv", "--env-host"))
	}
	o.Options.Detached = o.Detach
	o.Options.Shown = o.StatusFD != 0 || o.Name != "" || o.Detach
	o.Interactive = o.Interactive && o.Detach
	// As docker: a variable of a file yields to one of -e, wherever they stand.
	o.Options.Env = append(o.fileEnv, o.env...)
	o.parsing = parsing{}
	return o, nil
}

// flagSet registers each spelling of a flag that the arguments may hold as a
// pflag of its own: pflag would not tell which one was written. Every start
// pays for it, so those that cannot occur are left out. Nothing behind the
// first "--" is a flag: setFlag refuses a "--" as a value.
func flagSet(args []string) *pflag.FlagSet {
	var spellings []*spelling
	for i := range flags {
		f := &flags[i]
		add := func(name string) {
			if occurs(name, args) {
				spellings = append(spellings, &spelling{f, name})
			}
		}
		add(f.name)
		if f.short != "" {
			add(f.short)
		}
		for _, a := range f.aliases {
			add(a)
		}
	}
	fs := pflag.NewFlagSet("nobox", pflag.ContinueOnError)
	fs.SetInterspersed(false)
	for _, s := range spellings {
		p := &pflag.Flag{Name: s.word, Value: s, NoOptDefVal: s.bare}
		if s.isSwitch() && s.bare == "" {
			p.NoOptDefVal = "true"
		}
		if len(s.word) == 1 {
			// A long spelling that cannot be written.
			p.Name, p.Shorthand = "="+s.word, s.word
		}
		fs.AddFlag(p)
	}
	return fs
}

// occurs says whether a flag of that name may be among the arguments: a value
// that looks like one is taken for one.
func occurs(name string, args []string) bool {
	for _, a := range args {
		switch {
		case a == "--":
			return false
		case len(a) < 2 || a[0] != '-':
		case a[1] != '-':
			if len(name) == 1 && strings.IndexByte(a[1:], name[0]) >= 0 {
				return true
			}
		case strings.HasPrefix(a[2:], name) && (len(a) == 2+len(name) || a[2+len(name)] == '='):
			return true
		}
	}
	return false
}

// spelling is one way to write a flag. It is a pflag.Value in name only: values
// come by ParseAll.
type spelling struct {
	*flag
	word string // without its dashes
}

func (s *spelling) as() string     { return dashed(s.word) }
func (*spelling) String() string   { return "" }
func (*spelling) Type() string     { return "" }
func (*spelling) Set(string) error { panic("cli: spelling.Set: values come by ParseAll") }

// setFlag sets one flag that pflag found.
func (o *Invocation) setFlag(s *spelling, value string) error {
	f := s.flag
	o.spelled = s.as()
	o.given = f.written(o.spelled, value)
	lacking := f.second != ""
	if lacking && len(o.seconds) > 0 {
		if s := o.seconds[0]; s != nil {
			o.second, lacking = *s, false
			o.given += " " + show(o.second)
		}
		o.seconds = o.seconds[1:]
	}
	switch {
	case f.needsValue() && looksLikeFlag(value):
		return f.wrong(o.spelled, meant(flagForValue(value), s.word))
	case strings.IndexByte(value, 0) >= 0, strings.IndexByte(o.second, 0) >= 0:
		return f.wrong(o.given, nulInValue())
	}
	if lacking {
		return f.wrong(o.given, needsTwo(f))
	}
	err := f.set(value, o)
	o.second = ""
	switch {
	case err == nil, err == errHelp, err == errVersion:
		return err
	}
	return f.wrong(o.given, meant(err, f.name+"="+value))
}

// looksLikeFlag says that v is "--" or a flag of nobox's, which pflag would
// give to the flag before it as its value: a slip that would quietly make the
// box another one than was asked for.
func looksLikeFlag(v string) bool {
	if len(v) < 2 || v[0] != '-' {
		return false
	}
	if v == "--" {
		return true
	}
	name, _, _ := strings.Cut(v, "=")
	return lookup(name) != nil
}

// misread finds an argument that pflag takes for another than was meant, or
// drops without a word.
func misread(args []string) error {
	for _, a := range args {
		if len(a) < 3 || a[0] != '-' || a[1] == '-' {
			continue
		}
		// -explain would be -e xplain: a variable more, and a run.
		name, _, _ := strings.Cut(a[1:], "=")
		if f := lookup("--" + name); len(name) > 1 && f != nil {
			return unknownFlag(a, "--"+name)
		}
		// pflag leaves what looks like a flag of "go test" to package flag.
		for s := a[1:]; s != ""; s = s[1:] {
			if strings.HasPrefix(s, "test.") {
				return unknownFlag(a, "")
			}
			if f := lookup("-" + s[:1]); f == nil || f.needsValue() {
				break
			}
		}
	}
	return nil
}

// takeSeconds takes the second arguments of the flags that have two, as bwrap
// spells them, out of the arguments: pflag knows of one.
func takeSeconds(args []string) (rest []string, seconds []*string) {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		f := lookup(args[i])
		if f == nil || f.second == "" || i+2 >= len(args) || args[i+1] == "--" || looksLikeFlag(args[i+1]) || looksLikeFlag(args[i+2]) {
			if f != nil && f.second != "" {
				seconds = append(seconds, nil) // which setFlag says
			}
			continue
		}
		if rest == nil {
			args = slices.Clone(args)
			rest = args
		}
		second := args[i+2]
		seconds = append(seconds, &second)
		args = slices.Delete(args, i+2, i+3)
		i++
	}
	return args, seconds
}

// beforeDashes are the arguments before the first "--". There nobox's own end:
// setFlag refuses a "--" as a value.
func beforeDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// translate puts an error of pflag's into nobox's words.
func translate(err error) error {
	var (
		usage   *UsageError
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		syntax  *pflag.InvalidSyntaxError
	)
	switch {
	case errors.As(err, &usage):
		return usage
	case errors.As(err, &unknown):
		letters := unknown.GetSpecifiedShortnames()
		if letters == "" {
			return unknownLong(unknown.GetSpecifiedName())
		}
		return unknownShort(letters)
	case errors.As(err, &missing):
		s := missing.GetFlag().Value.(*spelling)
		return s.wrong(s.as(), meant(noValue(), s.word))
	case errors.As(err, &syntax):
		return unknownFlag(syntax.GetSpecifiedFlag(), "")
	}
	return &UsageError{Text: err.Error()}
}

func unknownLong(name string) error {
	if o := ofOthers(name); o != nil {
		return flagOfOthers("--"+name, o)
	}
	if near := nearestFlag(name); near != "" {
		return unknownFlag("--"+name, "--"+near)
	}
	return unknownFlag("--"+name, "")
}

// unknownShort is about the first of the letters, the rest of one argument.
func unknownShort(letters string) error {
	_, n := utf8.DecodeRuneInString(letters)
	if o := ofOthers(letters[:n]); o != nil {
		return flagOfOthers("-"+letters[:n], o)
	}
	return unknownFlag("-"+letters[:n], "")
}

// nearestFlag is the name that was most likely meant: the one that starts so,
// else the one with the fewest slips in it.
func nearestFlag(name string) string {
	if len(name) < 2 || len(name) > 40 {
		return ""
	}
	best, least := "", len(name)/3+1
	for i := range flags {
		f := &flags[i]
		if f.hidden {
			continue
		}
		for _, n := range append([]string{f.name}, f.aliases...) {
			if len(n) == 1 {
				continue
			}
			d := slips(name, n)
			if len(name) > 2 && strings.HasPrefix(n, name) {
				d = 0
			}
			if d < least {
				best, least = n, d
			}
		}
	}
	return best
}

// slips counts the letters to add, leave out, replace or swap with the next one
// to get from a to b.
func slips(a, b string) int {
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	two, one, row := rows[0], rows[1], rows[2]
	for j := range one {
		one[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			differ := 0
			if a[i] != b[j] {
				differ = 1
			}
			row[j+1] = min(row[j]+1, one[j+1]+1, one[j]+differ)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], two[j-1]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}

// strayWord is about a first word before any "--": rest[0], with the flags
// before it.
func strayWord(given, rest []string) error {
	word := rest[0]
	if v := lookupVerb(word); v != nil {
		return verbNotFirst(v, given)
	}
	// With a command behind a later "--" and nothing but flags between, it is
	// the word that does not belong.
	if i := slices.Index(rest, "--"); i > 0 && i+1 < len(rest) {
		between := rest[1:i]
		fs := flagSet(between)
		nothing := func(*pflag.Flag, string) error { return nil }
		if fs.ParseAll(between, nothing) == nil && fs.NArg() == 0 && (len(between) > 0 || rest[i+1] == "" || rest[i+1][0] != '-') {
			return onlyFlags(word, slices.Concat(given, between, rest[i:]))
		}
	}
	return commandBehindDashes(given, rest)
}

// parseVerb reads what stands behind a verb.
func parseVerb(v *verb, args []string) (*Invocation, error) {
	o := &Invocation{Verb: v.name}
	if v.takesDir {
		return o, o.dirVerb(v, args)
	}
	for _, a := range args {
		if a == "-h" && v.name != "help" || a == "--help" && v.name != "help" {
			return &Invocation{Verb: "help", Topic: v.name}, nil
		}
	}
	switch v.name {
	case "doctor":
		return parseDoctor(v, args)
	case doctor.InsideVerb, sandbox.RemoveVerb:
		o.Words = args
		return o, nil
	case "ps", "exec", "port", "attach", "stop", "inspect", "wait", "logs", "rm":
		return parseBoxVerb(v, args)
	}
	most := 0
	if v.args != "" {
		most = 1
	}
	if len(args) > most {
		return nil, verbWord(v, args[most])
	}
	switch v.name {
	case "help":
		if len(args) == 0 {
			return o, nil
		}
		t, err := topic(args[0])
		if err != nil {
			return nil, err
		}
		o.Topic = t
	case "sweep-cgroup":
		if len(args) > 0 {
			o.Topic = args[0]
		}
	case "profiles":
		if len(args) > 0 {
			o.Topic = args[0]
		}
	case "completion":
		if len(args) == 0 {
			return nil, whichShell()
		}
		if !slices.Contains(shells, args[0]) {
			return nil, unknownShell(args[0])
		}
		o.Topic = args[0]
	}
	return o, nil
}

// parseDoctor reads the flags of nobox doctor and the name of a line.
func parseDoctor(v *verb, args []string) (*Invocation, error) {
	o := &Invocation{Verb: v.name}
	for _, a := range args {
		switch {
		case slices.Contains(doctorFlags, a):
			o.Words = append(o.Words, a)
		case strings.HasPrefix(a, "-"):
			return nil, verbFlag(v, a, doctorFlags)
		case o.Topic != "":
			return nil, verbWord(v, a)
		case !slices.Contains(doctor.Names(), a):
			return nil, unknownLine(a, nearest(a, doctor.Names()))
		default:
			o.Topic = a
		}
	}
	return o, nil
}

// doctorFlags are those of nobox doctor, which are no flags of a box.
var doctorFlags = []string{"--json", "--apparmor-profile"}

// nearest is the word with the fewest slips in v, "" if all have many.
func nearest(v string, words []string) string {
	best, least := "", len(v)/3+1
	for _, w := range words {
		d := slips(v[:min(len(v), 40)], w)
		if len(v) > 2 && strings.HasPrefix(w, v) {
			d = 0
		}
		if d < least {
			best, least = w, d
		}
	}
	return best
}

// dirVerb reads what stands behind a verb of kept changes or of a directory:
// its flags, the directory, and what else it takes.
func (o *Invocation) dirVerb(v *verb, args []string) error {
	words := false
	for _, a := range args {
		switch {
		case words || len(a) < 2 || a[0] != '-':
			if a == "" {
				return &UsageError{Text: "cannot " + v.name + `: "" is not a path`, Help: v.usage()}
			}
			if strings.IndexByte(a, 0) >= 0 {
				return &UsageError{Text: "cannot " + v.name + ": a NUL byte cannot be in a path", Help: v.usage()}
			}
			o.Args = append(o.Args, a)
		case a == "--":
			words = true
		case a == "-h", a == "--help":
			*o = Invocation{Verb: "help", Topic: v.name}
			return nil
		case !slices.Contains(v.flags, a):
			return &UsageError{Text: fmt.Sprintf("cannot %s: %s is no flag of it", v.name, show(a)), Help: v.usage()}
		case a == "--json":
			o.JSON = true
		case a == "--force":
			o.Force = true
		case a == "--yes":
			o.Yes = true
		case a == "--hand-back":
			o.HandBack = true
		}
	}
	switch {
	case len(o.Args) == 0:
		return &UsageError{Text: "cannot " + v.name + ": it needs a directory", Help: v.usage()}
	case len(o.Args) > 1 && !v.more:
		return &UsageError{Text: fmt.Sprintf("cannot %s: %s is one directory too many", v.name, show(o.Args[1])), Help: v.usage()}
	}
	return nil
}

// topic is what "nobox help WORD" is about: a flag with its dashes, or a verb.
func topic(word string) (string, error) {
	bare := strings.TrimLeft(word, "-")
	switch {
	case lookup(word) != nil:
		return word, nil
	case lookupVerb(word) != nil, slices.Contains(helpTopics(), word):
		return word, nil
	case bare != "" && lookup(dashed(bare)) != nil:
		return dashed(bare), nil
	case slices.Contains(laterVerbs, word):
		return "", laterTopic(word)
	}
	if o := ofOthers(bare); o != nil && word != bare {
		return "", flagOfOthers(word, o)
	}
	near := nearestFlag(bare)
	if near != "" {
		near = "--" + near
	} else {
		near = nearest(word, append(helpTopics(), verbNames()...))
	}
	return "", unknownTopic(word, near)
}

// chooseIDs sets how ids are mapped. The ways exclude one another; of the same
// one the last counts.
func (o *Invocation) chooseIDs(by string, mode sandbox.Userns) error {
	if o.ids.by != "" && o.ids.by != by {
		if !o.ids.fromFile {
			return excluded(o.ids.given)
		}
		o.Options.UIDMap, o.Options.GIDMap = nil, nil
	}
	o.ids.fromFile = false
	o.ids.by, o.ids.given = by, o.given
	o.Options.Userns, o.Options.UsernsFrom = mode, o.given
	return nil
}

// switchIDs is chooseIDs for a switch, which may be taken back.
func (o *Invocation) switchIDs(v, by string, mode sandbox.Userns) error {
	var on bool
	if err := onOff(v, &on); err != nil {
		return err
	}
	if on {
		return o.chooseIDs(by, mode)
	}
	if o.ids.by == by {
		o.ids.by, o.ids.given = "", ""
		o.Options.Userns, o.Options.UsernsFrom = sandbox.UsernsAuto, ""
	}
	return nil
}

// mapIDs adds a row to a map.
func (o *Invocation) mapIDs(v string, rows *[]sandbox.MapRequest) error {
	if err := o.chooseIDs("--uidmap", sandbox.UsernsAuto); err != nil {
		return err
	}
	o.Options.UsernsFrom = "" // the rows have their own
	m, err := mapRequest(o.spelled, v)
	if err != nil {
		return err
	}
	*rows = append(*rows, m)
	return nil
}

// amount sets an amount that a flag asked for.
func (o *Invocation) amount(a *sandbox.Amount, v uint64, err error) error {
	if err == nil {
		*a = sandbox.Amount{Value: v, From: o.given}
	}
	return err
}

// device adds a limit on a disk.
func (o *Invocation) device(v, key string) error {
	d, err := deviceLimit(v, key)
	if err != nil {
		return err
	}
	d.From = o.given
	o.Options.Limits.Devices = append(o.Options.Limits.Devices, d)
	return nil
}

// setUlimit adds a limit, in the place of an earlier one of that name.
func (o *Invocation) setUlimit(u sandbox.Ulimit) {
	for i := range o.Options.Ulimits {
		if o.Options.Ulimits[i].Name == u.Name {
			o.Options.Ulimits[i] = u
			return
		}
	}
	o.Options.Ulimits = append(o.Options.Ulimits, u)
}
