package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/idmap"
	"nobox/landlock"
	"nobox/mounts"
	"nobox/plan"
	"nobox/slirp"
)

// Compile makes the plan of one run. It is pure, and the table of contents:
// what a box is made of stands here in the order in which it is made.
//
// Preconditions: f answers QuestionsOf(o) and MoreQuestions(o, f).
func Compile(o Options, f *host.Facts) (*plan.Plan, error) {
	if u := f.Unseen; u.Err != nil {
		return nil, &Error{What: "look at " + plan.Quote(u.Path), Cause: u.Err,
			Hints: []string{"a box that took it for nothing could be weaker than asked for; what is wrong there: ls -ld " + plan.Quote(u.Path)}}
	}
	if o.Tier == TierLandlock {
		return compileAlone(o, f)
	}
	d, err := decide(&o, f)
	if err != nil {
		return nil, err
	}
	ids, who, v, caps, filter, filterFrom, terminal := d.ids, d.who, d.view, d.caps, d.filter, d.filterFrom, d.terminal
	v.view.Owner = [2]uint32{who.uid, who.gid}
	if gid := uint32(ttyGid); mapped(ids.HostGID(gid)) {
		v.view.TTYGid = &gid
	}
	v.view.Unmasked = o.Unmask
	if o.Unmask != "" && f.RealRoot && !hidesRoot(ids) {
		return nil, &Error{What: "leave /proc as it is", Flag: o.Unmask, Cause: errors.New("root inside is the host's root, who may write to all of it"),
			Hints: []string{"run as an ordinary user, or map a range: --uidmap 0:100000:65536"}}
	}
	if !o.AllowUserns {
		v.view.NoNamespaces = []string{"user"}
	}
	v.view.Mapped = func(uid, gid uint32) bool { return mapped(ids.BoxUID(uid)) && mapped(ids.BoxGID(gid)) }
	switch {
	case o.AllowUserns:
		v.view.Remounts = "--allow-userns"
	case caps.keep&(1<<unix.CAP_SYS_ADMIN) != 0:
		v.view.Remounts = "--cap-add"
	}

	p := &plan.Plan{Notes: v.notes}
	if ids.Note != "" {
		p.Notes = append(p.Notes, ids.Note)
	}
	if f.RealRoot && !hidesRoot(ids) {
		p.Notes = append(p.Notes, "running as root: root inside owns what root owns outside; map a range (--uidmap 0:100000:65536) or run as an ordinary user")
	}
	if o.Net == NetDefault {
		if why := noStack(f); why != "" {
			p.Notes = append(p.Notes, "the box has no network, lo alone: "+why)
		}
	}

	b := &plan.Builder{}
	tie(b, &o)
	net := network(&o, f)
	net.Pingers = pingers(ids, who)
	net.Publish = published(&o, f)
	net.Visible = flagIf(o.Clients, "--client-address")
	nested := Nested(o)
	// What is done beside takes a process more, if only for a moment.
	few := o.Limits.Pids.From != "" && o.Limits.Pids.Value < 3
	net.Beside = net.CanBeside(f) && !nested && !few
	net.Listen(b)
	if k := v.view.Keep; k != nil {
		b.Host(k.From, "", plan.Lock{Dir: k.Dir})
	}
	limited, err := limit(&o, f, b, p)
	if err != nil {
		return nil, err
	}
	if limited.Cgroup {
		v.view.Cgroup = mounts.CgroupReadOnly
		if o.Limits.Writable != "" {
			v.view.Cgroup, v.view.CgroupFrom = mounts.CgroupWritable, o.Limits.Writable
		}
	}
	start := len(b.Steps)
	from, why := "", ""
	if o.Net == NetNS {
		from, why = o.NetFrom, "nobox has entered that network, and the box shares it"
	}
	b.Host(from, why, plan.Clone{Flags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID, Cgroup: limited.Cgroup})
	b.Inside("", "nothing of a box outlives nobox", plan.DieWithParent{})
	if limited.Cgroup && o.Limits.Writable != "" {
		b.Host(o.Limits.Writable, "what the box's users make is not yours to remove", plan.SweepInside{})
	}
	own := namespaces(netOf(&o, f))
	if net.Beside {
		own &^= unix.CLONE_NEWNET
		v.view.FirstPID = 2
	}
	b.Inside("", "while the host side maps the ids and does what else it has to", plan.Unshare{Flags: own})

	byHand := len(o.UIDMap)+len(o.GIDMap) > 0
	ids.Steps(b, mapFlag(&o), !byHand, f.IDs)
	if byHand {
		b.Inside("", "a change of ids took the tie away", plan.DieWithParent{})
	}
	b.Inside("", "modes are as written below", plan.SetUmask{Mask: 0})
	ownSteps := func() {
		b.Inside(flagIf(o.Hostname != "", "--hostname"), "", plan.Hostname{Name: hostname(&o)})
		net.Steps(b, f)
	}
	if nested {
		nestedHost(b, &net, f)
		v.view.Nested = true
	} else {
		ownSteps()
	}
	// Root inside pings by CAP_NET_RAW; the helpers' networks are without it for all.
	pings := net.Mode == slirp.User && caps.keep&(1<<unix.CAP_NET_RAW) == 0 && f.Has(plan.FactPing)
	if pings {
		net.Pingers.Sys = b.NewSlot()
		b.Inside(net.From, "", plan.OpenHost{Path: "/proc/sys", Into: net.Pingers.Sys})
	}
	built, err := v.view.Steps(b, f)
	if err != nil {
		return nil, err
	}
	pty := built.PTY
	if built.Held != nil {
		hold := plan.Step{Side: plan.Host, Do: *built.Held, From: built.HeldFrom, Why: "nobox's own: the box could make what is not there"}
		b.Steps = slices.Insert(b.Steps, start, hold)
	}
	if n := lacksEtc(&o, f, v, built.NoEtc); n != "" {
		p.Notes = append(p.Notes, n)
	}
	if nested {
		nest(b, &o, f, ids, caps.from)
		ownSteps()
	}
	if pings {
		b.Inside(net.From, "the command has no CAP_NET_RAW", plan.PingGroups(net.Pingers)).Needs = plan.FactPing
	}

	if o.Shown {
		b.Inside("", "for who asks about the box, or joins it", plan.ShowNamespaces{})
		b.Host("", "", plan.SeeNamespaces{})
	}
	b.Inside("", "", plan.SetUmask{Mask: f.Umask})
	b.Inside("", "", plan.NewSession{})
	if terminal {
		b.Inside("", "nobox relays it to the caller's terminal", plan.SendPTY{Master: pty.Master})
		b.Host("", "", plan.TakePTY{})
		b.Inside("", "", plan.TakeTTY{Peer: pty.Peer, Streams: f.Streams.TTY})
	}

	ready := func() {
		if o.AsPid1 || terminal {
			b.Host("", "", plan.Watch{})
		}
		b.Host("", "", plan.Release{Event: plan.EventGo})
		b.Inside("", "", plan.Await{Event: plan.EventGo})
	}
	helped := net.Mode.HelperName() != ""
	if helped {
		ready()
		net.Ready(b, f)
	}
	privileges(b, &o, f, ids, who, caps, filter.Own)
	if (o.AsPid1 || terminal) && !helped {
		ready()
	}
	// The kernel lets no mount be made under rules for files.
	mayMount := o.AllowUserns || caps.keep&(1<<unix.CAP_SYS_ADMIN) != 0
	if wall, ok := landlock.Wall(f.Landlock, b.Steps, !mayMount, f.StreamFiles); ok && f.Has(plan.FactLandlock) {
		b.Inside("", "a second wall", wall).Needs = plan.FactLandlock
	} else if ok {
		p.Notes = append(p.Notes, "the box goes without Landlock as a second wall: "+f.Refused[plan.FactLandlock])
	}
	if filter.Own {
		b.Inside(filterFrom, "pid 1 keeps to it as well", filter)
	}
	p.Init = plan.Init{Reaper: !o.AsPid1, After: len(b.Steps) - 1}

	if err := command(b, &o, f, v, who, terminal, limited.Quota, filter, filterFrom); err != nil {
		return nil, err
	}
	if err := confine(b.Steps, f); err != nil {
		return nil, err
	}
	enterLate(b.Steps)
	awaitLate(b.Steps)
	besideEarly(b.Steps)
	p.Steps, p.Slots = b.Steps, b.Slots()
	return p, nil
}

