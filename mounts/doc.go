// Package mounts makes the file system view of a box as steps: the root, what
// is mounted below it, and pivot_root.
//
// It owns which place wins, what a mount point may be made in, and what is
// masked. It must not look at the machine (facts come in) nor execute
// anything (steps go out).
//
// Start with view.go, the order of things; system.go has /proc, /sys and /dev.
package mounts
