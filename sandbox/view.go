package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/mounts"
	"nobox/plan"
	"nobox/slirp"
)

// A view is what the box sees, compiled from the options, and where the
// command starts.
type view struct {
	mounts.View
	view   *mounts.View // &View, to say whose field is meant
	start  string
	notes  []string
	hidden []string // places that nothing of the host shows through
	err    error
}

// QuestionsOf is what a run of o needs to know before it can ask about places.
func QuestionsOf(o Options) host.Questions {
	q := host.Questions{
		Ranges:  o.Userns != UsernsRoot || len(o.UIDMap)+len(o.GIDMap) > 0,
		Secrets: masksSecrets(&o),
		Cwd:     o.Rootfs == "" || o.Cwd != ShareDefault,
	}
	q.Caps = o.Tier == TierLandlock
	cgroupQuestions(&o, &q)
	if o.Rootfs != "" {
		q.Sources = append(q.Sources, string(o.Rootfs))
	}
	if o.OverlayDir != "" {
		q.Sources = append(q.Sources, o.OverlayDir)
		q.Keep = o.OverlayDir
	}
	q.Program = helpedBy(&o).HelperName()
	q.Ports = len(o.Publish) > 0
	for _, b := range o.Binds {
		q.Sources = append(q.Sources, b.Source)
	}
	for _, d := range o.Devices {
		q.Sources = append(q.Sources, d.Source)
	}
	for _, m := range o.Masks {
		q.Cwd = q.Cwd || !strings.HasPrefix(m.Path, "/")
	}
	for _, fd := range o.PreserveFDs {
		q.FDs = append(q.FDs, fd.FD)
	}
	q.Cwd = q.Cwd || o.NetLog != ""
	if o.Tier == TierNamespaces && (o.Net == NetDefault || o.Net == NetUser) {
		q.Sources = append(q.Sources, readByNetwork[:]...)
		q.Tun = true
	}
	return q
}

// MoreQuestions is what is left to ask once QuestionsOf is answered.
func MoreQuestions(o Options, f *host.Facts) host.Questions {
	v := newView(&o, f)
	q := host.Questions{Places: v.Places(f), Lists: v.Lists(f)}
	for _, e := range v.Entries {
		if e.Overlay {
			q.Places = append(q.Places, host.Place{Base: "/", Path: string(e.Source)})
		}
	}
	if sh := lookup(f.Env, "SHELL", ""); len(o.Command) == 0 && strings.HasPrefix(sh, "/") {
		q.Places = append(q.Places, host.Place{Base: v.base(), Path: path.Clean(sh)})
	}
	if o.User != "" {
		q.Files = append(q.Files, host.Place{Base: v.base(), Path: "/etc/passwd"}, host.Place{Base: v.base(), Path: "/etc/group"})
	}
	switch netOf(&o, f) {
	case NetHost, NetNS:
		q.Files = append(q.Files, host.Place{Path: "/etc/hosts"}, host.Place{Path: "/etc/resolv.conf"})
	case NetUser:
		q.Files = append(q.Files, host.Place{Path: "/etc/resolv.conf"})
	}
	for _, s := range secrets(&o, f) {
		if host.IsGlob(s) {
			q.Globs = append(q.Globs, host.Glob{Pattern: s, Base: "/"})
		} else {
			q.Places = append(q.Places, host.Place{Base: "/", Path: s})
			q.Globs = append(q.Globs, linksIn(s)) // for the links in it
		}
	}
	for _, m := range o.Masks {
		q.Globs = append(q.Globs, host.Glob{Pattern: maskPath(m, f), Base: v.base()})
	}
	if len(q.Globs) > 0 {
		q.Shown = v.shown()
	}
	for _, p := range ownPaths(f) {
		q.Places = append(q.Places, host.Place{Base: "/", Path: p, Make: true})
	}
	return q
}

