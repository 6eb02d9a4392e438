// Package companion holds the programs that nobox carries with it and runs as
// processes of their own, since what they need would be paid for by every start
// if it were part of nobox (docs/adr/0008).
//
// The Makefile builds them first, into this directory, and nobox with the tag
// "companion". A nobox built by go build alone has the tag not, and carries
// nothing: Network is empty, and --net=user says so.
package companion
