package changes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// Kind is what happened to a path.
type Kind uint8

const (
	Added    Kind = iota
	Modified      // other content, or a link that leads elsewhere
	Deleted
	Mode  // other mode or owner
	Type  // a directory is a file now, or the like
	Xattr // other extended attributes of the user's, or another access list
)

func (k Kind) String() string {
	return [...]string{"added", "modified", "deleted", "mode", "type", "xattr"}[k]
}

// State is what stands at a path. The zero value is nothing.
type State struct {
	Type     string // file, directory, link, fifo, socket, device
	Size     int64
	Mode     uint32 // permissions
	UID, GID uint32 // of the host
	Link     string // where a link leads
}

// A Change is one path of the host that a box changed.
type Change struct {
	Path    plan.HostPath
	Kind    Kind
	Was, Is State
	Xattrs  []string // those that differ, of a file or directory that stays one; sorted

	layer  *layer
	rel    string // below the layer's source, "" is the source itself
	inside bool   // deleted with a directory that is deleted, or hidden by one that is new
	ctime  unix.Timespec
	mtime  unix.Timespec // of a directory that was added

	OwnerStays bool // set by Apply: who owns it in the box was not the caller's to give
}

// A Set is a directory of kept changes.
type Set struct {
	Dir       string
	Layers    []string // the sources
	dir       int
	layers    []*layer
	temporary string            // how the name begins of what Apply has not yet put in its place
	staged    []string          // where there may be such things
	batch     int               // how many changes Apply puts in their places at once; 0 is as many as are good
	log       map[string]string // what apply wrote, and how the host's file looked then
}

type layer struct {
	source plan.HostPath
	name   string
	upper  int      // descriptor
	lower  int      // of the source, -1 if it is gone
	notes  *os.File // of an Apply
	since  unix.Timespec
	same   []string // of the upper layer, what is as the host has it: a file that was only touched
}

// An Error is something about kept changes that cannot be done.
type Error struct {
	What  string
	Cause error
	Hint_ string
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s: %v", e.What, e.Cause) }
func (e *Error) Unwrap() error { return e.Cause }
func (e *Error) Hint() string  { return e.Hint_ }

// Unread is what could not be compared, so that a list of changes is not whole.
type Unread struct {
	Paths  []plan.HostPath
	Causes []error // of each path
	dir    string
}

func (e *Unread) Error() string {
	more := ""
	if len(e.Paths) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(e.Paths)-1)
	}
	name := plan.Quote(string(e.Paths[0]))
	if len(name) > 256 {
		name = plan.Quote(string(e.Paths[0])[:200]) + "..."
	}
	return fmt.Sprintf("cannot list all changes: %s: %v%s", name, e.Causes[0], more)
}

func (e *Unread) Unwrap() []error { return e.Causes }

func (e *Unread) Hint() string {
	switch {
	case errors.Is(e, unix.EACCES):
		return "files of mapped ids that you cannot read: " + handBack(e.dir)
	case errors.Is(e, unix.ENAMETOOLONG):
		return fmt.Sprintf("nobox apply %s PATH... writes back what lies elsewhere", plan.Quote(e.dir))
	}
	return ""
}

// Concerns says whether one of the paths is, holds or lies in what could not be
// compared.
func (e *Unread) Concerns(paths []string) bool {
	for _, p := range paths {
		for _, u := range e.Paths {
			if within(p, string(u)) || within(string(u), p) {
				return true
			}
		}
	}
	return false
}

func handBack(dir string) string { return "nobox rm-owned --hand-back " + plan.Quote(dir) }

// ErrInUse is a directory whose changes a box is making.
var ErrInUse = errors.New("a box is using it")

// Lock keeps others from a directory of changes for as long as the descriptor
// it returns is open.
func Lock(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		if err == unix.EWOULDBLOCK {
			err = ErrInUse
		}
		return -1, err
	}
	return fd, nil
}

// Locked sees that a descriptor holds the lock of a directory, by its resolved
// path.
func Locked(fd int, dir string) error {
	at, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var want, got unix.Stat_t
	if err := unix.Fstat(at, &want); err != nil {
		return err
	}
	if err := unix.Fstat(fd, &got); err != nil || want.Dev != got.Dev || want.Ino != got.Ino {
		return errors.New("it is another directory by now")
	}
	return nil
}

// workDir is what overlayfs calls its own directory, in the one that it is given
// to work in, which nobox calls so too.
const workDir = "work"

// Release gives a directory free that Lock took. The overlays left directories
// in it that nobody may enter, which rm(1) stumbles over: those are opened.
func Release(fd int) {
	defer unix.Close(fd)
	ns, err := layerNames(fd, "")
	if err != nil {
		return
	}
	for _, n := range ns {
		if w, err := unix.Openat2(fd, n+"/"+workDir+"/"+workDir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath}); err == nil {
			chmod(w, 0o700)
			unix.Close(w)
		}
	}
}

