package userns

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// errLed is a path that a box may have made lead elsewhere.
var errLed = errors.New("a symbolic link is on the way, below the working directory, where a box may have made it")

// OpenOutside opens a file of the host that nobox is to write to. In the working
// directory no symbolic link is followed: a box that ran there before may have
// left one, in place of the file too, that leads to any file of the caller's.
func OpenOutside(path string, flags int, perm uint32) (int, error) {
	flags |= unix.O_CLOEXEC
	if flags&unix.O_PATH == 0 { // which openat2(2) takes nothing beside
		flags |= unix.O_NOCTTY
	}
	rel := filepath.Clean(path)
	if filepath.IsAbs(rel) {
		cwd, err := os.Getwd()
		below, ok := strings.CutPrefix(rel, cwd+"/")
		if err != nil || !ok {
			return unix.Open(path, flags, perm)
		}
		rel = below
	}
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return unix.Open(path, flags, perm)
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, rel, &unix.OpenHow{Flags: uint64(flags), Mode: uint64(perm), Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err == unix.ELOOP {
		err = errLed
	}
	return fd, err
}