func (v *view) base() plan.HostPath {
	if v.Rootfs == "" {
		return "/"
	}
	return v.Rootfs
}

// hides says whether a path of the root is behind one of nobox's own empty
// file systems.
func (v *view) hides(p string) bool {
	for _, h := range v.hidden {
		if within(h, p) {
			return true
		}
	}
	return false
}

// within says whether p is dir or below it.
func within(dir, p string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// newView compiles the places of the box. It needs only the answers to
// QuestionsOf.
func newView(o *Options, f *host.Facts) *view {
	v := &view{start: "/"}
	v.view = &v.View
	v.HostNet = o.Net == NetHost || o.Net == NetNS
	v.Terminal = wantsTerminal(o, f)
	v.Streams = f.Streams.TTY
	v.Etc, v.ReadOnly = etc(o, f), o.ReadOnly
	v.Protect, v.FoundBy = protected(f)
	if o.Rootfs != "" {
		v.Rootfs, v.From = f.Sources[string(o.Rootfs)].Resolved, "--rootfs"
		v.RootPerm = f.Sources[string(o.Rootfs)].Perm
	}
	if o.Overlay {
		v.Overlay = "--overlay"
	}
	if o.OverlayDir != "" {
		s := f.Sources[o.OverlayDir]
		v.Keep = &mounts.Keep{Dir: s.Resolved, From: o.OverlayDirFrom, NoAttrs: f.NoAttrs, Err: f.KeepErr}
		v.Hide = append(v.Hide, mounts.Thing{Path: s.Resolved, Kind: host.Dir, From: o.OverlayDirFrom, Why: "what is kept is not the box's to touch", Stays: true})
	}
	empty := func(at, why string, mode uint32) {
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(at), What: mounts.Empty, Mode: mode, Why: why})
		v.hidden = append(v.hidden, at)
	}
	for _, at := range []string{"/tmp", "/var/tmp"} {
		empty(at, "the box's own, in memory", 0o1777)
	}
	empty("/run", "the box's own: the host's has sockets that lead out", 0o755)

	for _, b := range o.Binds {
		s := f.Sources[b.Source]
		if b.Try && errors.Is(s.Err, unix.ENOENT) {
			continue
		}
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(b.Target), What: mounts.Bind, Source: s.Resolved,
			SourceKind: s.Kind, ReadOnly: b.ReadOnly, SourcePerm: s.Perm, NoExec: b.NoExec, Flat: b.Flat, Overlay: b.Overlay, From: b.From})
		if s.Err != nil && v.err == nil {
			v.err = &Error{What: fmt.Sprintf("bind %s at %s", plan.Quote(b.Source), plan.Quote(b.Target)), Flag: b.From, Cause: s.Err}
		}
	}
	for _, t := range o.Tmpfs {
		mode := t.Mode
		if mode == 0 {
			mode = 0o1777
		}
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(t.Target), What: mounts.Tmpfs, Size: t.Size, Mode: mode,
			ReadOnly: t.Options.ReadOnly, NoExec: t.Options.NoExec, From: t.From})
	}
	for _, d := range o.Devices {
		s := f.Sources[d.Source]
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(d.Target), What: mounts.Device, Source: s.Resolved, SourceKind: s.Kind, From: d.From})
		if s.Err != nil && v.err == nil {
			v.err = &Error{What: "share the device " + plan.Quote(d.Source), Flag: d.From, Cause: s.Err}
		}
	}
	if o.Rootfs == "" {
		v.homes(o, f)
	}
	v.cwd(o, f)
	v.masks(o, f)
	if o.Workdir != "" {
		v.start = o.Workdir
	}
	return v
}

// maskPath is the absolute path of a mask.
func maskPath(m Mask, f *host.Facts) string {
	if strings.HasPrefix(m.Path, "/") {
		return path.Clean(m.Path)
	}
	return path.Join("/", string(f.Cwd), m.Path)
}

