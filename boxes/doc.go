// Package boxes keeps what is known of running boxes that have a name: one
// directory a box, below XDG_RUNTIME_DIR or, where there is none, in /tmp, open
// to the caller alone.
//
// Whether a box runs is told by a lock, which the kernel gives up with the nobox
// that holds it, however that ends: a directory whose lock is free is left from
// a nobox that was killed, and is removed by whoever finds it. It must not trust
// a directory of somebody else's, nor a process by its number alone.
//
// Start with claim.go, how a name is taken; entry.go is what there is to say of
// a box.
package boxes
