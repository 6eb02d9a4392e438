package boxes

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nobox/host"
)

// A Dir is where the directories of the boxes are.
type Dir string

// Of is the directory of a caller: "nobox" in XDG_RUNTIME_DIR, or in
// /run/user/UID, which cron and ssh have and do not name, or nobox-UID in /tmp.
// UID is known, which is uid's number where the boxes are looked for.
func Of(runtimeDir string, uid, known uint32) Dir {
	id := strconv.FormatUint(uint64(known), 10)
	for _, d := range []string{runtimeDir, "/run/user/" + id} {
		if filepath.IsAbs(d) && private(d, uid) == nil {
			return Dir(filepath.Join(d, "nobox"))
		}
	}
	return Dir("/tmp/nobox-" + id)
}

// private says why a directory is not the caller's alone, nil if it is.
func private(dir string, uid uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return errors.New("it is not a directory")
	case st.Uid != uid:
		return fmt.Errorf("it belongs to uid %d", st.Uid)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("others have access to it (mode %04o)", st.Mode&0o7777)
	}
	return nil
}

// make makes the directory, or checks that it is the caller's alone.
func (d Dir) make(uid uint32) error {
	if err := unix.Mkdir(string(d), host.Passing); err != nil && err != unix.EEXIST {
		return fmt.Errorf("%s: %w", d, err)
	}
	if err := private(string(d), uid); err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

// A Claim is a name that is taken: nobody else has it until Release, or until
// this process has ended.
type Claim struct {
	dir  string
	lock int
}

// ErrTaken is a name that a running box has.
var ErrTaken = errors.New("a box of that name is running")

// startWait is how long a nobox that starts, or one that clears up behind a
// killed one, may hold a lock without saying whose it is.
const startWait = 2 * time.Second

// Claim takes a name. The error is ErrTaken where a running box has it.
//
// Preconditions: the name is Valid.
func (d Dir) Claim(name string, uid uint32) (*Claim, error) {
	if err := d.make(uid); err != nil {
		return nil, err
	}
	c := &Claim{dir: filepath.Join(string(d), name)}
	for limit := time.Now().Add(startWait); ; {
		switch err := unix.Mkdir(c.dir, 0o700); err {
		case nil, unix.EEXIST:
		case unix.ENOENT:
			if err := d.make(uid); err != nil { // the last box that ended removed it
				return nil, err
			}
			continue
		default:
			return nil, err
		}
		fd, err := unix.Open(c.dir+"/lock", unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == unix.ENOENT {
			continue // removed in between
		}
		if err != nil {
			return nil, err
		}
		switch err := lock(fd); {
		case err == unix.EAGAIN || err == unix.EACCES:
			unix.Close(fd)
			// Its holder may be about to go, or to say who it is.
			if e, err := read(c.dir); err == nil && e.alive() || time.Now().After(limit) {
				return nil, ErrTaken
			}
			unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
			continue
		case err != nil:
			unix.Close(fd)
			return nil, err
		}
		if !same(fd, c.dir+"/lock") {
			unix.Close(fd) // removed before it was locked
			continue
		}
		c.lock = fd
		for _, f := range files { // of a box that ended, or a nobox that was killed
			os.Remove(c.dir + "/" + f)
		}
		return c, nil
	}
}

// later is room for what an Entry does not have before the box runs.
const later = 256

// Reserve takes the room that Say needs, before the box starts: it is too late
// to find the disk full when it runs.
func (c *Claim) Reserve(e Entry) error {
	text, err := e.text()
	if err != nil {
		return err
	}
	return c.put("state.new", append(text, bytes.Repeat([]byte(" "), later)...))
}

// Say keeps what is to be known of the box.
func (c *Claim) Say(e Entry) error {
	text, err := e.text()
	if err != nil {
		return err
	}
	if err := c.put("state.new", text); err != nil {
		return err
	}
	return os.Rename(c.dir+"/state.new", c.dir+"/state")
}

// put writes a file in the place that it has, if it has one, with blanks behind
// the text up to its length then.
func (c *Claim) put(name string, text []byte) error {
	f, err := os.OpenFile(c.dir+"/"+name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if n := int(st.Size()) - len(text); n > 0 {
		text = append(text, bytes.Repeat([]byte(" "), n)...)
	}
	_, err = f.Write(text)
	return err
}

// FD is the descriptor that holds the name: a process that inherits it has the
// name too, and Inherit makes a Claim of it there.
func (c *Claim) FD() int { return c.lock }

// Inherit is the claim of a name whose descriptor this process inherited.
func (d Dir) Inherit(name string, fd int) (*Claim, error) {
	c := &Claim{dir: filepath.Join(string(d), name), lock: fd}
	if !same(fd, c.dir+"/lock") {
		return nil, fmt.Errorf("descriptor %d does not hold the name", fd)
	}
	return c, nil
}

// Listen makes the socket for those who attach to the box; they Dial it.
func (c *Claim) Listen() (fd int, err error) {
	dir, err := unix.Open(c.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, attachAt(dir)); err == nil {
		err = unix.Listen(fd, 64)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// attachAt is the socket in a directory, whose own path may be longer than the
// address of a socket; unix(7).
func attachAt(dir int) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/attach", dir)}
}

// Dial connects to the socket of a box.
func (d Dir) Dial(name string) (fd int, err error) {
	dir, err := unix.Open(filepath.Join(string(d), name), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Connect(fd, attachAt(dir)); err == nil {
		err = sayFrom(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sayFrom sends a socket the file of this process's user namespace. The caller's
// uid is that of root in a box too, a socket in a read-only mount can be connected
// to, and a process of nobox's that is confined may not look up another's
// namespaces. But nobody gets a file of one that is above his own (ioctl_nsfs(2),
// NS_GET_PARENT).
func sayFrom(socket int) error {
	ns, err := unix.Open("/proc/self/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	return unix.Sendmsg(socket, []byte("from"), unix.UnixRights(ns), nil, unix.MSG_NOSIGNAL)
}

// Own makes a function that says whether the process that connected a socket is
// one of the caller's, outside of any box: from is what it sent, see sayFrom.
// namespace is a descriptor of the caller's user namespace.
func Own(namespace int) func(socket, from int) bool {
	var own unix.Stat_t
	err := unix.Fstat(namespace, &own)
	return func(socket, from int) bool {
		peer, err2 := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
		var st unix.Stat_t
		return err == nil && err2 == nil && int(peer.Uid) == os.Geteuid() && unix.Fstat(from, &st) == nil && st.Dev == own.Dev && st.Ino == own.Ino
	}
}

// Dir is where the claim is.
func (c *Claim) Dir() string { return c.dir }

// Release gives the name up and leaves nothing of it.
func (c *Claim) Release() {
	if c.held() {
		clear(c.dir)
	}
	unix.Close(c.lock)
}

// held says whether the directory still is the claim's: somebody may have removed
// it, and another box have the name by now.
func (c *Claim) held() bool { return same(c.lock, c.dir+"/lock") }

// errRemoved is that somebody did.
var errRemoved = errors.New("its directory was removed")

// End gives the name up and keeps how the box ended, and what it wrote, until
// Remove, or until the name is taken again.
func (c *Claim) End(e Entry, code int) error {
	if !c.held() {
		unix.Close(c.lock)
		return errRemoved
	}
	e.Ended = &Ended{At: time.Now(), Code: code}
	err := c.Say(e)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// The old state's own place is left, and who reads it meanwhile reads again.
		os.Remove(c.dir + "/state.new")
		if text, err2 := e.text(); err2 == nil {
			err = c.put("state", text)
		}
	}
	os.Remove(c.dir + "/attach")
	unix.Close(c.lock)
	return err
}

// Remove removes what is kept of a box that ended; ErrTaken if it runs.
func (d Dir) Remove(name string) error {
	dir := filepath.Join(string(d), name)
	fd, err := unix.Open(dir+"/lock", unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return ErrNone
	}
	defer unix.Close(fd)
	if lock(fd) != nil {
		return ErrTaken
	}
	if same(fd, dir+"/lock") {
		clear(dir)
	}
	return nil
}

// files are what there may be in the directory of a box besides its lock.
var files = [...]string{"state", "state.new", "ports", "log", "attach"}

// clear removes a box's directory. Preconditions: the lock is held.
func clear(dir string) {
	for _, f := range files {
		os.Remove(dir + "/" + f)
	}
	os.Remove(dir + "/lock")
	os.Remove(dir)
	host.RemoveIdle(filepath.Dir(dir), false) // if it was the last
}

// lock takes the lock of an open file; fcntl(2), open file description locks.
func lock(fd int) error {
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
}

// locked says whether somebody has the lock of an open file.
func locked(fd int) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// same says whether an open file is still what a path leads to.
func same(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}
