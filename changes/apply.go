package changes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A Conflict is a path that the host changed as well.
type Conflict struct{ Path plan.HostPath }

func (e *Conflict) Error() string {
	return fmt.Sprintf("cannot apply the change of %s: it was changed outside since", plan.Quote(string(e.Path)))
}

func (e *Conflict) Hint() string { return "--force overwrites it; nobox diff shows what would be lost" }

// Conflicts are the changes, of those that are wanted, that the host's own
// changes stand against.
func (s *Set) Conflicts(cs []Change) (out []Change) {
	for i := range cs {
		c := &cs[i]
		// What is in a directory has times of its own, and apply itself changes a
		// directory's. Where only bits differ that are not written back nothing is
		// lost: an apply that was killed leaves that.
		if c.Was.Type == "" || c.Was.Type == "directory" || c.Kind == Mode && keepBits(c) == c.Was.Mode && len(c.Xattrs) == 0 {
			continue
		}
		if after(c.ctime, c.layer.since) && s.log[string(c.Path)] != stamp(c.ctime) {
			out = append(out, *c)
		}
	}
	return out
}

func after(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

func stamp(t unix.Timespec) string { return fmt.Sprintf("%d.%09d", t.Sec, t.Nsec) }

// Select keeps the changes at or below one of the paths, and with them the
// directories that they need; all of them if there are none. It fails for a
// path that has no change.
func Select(cs []Change, paths []string) ([]Change, error) {
	if len(paths) == 0 {
		return cs, nil
	}
	used := make([]bool, len(paths))
	need := map[plan.HostPath]bool{}
	var out []Change
	for _, c := range cs {
		for i, p := range paths {
			if within(p, string(c.Path)) {
				used[i] = true
				for d := path.Dir(string(c.Path)); d != "/" && d != "."; d = path.Dir(d) {
					need[plan.HostPath(d)] = true
				}
			}
		}
	}
	for _, c := range cs {
		wanted := need[c.Path] && c.Is.Type == "directory"
		for _, p := range paths {
			wanted = wanted || within(p, string(c.Path))
		}
		if wanted {
			out = append(out, c)
		}
	}
	for i, p := range paths {
		if !used[i] {
			return nil, &Error{What: "apply " + plan.Quote(p), Cause: errors.New("there is no change of it")}
		}
	}
	return out, nil
}

func within(dir, p string) bool {
	return dir == "/" || p == dir || strings.HasPrefix(p, dir+"/")
}

// Apply writes changes back to the trees that they are of: each file at once,
// by a rename, so that it is the old one or the new one at any moment. What is
// written is taken out of the set, which makes an interrupted Apply one that
// goes on where it stopped. done is called behind each change. What has no way
// back, a socket, stays, and is the error once all else is done.
func (s *Set) Apply(cs []Change, force bool, done func(Change)) error {
	if c := s.Conflicts(cs); len(c) > 0 && !force {
		return &Conflict{c[0].Path}
	}
	for i := 1; i < len(cs) && !force; i++ {
		a, b := cs[i-1], cs[i]
		if a.Path == b.Path && (a.Is.Type != "directory" || b.Is.Type != "directory") {
			return &Error{What: "apply the change of " + plan.Quote(string(a.Path)), Cause: errors.New("two overlays show it, and the box changed it in both"),
				Hint_: "--force writes both back, and the later in the list stays; or name the other paths"}
		}
	}
	notes, err := s.openLog()
	if err != nil {
		return &Error{What: "note what is applied", Cause: err}
	}
	defer notes.Close()
	for _, l := range s.layers {
		l.notes = notes
		if err := l.clear("", false); err != nil {
			e := &Error{What: "prepare the changes of " + plan.Quote(string(l.source)), Cause: err}
			if err == unix.EACCES || err == unix.EPERM {
				e.Hint_ = "files of mapped ids that you cannot read: " + handBack(s.Dir)
			}
			return e
		}
	}
	b := newBatch(s, cs, notes)
	defer b.close()
	// Deletions first, the deepest first: a directory that became a file is
	// empty by then.
	for i := len(cs) - 1; i >= 0; i-- {
		if cs[i].Kind == Deleted {
			if err := b.add(&cs[i], done); err != nil {
				return err
			}
		}
	}
	if err := b.flush(done); err != nil {
		return err
	}
	var left error
	for i := range cs {
		c := &cs[i]
		switch {
		case c.Kind == Deleted:
		case c.Is.Type == "socket" || c.Is.Type == "device":
			// It stands in nobody's way, and stays.
			if left == nil {
				left = &Error{What: "apply the change of " + plan.Quote(string(c.Path)), Cause: fmt.Errorf("it is a %s, which is not written back", c.Is.Type)}
			}
		default:
			if err := b.add(c, done); err != nil {
				return err
			}
		}
	}
	if err := b.flush(done); err != nil {
		return err
	}
	// Directories get their modes and times when nothing more is made in them.
	for _, d := range b.disks {
		d.dirty = true
	}
	for i := len(cs) - 1; i >= 0; i-- {
		if c := &cs[i]; c.Is.Type == "directory" {
			if err := c.layer.finishDir(c); err != nil {
				b.settle()
				return s.cannotApply(c, err)
			}
			done(*c)
		}
	}
	if err := b.settle(); err != nil {
		return err
	}
	for _, l := range s.layers {
		// No change, but what the host makes of the file later would be one.
		for _, rel := range l.same {
			l.forget(rel, 0)
		}
		l.tidy("")
	}
	return left
}

// clear has no directory of the upper layer hide the host's as a whole: what it
// hides gets whiteouts of its own. Else what is written back would be hidden,
// and so deleted, once it is out of the upper layer.
func (l *layer) clear(rel string, hides bool) error {
	opaque, err := l.opaque(rel)
	if !hides && (err == unix.EACCES || err == unix.ENAMETOOLONG) {
		return nil // nothing of it is written back: List says so
	}
	if err != nil {
		return err
	}
	ns, err := names(l.upper, rel)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range ns {
		seen[n] = true
		st, err := lstat(l.upper, path.Join(rel, n))
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := l.clear(path.Join(rel, n), hides || opaque); err != nil {
				return err
			}
		}
	}
	if !hides && !opaque {
		return nil
	}
	fd, err := openDir(l.upper, rel)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var lower []string
	if st, err := lstat(l.lower, rel); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if lower, err = names(l.lower, rel); err != nil {
			return err
		}
	}
	for _, n := range lower {
		if !seen[n] {
			if err := l.writing(fd, rel, func() error { return unix.Mknodat(fd, n, unix.S_IFCHR, 0) }); err != nil && err != unix.EEXIST {
				return err
			}
		}
	}
	if opaque {
		return l.writing(fd, rel, func() error { return unix.Fremovexattr(fd, "user.overlay.opaque") })
	}
	return nil
}

