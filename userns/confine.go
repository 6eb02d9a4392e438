package userns

import (
	"golang.org/x/sys/unix"

	"nobox/plan"
)

// confine appends what binds the network's process before its program runs, in
// a process of one thread: Landlock, then the filter. Both hold for the program
// and all its threads. Preconditions: no_new_privs is set.
func (l *lowerer) confine(a plan.StartNet) {
	if a.Landlock != nil {
		// One domain more than the kernel nests is a box in many boxes.
		l.landlock(*a.Landlock).ignore[0] = uint8(unix.E2BIG)
	}
	if a.Filter != "" {
		l.filter(a.Filter)
	}
}

// filter loads a program for seccomp(2).
func (l *lowerer) filter(program string) {
	code := l.data([]byte(program))
	// struct sock_fprog: the number of instructions, and where they are
	prog := l.words(uint64(len(program)/8), uint64(code.v))
	l.relocs = append(l.relocs, int(prog.v)+8)
	l.call(unix.SYS_SECCOMP, num(unix.SECCOMP_SET_MODE_FILTER), num(0), prog)
}

// landlockFile are the rights that a file can have which is no directory:
// LANDLOCK_ACCESS_FS_EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE and IOCTL_DEV;
// linux/landlock.h.
const landlockFile = 1<<0 | 1<<1 | 1<<2 | 1<<14 | 1<<15

// landlockRuleNetPort is LANDLOCK_RULE_NET_PORT.
const landlockRuleNetPort = 2

// landlock makes a ruleset, gives it its rules, and enters it, by the call that
// is returned.
func (l *lowerer) landlock(a plan.Landlock) *op {
	set := l.temp()
	// struct landlock_ruleset_attr; an older kernel takes a longer one whose
	// rest is zero.
	l.make(set, unix.SYS_LANDLOCK_CREATE_RULESET, l.words(a.Files, a.Ports, a.Scoped), num(24), num(0))
	rule := func(files uint64, fd arg) *op {
		// struct landlock_path_beneath_attr is packed: rights, descriptor.
		attr := l.words(files, uint64(fd.v))
		if fd.how == argSlot {
			l.poke(attr, 8, fd)
		}
		return l.call(unix.SYS_LANDLOCK_ADD_RULE, set, num(unix.LANDLOCK_RULE_PATH_BENEATH), attr, num(0))
	}
	for _, r := range a.Rules {
		f := l.temp()
		if r.NoLinks {
			l.make(f, unix.SYS_OPENAT2, cwd(), l.str(string(r.Path)), l.how(oPath, 0, unix.RESOLVE_NO_SYMLINKS), num(sizeofOpenHow))
		} else {
			l.make(f, unix.SYS_OPENAT, cwd(), l.str(string(r.Path)), hex(oPath))
		}
		if r.MayBeFile {
			rule(r.Files&landlockFile, f)
			rule(r.Files, f).ignore[0] = uint8(unix.EINVAL) // it is a file
		} else {
			rule(r.Files, f)
		}
		l.done(f)
	}
	for fd, files := range a.Streams {
		if files != 0 {
			rule(files, num(fd))
		}
	}
	for _, p := range a.TCP {
		// struct landlock_net_port_attr: rights, port in the host's order.
		l.call(unix.SYS_LANDLOCK_ADD_RULE, set, num(landlockRuleNetPort), l.words(p.Rights, uint64(p.Port)), num(0))
	}
	i := len(l.ops)
	l.call(unix.SYS_LANDLOCK_RESTRICT_SELF, set, num(0))
	l.done(set)
	return &l.ops[i]
}
