// Package plan is what a run of nobox will do, as data: a flat list of steps
// without conditions, on two sides, host and inside.
//
// It owns the closed set of actions, what each promises (Check), and how a
// plan reads to a person (String, which is --explain) and to a tool (JSON).
// It does not look at the machine, decide anything or execute anything:
// sandbox.Compile makes plans, userns plays them.
//
// Read plan.go, then actions.go; check.go holds the invariants.
package plan
