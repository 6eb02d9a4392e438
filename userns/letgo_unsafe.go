package userns

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// LetGo takes from this process, all its threads, what nobox does not need any
// more once a box runs: it can gain no privileges, do none of what the filter
// refuses, nor open or change any file that wall has no rule for, and neither be
// looked into nor leave a core file. A kernel that lacks one of them leaves it at
// the rest; so does a rule for a place that is not there, or that wall does not
// hold for a file.
//
// Preconditions: it is called on the main thread; no box is started after it.
func LetGo(filter []byte, wall *plan.Landlock) {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// A domain is a thread's, as no_new_privs is: the runtime has each of its own
	// make the call. The main thread goes first, and where it may no other is
	// deeper in domains (LANDLOCK_MAX_NUM_LAYERS), see keep: they all may.
	if _, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	} else if wall != nil {
		if set := ruleset(wall); set >= 0 {
			syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(set), 0, 0)
			unix.Close(set)
		}
	}
	if len(filter) == 0 {
		return
	}
	prog := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
}

// ruleset makes the ruleset of a domain; -1 if the kernel makes none.
func ruleset(w *plan.Landlock) int {
	attr := [3]uint64{w.Files, w.Ports, w.Scoped} // struct landlock_ruleset_attr
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return -1
	}
	set := int(fd)
	for _, r := range w.Rules {
		how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
		if r.NoLinks {
			how.Resolve = unix.RESOLVE_NO_SYMLINKS
		}
		at, err := unix.Openat2(unix.AT_FDCWD, string(r.Path), &how)
		if err != nil {
			continue
		}
		// struct landlock_path_beneath_attr is packed: rights, descriptor.
		beneath := [2]uint64{r.Files, uint64(at)}
		if addRule(set, &beneath) == unix.EINVAL && r.MayBeFile {
			beneath[0] &= landlockFile
			addRule(set, &beneath)
		}
		unix.Close(at)
	}
	return set
}

func addRule(set int, beneath *[2]uint64) error {
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(beneath)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
