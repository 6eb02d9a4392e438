package host

import (
	"iter"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// usualPlaces are searched for programs after PATH, which in cron, ssh and
// su may lack them.
var usualPlaces = []string{"/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"}

// helper finds newuidmap or newgidmap. Of several the first that can work is
// taken, else the first: package managers such as Spack put copies on PATH
// that have no power (podman #23596).
func (m machine) helper(name string) Helper {
	found := Helper{Name: name, State: HelperMissing}
	for path := range m.programs(name) {
		h := m.examine(name, path)
		if found.Path == "" || h.State == HelperOK {
			found = h
		}
		if h.State == HelperOK || h.State == HelperNoNewPrivs {
			break
		}
	}
	return found
}

// examine says whether the helper at the path can work.
func (m machine) examine(name, path string) Helper {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	h := Helper{Name: name, Path: plan.HostPath(path)}
	var st unix.Stat_t
	var fs unix.Statfs_t
	setuid := unix.Stat(path, &st) == nil && st.Uid == 0 && st.Mode&unix.S_ISUID != 0
	_, err := unix.Getxattr(path, "security.capability", nil)
	nosuid := unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID != 0
	h.State = helperState(m.noNewPrivs, setuid || err == nil, nosuid)
	if h.State == HelperNosuid {
		h.Mount = plan.HostPath(mountPoint(path))
	}
	return h
}

// helperState is the state of a helper that is there. What has no power by
// itself is not helped by another mount, so that is said first; execve(2) has
// what takes the power away.
func helperState(noNewPrivs, privileged, nosuid bool) HelperState {
	switch {
	case noNewPrivs:
		return HelperNoNewPrivs
	case !privileged:
		return HelperPowerless
	case nosuid:
		return HelperNosuid
	}
	return HelperOK
}

// find is the first program of that name, "" if there is none.
func (m machine) find(name string) string {
	for path := range m.programs(name) {
		return path
	}
	return ""
}

// programs are the programs of that name on PATH and in the usual places.
// Relative directories of PATH are skipped: what lies where the caller
// happens to stand is no program of the host's.
func (m machine) programs(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		dirs := append(filepath.SplitList(m.path), m.places...)
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				continue
			}
			path := strings.TrimSuffix(dir, "/") + "/" + name
			var st unix.Stat_t
			if unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG &&
				unix.Access(path, unix.X_OK) == nil && !yield(path) {
				return
			}
		}
	}
}

// mountPoint is the directory, or the file, where the mount that the path lies
// on is mounted: the last one upwards with the same mount id.
//
// Preconditions: the path is absolute and free of symbolic links.
func mountPoint(path string) string {
	id, ok := mountID(path)
	for ok && path != "/" {
		parent := filepath.Dir(path)
		if up, known := mountID(parent); !known || up != id {
			break
		}
		path = parent
	}
	return path
}

func mountID(path string) (uint64, bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
	return st.Mnt_id, err == nil && st.Mask&unix.STATX_MNT_ID != 0
}
