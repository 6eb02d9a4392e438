package host

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Foreign says whether the file that this process runs is one of another mount
// namespace: nobox was started in a box by /proc/self/exe, which until the command
// runs leads to the nobox outside. Its mount there may be writable, and whoever
// this process started could change the file by /proc/PID/exe; CVE-2019-5736.
//
// It is asked at every start, so most of it only where no_new_privs is set, as it
// always is in a box.
func Foreign() bool {
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && set == 0 {
		return false
	}
	if Sealed() {
		return false
	}
	const exe = "/proc/self/exe"
	own, err := mountOf(exe)
	if err != nil {
		return false
	}
	// By its name, where that leads to the same: in a chroot(2) not all mounts
	// are listed.
	if name, err := os.Readlink(exe); err == nil {
		if at, err := mountOf(name); err == nil && at == own {
			return false
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	id := strconv.FormatUint(own.mount, 10) + " "
	for line := range strings.Lines(string(mounts)) {
		if strings.HasPrefix(line, id) {
			return false
		}
	}
	return true
}

// Sealed says whether the file that this process runs is a memfd that nobody can
// write to; memfd_create(2).
func Sealed() bool {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	return err == nil && seals&unix.F_SEAL_WRITE != 0
}

type mounted struct {
	mount, inode uint64
	major, minor uint32
}

// mountOf is what a path leads to, and on which mount.
func mountOf(path string) (mounted, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_NO_AUTOMOUNT, unix.STATX_INO|unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID == 0 {
		err = unix.ENOSYS
	}
	return mounted{st.Mnt_id, st.Ino, st.Dev_major, st.Dev_minor}, err
}
