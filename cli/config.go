package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nobox/plan"
	"nobox/profiles"
	"nobox/sandbox"
)

// The keys of nobox's configuration and of a project's .nobox.toml are the long
// names of the flags: what is added to the table is a key as well.

// tryKey is -v for what may not be there, as a profile for many machines needs
// it; bwrap has --bind-try.
const tryKey = "volume-try"

// isKey says whether a flag may stand in a file: what a command line alone can
// mean may not.
func (f *flag) isKey() bool {
	switch f.name {
	case "help", "version", "explain", "json-status-fd", "interactive", "profile", "name", "detach":
		return false
	}
	return f.second == "" && !f.hidden
}

// keys are all keys, for messages and completions.
func keys() []string {
	s := []string{tryKey}
	for i := range flags {
		if flags[i].isKey() {
			s = append(s, flags[i].name)
		}
	}
	slices.Sort(s)
	return s
}

// A fileSetting is a setting that was applied, for --explain.
type fileSetting struct {
	at, what string
}

// configure applies the layers to o, which holds nothing yet.
// Line is what the command line alone comes to.
func (o *Invocation) configure(files profiles.Files, layers []profiles.Layer, line *Invocation) error {
	said := map[string][]string{} // the values so far, by flag
	allowed := len(line.Options.AllowHosts) > 0
	for i := range layers {
		l := &layers[i]
		below := o.takeTargets()
		// A list of the command line's would become longer by a project's.
		o.hostsAllowed = allowed || len(said["allow-host"]) > 0
		for j := range l.Settings {
			if err := o.takeSetting(files, l, &l.Settings[j], said); err != nil {
				return err
			}
		}
		o.putBelow(below)
	}
	o.ids.fromFile = o.ids.by != ""
	return nil
}

func (o *Invocation) takeSetting(files profiles.Files, l *profiles.Layer, s *profiles.Setting, said map[string][]string) error {
	name := s.Key
	if name == tryKey {
		name = "volume"
	}
	f := lookup("--" + name)
	if f == nil || !f.isKey() || f.name != name {
		return unknownSetting(s, f)
	}
	values := s.Values
	if s.List && !f.repeat && len(values) != 1 {
		return wrongSetting(s, "one value is wanted, not an array")
	}
	if !s.List && f.repeat && !values[0].String {
		return wrongSetting(s, "strings are wanted, in quotes: "+s.Key+` = ["…"]`)
	}
	for _, v := range values {
		text := expand(f, v.Text, files.Home)
		switch {
		case f.isSwitch() && (v.String || text != "true" && text != "false"):
			return wrongSetting(s, "true or false is wanted, without quotes")
		case strings.IndexByte(text, 0) >= 0:
			return wrongSetting(s, "a NUL byte cannot be in it")
		}
		if s.Key == tryKey {
			src, _, _ := strings.Cut(text, ":")
			if !files.Exists(src) {
				continue
			}
		}
		o.spelled = "--" + f.name
		o.given = s.Key + " = " + show(v.Text) + ", " + s.At.String()
		if l.Project {
			atMost, why := o.tightens(f, text, said)
			if why != "" {
				return loosens(s, v.Text, why)
			}
			if atMost != sandbox.ShareDefault {
				o.Options.CwdAtMost, o.Options.CwdAtMostFrom = atMost, o.given
				o.fromFiles = append(o.fromFiles, fileSetting{s.At.String(), s.Key + " = " + show(v.Text) + origin(l)})
				continue
			}
		}
		if err := f.set(text, o); err != nil {
			e := f.wrong(o.given, err)
			e.Help = ""
			return e
		}
		said[f.name] = append(said[f.name], text)
		o.fromFiles = append(o.fromFiles, fileSetting{s.At.String(), s.Key + " = " + show(v.Text) + origin(l)})
	}
	return nil
}

func origin(l *profiles.Layer) string {
	switch {
	case l.Project:
		return " (the project)"
	case l.Profile != "":
		return " (profile " + l.Profile + ")"
	}
	return ""
}

// expand puts the home in the place of "~/" at the start of a path: no shell
// reads the file.
func expand(f *flag, v, home string) string {
	if f.takes != takesDir && f.takes != takesFile && f.takes != takesBind || !strings.HasPrefix(home, "/") {
		return v
	}
	home = strings.TrimSuffix(home, "/")
	if strings.HasPrefix(v, "~/") {
		v = home + v[1:]
	}
	if f.takes == takesBind {
		v = strings.ReplaceAll(v, ":~/", ":"+home+"/")
	}
	return v
}

