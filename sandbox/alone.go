package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/landlock"
	"nobox/mounts"
	"nobox/plan"
	"nobox/seccomp"
)

// Tier is what holds a box.
type Tier uint8

const (
	TierNamespaces Tier = iota // namespaces, with everything else behind them
	TierLandlock               // Landlock alone, where no user namespace can be had
)

// tierFlag is how the tier is asked for.
const tierFlag = "--tier=landlock"

// lacks is the first thing said of a box that Landlock alone holds.
const lacks = "Landlock alone holds this box (" + tierFlag + "): it has no processes, mounts, /tmp, network, users or host name of its own. " +
	"It sees the host's processes and their command lines; names, sizes and modes of files, hidden ones too; " +
	"and it can change modes, owners and times of what is the caller's. It has no unix sockets and no System V memory."

// refusedAlone says what of o cannot be had by Landlock alone, "" if all can, and
// why.
func refusedAlone(o *Options) (flag string, cause error) {
	const (
		mount   = "it takes a mount, and there is none"
		network = "it takes a network of the box's own"
		ids     = "it takes a user namespace"
	)
	first := func(n int, from func() string) string {
		if n == 0 {
			return ""
		}
		return from()
	}
	var overlay, flat string
	for _, b := range o.Binds {
		switch {
		case b.Overlay:
			overlay = b.From
		case b.Flat:
			flat = b.From
		}
	}
	for _, r := range [...]struct{ flag, cause string }{
		{flagIf(o.Rootfs != "", "--rootfs"), "it takes pivot_root(2), and so a mount namespace"},
		{flagIf(o.Overlay, "--overlay"), mount}, {o.OverlayDirFrom, mount}, {overlay, mount},
		{flat, "Landlock cannot take out what is mounted below"},
		{flagIf(o.Cwd == ShareOverlay, "--cwd=overlay"), mount}, {flagIf(o.Home == ShareOverlay, "--home=overlay"), mount},
		{first(len(o.Tmpfs), func() string { return o.Tmpfs[0].From }), mount},
		{flagIf(o.Hostname != "", "--hostname"), "it takes a uts namespace"},
		{flagIf(o.Net != NetDefault && o.Net != NetNone && o.Net != NetHost, o.NetFrom), network},
		{first(len(o.Publish), func() string { return o.Publish[0].From }), network},
		{flagIf(o.MTU != 0, "--mtu"), network}, {flagIf(len(o.HostPorts) > 0, "--host-port"), network},
		{flagIf(len(o.AddHosts) > 0, "--add-host"), mount}, {flagIf(len(o.DNS) > 0, "--dns"), mount}, {flagIf(len(o.DNSSearch) > 0, "--dns-search"), mount},
		{flagIf(len(o.AllowHosts) > 0, "--allow-host"), network}, {flagIf(len(o.DenyHosts) > 0, "--deny-host"), network}, {flagIf(o.NetLog != "", "--net-log"), network},
		{o.UsernsFrom, ids}, {first(len(o.UIDMap), func() string { return o.UIDMap[0].From }), ids}, {first(len(o.GIDMap), func() string { return o.GIDMap[0].From }), ids},
		{flagIf(o.User != "", "-u"), ids}, {first(len(o.CapAdd), func() string { return o.CapAdd[0].From }), ids}, {flagIf(o.AllowUserns, "--allow-userns"), "there are none to be had"},
		{o.Unmask, "there is no /proc of the box's own"}, {o.Seccomp.From, "the filter keeps apart what no namespace does"},
		{flagIf(o.AsPid1, "--as-pid-1"), "it takes a pid namespace"},
		{o.Limits.Writable, "it takes a cgroup namespace"},
	} {
		if r.flag != "" {
			return r.flag, errors.New(r.cause)
		}
	}
	if o.Net == NetNone && len(o.ConnectTCP)+len(o.BindTCP) > 0 || o.Net == NetHost && len(o.ConnectTCP)+len(o.BindTCP) > 0 {
		return "--connect-tcp, --bind-tcp", errors.New("they say which ports of the host's network the box has, and " + o.NetFrom + " says all or none")
	}
	return "", nil
}

// checkTier: what only one of the tiers has.
func checkTier(o *Options, f *host.Facts) error {
	if o.Tier != TierLandlock {
		if len(o.ConnectTCP)+len(o.BindTCP) > 0 {
			return &Error{What: "open TCP ports", Flag: "--connect-tcp, --bind-tcp", Cause: errors.New("they are for " + tierFlag),
				Hints: []string{"with a network of its own a box has --allow-host for what it reaches, and -p for what reaches it"}}
		}
		return nil
	}
	if f.Landlock < landlock.AloneABI {
		return &Error{What: "hold a box by Landlock alone", Flag: tierFlag, Cause: landlock.ErrOld(f.Landlock, f.Release)}
	}
	if flag, cause := refusedAlone(o); cause != nil {
		return &Error{What: "hold a box by Landlock alone", Flag: tierFlag + ", " + flag, Cause: cause,
			Hints: []string{"without " + tierFlag + " the flag works where user namespaces can be had"}}
	}
	return nil
}

