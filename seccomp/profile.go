package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Profile is docker's JSON for --security-opt seccomp=FILE: the default, and
// rules by name; docs.docker.com/engine/security/seccomp, and the runtime
// specification's linux.seccomp.
type Profile struct {
	DefaultAction   string    `json:"defaultAction"`
	DefaultErrnoRet *uint16   `json:"defaultErrnoRet"`
	DefaultErrno    string    `json:"defaultErrno"` // podman's
	Architectures   []string  `json:"architectures"`
	ArchMap         []archMap `json:"archMap"`
	Flags           []string  `json:"flags"`
	Syscalls        []call    `json:"syscalls"`

	Comment string `json:"comment"`
	Schema  string `json:"$schema"`
}

type archMap struct {
	Architecture     string   `json:"architecture"`
	SubArchitectures []string `json:"subArchitectures"`
}

type call struct {
	Name     string   `json:"name"`
	Names    []string `json:"names"`
	Action   string   `json:"action"`
	ErrnoRet *uint16  `json:"errnoRet"`
	Errno    string   `json:"errno"` // podman's
	Args     []arg    `json:"args"`
	Includes *filter  `json:"includes"`
	Excludes *filter  `json:"excludes"`
	Comment  string   `json:"comment"`
}

type arg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo"`
	Op       string `json:"op"`
}

type filter struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// Where is what a profile's conditions are about.
type Where struct {
	Caps   uint64 // that the command holds
	Kernel [2]int
	// CapNumber is the number of a capability by its name.
	CapNumber func(string) (int, bool)
}

// maxNames is more than any kernel has calls, so that a profile that repeats
// itself for ever is not worked on for ever.
const maxNames = 16384

// ErrForbidsExec is a profile under which no command can start.
var ErrForbidsExec = errors.New("it forbids execve, by which the command is started")

// Parse reads a profile. It knows every member that docker knows; another one
// is an error, since it may be a condition that would be lost.
func Parse(text []byte) (*Profile, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	p := &Profile{}
	if err := d.Decode(p); err != nil {
		return nil, jsonError(err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something stands behind the profile")
	}
	if p.DefaultAction == "" {
		return nil, errors.New("it has no defaultAction")
	}
	return p, nil
}

// jsonError says where in the text an error is.
func jsonError(err error, text []byte) error {
	at := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends early")
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
		err = fmt.Errorf("%s is %s", kind.Field, kind.Value)
	}
	msg := strings.TrimPrefix(err.Error(), "json: ")
	if at < 0 || at > int64(len(text)) {
		return errors.New(msg)
	}
	return fmt.Errorf("line %d: %s", 1+bytes.Count(text[:at], []byte("\n")), msg)
}

// Program makes the filter of a profile for this processor.
func (p *Profile) Program(w Where) ([]byte, error) { return p.program(native(), w) }

func (p *Profile) program(a *abi, w Where) ([]byte, error) {
	other, err := verdict(p.DefaultAction, p.DefaultErrnoRet, p.DefaultErrno)
	if err != nil {
		return nil, fmt.Errorf("defaultAction: %w", err)
	}
	for _, f := range p.Flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW":
			// One thread has the filter; the other two loosen nothing if they
			// are left out.
		default:
			return nil, fmt.Errorf("flags: %s is not one that nobox has", strconv.Quote(f))
		}
	}
	abis := []*abi{a}
	open, known := p.opens(a)
	if !known {
		return nil, fmt.Errorf("it is for other processors than %s", archNames(a)[0])
	}
	if open && a.sub != nil {
		abis = append(abis, a.sub)
	}
	var policies []policy
	for _, b := range abis {
		calls, err := p.calls(a, b, w, other)
		if err != nil {
			return nil, err
		}
		policies = append(policies, newPolicy(b.arch, calls, other, beyond(other)))
	}
	if a == &amd64 {
		policies[0].closeX32(other)
	}
	// An entry that the profile does not open is as if it were not there,
	// unless the profile is harsher.
	foreign := closedEntry
	if other == KillProcess || other == KillThread || other == Trap {
		foreign = other
	}
	program, err := assemble(policies, foreign)
	if err != nil {
		return nil, err
	}
	if nr, ok := number(a.names, "execve"); ok {
		for _, pol := range policies[:1] {
			if d := pol.at(nr); d.constant() && d.other != Allow && d.other != Log {
				return nil, ErrForbidsExec
			}
		}
	}
	return program, nil
}

// beyond is the verdict on calls above the highest that a profile names: newer than
// what it was written for, so that a libc that tries one first has to hear that
// there is none, as from docker and runc, and not that it is forbidden.
func beyond(other Verdict) Verdict {
	if other&0xffff0000 == Errno(0) {
		return Errno(uint16(unix.ENOSYS))
	}
	return other
}