// layerNames are the names of all layers in a directory; plan.LayerName.
func layerNames(fd int, dir string) (out []string, err error) {
	ns, err := names(fd, dir)
	for _, n := range ns {
		name := path.Join(dir, n)
		if strings.HasPrefix(n, plan.PartOfName) {
			below, err := layerNames(fd, name)
			if err != nil && err != unix.ENOTDIR && err != unix.ELOOP {
				return nil, err
			}
			out = append(out, below...)
		} else if _, ok := plan.SourceOf(name); ok {
			out = append(out, name)
		}
	}
	return out, err
}

// Open opens a directory of changes, for this process alone.
func Open(dir string) (*Set, error) {
	fail := func(err error, hint string) (*Set, error) {
		return nil, &Error{What: "read the changes in " + plan.Quote(dir), Cause: err, Hint_: hint}
	}
	fd, err := Lock(dir)
	if err != nil {
		return fail(err, "")
	}
	s := &Set{Dir: dir, dir: fd}
	there, err := names(fd, "")
	if err != nil {
		s.Close()
		return fail(err, "")
	}
	ns, err := layerNames(fd, "")
	if err != nil {
		s.Close()
		return fail(err, "")
	}
	for _, n := range ns {
		source, _ := plan.SourceOf(n)
		l := &layer{source: source, name: n, lower: -1}
		if l.upper, err = openDir(fd, n+"/upper"); err != nil {
			if err == unix.ENOENT {
				continue // a start that ended early
			}
			s.Close()
			return fail(err, "")
		}
		s.layers = append(s.layers, l)
		s.Layers = append(s.Layers, string(source))
		var st unix.Stat_t
		if st, err = lstat(fd, n); err != nil {
			s.Close()
			return fail(err, "")
		}
		l.since = st.Mtim // upper and work were made then
		if l.lower, err = unix.Openat2(unix.AT_FDCWD, string(source), &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}); err != nil {
			l.lower = -1
		}
	}
	if len(s.layers) == 0 && len(there) > 0 {
		s.Close()
		return fail(errors.New("it holds no changes of nobox's"), "--overlay-dir DIR of a run makes such a directory")
	}
	s.readLog()
	return s, nil
}

// Close gives the directory free.
func (s *Set) Close() {
	for _, l := range s.layers {
		unix.Close(l.upper)
		if l.lower >= 0 {
			unix.Close(l.lower)
		}
	}
	unix.Close(s.dir)
}

// beneath is how paths below a tree are opened: without a link, on no way out.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func openDir(at int, rel string) (int, error) {
	if rel == "" {
		rel = "."
	}
	return unix.Openat2(at, rel, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
}

