package plan

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An Action is one of the closed set below. String says what is done, for
// --explain; Cannot says it as the object of "cannot", for errors.
type Action interface {
	fmt.Stringer
	Cannot() string
}

// IDMap maps Count ids from Box inside to Host outside; user_namespaces(7).
type IDMap struct {
	Box   uint32 `json:"box"`
	Host  uint32 `json:"host"`
	Count uint32 `json:"count"`
}

func (m IDMap) String() string {
	if m.Count == 1 {
		return fmt.Sprintf("%d→%d", m.Box, m.Host)
	}
	return fmt.Sprintf("%d–%d→%d–%d", m.Box, m.Box+m.Count-1, m.Host, m.Host+m.Count-1)
}

func idmaps(ms []IDMap) string {
	var s []string
	for _, m := range ms {
		s = append(s, m.String())
	}
	return strings.Join(s, " ")
}

// Attr are the attributes of a mount; mount_setattr(2).
type Attr struct {
	ReadOnly bool `json:"readOnly,omitempty"`
	NoSuid   bool `json:"nosuid,omitempty"`
	NoDev    bool `json:"nodev,omitempty"`
	NoExec   bool `json:"noexec,omitempty"`
	NoLinks  bool `json:"nosymfollow,omitempty"` // no symbolic link in it is followed
}

func (a Attr) String() string {
	s := "read-write"
	if a.ReadOnly {
		s = "read-only"
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{a.NoSuid, "nosuid"}, {a.NoDev, "nodev"}, {a.NoExec, "noexec"}, {a.NoLinks, "nosymfollow"}} {
		if f.on {
			s += ", " + f.name
		}
	}
	return s
}

// Option is one parameter of a new file system; fsconfig(2). A Value of ""
// is a flag.
type Option struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// Event is what one side waits for and the other says, one byte on the
// control socket.
type Event byte

const (
	EventMapped Event = 'm' // the id maps are written
	EventNested Event = 'n' // those of the namespace that Nest made are
	EventGo     Event = 'g' // the host side has nothing left to do before the command
)

func (e Event) String() string {
	switch e {
	case EventMapped:
		return "the ids are mapped"
	case EventNested:
		return "the ids are mapped there as well"
	}
	return "the host side is ready"
}

// ---- host side

// Clone makes the process that becomes the inside, in new namespaces;
// clone(2), namespaces(7). Flags are CLONE_NEW*.
type Clone struct {
	Flags uint64 `json:"flags"`
	// Cgroup: it is born in the cgroup that MakeCgroup made for what is inside, or
	// that JoinCgroup found.
	Cgroup bool `json:"cgroup,omitempty"`
}

var namespaces = []struct {
	flag uint64
	name string
}{
	{unix.CLONE_NEWUSER, "user"}, {unix.CLONE_NEWNS, "mount"}, {unix.CLONE_NEWPID, "pid"},
	{unix.CLONE_NEWNET, "network"}, {unix.CLONE_NEWUTS, "uts"}, {unix.CLONE_NEWIPC, "ipc"},
	{unix.CLONE_NEWCGROUP, "cgroup"},
}

func (a Clone) String() string {
	in := ""
	if a.Cgroup {
		in = ", born in the box's cgroup"
	}
	if a.Flags == 0 {
		return "start a process" + in
	}
	return "start a process in new namespaces: " + namespaceNames(a.Flags) + in
}
func (a Clone) Cannot() string { return "create the namespaces" }

func namespaceNames(flags uint64) string {
	var s []string
	for _, n := range namespaces {
		if flags&n.flag != 0 {
			s = append(s, n.name)
		}
	}
	return strings.Join(s, ", ")
}

// A Bus is a way to systemd.
type Bus struct {
	Address string `json:"address"` // as D-Bus writes addresses
	// Direct: systemd itself is at the other end, and no bus.
	Direct bool `json:"direct,omitempty"`
}

// Scope asks a systemd for a scope of nobox's own, which is a cgroup that
// systemd leaves alone (Delegate=yes) and removes when it is empty, and waits
// until nobox stands in it. The buses are tried in order.
type Scope struct {
	Machine     bool     `json:"machine,omitempty"` // the machine's systemd, not the user's
	Buses       []Bus    `json:"buses"`
	Controllers []string `json:"controllers,omitempty"` // that are delegated
}

func (a Scope) whose() string {
	if a.Machine {
		return "the machine's"
	}
	return "your own"
}
func (a Scope) String() string {
	s := "ask " + a.whose() + " systemd for a scope with a delegated cgroup, "
	if len(a.Controllers) > 0 {
		s += "for " + strings.Join(a.Controllers, ", ") + ", "
	}
	return s + "and move nobox there, by " + buses(a.Buses)
}

func buses(bs []Bus) string {
	s := ""
	for i, b := range bs {
		if i > 0 {
			s += " or "
		}
		s += quote(b.Address)
	}
	return s
}
func (a Scope) Cannot() string { return "get a cgroup from " + a.whose() + " systemd" }

// MakeCgroup makes a cgroup for the box, where its limits are set, and in it
// one for what is inside. In is the cgroup where it is made, "" the one that
// Scope gave. With Leaf those that stand there move to a cgroup of their own,
// because no process may stand in a cgroup that gives controllers to others
// (cgroups(7), "no internal processes").
type MakeCgroup struct {
	In          HostPath `json:"in,omitempty"`
	Leaf        bool     `json:"leaf,omitempty"`
	Controllers []string `json:"controllers"`
}

func (a MakeCgroup) String() string {
	in := "the scope"
	if a.In != "" {
		in = quote(string(a.In))
	}
	s := "make a cgroup for the box in " + in + ", and one for what is inside within, with " + strings.Join(a.Controllers, ", ")
	if len(a.Controllers) == 0 {
		s = "make a cgroup for the box in " + in + ", and one for what is inside within"
	}
	if a.Leaf {
		s += "; who stands there moves to one of its own"
	}
	return s
}
func (a MakeCgroup) Cannot() string {
	if a.In == "" {
		return "make a cgroup in the scope"
	}
	return "make a cgroup in " + quote(string(a.In))
}

// LimitCgroup writes a value to a file of the box's cgroup, which is above what
// the box can see. What names the limit in words.
// Shown has it in the cgroup that the box sees as well, where programs look for
// what they may take; the one that holds is above.
type LimitCgroup struct {
	File  string `json:"file"`
	Value string `json:"value"`
	What  string `json:"what"`
	Shown bool   `json:"shown,omitempty"`
}

func (a LimitCgroup) String() string {
	s := "set " + a.File + " of the box's cgroup to " + quote(a.Value)
	if a.Shown {
		s += ", and of the one that it sees"
	}
	return s
}
func (a LimitCgroup) Cannot() string { return a.What }

