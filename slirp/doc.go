// Package slirp makes a box's network as steps: a namespace with lo alone, the
// host's network, or one in user space, whose other end is a process of its own
// (package netstack).
//
// It must not start anything itself: helpers are steps of the host side.
package slirp
