package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// What docker's profile, with the capabilities of a box, says of a call by its
// number. Above CapClasses it is allowed to who holds one of a set of
// capabilities.
const (
	unknown    = iota // no call of this kernel interface has the number
	Refused           // docker refuses it
	Allowed           // docker allows it
	ByArgument        // see special
	CapClasses
)

// An abi is a kernel interface with what z*.go say of it.
type abi struct {
	arch    uint32 // AUDIT_ARCH_*; linux/audit.h
	classes string // a byte for each number
	caps    []uint64
	// ready are programs for the sets of capabilities that most boxes have.
	ready []readyProgram
	names string // "name nr\n" of each call, by name
	// sub is the 32-bit interface of the same processor, "" if a profile
	// cannot open it.
	sub *abi
}

type readyProgram struct {
	caps    uint64
	process bool
	program string
}

// native is the interface that this binary uses.
func native() *abi {
	if runtime.GOARCH == "arm64" {
		return &arm64
	}
	return &amd64
}

// Want is what the default filter depends on.
type Want struct {
	Caps        uint64 // that the command holds, bit n is capability n
	AllowUserns bool   // --allow-userns
	// Process: it is for a process of nobox's own, outside of the box, which
	// starts no other. execveat is left for the file that the process itself
	// comes from, a descriptor.
	Process bool
	// Shared: the box has no namespaces of its own, and what they would keep
	// apart is refused.
	Shared bool
	// Sockets is what a Shared box may make besides pairs.
	Sockets Sockets
}

// Sockets are those that a box on the host's network may make.
type Sockets uint8

const (
	NoSockets  Sockets = iota
	TCPSockets         // for connections to where Landlock lets them
	TCPServers         // and to listen
	AllSockets         // all that a box with a network of its own may make, but AF_UNIX
)

// RootCaps and noCaps are those of the ready programs: what root inside has,
// docker's default, and nothing.
const (
	RootCaps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER |
		1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP |
		1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE
	noCaps = 0
)

// Default is the default filter.
func Default(w Want) ([]byte, error) { return native().def(w) }

func (a *abi) def(w Want) ([]byte, error) {
	if !w.AllowUserns && !w.Shared {
		for _, r := range a.ready {
			if r.caps == w.Caps && r.process == w.Process {
				return []byte(r.program), nil
			}
		}
	}
	return a.assemble(w)
}

// closedEntry is the answer to the kernel's other entries: int 0x80 and the
// calls of x32, or of 32-bit ARM. As if the kernel were built without them.
const closedEntry = Verdict(0x00050000 | uint32(unix.ENOSYS))

func (a *abi) assemble(w Want) ([]byte, error) {
	calls := make(map[uint32]decision, len(a.classes))
	for nr := range uint32(len(a.classes)) {
		switch c := a.classes[nr]; {
		case c == unknown:
		case c == Refused:
			calls[nr] = decision{other: Errno(uint16(unix.EPERM))}
		case c == Allowed:
			calls[nr] = decision{other: Allow}
		case c >= CapClasses:
			v := Errno(uint16(unix.EPERM))
			if a.caps[c-CapClasses]&w.Caps != 0 {
				v = Allow
			}
			calls[nr] = decision{other: v}
		}
	}
	special(a, w, func(name string, d decision) {
		if nr, ok := number(a.names, name); ok {
			calls[nr] = d
		}
	})
	// A number that no call has, and one that docker's table does not know yet,
	// is not there, so that a libc goes on to what it did before the call was
	// invented. That takes x32's along, whose numbers have bit 30 set.
	return assemble([]policy{newPolicy(a.arch, calls, closedEntry, closedEntry)}, closedEntry)
}

// The flags of clone(2) and unshare(2) that make namespaces, but
// CLONE_NEWTIME, which clone(2) does not take; linux/sched.h.
const cloneNew = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// namespaceCalls are what a program needs to make a box of its own: opened by
// --allow-userns.
var namespaceCalls = [...]string{
	"unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "sethostname", "setdomainname",
	"fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "open_tree_attr", "move_mount", "mount_setattr",
	// A session keyring of its own is one of the things a box makes; what is
	// reached by it is empty, for this box has one as well.
}

// protocols of NETLINK and IP that are not in x/sys; linux/netlink.h, linux/in.h
const (
	sockPacket = 10 // SOCK_PACKET makes a packet socket of an INET one; net/socket.c
	sockType   = 0xf
	protoDCCP  = 33
	protoL2TP  = 115
	protoSCTP  = 132
	protoSMC   = 256
)