// OpenLimit opens the file that LimitCgroup would write to, so that the inside can
// write to it, with WriteLimit: the one above what the box can see, and where there
// are two slots the one of the cgroup that it sees as well.
type OpenLimit struct {
	File string `json:"file"`
	What string `json:"what"`
	Into []Slot `json:"into"`
}

func (a OpenLimit) String() string {
	s := "open " + a.File + " of the box's cgroup"
	if len(a.Into) > 1 {
		s += " and of the one that it sees,"
	}
	return s + " as " + slotNames(a.Into) + " for the inside to write to"
}
func (a OpenLimit) Cannot() string { return a.What }

// WriteLimit writes a value to what OpenLimit opened.
type WriteLimit struct {
	File  string `json:"file"`
	Value string `json:"value"`
	What  string `json:"what"`
	Of    []Slot `json:"of"`
}

func (a WriteLimit) String() string {
	return "set " + a.File + ", which is open as " + slotNames(a.Of) + ", to " + quote(a.Value)
}
func (a WriteLimit) Cannot() string { return a.What }

func slotNames(of []Slot) string {
	names := make([]string, len(of))
	for i, s := range of {
		names[i] = fmt.Sprintf("#%d", s)
	}
	return strings.Join(names, " and ")
}

// SweepCgroup has the cgroups that MakeCgroup made removed when the box has
// ended, by another process if nobox was killed. A scope needs no such thing.
type SweepCgroup struct{}

func (SweepCgroup) String() string {
	return "remove the box's cgroup when it has ended; a second process does, should nobox be killed"
}
func (SweepCgroup) Cannot() string { return "see to it that the cgroup is removed" }

// SweepInside has a process with the rights of the box's root wait until nobox is
// done with the box, or was killed, and remove the cgroups that the box made and
// left: they may be others' of the box's users, and then the caller may not.
type SweepInside struct{}

func (SweepInside) String() string {
	return "have a process with the rights of the box's root remove, when it has ended, the cgroups that it made"
}
func (SweepInside) Cannot() string { return "see to it that the box's own cgroups are removed" }

// JoinCgroup finds the cgroup that the box of process PID, by the pidfd FD, was
// born in, for one more process to be. The kernel wants the right to move
// processes between the two cgroups, which nobox has below what was delegated:
// where that is a scope of systemd's, nobox has to stand in one as well; cgroups(7).
type JoinCgroup struct {
	PID int `json:"pid"`
	FD  int `json:"fd"`
}

func (a JoinCgroup) String() string {
	return fmt.Sprintf("find the box's cgroup, in which process %d stands", a.PID)
}
func (a JoinCgroup) Cannot() string { return "enter the box's cgroup" }

// MapIDs writes the id maps of the new user namespace. With NewUIDMap and
// NewGIDMap set they do it, side by side, and the result is read back and
// compared; without, the maps are written directly, which takes a caller with
// CAP_SETUID and CAP_SETGID over the host's user namespace.
type MapIDs struct {
	UID       []IDMap  `json:"uid"`
	GID       []IDMap  `json:"gid"`
	NewUIDMap HostPath `json:"newuidmap,omitempty"`
	NewGIDMap HostPath `json:"newgidmap,omitempty"`
}

func (a MapIDs) String() string {
	s := fmt.Sprintf("map uids %s and gids %s", idmaps(a.UID), idmaps(a.GID))
	if a.NewUIDMap != "" {
		s += fmt.Sprintf(" by %s and %s", a.NewUIDMap, a.NewGIDMap)
	}
	return s
}
func (a MapIDs) Cannot() string { return "map the ids" }

// Keep is what a pid namespace is for elsewhere: that everything of the box ends
// with it. From here on nobox, and all that comes of it, are in a Landlock domain
// that no signal leaves, so that one kill(2) of every process there is ends those
// of the box and no other; and what loses its parent becomes nobox's child, which
// it waits for. A process of nobox's stands by to do so should nobox be killed.
type Keep struct {
	// Terminal: there is a watcher as well, which gives the caller's terminal its
	// modes back, and gets a tenth of a second for that.
	Terminal bool `json:"terminal,omitempty"`
}

func (Keep) String() string {
	return "enter a Landlock domain that no signal leaves, and start a keeper that ends all in it should nobox be killed"
}
func (Keep) Cannot() string { return "keep the box together" }

// Watch starts a second process of nobox's, outside, that kills the box and
// gives the terminal its modes back should nobox die.
type Watch struct{}

func (Watch) String() string {
	return "start a watcher that ends the box, and restores the terminal, should nobox be killed"
}
func (Watch) Cannot() string { return "start the watcher" }

// Release says an event to the inside.
type Release struct{ Event Event }

func (a Release) String() string { return "tell the inside: " + a.Event.String() }
func (a Release) Cannot() string { return "release the inside" }

// TakePTY receives the master side of the box's pty.
type TakePTY struct{}

func (TakePTY) String() string { return "receive the master side of the box's terminal" }
func (TakePTY) Cannot() string { return "receive the box's terminal" }

// StartNet starts the network's process, outside, which takes the device that
// the inside hands it by SendNet and waits for the box's first packet, unless
// AtOnce, to run the program that nobox carries for it, with these arguments.
// NoMFDExec is for kernels before 6.3, which do not know MFD_EXEC;
// memfd_create(2).
type StartNet struct {
	Args      []string `json:"args"`
	AtOnce    bool     `json:"atOnce,omitempty"`
	NoMFDExec bool     `json:"noMFDExec,omitempty"`

	// What binds that process, which reads what the box sends.
	Landlock *Landlock `json:"landlock,omitempty"` // nil if the kernel has none
	Filter   string    `json:"filter,omitempty"`   // of system calls; as Filter.Program
	// Log is opened for what the program has to log, made if it is not there; ""
	// for none.
	Log HostPath `json:"log,omitempty"`
}

func (a StartNet) String() string {
	s := "start a process, outside, that runs the network"
	if !a.AtOnce {
		s += " once the box sends something"
	}
	s += ": nobox-net"
	for _, v := range a.Args {
		s += " " + quote(v)
	}
	if a.Filter != "" {
		s += ", where it can start no program"
	}
	if a.Landlock != nil && a.Landlock.Files != 0 {
		s += ", write to no file, and read"
		for i, r := range a.Landlock.Rules {
			if i > 0 {
				s += ","
			}
			s += " " + quote(string(r.Path))
		}
		s += " alone"
	}
	if a.Log != "" {
		s += ", with a log in " + quote(string(a.Log))
	}
	return s
}
func (StartNet) Cannot() string { return "start the network's process" }

// Listen binds a published port of the box on the host, at each of the
// addresses, or at the socket Path of the file system. Of First to Last it takes
// the first port that is free at all of them; 0 to 0 is any. It stands before all
// else: a port that is taken is found out before anything is started.
type Listen struct {
	At    []string `json:"at,omitempty"`
	First uint16   `json:"first"`
	Last  uint16   `json:"last"`
	Path  HostPath `json:"path,omitempty"`
	UDP   bool     `json:"udp,omitempty"`
	Box   uint16   `json:"box"`
}