// closeX32 takes the numbers of x32, which share the entry of amd64, out of
// what a profile allows by default.
func (p *policy) closeX32(other Verdict) {
	if other == Allow || other == Log || other == Trace {
		p.spans = append(p.spans, span{x32Bit, decision{other: closedEntry}})
	}
}

// x32Bit is __X32_SYSCALL_BIT; asm/unistd.h.
const x32Bit = 0x40000000

func (p policy) at(nr uint32) decision {
	d := decision{other: KillProcess}
	for _, s := range p.spans {
		if s.from <= nr {
			d = s.decision
		}
	}
	return d
}

// archNames are a processor's in profiles: the OCI's, Go's, and the 32-bit
// interface's.
func archNames(a *abi) [3]string {
	if a == &arm64 {
		return [3]string{"SCMP_ARCH_AARCH64", "arm64", "SCMP_ARCH_ARM"}
	}
	return [3]string{"SCMP_ARCH_X86_64", "amd64", "SCMP_ARCH_X86"}
}

// opens says whether the profile opens the 32-bit interface, and whether it is
// for this processor at all.
func (p *Profile) opens(a *abi) (open, known bool) {
	n := archNames(a)
	if len(p.Architectures) == 0 && len(p.ArchMap) == 0 {
		return false, true
	}
	for _, m := range p.ArchMap {
		if m.Architecture == n[0] {
			known = true
			open = open || slices.Contains(m.SubArchitectures, n[2])
		}
	}
	if slices.Contains(p.Architectures, n[0]) {
		known = true
		open = open || slices.Contains(p.Architectures, n[2])
	}
	return open, known
}

