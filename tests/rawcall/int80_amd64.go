package rawcall

// Has32 says that there is an entry for 32-bit calls.
const Has32 = true

func int80(nr, a, b, c uintptr) uintptr

// Int80 makes a call by the entry of i386. A kernel without that entry sends
// SIGSEGV. A negative result is an errno.
func Int80(nr, a, b, c uintptr) int { return int(int32(int80(nr, a, b, c))) }