// special has the calls whose answer depends on arguments, and what nobox
// closes beyond docker's table.
func special(a *abi, w Want, set func(name string, d decision)) {
	eperm := Errno(uint16(unix.EPERM))
	admin := w.Caps&(1<<unix.CAP_SYS_ADMIN) != 0
	is := func(arg uint8, v ...uint32) cond { return cond{arg: arg, op: opIn, in: v} }

	// The kernel takes the low half of clone's flags.
	if admin || w.AllowUserns {
		set("clone", decision{other: Allow})
		set("clone3", decision{other: Allow})
	} else {
		none := cond{arg: 0, op: opMasked, low: true, mask: cloneNew}
		set("clone", decision{[]rule{{[]cond{none}, Allow}}, eperm})
		// Its flags lie in memory, where a filter cannot look: libc falls back
		// to clone.
		set("clone3", decision{other: Errno(uint16(unix.ENOSYS))})
	}
	if w.Process {
		set("execve", decision{other: eperm})
		set("execveat", decision{[]rule{{[]cond{is(4, unix.AT_EMPTY_PATH)}, Allow}}, eperm})
		// Threads alone; vfork and fork are calls of their own on amd64.
		thread := cond{arg: 0, op: opMasked, low: true, mask: unix.CLONE_THREAD | cloneNew, value: unix.CLONE_THREAD}
		set("clone", decision{[]rule{{[]cond{thread}, Allow}}, eperm})
		for _, name := range [...]string{"fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise"} {
			set(name, decision{other: eperm})
		}
	}
	if w.AllowUserns {
		for _, name := range namespaceCalls {
			set(name, decision{other: Allow})
		}
	}

	// Typing into a terminal, and pasting on a virtual console: CVE-2017-5226,
	// CVE-2023-28100. The kernel takes the low half of the request.
	// And other line disciplines than the terminal's, each a module that the kernel
	// loads for whoever asks, on a pty too (CVE-2017-2636, CVE-2023-6546): slip and
	// ppp are for who may change the network.
	requests := []uint32{unix.TIOCSTI, tioclinux}
	if w.Caps&(1<<unix.CAP_NET_ADMIN) == 0 {
		requests = append(requests, unix.TIOCSETD)
	}
	set("ioctl", decision{[]rule{{[]cond{is(1, requests...)}, eperm}}, Allow})

	set("personality", decision{[]rule{{[]cond{is(0, Personalities()...)}, Allow}}, eperm})

	// Families that leave the box's namespaces, or lead into code of the kernel
	// that next to nothing uses and that is loaded on demand, are as if they
	// were not built in.
	noFamily, noProtocol := Errno(uint16(unix.EAFNOSUPPORT)), Errno(uint16(unix.EPROTONOSUPPORT))
	inet, netlink := is(0, unix.AF_INET, unix.AF_INET6), is(0, unix.AF_NETLINK)
	families := []rule{
		{[]cond{is(0, unix.AF_UNIX)}, Allow},
		{[]cond{inet, {arg: 1, op: opMasked, low: true, mask: sockType, value: sockPacket}}, noFamily},
		{[]cond{inet, is(2, protoSCTP, protoDCCP, protoL2TP, protoSMC)}, noProtocol},
		{[]cond{inet}, Allow},
	}
	if w.Caps&(1<<unix.CAP_NET_ADMIN) != 0 {
		families = append(families, rule{[]cond{netlink}, Allow})
	} else {
		families = append(families,
			rule{[]cond{netlink, is(2, unix.NETLINK_ROUTE, unix.NETLINK_SOCK_DIAG, unix.NETLINK_KOBJECT_UEVENT, unix.NETLINK_GENERIC)}, Allow},
			rule{[]cond{netlink}, noProtocol})
	}
	pairs := []rule{{[]cond{is(0, unix.AF_UNIX)}, Allow}}
	if w.Process {
		// By a socket with a path the session's bus, an agent or a container engine
		// would run programs for it, which Landlock does not keep from connect(2). A
		// pair of datagram sockets connects as well.
		families, pairs = families[1:], nil
	}
	set("socket", decision{families, noFamily})
	set("socketpair", decision{pairs, noFamily})
	if w.Shared {
		shared(w, families[1:], set)
	}
}

// msgFastopen is MSG_FASTOPEN; linux/socket.h.
const msgFastopen = 0x20000000

