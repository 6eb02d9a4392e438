package mounts

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
)

// masked are the paths below /proc and /sys that the OCI runtimes mask by
// default: they tell of the host, or reach it. opencontainers/runtime-spec,
// "Masked Paths"; moby's oci/defaults.go.
var masked = [...]string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware",
}

// lastPID is there if the kernel was built with CONFIG_CHECKPOINT_RESTORE.
const lastPID = "/proc/sys/kernel/ns_last_pid"

// readonly are those the OCI runtimes make read-only.
var readonly = [...]string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// device is a node of the host that the box's /dev shows.
type device struct {
	name string
	rdev uint64
}

// devices with the numbers they must have; Documentation/admin-guide/devices.txt.
func devices() []device {
	return []device{
		{"null", unix.Mkdev(1, 3)}, {"zero", unix.Mkdev(1, 5)}, {"full", unix.Mkdev(1, 7)},
		{"random", unix.Mkdev(1, 8)}, {"urandom", unix.Mkdev(1, 9)}, {"tty", unix.Mkdev(5, 0)},
	}
}

// systemPlaces are the places of the host that proc, sys and dev ask about.
var systemPlaces = [...][]string{masked[:], readonly[:], deviceFiles[:], {lastPID}}

var deviceFiles = [...]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// devLinks are the symbolic links of the box's /dev.
var devLinks = [...][2]string{
	{"ptmx", "pts/ptmx"}, {"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
}

var procAttr = plan.Attr{NoSuid: true, NoDev: true, NoExec: true}

func (m *builder) onHost(p string) host.PlaceFact { return m.f.Places[host.Place{Path: p}] }

// proc mounts the procfs of the new pid namespace. Symbolic links are refused
// on the way: a root could send it elsewhere (CVE-2019-19921).
func (m *builder) proc(e *entry) error {
	if err := m.systemPoint(e.at); err != nil {
		return err
	}
	tree := m.NewSlot()
	m.Inside(m.v.Unmasked, e.Why, plan.NewFS{Type: "proc", Attr: procAttr, Into: tree})
	if len(m.v.NoNamespaces) > 0 {
		left := 0
		if m.v.Nested {
			left = 1
		}
		m.Inside("", "the kernel's own limit, beside the filter", plan.LimitNamespaces{Proc: tree, Types: m.v.NoNamespaces, Left: left})
	}
	if m.v.FirstPID != 0 && m.onHost(lastPID).Kind != host.None {
		m.Inside("", "as if nothing had been done beside", plan.FirstPID{Proc: tree, PID: m.v.FirstPID})
	}
	m.Inside("", "", plan.Attach{Tree: tree, Root: m.root, At: "/proc", NoSymlinks: true, What: "mount proc"})
	m.stand(&ground{at: "/proc", tree: tree, source: "/proc", why: "/proc"})
	for _, p := range readonly {
		if m.onHost(p).Kind == host.None || m.v.Unmasked != "" {
			continue
		}
		t := m.NewSlot()
		attr := procAttr
		attr.ReadOnly = true
		m.Inside("", "read-only, as OCI runtimes have it", plan.CopyTree{Of: tree, Path: p[len("/proc/"):], Attr: &attr, Into: t})
		m.Inside("", "", plan.AttachIn{Tree: t, In: tree, Name: p[len("/proc/"):]})
	}
	return m.maskSystem(tree, "/proc")
}

// maskSystem masks the OCI list below a tree that nobox mounted itself.
func (m *builder) maskSystem(tree plan.Slot, at string) error {
	for _, p := range masked {
		name, ok := below(at, p)
		if !ok || m.v.Unmasked != "" {
			continue
		}
		switch m.onHost(p).Kind {
		case host.None:
		case host.Dir:
			m.Inside("", "masked, as OCI runtimes have it", plan.AttachIn{Tree: m.mask(true), In: tree, Name: name[1:]})
		default:
			t := m.NewSlot()
			m.Inside("", "masked, as OCI runtimes have it", plan.CopyTree{Of: m.null, Attr: &plan.Attr{ReadOnly: true, NoSuid: true, NoExec: true}, Into: t})
			m.Inside("", "", plan.AttachIn{Tree: t, In: tree, Name: name[1:]})
		}
	}
	return nil
}

func (m *builder) systemPoint(at string) error {
	if have := m.at(at); !m.isMade(at) && have.Kind != host.Dir {
		return &Error{What: "mount " + at, Flag: m.v.From, Cause: fmt.Errorf("there is no directory %s in the root", at)}
	}
	return nil
}

// sys mounts a sysfs of the new network namespace, or where the namespace is
// the host's, or the kernel refuses, the host's.
func (m *builder) sys(e *entry) error {
	if err := m.systemPoint(e.at); err != nil {
		return err
	}
	attr := procAttr
	attr.ReadOnly = true
	tree := m.NewSlot()
	if !m.v.HostNet && m.f.Has(plan.FactSysfs) {
		m.Inside("", e.Why, plan.NewFS{Type: "sysfs", Attr: attr, Into: tree}).Needs = plan.FactSysfs
	} else {
		m.Inside("", "the host's, read-only", plan.OpenTree{Source: "/sys", Recursive: true, Attr: attr, Into: tree})
	}
	m.Inside("", "", plan.Attach{Tree: tree, Root: m.root, At: "/sys", NoSymlinks: true, What: "mount sysfs"})
	m.cgroup()
	m.stand(&ground{at: "/sys", tree: tree, source: "/sys", why: "/sys"})
	return m.maskSystem(tree, "/sys")
}

// cgroup shows the box its own cgroup, the root of its cgroup namespace, and
// with the host's /sys covers all others.
func (m *builder) cgroup() {
	if m.v.Cgroup == CgroupNone {
		return
	}
	attr, from := procAttr, m.v.CgroupFrom
	attr.ReadOnly = m.v.Cgroup == CgroupReadOnly
	tree := m.NewSlot()
	m.Inside(from, "the box's own cgroup, and nothing above it", plan.NewFS{Type: "cgroup2", Attr: attr, Into: tree})
	m.Inside(from, "", plan.Attach{Tree: tree, Root: m.root, At: "/sys/fs/cgroup", NoSymlinks: true, What: "show the box its cgroup"})
	if m.v.Cgroup == CgroupWritable && m.v.Owner != [2]uint32{} {
		for _, name := range []string{".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
			m.Inside(from, "", plan.Chown{In: tree, Path: name, UID: m.v.Owner[0], GID: m.v.Owner[1]})
		}
	}
}

// dev makes a /dev of the few devices a program needs. It is a new file
// system: what the root's own /dev holds plays no part (CVE-2025-31133).
func (m *builder) dev(e *entry) error {
	dev := m.newTmpfs("", e.Why, 0, 0o755, plan.Attr{NoSuid: true, NoExec: true})
	m.Inside("", "", plan.Attach{Tree: dev, Root: m.root, At: "/dev", NoSymlinks: true, What: "mount /dev"})
	m.stand(&ground{at: "/dev", tree: dev})
	for _, d := range devices() {
		have := m.onHost("/dev/" + d.name)
		if have.Kind != host.CharDev || have.Rdev != d.rdev {
			return &Error{What: "give the box /dev/" + d.name, Cause: errors.New("the host's is missing or another device")}
		}
		t := m.NewSlot()
		m.made["/dev/"+d.name] = false // a flag may put something else there
		m.Inside("", "", plan.File{In: dev, Path: d.name, Mode: 0o666})
		m.Inside("", "", plan.OpenTree{Source: plan.HostPath(have.Resolved), Attr: plan.Attr{NoSuid: true, NoExec: true}, Into: t})
		m.Inside("", "", plan.AttachIn{Tree: t, In: dev, Name: d.name})
		if d.name == "null" {
			m.null = t
		}
	}
	m.devpts = m.NewSlot()
	opts := []plan.Option{{Key: "newinstance"}, {Key: "ptmxmode", Value: "0666"}, {Key: "mode", Value: "0620"}}
	if m.v.TTYGid != nil {
		opts = append(opts, plan.Option{Key: "gid", Value: fmt.Sprint(*m.v.TTYGid)})
	}
	m.Inside("", "", plan.Mkdir{In: dev, Path: "pts", Mode: 0o755})
	m.Inside("", "terminals of the box's own", plan.NewFS{Type: "devpts", Options: opts, Attr: plan.Attr{NoSuid: true, NoExec: true}, Into: m.devpts})
	m.Inside("", "", plan.AttachIn{Tree: m.devpts, In: dev, Name: "pts"})
	for _, l := range devLinks {
		m.Inside("", "", plan.Symlink{In: dev, Name: l[0], Target: l[1]})
	}
	shm := m.newTmpfs("", "POSIX shared memory", 0, 0o1777, plan.Attr{NoSuid: true, NoDev: true})
	m.Inside("", "", plan.Mkdir{In: dev, Path: "shm", Mode: 0o755})
	m.Inside("", "", plan.AttachIn{Tree: shm, In: dev, Name: "shm"})
	m.stand(&ground{at: "/dev/shm", tree: shm})
	if m.f.Has(plan.FactMqueue) {
		mq := m.NewSlot()
		m.Inside("", "", plan.Mkdir{In: dev, Path: "mqueue", Mode: 0o755})
		m.Inside("", "POSIX message queues", plan.NewFS{Type: "mqueue", Attr: procAttr, Into: mq}).Needs = plan.FactMqueue
		m.Inside("", "", plan.AttachIn{Tree: mq, In: dev, Name: "mqueue"})
	}
	if m.v.Terminal {
		m.Inside("", "", plan.File{In: dev, Path: "console", Mode: 0o600})
	}
	m.terminalSlots(dev)
	return nil
}

// terminalSlots opens the pty right away, while /dev is at hand: the first of
// a new devpts instance is number 0.
func (m *builder) terminalSlots(dev plan.Slot) {
	if !m.v.Terminal {
		return
	}
	m.Master, m.Peer = m.NewSlot(), m.NewSlot()
	m.Inside("-t", "job control, and no way into the caller's terminal", plan.OpenPTY{
		Devpts: m.devpts, Master: m.Master, Peer: m.Peer, Size: m.f.Streams.Size, Termios: m.f.Streams.Termios})
	if m.v.Owner != [2]uint32{} {
		gid := m.v.Owner[1]
		if m.v.TTYGid != nil {
			gid = *m.v.TTYGid
		}
		m.Inside("-u", "", plan.Chown{In: m.devpts, Path: "0", UID: m.v.Owner[0], GID: gid})
	}
	t := m.NewSlot()
	m.Inside("-t", "", plan.CopyTree{Of: m.devpts, Path: "0", Into: t})
	m.Inside("-t", "", plan.AttachIn{Tree: t, In: dev, Name: "console"})
}

func (m *builder) terminal() PTY { return PTY{m.Master, m.Peer} }

// etcFiles are the files of /etc that are the box's own.
var etcFiles = [...]struct{ path, name string }{
	{"/etc/hosts", "hosts"}, {"/etc/resolv.conf", "resolv.conf"}, {"/etc/hostname", "hostname"},
}

// etc gives the box its own hosts, resolv.conf and hostname without writing to
// the host's: the files lie in the store and are mounted over those that are
// there; a link into a file system of the box's own is filled at its end.
func (m *builder) etc() {
	content := [...]string{m.v.Etc.Hosts, m.v.Etc.ResolvConf, m.v.Etc.Hostname}
	var attr *plan.Attr // the store's
	if m.v.ReadOnly {
		a := nosuidNodev
		a.ReadOnly = true
		attr = &a
	}
	for i, f := range etcFiles {
		pf := m.at(f.path)
		at := string(pf.Resolved)
		if g := m.under(f.path); !m.isRoot(g) && g.source != "" { // a flag binds /etc
			rel, _ := below(g.at, f.path)
			pf = m.known[host.Place{Base: g.source, Path: rel, Bound: true}]
			at = path.Join(g.at, string(pf.Resolved))
		} else if g.source == "" {
			at = f.path
		}
		if at == "" || pf.Err != nil || m.flagged(f.path, at) {
			continue
		}
		g := m.under(at)
		if g.source == "" {
			if rel, ok := below(g.at, at); ok && !m.isMade(at) {
				m.parents(g, rel)
				m.open(g)
				m.Inside("", "the box's own", plan.File{In: g.tree, Path: rel[1:], Mode: 0o644, Content: content[i]})
				m.made[at] = false
			}
			continue
		}
		if have := m.standing(at).Kind; have != host.File { // nothing is made on the host
			if have == host.None && m.isRoot(g) {
				m.noEtc = append(m.noEtc, f.path)
			}
			continue
		}
		t := m.NewSlot()
		m.Inside("", "the box's own", plan.File{In: m.store, Path: f.name, Mode: 0o644, Content: content[i]})
		m.Inside("", "", plan.CopyTree{Of: m.store, Path: f.name, Attr: attr, Into: t})
		m.Inside("", "", plan.Attach{Tree: t, Root: m.root, At: plan.BoxPath(at), What: "mount the box's own file"})
	}
}

// flagged says whether a flag put something at a place, by either name.
func (m *builder) flagged(names ...string) bool {
	for _, e := range m.v.Entries {
		for _, n := range names {
			if e.From != "" && (string(e.At) == n || path.Clean(string(m.at(string(e.At)).Resolved)) == n) {
				return true
			}
		}
	}
	return false
}
