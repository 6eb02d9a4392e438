package changes

import (
	"fmt"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A batch is changes that are written back together. What the box made is first
// made on the host under names of its own, then it is on the disk, then it is
// renamed. What is kept of it in the set goes when the renames are on the disk.
//
// Whatever ends this, the host has the old file or the whole new one, and the
// set has the change for as long as the host may lose it.
type batch struct {
	set    *Set
	notes  *os.File
	most   int  // of changes
	single bool // each file is synced by itself: they are few

	items  []item
	bytes  int64
	dirs   map[place]*target
	noted  map[string]bool
	before []*Change // in their places, perhaps not on the disk, and still in the set
	disks  map[uint64]*disk
}

type item struct {
	c    *Change
	dir  *target
	name string
	tmp  string // "" is nothing that has to be made first
}

// A place is a directory, below the source of a layer.
type place struct {
	layer *layer
	rel   string
}

// A target is a directory of the host in which something changes.
type target struct {
	fd    int
	disk  *disk
	dirty bool
}

// A disk is a file system of the host on which something changed.
type disk struct {
	fd    int // opened before that: syncfs(2) tells of errors since
	whole bool
	dirty bool
}

const (
	few       = 48 // changes that do not pay for syncing all that others wrote
	batchMost = 4096
	batchDirs = 256       // a descriptor each
	batchSize = 256 << 20 // bytes that are there twice for as long as the set has them
)

func newBatch(s *Set, cs []Change, notes *os.File) *batch {
	b := &batch{set: s, notes: notes, most: s.batch, single: len(cs) <= few && s.batch == 0, dirs: map[place]*target{}, noted: map[string]bool{}, disks: map[uint64]*disk{}}
	if b.most == 0 {
		b.most = batchMost
	}
	return b
}

func (b *batch) close() {
	b.closeDirs()
	for _, d := range b.disks {
		unix.Close(d.fd)
	}
}

func (b *batch) closeDirs() {
	for k, t := range b.dirs {
		unix.Close(t.fd)
		delete(b.dirs, k)
	}
}

// add has one more change written back, now or with those that come.
func (b *batch) add(c *Change, done func(Change)) error {
	if c.layer.lower < 0 {
		return b.fail(c, fmt.Errorf("%s, which it is of, is gone", plan.Quote(string(c.layer.source))), done)
	}
	if c.rel == "" || c.Is.Type == "directory" && c.Kind != Added && c.Kind != Type {
		return nil // finishDir
	}
	// Of two overlays the later has the last word.
	if n := len(b.items); n == b.most || len(b.dirs) >= batchDirs || b.bytes >= batchSize || n > 0 && b.items[n-1].c.Path == c.Path {
		if err := b.flush(done); err != nil {
			return err
		}
	}
	err := b.stage(c)
	if err != nil && len(b.items)+len(b.before) > 0 {
		// It may be room that is missing, which the others take up twice.
		if err := b.flush(done); err != nil {
			return err
		}
		if err := b.settle(); err != nil {
			return err
		}
		err = b.stage(c)
	}
	if err != nil {
		return b.set.cannotApply(c, err)
	}
	return nil
}

// fail writes back what came before a change that cannot be.
func (b *batch) fail(c *Change, cause error, done func(Change)) error {
	if err := b.flush(done); err != nil {
		return err
	}
	if err := b.settle(); err != nil {
		return err
	}
	return b.set.cannotApply(c, cause)
}

// stage makes what a change needs before it can be put in its place.
func (b *batch) stage(c *Change) error {
	dir, name, err := b.parent(c)
	if err != nil {
		return err
	}
	it := item{c: c, dir: dir, name: name}
	switch {
	case c.Is.Type == "directory":
		dir.change()
		return c.layer.makeDir(dir.fd, name, c)
	case c.Kind != Deleted && (c.Kind != Mode || len(c.Xattrs) > 0):
		at := path.Dir(string(c.Path))
		if !b.noted[at] {
			b.noted[at] = true
			if _, err := fmt.Fprintf(b.notes, "%s %s\n", stagedNote, strconv.Quote(at)); err != nil {
				return bare(err)
			}
		}
		it.tmp = fmt.Sprintf("%s-%d", b.set.temporary, len(b.items))
		size, err := c.layer.stage(dir.fd, it.tmp, c, b.single || !dir.disk.whole)
		if err != nil {
			return err
		}
		dir.change()
		b.bytes += size
	}
	b.items = append(b.items, it)
	return nil
}

// parent is the directory of the host in which a change is.
func (b *batch) parent(c *Change) (*target, string, error) {
	dir, name := path.Split(c.rel)
	k := place{c.layer, path.Clean("./" + dir)}
	if t := b.dirs[k]; t != nil {
		return t, name, nil
	}
	fd, err := unix.Openat2(c.layer.lower, k.rel, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: beneath})
	if err != nil {
		return nil, "", err
	}
	d, err := b.diskOf(fd)
	if err != nil {
		unix.Close(fd)
		return nil, "", err
	}
	t := &target{fd: fd, disk: d}
	b.dirs[k] = t
	return t, name, nil
}