// writing changes something in a directory of the host, also where its owner, whom
// the caller is, may not: root in the box may. The mode is what it was when this
// returns; if it does not, the next Apply finds another than the box's.
func writing(dir int, change func() error) error {
	return opening(dir, func(uint32) {}, func() {}, change)
}

// writing is the same in one of the upper layer, whose mode is the box's word: that
// is noted for as long as it is another.
func (l *layer) writing(dir int, rel string, change func() error) error {
	name := strconv.Quote(path.Join(l.name, "upper", rel))
	return opening(dir,
		func(mode uint32) { fmt.Fprintf(l.notes, "%s%04o %s\n", openedNote, mode, name) },
		func() { fmt.Fprintf(l.notes, "%s %s\n", closedNote, name) }, change)
}

func opening(dir int, before func(mode uint32), after func(), change func() error) error {
	err := change()
	var st unix.Stat_t
	if err != unix.EACCES || unix.Fstat(dir, &st) != nil || st.Mode&0o700 == 0o700 {
		return err
	}
	mode := st.Mode & 0o7777
	before(mode)
	if chmod(dir, mode|0o700) == nil {
		err = change()
		chmod(dir, mode)
	}
	after()
	return err
}

// cannotApply is the error of a change that could not be written back.
func (s *Set) cannotApply(c *Change, cause error) error {
	e := &Error{What: "apply the change of " + plan.Quote(string(c.Path)), Cause: cause}
	if errors.Is(cause, errNotMine) {
		e.Hint_ = "the box gave it to a mapped id: " + handBack(s.Dir)
	}
	return e
}

