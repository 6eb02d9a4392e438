package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"nobox/changes"
	"nobox/plan"
	"nobox/sandbox"
)

// diff lists what boxes changed.
func diff(inv *Invocation) int {
	s, err := changes.Open(inv.Args[0])
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	cs, err := s.List()
	// What could not be read does not hide what could.
	w := bufio.NewWriterSize(os.Stdout, 64<<10)
	if inv.JSON {
		changesJSON(w, cs)
	} else {
		changesText(w, cs, s)
	}
	if err := w.Flush(); err != nil {
		return cannot(fmt.Errorf("cannot write: %w", bare(err)))
	}
	if err != nil {
		return cannot(err)
	}
	return 0
}

// apply writes changes back.
func apply(inv *Invocation) int {
	s, err := changes.Open(inv.Args[0])
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	cs, unread := s.List()
	var paths []string
	for _, p := range inv.Args[1:] {
		abs, err := filepath.Abs(p)
		if err != nil {
			return cannot(err)
		}
		paths = append(paths, abs)
	}
	// Nothing is written back as if it were all; what is named may lie elsewhere.
	if u := (*changes.Unread)(nil); unread != nil && (!errors.As(unread, &u) || len(paths) == 0 || u.Concerns(paths)) {
		return cannot(unread)
	}
	if cs, err = changes.Select(cs, paths); err != nil {
		return cannot(err)
	}
	return applyChanges(s, cs, inv.Force)
}

func applyChanges(s *changes.Set, cs []changes.Change, force bool) int {
	clash := s.Conflicts(cs)
	if len(clash) > 0 && !force {
		for _, c := range clash[1:] {
			SayNote(os.Stderr, "changed outside too: "+show(string(c.Path)))
		}
		return cannot(&changes.Conflict{Path: clash[0].Path})
	}
	n, stays := 0, 0
	var whose string
	err := s.Apply(cs, force, func(c changes.Change) {
		n++
		if c.OwnerStays {
			if stays++; stays == 1 {
				whose = show(string(c.Path))
			}
		}
		if strip := c.Is.Mode & 0o7000; c.Is.Type == "file" && strip&^c.Was.Mode != 0 {
			SayNote(os.Stderr, "the set-user-ID or set-group-ID bit of "+show(string(c.Path))+" is not written back")
		}
	})
	if stays > 0 {
		more := ""
		if stays > 1 {
			more = fmt.Sprintf(" and of %d more", stays-1)
		}
		SayNote(os.Stderr, "the owner of "+whose+more+" is not written back: it is a mapped id")
	}
	if err != nil {
		if n > 0 {
			SayNote(os.Stderr, fmt.Sprintf("%d of %d changes are written back; the rest stays, for another nobox apply", n, len(cs)))
		}
		return cannot(err)
	}
	return 0
}

// discard forgets changes.
func discard(inv *Invocation) int {
	s, err := changes.Open(inv.Args[0])
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	if err := s.Discard(); err != nil {
		return cannot(err)
	}
	return 0
}

// cannot says an error and what to do about it.
func cannot(err error) int {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		SayError(os.Stderr, err, hinted.Hint())
	} else {
		SayError(os.Stderr, err)
	}
	return ExitCannot
}

// changesText is one line a change.
func changesText(b *bufio.Writer, cs []changes.Change, s *changes.Set) {
	clash := map[plan.HostPath]bool{}
	for _, c := range s.Conflicts(cs) {
		clash[c.Path] = true
	}
	for _, c := range cs {
		fmt.Fprintf(b, "%-8s  %-24s  %s", c.Kind, what(c), plan.Quote(string(c.Path)))
		if c.Is.Type == "link" {
			b.WriteString(" -> " + plan.Quote(c.Is.Link))
		}
		if clash[c.Path] {
			b.WriteString("  (changed outside too)")
		}
		b.WriteByte('\n')
	}
}

// what is the middle column: size, or what became of what.
func what(c changes.Change) string {
	size := func(s changes.State) string {
		if s.Type == "file" {
			return strconv.FormatInt(s.Size, 10) + " B"
		}
		return s.Type
	}
	switch c.Kind {
	case changes.Added:
		return size(c.Is)
	case changes.Deleted:
		return size(c.Was)
	case changes.Modified:
		if c.Is.Type == "link" {
			return "link"
		}
		return size(c.Was) + " -> " + size(c.Is)
	case changes.Type:
		return c.Was.Type + " -> " + c.Is.Type
	case changes.Xattr:
		return xattrs(c)
	}
	text := fmt.Sprintf("%04o -> %04o", c.Was.Mode, c.Is.Mode)
	if c.Was.Mode == c.Is.Mode {
		text = fmt.Sprintf("%d:%d -> %d:%d", c.Was.UID, c.Was.GID, c.Is.UID, c.Is.GID)
	}
	if len(c.Xattrs) > 0 {
		text += ", " + xattrs(c)
	}
	return text
}

