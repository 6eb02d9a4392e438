// Package userns is the only executor: it starts a process in new namespaces,
// plays a plan on both sides, and waits.
//
// Between clone(2) and execve(2) the inside runs one small loop of raw system
// calls over the lowered plan: no Go runtime, no allocation, no call that may
// grow the stack, since the child of a threaded process has only the thread
// that cloned. It reports {step, errno} through the control socket; the
// parent, which holds the plan, finds the words.
//
// It must not decide anything, and compiles with package sandbox deleted.
// Features add steps to package plan and a lowering to lower.go; the player in
// child_unsafe.go is frozen.
//
// Read start.go (the host side), lower.go (what each step becomes), then
// child_unsafe.go.
package userns