// errNotMine is a change that cannot be taken out of the set.
var errNotMine = errors.New("the directory that keeps it cannot be written")

// remove takes a path of the host away.
func (l *layer) remove(dir int, name string, c *Change) error {
	flags := 0
	if c.Was.Type == "directory" {
		flags = unix.AT_REMOVEDIR
	}
	err := writing(dir, func() error { return unix.Unlinkat(dir, name, flags) })
	switch err {
	case unix.ENOENT:
		return nil
	case unix.ENOTEMPTY:
		return errors.New("something was made in it since")
	}
	return err
}

// forget takes an entry out of the upper layer.
func (l *layer) forget(rel string, flags int) error {
	dir, name, err := parent(l.upper, rel)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	switch err := l.writing(dir, path.Dir(rel), func() error { return unix.Unlinkat(dir, name, flags) }); err {
	case nil, unix.ENOENT:
		return nil
	case unix.EACCES, unix.EPERM:
		return errNotMine
	default:
		return err
	}
}

// temporary begins the name of what is not yet in its place. The rest is each
// directory of changes' own, and noted in it before it is used: what an
// interrupted Apply left is taken away by the next, and nothing else is.
const temporary = ".nobox-apply-"

// makeDir makes a directory of the box's on the host.
func (l *layer) makeDir(dir int, name string, c *Change) error {
	if c.Kind == Type && c.Was.Type != "directory" {
		if err := writing(dir, func() error { return unix.Unlinkat(dir, name, 0) }); err != nil && err != unix.ENOENT {
			return err
		}
	}
	// Open to its owner until all is in it; finishDir has the last word.
	if err := writing(dir, func() error { return unix.Mkdirat(dir, name, 0o700) }); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// stage makes what the box made on the host, under another name.
func (l *layer) stage(dir int, tmp string, c *Change, sync bool) (size int64, err error) {
	err = writing(dir, func() (err error) { size, err = l.stageIn(dir, tmp, c, sync); return })
	return
}

func (l *layer) stageIn(dir int, tmp string, c *Change, sync bool) (size int64, err error) {
	if err := unix.Unlinkat(dir, tmp, 0); err != nil && err != unix.ENOENT {
		return 0, err
	}
	switch c.Is.Type {
	case "link", "fifo":
		if c.Is.Type == "link" {
			err = unix.Symlinkat(c.Is.Link, dir, tmp)
		} else {
			err = unix.Mknodat(dir, tmp, unix.S_IFIFO|c.Is.Mode&0o777, 0)
		}
		if st, e := lstat(l.upper, c.rel); err == nil && e == nil {
			unix.UtimesNanoAt(dir, tmp, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
		}
		return 0, err
	case "file":
		size, err := l.copyFile(dir, tmp, c, sync)
		if err != nil {
			unix.Unlinkat(dir, tmp, 0)
		}
		return size, err
	}
	return 0, fmt.Errorf("it is a %s, which is not written back", c.Is.Type)
}

// keepBits is a file's mode as it is written back: a set-user-ID bit that a box
// set would be the caller's.
func keepBits(c *Change) uint32 {
	if c.Is.Type == "file" {
		return c.Is.Mode&0o777 | c.Was.Mode&c.Is.Mode&0o7000
	}
	return c.Is.Mode
}

func (l *layer) copyFile(dir int, tmp string, c *Change, sync bool) (int64, error) {
	from, err := l.openClosed(c)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, errors.New("it is no file any more")
	}
	fd, err := unix.Openat(dir, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return 0, err
	}
	to := os.NewFile(uintptr(fd), tmp)
	defer to.Close()
	if err := copyData(to, from, st.Size); err != nil {
		return 0, bare(err)
	}
	c.OwnerStays = !own(fd, &st)
	if err := copyAttrs(fd, int(from.Fd())); err != nil {
		return 0, err
	}
	if err := unix.Fchmod(fd, keepBits(c)); err != nil {
		return 0, err
	}
	unix.UtimesNanoAt(dir, tmp, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	if sync {
		return st.Size, bare(to.Sync())
	}
	return st.Size, nil
}

// openClosed opens a file of the box's, also one that its owner may not read: root
// in the box did not need that.
func (l *layer) openClosed(c *Change) (*os.File, error) {
	f, err := openFile(l.upper, c.rel)
	if err != unix.EACCES || c.Is.Mode&0o400 != 0 {
		return f, err
	}
	p, err := unix.Openat2(l.upper, c.rel, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath})
	if err != nil {
		return nil, err
	}
	defer unix.Close(p)
	name := strconv.Quote(path.Join(l.name, "upper", c.rel))
	fmt.Fprintf(l.notes, "%s%04o %s\n", openedNote, c.Is.Mode, name)
	if err := chmod(p, c.Is.Mode|0o700); err != nil {
		return nil, unix.EACCES
	}
	f, err = openFile(l.upper, c.rel)
	chmod(p, c.Is.Mode)
	fmt.Fprintf(l.notes, "%s %s\n", closedNote, name)
	return f, err
}

// copyData copies a file, holes as holes: a box can make one that is larger than
// the disk.
func copyData(to, from *os.File, size int64) error {
	for at := int64(0); at < size; {
		data, end, err := nextData(from, at, size)
		if err != nil {
			return err
		}
		if data >= size {
			break
		}
		for _, f := range []*os.File{from, to} {
			if _, err := f.Seek(data, io.SeekStart); err != nil {
				return err
			}
		}
		n, err := io.CopyN(to, from, end-data)
		if err == io.EOF && n > 0 {
			err = nil // it became shorter
		}
		if err != nil {
			return err
		}
		at = data + n
	}
	return to.Truncate(size)
}

// nextData is the first stretch of a file that is no hole, from at on; size and
// size if there is none. Without SEEK_DATA all of it is data; lseek(2).
func nextData(f *os.File, at, size int64) (data, end int64, err error) {
	data, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO:
		return size, size, nil
	case err != nil:
		return at, size, nil
	}
	if end, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil {
		return 0, 0, err
	}
	return min(data, size), min(end, size), nil
}