// xattrs names what of a path's extended attributes differs; the access list as
// the tools do that change it.
func xattrs(c changes.Change) string {
	var out []string
	for _, name := range c.Xattrs {
		switch name {
		case "system.posix_acl_access":
			name = "acl"
		case "system.posix_acl_default":
			name = "default acl"
		}
		out = append(out, show(name))
	}
	return strings.Join(out, ", ")
}

// changesJSON is the same for tools: an array, an object a line.
func changesJSON(b *bufio.Writer, cs []changes.Change) {
	state := func(s changes.State) string {
		if s.Type == "" {
			return "null"
		}
		t := `{"type":"` + s.Type + `","size":` + strconv.FormatInt(s.Size, 10) + `,"mode":` + strconv.FormatUint(uint64(s.Mode), 10) +
			`,"uid":` + strconv.FormatUint(uint64(s.UID), 10) + `,"gid":` + strconv.FormatUint(uint64(s.GID), 10)
		if s.Type == "link" {
			t += `,"link":` + plan.JSONString(s.Link)
		}
		return t + "}"
	}
	b.WriteByte('[')
	for i, c := range cs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + `{"path":` + plan.JSONString(string(c.Path)) + `,"change":"` + c.Kind.String() + `","was":` + state(c.Was) + `,"is":` + state(c.Is))
		for i, name := range c.Xattrs {
			b.WriteString([...]string{`,"xattrs":[`, ","}[min(i, 1)] + plan.JSONString(name))
		}
		if len(c.Xattrs) > 0 {
			b.WriteByte(']')
		}
		b.WriteByte('}')
	}
	b.WriteString("\n]\n")
}

// ---- --review

// reviewDir makes the directory of a run's changes where none was named.
func reviewDir(o *sandbox.Options) error {
	if o.Cwd != sandbox.ShareOverlay && o.Home != sandbox.ShareOverlay && !o.Overlay {
		any := false
		for _, b := range o.Binds {
			any = any || b.Overlay
		}
		if !any {
			if o.Cwd != sandbox.ShareDefault {
				return &UsageError{Text: "cannot review the changes (--review): nothing is an overlay",
					Hint: "--cwd=overlay, --home=overlay, --overlay and -v SRC:DST:O make one"}
			}
			o.Cwd = sandbox.ShareOverlay
		}
	}
	if o.OverlayDir != "" {
		return nil
	}
	dir, err := os.MkdirTemp(sandbox.ChangesBase(*o), "nobox-changes-")
	if err != nil {
		return fmt.Errorf("cannot make a directory for the changes (--review): %w", bare(err))
	}
	o.OverlayDir, o.OverlayDirFrom = dir, "--review"
	return nil
}

// review shows what the box changed, and asks what is to become of it. The
// directory is the run's own if it made it. endTyped is that of the run's Result.
func review(dir string, own, endTyped bool) int {
	s, err := changes.Open(dir)
	if err != nil {
		if own && os.Remove(dir) == nil {
			return 0 // the box did not start, or had nothing to write to
		}
		return cannot(err)
	}
	defer s.Close()
	cs, listErr := s.List()
	if len(cs) == 0 && listErr == nil {
		if own {
			s.Discard()
			os.Remove(dir)
		}
		SayNote(os.Stderr, "the box changed nothing")
		return 0
	}
	w := bufio.NewWriterSize(os.Stderr, 64<<10)
	changesText(w, cs, s)
	w.Flush()
	kept := fmt.Sprintf("the changes are kept: nobox diff|apply|discard %s", plan.Quote(dir))
	if listErr != nil {
		SayNote(os.Stderr, kept)
		return cannot(listErr)
	}
	// Before the question: Ctrl-C is an answer too.
	SayNote(os.Stderr, kept)
	for !endTyped {
		answer, asked := ask("apply, discard or keep these changes? [a/d/K] ")
		if !asked {
			return 0
		}
		switch strings.ToLower(answer) {
		case "a", "apply":
			code := applyChanges(s, cs, false)
			if code == 0 && own {
				s.Discard()
				os.Remove(dir)
			}
			return code
		case "d", "discard":
			if err := s.Discard(); err != nil {
				return cannot(err)
			}
			if own {
				os.Remove(dir)
			}
			return 0
		case "", "k", "keep", "n", "no":
			return 0
		}
		SayNote(os.Stderr, "an answer is a (apply), d (discard) or k (keep)")
	}
	return 0
}

