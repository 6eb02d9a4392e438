package host

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// A ConfigFile is a file of settings.
type ConfigFile struct {
	Name    string // as a person would call it
	Content []byte // nil if there is none
	Err     error  // why it could not be read, where it is there
}

// ProjectFile is the settings of a project, in the working directory.
const ProjectFile = ".nobox.toml"

// Config reads the user's configuration, where the XDG Base Directory
// Specification has it, and the working directory's. The second may have been
// written by a box.
func Config() (user, project ConfigFile, home string) {
	home = os.Getenv("HOME")
	if file := configFile(home); file != "" {
		user = readConfig(file, 0)
		if rest, ok := strings.CutPrefix(file, strings.TrimSuffix(home, "/")+"/"); ok && home != "" {
			user.Name = "~/" + rest
		}
	}
	// No link: it may lead to what only the user can read, and errors tell of lines.
	project = readConfig(ProjectFile, unix.O_NOFOLLOW)
	return user, project, home
}

// Exists says whether something is at a path of the host.
func Exists(path string) bool { return exists(path) }

func configFile(home string) string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !strings.HasPrefix(dir, "/") {
		if !strings.HasPrefix(home, "/") {
			return ""
		}
		dir = path.Join(home, ".config")
	}
	return path.Join(dir, "nobox/config.toml")
}

const configMax = 1 << 20

func readConfig(name string, flags int) ConfigFile {
	f := ConfigFile{Name: name}
	// O_NONBLOCK: a fifo does not keep nobox waiting.
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	if err != nil {
		if err == unix.ELOOP {
			err = errors.New("it is a symbolic link")
		}
		if err == unix.EACCES && unix.Access(path.Dir(name), unix.X_OK) != nil {
			return f // nothing can be in a directory that cannot be entered, for the caller
		}
		if err != unix.ENOENT && err != unix.ENOTDIR {
			f.Err = err
		}
		return f
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Err = err
		return f
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Err = ErrNotRegular
		return f
	}
	f.Content = []byte{}
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			f.Err = err
			return f
		case n == 0:
			return f
		}
		if f.Content = append(f.Content, buf[:n]...); len(f.Content) > configMax {
			f.Err = ErrTooLarge
			return f
		}
	}
}