func (a Listen) String() string {
	proto := "tcp"
	if a.UDP {
		proto = "udp"
	}
	return fmt.Sprintf("listen at %s for %s port %d of the box", a.where(), proto, a.Box)
}
func (a Listen) Cannot() string { return "listen at " + a.where() }

func (a Listen) where() string {
	if a.Path != "" {
		return quote(string(a.Path))
	}
	port := "any port that is free"
	switch {
	case a.First == a.Last && a.First != 0:
		port = "port " + strconv.Itoa(int(a.First))
	case a.First != a.Last:
		port = fmt.Sprintf("the first port from %d to %d that is free", a.First, a.Last)
	}
	return port + " of " + strings.Join(a.At, " and ")
}

// Lock holds the lock of a directory of kept changes for as long as the box
// lives: two overlays of one upper layer are undefined (overlayfs.rst). The facts
// tell of what is in it, so the lock is older than they are; this step sees that
// it is of the directory that the plan names.
type Lock struct {
	Dir HostPath `json:"dir"`
}

func (a Lock) String() string {
	return "hold the lock of " + quote(string(a.Dir)) + ": no other box uses it, nor do nobox diff, apply and discard"
}
func (a Lock) Cannot() string { return "lock " + quote(string(a.Dir)) }

// EndWithParent has the kernel kill nobox, and so the box, when the process that
// started nobox ends (PR_SET_PDEATHSIG); if that happens meanwhile it is an error.
type EndWithParent struct{}

func (EndWithParent) String() string { return "end when what started nobox ends" }
func (EndWithParent) Cannot() string { return "end with the parent" }

// HoldDirs keeps directories of nobox's own where they are while the box runs, and
// makes them, empty, where they are not there. When no box needs one that was made
// so any more it is removed: by nobox, or by a process that waits for the end of
// nobox and of the box.
type HoldDirs struct {
	Dirs []HostPath `json:"dirs"`
}

func (a HoldDirs) String() string {
	s := make([]string, len(a.Dirs))
	for i, d := range a.Dirs {
		s[i] = quote(string(d))
	}
	return "hold " + strings.Join(s, " and ") + " while the box runs, made empty if not there; that is undone, also should nobox be killed"
}
func (a HoldDirs) Cannot() string { return "hold nobox's own directories" }

// TakeNamespaces receives the box's user and network namespaces.
type TakeNamespaces struct{}

func (TakeNamespaces) String() string { return "receive the box's user and network namespaces" }
func (TakeNamespaces) Cannot() string { return "receive the box's namespaces" }

// TakeSwitch receives a socket of the box's network. Should the network's process
// end before the box nobox takes the device down by it and ends the connections,
// so that what is inside learns of it at once.
type TakeSwitch struct {
	Device string `json:"device"`
}

func (a TakeSwitch) String() string {
	return fmt.Sprintf("receive a socket of the box's network, to take %s down should the network's process end", quote(a.Device))
}
func (TakeSwitch) Cannot() string { return "receive a socket of the box's network" }

// SeeNamespaces waits for ShowNamespaces and keeps the ids of the namespaces.
type SeeNamespaces struct{}

func (SeeNamespaces) String() string {
	return "receive the ids of the box's namespaces: it is complete"
}
func (SeeNamespaces) Cannot() string { return "receive the ids of the box's namespaces" }

// StartForwarder starts nobox's forwarder in the box's user and network
// namespaces and no other of the box's: it connects there what comes in by the
// sockets of Listen.
//
// With Visible the forwarder connects from the address of whoever connects to
// it, for which it keeps CAP_NET_RAW in that network.
type StartForwarder struct {
	Visible bool `json:"visible,omitempty"`
}

func (a StartForwarder) String() string {
	if a.Visible {
		return "start the forwarder of the published ports, in the box's user and network namespaces alone, with CAP_NET_RAW there, to connect as its clients"
	}
	return "start the forwarder of the published ports, in the box's user and network namespaces alone"
}
func (StartForwarder) Cannot() string { return "start the forwarder" }

// BoxPID stands in the arguments of StartHelper for the number that the host
// knows the box's first process by.
const BoxPID = "PID"

// StartHelper starts a program of the host's that makes the box's network
// device and serves it, and waits until it says that it is ready.
//
// What it writes to the descriptor Ready says so, stdout or HelperReady. What it
// writes to stderr, and to stdout unless that is Ready, is kept for what nobox
// says should it end. HelperExit is closed when nobox is gone.
type StartHelper struct {
	Name  string   `json:"name"`
	Path  HostPath `json:"path"`
	Args  []string `json:"args"`
	Ready int      `json:"ready"`
}

// Descriptors of a StartHelper.
const (
	HelperExit  = 3
	HelperReady = 4
)

func (a StartHelper) String() string {
	s := "start " + quote(string(a.Path))
	for _, v := range a.Args {
		s += " " + quote(v)
	}
	return s + ", and wait until it is ready"
}
func (a StartHelper) Cannot() string { return "start " + quote(a.Name) }

// ---- inside: process

// DieWithParent has the kernel kill this process when nobox dies
// (PR_SET_PDEATHSIG), then makes sure that nobox was alive after that.
type DieWithParent struct{}

func (DieWithParent) String() string { return "die when nobox dies" }
func (DieWithParent) Cannot() string { return "tie the box to nobox" }

// Await waits for an event from the host side; nobox's death ends the wait,
// and the box.
type Await struct{ Event Event }

func (a Await) String() string { return "wait until " + a.Event.String() }
func (a Await) Cannot() string { return "go on: nobox ended" }

// Unshare moves the process into new namespaces besides those it was cloned
// into, and which the user namespace then owns; unshare(2). Flags are CLONE_NEW*.
type Unshare struct {
	Flags uint64 `json:"flags"`
}

func (a Unshare) String() string { return "enter more new namespaces: " + namespaceNames(a.Flags) }
func (a Unshare) Cannot() string { return "create the namespaces" }

// HoldNet opens the network namespace that was made beside, for EnterNet.
type HoldNet struct {
	Into Slot `json:"into"`
}

func (a HoldNet) String() string { return fmt.Sprintf("hold the network namespace as #%d", a.Into) }
func (a HoldNet) Cannot() string { return "open the network namespace" }

// EnterNet waits for what is done beside and enters the network namespace that
// came of it; setns(2).
type EnterNet struct {
	Net Slot `json:"net"`
}

func (a EnterNet) String() string { return fmt.Sprintf("enter the network namespace #%d", a.Net) }
func (a EnterNet) Cannot() string { return "enter the network namespace" }

// FirstPID gives the next process of the box this pid, if it is free; pid
// namespaces count on from the last one. Proc is the box's procfs; proc(5),
// /proc/sys/kernel/ns_last_pid.
type FirstPID struct {
	Proc Slot `json:"proc"`
	PID  int  `json:"pid"`
}