// copyAttrs gives a file or directory the user.* attributes and the access list
// of the box's, but for what overlayfs keeps in them. A file system that has none
// goes without.
func copyAttrs(to, from int) error {
	n, err := unix.Flistxattr(from, nil)
	if err != nil || n == 0 {
		return nil
	}
	list := make([]byte, n)
	if n, err = unix.Flistxattr(from, list); err != nil {
		return nil
	}
	var value []byte
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if !writtenBack(name) {
			continue
		}
		if value == nil {
			value = make([]byte, 64<<10) // XATTR_SIZE_MAX; linux/limits.h
		}
		n, err := unix.Fgetxattr(from, name, value)
		if err != nil {
			continue
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil && err != unix.EOPNOTSUPP {
			return fmt.Errorf("the attribute %s: %w", plan.Quote(name), err)
		}
	}
	return nil
}

// dropAttrs takes those of the named attributes away that the box's has not.
func dropAttrs(of, from int, attrs []string) error {
	for _, name := range attrs {
		if _, err := unix.Fgetxattr(from, name, nil); err != unix.ENODATA {
			continue
		}
		if err := unix.Fremovexattr(of, name); err != nil && err != unix.ENODATA {
			return fmt.Errorf("the attribute %s: %w", plan.Quote(name), err)
		}
	}
	return nil
}

