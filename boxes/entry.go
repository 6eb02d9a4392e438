package boxes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// An Entry is what there is to know of a box.
type Entry struct {
	Name    string    `json:"name"`
	Nobox   Process   `json:"nobox"`  // the nobox that runs it
	Init    Process   `json:"init"`   // its pid 1
	Reaper  bool      `json:"reaper"` // which is nobox's reaper, and the command its child
	Since   time.Time `json:"since"`
	Args    []Text    `json:"args"` // nobox's own arguments, the command included
	Command []Text    `json:"command"`
	Cwd     Text      `json:"cwd"`

	// Nested: the command is in a user namespace within the box's; plan.Nest.
	Nested bool `json:"nested,omitempty"`

	Detached bool   `json:"detached,omitempty"` // it is kept when it has ended
	Ended    *Ended `json:"ended,omitempty"`    // nil while it runs
}

// Ended is how a box ended.
type Ended struct {
	At   time.Time `json:"at"`
	Code int       `json:"code"` // of the command; -1 where its nobox was killed
}

// A Process is known by its number and when it started, in clock ticks since
// the machine did; proc_pid_stat(5). Numbers are given again, times are not.
type Process struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
}

// Text is a string that need not be UTF-8, as arguments and paths.
type Text string

// odd is what stands before a text that JSON could not hold as it is.
const odd = "base64:"

func (t Text) MarshalText() ([]byte, error) {
	if utf8.ValidString(string(t)) && !strings.HasPrefix(string(t), odd) {
		return []byte(t), nil
	}
	return []byte(odd + base64.StdEncoding.EncodeToString([]byte(t))), nil
}

func (t *Text) UnmarshalText(b []byte) error {
	*t = Text(b)
	if rest, is := strings.CutPrefix(string(b), odd); is {
		b, err := base64.StdEncoding.DecodeString(rest)
		*t = Text(b)
		return err
	}
	return nil
}

// ProcessOf is the process of that number as it is now.
func ProcessOf(pid int) (Process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, err
	}
	// The name, in parentheses, may hold anything.
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return Process{}, errors.New("/proc/PID/stat is not as proc(5) has it")
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return Process{pid, start}, err
}

// Open is a pidfd of the process, or an error if it is no more.
func (p Process) Open() (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return -1, err
	}
	// Of the number's present holder; it is the one meant if it started then.
	if now, err := ProcessOf(p.PID); err != nil || now != p {
		unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

func (e Entry) alive() bool {
	fd, err := e.Nobox.Open()
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// maxState is more than any command line the kernel takes, quoted.
const maxState = 32 << 20

func (e Entry) text() ([]byte, error) { return json.Marshal(e) }

func read(dir string) (Entry, error) {
	var e Entry
	fd, err := unix.Open(dir+"/state", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return e, err
	}
	f := os.NewFile(uintptr(fd), "state")
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxState {
		return e, errors.New("it is no state of a box")
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		return e, err
	}
	return e, json.Unmarshal(b, &e)
}

// ErrNone is a name that no running box has.
var ErrNone = errors.New("no box of that name is running")

// Find is the running box of a name; ErrNone if there is none.
func (d Dir) Find(name string, uid uint32) (Entry, error) {
	e, err := d.Last(name, uid)
	if err == nil && e.Ended != nil {
		return Entry{}, ErrNone
	}
	return e, err
}

// Last is the box of a name that runs, or that ended and is kept; ErrNone if
// there is none.
func (d Dir) Last(name string, uid uint32) (Entry, error) {
	if err := private(string(d), uid); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return Entry{}, ErrNone
		}
		return Entry{}, fmt.Errorf("%s: %w", d, err)
	}
	dir := filepath.Join(string(d), name)
	fd, err := unix.Open(dir+"/lock", unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Entry{}, ErrNone
	}
	defer unix.Close(fd)
	running := locked(fd)
	e, err := read(dir)
	switch {
	case running && errors.Is(err, unix.ENOENT):
		return Entry{}, ErrNone // it only starts
	case running, err == nil && e.Ended != nil:
		return e, err
	case err == nil && e.Detached:
		e.Ended = &Ended{Code: -1} // its nobox was killed, and what it wrote is kept
		return e, nil
	}
	// Left by a nobox that was killed.
	if lock(fd) == nil && same(fd, dir+"/lock") {
		clear(dir)
	}
	return Entry{}, ErrNone
}