func (a FirstPID) String() string { return fmt.Sprintf("count the box's processes from %d on", a.PID) }
func (a FirstPID) Cannot() string { return "set the box's next pid" }

// Join moves the process into namespaces of a running box: those of the process
// PID, by the pidfd FD, so that it cannot be another process by then; setns(2).
// The root directory is then the box's, and children are in its pid namespace.
type Join struct {
	PID   int    `json:"pid"`
	FD    int    `json:"fd"`
	Flags uint64 `json:"flags"`
}

func (a Join) String() string {
	return fmt.Sprintf("join the namespaces of process %d: %s", a.PID, namespaceNames(a.Flags))
}
func (a Join) Cannot() string { return "join the box" }

// OpenDevpts opens the terminals of the box that was joined.
type OpenDevpts struct {
	Into Slot `json:"into"`
}

func (a OpenDevpts) String() string { return fmt.Sprintf("open the box's terminals as #%d", a.Into) }
func (a OpenDevpts) Cannot() string { return "open /dev/pts of the box" }

// OpenHost opens a directory of the host's that is needed once the root is the
// box's, or where there is no root of its own: /dev or /proc/sys.
type OpenHost struct {
	Path HostPath `json:"path"`
	Into Slot     `json:"into"`
}

func (a OpenHost) String() string {
	return fmt.Sprintf("open %s of the host as #%d", quote(string(a.Path)), a.Into)
}
func (a OpenHost) Cannot() string { return "open " + quote(string(a.Path)) }

// Nest goes into a user namespace within the box's, with a copy of its mounts,
// and with namespaces of its own for the rest: Flags are CLONE_NEW*. What is
// mounted is locked in the copy, as a whole and as it is: no capability of the
// command's takes a mount off or makes it writable; mount_namespaces(7). The
// outer namespace is handed out, for MapNested.
type Nest struct {
	Flags uint64 `json:"flags"`
}

func (a Nest) String() string {
	return "go into namespaces within, where the mounts are locked: " + namespaceNames(a.Flags)
}
func (Nest) Cannot() string { return "lock the mounts" }

// MapNested maps the ids of that namespace, each to itself, from within the outer
// one, which user_namespaces(7) asks for.
type MapNested struct {
	UID []IDMap `json:"uid"`
	GID []IDMap `json:"gid"`
}

func (a MapNested) String() string {
	return fmt.Sprintf("map uids %s and gids %s there, from the outer namespace", idmaps(a.UID), idmaps(a.GID))
}
func (MapNested) Cannot() string { return "map the ids where the mounts are locked" }

// MapSelf writes a map of one id from the inside, which needs no helper but
// for which the kernel wants setgroups(2) denied first; user_namespaces(7).
type MapSelf struct {
	UID IDMap `json:"uid"`
	GID IDMap `json:"gid"`
}

func (a MapSelf) String() string {
	return fmt.Sprintf("map uid %s and gid %s, nothing else; setgroups is denied", a.UID, a.GID)
}
func (a MapSelf) Cannot() string { return "map the ids" }

// SetIDs changes to the uid and gid, real, effective and saved, and where
// Groups is not nil to those supplementary groups.
type SetIDs struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
}

func (a SetIDs) String() string {
	s := fmt.Sprintf("become uid %d, gid %d", a.UID, a.GID)
	if a.Groups != nil {
		var g []string
		for _, id := range a.Groups {
			g = append(g, strconv.FormatUint(uint64(id), 10))
		}
		if len(g) == 0 {
			g = []string{"none"}
		}
		s += ", supplementary groups: " + strings.Join(g, " ")
	}
	return s
}
func (a SetIDs) Cannot() string { return fmt.Sprintf("become uid %d, gid %d", a.UID, a.GID) }

// Hostname sets the host name of the new uts namespace.
type Hostname struct{ Name string }

func (a Hostname) String() string { return "set the host name to " + quote(a.Name) }
func (a Hostname) Cannot() string { return "set the host name" }

// LoopbackUp brings the interface lo up; netdevice(7).
type LoopbackUp struct{}

func (LoopbackUp) String() string { return "bring lo up" }
func (LoopbackUp) Cannot() string { return "bring lo up" }

// MakeTun makes a device whose packets a process reads and writes through a
// descriptor, with virtio-net headers and segments of up to 64 KiB; tun(4), the
// kernel's networking/tuntap.rst, linux/virtio_net.h. Index is the interface's
// number.
type MakeTun struct {
	Name  string `json:"name"`
	Index uint32 `json:"index"`
	Into  Slot   `json:"into"`
	Dev   Slot   `json:"dev,omitempty"` // the host's /dev; 0 is by its path
}

func (a MakeTun) String() string {
	return fmt.Sprintf("make the network device %s by /dev/net/tun, its packets through #%d", quote(a.Name), a.Into)
}
func (a MakeTun) Cannot() string { return "make a network device by /dev/net/tun" }

// MakeVeth makes the same where /dev/net/tun is not to be had: one of a pair of
// devices, whose packets a process reads and writes through a packet socket on
// the other, PACKET_VNET_HDR; veth(4), packet(7). That other one stays in the
// network namespace that the process was in, and which the process leaves for
// one more, the box's: nobody else is there, so that the box neither sees it nor
// gets at it. The devices are Ethernet, and Address is the link address of the
// box's.
type MakeVeth struct {
	Name    string `json:"name"`
	Index   uint32 `json:"index"`
	MTU     int    `json:"mtu"`
	Address string `json:"address"`
	Into    Slot   `json:"into"`
}

func (a MakeVeth) String() string {
	return fmt.Sprintf("enter one more new network namespace, and make the network device %s there, paired with one in that left behind, its packets through #%d", quote(a.Name), a.Into)
}
func (a MakeVeth) Cannot() string { return "make a pair of network devices" }

// Device gives a network device its MTU and address, brings it up, and sends
// all there is no other route for through it; netdevice(7).
type Device struct {
	Name    string `json:"name"`
	MTU     int    `json:"mtu"`
	Address string `json:"address"` // with the length of its prefix
	Gateway string `json:"gateway"`
}

func (a Device) String() string {
	return fmt.Sprintf("give %s the address %s, the gateway %s and an MTU of %d, and bring it up",
		quote(a.Name), quote(a.Address), quote(a.Gateway), a.MTU)
}
func (a Device) Cannot() string { return "set up the network device" }

// DeviceIPv6 does the same for IPv6 on a device that is up. Index is the
// interface's number.
type DeviceIPv6 struct {
	Name    string `json:"name"`
	Index   uint32 `json:"index"`
	Address string `json:"address"` // with the length of its prefix
	Gateway string `json:"gateway"`
}

func (a DeviceIPv6) String() string {
	return fmt.Sprintf("give %s the address %s and the gateway %s", quote(a.Name), quote(a.Address), quote(a.Gateway))
}
func (a DeviceIPv6) Cannot() string { return "set up the network device for IPv6" }