// own gives a file the owner that the box's has, and says whether the caller may
// do that.
func own(fd int, box *unix.Stat_t) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Uid == box.Uid && st.Gid == box.Gid {
		return true
	}
	return unix.Fchownat(fd, "", int(box.Uid), int(box.Gid), unix.AT_EMPTY_PATH) == nil
}

// bare is an error without the path, and the system call, that package os names.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var s *os.SyscallError
	if errors.As(err, &s) {
		err = s.Err
	}
	return err
}

// setMode gives what is there the box's mode.
func (l *layer) setMode(dir int, name string, c *Change) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if st, err := lstat(l.upper, c.rel); err == nil {
		c.OwnerStays = !own(fd, &st)
	}
	return chmod(fd, keepBits(c))
}

// chmod is fchmod(2) of a descriptor that is only a path; open(2), O_PATH.
func chmod(fd int, mode uint32) error {
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
}

// finishDir gives a directory its mode.
func (l *layer) finishDir(c *Change) error {
	fd, err := openDir(l.lower, c.rel)
	if err != nil {
		if err == unix.EACCES {
			return nil // it had its mode before
		}
		return err
	}
	defer unix.Close(fd)
	if from, err := openDir(l.upper, c.rel); err == nil && (c.Kind == Added || len(c.Xattrs) > 0) {
		err := dropAttrs(fd, from, c.Xattrs)
		if err == nil {
			err = copyAttrs(fd, from)
		}
		unix.Close(from)
		if err != nil {
			return err
		}
	}
	if st, err := lstat(l.upper, c.rel); err == nil && c.rel != "" {
		c.OwnerStays = !own(fd, &st)
	}
	if err := unix.Fchmod(fd, c.Is.Mode); err != nil {
		return err
	}
	if c.Kind == Added {
		unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), []unix.Timespec{c.mtime, c.mtime}, 0)
	}
	return nil
}

// tidy removes directories of the upper layer in which nothing is left that
// the host has not, and whiteouts of what is deleted: an apply that was killed
// leaves those, and they would hide what the host makes later.
func (l *layer) tidy(rel string) (empty bool) {
	ns, err := names(l.upper, rel)
	if err != nil {
		return false
	}
	empty = true
	for _, n := range ns {
		p := path.Join(rel, n)
		st, err := lstat(l.upper, p)
		if err == nil && whiteout(&st) && st.Mode&0o7777 == 0 {
			if _, err := lstat(l.lower, p); err == unix.ENOENT && l.forget(p, 0) == nil {
				continue
			}
		}
		if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || !l.tidy(p) {
			empty = false
			continue
		}
		low, err := lstat(l.lower, p)
		if err != nil || low.Mode != st.Mode || len(attrsThatDiffer(attrsOf(l.upper, p), attrsOf(l.lower, p))) > 0 || l.forget(p, unix.AT_REMOVEDIR) != nil {
			empty = false
		}
	}
	hidden, err := l.opaque(rel)
	return empty && err == nil && !hidden
}

// ---- what was applied

const logName = "applied"

// temporaryNote begins the line that has the name of what is not yet in its
// place, or stagedNote with a directory in which such things may be, or
// settledNote where none are any more, or one of the two below; other lines begin
// with a time.
const (
	temporaryNote = "temporary"
	stagedNote    = "staged"
	settledNote   = "settled"
	openedNote    = "opened" // and the mode that something in the set is to have, for now it has another
	closedNote    = "closed"
)