// device nodes that a box gets, by whatever name.
var aloneDevices = [...]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// areas are the places of a box that Landlock alone holds: what the view would
// be by mounts, as far as rules can say it.
func areas(o *Options, f *host.Facts, v *view) ([]landlock.Area, error) {
	out := []landlock.Area{{Path: "/", Access: landlock.ReadOnly}, {Path: "/dev", Access: landlock.Hidden, Why: "the host's devices"}}
	for _, d := range aloneDevices {
		out = append(out, landlock.Area{Path: d, Access: landlock.Device})
	}
	entries := slices.Clone(v.Entries)
	// A default gives way to a flag, whatever their order.
	slices.SortStableFunc(entries, func(a, b mounts.Entry) int {
		switch {
		case a.From == "" && b.From != "":
			return -1
		case a.From != "" && b.From == "":
			return 1
		}
		return 0
	})
	for _, e := range entries {
		pf := f.Places[host.Place{Base: "/", Path: string(e.At)}]
		a := landlock.Area{Path: string(pf.Resolved), From: e.From, Why: e.Why}
		switch e.What {
		case mounts.Make, mounts.Link:
			continue
		case mounts.Empty:
			if pf.Kind == host.None {
				continue
			}
		case mounts.Mask:
			a.Why = "masked by " + e.From
			if pf.Kind == host.None {
				return nil, &Error{What: "mask " + plan.Quote(string(e.At)), Flag: e.From, Cause: unix.ENOENT}
			}
		case mounts.Bind, mounts.Device:
			if string(e.Source) != a.Path {
				return nil, &Error{What: fmt.Sprintf("share %s at %s", plan.Quote(string(e.Source)), plan.Quote(string(e.At))), Flag: e.From,
					Cause: errors.New("by Landlock alone everything is where the host has it"), Hints: []string{"give the same path twice"}}
			}
			a.Access, a.NoExec = landlock.ReadWrite, e.NoExec
			if e.ReadOnly {
				a.Access = landlock.ReadOnly
			}
			if e.What == mounts.Device {
				a.Access = landlock.Device
			}
			if a.Why = "shared in a lesser way"; e.From != "" {
				a.Why += " (" + e.From + ")"
			}
		}
		out = append(out, a)
	}
	for _, h := range v.Hide {
		why := "masked by " + h.From
		if h.Why != "" {
			why = h.Why + " (" + h.From + ")"
		}
		out = append(out, landlock.Area{Path: string(h.Path), Access: landlock.Hidden, Why: why})
	}
	for _, a := range out {
		if a.Access != landlock.ReadWrite {
			continue
		}
		for _, t := range v.Protect {
			if within(a.Path, string(t.Path)) {
				return nil, shareError(&landlock.HoleError{In: a, Hole: landlock.Area{Path: string(t.Path), Why: "nobox's own"}})
			}
		}
		for _, l := range v.FoundBy {
			if within(a.Path, string(l)) {
				return nil, shareError(&landlock.HoleError{In: a, Hole: landlock.Area{Path: string(l), Why: "the link by which nobox's own is found"}})
			}
		}
	}
	return out, nil
}

// LastQuestions is what is left to ask once MoreQuestions is answered: the
// directories in which something is hidden, where no mount hides it.
func LastQuestions(o Options, f *host.Facts) (q host.Questions) {
	if o.Tier != TierLandlock {
		return q
	}
	if as, err := areas(&o, f, newView(&o, f)); err == nil { // else Compile says why
		q.Lists = landlock.Lists(as)
	}
	return q
}

// shareError says of which flag a hole is.
func shareError(err error) error {
	var h *landlock.HoleError
	if !errors.As(err, &h) {
		return err
	}
	e := &Error{What: "share " + plan.Quote(h.In.Path) + " read-write", Flag: h.In.From, Cause: err}
	switch {
	case h.In.From == "":
		e.Hints = []string{"--cwd=ro shares it read-only, --cwd=hidden not at all; -v DIR:DIR a part of it"}
	default:
		e.Hints = []string{"share it read-only, or a part of it"}
	}
	return e
}