// masks adds those of --mask: a path is a place of its own, what a pattern
// found are things.
func (v *view) masks(o *Options, f *host.Facts) {
	for _, m := range o.Masks {
		p := maskPath(m, f)
		bad := func(cause error, hints ...string) {
			if v.err == nil {
				v.err = &Error{What: "mask " + plan.Quote(m.Path), Flag: m.From, Cause: cause, Hints: hints}
			}
		}
		if !strings.HasPrefix(m.Path, "/") && f.CwdErr != nil {
			bad(f.CwdErr)
			continue
		}
		g := f.Globs[host.Glob{Pattern: p, Base: v.base()}]
		if p == string(f.Cwd) && v.shares(p) {
			bad(errors.New("it is the working directory, which the box shares"), "--cwd=hidden does not share it")
			continue
		}
		if !host.IsGlob(p) && (len(g.Matches) != 1 || !g.Matches[0].Linked) {
			v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(p), What: mounts.Mask, From: m.From})
			continue
		}
		if _, err := path.Match(p, ""); err != nil {
			bad(errors.New("it is no pattern: a bracket is not closed, or a backslash ends it"))
			continue
		}
		// What a flag shares still shows, as below the mask of a directory, but a
		// pattern that fits nothing else would mask nothing.
		shared := 0
		for _, found := range g.Matches {
			at := string(found.At)
			switch flag := v.sharedBy(at); {
			case at == string(f.Cwd) && v.shares(at):
				bad(fmt.Errorf("%s fits it, the working directory, which the box shares", plan.Quote(at)), "--cwd=hidden does not share it")
			case flag != "":
				if shared++; shared == len(g.Matches) {
					bad(fmt.Errorf("only what is shared fits it: %s (%s)", plan.Quote(at), flag))
				}
			}
			v.Hide = append(v.Hide, mounts.Thing{Path: found.Source, Kind: found.Kind, From: m.From, Stays: true})
		}
		if g.Err != nil {
			v.notes = append(v.notes, fmt.Sprintf("%s: %s could not be looked into: %v", m.From, plan.Quote(string(g.At)), g.Err))
		}
	}
}

// shares says whether something of the host is bound at a place.
func (v *view) shares(at string) bool {
	for _, e := range v.Entries {
		if e.What == mounts.Bind && string(e.At) == at {
			return true
		}
	}
	return false
}

// sharedBy is the flag that binds something of the host at a place, if one does.
func (v *view) sharedBy(at string) string {
	for _, e := range v.Entries {
		if e.What == mounts.Bind && string(e.At) == at {
			return e.From
		}
	}
	return ""
}

// shown is what the box shows where, for patterns.
func (v *view) shown() []host.Shown {
	out := []host.Shown{{At: "/proc"}, {At: "/sys"}, {At: "/dev"}}
	for _, e := range v.Entries {
		switch e.What {
		case mounts.Bind:
			if e.SourceKind == host.Dir {
				out = append(out, host.Shown{At: e.At, Source: e.Source})
			}
		case mounts.Tmpfs, mounts.Empty:
			out = append(out, host.Shown{At: e.At})
		}
	}
	return out
}