func (s *Set) readLog() {
	s.log = map[string]string{}
	f, err := openFile(s.dir, logName)
	if err != nil {
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err != nil {
		return
	}
	opened := map[string]uint32{}
	for line := range strings.Lines(string(data)) {
		at, quoted, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		p, err := strconv.Unquote(quoted)
		switch {
		case !ok || err != nil:
		case at == temporaryNote:
			if strings.HasPrefix(p, temporary) && !strings.Contains(p, "/") {
				s.temporary = p
			}
		case at == stagedNote:
			s.staged = append(s.staged, p)
		case at == settledNote:
			s.staged = nil
		case at == closedNote:
			delete(opened, p)
		case strings.HasPrefix(at, openedNote):
			mode, err := strconv.ParseUint(strings.TrimPrefix(at, openedNote), 8, 12)
			if err == nil {
				opened[p] = uint32(mode)
			}
		default:
			s.log[p] = at
		}
	}
	s.reclose(opened)
}

// reclose gives what is in the set the modes that an Apply has not, because it
// was interrupted.
func (s *Set) reclose(opened map[string]uint32) {
	for p, mode := range opened {
		dir, err := unix.Openat2(s.dir, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath})
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(dir, &st) == nil && st.Mode&0o7777 == mode|0o700 {
			chmod(dir, mode)
		}
		unix.Close(dir)
	}
	if len(opened) == 0 {
		return
	}
	fd, err := unix.Openat(s.dir, logName, unix.O_WRONLY|unix.O_APPEND|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), logName)
	defer f.Close()
	for p := range opened {
		fmt.Fprintf(f, "%s %s\n", closedNote, strconv.Quote(p))
	}
}

func (s *Set) openLog() (*os.File, error) {
	fd, err := unix.Openat(s.dir, logName, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), logName)
	if s.temporary == "" {
		token := make([]byte, 12)
		if _, err := unix.Getrandom(token, 0); err != nil {
			f.Close()
			return nil, err
		}
		s.temporary = fmt.Sprintf("%s%x", temporary, token)
		if _, err := fmt.Fprintf(f, "%s %s\n", temporaryNote, strconv.Quote(s.temporary)); err != nil {
			f.Close()
			return nil, bare(err)
		}
	}
	s.sweep()
	return f, nil
}

// sweep takes away what an Apply that was interrupted has not put in its place.
func (s *Set) sweep() {
	for _, p := range s.staged {
		for _, l := range s.layers {
			if l.lower < 0 || !within(string(l.source), p) {
				continue
			}
			dir, err := openDir(l.lower, strings.Trim(strings.TrimPrefix(p, string(l.source)), "/"))
			if err != nil {
				continue
			}
			ns, _ := names(dir, "")
			for _, n := range ns {
				if strings.HasPrefix(n, s.temporary+"-") {
					writing(dir, func() error { return unix.Unlinkat(dir, n, 0) })
				}
			}
			unix.Close(dir)
		}
	}
	s.staged = nil
}

// Discard forgets all changes; the directory itself stays.
func (s *Set) Discard() error {
	for _, l := range s.layers {
		top, _, _ := strings.Cut(l.name, "/")
		if err := removeAll(s.dir, top); err != nil {
			return &Error{What: "discard the changes in " + plan.Quote(s.Dir), Cause: err,
				Hint_: "files of mapped ids that you cannot remove: nobox rm-owned " + plan.Quote(s.Dir)}
		}
	}
	unix.Unlinkat(s.dir, logName, 0)
	return nil
}

// removeAll removes a tree that a box made: it may have taken its own rights
// to a directory away.
func removeAll(dir int, name string) error {
	return descend(dir, name, func(at int, name string) (bool, error) {
		err := unix.Unlinkat(at, name, 0)
		if err == nil || err == unix.ENOENT {
			return false, nil
		}
		if err != unix.EISDIR && err != unix.EPERM {
			return false, err
		}
		if unix.Unlinkat(at, name, unix.AT_REMOVEDIR) == nil {
			return false, nil
		}
		// No more than it takes: what cannot be removed for another reason stays as
		// it is, with the mode that it has, which is a change as well.
		p, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, err
		}
		defer unix.Close(p)
		var st unix.Stat_t
		if unix.Fstat(p, &st) == nil && st.Mode&0o700 != 0o700 {
			chmod(p, st.Mode&0o777|0o700) // where it is the caller's
		}
		return true, nil
	}, func(at int, name string) error {
		return unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
	})
}

