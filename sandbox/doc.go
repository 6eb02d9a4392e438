// Package sandbox compiles what was asked for (Options) and what the machine
// is (host.Facts) into what will be done (plan.Plan), and runs it.
//
// Compile is pure: it looks at nothing but its arguments. Read compile.go
// first, it is the table of contents of nobox; then run.go.
package sandbox
