package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// everyAction has one of each action there is.
var everyAction = []Action{
	Scope{}, MakeCgroup{}, LimitCgroup{}, OpenLimit{}, WriteLimit{}, SweepCgroup{}, SweepInside{}, JoinCgroup{}, Clone{}, MapIDs{}, Watch{}, Release{}, TakePTY{}, StartNet{}, Listen{}, TakeNamespaces{}, TakeSwitch{}, SeeNamespaces{}, StartForwarder{}, StartHelper{}, Lock{}, HoldDirs{}, EndWithParent{}, DieWithParent{}, Await{}, Unshare{}, HoldNet{}, EnterNet{}, FirstPID{}, Join{}, OpenDevpts{}, MapSelf{}, SetIDs{}, Hostname{},
	LoopbackUp{}, MakeTun{}, MakeVeth{}, Device{}, DeviceIPv6{}, SendNet{}, SendSwitch{}, ShowNamespaces{}, SendNamespaces{}, LocalRoutes{}, PingGroups{}, ClientRoutes{}, PrivateMounts{}, OpenTree{}, CopyTree{}, CopyBoxTree{}, NewFS{}, EnterTree{}, Detach{}, AttachRoot{},
	Attach{}, AttachIn{}, SetAttr{}, Mkdir{}, File{}, Symlink{}, Chown{}, CopyUp{}, Whiteout{}, Pivot{}, OpenPTY{}, SendPTY{}, NewSession{},
	TakeTTY{}, Foreground{}, DropBounding{}, SetCaps{}, NoNewPrivs{}, NotDumpable{}, Chdir{}, SetUmask{}, Rlimit{},
	TimerSlack{}, RestoreSignals{}, CloseFiles{}, Exec{}, Securebits{}, Keep{}, AdoptOrphans{}, OpenHost{}, Nest{}, MapNested{}, SessionKeyring{}, LimitNamespaces{}, Filter{}, Landlock{},
}

func TestEveryActionIsListedHere(t *testing.T) {
	listed := map[string]bool{}
	for _, a := range everyAction {
		listed[reflect.TypeOf(a).Name()] = true
	}
	f, err := parser.ParseFile(token.NewFileSet(), "actions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "Cannot" {
			continue
		}
		n++
		if name := fn.Recv.List[0].Type.(*ast.Ident).Name; !listed[name] {
			t.Errorf("%s is not in everyAction", name)
		}
	}
	if n != len(everyAction) {
		t.Errorf("everyAction has %d actions, actions.go has %d", len(everyAction), n)
	}
}

// shape is what the good plans differ in.
type shape struct {
	ranges   bool // of ids, mapped by newuidmap and newgidmap; else one id
	terminal bool
	reaper   bool
	rootfs   bool // a read-only root that lacks mount points
	network  bool // one in user space
	veth     bool // without /dev/net/tun
	nest     bool // whose command may mount
	alone    bool // held by Landlock alone
	beside   bool // whose namespace is made beside
	join     bool // a box that runs, for one more command
	helper   bool // one of a program of the host's, and a published port
	scope    bool // limited, in a scope of systemd's
	cgroup   bool // limited, in a cgroup that was there
	overlay  bool // a root that is written to in memory, and lacks a name
	kept     bool // and what is written is kept
}

// good are the plans that the bad ones are made from.
var good = map[string]shape{
	"reaper":            {reaper: true},
	"terminal":          {ranges: true, terminal: true, reaper: true},
	"as-pid-1":          {},
	"as-pid-1-terminal": {ranges: true, terminal: true},
	"rootfs":            {ranges: true, reaper: true, rootfs: true},
	"network":           {reaper: true, network: true},
	"veth":              {ranges: true, reaper: true, network: true, veth: true},
	"nest":              {ranges: true, reaper: true, nest: true},
	"alone":             {alone: true, terminal: true, reaper: true},
	"beside":            {ranges: true, network: true, beside: true},
	"join":              {join: true, terminal: true, reaper: true},
	"join-limited":      {join: true, terminal: true, reaper: true, scope: true},
	"helper":            {reaper: true, terminal: true, helper: true},
	"scope":             {reaper: true, scope: true},
	"cgroup":            {reaper: true, cgroup: true},
	"overlay":           {reaper: true, overlay: true},
	"kept":              {reaper: true, overlay: true, kept: true},
}

// plan makes a plan of the shape, as sandbox.Compile would but with less of
// everything.
func (g shape) plan() *Plan {
	switch {
	case g.join:
		return joining(g.scope)
	case g.alone:
		return alone()
	}
	const (
		caps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_KILL
		ids  = 65536
	)
	view := Attr{ReadOnly: true, NoSuid: true, NoDev: true}
	share := Attr{NoSuid: true, NoDev: true}
	device := Attr{NoSuid: true, NoExec: true}
	system := Attr{NoSuid: true, NoDev: true, NoExec: true}
	mask := Attr{ReadOnly: true, NoSuid: true, NoDev: true, NoExec: true}

	b := &Builder{}
	if g.kept {
		b.Host("--die-with-parent", "", EndWithParent{})
	}
	if g.helper {
		b.Host("-p 8080:80", "", Listen{At: []string{"127.0.0.1", "::1"}, First: 8080, Last: 8080, Box: 80})
	}
	if g.kept {
		b.Host("--overlay-dir", "", Lock{"/srv/keep"})
		b.Host("-v", "", HoldDirs{[]HostPath{"/home/me/.config/nobox"}})
	}
	limited := g.scope || g.cgroup
	var quota []Slot
	switch {
	case g.scope:
		b.Host("-m 1g", "", Scope{Buses: []Bus{{"unix:path=/run/user/1000/systemd/private", true}}, Controllers: []string{"memory", "pids"}}).Needs = FactScope
		b.Host("-m 1g", "", MakeCgroup{Leaf: true, Controllers: []string{"memory", "pids"}})
	case g.cgroup:
		b.Host("-m 1g", "", MakeCgroup{In: "/sys/fs/cgroup", Controllers: []string{"memory", "pids"}}).Needs = FactCgroup
		b.Host("-m 1g", "nothing is left on the host", SweepCgroup{})
	}
	if limited {
		b.Host("-m 1g", "", LimitCgroup{"memory.max", "1073741824", "limit the memory", true}).Needs = FactLimit("memory.max")
		if g.scope {
			quota = []Slot{b.NewSlot(), b.NewSlot()}
			b.Host("--cpus 1", "", OpenLimit{"cpu.max", "limit the CPU time", slices.Clone(quota)}).Needs = FactLimit("cpu.max")
		}
	}
	b.Host("", "", Clone{unix.CLONE_NEWUSER | unix.CLONE_NEWPID, limited})
	b.Inside("", "nothing of a box outlives nobox", DieWithParent{})
	own := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP)
	ns := Slot(0)
	network := func(add func(from, why string, do Action) *Step) {
		packets := b.NewSlot()
		if g.veth {
			add("", "/dev/net/tun: no such file or directory", MakeVeth{Name: "eth0", Index: 64, MTU: 1500, Address: "02:6e:6f:62:6f:78", Into: packets}).Needs = FactVeth
		}
		add("", "", LoopbackUp{})
		if !g.veth {
			add("", "", MakeTun{Name: "eth0", Index: 64, Into: packets}).Needs = FactTun
		}
		add("", "", Device{Name: "eth0", MTU: 1500, Address: "10.0.2.100/24", Gateway: "10.0.2.2"})
		add("", "", DeviceIPv6{Name: "eth0", Index: 64, Address: "fd6e:6f62:6f78::100/64", Gateway: "fd6e:6f62:6f78::2"}).Needs = FactIPv6
		add("", "the command need not wait: packets do", SendNet{packets})
		add("", "", SendSwitch{})
	}
	if g.beside {
		own &^= unix.CLONE_NEWNET
		b.Beside("", "it takes longest of all namespaces", Unshare{unix.CLONE_NEWNET})
		network(b.Beside)
		ns = b.NewSlot()
		b.Beside("", "", HoldNet{ns})
	}
	b.Inside("", "while the ids are mapped", Unshare{own})
	if g.ranges {
		lines := func() []IDMap { return []IDMap{{0, 1000, 1}, {1, 100000, ids}} }
		b.Host("", "they check in the host's files that these ids are the caller's", MapIDs{lines(), lines(), "/usr/bin/newuidmap", "/usr/bin/newgidmap"}).Needs = FactNewIDMap
		b.Host("", "", Release{EventMapped})
		b.Inside("", "without a map every id inside is nobody's", Await{EventMapped})
	} else {
		b.Inside("-r", "the kernel lets a process map its own id, and no other, without a helper", MapSelf{IDMap{0, 1000, 1}, IDMap{0, 1000, 1}})
	}
	b.Inside("", "modes are as written below", SetUmask{0})
	if g.nest {
		b.Inside("", "", OpenHost{"/dev", b.NewSlot()})
	} else {
		b.Inside("--hostname", "", Hostname{"box"})
	}
	switch {
	case g.nest:
	case g.network:
		b.Host("", "", StartNet{Args: []string{"--mtu=1500"}})
		if !g.beside {
			network(b.Inside)
		}
		b.Host("", "", TakeSwitch{Device: "eth0"})
	default:
		b.Inside("", "a network namespace with nothing else in it", LoopbackUp{})
	}
	if g.helper {
		b.Inside("", "", PingGroups{})
		b.Inside("", "", SendNamespaces{})
		b.Host("", "", TakeNamespaces{})
		b.Host("-p 8080:80", "", StartForwarder{})
		b.Host("--net=slirp4netns", "", StartHelper{Name: "slirp4netns", Path: "/usr/bin/slirp4netns", Args: []string{BoxPID, "tap0"}, Ready: HelperReady})
	}

	b.Inside("", "what is mounted here stays here", PrivateMounts{})
	root := b.NewSlot()
	held := Slot(0)
	switch {
	case g.overlay:
		stub := b.NewSlot()
		held = b.NewSlot()
		b.Inside("--overlay", "a place for layers", NewFS{"tmpfs", []Option{{"mode", "0755"}}, share, stub, ""})
		b.Inside("", "", AttachRoot{stub})
		layer, upper, work := stub, "u1", "w1"
		if g.kept {
			keep := b.NewSlot()
			layer = b.NewSlot()
			b.Inside("--overlay-dir", "the changes are kept here", OpenTree{"/srv/keep", false, share, keep})
			b.Inside("--overlay-dir", "", Mkdir{In: stub, Path: "keep", Mode: 0o755})
			b.Inside("--overlay-dir", "", AttachIn{keep, stub, "keep"})
			for _, d := range []string{"layer", "layer/upper", "layer/work"} {
				b.Inside("--overlay-dir", "", Mkdir{In: keep, Path: d, Mode: 0o700, MayExist: true})
			}
			b.Inside("--overlay-dir", "", CopyTree{Of: keep, Path: "layer", Into: layer})
			b.Inside("--overlay-dir", "", Mkdir{In: stub, Path: "k1", Mode: 0o755})
			b.Inside("--overlay-dir", "", AttachIn{layer, stub, "k1"})
			upper, work = "k1/upper", "k1/work"
		} else {
			b.Inside("--overlay", "", Mkdir{In: stub, Path: "u1", Mode: 0o755})
			b.Inside("--overlay", "", Mkdir{In: stub, Path: "w1", Mode: 0o755})
		}
		b.Inside("", "an overlay names its layers by path", EnterTree{stub})
		b.Inside("--overlay", "", NewFS{"overlay", []Option{{"lowerdir", "/srv/debian"}, {"upperdir", upper}, {"workdir", work}}, share, root, ""})
		b.Inside("--mask /srv/none", "", CopyUp{root, "srv"})
		b.Inside("--mask /srv/none", "", Whiteout{layer, path.Base(upper) + "/srv/none"})
		b.Inside("--mask /srv/none", "", CopyTree{Of: layer, Path: path.Base(upper), Attr: &mask, Into: held})
		b.Inside("", "the overlay has its own hold on it", Detach{stub})
	case g.rootfs:
		stub := b.NewSlot()
		b.Inside("--read-only", "mount points that the root lacks", NewFS{"tmpfs", []Option{{"mode", "0755"}}, share, stub, ""})
		b.Inside("--rootfs", "", Mkdir{In: stub, Path: "proc", Mode: 0o755, MayExist: true})
		b.Inside("", "", AttachRoot{stub})
		b.Inside("", "the overlay names its lower layers by path", EnterTree{stub})
		b.Inside("--rootfs", "the root, with the mount points it lacks", NewFS{"overlay", []Option{{"lowerdir", "/srv/debian:."}}, view, root, ""})
		b.Inside("", "the overlay has its own hold on it", Detach{stub})
	default:
		b.Inside("", "the host view", OpenTree{"/", true, view, root})
	}
	b.Inside("", "", AttachRoot{root})
	if g.overlay {
		store, name, dir := b.NewSlot(), b.NewSlot(), b.NewSlot()
		b.Inside("", "nobox's own files", NewFS{"tmpfs", []Option{{"mode", "0755"}}, share, store, ""})
		b.Inside("", "", Attach{store, root, "/dev", true, false, "mount nobox's own files"})
		for _, d := range []string{"held1", "dir"} {
			b.Inside("", "", Mkdir{In: store, Path: d, Mode: 0o555})
		}
		b.Inside("", "", File{In: store, Path: "file", Mode: 0o444})
		b.Inside("", "", AttachIn{held, store, "held1"})
		b.Inside("", "", CopyTree{Of: store, Path: "file", Attr: &mask, Into: name})
		b.Inside("", "", AttachIn{name, held, "srv/none"})
		b.Inside("", "", CopyTree{Of: store, Path: "dir", Attr: &mask, Into: dir})
		b.Inside("", "", AttachIn{dir, held, "srv"})
	}

	dev, null, pts := b.NewSlot(), b.NewSlot(), b.NewSlot()
	b.Inside("", "the few devices a program needs", NewFS{"tmpfs", []Option{{"mode", "0755"}}, device, dev, ""})
	b.Inside("", "", Attach{dev, root, "/dev", true, false, "mount /dev"})
	b.Inside("", "", File{In: dev, Path: "null", Mode: 0o666})
	b.Inside("", "", OpenTree{"/dev/null", false, device, null})
	b.Inside("", "", AttachIn{null, dev, "null"})
	b.Inside("", "", Mkdir{In: dev, Path: "pts", Mode: 0o755})
	b.Inside("", "terminals of the box's own", NewFS{"devpts", []Option{{"newinstance", ""}, {"ptmxmode", "0666"}}, device, pts, ""})
	b.Inside("", "", AttachIn{pts, dev, "pts"})
	b.Inside("", "", Symlink{dev, "ptmx", "pts/ptmx"})
	var master, peer Slot
	if g.terminal {
		master, peer = b.NewSlot(), b.NewSlot()
		b.Inside("-t", "job control, and no way into the caller's terminal", OpenPTY{Devpts: pts, Master: master, Peer: peer, Size: unix.Winsize{Row: 24, Col: 80}})
		b.Inside("-u", "", Chown{pts, "0", 1000, 5})
		console := b.NewSlot()
		b.Inside("-t", "", File{In: dev, Path: "console", Mode: 0o600})
		b.Inside("-t", "", CopyTree{Of: pts, Path: "0", Into: console})
		b.Inside("-t", "", AttachIn{console, dev, "console"})
	}

	proc, keys := b.NewSlot(), b.NewSlot()
	b.Inside("", "the processes of the box", NewFS{"proc", nil, system, proc, ""})
	b.Inside("", "", LimitNamespaces{Proc: proc, Types: []string{"user"}})
	if g.beside {
		b.Inside("", "as if nothing had been done beside", FirstPID{proc, 2})
	}
	b.Inside("", "", Attach{proc, root, "/proc", true, false, "mount proc"})
	b.Inside("", "masked, as OCI runtimes have it", CopyTree{null, "", &mask, keys})
	b.Inside("", "", AttachIn{keys, proc, "keys"})
	sys := b.NewSlot()
	if g.beside {
		b.Inside("", "", EnterNet{ns})
	}
	b.Inside("", "read-only", NewFS{"sysfs", nil, mask, sys, ""}).Needs = FactSysfs
	b.Inside("", "", Attach{sys, root, "/sys", true, false, "mount sysfs"})

	run, hosts := b.NewSlot(), b.NewSlot()
	b.Inside("", "the box's own: the host's has sockets that lead out", NewFS{"tmpfs", []Option{{"mode", "0755"}}, share, run, ""})
	b.Inside("", "", Attach{Tree: run, Root: root, At: "/run", What: "mount a tmpfs"})
	b.Inside("", "the box's own", File{run, "hosts", 0o644, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n"})
	b.Inside("", "", CopyTree{Of: run, Path: "hosts", Into: hosts})
	b.Inside("", "", Attach{Tree: hosts, Root: root, At: "/etc/hosts"})

	data := b.NewSlot()
	b.Inside(`-v "/srv/my data:/data"`, "", OpenTree{"/srv/my data", true, share, data})
	b.Inside(`-v "/srv/my data:/data"`, "", Attach{Tree: data, Root: root, At: "/data", What: `bind "/srv/my data"`})
	if !g.rootfs && !g.overlay {
		work, pin := b.NewSlot(), b.NewSlot()
		b.Inside("", "the working directory", OpenTree{WorkingDirectory, true, share, work})
		b.Inside("", "", Attach{Tree: work, Root: root, At: "/home/me/src", What: "bind /home/me/src"})
		b.Inside("", "nobox's own, never writable from inside", CopyBoxTree{root, "/home/me/src/nobox", false, view, pin})
		b.Inside("", "", Attach{Tree: pin, Root: root, At: "/home/me/src/nobox"})
	}
	b.Inside("", "the host's tree is out of reach from here on", Pivot{root})
	if g.beside {
		b.Inside("", "for who asks about the box, or joins it", ShowNamespaces{})
		b.Host("", "", SeeNamespaces{})
	}
	if g.nest {
		lines := func() []IDMap { return []IDMap{{0, 0, 1}, {1, 1, ids}} }
		b.Inside("--cap-add ALL", "", Nest{unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC})
		b.Host("--cap-add ALL", "", MapNested{lines(), lines()})
		b.Host("--cap-add ALL", "", Release{EventNested})
		b.Inside("--cap-add ALL", "", Await{EventNested})
		b.Inside("", "a change of ids took the tie away", DieWithParent{})
		b.Inside("--hostname", "", Hostname{"box"})
		b.Inside("", "", LoopbackUp{})
	}

	b.Inside("", "", SetUmask{0o022})
	b.Inside("", "", NewSession{})
	if g.terminal {
		b.Inside("", "nobox relays it to the caller's terminal", SendPTY{master})
		b.Host("", "", TakePTY{})
		b.Inside("", "", TakeTTY{peer, [3]bool{true, true, false}})
	}
	ready := func() {
		if g.terminal || !g.reaper {
			b.Host("", "", Watch{})
		}
		b.Host("", "", Release{EventGo})
		b.Inside("", "", Await{EventGo})
	}
	if g.helper {
		ready()
		b.Inside("", "", LocalRoutes{"tap0", []string{"127.0.0.0/8", "169.254.0.0/16"}})
	}
	if g.nest {
		b.Inside("--cap-add ALL", "", DropBounding{caps | 1<<unix.CAP_SYS_ADMIN, 40})
	} else {
		b.Inside("", "", DropBounding{caps, 40})
	}
	b.Inside("", "", Securebits{0xef})
	become := SetIDs{UID: 0, GID: 0}
	if g.ranges {
		become = SetIDs{1000, 1000, []uint32{}}
	}
	b.Inside("-u", "", become)
	b.Inside("", "", SetCaps{})
	b.Inside("", "no program can give more than this", NoNewPrivs{})
	b.Inside("", "", NotDumpable{})
	b.Inside("", "a change of ids takes the tie away", DieWithParent{})
	b.Inside("", "", SessionKeyring{true})
	if (g.terminal || !g.reaper) && !g.helper {
		ready()
	}
	b.Inside("", "a second wall", Landlock{Files: 0x7ff2, Scoped: 3, Rules: []LandlockRule{{Path: "/dev", Files: 0x7ff2}, {Path: "/run", Files: 0x7ff2, MayBeFile: true}}, Streams: [3]uint64{0, 0x4002}}).Needs = FactLandlock
	b.Inside("", "pid 1 keeps to it as well", Filter{"a list", true, " program"})
	after := len(b.Steps) - 1
	if g.reaper {
		b.Inside("", "", Foreground{g.terminal})
	}
	b.Inside("-w", "", Chdir{"/data"})
	b.Inside("", "as the caller had it", Rlimit{"nofile", unix.RLIMIT_NOFILE, 1024, ^uint64(0)})
	if quota != nil {
		b.Inside("--cpus 1", "", WriteLimit{"cpu.max", "100000 100000", "limit the CPU time", quota}).Needs = FactLimit("cpu.max")
	}
	b.Inside("", "", CloseFiles{})
	b.Inside("", "", RestoreSignals{1 << (unix.SIGHUP - 1), 0})
	b.Inside("", "", Exec{[]BoxPath{"/usr/bin/make", "/bin/make"}, []string{"make", "it so"}, []string{"PATH=/usr/bin:/bin", "TOKEN=secret"}})

	p := &Plan{Steps: b.Steps, Init: Init{Reaper: g.reaper, After: after}, Slots: b.Slots()}
	if !g.ranges {
		p.Notes = []string{"one id only: /etc/subuid grants me no range; remedy: sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 me"}
	}
	return p
}

// joining is a plan of one more command in a box, as sandbox.CompileExec would
// make it.
func joining(cgroup bool) *Plan {
	b := &Builder{}
	if cgroup {
		b.Host("-m 1g", "", Scope{Buses: []Bus{{Address: "unix:path=/run/user/1000/systemd/private", Direct: true}}})
		b.Host("-m 1g", "", JoinCgroup{4711, 9})
	}
	b.Host("", "", Clone{Cgroup: cgroup})
	b.Inside("", "the command ends with this nobox, and with the box", DieWithParent{})
	b.Inside("", "", Join{4711, 9, unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP})
	b.Inside("", "a change of ids took the tie away", DieWithParent{})
	b.Inside("", "", SetUmask{0o022})
	b.Inside("", "", NewSession{})
	pts, master, peer := b.NewSlot(), b.NewSlot(), b.NewSlot()
	b.Inside("-t", "", OpenDevpts{Into: pts})
	b.Inside("-t", "job control, and no way into the caller's terminal", OpenPTY{Devpts: pts, Master: master, Peer: peer, Size: unix.Winsize{Row: 24, Col: 80}})
	b.Inside("-u", "", Chown{peer, "", 1000, 5})
	b.Inside("", "nobox relays it to the caller's terminal", SendPTY{master})
	b.Host("", "", TakePTY{})
	b.Inside("", "", TakeTTY{peer, [3]bool{true, true, true}})
	b.Inside("", "", DropBounding{1 << unix.CAP_CHOWN, 40})
	b.Inside("", "", Securebits{0xef})
	b.Inside("-u", "", SetIDs{1000, 1000, []uint32{}})
	b.Inside("", "", SetCaps{})
	b.Inside("", "no program can give more than this", NoNewPrivs{})
	b.Inside("", "", NotDumpable{})
	b.Inside("", "a change of ids takes the tie away", DieWithParent{})
	b.Inside("", "", SessionKeyring{true})
	b.Host("", "", Watch{})
	b.Host("", "", Release{EventGo})
	b.Inside("", "", Await{EventGo})
	b.Inside("", "whoever waits for the command keeps to it as well", Filter{"a list", true, " program"})
	after := len(b.Steps) - 1
	b.Inside("", "fork(2) does not hand the tie down", DieWithParent{})
	b.Inside("", "", Foreground{true})
	b.Inside("-w", "", Chdir{"/"})
	b.Inside("", "", CloseFiles{})
	b.Inside("", "", RestoreSignals{})
	b.Inside("", "", Exec{[]BoxPath{"/bin/sh"}, []string{"sh"}, []string{"PATH=/bin", "TOKEN=secret"}})
	return &Plan{Steps: b.Steps, Init: Init{Reaper: true, After: after}, Slots: b.Slots()}
}

// alone is a plan of a box that Landlock alone holds, as sandbox.Compile would
// make it.
func alone() *Plan {
	const read, write = 1<<0 | 1<<2 | 1<<3, 1<<15 - 1
	b := &Builder{}
	b.Host("--tier=landlock", "there is no pid namespace that would end with the box", Keep{Terminal: true})
	b.Host("", "", Clone{})
	b.Inside("", "nothing of a box outlives nobox", DieWithParent{})
	b.Inside("", "who forks twice is waited for as well", AdoptOrphans{})
	b.Inside("", "", NewSession{})
	dev, master, peer := b.NewSlot(), b.NewSlot(), b.NewSlot()
	b.Inside("-t", "", OpenHost{"/dev", dev})
	b.Inside("-t", "job control, and no way into the caller's terminal", OpenPTY{Devpts: dev, Master: master, Peer: peer, Size: unix.Winsize{Row: 24, Col: 80}})
	b.Inside("", "nobox relays it to the caller's terminal", SendPTY{master})
	b.Host("", "", TakePTY{})
	b.Inside("", "", TakeTTY{peer, [3]bool{true, true, true}})
	b.Inside("", "", SetCaps{})
	b.Inside("", "no program can give more than this", NoNewPrivs{})
	b.Inside("", "", NotDumpable{})
	b.Inside("", "", SessionKeyring{true})
	b.Host("", "", Watch{})
	b.Host("", "", Release{EventGo})
	b.Inside("", "", Await{EventGo})
	b.Inside("", "the reaper keeps to it as well", Filter{"a list", true, " program"})
	after := len(b.Steps) - 1
	b.Inside("--tier=landlock", "", Landlock{Files: 1<<16 - 1, Ports: 3, Scoped: 3, Rules: []LandlockRule{
		{Path: "/dev/null", Files: 1<<15 | 1<<1 | 1<<2, MayBeFile: true, NoLinks: true},
		{Path: "/home/me/src", Files: write, MayBeFile: true, NoLinks: true},
		{Path: "/srv/data", Files: write, MayBeFile: true, NoLinks: true, From: "-v /srv/data:/srv/data"},
		{Path: "/usr", Files: read, NoLinks: true},
	}, TCP: []LandlockPort{{443, 2}, {8080, 1}, {0, 1}}, Streams: [3]uint64{0x8006, 0x8006, 0x8006}})
	b.Inside("", "", Foreground{true})
	b.Inside("", "", Chdir{"/home/me/src"})
	b.Inside("", "", CloseFiles{})
	b.Inside("", "", RestoreSignals{})
	b.Inside("", "", Exec{[]BoxPath{"/bin/sh"}, []string{"sh"}, []string{"PATH=/bin", "TOKEN=secret"}})
	return &Plan{Steps: b.Steps, Init: Init{Reaper: true, After: after}, Slots: b.Slots()}
}