// decided is what is settled before the first step, for a box and for one more
// command in it.
type decided struct {
	ids        idmap.Map
	who        user
	view       *view
	caps       caps
	filter     plan.Filter
	filterFrom string
	terminal   bool
}

// decide checks what was asked, and settles who runs the command with what rights.
func decide(o *Options, f *host.Facts) (d decided, err error) {
	if err = validate(o, f); err != nil {
		return d, err
	}
	if d.ids, err = idmap.Choose(mapRequest(o), f.IDs); err != nil {
		return d, err
	}
	if d.who, err = lookupUser(o, f, d.ids); err != nil {
		return d, err
	}
	if d.view = newView(o, f); d.view.err != nil {
		return d, d.view.err
	}
	if d.caps, err = capabilities(o, f, d.who); err != nil {
		return d, err
	}
	d.filter, d.filterFrom, err = filterOf(o, f, d.caps.keep)
	d.terminal = wantsTerminal(o, f)
	return d, err
}

// besideEarly moves what is done beside to where it can begin: behind the step
// that ties the inside to nobox or, where newuidmap and newgidmap keep the machine
// busy first, behind the wait for them.
func besideEarly(steps []plan.Step) {
	var room [12]plan.Step
	beside := room[:0]
	to, n := -1, 0
	for i := range steps {
		if steps[i].Side == plan.Beside {
			beside = append(beside, steps[i])
			continue
		}
		a, waits := steps[i].Do.(plan.Await)
		if waits && a.Event == plan.EventMapped || to < 0 && steps[i].Side == plan.Inside {
			to = n
		}
		if n < i {
			steps[n] = steps[i]
		}
		n++
	}
	copy(steps[to+1+len(beside):], steps[to+1:n])
	copy(steps[to+1:], beside)
}

