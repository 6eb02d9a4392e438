package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var abis = map[string]*abi{"amd64": &amd64, "arm64": &arm64}

func (a *abi) nr(t testing.TB, name string) uint32 {
	t.Helper()
	nr, ok := number(a.names, name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return nr
}

func filterFor(t testing.TB, a *abi, w Want) []byte {
	t.Helper()
	p, err := a.def(w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatIsCommittedIsWhatTheGeneratorWrites(t *testing.T) {
	dir := t.TempDir()
	c := exec.Command("go", "run", "./gen", dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name := range abis {
		want, err := os.ReadFile(filepath.Join(dir, "z"+name+".go"))
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile("z" + name + ".go")
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(have) {
			t.Errorf("z%s.go is not current: go generate ./seccomp", name)
		}
	}
}

func TestAReadyProgramIsTheOneThatWouldBeAssembled(t *testing.T) {
	for name, a := range abis {
		for _, r := range a.ready {
			p, err := a.assemble(Want{Caps: r.caps, Process: r.process})
			if err != nil {
				t.Fatal(err)
			}
			if string(p) != r.program {
				t.Errorf("%s, capabilities %#x: not current", name, r.caps)
			}
		}
	}
}

// The kernel takes what is at most 4096 instructions long, jumps forward and
// inside, and ends in a return; kernel/seccomp.c and net/core/filter.c.
func valid(p []byte) error {
	n := len(p) / 8
	if len(p)%8 != 0 || n == 0 || n > maxInsns {
		return fmt.Errorf("%d bytes", len(p))
	}
	for i := range n {
		q := p[8*i:]
		code, jt, jf, k := binary.NativeEndian.Uint16(q), int(q[2]), int(q[3]), binary.NativeEndian.Uint32(q[4:])
		switch code {
		case ja:
			if int64(i)+1+int64(k) >= int64(n) {
				return fmt.Errorf("instruction %d jumps out", i)
			}
		case jeq, jgt, jge, jset:
			if i+1+jt >= n || i+1+jf >= n {
				return fmt.Errorf("instruction %d jumps out", i)
			}
		case ldAbs, andK, ret:
		default:
			return fmt.Errorf("instruction %d is %#x", i, code)
		}
	}
	if binary.NativeEndian.Uint16(p[8*(n-1):]) != ret {
		return fmt.Errorf("the last instruction is no return")
	}
	return nil
}

var (
	eperm    = Errno(uint16(unix.EPERM))
	enosys   = Errno(uint16(unix.ENOSYS))
	family   = Errno(uint16(unix.EAFNOSUPPORT))
	protocol = Errno(uint16(unix.EPROTONOSUPPORT))
)

func TestTheDefaultFilterRefusesWhatItMust(t *testing.T) {
	const high = 0xdeadbeef00000000
	root, shut := Want{Caps: RootCaps}, Want{Shared: true}
	sockets := func(s Sockets) Want { return Want{Shared: true, Sockets: s} }
	with := func(cap int) Want { return Want{Caps: RootCaps | 1<<cap} }
	tests := []struct {
		want Want
		call string
		args [6]uint64
		says Verdict
	}{
		{root, "read", [6]uint64{}, Allow},
		{root, "execve", [6]uint64{}, Allow},
		{root, "clone", [6]uint64{uint64(unix.SIGCHLD)}, Allow},
		{root, "clone", [6]uint64{unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_THREAD}, Allow},
		{root, "clone", [6]uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
		{root, "clone", [6]uint64{high | unix.CLONE_NEWUSER}, eperm},
		{root, "clone", [6]uint64{unix.CLONE_NEWNET}, eperm},
		{root, "clone", [6]uint64{high}, Allow},
		{root, "clone3", [6]uint64{}, enosys},
		{root, "unshare", [6]uint64{unix.CLONE_NEWUSER}, eperm},
		{root, "unshare", [6]uint64{0x80}, eperm}, // CLONE_NEWTIME
		{root, "setns", [6]uint64{3}, eperm},
		{root, "mount", [6]uint64{}, eperm},
		{root, "fsopen", [6]uint64{}, eperm},
		{root, "open_by_handle_at", [6]uint64{}, eperm},
		{root, "keyctl", [6]uint64{}, eperm},
		{root, "add_key", [6]uint64{}, eperm},
		{root, "request_key", [6]uint64{}, eperm},
		{root, "userfaultfd", [6]uint64{}, eperm},
		{root, "io_uring_setup", [6]uint64{}, eperm},
		{root, "io_uring_enter", [6]uint64{}, eperm},
		{root, "io_uring_register", [6]uint64{}, eperm},
		{root, "perf_event_open", [6]uint64{}, eperm},
		{root, "bpf", [6]uint64{}, eperm},
		{root, "kexec_load", [6]uint64{}, eperm},
		{root, "init_module", [6]uint64{}, eperm},
		{root, "ioctl", [6]uint64{0, unix.TCGETS}, Allow},
		{root, "ioctl", [6]uint64{0, unix.TIOCSTI}, eperm},
		{root, "ioctl", [6]uint64{0, high | unix.TIOCSTI}, eperm},
		{root, "ioctl", [6]uint64{0, 1<<32 | tioclinux}, eperm},
		{root, "ioctl", [6]uint64{0, 1<<32 | unix.TIOCSETD}, eperm},
		{Want{Caps: 1 << unix.CAP_NET_ADMIN}, "ioctl", [6]uint64{0, unix.TIOCSETD}, Allow},
		{Want{Caps: 1 << unix.CAP_NET_ADMIN}, "ioctl", [6]uint64{0, unix.TIOCSTI}, eperm},
		{root, "personality", [6]uint64{0xffffffff}, Allow},
		{root, "personality", [6]uint64{0xffffffffffffffff}, Allow},
		{root, "personality", [6]uint64{0x0040000}, eperm}, // ADDR_NO_RANDOMIZE
		{root, "socket", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, Allow},
		{root, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, Allow},
		{root, "socket", [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, Allow},
		{root, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, Allow},
		{root, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, protocol},
		{root, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, high | protoSMC}, protocol},
		{root, "socket", [6]uint64{unix.AF_INET, sockPacket | unix.SOCK_NONBLOCK, 3}, family},
		{root, "socket", [6]uint64{high | unix.AF_INET, high | sockPacket, 3}, family},
		{root, "socket", [6]uint64{unix.AF_PACKET, unix.SOCK_RAW, 3}, family},
		{root, "socket", [6]uint64{unix.AF_VSOCK, unix.SOCK_STREAM}, family},
		{root, "socket", [6]uint64{high | unix.AF_VSOCK, unix.SOCK_STREAM}, family},
		{root, "socket", [6]uint64{unix.AF_ALG, unix.SOCK_SEQPACKET}, family},
		{root, "socket", [6]uint64{unix.AF_RXRPC, unix.SOCK_DGRAM}, family},
		{root, "socket", [6]uint64{15, unix.SOCK_RAW, 2}, family}, // AF_KEY: xfrm
		{root, "socket", [6]uint64{0}, family},
		{root, "socket", [6]uint64{0xffffffffffffffff}, family},
		{root, "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, Allow},
		{root, "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}, protocol},
		{root, "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, high | unix.NETLINK_NETFILTER}, protocol},
		{with(unix.CAP_NET_ADMIN), "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, Allow},
		{root, "socketpair", [6]uint64{unix.AF_UNIX}, Allow},
		{root, "socketpair", [6]uint64{unix.AF_TIPC}, family},
		{root, "chroot", [6]uint64{}, Allow},
		{Want{}, "chroot", [6]uint64{}, eperm},
		{with(unix.CAP_SYS_ADMIN), "mount", [6]uint64{}, Allow},
		{with(unix.CAP_SYS_ADMIN), "clone", [6]uint64{unix.CLONE_NEWNS}, Allow},
		{with(unix.CAP_SYS_ADMIN), "keyctl", [6]uint64{}, eperm},
		{with(unix.CAP_DAC_READ_SEARCH), "open_by_handle_at", [6]uint64{}, Allow},
		{with(unix.CAP_BPF), "bpf", [6]uint64{}, Allow},
		{with(unix.CAP_PERFMON), "perf_event_open", [6]uint64{}, Allow},
		{Want{AllowUserns: true}, "unshare", [6]uint64{}, Allow},
		{Want{AllowUserns: true}, "clone3", [6]uint64{}, Allow},
		{Want{AllowUserns: true}, "clone", [6]uint64{unix.CLONE_NEWUSER}, Allow},
		{Want{AllowUserns: true}, "pivot_root", [6]uint64{}, Allow},
		{Want{AllowUserns: true}, "bpf", [6]uint64{}, eperm},
		{Want{AllowUserns: true}, "ioctl", [6]uint64{0, unix.TIOCSTI}, eperm},
		{Want{AllowUserns: true}, "socket", [6]uint64{unix.AF_ALG}, family},
		{root, "mseal", [6]uint64{}, Allow},
		{Want{Process: true}, "execve", [6]uint64{}, eperm},
		{Want{Process: true}, "socket", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, Errno(uint16(unix.EAFNOSUPPORT))},
		{Want{Process: true}, "socket", [6]uint64{1<<32 | unix.AF_UNIX, unix.SOCK_STREAM}, Errno(uint16(unix.EAFNOSUPPORT))},
		{Want{Process: true}, "socketpair", [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, Errno(uint16(unix.EAFNOSUPPORT))},
		{Want{Process: true}, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, Allow},
		{Want{Process: true}, "execveat", [6]uint64{4, 0, 0, 0, unix.AT_EMPTY_PATH}, Allow},
		{Want{Process: true}, "execveat", [6]uint64{4, 0, 0, 0, 0}, eperm},
		{Want{Process: true}, "clone", [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}, Allow},
		{Want{Process: true}, "clone", [6]uint64{uint64(unix.SIGCHLD)}, eperm},
		{Want{Process: true}, "clone", [6]uint64{unix.CLONE_THREAD | unix.CLONE_NEWUSER}, eperm},
		{Want{Process: true}, "ptrace", [6]uint64{}, eperm},
		{Want{Process: true}, "openat", [6]uint64{}, Allow},
		{shut, "socket", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, family},
		{shut, "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, family},
		{shut, "socketpair", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, Allow},
		{shut, "socketpair", [6]uint64{unix.AF_UNIX, high | unix.SOCK_SEQPACKET}, Allow},
		{shut, "socketpair", [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, family}, // could be connected elsewhere
		{shut, "socketpair", [6]uint64{unix.AF_UNIX, unix.SOCK_RAW}, family},   // which becomes one of datagrams
		{shut, "shmget", [6]uint64{}, enosys},
		{shut, "semop", [6]uint64{}, enosys},
		{shut, "msgrcv", [6]uint64{}, enosys},
		{shut, "mq_open", [6]uint64{}, enosys},
		{shut, "prlimit64", [6]uint64{0, unix.RLIMIT_CPU}, Allow},
		{shut, "prlimit64", [6]uint64{high, unix.RLIMIT_CPU}, Allow},
		{shut, "prlimit64", [6]uint64{4711, unix.RLIMIT_CPU}, eperm},
		{shut, "setpriority", [6]uint64{0, 0, 5}, Allow},
		{shut, "setpriority", [6]uint64{2, 0, 5}, eperm}, // PRIO_USER
		{shut, "setpriority", [6]uint64{0, 4711, 5}, eperm},
		{shut, "ioprio_set", [6]uint64{1, 0}, Allow},
		{shut, "ioprio_set", [6]uint64{3, 0}, eperm},
		{shut, "sched_setattr", [6]uint64{4711}, eperm},
		{shut, "sched_setaffinity", [6]uint64{4711}, Allow},
		{shut, "clone", [6]uint64{unix.CLONE_NEWUSER}, eperm},
		{shut, "landlock_create_ruleset", [6]uint64{}, Allow},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_NONBLOCK, unix.IPPROTO_TCP}, Allow},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_INET6, unix.SOCK_STREAM}, Allow},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, family},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_DGRAM}, family},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, family},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, family},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, Allow},
		{sockets(TCPSockets), "socket", [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG}, family},
		{sockets(TCPSockets), "sendto", [6]uint64{3, 0, 0, unix.MSG_NOSIGNAL}, Allow},
		{sockets(TCPSockets), "sendto", [6]uint64{3, 0, 0, unix.MSG_NOSIGNAL | msgFastopen}, Errno(uint16(unix.EOPNOTSUPP))},
		{sockets(TCPSockets), "sendmsg", [6]uint64{3, 0, high | msgFastopen}, Errno(uint16(unix.EOPNOTSUPP))},
		{sockets(TCPSockets), "sendmmsg", [6]uint64{3, 0, 1, msgFastopen}, Errno(uint16(unix.EOPNOTSUPP))},
		{sockets(TCPSockets), "listen", [6]uint64{3}, Errno(uint16(unix.EACCES))},
		{sockets(TCPServers), "listen", [6]uint64{3}, Allow},
		{sockets(AllSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_DGRAM}, Allow},
		{sockets(AllSockets), "socket", [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, protocol},
		{sockets(AllSockets), "socket", [6]uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, family},
		{sockets(AllSockets), "socket", [6]uint64{unix.AF_ALG}, family},
	}
	for name, a := range abis {
		for _, tt := range tests {
			p := filterFor(t, a, tt.want)
			if err := valid(p); err != nil {
				t.Fatal(err)
			}
			if got := Eval(p, Call{a.arch, a.nr(t, tt.call), tt.args}); got != tt.says {
				t.Errorf("%s: %s(%#x) with %+v: %#x, want %#x", name, tt.call, tt.args, tt.want, got, tt.says)
			}
		}
	}
}

// alwaysAllowed is how the kernel fills its bitmap: by what a program says of a
// number before it looks at an argument; kernel/seccomp.c, seccomp_is_const_allow.
func alwaysAllowed(program []byte, arch, nr uint32) bool {
	var a uint32
	for pc := 0; pc < len(program)/8; pc++ {
		b := program[8*pc:]
		code, jt, jf, k := binary.NativeEndian.Uint16(b), int(b[2]), int(b[3]), binary.NativeEndian.Uint32(b[4:])
		jump := func(yes bool) {
			if yes {
				pc += jt
			} else {
				pc += jf
			}
		}
		switch code {
		case ldAbs:
			switch k {
			case offNr:
				a = nr
			case offArch:
				a = arch
			default:
				return false
			}
		case andK:
			a &= k
		case ja:
			pc += int(k)
		case jeq:
			jump(a == k)
		case jgt:
			jump(a > k)
		case jge:
			jump(a >= k)
		case jset:
			jump(a&k != 0)
		case ret:
			return Verdict(k) == Allow
		default:
			return false
		}
	}
	return false
}

// A call under a filter costs what the kernel's slower entry costs, and with the
// bitmap no instruction of the filter's.
func TestTheKernelsBitmapHasEveryCallThatIsAlwaysAllowed(t *testing.T) {
	for name, a := range abis {
		for _, w := range []Want{{Caps: RootCaps}, {}, {Process: true}, {AllowUserns: true}, {Shared: true, Sockets: TCPSockets}} {
			p, have := filterFor(t, a, w), 0
			special := map[uint32]bool{}
			for _, n := range []string{"clone", "clone3", "ioctl", "personality", "socket", "socketpair", "execve", "execveat", "fork", "vfork", "ptrace",
				"process_vm_readv", "process_vm_writev", "pidfd_getfd", "process_madvise", "sendto", "sendmsg", "sendmmsg", "listen", "shmget", "shmat", "shmctl",
				"semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "prlimit64", "sched_setscheduler",
				"sched_setparam", "sched_setattr", "setpriority", "ioprio_set"} {
				if nr, ok := number(a.names, n); ok {
					special[nr] = true
				}
			}
			for nr := range uint32(len(a.classes)) {
				if a.classes[nr] != Allowed || special[nr] {
					continue
				}
				have++
				if !alwaysAllowed(p, a.arch, nr) {
					t.Errorf("%s, %+v: call %d is not in the bitmap", name, w, nr)
				}
			}
			if have < 200 {
				t.Errorf("%s: only %d calls", name, have)
			}
		}
	}
}

// Numbers that are no call, or newer than the table, are not there: a libc then
// goes on to what it did before. The kernel's other entries are shut.
func TestWhatNoCallIsIsNotThere(t *testing.T) {
	for name, a := range abis {
		p := filterFor(t, a, Want{Caps: RootCaps})
		for _, nr := range []uint32{400, 1000, 0x7fffffff, 0xffffffff, x32Bit, x32Bit | 1, x32Bit | 520} {
			if got := Eval(p, Call{a.arch, nr, [6]uint64{}}); got != enosys {
				t.Errorf("%s: call %#x: %#x", name, nr, got)
			}
		}
		for _, arch := range []uint32{0, a.sub.arch, 0xc000003e ^ 0xc00000b7 ^ a.arch} {
			for nr := range uint32(600) {
				if got := Eval(p, Call{arch, nr, [6]uint64{}}); got != enosys {
					t.Fatalf("%s: arch %#x, call %d: %#x", name, arch, nr, got)
				}
			}
		}
	}
}

func TestNoCallTakesManyComparisons(t *testing.T) {
	for name, a := range abis {
		p := filterFor(t, a, Want{Caps: RootCaps})
		if n := Instructions(p); n > 200 {
			t.Errorf("%s: %d instructions", name, n)
		}
		deepest, n := 0, 0
		spans := newSpans(a)
		for _, g := range groups(spans) {
			n += len(g)
			jumps, _ := g.code(endOf(spans, n))
			deepest = max(deepest, jumps)
		}
		if deepest > maxExceptions {
			t.Errorf("%s: %d comparisons in a row", name, deepest)
		}
	}
}

func newSpans(a *abi) []span {
	calls := map[uint32]decision{}
	for nr := range uint32(len(a.classes)) {
		if a.classes[nr] != unknown {
			calls[nr] = decision{other: Verdict(a.classes[nr])}
		}
	}
	return newPolicy(a.arch, calls, 0, 0).spans
}

func TestANameIsFoundByItself(t *testing.T) {
	for name, a := range map[string]*abi{"amd64": &amd64, "386": amd64.sub, "arm64": &arm64, "arm": arm64.sub} {
		n := 0
		for line := range strings.Lines(a.names) {
			var call string
			var want uint32
			if _, err := fmt.Sscan(line, &call, &want); err != nil {
				t.Fatal(err)
			}
			if got, ok := number(a.names, call); !ok || got != want {
				t.Errorf("%s: %s is %d, %v; want %d", name, call, got, ok, want)
			}
			for _, other := range []string{call + "x", call[1:], "", "~", call + " " + "1"} {
				if nr, ok := number(a.names, other); ok && !strings.Contains("\n"+a.names, "\n"+other+" ") {
					t.Errorf("%s: %q is %d", name, other, nr)
				}
			}
			n++
		}
		if n < 300 {
			t.Errorf("%s has %d calls", name, n)
		}
	}
}

// ---- the assembler against a model

// model decides about a call as a policy says, without a program.
func model(ps []policy, foreign Verdict, c Call) Verdict {
	for _, p := range ps {
		if p.arch != c.Arch {
			continue
		}
		d := p.at(c.Nr)
		for _, r := range d.rules {
			all := true
			for _, k := range r.conds {
				all = all && holds(k, c.Args[k.arg])
			}
			if all {
				return r.verdict
			}
		}
		return d.other
	}
	return foreign
}

func holds(c cond, v uint64) bool {
	want := c.value
	if c.low {
		v, want = v&0xffffffff, want&0xffffffff
	}
	switch c.op {
	case opEQ:
		return v == want
	case opNE:
		return v != want
	case opLT:
		return v < want
	case opLE:
		return v <= want
	case opGE:
		return v >= want
	case opGT:
		return v > want
	case opMasked:
		m := c.mask
		if c.low {
			m &= 0xffffffff
		}
		return v&m == want
	case opIn:
		for _, x := range c.in {
			if uint32(v) == x {
				return true
			}
		}
	}
	return false
}

// anything makes policies, and calls near their borders.
func anything(r *rand.Rand) ([]policy, []Call) {
	verdicts := []Verdict{Allow, eperm, enosys, KillProcess, Log}
	v := func() Verdict { return verdicts[r.IntN(len(verdicts))] }
	values := []uint64{0, 1, 2, 10, 0xffffffff, 1 << 32, 1<<32 | 2, 0xffffffffffffffff, 0x7e020000}
	value := func() uint64 { return values[r.IntN(len(values))] }
	var ps []policy
	var cs []Call
	for i := range 1 + r.IntN(2) {
		calls := map[uint32]decision{}
		at := uint32(0)
		for range r.IntN(120) {
			at += uint32(r.IntN(4))
			if r.IntN(30) == 0 {
				at += uint32(r.IntN(400))
			}
			d := decision{other: v()}
			if r.IntN(6) == 0 {
				for range 1 + r.IntN(4) {
					var conds []cond
					for range r.IntN(4) {
						c := cond{arg: uint8(r.IntN(6)), op: op(r.IntN(8)), value: value(), low: r.IntN(2) == 0}
						if c.op == opMasked {
							c.mask = value()
						}
						for range 1 + r.IntN(4) {
							c.in = append(c.in, uint32(value()))
						}
						conds = append(conds, c)
					}
					d.rules = append(d.rules, rule{conds, v()})
				}
			}
			calls[at] = d
		}
		ps = append(ps, newPolicy(uint32(100+i), calls, v(), v()))
		for _, near := range []uint32{0, 1, at, at + 1, x32Bit, 0xffffffff} {
			cs = append(cs, Call{Arch: uint32(100 + i), Nr: near})
		}
	}
	for range 300 {
		cs = append(cs, Call{Arch: uint32(100 + r.IntN(3)), Nr: uint32(r.IntN(300)),
			Args: [6]uint64{value(), value(), value(), value(), value(), value()}})
	}
	return ps, cs
}

func tryAssembler(t *testing.T, a, b uint64) {
	r := rand.New(rand.NewPCG(a, b))
	ps, cs := anything(r)
	p, err := assemble(ps, KillThread)
	if err == errTooLong {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := valid(p); err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if got, want := Eval(p, c), model(ps, KillThread, c); got != want {
			t.Fatalf("%+v: %#x, the policy says %#x", c, got, want)
		}
	}
}

func FuzzAssemble(f *testing.F) {
	for i := range uint64(200) {
		f.Add(i, i*i)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) { tryAssembler(t, a, b) })
}
