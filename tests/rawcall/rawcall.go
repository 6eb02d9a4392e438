// Package rawcall makes system calls by the kernel's other entries, for tests
// of what is closed.
package rawcall
