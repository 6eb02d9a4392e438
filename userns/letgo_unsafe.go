package userns

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LetGo takes from this process, all its threads, what nobox does not need any
// more once a box runs: it can gain no privileges, do none of what the filter
// refuses, and neither be looked into nor leave a core file. A kernel that has
// no filters leaves it at the rest.
//
// Preconditions: it is called on the main thread; no box is started after it.
func LetGo(filter []byte) {
	unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if len(filter) == 0 {
		return
	}
	prog := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
}