// enterLate moves the wait for what is done beside to where something depends
// on it.
func enterLate(steps []plan.Step) {
	for i := range steps {
		if _, ok := steps[i].Do.(plan.EnterNet); !ok {
			continue
		}
		for ; i+1 < len(steps) && (steps[i+1].Side == plan.Host || !plan.InNet(steps[i+1].Do)); i++ {
			steps[i], steps[i+1] = steps[i+1], steps[i]
		}
		return
	}
}

// Nested says whether the command of a box is in a user namespace within the box's:
// it may mount.
func Nested(o Options) bool {
	dropped := slices.ContainsFunc(o.CapDrop, func(d CapRequest) bool { return !d.All && d.Cap == unix.CAP_SYS_ADMIN })
	return slices.ContainsFunc(o.CapAdd, func(a CapRequest) bool { return a.Cap == unix.CAP_SYS_ADMIN && !a.All || a.All && !dropped })
}

// nestedHost opens what the network's steps need of the host's, which come when the
// root is the box's.
func nestedHost(b *plan.Builder, net *slirp.Network, f *host.Facts) {
	switch {
	case net.Mode == slirp.User && f.Has(plan.FactTun):
		net.Dev = b.NewSlot()
		b.Inside(net.From, "", plan.OpenHost{Path: "/dev", Into: net.Dev})
	case net.Mode.HelperName() != "":
		net.Pingers.Sys = b.NewSlot()
		b.Inside(net.From, "", plan.OpenHost{Path: "/proc/sys", Into: net.Pingers.Sys})
	}
}

// nest locks the mounts: whoever holds CAP_SYS_ADMIN over the namespace that they
// are in could take off what hides the host's files, and make them writable.
func nest(b *plan.Builder, o *Options, f *host.Facts, ids idmap.Map, from string) {
	self := func(ms []plan.IDMap) (out []plan.IDMap) {
		for _, m := range ms {
			out = append(out, plan.IDMap{Box: m.Box, Host: m.Box, Count: m.Count})
		}
		return out
	}
	b.Inside(from, "it is the namespace within that the command holds CAP_SYS_ADMIN over",
		plan.Nest{Flags: namespaces(netOf(o, f))&^unix.CLONE_NEWCGROUP | unix.CLONE_NEWUSER})
	b.Host(from, "", plan.MapNested{UID: self(ids.UID), GID: self(ids.GID)})
	b.Host(from, "", plan.Release{Event: plan.EventNested})
	b.Inside(from, "", plan.Await{Event: plan.EventNested})
	b.Inside("", "a change of ids took the tie away", plan.DieWithParent{})
}

// awaitLate moves the wait for the id maps behind what can be done without them:
// newuidmap and newgidmap take longer than that.
func awaitLate(steps []plan.Step) {
	for i := range steps {
		if a, ok := steps[i].Do.(plan.Await); !ok || a.Event != plan.EventMapped {
			continue
		}
		for ; i+1 < len(steps) && (steps[i+1].Side != plan.Inside || plan.BeforeIDs(steps[i+1].Do)); i++ {
			steps[i], steps[i+1] = steps[i+1], steps[i]
		}
		return
	}
}

