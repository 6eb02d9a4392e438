package ports

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Name is what the forwarder's process is called: argv[0], by which main tells
// that it is one.
const Name = "nobox-ports"

// ControlFD is the descriptor that becomes readable when nobox is gone.
const ControlFD = 3

// A Port is one listening socket and where what comes in by it goes.
type Port struct {
	FD   int
	Box  uint16
	UDP  bool
	Path string // the socket's name in the file system, removed in the end
	Dir  int    // a descriptor of the directory that it is in
}

// remove removes the socket from the directory that it was made in, whatever its
// path leads to by now.
func (p Port) remove() { unix.Unlinkat(p.Dir, filepath.Base(p.Path), 0) }

// Args are the ports as arguments of the forwarder, which Main reads.
func Args(ps []Port) []string {
	args := make([]string, 0, len(ps))
	for _, p := range ps {
		kind := "tcp"
		switch {
		case p.UDP:
			kind = "udp"
		case p.Path != "":
			kind = "unix"
		}
		s := kind + ":" + strconv.Itoa(p.FD) + ":" + strconv.Itoa(int(p.Box))
		if p.Path != "" {
			s += ":" + strconv.Itoa(p.Dir) + ":" + p.Path
		}
		args = append(args, s)
	}
	return args
}

func parseArg(s string) (Port, error) {
	bad := func() (Port, error) { return Port{}, fmt.Errorf("%q is no port", s) }
	f := strings.SplitN(s, ":", 5)
	if len(f) < 3 {
		return bad()
	}
	fd, err := strconv.ParseUint(f[1], 10, 31)
	if err != nil {
		return bad()
	}
	box, err := strconv.ParseUint(f[2], 10, 16)
	if err != nil || box == 0 {
		return bad()
	}
	p := Port{FD: int(fd), Box: uint16(box)}
	switch {
	case f[0] == "tcp" && len(f) == 3:
	case f[0] == "udp" && len(f) == 3:
		p.UDP = true
	case f[0] == "unix" && len(f) == 5 && f[4] != "":
		dir, err := strconv.ParseUint(f[3], 10, 31)
		if err != nil {
			return bad()
		}
		p.Dir, p.Path = int(dir), f[4]
	default:
		return bad()
	}
	return p, nil
}

// ControlArg is the argument that has the forwarder answer requests at a
// listening socket, of processes in the caller's user namespace: root in a box has
// the caller's uid, and a box may be shown the directory that the socket is in.
func ControlArg(fd int) string {
	var st unix.Stat_t
	unix.Stat("/proc/self/ns/user", &st) // without it none is answered
	return fmt.Sprintf("%s%d:%d:%d", controlArg, fd, st.Dev, st.Ino)
}

const controlArg = "control:"

// VisibleArg is the argument that has servers see who their clients are. It
// stands before the ports.
const VisibleArg = "visible"

// Main is the forwarder. It returns its exit code when nobox is gone, or at
// once when it cannot work.
func Main(args []string) int {
	// nobox itself has one processor; see package caller.
	runtime.GOMAXPROCS(min(runtime.NumCPU(), 4))
	all := newServed()
	defer all.stopAll()
	for _, a := range args {
		if a == VisibleArg {
			all.visible = true
			continue
		}
		if rest, ok := strings.CutPrefix(a, controlArg); ok {
			var fd int
			var from namespace
			if _, err := fmt.Sscanf(rest, "%d:%d:%d", &fd, &from.dev, &from.ino); err != nil {
				say(err)
				return 1
			}
			go all.answerRequests(fd, from)
			continue
		}
		p, err := parseArg(a)
		if err == nil {
			err = all.serve(p)
		}
		if err != nil {
			say(err)
			return 1
		}
	}
	// A socket whose other end is closed, or the pidfd of a process that ended.
	for {
		fds := []unix.PollFd{{Fd: ControlFD, Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			return 0
		}
	}
}

// say tells nobox, which has the words, why the forwarder ends.
func say(err error) { unix.Write(ControlFD, []byte(err.Error())) }
