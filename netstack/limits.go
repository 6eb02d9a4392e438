package netstack

import "golang.org/x/sys/unix"

// limits is how many of each sort there may be at once. Each takes a
// descriptor: where there are few each has its part of them, so that the one
// cannot keep the other from working.
type limits struct {
	connections, flows, questions, streams, pings int
}

// most are the limits where there are descriptors enough. A connection that is
// open takes 15 KiB, and as much again where the box does not read: with 2,048 of
// those the process was at 77 MiB.
var most = limits{connections: 1536, flows: 1024, questions: 256, streams: 64, pings: 64}

// ownFiles are the descriptors that the process has for itself, and some.
const ownFiles = 16

// limitsFor are the limits with that many descriptors. Streams have none of
// their own, but each may have a question.
func limitsFor(files uint64) limits {
	all := uint64(most.connections + most.flows + most.questions + most.pings + ownFiles)
	if files >= all {
		return most
	}
	n := max(int(files)-ownFiles, 16)
	l := limits{flows: n / 4, questions: n / 8, pings: n / 16, streams: n / 8}
	l.connections = min(n-l.flows-l.questions-l.pings, most.connections)
	l.flows, l.questions, l.streams, l.pings = min(l.flows, most.flows), min(l.questions, most.questions), min(l.streams, most.streams), min(l.pings, most.pings)
	return l
}

// ownLimits are those of this process, whose soft limit the runtime has raised.
func ownLimits() limits {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return most
	}
	return limitsFor(r.Cur)
}