// netOf is the kind of the box's network: without a flag the one in user space
// where the machine allows it.
func netOf(o *Options, f *host.Facts) Net {
	switch {
	case o.Net != NetDefault:
		return o.Net
	case noStack(f) != "":
		return NetNone
	}
	return NetUser
}

// noStack says why there can be no network in user space, "" if there can.
func noStack(f *host.Facts) string {
	switch {
	case !f.NetStack:
		return "this nobox was built without its network stack, which make adds"
	case !f.Has(plan.FactTun) && !f.Has(plan.FactVeth):
		return "/dev/net/tun: " + f.Refused[plan.FactTun] + "; a pair of devices in its place: " + f.Refused[plan.FactVeth]
	}
	return ""
}

// network is what the box's network is to be.
func network(o *Options, f *host.Facts) slirp.Network {
	n := slirp.Network{From: o.NetFrom, MTU: o.MTU, HostPorts: o.HostPorts, DNS: o.DNS, Allow: o.AllowHosts, Deny: o.DenyHosts}
	if o.NetLog != "" {
		n.Log = plan.HostPath(o.NetLog)
		if !path.IsAbs(o.NetLog) {
			n.Log = plan.HostPath(path.Join(string(f.Cwd), o.NetLog))
		}
	}
	switch netOf(o, f) {
	case NetHost:
		n.Mode = slirp.Host
	case NetUser:
		n.Mode = slirp.User
	case NetPasta:
		n.Mode = slirp.Pasta
	case NetSlirp4netns:
		n.Mode = slirp.Slirp4netns
	case NetNS:
		n.Mode = slirp.Joined
	}
	return n
}

// helpedBy is the mode of a network that a program of the host's makes, the zero
// one of any other: the machine plays no part in that.
func helpedBy(o *Options) slirp.Mode {
	switch o.Net {
	case NetPasta:
		return slirp.Pasta
	case NetSlirp4netns:
		return slirp.Slirp4netns
	}
	return slirp.None
}

// published are the ports to listen at, loopback of both families unless an
// address was given.
func published(o *Options, f *host.Facts) (ps []slirp.Port) {
	for _, p := range o.Publish {
		l := plan.Listen{First: p.First, Last: p.Last, UDP: p.UDP, Box: p.Box, Path: plan.HostPath(p.Path)}
		switch {
		case p.Path != "":
		case p.Addr.IsValid():
			l.At = []string{p.Addr.String()}
		default:
			l.At = []string{"127.0.0.1"}
			if f.IPv6Loopback {
				l.At = append(l.At, "::1")
			}
		}
		ps = append(ps, slirp.Port{Listen: l, From: p.From})
	}
	return ps
}

// pingers are the groups of the box that may ping. The kernel compares groups as
// the host numbers them, so that the caller's own, which ids inside may lie around,
// is not between the least and the greatest of the box; net/ipv4/ping.c.
func pingers(ids idmap.Map, who user) plan.PingGroups {
	var least, most, own plan.IDMap
	for i, m := range ids.GID {
		if i == 0 || m.Host < least.Host {
			least = m
		}
		if i == 0 || m.Host > most.Host {
			most = m
		}
		if m.Box <= who.gid && who.gid-m.Box < m.Count {
			own = m
		}
	}
	switch last := most.Box + most.Count - 1; {
	case own.Count == 0:
		return plan.PingGroups{First: who.gid, Last: who.gid}
	case least.Box <= last:
		return plan.PingGroups{First: least.Box, Last: last}
	}
	return plan.PingGroups{First: own.Box, Last: own.Box + own.Count - 1}
}

// namespaces of a box besides user and pid, which it starts in: all that Linux
// has for a container, but for a network shared with the host.
func namespaces(n Net) uint64 {
	ns := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET)
	if n == NetHost || n == NetNS {
		ns &^= unix.CLONE_NEWNET
	}
	return ns
}

// privileges lets go of everything the command must not have; from the last
// step that needs a capability on.
func privileges(b *plan.Builder, o *Options, f *host.Facts, ids idmap.Map, who user, caps caps, keysClosed bool) {
	b.Inside(caps.from, "", plan.DropBounding{Keep: caps.bounding, Last: f.LastCap})
	b.Inside("", "what root means stays as it is", plan.Securebits{Bits: caps.securebits()})
	ownIDs := plan.SetIDs{UID: who.uid, GID: who.gid}
	if ids.Setgroups {
		ownIDs.Groups = who.groups
		if ownIDs.Groups == nil {
			ownIDs.Groups = []uint32{}
		}
	}
	if ids.Setgroups || o.User != "" {
		b.Inside(flagIf(o.User != "", "-u"), "supplementary groups are dropped", ownIDs)
	}
	b.Inside(caps.from, "", plan.SetCaps{Keep: caps.keep, Ambient: caps.ambient})
	b.Inside("", "no program can give more than this", plan.NoNewPrivs{})
	b.Inside("", "", plan.NotDumpable{})
	b.Inside("", "a change of ids takes the tie away", plan.DieWithParent{})
	b.Inside("", "the kernel looks keys up in it for the box", plan.SessionKeyring{Closed: keysClosed})
}

// command appends what the command's own process does.
func command(b *plan.Builder, o *Options, f *host.Facts, v *view, who user, terminal bool, quota *plan.Step, filter plan.Filter, filterFrom string) error {
	if !o.AsPid1 {
		b.Inside("", "", plan.Foreground{Terminal: terminal})
	}
	dir, from := v.start, flagIf(o.Workdir != "", "-w")
	b.Inside(from, "", plan.Chdir{Path: plan.BoxPath(dir)})
	nofile := false
	for _, u := range o.Ulimits {
		b.Inside(u.From, "", plan.Rlimit{Name: u.Name, Resource: u.Resource, Soft: u.Soft, Hard: u.Hard})
		nofile = nofile || u.Resource == unix.RLIMIT_NOFILE
	}
	if !nofile {
		b.Inside("", "as the caller had it", plan.Rlimit{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: f.NoFile[0], Hard: f.NoFile[1]})
	}
	if f.TimerSlack != 0 {
		b.Inside("", "as the caller had it", plan.TimerSlack{Nanoseconds: f.TimerSlack})
	}
	if quota != nil {
		b.Inside(quota.From, quota.Why, quota.Do).Needs = quota.Needs
	}
	keep := plan.CloseFiles{}
	keepFrom := ""
	for _, fd := range o.PreserveFDs {
		if !slices.Contains(keep.Keep, fd.FD) {
			keep.Keep = append(keep.Keep, fd.FD)
		}
		keepFrom = fd.From
	}
	slices.Sort(keep.Keep)
	b.Inside(keepFrom, "", keep)
	b.Inside("", "", plan.RestoreSignals{Ignored: f.SignalsIgnored, Mask: f.SignalsBlocked})

	env, err := environment(o, f, who)
	if err != nil {
		return err
	}
	args := o.Command
	if len(args) == 0 {
		args = []string{shell(o, f, v)}
	}
	e := plan.Exec{Args: args, Env: env}
	switch {
	case args[0] == "":
		return &Error{What: `run ""`, Cause: ErrNoCommand}
	case strings.Contains(args[0], "/"):
		e.Files = []plan.BoxPath{plan.BoxPath(args[0])}
	default:
		for _, d := range strings.Split(lookup(env, "PATH", defaultPath), ":") {
			if strings.HasPrefix(d, "/") {
				e.Files = append(e.Files, plan.BoxPath(path.Join(d, args[0])))
			}
		}
		if len(e.Files) == 0 {
			return &Error{What: "run " + plan.Quote(args[0]), Cause: errors.New("PATH has no absolute directory")}
		}
	}
	if !filter.Own {
		b.Inside(filterFrom, "", filter)
	}
	b.Inside("", "", e)
	return nil
}

// ErrNoCommand is a command without a name.
var ErrNoCommand = errors.New("the command's name is empty")

// defaultPath is the one of docker's images.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ttyGid is the group that terminals belong to on Linux systems, "tty" on all
// of them; systemd's sysusers.d/basic.conf.
const ttyGid = 5

// wantsTerminal says whether the box gets a pty of its own.
func wantsTerminal(o *Options, f *host.Facts) bool {
	return o.Terminal != No && f.Streams.TTY[0]
}

func mapped(_ uint32, ok bool) bool { return ok }

// hidesRoot says whether no id inside is the host's root.
func hidesRoot(m idmap.Map) bool {
	_, uid := m.BoxUID(0)
	return !uid
}

