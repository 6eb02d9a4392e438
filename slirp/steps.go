package slirp

import "nobox/plan"

// Steps appends what a box's network takes: in a namespace of its own lo comes
// up, in the host's there is nothing to do.
func Steps(b *plan.Builder, host bool, from string) {
	if !host {
		b.Inside(from, "a network namespace with nothing else in it", plan.LoopbackUp{})
	}
}
