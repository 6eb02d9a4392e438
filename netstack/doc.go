// Package netstack is the network in user space: what nobox-net does. It takes
// the box's packets from a device, ends the connections in a stack of its own,
// and goes on with sockets of the host, as an ordinary user's process.
//
// It is the only package that may import gvisor.dev/gvisor, and it must never
// be part of nobox itself: its start is not paid for by a box without it. It
// trusts nothing that comes from the box.
package netstack