// compileAlone makes the plan of a box that Landlock alone holds. It is Compile
// for it, in the same order.
//
// Preconditions: as Compile.
func compileAlone(o Options, f *host.Facts) (*plan.Plan, error) {
	if err := validate(&o, f); err != nil {
		return nil, err
	}
	v := newView(&o, f)
	if v.err != nil {
		return nil, v.err
	}
	if v.HostRW != "" {
		return nil, &Error{What: "share the host's tree", Flag: v.HostRW, Cause: errors.New("the homes, /tmp and /run cannot be taken out of what is writable"), Hints: []string{"-v DIR:DIR shares a part of it"}}
	}
	as, err := areas(&o, f, v)
	if err != nil {
		return nil, err
	}
	ports := o.Net != NetHost
	wall, err := landlock.Alone(as, f.Lists, o.ConnectTCP, o.BindTCP, ports)
	if err != nil {
		return nil, shareError(err)
	}
	p := &plan.Plan{Notes: append([]string{lacks}, v.notes...)}
	if f.UID == 0 {
		p.Notes = append(p.Notes, "running as root: the command owns what root owns; it has no capabilities")
	}
	if !readable(as, v.start) && o.Workdir == "" {
		v.start = "/"
		for i, n := range p.Notes {
			if before, _, ok := strings.Cut(n, "; the box starts in "); ok {
				p.Notes[i] = before + "; the box starts in /"
			}
		}
	}
	want := seccomp.Want{Shared: true}
	what := "docker's default list and nobox's own, without sockets"
	switch {
	case o.Net == NetHost:
		want.Sockets, what = seccomp.AllSockets, "docker's default list and nobox's own, without unix sockets"
	case len(o.BindTCP) > 0:
		want.Sockets, what = seccomp.TCPServers, "docker's default list and nobox's own, with TCP alone"
	case len(o.ConnectTCP) > 0:
		want.Sockets, what = seccomp.TCPSockets, "docker's default list and nobox's own, with TCP alone, and without listen(2)"
	}
	program, err := seccomp.Default(want)
	if err != nil {
		return nil, &Error{What: "filter system calls", Cause: err}
	}
	filter := plan.Filter{What: what, Own: true, Program: string(program)}
	terminal := wantsTerminal(&o, f)
	who := user{uid: f.UID, gid: f.GID, home: f.Home}

	b := &plan.Builder{}
	tie(b, &o)
	limited, err := limit(&o, f, b, p)
	if err != nil {
		return nil, err
	}
	b.Host(tierFlag, "there is no pid namespace that would end with the box", plan.Keep{Terminal: terminal})
	b.Host("", "", plan.Clone{Cgroup: limited.Cgroup})
	b.Inside("", "nothing of a box outlives nobox", plan.DieWithParent{})
	b.Inside("", "who forks twice is waited for as well", plan.AdoptOrphans{})
	b.Inside("", "", plan.SetUmask{Mask: f.Umask})
	b.Inside("", "", plan.NewSession{})
	if terminal {
		devpts, master, peer := b.NewSlot(), b.NewSlot(), b.NewSlot()
		b.Inside("-t", "", plan.OpenHost{Path: "/dev", Into: devpts})
		b.Inside("-t", "job control, and no way into the caller's terminal", plan.OpenPTY{
			Devpts: devpts, Master: master, Peer: peer, Size: f.Streams.Size, Termios: f.Streams.Termios})
		b.Inside("", "nobox relays it to the caller's terminal", plan.SendPTY{Master: master})
		b.Host("", "", plan.TakePTY{})
		b.Inside("", "", plan.TakeTTY{Peer: peer, Streams: f.Streams.TTY})
	}
	if f.Caps&(1<<unix.CAP_SETPCAP) != 0 {
		b.Inside("", "", plan.DropBounding{Last: f.LastCap})
		b.Inside("", "what root means stays as it is", plan.Securebits{Bits: caps{}.securebits()})
	}
	b.Inside("", "", plan.SetCaps{})
	b.Inside("", "no program can give more than this", plan.NoNewPrivs{})
	b.Inside("", "", plan.NotDumpable{})
	b.Inside("", "the kernel looks keys up in it for the box", plan.SessionKeyring{Closed: true})
	if terminal {
		b.Host("", "", plan.Watch{})
		b.Host("", "", plan.Release{Event: plan.EventGo})
		b.Inside("", "", plan.Await{Event: plan.EventGo})
	}
	b.Inside("", "the reaper keeps to it as well", filter)
	p.Init = plan.Init{Reaper: true, After: len(b.Steps) - 1}
	for fd, is := range f.StreamFiles {
		switch {
		case f.Streams.TTY[fd] && terminal:
			wall.Streams[fd] = landlock.ReadFile | landlock.WriteFile | landlock.IoctlDev
		case f.Streams.TTY[fd], is == host.StreamElse, is == host.StreamDir:
		case fd == 0:
			wall.Streams[fd] = landlock.ReadFile
		case is == host.StreamWritten:
			wall.Streams[fd] = landlock.WriteFile | landlock.Truncate
		}
	}
	b.Inside(tierFlag, "", wall)
	if err := command(b, &o, f, v, who, terminal, limited.Quota, filter, ""); err != nil {
		return nil, err
	}
	p.Steps, p.Slots = b.Steps, b.Slots()
	return p, nil
}

// readable says whether the place that a path is in shows what it holds.
func readable(as []landlock.Area, p string) bool {
	best, ok := -1, false
	for _, a := range as {
		if within(a.Path, p) && len(a.Path) >= best {
			best, ok = len(a.Path), a.Access == landlock.ReadOnly || a.Access == landlock.ReadWrite
		}
	}
	return ok
}