// List is every running box, and with ended those that are kept, by name. What
// else noboxes that were killed left is removed.
func (d Dir) List(uid uint32, ended bool) ([]Entry, error) {
	names, err := os.ReadDir(string(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, n := range names {
		e, err := d.Last(n.Name(), uid)
		if errors.Is(err, ErrNone) || err == nil && e.Ended != nil && !ended {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Valid says why a name is none, nil if it is one: as docker has it.
func Valid(name string) error {
	if name == "" || len(name) > 64 {
		return errors.New("a name has 1 to 64 bytes")
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.'):
		default:
			return errors.New(`a name has letters, digits and, not first, "-", "_" and "."`)
		}
	}
	return nil
}

// ErrApart is a box none of whose processes that can be known are in its
// namespaces.
var ErrApart = errors.New("its command has gone into a user namespace of its own making, and there is no other process by which it could be joined")

// Joinable is a process whose namespaces are the box's: its pid 1, if that is
// the command, else a child of the reaper, which itself is closed to all. The
// pidfd is the caller's to close. The error is ErrNone if the box ended, ErrApart
// if there is no such process.
func (e Entry) Joinable() (Process, int, error) {
	fd, err := e.Init.Open()
	if err != nil {
		return Process{}, -1, ErrNone
	}
	if !e.Reaper {
		if !e.Init.below(e.Nested) {
			unix.Close(fd)
			return Process{}, -1, ErrApart
		}
		return e.Init, fd, nil
	}
	defer unix.Close(fd)
	// The reaper forks, and its child becomes the command, after the box is
	// said to run.
	for limit := time.Now().Add(startWait); ; {
		if p, fd, ok := e.child(); ok {
			return p, fd, nil
		}
		switch n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 2); {
		case n > 0:
			return Process{}, -1, ErrNone
		case time.Now().After(limit):
			return Process{}, -1, ErrApart
		}
	}
}

// Executed waits until the command runs, which is when its process has called
// execve(2). It is false if the box ended first, and true as well if that is not
// known after limit, or cannot be known: a kernel without /proc/PID/task/TID/children,
// /proc mounted with hidepid.
func (e Entry) Executed(limit time.Duration) bool {
	fd, err := e.Init.Open()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	for end := time.Now().Add(limit); ; {
		all, known := []int{e.Init.PID}, true
		if e.Reaper {
			all, known = e.children()
		}
		if slices.ContainsFunc(all, executed) {
			return true
		}
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1); n > 0 {
			return false
		}
		if !known || time.Now().After(end) {
			return true
		}
	}
}

// executed says whether a process is more than a fork of another: PF_FORKNOEXEC in
// the flags of /proc/PID/stat, its ninth field; proc_pid_stat(5).
func executed(pid int) bool {
	const forkNoExec = 0x40
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 7 || fields[0] == "Z" {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&forkNoExec == 0
}

// children are those of pid 1, where they can be known.
func (e Entry) children() (out []int, known bool) {
	pid := strconv.Itoa(e.Init.PID)
	b, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		return nil, false
	}
	for _, f := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(f); err == nil {
			out = append(out, child)
		}
	}
	return out, true
}

// child is a child of the reaper's that can be joined, and a pidfd of it.
func (e Entry) child() (Process, int, bool) {
	all, _ := e.children()
	for _, child := range all {
		p, err := ProcessOf(child)
		if err != nil {
			continue
		}
		if fd, err := p.Open(); err == nil {
			if p.below(e.Nested) {
				return p, fd, true
			}
			unix.Close(fd)
		}
	}
	return Process{}, -1, false
}

// below says whether the process is in a user namespace right below the caller's
// own, as the box's is, or with nested in one right below that: what runs in a box
// that may make more of them is not to choose which one is joined
// (CVE-2022-31214). ioctl_nsfs(2).
func (p Process) below(nested bool) bool {
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.PID)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	levels := 1
	if nested {
		levels = 2
	}
	for range levels {
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		unix.Close(fd)
		if err != nil {
			return false
		}
		fd = parent
	}
	defer unix.Close(fd)
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Stat("/proc/self/ns/user", &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}
