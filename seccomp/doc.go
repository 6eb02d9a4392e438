// Package seccomp makes the filter of system calls: a program of classic BPF
// that the kernel runs at each call; seccomp(2).
//
// The default filter is docker's default profile with what nobox closes beyond
// it. It is assembled at build time: gen turns the table of
// github.com/moby/profiles/seccomp into z*.go, which hold both what the table
// says of each call and the finished programs, so that a start copies bytes.
// Other sets of capabilities, and the profiles of --security-opt seccomp=FILE,
// are assembled when they are asked for, by the same code.
//
// Read default.go first: what is refused, and why. assemble.go makes programs
// of policies, profile.go makes policies of docker's JSON, and eval.go runs a
// program as the kernel would. The package must not load anything itself: a
// program is a step's argument.
package seccomp

//go:generate go run ./gen
