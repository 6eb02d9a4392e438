// Package signals makes signals readable from a descriptor, so that one thread
// can wait for them and everything else in one poll(2).
//
// It is os/signal without its goroutines and the thread they take, which a
// short-lived box would pay for at its start and again at its end. signalfd(2)
// is not it either: that needs the signals blocked in all threads, and the
// runtime unblocks HUP, INT, QUIT and TERM in each it makes. So a handler of a
// few instructions writes the number into a pipe; it runs on whichever thread,
// on the runtime's signal stack, and touches nothing of the runtime.
//
// It must not be used together with os/signal for the same signals.
package signals
