package plan

import "fmt"

// HostPath is a path as the host sees it: absolute and free of symbolic
// links, because host.Probe resolved it. WorkingDirectory is the exception.
type HostPath string

// WorkingDirectory names the directory the caller stands in by the process's
// own reference to it, which holds when its path can no longer be walked.
const WorkingDirectory HostPath = "."

// BoxPath is an absolute path as the box sees it. It is always resolved below
// the box's own root (openat2(2), RESOLVE_IN_ROOT), never on the host.
type BoxPath string

// Side is where a step happens.
type Side uint8

const (
	Host   Side = iota // in nobox, outside
	Inside             // between clone(2) and execve(2), in the new namespaces
	Beside             // inside too, in a process that runs along with the first up to EnterNet
)

func (s Side) String() string {
	switch s {
	case Host:
		return "host"
	case Beside:
		return "beside"
	}
	return "inside"
}

// Slot is the number of a value that one step makes and later steps use: a
// descriptor of a detached tree, of the box's root, of the pty. Zero is none.
type Slot int

// Fact names something the machine is believed to offer. A step that needs a
// fact and is refused makes nobox clear the fact, compile again and start once
// more, once.
type Fact string

// The facts whose absence only shows when a step is tried.
const (
	FactNone     Fact = ""
	FactSysfs    Fact = "sysfs"    // a fresh sysfs may be mounted
	FactMqueue   Fact = "mqueue"   // mqueue may be mounted
	FactLandlock Fact = "landlock" // one more Landlock domain may be entered
	FactNewIDMap Fact = "newidmap" // newuidmap and newgidmap do what they are asked
	FactTun      Fact = "tun"      // /dev/net/tun makes devices
	FactVeth     Fact = "veth"     // pairs of devices can be made, and packet sockets
	FactScope    Fact = "scope"    // a systemd makes a scope
	FactCgroup   Fact = "cgroup"   // cgroups can be made in the one that was found
	FactIPv6     Fact = "ipv6"     // the kernel has IPv6, also in new namespaces
	FactPing     Fact = "ping"     // what is below /proc/sys may be changed for new network namespaces
)

// FactLimit is that the kernel takes a limit in a file of a cgroup.
func FactLimit(file string) Fact { return Fact("limit " + file) }

// A Step is one thing to do. It has no condition.
type Step struct {
	Side  Side
	Do    Action
	From  string // the flag that asked for it; "" is a default
	Why   string // one clause, for --explain
	Needs Fact
}

// Init describes nobox's own pid 1, the reaper: fixed code of the player
// rather than a step. With Reaper false the command itself is pid 1.
type Init struct {
	Reaper bool `json:"reaper"`
	// After is the index of the inside step behind which the reaper forks:
	// what stands before is done once, by what becomes pid 1; what stands
	// after is done by the command's process alone. Without a reaper there
	// is one process and After only marks the same place.
	After int `json:"after"`
}

// A Plan is everything one run does, in order. The two sides run side by side;
// Await and Release, SendPTY and TakePTY are where they meet. What stands beside
// is done by a process that the inside starts there and waits for in EnterNet.
type Plan struct {
	Steps []Step
	Init  Init
	Slots int      // one more than the highest slot in use
	Notes []string // lines a run says on stderr before it starts
}

// usual is somewhat more than the steps of a box without many mounts.
const usual = 160

// A Builder appends steps and hands out slots. The zero value is ready.
type Builder struct {
	Steps []Step
	slots int
}

// NewSlot hands out a slot not used before.
func (b *Builder) NewSlot() Slot {
	b.slots++
	return Slot(b.slots)
}

// Slots is one more than the highest slot handed out.
func (b *Builder) Slots() int { return b.slots + 1 }

// Inside appends a step of the inside.
func (b *Builder) Inside(from, why string, do Action) *Step { return b.add(Inside, from, why, do) }

// Beside appends a step of the process that runs along with the inside.
func (b *Builder) Beside(from, why string, do Action) *Step { return b.add(Beside, from, why, do) }

// Host appends a step of the host side.
func (b *Builder) Host(from, why string, do Action) *Step { return b.add(Host, from, why, do) }

func (b *Builder) add(side Side, from, why string, do Action) *Step {
	if b.Steps == nil {
		b.Steps = make([]Step, 0, usual) // growing costs a start memory
	}
	b.Steps = append(b.Steps, Step{Side: side, Do: do, From: from, Why: why})
	return &b.Steps[len(b.Steps)-1]
}

// StepError is the failure of one step of a plan: the plan is the table that
// turns it into words.
type StepError struct {
	Index int
	Step  Step
	Err   error // an errno, or what a host step returned
	Fork  bool  // not the step failed, but the reaper's fork behind it (Init)
}

func (e *StepError) Error() string {
	if e.Fork {
		return fmt.Sprintf("start the command's process: %v", e.Err)
	}
	if e.Step.From != "" {
		return fmt.Sprintf("%s (%s): %v", e.Step.Do.Cannot(), e.Step.From, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Step.Do.Cannot(), e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }
