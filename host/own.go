package host

import (
	"errors"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Passing is the mode of a directory of nobox's own that is there only for as long
// as a box could make it were it not: the caller's alone, with the bit that in such
// a directory means nothing else. Whoever removes one last knows it by that.
const Passing = 0o1700

// Passes says whether a directory of this mode is one that nobox made for the time
// of a box. What is made in a directory with the set-group-ID bit gets that too.
func Passes(perm uint32) bool { return perm&^unix.S_ISGID == Passing }

// PassesAt says whether there is such a directory at a path.
func PassesAt(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && Passes(st.Mode&0o7777)
}

// holdWait is how long another nobox may have the lock for itself: it removes the
// directory then, which takes no time.
const holdWait = 2 * time.Second

// ErrHeld is a lock that somebody has who is no nobox.
var ErrHeld = errors.New("another process has locked it")

// A HeldDir is a directory that no nobox removes until LetGo, or the end of this
// process.
type HeldDir struct {
	Dir string
	fd  int
}

// HoldDir holds a directory of nobox's own, and makes it, and what it is in, where
// it is not there; flock(2). No symbolic link is followed.
func HoldDir(dir string) (*HeldDir, error) {
	for limit := time.Now().Add(holdWait); ; unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil) {
		fd, err := makeDir(dir)
		if err == nil {
			if err = flock(fd, unix.LOCK_SH); err == nil && isAt(fd, dir) {
				return &HeldDir{dir, fd}, nil
			}
			unix.Close(fd)
		}
		switch {
		case err == nil || err == unix.ENOENT || err == unix.EAGAIN:
			// It is being removed.
		default:
			removePassing(path.Dir(dir), false)
			return nil, err
		}
		if time.Now().After(limit) {
			return nil, ErrHeld
		}
	}
}

// LetGo lets another nobox remove the directory, and removes it if it was made
// for the time of a box, no other holds it and nobody put anything into it, and
// likewise what it is in.
func (h *HeldDir) LetGo() {
	removeUnheld(h.fd, h.Dir, false)
	unix.Close(h.fd)
}

// RemoveIdle removes a directory of nobox's own that is empty, unless it is held;
// with passing alone only one that was made for the time of a box.
func RemoveIdle(dir string, passing bool) {
	fd, err := openDir(dir, unix.O_RDONLY)
	if err == unix.ENOENT {
		removePassing(path.Dir(dir), false) // what it was to be in may be there
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	removeUnheld(fd, dir, !passing)
}

// removeUnheld removes an open directory by its path if nobody else has its lock.
// Another may have emptied it meanwhile, and have left it for this lock: then that
// is not the end.
func removeUnheld(fd int, dir string, any bool) {
	for flock(fd, unix.LOCK_EX) == nil && isAt(fd, dir) {
		full := removePassing(dir, any)
		unix.Flock(fd, unix.LOCK_UN)
		if !full || holdsMore(fd, "") {
			return
		}
	}
}

// openDir opens a directory by a path that is resolved already.
func openDir(dir string, flags uint64) (int, error) {
	return unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{Flags: flags | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
}

// makeDir opens a directory, and makes it first if it is not there, and what it is
// in. ENOENT means that somebody removed one meanwhile.
func makeDir(dir string) (int, error) {
	fd, err := openDir(dir, unix.O_RDONLY)
	if err != unix.ENOENT {
		return fd, err
	}
	in, err := openDir(path.Dir(dir), unix.O_PATH)
	if err == unix.ENOENT {
		in, err = makeDir(path.Dir(dir))
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(in)
	mask := unix.Umask(0) // the mode is the mark
	err = unix.Mkdirat(in, path.Base(dir), Passing)
	if unix.Umask(mask); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return unix.Openat(in, path.Base(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// removePassing removes a directory that was made for the time of a box, if it is
// empty, and those above it that were. One that holds something is from then on
// like any other, unless that is what another nobox has made on the same way. With
// any the first may be of another mode. It says whether something was in the first.
func removePassing(dir string, any bool) (full bool) {
	first := dir
	for on := ""; dir != "/"; dir, on, any = path.Dir(dir), path.Base(dir), false {
		fd, err := openDir(dir, unix.O_RDONLY)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return full
		}
		var st unix.Stat_t
		goes := unix.Fstat(fd, &st) == nil && st.Uid == uint32(unix.Geteuid()) && (any || Passes(st.Mode&0o7777))
		if goes {
			err := rmdir(dir)
			full = full || dir == first && err == unix.ENOTEMPTY
			switch {
			case err == unix.ENOTEMPTY && !any && holdsMore(fd, on):
				unix.Fchmod(fd, 0o700)
			case err != nil && err != unix.ENOENT:
				goes = false
			}
		}
		unix.Close(fd)
		if !goes {
			return full
		}
	}
	return full
}

// holdsMore says whether an open directory has another entry than this.
func holdsMore(fd int, but string) bool {
	var names []string
	buf := make([]byte, 4096)
	unix.Seek(fd, 0, unix.SEEK_SET)
	for len(names) < 2 {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	return len(names) > 1 || len(names) == 1 && names[0] != but
}

func rmdir(dir string) error {
	in, err := openDir(path.Dir(dir), unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	return unix.Unlinkat(in, path.Base(dir), unix.AT_REMOVEDIR)
}

// flock takes a lock without waiting for it.
func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// isAt says whether an open directory is the one at a path.
func isAt(fd int, dir string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(dir, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}