// ask asks on the caller's terminal; false if there is none to answer.
func ask(question string) (string, bool) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", false
	}
	defer tty.Close()
	io.WriteString(tty, "nobox: "+question)
	line, err := bufio.NewReader(tty).ReadString('\n')
	if err != nil && line == "" {
		io.WriteString(tty, "\n")
		return "", false
	}
	return strings.TrimSpace(line), true
}

// ---- rm-owned

// rmOwned removes what mapped ids own, or hands it back, from inside a box
// with the map that gives them.
func rmOwned(inv *Invocation) int {
	dir := inv.Args[0]
	abs, err := filepath.Abs(dir)
	if err != nil {
		return cannot(err)
	}
	if to, err := os.Readlink(abs); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(abs), to)
		}
		return cannot(&changes.Error{What: "remove what is owned below " + plan.Quote(dir), Cause: errors.New("it is a symbolic link"),
			Hint_: "what it leads to is " + plan.Quote(to)})
	}
	if real, err := filepath.EvalSymlinks(abs); err != nil {
		return cannot(&changes.Error{What: "look at " + plan.Quote(dir), Cause: bare(err)})
	} else if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return cannot(&changes.Error{What: "remove what is owned below " + plan.Quote(dir), Cause: errors.New("it is not a directory")})
	} else {
		abs = real
	}
	if home, err := filepath.EvalSymlinks(sandbox.Home()); abs == "/" || err == nil && (abs == home || strings.HasPrefix(home, abs+"/")) {
		return cannot(&changes.Error{What: "remove what is owned below " + plan.Quote(dir), Cause: errors.New("it is your home, or holds it")})
	}
	if here, err := os.Getwd(); err == nil && !inv.HandBack {
		if here, err = filepath.EvalSymlinks(here); err == nil && (here == abs || strings.HasPrefix(here, abs+"/")) {
			return cannot(&changes.Error{What: "remove " + plan.Quote(dir), Cause: errors.New("it is the directory that you stand in, or holds it"), Hint_: "cd " + plan.Quote(filepath.Dir(abs))})
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return cannot(err)
	}
	verb := "remove"
	if inv.HandBack {
		verb = "hand back"
	}
	if !inv.Yes {
		answer, asked := ask(fmt.Sprintf("%s %s and all that is below it, whoever of your mapped ids owns it? [y/N] ", verb, show(abs)))
		if !asked {
			return cannot(&UsageError{Text: "cannot ask: there is no terminal", Hint: "--yes does it without asking"})
		}
		if a := strings.ToLower(answer); a != "y" && a != "yes" {
			return 0
		}
	}
	command := []string{"/run/nobox-itself", "owned-inside"}
	if inv.HandBack {
		command = append(command, "--hand-back")
	}
	o := sandbox.Options{Command: append(command, "/run/owned"), Cwd: sandbox.ShareHidden, Workdir: "/", Terminal: sandbox.No, StopTimeout: DefaultStopTimeout, Net: sandbox.NetNone,
		Binds: []sandbox.Bind{
			{Source: exe, Target: "/run/nobox-itself", ReadOnly: true, From: "rm-owned"},
			{Source: abs, Target: "/run/owned", Flat: true, From: "rm-owned " + show(dir)},
		}}
	h := sandbox.Hooks{Note: func(n string) { SayNote(os.Stderr, n) }}
	if !inv.HandBack {
		h.Empty = abs
	}
	r, f, err := sandbox.Run(o, h)
	if err != nil {
		sayFailure(sandbox.Diagnose(err, o, f))
		return exitCode(err)
	}
	if code := r.ExitCode(); code != 0 || inv.HandBack {
		return code
	}
	if err := os.Remove(abs); err != nil {
		return cannot(&changes.Error{What: "remove " + plan.Quote(dir), Cause: bare(err)})
	}
	return 0
}

// ownedInside is what rm-owned runs inside.
func ownedInside(inv *Invocation) int {
	dir := path.Clean(inv.Args[0])
	var err error
	if inv.HandBack {
		err = changes.HandBack(dir)
	} else {
		err = changes.Empty(dir)
	}
	if err != nil {
		return cannot(err)
	}
	return 0
}
