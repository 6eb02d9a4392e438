package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/caller"
)

// What follows is asked only after something failed, so that a start does not
// pay for it.

// Sysctl is the value of a sysctl, "" where there is none: "user/max_user_namespaces".
func Sysctl(name string) string {
	var buf [64]byte
	n, err := readSmall("/proc/sys/"+name, buf[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(buf[:n]))
}

// SeccompFilter says whether nobox itself runs under a seccomp filter.
func SeccompFilter() bool { return statusField("Seccomp") == "2" }

// Confined says whether a process has given up what no_new_privs stands for: a
// box's pid 1 does so once its file system is made.
func Confined(pid int) bool { return statusOf(strconv.Itoa(pid), "NoNewPrivs") == "1" }

// MaySetGroups says whether a process's user namespace lets it call setgroups(2),
// which one with a single id of an ordinary user does not; user_namespaces(7).
func MaySetGroups(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/setgroups")
	return err != nil || strings.TrimSpace(string(b)) != "deny"
}

// Privileged says whether this program's file gave it what its caller has not: a
// set-user-ID or set-group-ID bit, or capabilities; getauxval(3), AT_SECURE, which a
// security module sets as well.
func Privileged() bool {
	const atSecure = 23 // linux/auxvec.h
	auxv, err := unix.Auxv()
	if err != nil || !slices.Contains(auxv, [2]uintptr{atSecure, 1}) {
		return false
	}
	caps := func(field string) uint64 {
		v, _ := strconv.ParseUint(statusField(field), 16, 64)
		return v
	}
	return unix.Getuid() != unix.Geteuid() || unix.Getgid() != unix.Getegid() || unix.Getuid() != 0 && caps("CapPrm")&^caps("CapAmb") != 0
}

func statusField(name string) string { return statusOf("self", name) }

func statusOf(pid, name string) string {
	b, _ := ReadFile("/proc/" + pid + "/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Chrooted says whether the root directory is no mount point, as after
// chroot(2): the kernel refuses user namespaces then; user_namespaces(7).
func Chrooted() bool {
	b, err := ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return false
		}
	}
	return true
}

// Head is what stands at a place, and its first bytes if it is a file.
func Head(p Place) (Kind, uint32, []byte) {
	if p.Base == "" {
		p.Base = "/"
	}
	f := place(p, map[string]bool{})
	if f.Kind == None {
		return None, 0, nil
	}
	base := strings.TrimSuffix(string(p.Base), "/")
	name := base + string(f.Resolved)
	var st unix.Stat_t
	if unix.Lstat(name, &st) != nil {
		return None, 0, nil
	}
	if f.Kind != File {
		return f.Kind, st.Mode, nil
	}
	buf := make([]byte, 512)
	n, _ := readSmall(name, buf)
	return f.Kind, st.Mode, buf[:max(n, 0)]
}

// Machine is the ELF machine of this binary's own architecture; elf.h.
func Machine() (uint16, []byte) {
	buf := make([]byte, 20)
	if n, err := readSmall("/proc/self/exe", buf); err != nil || n < 20 {
		return 0, nil
	}
	return uint16(buf[18]) | uint16(buf[19])<<8, buf
}

// RuntimeDir is the caller's XDG_RUNTIME_DIR, as the environment has it, and
// the caller's uid: here, and where nobox was started, which is another number
// where nobox entered a user namespace on the way to a network.
func RuntimeDir() (dir string, uid, known uint32) {
	dir, uid = os.Getenv("XDG_RUNTIME_DIR"), uint32(os.Getuid())
	if joined, _, _ := caller.Joined(); !joined {
		return dir, uid, uid
	}
	text, _ := readBelow(Place{Base: "/", Path: "/proc/self/uid_map"}, 1<<16)
	return dir, uid, outside(string(text), uid)
}

// outside is the number that an id has in the user namespace above, by the text
// of uid_map; user_namespaces(7).
func outside(uidMap string, id uint32) uint32 {
	for line := range strings.Lines(uidMap) {
		var in, out, n uint32
		if _, err := fmt.Sscan(line, &in, &out, &n); err == nil && id >= in && id-in < n {
			return out + (id - in)
		}
	}
	return id
}

// Environ is the caller's environment.
func Environ() []string { return caller.Environ(os.Environ()) }
