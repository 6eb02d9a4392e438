package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/sandbox"
)

// envFileMax is what the variables of a file may come to. The kernel itself
// takes a quarter of the stack limit for arguments and environment, execve(2).
const envFileMax = 16 << 20

// envFiles reads the files of --env-file, each once: a command line is parsed a
// second time over settings from files, and a pipe cannot be read again.
type envFiles struct {
	read  map[string][]byte
	once  string // one that could not be read once more, "" if there is none
	again bool   // the command line is that of a box that was started before
}

func (r *envFiles) file(name string) ([]byte, error) {
	if b, ok := r.read[name]; ok {
		return b, nil
	}
	b, once, err := readEnvFile(name, r.again)
	if once {
		r.once = name
	}
	if err != nil {
		return nil, err
	}
	if r.read == nil {
		r.read = map[string][]byte{}
	}
	r.read[name] = b
	return b, nil
}

// fifoPatience is how long nobody may have opened a fifo for writing. A box that ran
// in the directory before may have left it there.
const (
	fifoPatience = 5 * time.Second
	fifoLook     = 20 * time.Millisecond
)

// readEnvFile reads a regular file, a pipe (/dev/stdin, a shell's <(...)), or
// such a device as /dev/null and a terminal. once says that what was read is gone;
// with again there must be nothing of the kind.
func readEnvFile(name string, again bool) (b []byte, once bool, err error) {
	if again && (name == "/dev/stdin" || strings.HasPrefix(name, "/dev/fd/") || strings.HasPrefix(name, "/proc/self/fd/")) {
		return nil, true, goneFile(name) // a descriptor of another process's
	}
	// Looked at before it is opened: to open a device may do something.
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return nil, false, err
	}
	if !readable(&st) {
		return nil, false, notAFile(name)
	}
	if again && readOnce(&st) {
		return nil, true, goneFile(name)
	}
	// A fifo that nobody writes to does not keep nobox in open(2).
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, false, err
	}
	if !readable(&st) {
		return nil, false, notAFile(name)
	}
	b, err = readToEnd(fd, st.Mode&unix.S_IFMT == unix.S_IFIFO)
	return b, readOnce(&st), err
}

// readToEnd reads what comes from a descriptor that does not block.
func readToEnd(fd int, fifo bool) (all []byte, err error) {
	poll := func(atMost time.Duration) (hangUp bool) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Poll(fds, int(atMost.Milliseconds()))
		return fds[0].Revents&unix.POLLHUP != 0
	}
	var begun time.Time // since when nobody has a fifo open for writing
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			poll(-time.Millisecond)
		case err != nil:
			return nil, err
		case n > 0:
			if all = append(all, buf[:n]...); len(all) > envFileMax {
				return nil, bigFile(envFileMax)
			}
		case !fifo || len(all) > 0 || poll(0):
			return all, nil
		case begun.IsZero():
			begun = time.Now()
		case time.Since(begun) > fifoPatience:
			return nil, silentFifo(fifoPatience)
		default:
			poll(fifoLook)
		}
	}
}

func readable(st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFIFO, unix.S_IFCHR:
		return true
	}
	return false
}

// readOnce says whether what is read is gone then: /dev/null is always empty.
func readOnce(st *unix.Stat_t) bool {
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFIFO || kind == unix.S_IFCHR && st.Rdev != unix.Mkdev(1, 3)
}

// bare is the errno of an error of package os, whose words repeat the path.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// envFile reads the lines of a file as docker does: space before a name does
// not count, one "\r" at the end and a byte order mark neither, everything
// behind "=" is the value. name and flag are the file and the flag's spelling.
func envFile(name, flag string, data []byte) ([]sandbox.EnvVar, error) {
	var vars []sandbox.EnvVar
	text := strings.TrimPrefix(string(data), "\ufeff")
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t\v\f\r")
		if line == "" || line[0] == '#' {
			continue
		}
		key, val, set := strings.Cut(line, "=")
		at := fmt.Sprintf("%s:%d", name, n)
		switch {
		case strings.IndexByte(line, 0) >= 0:
			return nil, nulInFile(at)
		case key == "":
			return nil, noNameInFile(at)
		case strings.ContainsAny(key, " \t\v\f\r"):
			return nil, spaceInName(at, strings.HasPrefix(line, "export"))
		}
		vars = append(vars, sandbox.EnvVar{Name: key, Value: val, FromCaller: !set, From: flag + " " + show(at)})
	}
	return vars, nil
}
