// Package ports is the forwarder: the process that carries what comes to a
// published port into the box. It is nobox's own program, started a second
// time, by userns/forward.go; read Main first.
//
// # Theory of operation
//
// nobox listens on the host, before anything else is started. The forwarder
// gets the listening sockets, which stay sockets of the host's network
// namespace wherever they are used, and is itself inside the box's network
// namespace: what it dials is dialed there. So one mechanism serves every kind of
// network, the namespace with lo alone included, data passes neither the
// box's device nor what is behind it, and a server that listens on the box's
// 127.0.0.1 only is reached.
//
// For each connection the two sockets are joined by splice(2), in both
// directions; an end of one direction is passed on as such, a reset as a reset.
// A client that comes before the command serves, or after, is reset. For UDP
// each client has a socket inside, and with it an address the server can tell it
// by, until nothing has passed for a while.
//
// What it serves can be asked and changed while the box runs, if that has a
// name: control.go.
//
// The forwarder must hold no capability it does not need, start no process,
// open no file, and end when nobox does: its descriptor 3 is closed then.
package ports
