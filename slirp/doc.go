// Package slirp makes a box's network as steps. So far that is a namespace
// with lo alone, or the host's.
//
// It must not start anything itself: helpers are steps of the host side.
package slirp
