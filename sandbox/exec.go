package sandbox

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"nobox/cgroups"
	"nobox/host"
	"nobox/plan"
	"nobox/userns"
)

// scopeSignal is LANDLOCK_SCOPE_SIGNAL; linux/landlock.h.
const scopeSignal = 1 << 1

// Joined is a box that runs, for CompileExec: what it was asked to be, and a
// process that is in it.
type Joined struct {
	Options Options
	PID     int // a process of the box's
	FD      int // a pidfd of it
}

// with is what the box was asked to be, for another command.
func (j Joined) with(x Options) Options {
	o := j.Options
	o.Command, o.Terminal, o.Detached, o.AsPid1 = x.Command, x.Terminal, false, false
	o.Timeout, o.StopTimeout = x.Timeout, x.StopTimeout
	if x.User != "" {
		o.User = x.User
	}
	if x.Workdir != "" {
		o.Workdir = x.Workdir
	}
	o.Env = slices.Concat(o.Env, x.Env)
	o.EnvHost = o.EnvHost || x.EnvHost
	o.Ulimits = slices.Concat(o.Ulimits, x.Ulimits)
	return o
}

// MayJoin says why there can be no further command in a box of o; nil if there
// can.
func MayJoin(o Options) error {
	if o.Tier != TierLandlock {
		return nil
	}
	return &Error{What: "run a command in the box", Cause: errors.New("it is held by Landlock alone: there are no namespaces to join, and no process enters a domain of Landlock's from outside"),
		Hints: []string{"what the box's own command starts is in the box: a shell, or a server that runs commands"}}
}

// CompileExec makes the plan of one more command in a box that runs. x has what
// the command is to be: Command, User, Workdir, Env, EnvHost, Ulimits, Terminal
// and Timeout; in all else it is as the box was asked to be. The command gets
// what the box's own has: the namespaces, the root, the ids, the capabilities
// and the filter.
//
// Preconditions: f answers QuestionsOf and MoreQuestions of the options merged.
func CompileExec(j Joined, x Options, f *host.Facts) (*plan.Plan, error) {
	o := j.with(x)
	if err := MayJoin(j.Options); err != nil {
		return nil, err
	}
	// What the box's own streams are is not this one's matter.
	j.Options.Terminal, j.Options.Detached = x.Terminal, false
	d, err := decide(&o, f)
	if err != nil {
		return nil, err
	}
	ids, who, v, caps, filter, filterFrom, terminal := d.ids, d.who, d.view, d.caps, d.filter, d.filterFrom, d.terminal
	box, err := Compile(j.Options, f)
	if err != nil {
		return nil, err
	}

	b := &plan.Builder{}
	limited := joinCgroup(b, j, box)
	b.Host("", "", plan.Clone{Cgroup: limited})
	b.Inside("", "the command ends with this nobox, and with the box", plan.DieWithParent{})
	b.Inside("", "", plan.Join{PID: j.PID, FD: j.FD, Flags: namespaces(o.Net) | unix.CLONE_NEWUSER | unix.CLONE_NEWPID})
	b.Inside("", "a change of ids took the tie away", plan.DieWithParent{})
	b.Inside("", "", plan.SetUmask{Mask: f.Umask})
	b.Inside("", "", plan.NewSession{})
	if terminal {
		devpts, master, peer := b.NewSlot(), b.NewSlot(), b.NewSlot()
		b.Inside("-t", "", plan.OpenDevpts{Into: devpts})
		b.Inside("-t", "job control, and no way into the caller's terminal", plan.OpenPTY{
			Devpts: devpts, Master: master, Peer: peer, Size: f.Streams.Size, Termios: f.Streams.Termios})
		if who.uid != 0 {
			gid := who.gid
			if mapped(ids.HostGID(ttyGid)) {
				gid = ttyGid
			}
			b.Inside("-u", "", plan.Chown{In: peer, UID: who.uid, GID: gid})
		}
		b.Inside("", "nobox relays it to the caller's terminal", plan.SendPTY{Master: master})
		b.Host("", "", plan.TakePTY{})
		b.Inside("", "", plan.TakeTTY{Peer: peer, Streams: f.Streams.TTY})
	}
	privileges(b, &o, f, ids, who, caps, filter.Own)
	if terminal {
		b.Host("", "", plan.Watch{})
		b.Host("", "", plan.Release{Event: plan.EventGo})
		b.Inside("", "", plan.Await{Event: plan.EventGo})
	}
	for _, s := range box.Steps {
		if wall, ok := s.Do.(plan.Landlock); ok {
			// A domain of its own could not signal the box's processes. The pid
			// namespace holds signals in the box already.
			wall.Scoped &^= scopeSignal
			b.Inside("", "a second wall, as the box has it", wall)
		}
	}
	if filter.Own {
		b.Inside(filterFrom, "whoever waits for the command keeps to it as well", filter)
	}
	p := &plan.Plan{Init: plan.Init{Reaper: true, After: len(b.Steps) - 1}}
	b.Inside("", "fork(2) does not hand the tie down", plan.DieWithParent{})
	if err := command(b, &o, f, v, who, terminal, nil, filter, filterFrom); err != nil {
		return nil, err
	}
	p.Steps, p.Slots = b.Steps, b.Slots()
	return p, nil
}

// joinCgroup appends what has the command be born in the box's cgroup, if the box
// has one.
func joinCgroup(b *plan.Builder, j Joined, box *plan.Plan) bool {
	for _, s := range box.Steps {
		switch do := s.Do.(type) {
		case plan.Scope:
			b.Host(s.From, "what is born in another cgroup must come from one that is as much the caller's", do)
		case plan.MakeCgroup:
			b.Host(s.From, "the box's limits are the command's as well", plan.JoinCgroup{PID: j.PID, FD: j.FD})
			return true
		}
	}
	return false
}

// PrepareExec answers the questions of the box's options and compiles x.
func PrepareExec(j Joined, x Options) (*plan.Plan, *host.Facts, error) {
	if err := CheckFiles(); err != nil {
		return nil, &host.Facts{}, err
	}
	o := j.with(x)
	f := probe(o, nil)
	if !host.MaySetGroups(j.PID) {
		// The box has one id, whatever ranges there are by now: newuidmap refused it, or
		// it was started with no_new_privs.
		f.Refused = map[plan.Fact]string{plan.FactNewIDMap: "the box has one id"}
		f.HelpersRefused = f.Refused[plan.FactNewIDMap]
	}
	f.Look(MoreQuestions(o, &f))
	p, err := CompileExec(j, x, &f)
	if err == nil {
		err = p.Check()
	}
	return p, &f, err
}

// Exec runs one more command in a box that runs, and returns when it has ended.
//
// Preconditions: as Run.
func Exec(j Joined, x Options, h Hooks) (Result, *host.Facts, error) {
	p, f, err := PrepareExec(j, x)
	if err == nil && !slices.ContainsFunc(p.Steps, func(s plan.Step) bool { _, ok := s.Do.(plan.Landlock); return ok }) {
		err = fromMemory()
	}
	if err != nil {
		return Result{}, f, err
	}
	r, err := attempt(j.with(x), f, p, h, -1, &cgroups.Player{Guard: userns.Guard})
	return r, f, err
}

// Caller is the XDG_RUNTIME_DIR, "" if there is none, and the uid of whoever
// started nobox, by the number that it has here and by the one it had there.
func Caller() (runtimeDir string, uid, known uint32) { return host.RuntimeDir() }

// Environ is the caller's environment.
func Environ() []string { return host.Environ() }
