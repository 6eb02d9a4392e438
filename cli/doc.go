// Package cli is everything between a person and a box: what may be written on
// the command line, what is said back, and the help, the manual page and the
// completions that tell about it.
//
// It owns the flag table and the wording of every message. It does not look at
// the machine, but for the files that --env-file names; it decides nothing
// about a box and it does not exit: Parse turns arguments into an Invocation,
// sandbox takes it from there.
//
// Start with flags.go, the table: help, man page, completions and tests are
// made from it. parse.go reads a command line by it, values.go the values,
// say.go holds every word of an error.
package cli