// SendNet hands a device's packets to the network's process.
type SendNet struct{ Device Slot }

func (a SendNet) String() string {
	return fmt.Sprintf("hand the packets of #%d to the network's process", a.Device)
}
func (SendNet) Cannot() string { return "hand out the network device" }

// SendSwitch hands out a socket of the box's network namespace, by which whoever
// has power over the namespace can take its devices down and end its connections.
type SendSwitch struct{}

func (SendSwitch) String() string { return "hand nobox a socket of the box's network" }
func (SendSwitch) Cannot() string { return "hand out a socket of the box's network" }

// ShowNamespaces hands out those namespaces of the box that have an id in what
// --json-status-fd says, for nobox to look at; namespaces(7). It also says that
// whoever joins the box now finds it complete.
type ShowNamespaces struct{}

func (ShowNamespaces) String() string { return "show nobox the namespaces" }
func (ShowNamespaces) Cannot() string { return "show the namespaces" }

// ShownNamespaces are those, as in /proc/PID/ns, in their order.
var ShownNamespaces = [...]string{"cgroup", "ipc", "mnt", "net", "pid", "uts"}

// SendNamespaces hands the box's user and network namespaces out.
type SendNamespaces struct{}

func (SendNamespaces) String() string { return "hand the user and network namespaces to nobox" }
func (SendNamespaces) Cannot() string { return "hand out the namespaces" }

// LocalRoutes makes what the box sends to the prefixes its own affair even where
// a program insists on the device (SO_BINDTODEVICE, which takes no privilege, and
// IP_PKTINFO): the routing table "local" gets them for the device as well. The
// prefixes are of one family.
type LocalRoutes struct {
	Device   string   `json:"device"`
	Prefixes []string `json:"prefixes"`
}

func (a LocalRoutes) String() string {
	return fmt.Sprintf("keep what is for %s in the box, by whichever way it would leave through %s", strings.Join(a.Prefixes, " and "), quote(a.Device))
}
func (a LocalRoutes) Cannot() string {
	return fmt.Sprintf("keep %s in the box", strings.Join(a.Prefixes, " and "))
}

// ClientRoutes leads to the forwarder what a server on the box's loopback
// answers, whoever it is for, in a routing table of its own: the forwarder
// connects from addresses that are not the box's. IPv6 says whether there is that.
type ClientRoutes struct {
	IPv6 bool `json:"ipv6,omitempty"`
}

func (ClientRoutes) String() string {
	return "lead what is sent from loopback addresses back to loopback, whoever it is for"
}
func (ClientRoutes) Cannot() string { return "lead answers back to the forwarder" }

// PingGroups lets these groups of the box send echo requests without a
// capability, as ping(8) does; icmp(7), ping_group_range.
type PingGroups struct {
	First uint32 `json:"first"`
	Last  uint32 `json:"last"`
	Sys   Slot   `json:"sys,omitempty"` // the host's /proc/sys; 0 is by its path
}

func (a PingGroups) String() string {
	return fmt.Sprintf("let groups %d to %d ping without a capability", a.First, a.Last)
}
func (PingGroups) Cannot() string { return "let the box ping" }

// ---- inside: file system

// PrivateMounts cuts the propagation of mounts in both directions;
// mount_namespaces(7).
type PrivateMounts struct{}

func (PrivateMounts) String() string { return "cut mount propagation to and from the host" }
func (PrivateMounts) Cannot() string { return "cut mount propagation" }

// OpenTree makes a detached copy of a tree of the host; open_tree(2). The
// source is opened without following any symbolic link. Automounts below are
// copied, not triggered.
type OpenTree struct {
	Source    HostPath `json:"source"`
	Recursive bool     `json:"recursive"`
	Attr      Attr     `json:"attr"`
	Into      Slot     `json:"into"`
}

func (a OpenTree) String() string {
	src := "the working directory"
	if a.Source != WorkingDirectory {
		src = quote(string(a.Source))
	}
	if a.Recursive {
		src += " and what is mounted below"
	}
	return fmt.Sprintf("take %s of the host, %s, as tree #%d", src, a.Attr, a.Into)
}
func (a OpenTree) Cannot() string {
	if a.Source == WorkingDirectory {
		return "share the working directory"
	}
	return "open " + quote(string(a.Source))
}

// CopyTree makes a detached copy of a part of a tree that is already attached
// in the box. Path is relative to it, "" for all of it, and has one component.
type CopyTree struct {
	Of   Slot   `json:"of"`
	Path string `json:"path,omitempty"`
	Attr *Attr  `json:"attr,omitempty"`
	Into Slot   `json:"into"`
}

func (a CopyTree) String() string {
	s := fmt.Sprintf("take a copy of tree #%d", a.Of)
	if a.Path != "" {
		s = fmt.Sprintf("take %s of tree #%d", quote(a.Path), a.Of)
	}
	if a.Attr != nil {
		s += ", " + a.Attr.String() + ","
	}
	return fmt.Sprintf("%s as tree #%d", s, a.Into)
}
func (a CopyTree) Cannot() string { return "copy a tree" }

// CopyBoxTree makes a detached copy, with what is mounted below, of a path of
// the box itself. Link: what is there is a symbolic link, which is meant itself.
type CopyBoxTree struct {
	Root Slot    `json:"root"`
	Path BoxPath `json:"path"`
	Link bool    `json:"link,omitempty"`
	Attr Attr    `json:"attr"`
	Into Slot    `json:"into"`
}

func (a CopyBoxTree) String() string {
	if a.Link {
		return fmt.Sprintf("take the symbolic link %s of the box, %s, as tree #%d", quote(string(a.Path)), a.Attr, a.Into)
	}
	return fmt.Sprintf("take %s of the box, %s, as tree #%d", quote(string(a.Path)), a.Attr, a.Into)
}
func (a CopyBoxTree) Cannot() string { return "open " + quote(string(a.Path)) + " of the box" }

// NewFS makes a new file system, mounted nowhere yet; fsopen(2), fsmount(2).
type NewFS struct {
	Type    string   `json:"type"`
	Options []Option `json:"options,omitempty"`
	Attr    Attr     `json:"attr"`
	Into    Slot     `json:"into"`
	Of      HostPath `json:"-"` // what an overlay is of, for its error
}

func (a NewFS) String() string {
	s := "make a new " + a.Type
	for i, o := range a.Options {
		sep := ", "
		if i == 0 {
			sep = " with "
		}
		s += sep + o.Key
		if o.Value != "" {
			s += "=" + o.Value
		}
	}
	return fmt.Sprintf("%s, %s, as tree #%d", s, a.Attr, a.Into)
}
func (a NewFS) Cannot() string {
	if a.Of != "" {
		return "overlay " + quote(string(a.Of))
	}
	return "make a new " + a.Type
}