// calls are the decisions for the interface b of the processor a.
func (p *Profile) calls(a, b *abi, w Where, other Verdict) (map[uint32]decision, error) {
	calls := map[uint32]decision{}
	whole := map[uint32]bool{}
	total, known := 0, uint32(0)
	for i := range p.Syscalls {
		c := &p.Syscalls[i]
		v, err := verdict(c.Action, c.ErrnoRet, c.Errno)
		if err != nil {
			return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
		names := c.Names
		if c.Name != "" {
			if len(names) > 0 {
				return nil, fmt.Errorf("syscalls[%d]: it has both name and names", i)
			}
			names = []string{c.Name}
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("syscalls[%d]: it has no names", i)
		}
		if total += len(names); total > maxNames {
			return nil, errors.New("it names too many calls")
		}
		conds := make([]cond, 0, len(c.Args))
		twice := false
		for _, x := range c.Args {
			k, err := x.cond()
			if err != nil {
				return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
			}
			for _, before := range conds {
				twice = twice || before.arg == k.arg
			}
			conds = append(conds, k)
		}
		applies, err := c.applies(a, w)
		if err != nil {
			return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
		for _, name := range names {
			nr, ok := number(b.names, name)
			if ok && nr >= known {
				known = nr + 1
			}
			if !applies {
				continue
			}
			if !ok {
				if !permits(v) && permits(other) && !p.knows(name) {
					return nil, fmt.Errorf("syscalls[%d]: there is no call %s, which it refuses", i, strconv.Quote(name))
				}
				continue // of another processor, or of a newer kernel
			}
			own := make([]cond, len(conds))
			for j, k := range conds {
				k.low = lowOnly(name, k.arg)
				own[j] = k
			}
			d, seen := calls[nr]
			if !seen {
				d = decision{other: other}
			}
			switch {
			case len(own) == 0:
				// Rules with conditions come first, wherever they stand.
				if !whole[nr] {
					d.other, whole[nr] = v, true
				}
			case twice:
				// Two conditions on one argument are alternatives, as in runc.
				for _, k := range own {
					d.rules = append(d.rules, rule{[]cond{k}, v})
				}
			default:
				d.rules = append(d.rules, rule{own, v})
			}
			calls[nr] = d
		}
	}
	// What it names for other machines or capabilities it knows, too.
	if _, seen := calls[known-1]; known > 0 && !seen {
		calls[known-1] = decision{other: other}
	}
	return calls, nil
}

// knows says whether some processor has a call of the name.
func (p *Profile) knows(name string) bool {
	for _, a := range []*abi{&amd64, amd64.sub, &arm64, arm64.sub} {
		if _, ok := number(a.names, name); ok {
			return true
		}
	}
	return false
}

func permits(v Verdict) bool { return v == Allow || v == Log || v&0xffff0000 == Trace }

// applies says whether a rule's conditions on the machine and the capabilities
// hold.
func (c *call) applies(a *abi, w Where) (bool, error) {
	if f := c.Includes; f != nil {
		hit, total, err := f.hits(a, w)
		if err != nil || hit != total {
			return false, err
		}
	}
	if f := c.Excludes; f != nil {
		hit, _, err := f.hits(a, w)
		if err != nil || hit > 0 {
			return false, err
		}
	}
	return true, nil
}

// hits counts conditions and how many of them hold: each capability, the list
// of processors, the kernel.
func (f *filter) hits(a *abi, w Where) (hit, total int, err error) {
	for _, c := range f.Caps {
		total++
		n, ok := w.CapNumber(c)
		if !ok {
			return 0, 0, fmt.Errorf("there is no capability %s", strconv.Quote(c))
		}
		if w.Caps&(1<<n) != 0 {
			hit++
		}
	}
	if len(f.Arches) > 0 {
		total++
		if slices.Contains(f.Arches, archNames(a)[1]) {
			hit++
		}
	}
	if f.MinKernel != "" {
		total++
		major, minor, dot := strings.Cut(f.MinKernel, ".")
		x, err1 := strconv.ParseUint(major, 10, 16)
		y, err2 := strconv.ParseUint(minor, 10, 16)
		if !dot || err1 != nil || err2 != nil {
			return 0, 0, fmt.Errorf("minKernel: %s is no version such as 4.8", strconv.Quote(f.MinKernel))
		}
		if w.Kernel[0] > int(x) || w.Kernel[0] == int(x) && w.Kernel[1] >= int(y) {
			hit++
		}
	}
	return hit, total, nil
}

func (x arg) cond() (cond, error) {
	c := cond{arg: uint8(x.Index), value: x.Value}
	if x.Index > 5 {
		return c, fmt.Errorf("args: a call has no argument %d: they count from 0 to 5", x.Index)
	}
	switch x.Op {
	case "SCMP_CMP_EQ":
		c.op = opEQ
	case "SCMP_CMP_NE":
		c.op = opNE
	case "SCMP_CMP_LT":
		c.op = opLT
	case "SCMP_CMP_LE":
		c.op = opLE
	case "SCMP_CMP_GE":
		c.op = opGE
	case "SCMP_CMP_GT":
		c.op = opGT
	case "SCMP_CMP_MASKED_EQ":
		// value is the mask, valueTwo what is left of the argument under it.
		c.op, c.mask, c.value = opMasked, x.Value, x.ValueTwo
	default:
		return c, fmt.Errorf("args: %s is no comparison", strconv.Quote(x.Op))
	}
	return c, nil
}

// lowOnly says that of this argument the kernel takes an int: a filter that
// compared all 64 bits could be told another value than the kernel acts on.
func lowOnly(name string, arg uint8) bool {
	var ints [6]bool
	switch name {
	case "socket", "socketpair", "setsockopt", "getsockopt":
		ints = [6]bool{true, true, true}
	case "ioctl", "fcntl", "kill", "socketcall":
		ints = [6]bool{true, true}
	case "personality", "prctl", "keyctl", "bpf", "clone", "seccomp", "arch_prctl":
		ints = [6]bool{true}
	case "setns":
		ints = [6]bool{true, true}
	case "open":
		ints = [6]bool{1: true}
	case "openat":
		ints = [6]bool{0: true, 2: true}
	case "madvise":
		ints = [6]bool{2: true}
	}
	return ints[arg]
}

// verdict reads an action.
func verdict(action string, number *uint16, name string) (Verdict, error) {
	errno := uint16(1) // EPERM, as in docker
	if number != nil {
		errno = *number
	}
	switch action {
	case "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE":
		if number == nil && name != "" {
			if errno = errnoByName(name); errno == 0 {
				return 0, fmt.Errorf("there is no errno %s", strconv.Quote(name))
			}
		}
		if errno > 4095 {
			return 0, fmt.Errorf("errnoRet: %d is no errno", errno)
		}
	}
	switch action {
	case "SCMP_ACT_ALLOW":
		return Allow, nil
	case "SCMP_ACT_ERRNO":
		return Errno(errno), nil
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return KillThread, nil
	case "SCMP_ACT_KILL_PROCESS":
		return KillProcess, nil
	case "SCMP_ACT_TRAP":
		return Trap, nil
	case "SCMP_ACT_LOG":
		return Log, nil
	case "SCMP_ACT_TRACE":
		return Trace | Verdict(errno), nil
	case "SCMP_ACT_NOTIFY":
		return 0, errors.New("nobox has nobody to be notified (SCMP_ACT_NOTIFY)")
	}
	return 0, fmt.Errorf("%s is no action", strconv.Quote(action))
}

// errnoByName is an errno's number, 0 if there is none of the name.
func errnoByName(name string) uint16 {
	for e := uint16(1); e < 256; e++ {
		if unix.ErrnoName(unix.Errno(e)) == name {
			return e
		}
	}
	return 0
}