// homes hides the homes, or shares the caller's.
func (v *view) homes(o *Options, f *host.Facts) {
	for _, h := range []string{"/home", "/root"} {
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(h), What: mounts.Empty, Mode: 0o755, Why: "homes stay outside"})
		v.hidden = append(v.hidden, h)
	}
	if len(f.Homes) > 0 && o.Home.shares() {
		h, flag := f.Homes[0], "--home="+shareName(o.Home)
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(h), What: mounts.Bind, Source: h, SourceKind: host.Dir,
			SourcePerm: perm(f, h), ReadOnly: o.Home == ShareRO, Overlay: o.Home == ShareOverlay, From: flag})
		for _, s := range secrets(o, f) {
			if host.IsGlob(s) {
				for _, found := range f.Globs[host.Glob{Pattern: s, Base: "/"}].Matches {
					v.Hide = append(v.Hide, mounts.Thing{Path: found.Source, Kind: found.Kind, From: flag, Why: "a secret"})
				}
				continue
			}
			// What lies in a secret may be a link to it: dotfiles are kept so.
			for _, found := range f.Globs[linksIn(s)].Matches {
				at := string(found.Source)
				if !within(s, at) && (found.Kind == host.File || found.Kind == host.Dir && within(string(h), at) && at != string(h)) {
					v.Hide = append(v.Hide, mounts.Thing{Path: found.Source, Kind: found.Kind, From: flag, Why: "a secret links to it"})
				}
			}
			if pf := f.Places[host.Place{Base: "/", Path: s}]; pf.Kind != host.None {
				v.Hide = append(v.Hide, mounts.Thing{Path: plan.HostPath(pf.Resolved), Kind: pf.Kind, From: flag, Why: "a secret"})
			}
		}
	}
	for i, h := range f.Homes {
		if i == 0 && o.Home.shares() {
			continue
		}
		p := string(h)
		e := mounts.Entry{At: plan.BoxPath(p), What: mounts.Make, Mode: 0o755, Why: "an empty home"}
		if !v.hides(p) {
			e.What = mounts.Empty
			v.hidden = append(v.hidden, p)
		}
		v.Entries = append(v.Entries, e)
	}
	for _, l := range f.HomeLinks {
		v.Entries = append(v.Entries, mounts.Entry{At: plan.BoxPath(l.Name), What: mounts.Link, Target: string(l.To), Why: "another name of the home"})
	}
}

// home is where a box starts whose working directory is not shared.
func (v *view) home(f *host.Facts) string {
	if len(f.Homes) > 0 {
		return string(f.Homes[0])
	}
	return "/"
}

// own are the places that nobox fills itself: a working directory there is
// not the host's.
var own = [...]string{"/proc", "/sys", "/dev"}

// cwd shares the working directory, unless that would share the home or more.
func (v *view) cwd(o *Options, f *host.Facts) {
	mode := o.Cwd
	if mode == ShareHidden || mode == ShareDefault && o.Rootfs != "" {
		if o.Rootfs == "" {
			v.start = v.home(f)
		}
		return
	}
	from := flagIf(mode != ShareDefault, "--cwd="+shareName(mode))
	if f.CwdErr != nil {
		if v.err != nil {
			return
		}
		cause := f.CwdErr
		if errors.Is(cause, unix.ENOENT) {
			cause = errors.New("it was deleted")
		}
		v.err = &Error{What: "share the working directory", Flag: from, Cause: cause,
			Hints: []string{"cd to a directory that exists, or give --cwd=hidden"}}
		return
	}
	cwd := string(f.Cwd)
	if o.Rootfs != "" && cwd == "/" {
		v.err = &Error{What: "share the working directory", Flag: from, Cause: errors.New("it is the host's root directory, and the box has another"), Hints: []string{"cd to another directory"}}
		return
	}
	if mode == ShareDefault {
		why := notShared(cwd, f)
		if why == "" {
			if why = v.keptBack(cwd); why != "" {
				v.start = v.home(f)
				if o.Workdir == "" {
					v.notes = append(v.notes, notSharedNote(cwd, why, v.start))
				}
				return
			}
		}
		if why != "" {
			v.start = v.home(f)
			if within("/tmp", cwd) || within("/run", cwd) || within("/var/tmp", cwd) {
				v.start = cwd
			}
			if v.bound(cwd, f) || o.Home.shares() && within(v.home(f), cwd) {
				v.start = cwd
				return
			}
			if o.Workdir == "" {
				v.notes = append(v.notes, notSharedNote(cwd, why, v.start))
			}
			return
		}
	}
	if cwd == "/" {
		v.start = "/"
		other := ""
		switch {
		case mode == ShareRW && o.ReadOnly, mode == ShareOverlay && o.ReadOnly:
			other = "--read-only makes read-only"
		case mode == ShareRW && o.Overlay:
			other = "--overlay keeps from being written"
		case mode == ShareRW:
			v.HostRW = from
		case mode == ShareOverlay && v.Overlay == "":
			v.Overlay = from
		}
		if other != "" {
			v.err = &Error{What: "share the working directory", Flag: from, Cause: errors.New("it is /, which " + other),
				Hints: []string{"cd to another directory, or give one of the two"}}
		}
		return
	}
	for _, p := range own {
		if within(p, cwd) {
			v.err = &Error{What: "share the working directory", Flag: from, Cause: fmt.Errorf("%s cannot be shared: the box has its own", plan.Quote(cwd)),
				Hints: []string{"cd to another directory"}}
			return
		}
	}
	v.start = cwd
	asked := mode != ShareDefault
	if !asked && o.CwdAtMost != ShareDefault {
		mode, from = o.CwdAtMost, o.CwdAtMostFrom
	}
	e := mounts.Entry{At: f2box(f.Cwd), What: mounts.Bind, Source: f.Cwd, SourceKind: host.Dir, SourcePerm: perm(f, f.Cwd), ReadOnly: mode == ShareRO, Overlay: mode == ShareOverlay, From: from, Why: "the working directory"}
	for _, x := range v.Entries {
		if !asked && x.What == mounts.Bind && x.At == e.At && x.From != "" {
			return // a flag shares it in its own way
		}
	}
	v.Entries = append(v.Entries, e)
}

