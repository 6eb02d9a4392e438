package sandbox

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/cgroups"
	"nobox/changes"
	"nobox/companion"
	"nobox/host"
	"nobox/landlock"
	"nobox/plan"
	"nobox/ports"
	"nobox/signals"
	"nobox/terminal"
	"nobox/userns"
)

// hangupGrace is how long what runs inside has after the caller's terminal
// went away; it got its SIGHUP.
const hangupGrace = 2 * time.Second

// Result is how a box ended.
type Result struct {
	Status   unix.WaitStatus // of the command
	TimedOut bool            // --timeout passed
	EndTyped bool            // terminal.Relay's: nobody is there to type anything more
	Usage    cgroups.Usage
	// Refused is what the policy of the network kept from the box, once for each
	// name and port: "api.example.com:443 (no --allow-host matches)".
	Refused []string
}

// SweepCgroup is what nobox does under the verb cgroups.SweepVerb.
func SweepCgroup(dir string) { cgroups.Sweep(dir) }

// ExitTimeout is timeout(1)'s.
const ExitTimeout = 124

// ExitCode is the command's own code, 128+n if a signal ended it, 124 after
// the timeout.
func (r Result) ExitCode() int {
	switch {
	case r.TimedOut:
		return ExitTimeout
	case r.Status.Signaled():
		return 128 + int(r.Status.Signal())
	}
	return r.Status.ExitStatus()
}

// ChangesBase is where a directory for the changes of o can be made, if none is
// named: on a disk, and not in what is overlaid.
func ChangesBase(o Options) string {
	if o.Overlay && o.Rootfs == "" {
		if dir := host.StateDir(); dir != "" {
			return dir
		}
	}
	return "/var/tmp"
}

// Home is the caller's home directory, as the environment names it.
func Home() string { return host.Home() }

// Namespaces are the inodes of a box's namespaces, in the order of
// plan.ShownNamespaces; zero where Options.Shown was not set, or the box has none of its own.
type Namespaces = [len(plan.ShownNamespaces)]uint64

// Hooks let whoever runs a box say something about it.
type Hooks struct {
	Note    func(string)                    // a line for the user, before the box starts
	Started func(pid int, ns Namespaces)    // the host side is done
	Timing  func(what string, at time.Time) // nil, or called along the way

	// PortsSocket makes the socket by which the forwarder of the published ports
	// takes requests, with a high number; nil if it takes none.
	PortsSocket func() (int, error)
	Attach      *Attaching // nil, or how to attach to the box

	// What whoever runs the box does once it has ended, and nobox is to be able to.
	Named  string // the directory in which the box's name is kept is cleared; "" for none
	Review bool   // the changes kept may be written back
	Empty  string // a directory that is removed, for it is empty by then; "" for none
}

// Attaching is what a detached box has for those who attach to it.
type Attaching struct {
	Listen int                         // a socket that listens
	Input  int                         // the other end of the command's stdin, -1 if it has none or a terminal
	Output int                         // where what it writes is read, the run's from here on; unused with a terminal
	Keep   func([]byte)                // puts what it writes into the log
	May    func(socket, from int) bool // whether who connected, and sent this descriptor, may
}

// Prepare answers the questions of o and compiles it, starting nothing.
func Prepare(o Options) (*plan.Plan, *host.Facts, error) {
	if err := CheckFiles(); err != nil {
		return nil, &host.Facts{}, err
	}
	f := probe(o, nil)
	p, err := prepare(o, &f)
	return p, &f, err
}

// probe looks at the machine; ahead is what has been looked at, nil for nothing.
func probe(o Options, ahead *host.Facts) host.Facts {
	q := QuestionsOf(o)
	q.Ahead = ahead
	f := host.Probe(q)
	f.NetStack = companion.Network != ""
	if o.Detached && o.Terminal == Yes {
		f.Streams = terminal.Apart()
	}
	return f
}