// shared closes what leads out of a box that has no namespaces; inet are the
// rules for sockets of a network.
func shared(w Want, inet []rule, set func(name string, d decision)) {
	eperm, enosys := Errno(uint16(unix.EPERM)), Errno(uint16(unix.ENOSYS))
	noFamily := Errno(uint16(unix.EAFNOSUPPORT))
	own := cond{arg: 0, op: opIn, in: []uint32{0}}

	// Landlock has no say in connect(2) to a path: a socket of D-Bus, ssh-agent or
	// a container engine is one call away. A pair of streams can be connected to
	// nothing else; one of datagrams could.
	pair := func(kind uint64) rule {
		return rule{[]cond{{arg: 0, op: opIn, in: []uint32{unix.AF_UNIX}}, {arg: 1, op: opMasked, low: true, mask: sockType, value: kind}}, Allow}
	}
	set("socketpair", decision{[]rule{pair(unix.SOCK_STREAM), pair(unix.SOCK_SEQPACKET)}, noFamily})

	switch w.Sockets {
	case AllSockets:
		set("socket", decision{inet, noFamily})
	case TCPSockets, TCPServers:
		// Landlock's rules are about TCP: neither UDP nor MPTCP, and neither a
		// connection that is opened by sending on it nor a port that listen(2)
		// chooses asks it.
		set("socket", decision{[]rule{
			{[]cond{{arg: 0, op: opIn, in: []uint32{unix.AF_INET, unix.AF_INET6}}, {arg: 1, op: opMasked, low: true, mask: sockType, value: unix.SOCK_STREAM}, {arg: 2, op: opIn, in: []uint32{0, unix.IPPROTO_TCP}}}, Allow},
			{[]cond{{arg: 0, op: opIn, in: []uint32{unix.AF_NETLINK}}, {arg: 2, op: opIn, in: []uint32{unix.NETLINK_ROUTE}}}, Allow},
		}, noFamily})
		for _, c := range [...]struct {
			name string
			arg  uint8
		}{{"sendto", 3}, {"sendmsg", 2}, {"sendmmsg", 3}} {
			set(c.name, decision{[]rule{{[]cond{{arg: c.arg, op: opMasked, low: true, mask: msgFastopen}}, Allow}}, Errno(uint16(unix.EOPNOTSUPP))})
		}
		if w.Sockets == TCPSockets {
			set("listen", decision{other: Errno(uint16(unix.EACCES))})
		}
	default:
		set("socket", decision{other: noFamily})
	}

	// Memory, semaphores and queues of System V and POSIX are the uid's, or
	// everybody's, and by no path that Landlock knows of.
	for _, name := range [...]string{
		"shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
		"mq_open", "mq_unlink",
	} {
		set(name, decision{other: enosys})
	}
	// The limits, priorities and schedules of the caller's other processes.
	for _, name := range [...]string{"prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr"} {
		set(name, decision{[]rule{{[]cond{own}, Allow}}, eperm})
	}
	whose := cond{arg: 1, op: opIn, in: []uint32{0}}
	set("setpriority", decision{[]rule{{[]cond{{arg: 0, op: opIn, in: []uint32{0, 1}}, whose}, Allow}}, eperm}) // PRIO_PROCESS, PRIO_PGRP
	set("ioprio_set", decision{[]rule{{[]cond{{arg: 0, op: opIn, in: []uint32{1, 2}}, whose}, Allow}}, eperm})  // IOPRIO_WHO_PROCESS, IOPRIO_WHO_PGRP
}

// Personalities are those that docker allows: PER_LINUX and PER_LINUX32, each
// with UNAME26 or not, and the question which one is in force; personality(2).
func Personalities() []uint32 { return []uint32{0, 8, 0x20000, 0x20008, 0xffffffff} }

// tioclinux is TIOCLINUX; asm-generic/ioctls.h.
const tioclinux = 0x541c

// AssembleTable makes a program of what gen found, for the ready ones.
func AssembleTable(arch uint64, classes string, caps []uint64, names string, w Want) ([]byte, error) {
	return (&abi{arch: uint32(arch), classes: classes, caps: caps, names: names}).assemble(w)
}

// number looks a name up in lines of "name nr", which are sorted by name.
func number(names, name string) (uint32, bool) {
	lo, hi := 0, len(names)
	for lo < hi {
		mid := (lo + hi) / 2
		for mid > lo && names[mid-1] != '\n' {
			mid--
		}
		end := mid
		for names[end] != '\n' {
			end++
		}
		line := names[mid:end]
		space := len(line) - 1
		for line[space] != ' ' {
			space--
		}
		switch n := line[:space]; {
		case n == name:
			nr := uint32(0)
			for _, c := range []byte(line[space+1:]) {
				nr = 10*nr + uint32(c-'0')
			}
			return nr, true
		case n < name:
			lo = end + 1
		default:
			hi = mid
		}
	}
	return 0, false
}

// Instructions is how many a program has.
func Instructions(program []byte) int { return len(program) / 8 }