// tightens says whether a project may set a flag: the box may get less by it,
// and not more. Why says why not. A working directory that is shared by itself
// may be lessened to atMost; were it set, it would be shared where it is not.
func (o *Invocation) tightens(f *flag, v string, said map[string][]string) (atMost sandbox.Share, why string) {
	before := said[f.name]
	last := ""
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	// rank is how far a word is from the tightest, -1 for one that is unknown.
	rank := func(otherwise string, words ...string) string {
		if last == "" {
			last = otherwise
		}
		have, want := slices.Index(words, last), slices.Index(words, v)
		if want < 0 || have < 0 || want > have {
			return "it is " + last + " otherwise, which is tighter"
		}
		return ""
	}
	switch f.name {
	case "mask", "cap-drop", "deny-host", "hostname", "workdir":
		return 0, ""
	case "read-only":
		if v == "true" {
			return 0, ""
		}
		return 0, "only true tightens"
	case "map-root-user", "map-current-user":
		if v == "true" && o.ids.by == "" {
			return 0, ""
		}
		return 0, "who one is inside is set already, or would be wider"
	case "cwd":
		if last == "" && (v == "ro" || v == "overlay") {
			var s sandbox.Share
			share(v, []string{"ro", "overlay"}, &s)
			return s, ""
		}
		if last == "" && v == "rw" {
			return 0, "it would be shared where it is not by itself"
		}
		return 0, rank("rw", "hidden", "ro", "overlay", "rw")
	case "home":
		return 0, rank("hidden", "hidden", "ro", "overlay", "rw")
	case "net":
		return 0, rank(defaultNet, "none", "user", "pasta", "slirp4netns", "host")
	case "timeout", "stop-timeout":
		d, err := duration(v)
		have := o.Options.Timeout
		if f.name == "stop-timeout" {
			have = o.Options.StopTimeout
		}
		if err == nil && (have == 0 && f.name == "timeout" && d > 0 || d > 0 && d <= have) {
			return 0, ""
		}
		return 0, "it is " + haveDuration(have) + " otherwise"
	case "memory", "memory-swap", "pids-limit", "cpus":
		if last == "" && v != "0" && v != "-1" && v != "unlimited" {
			return 0, ""
		}
		a, ok1 := amount(v)
		b, ok2 := amount(last)
		if ok1 && ok2 && a > 0 && a <= b {
			return 0, ""
		}
		return 0, "it is " + last + " otherwise"
	case "ulimit":
		name, _, _ := strings.Cut(v, "=")
		for _, u := range o.Options.Ulimits {
			if u.Name == name {
				return 0, "the limit is set already"
			}
		}
		return 0, ""
	case "allow-host":
		if !o.hostsAllowed {
			return 0, ""
		}
		return 0, "there is a list already, which it would make longer"
	}
	return 0, "it would give the box more, or could"
}

func haveDuration(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

// amount is a number, or a size.
func amount(v string) (float64, bool) {
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		return n, true
	}
	n, err := size(v)
	return float64(n), err == nil
}

// targets are the places that a layer mounts at.
type targets struct {
	binds   []sandbox.Bind
	tmpfs   []sandbox.Tmpfs
	devices []sandbox.Device
}

// takeTargets takes what is mounted so far away, to be put back below the next
// layer: of two at one place the later layer's counts, where within one it is
// an error.
func (o *Invocation) takeTargets() targets {
	t := targets{o.Options.Binds, o.Options.Tmpfs, o.Options.Devices}
	o.Options.Binds, o.Options.Tmpfs, o.Options.Devices = nil, nil, nil
	return t
}

func (o *Invocation) putBelow(t targets) {
	var taken []string
	for _, b := range o.Options.Binds {
		taken = append(taken, b.Target)
	}
	for _, m := range o.Options.Tmpfs {
		taken = append(taken, m.Target)
	}
	for _, d := range o.Options.Devices {
		taken = append(taken, d.Target)
	}
	binds := slices.DeleteFunc(t.binds, func(b sandbox.Bind) bool { return slices.Contains(taken, b.Target) })
	tmpfs := slices.DeleteFunc(t.tmpfs, func(m sandbox.Tmpfs) bool { return slices.Contains(taken, m.Target) })
	devices := slices.DeleteFunc(t.devices, func(d sandbox.Device) bool { return slices.Contains(taken, d.Target) })
	o.Options.Binds = append(binds, o.Options.Binds...)
	o.Options.Tmpfs = append(tmpfs, o.Options.Tmpfs...)
	o.Options.Devices = append(devices, o.Options.Devices...)
}

// profileList is what "nobox profiles" prints; with a name the settings of one.
func profileList(name string) (string, error) {
	list, err := profiles.List(profiles.Read())
	if err != nil {
		return "", configError(err)
	}
	var b strings.Builder
	for _, p := range list {
		if name == "" {
			row(&b, "  "+p.Name, 16, plan.Printable(p.About))
			continue
		}
		if p.Name != name {
			continue
		}
		b.WriteString(plan.Printable(p.Name+": "+p.About) + "\n")
		if p.Extends != "" {
			b.WriteString("  extends " + plan.Printable(p.Extends) + "\n")
		}
		for _, s := range p.Settings {
			for _, v := range s.Values {
				row(&b, "  "+plan.Printable(s.Key+" = "+show(v.Text)), 50, plan.Printable(s.At.String()))
			}
		}
		return b.String(), nil
	}
	if name != "" {
		var names []string
		for _, p := range list {
			names = append(names, p.Name)
		}
		return "", unknownProfile(name, nearest(name, names))
	}
	return b.String(), nil
}

// settingsText is where the settings of a plan come from, above it.
func settingsText(set []fileSetting) string {
	var b strings.Builder
	for _, s := range set {
		b.WriteString("setting: " + plan.Printable(s.at+": "+s.what) + "\n")
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