func flagIf(given bool, flag string) string {
	if given {
		return flag
	}
	return ""
}

func hostname(o *Options) string {
	if o.Hostname != "" {
		return o.Hostname
	}
	return "nobox"
}

func mapFlag(o *Options) string {
	switch {
	case len(o.UIDMap) > 0:
		return o.UIDMap[0].From
	case len(o.GIDMap) > 0:
		return o.GIDMap[0].From
	}
	return o.UsernsFrom
}

// mapRequest says in idmap's words how the ids are to be mapped.
// tie appends the end of a box with what started nobox.
func tie(b *plan.Builder, o *Options) {
	if o.EndWithParent {
		b.Host("--die-with-parent", "the box ends with nobox", plan.EndWithParent{})
	}
}

func mapRequest(o *Options) idmap.Request {
	if len(o.UIDMap)+len(o.GIDMap) > 0 {
		conv := func(ms []MapRequest) (out []idmap.Manual) {
			for _, m := range ms {
				out = append(out, idmap.Manual{Box: m.Box, Host: m.Host, Count: m.Count, Absolute: m.Absolute, From: m.From})
			}
			return out
		}
		return idmap.Request{Mode: idmap.ByHand, UID: conv(o.UIDMap), GID: conv(o.GIDMap)}
	}
	switch o.Userns {
	case UsernsRoot:
		return idmap.Request{Mode: idmap.Root}
	case UsernsKeepID:
		return idmap.Request{Mode: idmap.KeepID}
	}
	return idmap.Request{Mode: idmap.Auto}
}

// environment is what the command gets: an allow-list of the caller's, unless
// all of it was asked for, and what flags set.
func environment(o *Options, f *host.Facts, who user) ([]string, error) {
	var env []string
	set := func(name, value string) {
		kv := name + "=" + value
		for i, old := range env {
			if strings.HasPrefix(old, name+"=") {
				env[i] = kv
				return
			}
		}
		env = append(env, kv)
	}
	caller := map[string]string{}
	for _, kv := range f.Env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			continue
		}
		if _, twice := caller[name]; twice {
			continue // getenv(3) finds the first
		}
		caller[name] = value
		if o.EnvHost || allowed(name) && !o.EnvClear {
			set(name, value)
		}
	}
	switch {
	case o.EnvClear:
	case o.Rootfs != "" && !o.EnvHost:
		set("PATH", defaultPath)
		set("HOME", who.home)
	case o.User != "" && who.home != "" && o.Rootfs != "":
		set("HOME", who.home)
	}
	if slices.Contains(o.ConnectTCP, 53) {
		set("RES_OPTIONS", "use-vc") // resolv.conf(5): UDP is closed
	}
	if lookup(env, "PATH", "") == "" && !o.EnvClear {
		set("PATH", defaultPath)
	}
	for _, e := range o.Env {
		if e.Unset {
			env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, e.Name+"=") })
			continue
		}
		if e.FromCaller {
			if v, ok := caller[e.Name]; ok {
				set(e.Name, v)
			}
			continue
		}
		if strings.IndexByte(e.Name+e.Value, 0) >= 0 {
			return nil, &Error{What: "set " + plan.Quote(e.Name), Flag: e.From, Cause: errors.New("it holds a NUL byte")}
		}
		set(e.Name, e.Value)
	}
	return env, nil
}

// allowed is what a command gets of the caller's environment by itself.
func allowed(name string) bool {
	switch name {
	case "PATH", "HOME", "SHELL", "TERM", "COLORTERM", "LANG", "TZ", "NO_COLOR":
		return true
	}
	return strings.HasPrefix(name, "LC_")
}

func lookup(env []string, name, otherwise string) string {
	for _, kv := range env {
		if strings.HasPrefix(kv, name+"=") {
			return kv[len(name)+1:]
		}
	}
	return otherwise
}

// shell is $SHELL if the box has it, else /bin/sh.
func shell(o *Options, f *host.Facts, v *view) string {
	sh := lookup(f.Env, "SHELL", "")
	if !strings.HasPrefix(sh, "/") || v.hides(path.Clean(sh)) {
		return "/bin/sh"
	}
	if pf := f.Places[host.Place{Base: v.base(), Path: path.Clean(sh)}]; pf.Kind != host.File {
		return "/bin/sh"
	}
	return sh
}

// user is who runs the command.
type user struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

func (u user) String() string { return fmt.Sprintf("%d:%d", u.uid, u.gid) }