// keptBack says why a working directory is not shared that shows what nobox
// keeps from a box; "" if it does not.
func (v *view) keptBack(cwd string) string {
	for _, h := range v.Hide {
		if within(string(h.Path), cwd) {
			return "is masked by " + h.From
		}
	}
	for _, t := range v.Protect {
		if t.Kind == host.None && within(cwd, string(t.Path)) {
			return "is where " + plan.Quote(string(t.Path)) + " would be made, nobox's own"
		}
	}
	return ""
}

func notSharedNote(cwd, why, start string) string {
	s := fmt.Sprintf("the working directory is not shared: %s %s; the box starts in ", plan.Quote(cwd), why)
	if start == "/" {
		s += "/"
	} else {
		s += "its own empty " + plan.Quote(start)
	}
	for _, p := range own {
		if within(p, cwd) {
			return s
		}
	}
	return s + " (--cwd=rw shares it)"
}

// bound says whether a flag binds something at or above a path.
func (v *view) bound(p string, f *host.Facts) bool {
	for _, e := range v.Entries {
		if e.What == mounts.Bind && within(string(e.At), p) {
			return true
		}
	}
	return false
}

func f2box(p plan.HostPath) plan.BoxPath { return plan.BoxPath(p) }

// notShared says why a working directory is not shared unless asked for, ""
// if it is.
func notShared(cwd string, f *host.Facts) string {
	for _, h := range f.Homes {
		if cwd == string(h) {
			return "is the home"
		}
		if within(cwd, string(h)) {
			return "holds the home"
		}
	}
	if cwd == "/" {
		return "is the root directory"
	}
	for _, p := range []string{"/home", "/root"} {
		if cwd == p {
			return "holds homes"
		}
	}
	for _, p := range own {
		if within(p, cwd) {
			return "is the system's"
		}
	}
	// Sockets that lead out of the box lie here, and in /run/user/UID.
	for _, p := range []string{"/tmp", "/var/tmp", "/run", "/run/user"} {
		if cwd == p {
			return "is shared by the whole host"
		}
	}
	if dir, base := path.Split(cwd); dir == "/run/user/" && base != "" {
		return "holds the sockets of the session"
	}
	return ""
}

func shareName(s Share) string {
	return [...]string{"", "rw", "ro", "hidden", "overlay"}[s]
}

