package userns

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// An op is one system call of the inside, or one of two moves that are none.
// It is small because memory is what a start pays for: a page touched for the
// first time costs more than the calls described in it.
type op struct {
	arg    [6]uint32
	how    [6]argKind
	nr     uint16
	step   uint32 // index into Plan.Steps
	into   uint32 // the slot that takes the result, 0 for none
	want   int32  // the result must be this, or with anyResult not an error
	kind   opKind
	ignore [3]uint8 // errnos that are no failure
}

type opKind uint8

const (
	opCall   opKind = iota
	opPoke          // write the int32 value of arg[1] to the address arg[0]
	opFork          // become the reaper; a new process goes on
	opBeside        // start a process for the next arg[0] ops; its pid goes to into
	opMeet          // wait for the process arg[0], which must have done all of its ops
)

const anyResult = -1

// argKind is how an argument becomes what the kernel gets, and how it is shown.
type argKind uint8

const (
	argNone argKind = iota // the call has no such argument
	argNum                 // a number, sign-extended
	argFD                  // a descriptor that is a constant, sign-extended
	argHex                 // a set of flags, zero-extended
	argNull                // NULL
	argSlot                // the value of a slot
	argStr                 // the address of a NUL-terminated string in the arena
	argPtr                 // the address of a structure in the arena
	argVec                 // the address of a vector of pointers in the arena
)

// A program is a lowered plan: what the inside does, call by call. All memory
// that calls point to is in one arena.
type program struct {
	ops    []op
	arena  []byte
	relocs []int // offsets in the arena of 8-byte words that are arena offsets
	slots  int
}

// syscallNames are those a program can hold. It is made when asked for, since
// a package's maps are built at every start.
func syscallNames() map[uintptr]string {
	return map[uintptr]string{
		unix.SYS_PRCTL: "prctl", unix.SYS_GETPPID: "getppid", unix.SYS_PPOLL: "ppoll", unix.SYS_READ: "read", unix.SYS_WRITE: "write",
		unix.SYS_CLOSE: "close", unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2",
		unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETRESUID: "setresuid", unix.SYS_SETRESGID: "setresgid",
		unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns", unix.SYS_SETHOSTNAME: "sethostname", unix.SYS_SOCKET: "socket", unix.SYS_BIND: "bind", unix.SYS_SETSOCKOPT: "setsockopt", unix.SYS_IOCTL: "ioctl",
		unix.SYS_MOUNT: "mount", unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOUNT_SETATTR: "mount_setattr",
		unix.SYS_FSOPEN: "fsopen", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount",
		unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat", unix.SYS_SYMLINKAT: "symlinkat",
		unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FCHDIR: "fchdir", unix.SYS_CHDIR: "chdir",
		unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_UMOUNT2: "umount2", unix.SYS_SENDMSG: "sendmsg",
		unix.SYS_SETSID: "setsid", unix.SYS_DUP3: "dup3", unix.SYS_SETPGID: "setpgid",
		unix.SYS_GETPID: "getpid", unix.SYS_CAPSET: "capset", unix.SYS_UMASK: "umask",
		unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_RT_SIGACTION: "rt_sigaction",
		unix.SYS_RT_SIGPROCMASK: "rt_sigprocmask", unix.SYS_CLOSE_RANGE: "close_range",
		unix.SYS_EXECVE: "execve", unix.SYS_MEMFD_CREATE: "memfd_create", unix.SYS_FCNTL: "fcntl",
		unix.SYS_EXECVEAT: "execveat", unix.SYS_RECVMSG: "recvmsg", unix.SYS_SENDTO: "sendto",
		unix.SYS_SECCOMP: "seccomp", unix.SYS_KEYCTL: "keyctl",
		unix.SYS_LANDLOCK_CREATE_RULESET: "landlock_create_ruleset", unix.SYS_LANDLOCK_ADD_RULE: "landlock_add_rule",
		unix.SYS_LANDLOCK_RESTRICT_SELF: "landlock_restrict_self",
		unix.SYS_RECVFROM:               "recvfrom",
	}
}

// String is one line a call, before relocation: pointers show what they point
// to, slots their number.
func (p *program) String() string {
	var b strings.Builder
	names := syscallNames()
	step := ^uint32(0)
	for i := range p.ops {
		o := &p.ops[i]
		if o.step != step {
			step = o.step
			fmt.Fprintf(&b, "step %d\n", step+1)
		}
		b.WriteString("  ")
		switch o.kind {
		case opFork:
			b.WriteString("clone(SIGCHLD): the parent becomes the reaper, the child goes on")
		case opBeside:
			fmt.Fprintf(&b, "clone(CLONE_VM|CLONE_FILES): the child makes the next %d of these calls, the parent goes on behind them", o.arg[0])
		case opMeet:
			b.WriteString("wait4(the process beside, __WALL) must exit with 0")
		case opPoke:
			fmt.Fprintf(&b, "*(int *)&%#x = %s", o.arg[0], p.renderArg(o, 1))
		default:
			name := names[uintptr(o.nr)]
			if name == "" {
				name = fmt.Sprintf("syscall_%d", o.nr)
			}
			var args []string
			for j := 0; j < len(o.how) && o.how[j] != argNone; j++ {
				args = append(args, p.renderArg(o, j))
			}
			fmt.Fprintf(&b, "%s(%s)", name, strings.Join(args, ", "))
			if o.into != 0 {
				fmt.Fprintf(&b, " = #%d", o.into-slotBase)
			}
			if o.want != anyResult {
				fmt.Fprintf(&b, " must be %d", o.want)
			}
			sep := " unless "
			for _, e := range o.ignore {
				if e != 0 {
					b.WriteString(sep + unix.ErrnoName(syscall.Errno(e)))
					sep = ", "
				}
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (p *program) renderArg(o *op, j int) string {
	v := o.arg[j]
	switch o.how[j] {
	case argSlot:
		switch v {
		case slotControl:
			return "control"
		case slotNet:
			return "network"
		}
		return fmt.Sprintf("#%d", v-slotBase)
	case argNull:
		return "NULL"
	case argHex:
		return fmt.Sprintf("%#x", v)
	case argFD:
		if int32(v) == unix.AT_FDCWD {
			return "AT_FDCWD"
		}
		return fmt.Sprint(int32(v))
	case argStr:
		return quoteC(p.cstring(uint64(v)))
	case argPtr:
		return fmt.Sprintf("&%#x", v)
	case argVec:
		var s []string
		for at := int(v); ; at += 8 {
			off := le64(p.arena[at:])
			if off == 0 {
				break
			}
			s = append(s, quoteC(p.cstring(off)))
		}
		if len(s) > 32 {
			s = append(s[:32], fmt.Sprintf("… %d more", len(s)-32))
		}
		return "[" + strings.Join(s, ", ") + "]"
	}
	return fmt.Sprint(int32(v))
}

func (p *program) cstring(off uint64) string {
	b := p.arena[off:]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func quoteC(s string) string {
	q := fmt.Sprintf("%q", s)
	return q
}

func le64(b []byte) uint64 {
	var v uint64
	for i := 7; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}
