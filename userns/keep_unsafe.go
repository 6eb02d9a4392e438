package userns

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// enterDomain has this thread, and what it makes from here on, enter a Landlock
// domain that has scopes alone; landlock_restrict_self(2).
//
// Preconditions: no_new_privs is set.
func enterDomain(scoped uint64) error {
	attr := [3]uint64{2: scoped} // struct landlock_ruleset_attr
	set, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if e != 0 {
		return e
	}
	defer unix.Close(int(set))
	if _, _, e = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); e != 0 {
		return e
	}
	return nil
}