// EnterTree makes a tree's root the working directory, so that a file system
// that takes paths as options can name it ".".
type EnterTree struct{ Tree Slot }

func (a EnterTree) String() string { return fmt.Sprintf("stand in tree #%d", a.Tree) }
func (a EnterTree) Cannot() string { return "enter a tree" }

// Detach unmounts an attached tree again, and leaves it if it was entered;
// what a file system made of it in between is not touched.
type Detach struct{ Tree Slot }

func (a Detach) String() string { return fmt.Sprintf("detach tree #%d again", a.Tree) }
func (a Detach) Cannot() string { return "detach a tree" }

// AttachRoot mounts a tree over the old root, which makes it the root that
// paths of the box are resolved below from here on.
type AttachRoot struct{ Tree Slot }

func (a AttachRoot) String() string { return fmt.Sprintf("make tree #%d the box's root", a.Tree) }
func (a AttachRoot) Cannot() string { return "mount the box's root" }

// Attach mounts a tree at a place of the box; move_mount(2). The place is
// resolved below the box's root; with NoSymlinks no component may be one. Link: the
// place is a symbolic link, which is covered itself.
type Attach struct {
	Tree       Slot    `json:"tree"`
	Root       Slot    `json:"root"`
	At         BoxPath `json:"at"`
	NoSymlinks bool    `json:"noSymlinks,omitempty"`
	Link       bool    `json:"link,omitempty"`
	// What names the tree in an error, "" for "a tree".
	What string `json:"what,omitempty"`
}

func (a Attach) String() string {
	return fmt.Sprintf("mount tree #%d at %s", a.Tree, quote(string(a.At)))
}
func (a Attach) Cannot() string {
	what := a.What
	if what == "" {
		what = "mount"
	}
	return what + " at " + quote(string(a.At))
}

// AttachIn mounts a tree at a name in a file system that nobox made, or holds
// where nothing else can reach it.
type AttachIn struct {
	Tree Slot   `json:"tree"`
	In   Slot   `json:"in"`
	Name string `json:"name"`
}

func (a AttachIn) String() string {
	return fmt.Sprintf("mount tree #%d at %s of tree #%d", a.Tree, quote(a.Name), a.In)
}
func (a AttachIn) Cannot() string { return "mount at " + quote(a.Name) }

// SetAttr changes the attributes of a mounted tree; mount_setattr(2).
type SetAttr struct {
	Tree      Slot `json:"tree"`
	Recursive bool `json:"recursive,omitempty"`
	Attr      Attr `json:"attr"`
}

func (a SetAttr) String() string {
	s := fmt.Sprintf("make tree #%d %s", a.Tree, a.Attr)
	if a.Recursive {
		s += ", below too"
	}
	return s
}
func (a SetAttr) Cannot() string { return "change a mount" }

// Mkdir makes a directory below a tree. With MayExist one that is there is
// kept.
type Mkdir struct {
	In       Slot   `json:"in"`
	Path     string `json:"path"`
	Mode     uint32 `json:"mode"`
	MayExist bool   `json:"mayExist,omitempty"`
}

func (a Mkdir) String() string {
	return fmt.Sprintf("make directory %s in tree #%d, mode %04o", quote(a.Path), a.In, a.Mode)
}
func (a Mkdir) Cannot() string { return "make directory /" + a.Path }

// File makes a file below a tree.
type File struct {
	In      Slot   `json:"in"`
	Path    string `json:"path"`
	Mode    uint32 `json:"mode"`
	Content string `json:"content"`
}

func (a File) String() string {
	s := fmt.Sprintf("write %s in tree #%d, mode %04o", quote(a.Path), a.In, a.Mode)
	if a.Content == "" {
		return s + ", empty"
	}
	return s + ": " + quote(a.Content)
}
func (a File) Cannot() string { return "write /" + a.Path }

// CopyUp has an overlay make its own copy of a directory, with owner, mode and
// attributes, in the layer that is written to. No component may be a link.
type CopyUp struct {
	In   Slot   `json:"in"`
	Path string `json:"path"`
}

func (a CopyUp) String() string {
	return fmt.Sprintf("have overlay #%d copy up the directory %s", a.In, quote(a.Path))
}
func (a CopyUp) Cannot() string { return "copy up /" + a.Path }

// Whiteout makes, in a layer that an overlay writes to, the device 0:0 by which
// a name is not there in the overlay; overlayfs.rst, "whiteouts and opaque
// directories". One of nobox's own has the mode 0444, where the kernel's have
// none: what a box deleted can be told from what it was never to have.
type Whiteout struct {
	In   Slot   `json:"in"`
	Path string `json:"path"`
}

func (a Whiteout) String() string {
	return fmt.Sprintf("make the whiteout %s in tree #%d", quote(a.Path), a.In)
}
func (a Whiteout) Cannot() string { return "make a whiteout of " + quote(a.Path) }

// Symlink makes a symbolic link at a name directly in a tree.
type Symlink struct {
	In     Slot   `json:"in"`
	Name   string `json:"name"`
	Target string `json:"target"`
}

func (a Symlink) String() string {
	return fmt.Sprintf("link %s → %s in tree #%d", quote(a.Name), quote(a.Target), a.In)
}
func (a Symlink) Cannot() string { return "make the link " + quote(a.Name) }