func prepare(o Options, f *host.Facts) (*plan.Plan, error) {
	f.Look(MoreQuestions(o, f))
	if o.OverlayDir != "" && len(o.Masks) > 0 {
		f.Look(MoreQuestions(o, f)) // what is kept of a place, where that leads
	}
	if o.Tier != TierNamespaces {
		f.Look(LastQuestions(o, f))
	}
	p, err := Compile(o, f)
	if err != nil {
		return nil, err
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Run runs a box and returns when it and everything inside has ended. The
// error is an *Error or one of a mechanism's where nothing was started, and a
// *plan.StepError where a step failed; then nothing is left of the box.
//
// Preconditions: as userns.Start; the process is not used for anything else.
func Run(o Options, h Hooks) (Result, *host.Facts, error) {
	if err := CheckFiles(); err != nil {
		return Result{}, &host.Facts{}, err
	}
	lock := -1
	if o.OverlayDir != "" {
		// Before anything looks: the facts tell of what is in it.
		fd, err := changes.Lock(o.OverlayDir)
		if errors.Is(err, changes.ErrInUse) {
			return Result{}, &host.Facts{}, &Error{What: "keep changes in " + plan.Quote(o.OverlayDir), Flag: o.OverlayDirFrom, Cause: errors.New("another box, or nobox diff, apply or discard, is using it")}
		}
		if err == nil { // else Compile says why not
			lock = fd
			defer changes.Release(fd)
		}
	}
	cg, ahead := knock(&o)
	defer cg.Leave()
	f := probe(o, ahead)
	if f.Refused == nil {
		f.Refused = map[plan.Fact]string{}
	}
	mark(h, "probed")
	said := map[string]bool{}
	for {
		p, err := prepare(o, &f)
		if err != nil {
			return Result{}, &f, err
		}
		mark(h, "compiled")
		for _, n := range p.Notes {
			if !said[n] {
				said[n] = true
				h.Note(n)
			}
		}
		r, err := attempt(o, &f, p, h, lock, cg)
		var failed *plan.StepError
		if errors.As(err, &failed) && failed.Step.Needs != plan.FactNone && f.Has(failed.Step.Needs) {
			// The machine does not have what was believed: once more without.
			f.Refused[failed.Step.Needs] = failed.Err.Error()
			if failed.Step.Needs == plan.FactNewIDMap {
				f.HelpersRefused = failed.Err.Error()
			}
			continue
		}
		return r, &f, err
	}
}

func mark(h Hooks, what string) {
	if h.Timing != nil {
		h.Timing(what, time.Now())
	}
}

// attempt starts p and waits for it. lock is the descriptor that holds the lock
// of kept changes, -1 if there is none.
func attempt(o Options, f *host.Facts, p *plan.Plan, h Hooks, lock int, cg *cgroups.Player) (Result, error) {
	tty := wantsTerminal(&o, f)
	apart := tty && o.Detached
	caught := -1
	if tty && !apart {
		caught = 0
	}
	pass, ignore := passed(f, tty)
	if err := signals.Ignore(ignore...); err != nil {
		return Result{}, fmt.Errorf("cannot ignore signals: %w", err)
	}
	var inbox *signals.Inbox
	forwarder := func(ps []userns.Published) (args []string, files []int) {
		var all []ports.Port
		for _, p := range ps {
			if p.Step.First != p.Step.Last || p.Step.First == 0 && p.Path == "" {
				h.Note(foundPort(p))
			}
			all = append(all, forwarded(p)...)
		}
		args = []string{ports.Name}
		if o.Clients {
			args = append(args, ports.VisibleArg)
		}
		args = append(args, ports.Args(all)...)
		if h.PortsSocket != nil {
			fd, err := h.PortsSocket()
			if err != nil {
				h.Note(fmt.Sprintf("nobox port does not know the box: %v", err))
			} else {
				args, files = append(args, ports.ControlArg(fd)), []int{fd}
			}
		}
		return args, files
	}
	var held []plan.HostPath
	box, err := userns.Start(p, userns.Outside{
		TTY: caught,
		Cloned: func() (err error) {
			if inbox, err = signals.Take(pass...); err != nil {
				err = fmt.Errorf("cannot take the signals: %w", err)
			}
			return err
		},
		Network:   companion.Network,
		Forwarder: forwarder,
		Lock:      func(dir plan.HostPath) error { return changes.Locked(lock, string(dir)) },
		Cgroup:    cg,
		Holder:    holder(f, &held),
	})
	defer cg.Remove()
	if inbox != nil {
		defer inbox.GiveBack()
	}
	if err != nil {
		return Result{}, err
	}
	defer box.Dismiss() // after the relay is closed
	mark(h, "started")
	s := &session{box: box, signals: inbox, note: h.Note, stopTimeout: o.StopTimeout, hungUp: -1}
	if h.Attach != nil {
		share := &terminal.Share{Master: -1, Output: h.Attach.Output, Input: h.Attach.Input, Listen: h.Attach.Listen, Keep: h.Attach.Keep, May: h.Attach.May}
		if apart {
			share.Master, share.Input = box.Master, box.Master
		}
		if err := share.Start(); err != nil {
			box.Kill()
			box.Reap()
			return Result{}, fmt.Errorf("cannot have others attach to the box: %w", err)
		}
		runtime.GOMAXPROCS(2) // its thread, and this one
		defer share.Close()
	}
	if tty && !apart {
		s.relay = terminal.NewRelay(box.Master, f.Streams)
		s.relay.Modes = box.TerminalModes
		defer s.relay.Close()
		if err = s.relay.Start(); err == nil {
			err = s.watchTerminal()
		}
		if err != nil {
			box.Kill()
			box.Reap()
			return Result{}, fmt.Errorf("cannot relay the terminal: %w", err)
		}
	}
	s.streams = func() { letGo(f, tty, o.PreserveFDs) }
	s.wall = func() *plan.Landlock { return landlock.Supervisor(f.Landlock, needs(&o, &h, cg, box, held)) }
	if h.Started != nil {
		h.Started(box.PID(), box.Shown())
	}
	began := time.Now()
	r, err := s.wait(o.Timeout)
	mark(h, "ended")
	r.EndTyped = s.relay != nil && s.relay.EndTyped()
	r.usage(&o, cg, box, time.Since(began))
	for _, n := range r.reasons(&o) {
		h.Note(n)
	}
	return r, err
}

// foundPort says where a port is that nobox was to choose.
func foundPort(p userns.Published) string {
	proto := "tcp"
	if p.Step.UDP {
		proto = "udp"
	}
	var at []string
	for _, a := range p.At {
		at = append(at, a.String())
	}
	return fmt.Sprintf("%s port %d of the box is at %s", proto, p.Step.Box, strings.Join(at, " and "))
}

// passed are the signals that go on to the command. What the caller
// ignored stays ignored: nohup(1). TSTP only without a terminal of the box's
// own: with one Ctrl-Z is typed into the box.
func passed(f *host.Facts, tty bool) (pass, ignore []unix.Signal) {
	for _, sig := range [...]unix.Signal{
		unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP,
	} {
		switch {
		case f.SignalsIgnored&(1<<(sig-1)) != 0:
			ignore = append(ignore, sig)
		case !(tty && sig == unix.SIGTSTP):
			pass = append(pass, sig)
		}
	}
	return pass, ignore
}

// letGo puts /dev/null in the place of the caller's streams that only the
// command uses, and closes the descriptors that only it has, so that a pipe ends
// when the command is done with it.
func letGo(f *host.Facts, tty bool, preserved []FD) {
	for _, p := range preserved {
		unix.Close(p.FD)
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	for fd := 0; fd < 2; fd++ {
		if !tty || !f.Streams.TTY[fd] {
			unix.Dup3(null, fd, 0)
		}
	}
}