// shares says whether a box gets something of the directory.
func (s Share) shares() bool { return s == ShareRW || s == ShareRO || s == ShareOverlay }

// perm is the mode of a directory of the host.
func perm(f *host.Facts, p plan.HostPath) uint32 {
	return f.Places[host.Place{Base: "/", Path: string(p)}].Perm
}

// secretNames are what stays masked in a home that is shared but not to be
// written: keys, tokens, profiles, history.
var secretNames = [...]string{
	".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config/gcloud", ".netrc", ".git-credentials",
	".npmrc", ".pypirc", ".mozilla", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware",
	".config/microsoft-edge", ".config/vivaldi", ".thunderbird", ".bash_history", ".zsh_history", ".zhistory",
	".local/share/fish/fish_history", ".history", ".sh_history", ".ash_history", ".python_history",
	".node_repl_history", ".psql_history", ".mysql_history", ".sqlite_history", ".rediscli_history", ".lesshst",
	".local/share/keyrings", ".password-store", ".config/gh", ".config/hub",
}

// secrets are the places of the home that stay masked: those of every home, and
// those of the caller's own list.
func secrets(o *Options, f *host.Facts) (out []string) {
	if !masksSecrets(o) || len(f.Homes) == 0 {
		return nil
	}
	for _, s := range secretNames {
		out = append(out, path.Join(string(f.Homes[0]), s))
	}
	if f.Secrets.Err == nil {
		own, _ := secretsList(string(f.Secrets.Content)) // checkSecrets has its error
		for _, s := range own {
			if !strings.HasPrefix(s, "/") {
				s = path.Join(string(f.Homes[0]), s)
			}
			out = append(out, s)
		}
	}
	return out
}

// linksIn is the pattern of what lies right in a secret.
func linksIn(secret string) host.Glob { return host.Glob{Pattern: secret + "/*", Base: "/"} }

func masksSecrets(o *Options) bool {
	return (o.Home == ShareRO || o.Home == ShareOverlay) && o.Rootfs == ""
}

// secretsList reads a list of secrets: a path or a pattern a line, of the home
// unless it is absolute. Empty lines, and those that start with "#", do not
// count. A line of the list can mask more, never less.
func secretsList(content string) (out []string, err error) {
	n := 0
	for line := range strings.Lines(content) {
		n++
		s := strings.TrimSpace(line)
		if s == "" || s[0] == '#' {
			continue
		}
		s = strings.TrimPrefix(s, "~/")
		clean := path.Clean(s)
		_, bad := path.Match(clean, "")
		switch {
		case strings.IndexByte(s, 0) >= 0 || clean == "/" || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "~"):
			return nil, fmt.Errorf("line %d: %s is not a path below the home, nor an absolute one", n, plan.Quote(s))
		case bad != nil:
			return nil, fmt.Errorf("line %d: %s is no pattern", n, plan.Quote(s))
		}
		out = append(out, clean)
	}
	return out, nil
}

// ownPaths are nobox's own: the binary, its configuration and its state.
func ownPaths(f *host.Facts) (out []string) {
	out = append(out, f.OwnDirs...)
	for _, file := range [...]string{string(f.Exe), f.OwnFile} {
		if file != "" {
			out = append(out, file)
		}
	}
	return out
}