// Chown gives a path directly in a tree to the ids, or what the slot holds
// itself with an empty one.
type Chown struct {
	In   Slot   `json:"in"`
	Path string `json:"path"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

func (a Chown) String() string {
	if a.Path == "" {
		return fmt.Sprintf("give #%d to %d:%d", a.In, a.UID, a.GID)
	}
	return fmt.Sprintf("give %s in tree #%d to %d:%d", quote(a.Path), a.In, a.UID, a.GID)
}
func (a Chown) Cannot() string { return "give away " + quote(a.Path) }

// Pivot makes the root the process's root directory and detaches the old one;
// pivot_root(2).
type Pivot struct{ Root Slot }

func (Pivot) String() string { return "enter the new root by pivot_root and detach the old one" }
func (Pivot) Cannot() string { return "pivot_root" }

// ---- inside: terminal

// OpenPTY opens a new pty in a devpts instance, gives it the caller's size
// and modes, and the ids their side of it.
type OpenPTY struct {
	Devpts  Slot         `json:"devpts"`
	Master  Slot         `json:"master"`
	Peer    Slot         `json:"peer"`
	Size    unix.Winsize `json:"size"`
	Termios unix.Termios `json:"-"`
}

func (a OpenPTY) String() string {
	return fmt.Sprintf("open a terminal of the box's own, %d×%d, master #%d, peer #%d", a.Size.Col, a.Size.Row, a.Master, a.Peer)
}
func (a OpenPTY) Cannot() string { return "open a terminal in the box" }

// SendPTY hands the master side out and forgets it.
type SendPTY struct{ Master Slot }

func (a SendPTY) String() string {
	return fmt.Sprintf("hand the terminal's master side #%d to nobox", a.Master)
}
func (a SendPTY) Cannot() string { return "hand out the terminal" }

// NewSession starts a new session, which has no controlling terminal; setsid(2).
type NewSession struct{}

func (NewSession) String() string { return "start a new session" }
func (NewSession) Cannot() string { return "start a new session" }

// TakeTTY makes the pty the session's controlling terminal and puts it in the
// place of those of the three standard streams that are the caller's terminal.
type TakeTTY struct {
	Peer    Slot    `json:"peer"`
	Streams [3]bool `json:"streams"`
}

func (a TakeTTY) String() string {
	var s []string
	for i, n := range []string{"stdin", "stdout", "stderr"} {
		if a.Streams[i] {
			s = append(s, n)
		}
	}
	return fmt.Sprintf("make #%d the controlling terminal, and %s", a.Peer, strings.Join(s, ", "))
}
func (a TakeTTY) Cannot() string { return "take the box's terminal" }

// Foreground makes the command a process group of its own, and on a terminal
// the foreground one, so that job control works.
type Foreground struct{ Terminal bool }

func (a Foreground) String() string {
	if a.Terminal {
		return "give the command a process group, in the terminal's foreground"
	}
	return "give the command a process group"
}
func (a Foreground) Cannot() string { return "make a process group" }

// ---- inside: privileges

// DropBounding removes every capability but Keep from the bounding set, up to
// Last, and clears the ambient set; capabilities(7).
type DropBounding struct {
	Keep uint64 `json:"keep"`
	Last int    `json:"last"`
}

func (a DropBounding) String() string {
	return "drop capabilities for good, all but: " + CapNames(a.Keep)
}
func (a DropBounding) Cannot() string { return "drop capabilities" }

// SetCaps sets the permitted and effective sets to Keep and empties the
// inheritable one. With Ambient the command, which is not root, keeps them
// across execve(2): then they are inheritable and ambient as well.
type SetCaps struct {
	Keep    uint64
	Ambient bool
}

func (a SetCaps) String() string {
	if a.Ambient {
		return "hold only these capabilities, ambient ones that execve hands on: " + CapNames(a.Keep)
	}
	return "hold only these capabilities, none inheritable: " + CapNames(a.Keep)
}
func (a SetCaps) Cannot() string { return "drop capabilities" }

// Securebits says what being root means to the kernel, and lets nobody change
// that; capabilities(7), SECBIT_*. They are handed down.
type Securebits struct{ Bits uint32 }

// securebits are SECBIT_*; linux/securebits.h.
var securebits = [...]string{
	"NOROOT", "NOROOT_LOCKED", "NO_SETUID_FIXUP", "NO_SETUID_FIXUP_LOCKED",
	"KEEP_CAPS", "KEEP_CAPS_LOCKED", "NO_CAP_AMBIENT_RAISE", "NO_CAP_AMBIENT_RAISE_LOCKED",
}

func (a Securebits) String() string {
	s := "set the securebits"
	for i, n := range securebits {
		if a.Bits&(1<<i) != 0 {
			s += " " + n
		}
	}
	return s
}
func (Securebits) Cannot() string { return "set the securebits" }

// NoNewPrivs forbids gaining privileges by execve(2); PR_SET_NO_NEW_PRIVS.
type NoNewPrivs struct{}

func (NoNewPrivs) String() string { return "set no_new_privs" }
func (NoNewPrivs) Cannot() string { return "set no_new_privs" }

// SessionKeyring takes a new, empty session keyring in the place of the
// caller's, whose keys the kernel would look up on behalf of the box;
// keyctl(2), KEYCTL_JOIN_SESSION_KEYRING. With Closed the filter keeps every
// call on keys from the box, and a user who has as many keys as allowed is no
// failure.
type SessionKeyring struct{ Closed bool }

func (SessionKeyring) String() string { return "take a new session keyring" }
func (SessionKeyring) Cannot() string { return "take a new session keyring" }

// LimitNamespaces writes the limits on new namespaces of the new user
// namespace, through the box's procfs; namespaces(7), /proc/sys/user.
type LimitNamespaces struct {
	Proc  Slot     `json:"proc"`
	Types []string `json:"types"`          // as in max_TYPE_namespaces
	Left  int      `json:"left,omitempty"` // how many of them the inside itself still makes
}

func (a LimitNamespaces) String() string {
	if a.Left > 0 {
		return fmt.Sprintf("allow %d new namespace, which is the inside's own: %s", a.Left, strings.Join(a.Types, " "))
	}
	return "allow no new namespaces: " + strings.Join(a.Types, " ")
}
func (a LimitNamespaces) Cannot() string { return "limit the namespaces" }

// Landlock gives up rights for good, in this process and all that come of it:
// of the rights Files to files only what the rules give is left, of Ports to TCP
// only the ports, and of Scoped nothing leaves the box; landlock(7).
type Landlock struct {
	Files   uint64         `json:"files,omitempty"`  // LANDLOCK_ACCESS_FS_*
	Ports   uint64         `json:"ports,omitempty"`  // LANDLOCK_ACCESS_NET_*
	Scoped  uint64         `json:"scoped,omitempty"` // LANDLOCK_SCOPE_*
	Rules   []LandlockRule `json:"rules,omitempty"`
	TCP     []LandlockPort `json:"tcp,omitempty"`
	Streams [3]uint64      `json:"streams"` // rights to what stdin, stdout and stderr lead to
}

// A LandlockRule leaves rights to a file, or to a directory and all below.
type LandlockRule struct {
	Path  BoxPath `json:"path"`
	Files uint64  `json:"files"`
	// MayBeFile: where it is no directory, only what a file can have is left.
	MayBeFile bool `json:"mayBeFile,omitempty"`
	// NoLinks: no component may be a symbolic link. Where no mount fixes what
	// stands at a path, the rule must not be for what a link leads to by now.
	NoLinks bool   `json:"noLinks,omitempty"`
	From    string `json:"from,omitempty"` // the flag that asked for it, where it is not all of the step
}

// A LandlockPort leaves rights to a TCP port; 0 is any that the kernel chooses.
type LandlockPort struct {
	Port   uint16 `json:"port"`
	Rights uint64 `json:"rights"`
}

// What of the rights String and Check have to tell apart; linux/landlock.h.
const (
	landlockExecute, landlockReadFile, landlockReadDir = 1 << 0, 1 << 2, 1 << 3
	landlockIoctl                                      = 1 << 15
	landlockRead                                       = landlockExecute | landlockReadFile | landlockReadDir
	landlockBind, landlockConnect                      = 1 << 0, 1 << 1
)

// writes says whether the rule leaves a right to change something.
func (r LandlockRule) writes() bool { return r.Files&^(landlockRead|landlockIoctl) != 0 }

// places are the paths of the rules that are of a kind.
func (a Landlock) places(of func(LandlockRule) bool) string {
	s := ""
	for _, r := range a.Rules {
		if of(r) {
			if s == "" {
				s = " but below"
			}
			s += " " + quote(string(r.Path))
		}
	}
	return s
}

// ports are those that the rules leave a right to.
func (a Landlock) ports(right uint64) string {
	s := ""
	for _, p := range a.TCP {
		if p.Rights&right != 0 {
			if s == "" {
				s = " but"
			}
			if p.Port == 0 {
				s += " one that is free"
			} else {
				s += " " + strconv.Itoa(int(p.Port))
			}
		}
	}
	return s
}

func (a Landlock) String() string {
	var s []string
	if a.Files&landlockReadFile != 0 {
		s = append(s, "nothing can be read"+a.places(func(r LandlockRule) bool { return r.Files&landlockRead != 0 }))
	}
	if a.Files != 0 {
		s = append(s, "nothing can be written to"+a.places(LandlockRule.writes))
	}
	if a.Ports&landlockConnect != 0 {
		s = append(s, "no TCP port can be connected to"+a.ports(landlockConnect))
	}
	if a.Ports&landlockBind != 0 {
		s = append(s, "no TCP port can be bound"+a.ports(landlockBind))
	}
	if a.Scoped&1 != 0 {
		s = append(s, "no abstract socket of the host can be connected to")
	}
	if a.Scoped&2 != 0 {
		s = append(s, "no signal leaves the box")
	}
	return "have Landlock see to it: " + strings.Join(s, "; ")
}
func (Landlock) Cannot() string { return "set up Landlock" }

// Filter has the kernel refuse system calls for good, in this process and all
// that come of it: a program of classic BPF; seccomp(2). Without a program it
// stands for the decision to filter none.
type Filter struct {
	What    string `json:"what"`          // which filter, in words
	Own     bool   `json:"own,omitempty"` // it is nobox's own, and lets pass what the inside does after it
	Program string `json:"program,omitempty"`
}

// Instructions is how many the program has; linux/filter.h.
func (a Filter) Instructions() int { return len(a.Program) / 8 }

func (a Filter) String() string {
	if a.Program == "" {
		return "filter no system calls"
	}
	return "filter system calls by " + a.What
}
func (a Filter) Cannot() string { return "filter system calls" }

// AdoptOrphans makes this process the parent of what loses its own below it;
// PR_SET_CHILD_SUBREAPER.
type AdoptOrphans struct{}

func (AdoptOrphans) String() string { return "become the parent of what loses its own in the box" }
func (AdoptOrphans) Cannot() string { return "become the parent of orphans" }

// NotDumpable closes the exe, mem, environ and fd entries of /proc to the
// box; PR_SET_DUMPABLE.
type NotDumpable struct{}

func (NotDumpable) String() string { return "close nobox's own process to the box (not dumpable)" }
func (NotDumpable) Cannot() string { return "become non-dumpable" }

// ---- inside: the command

// Chdir changes the working directory. Magic links are refused: they lead out
// of the box (CVE-2024-21626).
type Chdir struct{ Path BoxPath }

func (a Chdir) String() string { return "change to " + quote(string(a.Path)) }
func (a Chdir) Cannot() string { return "change to " + quote(string(a.Path)) }

// SetUmask sets the file mode creation mask.
type SetUmask struct{ Mask uint32 }

func (a SetUmask) String() string { return fmt.Sprintf("set the umask to %04o", a.Mask) }
func (a SetUmask) Cannot() string { return "set the umask" }

// Rlimit sets a resource limit; getrlimit(2). Unlimited is ^0.
type Rlimit struct {
	Name     string `json:"name"`
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

func (a Rlimit) String() string {
	lim := func(v uint64) string {
		if v == ^uint64(0) {
			return "unlimited"
		}
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprintf("limit %s to %s, at most %s", a.Name, lim(a.Soft), lim(a.Hard))
}
func (a Rlimit) Cannot() string { return "set the limit " + a.Name }

// TimerSlack gives the command the caller's timer slack, in nanoseconds;
// PR_SET_TIMERSLACK. Zero is the default.
type TimerSlack struct{ Nanoseconds uint64 }

func (a TimerSlack) String() string {
	return fmt.Sprintf("set the timer slack to %d ns", a.Nanoseconds)
}
func (a TimerSlack) Cannot() string { return "set the timer slack" }

// RestoreSignals gives the command the dispositions and the mask that the
// caller had; bit n-1 is signal n.
type RestoreSignals struct {
	Ignored uint64 `json:"ignored"`
	Mask    uint64 `json:"mask"`
}

func (a RestoreSignals) String() string {
	s := "restore the caller's signals"
	if a.Ignored != 0 {
		s += fmt.Sprintf(", ignored: %#x", a.Ignored)
	}
	if a.Mask != 0 {
		s += fmt.Sprintf(", blocked: %#x", a.Mask)
	}
	return s
}
func (a RestoreSignals) Cannot() string { return "restore the signals" }

// CloseFiles closes every descriptor above the standard streams but Keep, which
// ascends, and the control socket, which execve closes; close_range(2).
type CloseFiles struct {
	Keep []int `json:"keep,omitempty"`
}

func (a CloseFiles) String() string {
	s := "close every descriptor above 2"
	for i, fd := range a.Keep {
		if i == 0 {
			s += " but"
		}
		s += " " + strconv.Itoa(fd)
	}
	return s
}
func (CloseFiles) Cannot() string { return "close descriptors" }

// Exec runs the command. Files are tried in order, as execvp(3) would.
type Exec struct {
	Files []BoxPath `json:"files"`
	Args  []string  `json:"args"`
	Env   []string  `json:"env"`
}

func (a Exec) String() string {
	q := make([]string, len(a.Args))
	for i, s := range a.Args {
		q[i] = quote(s)
	}
	keys := make([]string, len(a.Env))
	for i, kv := range a.Env {
		keys[i], _, _ = strings.Cut(kv, "=")
		keys[i] = quote(keys[i])
	}
	s := "run " + strings.Join(q, " ")
	if len(a.Files) > 1 {
		s += fmt.Sprintf(" (looked for in %d directories of PATH)", len(a.Files))
	}
	if len(keys) > 0 {
		s += ", environment: " + strings.Join(keys, " ")
	} else {
		s += ", environment: empty"
	}
	return s
}
func (a Exec) Cannot() string { return "run " + quote(a.Args[0]) }

// quote returns s as it is if it is plain, else in Go's quotes, so that names
// from elsewhere can neither blur a line nor reach the terminal as escapes.
func quote(s string) string {
	if s == "" {
		return `""`
	}
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '\'' || r == '\\' || r == 0x7f || r > 0x7e {
			return strconv.Quote(s)
		}
	}
	return s
}

// Quote is how nobox prints a name it did not make up itself.
func Quote(s string) string { return quote(s) }