func (b *batch) diskOf(dir int) (*disk, error) {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return nil, err
	}
	if d := b.disks[st.Dev]; d != nil {
		return d, nil
	}
	fd, err := unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := &disk{fd: fd, whole: syncedAsAWhole(dir)}
	b.disks[st.Dev] = d
	return d, nil
}

// syncedAsAWhole says whether syncfs(2) leaves nothing of a file system unwritten.
// FUSE does not tell its server; of what is not known each file is synced.
func syncedAsAWhole(fd int) bool {
	var f unix.Statfs_t
	if unix.Fstatfs(fd, &f) != nil {
		return false
	}
	switch int64(f.Type) & 0xffffffff {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.NFS_SUPER_MAGIC:
		return true
	}
	return false
}

// flush puts what was staged in its place. It is still in the set then.
func (b *batch) flush(done func(Change)) error {
	staged := false
	for _, it := range b.items {
		staged = staged || it.tmp != ""
	}
	if staged {
		if err := b.settle(); err != nil {
			b.drop(0)
			return err
		}
	}
	for i, it := range b.items {
		if err := b.put(&it); err != nil {
			b.drop(i)
			if err := b.syncDirs(); err == nil {
				b.settle()
			}
			return b.set.cannotApply(it.c, err)
		}
		it.dir.change()
		b.before = append(b.before, it.c)
		done(*it.c)
	}
	b.items, b.bytes = b.items[:0], 0
	if staged {
		fmt.Fprintf(b.notes, "%s %q\n", settledNote, "")
		clear(b.noted)
	}
	err := b.syncDirs()
	b.closeDirs()
	return err
}

// drop takes away what is staged, from one item on.
func (b *batch) drop(from int) {
	for _, it := range b.items[from:] {
		if it.tmp != "" {
			writing(it.dir.fd, func() error { return unix.Unlinkat(it.dir.fd, it.tmp, 0) })
		}
	}
	b.items = nil
}

// syncDirs has renames be on the disk where no syncfs follows.
func (b *batch) syncDirs() error {
	for _, t := range b.dirs {
		if !t.dirty || !b.single && t.disk.whole {
			continue
		}
		if err := unix.Fsync(t.fd); err != nil && err != unix.EINVAL { // a file system that cannot; fsync(2)
			return &Error{What: "write back what is applied", Cause: err}
		}
		t.dirty = false
	}
	return nil
}

func (t *target) change() { t.dirty, t.disk.dirty = true, true }

// put has one change take place.
func (b *batch) put(it *item) error {
	c := it.c
	switch {
	case c.Kind == Deleted:
		if err := c.layer.remove(it.dir.fd, it.name, c); err != nil {
			return err
		}
	case it.tmp == "":
		if err := c.layer.setMode(it.dir.fd, it.name, c); err != nil {
			return err
		}
	default:
		if c.Kind == Type && c.Was.Type == "directory" {
			if err := writing(it.dir.fd, func() error { return unix.Unlinkat(it.dir.fd, it.name, unix.AT_REMOVEDIR) }); err != nil && err != unix.ENOENT {
				return err
			}
		}
		if err := writing(it.dir.fd, func() error { return unix.Renameat(it.dir.fd, it.tmp, it.dir.fd, it.name) }); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if unix.Fstatat(it.dir.fd, it.name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		fmt.Fprintf(b.notes, "%s %s\n", stamp(st.Ctim), strconv.Quote(string(c.Path)))
		b.set.log[string(c.Path)] = stamp(st.Ctim)
	}
	return nil
}

// settle has all that was done so far be on the disk, and takes out of the set
// what is in its place.
// Preconditions: flush or syncDirs since the last change of what is not synced as a whole.
func (b *batch) settle() error {
	for _, d := range b.disks {
		if !d.dirty || !d.whole || b.single {
			continue
		}
		if err := unix.Syncfs(d.fd); err != nil {
			return &Error{What: "write back what is applied", Cause: err}
		}
		d.dirty = false
	}
	var failed error
	for _, c := range b.before {
		if c.Kind == Deleted {
			if st, err := lstat(c.layer.upper, c.rel); err != nil || !whiteout(&st) {
				continue
			}
		}
		if err := c.layer.forget(c.rel, 0); err != nil && failed == nil {
			failed = b.set.cannotApply(c, err)
		}
	}
	b.before = nil
	return failed
}
