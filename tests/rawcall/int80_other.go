//go:build !amd64

package rawcall

// Has32 says that there is an entry for 32-bit calls.
const Has32 = false

// Int80 is not there on this processor.
func Int80(nr, a, b, c uintptr) int { panic("no int 0x80") }