// protected are those as mounts wants them: what is there, and the directories
// that a box could make.
func protected(f *host.Facts) (out []mounts.Thing, foundBy []plan.HostPath) {
	var dirs []string
	for i, p := range ownPaths(f) {
		pf := f.Places[host.Place{Base: "/", Path: p, Make: true}]
		for _, l := range pf.Links {
			if !slices.Contains(foundBy, plan.HostPath(l)) {
				foundBy = append(foundBy, plan.HostPath(l))
			}
		}
		if pf.Resolved == "" || pf.Err != nil {
			continue
		}
		if i < len(f.OwnDirs) {
			dirs = append(dirs, string(pf.Resolved))
		} else if pf.Kind == host.None && (p != f.OwnFile || !pf.Makeable || slices.ContainsFunc(dirs, func(d string) bool { return within(d, string(pf.Resolved)) })) {
			continue // else the configuration is a link to what is not there
		}
		t := mounts.Thing{Path: plan.HostPath(pf.Resolved), Kind: pf.Kind, Held: slices.Contains(f.RunDirs, p)}
		switch {
		case i >= len(f.OwnDirs):
		case pf.Kind == host.None && !pf.Makeable:
			continue // the box could not make it either
		case pf.Kind == host.None, pf.Kind == host.Dir && host.Passes(pf.Perm):
			t.Held, t.Empty = true, true
		}
		out = append(out, t)
	}
	return out, foundBy
}

// lacksEtc says that a root lacks files by which names are resolved, and so the
// box does: nobox makes no file in it, and could not mount its own on nothing. A
// resolver of nobox's own knows localhost.
func lacksEtc(o *Options, f *host.Facts, v *view, files []string) string {
	if o.Rootfs == "" {
		return ""
	}
	var no, touch []string
	resolver := netOf(o, f) == NetUser && !slices.Contains(files, "/etc/resolv.conf")
	for _, p := range files {
		if p == "/etc/hosts" && v.hasEtc(f) && !resolver || p == "/etc/resolv.conf" && netOf(o, f) != NetNone {
			no, touch = append(no, p), append(touch, mounts.ShellQuote(path.Join(string(v.Rootfs), p)))
		}
	}
	if len(no) == 0 {
		return ""
	}
	mkdir := ""
	if !v.hasEtc(f) {
		mkdir = "mkdir " + mounts.ShellQuote(path.Join(string(v.Rootfs), "etc")) + " && "
	}
	return fmt.Sprintf("the box has no %s: %s lacks it, and nobox makes no file there (%stouch %s; or --overlay)",
		strings.Join(no, " and no "), plan.Quote(string(v.Rootfs)), mkdir, strings.Join(touch, " "))
}

// hasEtc says whether the root has a directory /etc.
func (v *view) hasEtc(f *host.Facts) bool {
	return f.Places[host.Place{Base: v.base(), Path: "/etc"}].Kind == host.Dir
}

// etc is the content of the box's own files in /etc.
func etc(o *Options, f *host.Facts) mounts.Etc {
	name := hostname(o)
	e := mounts.Etc{
		Hostname:   name + "\n",
		Hosts:      "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 " + name + "\n",
		ResolvConf: "# --net=none: there is no resolver\n",
	}
	if netOf(o, f) == NetUser {
		e.Hosts += slirp.GatewayIPv4 + " " + slirp.HostName + "\n"
		var conf []byte
		if len(o.DNS) == 0 && len(o.AllowHosts)+len(o.DenyHosts) == 0 {
			// A policy would have to name each name with each suffix.
			conf = f.Files[host.Place{Path: "/etc/resolv.conf"}].Content
		}
		e.ResolvConf = slirp.ResolvConf(conf, o.DNSSearch)
	}
	for _, h := range o.AddHosts {
		address := h.Address
		if address == HostGateway {
			address = slirp.GatewayIPv4
		}
		e.Hosts += address + " " + h.Name + "\n"
	}
	if helpedBy(o).HelperName() != "" {
		e.ResolvConf = "nameserver " + slirp.DNSIPv4 + "\n"
	}
	if o.Net == NetHost || o.Net == NetNS {
		if c := f.Files[host.Place{Path: "/etc/hosts"}]; c.Err == nil {
			e.Hosts = string(c.Content) + e.Hosts[strings.Index(e.Hosts, "127.0.1.1 "):]
		}
		if c := f.Files[host.Place{Path: "/etc/resolv.conf"}]; c.Err == nil {
			e.ResolvConf = string(c.Content)
		}
	}
	return e
}