// descend goes through a tree without a link. enter is called for each entry,
// and says whether to go into it; leave, when all that is in it was seen. A box
// can make a tree of any depth: there is one descriptor for all of it, and the
// way up is by "..", which has to lead where it came from.
func descend(dir int, name string, enter func(at int, name string) (bool, error), leave func(at int, name string) error) error {
	type level struct {
		dev, ino uint64
		name     string
		left     []string
	}
	failed := func(name string, err error) error { return fmt.Errorf("%s: %w", plan.Quote(name), err) }
	at, err := unix.Openat(dir, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed(name, err)
	}
	defer func() { unix.Close(at) }()
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return failed(name, err)
	}
	levels := []level{{st.Dev, st.Ino, "", []string{name}}}
	for {
		l := &levels[len(levels)-1]
		if len(l.left) == 0 {
			if len(levels) == 1 {
				return nil
			}
			above := levels[len(levels)-2]
			up, err := unix.Openat(at, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return failed(l.name, err)
			}
			unix.Close(at)
			at = up
			if err := unix.Fstat(at, &st); err != nil || st.Dev != above.dev || st.Ino != above.ino {
				return failed(l.name, errors.New("it was moved meanwhile"))
			}
			if err := leave(at, l.name); err != nil {
				return failed(l.name, err)
			}
			levels = levels[:len(levels)-1]
			continue
		}
		n := l.left[0]
		l.left = l.left[1:]
		into, err := enter(at, n)
		if err != nil {
			return failed(n, err)
		}
		if !into {
			continue
		}
		down, err := unix.Openat(at, n, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return failed(n, err)
		}
		unix.Close(at)
		at = down
		if err := unix.Fstat(at, &st); err != nil {
			return failed(n, err)
		}
		left, err := names(at, "")
		if err != nil {
			return failed(n, err)
		}
		levels = append(levels, level{st.Dev, st.Ino, n, left})
	}
}

// Empty removes all that is in a directory.
func Empty(dir string) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ns, err := names(fd, "")
	for _, n := range ns {
		if e := removeAll(fd, n); e != nil && err == nil {
			err = e
		}
	}
	if err != nil {
		return &Error{What: "remove all of it", Cause: err}
	}
	return nil
}

// HandBack gives a directory and all that is in it to root, whose id is the
// caller's where this runs, and opens it to its owner.
func HandBack(dir string) error {
	var failed error
	give := func(at int, name string) (bool, error) {
		var st unix.Stat_t
		err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && (st.Uid != 0 || st.Gid != 0) {
			err = unix.Fchownat(at, name, 0, 0, unix.AT_SYMLINK_NOFOLLOW)
		}
		isDir := err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
		if isDir && st.Mode&0o700 != 0o700 {
			var fd int
			if fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err == nil {
				unix.Fchmod(fd, st.Mode&0o7777|0o700)
				unix.Close(fd)
			}
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", plan.Quote(name), err)
		}
		return isDir && err == nil, nil
	}
	into, _ := give(unix.AT_FDCWD, dir)
	if into {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		var ns []string
		if err == nil {
			defer unix.Close(fd)
			ns, err = names(fd, "")
		}
		for _, n := range ns {
			if e := descend(fd, n, give, func(int, string) error { return nil }); err == nil {
				err = e
			}
		}
		if failed == nil {
			failed = err
		}
	}
	if failed != nil {
		return &Error{What: "hand back all of it", Cause: failed}
	}
	return nil
}