// parent opens the directory that holds rel.
func parent(at int, rel string) (int, string, error) {
	dir, name := path.Split(rel)
	fd, err := unix.Openat2(at, strings.TrimSuffix("./"+dir, "/"), &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
	return fd, name, err
}

// lstat looks at a path below a tree.
func lstat(at int, rel string) (st unix.Stat_t, err error) {
	if at < 0 {
		return st, unix.ENOENT
	}
	if rel == "" {
		return st, unix.Fstatat(at, "", &st, unix.AT_EMPTY_PATH)
	}
	dir, name, err := parent(at, rel)
	if err != nil {
		if err == unix.ELOOP || err == unix.ENOTDIR {
			err = unix.ENOENT // something else than a directory is in the way
		}
		return st, err
	}
	defer unix.Close(dir)
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func readlink(at int, rel string) string {
	dir, name, err := parent(at, rel)
	if err != nil {
		return ""
	}
	defer unix.Close(dir)
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// names are the entries of a directory, sorted.
func names(at int, rel string) ([]string, error) {
	fd, err := openDir(at, rel)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	ns, err := f.Readdirnames(-1)
	sort.Strings(ns)
	return ns, err
}

func stateOf(at int, rel string, st *unix.Stat_t) State {
	s := State{Size: st.Size, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.Type = "file"
	case unix.S_IFDIR:
		s.Type, s.Size = "directory", 0
	case unix.S_IFLNK:
		s.Type, s.Mode, s.Link = "link", 0, readlink(at, rel)
	case unix.S_IFIFO:
		s.Type = "fifo"
	case unix.S_IFSOCK:
		s.Type = "socket"
	default:
		s.Type = "device"
	}
	return s
}

// whiteout says whether an entry of an upper layer stands for what is not there;
// overlayfs.rst, "whiteouts and opaque directories".
func whiteout(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// opaque says whether a directory of an upper layer hides what the lower one
// has there, and refuses marks that nobox's overlays cannot make.
func (l *layer) opaque(rel string) (bool, error) {
	fd, err := openDir(l.upper, rel)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 16)
	for _, mark := range []string{"user.overlay.redirect", "user.overlay.metacopy"} {
		if n, err := unix.Fgetxattr(fd, mark, nil); err == nil && n >= 0 {
			return false, fmt.Errorf("the mark %s is on it, which nobox's overlays do not make", mark)
		}
	}
	n, err := unix.Fgetxattr(fd, "user.overlay.opaque", buf)
	return err == nil && n == 1 && buf[0] == 'y', nil
}

// List is every change, by path. What cannot be read is in the error, and the
// list is of the rest: then it is not whole.
func (s *Set) List() ([]Change, error) {
	var out []Change
	bad := &Unread{dir: s.Dir}
	for _, l := range s.layers {
		l.same = nil
		w := walker{layer: l, set: s, out: &out}
		if up, err := lstat(l.upper, ""); err == nil {
			if low, err := lstat(l.lower, ""); err == nil {
				w.top(&up, &low)
			}
		}
		w.dir("", false, false)
		bad.Paths, bad.Causes = append(bad.Paths, w.bad.Paths...), append(bad.Causes, w.bad.Causes...)
	}
	slices.SortStableFunc(out, func(a, b Change) int { return strings.Compare(string(a.Path), string(b.Path)) })
	if len(bad.Paths) > 0 {
		return out, bad
	}
	return out, nil
}

type walker struct {
	*layer
	set *Set
	out *[]Change
	bad Unread
}

func (w *walker) path(rel string) plan.HostPath {
	return plan.HostPath(path.Join(string(w.source), rel))
}

func (w *walker) add(rel string, k Kind, was, is State, ctime unix.Timespec, inside bool) {
	p := w.path(rel)
	rel = string(p[len(p)-len(rel):]) // one copy: there may be many
	*w.out = append(*w.out, Change{Path: p, Kind: k, Was: was, Is: is, layer: w.layer, rel: rel, ctime: ctime, inside: inside})
}

func (w *walker) fail(rel string, err error) {
	w.bad.Paths, w.bad.Causes = append(w.bad.Paths, w.path(rel)), append(w.bad.Causes, err)
}

// top compares the directory that a layer is of. nobox makes that of the upper
// layer, so what the host's has of attributes did not show in the box.
func (w *walker) top(up, low *unix.Stat_t) {
	was, is := stateOf(w.lower, "", low), stateOf(w.upper, "", up)
	mine := attrsOf(w.upper, "")
	attrs := slices.DeleteFunc(attrsThatDiffer(mine, attrsOf(w.lower, "")), func(name string) bool {
		_, made := mine[name]
		return !made
	})
	switch {
	case low.Mode != up.Mode:
		w.add("", Mode, was, is, low.Ctim, false)
	case len(attrs) > 0:
		w.add("", Xattr, was, is, low.Ctim, false)
	default:
		return
	}
	(*w.out)[len(*w.out)-1].Xattrs = attrs
}

// attrsOf are the extended attributes of a path that a box can change, and
// their values, where the caller may read them.
func attrsOf(at int, rel string) map[string]string {
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(at, rel, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: beneath})
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	file := "/proc/self/fd/" + strconv.Itoa(fd) // xattr calls take no O_PATH
	n, err := unix.Listxattr(file, nil)
	if err != nil || n == 0 {
		return nil
	}
	list := make([]byte, n)
	if n, err = unix.Listxattr(file, list); err != nil {
		return nil
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if !writtenBack(name) {
			continue
		}
		n, err := unix.Getxattr(file, name, nil)
		value := make([]byte, max(n, 0))
		if err == nil && n > 0 {
			n, err = unix.Getxattr(file, name, value)
		}
		if err != nil {
			continue
		}
		out[name] = string(value[:n])
	}
	return out
}

// writtenBack says whether an extended attribute is one that apply gives to the
// host's file: none is that overlayfs keeps its own in.
func writtenBack(name string) bool {
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.") ||
		name == "system.posix_acl_access" || name == "system.posix_acl_default"
}

// attrsThatDiffer are the names that one of the two lacks, or has otherwise.
func attrsThatDiffer(a, b map[string]string) (out []string) {
	for name, value := range a {
		if other, ok := b[name]; !ok || other != value {
			out = append(out, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// dir compares a directory of the upper layer with the host's. alone says that
// the host has no directory there; hides, that one above is opaque, so that
// nothing of the host's shows in this one either.
func (w *walker) dir(rel string, alone, hides bool) {
	hidden, err := w.opaque(rel)
	if err != nil {
		w.fail(rel, err)
		return
	}
	hidden = hidden || hides
	ns, err := names(w.upper, rel)
	if err != nil {
		w.fail(rel, err)
		return
	}
	seen := map[string]bool{}
	for _, n := range ns {
		seen[n] = true
		w.entry(path.Join(rel, n), alone, hidden)
	}
	if hidden && !alone {
		lower, err := names(w.lower, rel)
		if err != nil && err != unix.ENOENT && err != unix.ENOTDIR && w.lower >= 0 {
			w.fail(rel, err)
		}
		for _, n := range lower {
			if !seen[n] {
				w.deleted(path.Join(rel, n), false)
			}
		}
	}
}

func (w *walker) entry(rel string, alone, hides bool) {
	up, err := lstat(w.upper, rel)
	if err != nil {
		w.fail(rel, err)
		return
	}
	var low unix.Stat_t
	there := false
	if !alone {
		low, err = lstat(w.lower, rel)
		if there = err == nil; !there && err != unix.ENOENT {
			w.fail(rel, err)
			return
		}
	}
	if whiteout(&up) {
		// One with a mode is nobox's own, of a mask (plan.Whiteout): no box deleted anything.
		if there && up.Mode&0o7777 == 0 {
			w.deleted(rel, false)
		}
		return
	}
	is, was := stateOf(w.upper, rel, &up), State{}
	if there {
		was = stateOf(w.lower, rel, &low)
	}
	var attrs []string
	if there && was.Type == is.Type && (is.Type == "file" || is.Type == "directory") {
		attrs = attrsThatDiffer(attrsOf(w.upper, rel), attrsOf(w.lower, rel))
	}
	switch {
	case !there:
		w.add(rel, Added, was, is, unix.Timespec{}, false)
		(*w.out)[len(*w.out)-1].mtime = up.Mtim
	case was.Type != is.Type:
		w.add(rel, Type, was, is, low.Ctim, false)
		if was.Type == "directory" {
			w.deletedBelow(rel)
		}
	case is.Type == "link" && was.Link != is.Link, is.Type == "file" && w.differ(rel, was.Size, is.Size):
		w.add(rel, Modified, was, is, low.Ctim, false)
	case is.Type != "link" && (was.Mode != is.Mode || was.UID != is.UID || was.GID != is.GID):
		w.add(rel, Mode, was, is, low.Ctim, false)
	case len(attrs) > 0:
		w.add(rel, Xattr, was, is, low.Ctim, false)
	default:
		attrs = nil
		if is.Type != "directory" {
			w.same = append(w.same, rel)
		}
	}
	if len(attrs) > 0 {
		(*w.out)[len(*w.out)-1].Xattrs = attrs
	}
	if is.Type == "directory" {
		w.dir(rel, !there || was.Type != "directory", hides)
	}
}

// deleted is a path of the host that is gone, with all that is below.
func (w *walker) deleted(rel string, inside bool) {
	st, err := lstat(w.lower, rel)
	if err != nil {
		if err != unix.ENOENT {
			w.fail(rel, err)
		}
		return
	}
	was := stateOf(w.lower, rel, &st)
	w.add(rel, Deleted, was, State{}, st.Ctim, inside)
	if was.Type == "directory" {
		w.deletedBelow(rel)
	}
}

func (w *walker) deletedBelow(rel string) {
	ns, err := names(w.lower, rel)
	if err != nil {
		w.fail(rel, err)
		return
	}
	for _, n := range ns {
		w.deleted(path.Join(rel, n), true)
	}
}

func openFile(at int, rel string) (*os.File, error) {
	fd, err := unix.Openat2(at, rel, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: beneath})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), rel), nil
}

// differ says whether a file's content is another, also where that cannot be
// read.
func (w *walker) differ(rel string, was, is int64) bool {
	if was != is {
		return true
	}
	a, err := openFile(w.upper, rel)
	if err != nil {
		return true
	}
	defer a.Close()
	b, err := openFile(w.lower, rel)
	if err != nil {
		return true
	}
	defer b.Close()
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); at < is; {
		// What is a hole in both is the same.
		dataA, _, errA := nextData(a, at, is)
		dataB, _, errB := nextData(b, at, is)
		if errA != nil || errB != nil {
			return true
		}
		if at = min(dataA, dataB); at >= is {
			break
		}
		n, errA := a.ReadAt(x, at)
		m, errB := b.ReadAt(y, at)
		if n != m || n == 0 || !bytes.Equal(x[:n], y[:m]) {
			return true
		}
		if errA != nil && errA != io.EOF || errB != nil && errB != io.EOF {
			return true
		}
		at += int64(n)
	}
	return false
}
