package seccomp

import (
	"encoding/binary"
	"errors"
	"slices"
)

// A Verdict is what the kernel does with a call: SECCOMP_RET_* with its data;
// linux/seccomp.h.
type Verdict uint32

// The verdicts of seccomp(2).
const (
	KillProcess Verdict = 0x80000000
	KillThread  Verdict = 0
	Trap        Verdict = 0x00030000
	Trace       Verdict = 0x7ff00000
	Log         Verdict = 0x7ffc0000
	Allow       Verdict = 0x7fff0000
)

// Errno refuses a call with an errno.
func Errno(e uint16) Verdict { return 0x00050000 | Verdict(e&0xfff) }

// An op compares an argument with a value.
type op uint8

const (
	opEQ     op = iota
	opNE        // not equal
	opLT        // less
	opLE        // less or equal
	opGE        // greater or equal
	opGT        // greater
	opMasked    // argument & mask == value
	opIn        // the low half is one of in
)

// A cond is a comparison of one argument. low says that the kernel takes only
// the low half of it, so that what stands in the high half must not change the
// answer (CVE-2019-10063: a filter that compared 64 bits of ioctl's request).
type cond struct {
	arg         uint8
	op          op
	low         bool
	value, mask uint64
	in          []uint32
}

// A rule gives its verdict if all conditions hold.
type rule struct {
	conds   []cond
	verdict Verdict
}

// A decision is what happens to a call: the first rule that holds, or else.
type decision struct {
	rules []rule
	other Verdict
}

func (d decision) constant() bool { return len(d.rules) == 0 }

func sameDecision(a, b decision) bool { return a.constant() && b.constant() && a.other == b.other }

// A span is the decision of all numbers from from up to the next span.
type span struct {
	from uint32
	decision
}

// A policy is the decisions for one entry of the kernel: AUDIT_ARCH_* of
// linux/audit.h, and spans that ascend from 0.
type policy struct {
	arch  uint32
	spans []span
}

// newPolicy makes a policy of decisions by number; gap is what happens to the
// numbers in between, and beyond to those above the highest.
func newPolicy(arch uint32, calls map[uint32]decision, gap, beyond Verdict) policy {
	p := policy{arch: arch}
	put := func(from uint32, d decision) {
		if n := len(p.spans); n == 0 || !sameDecision(p.spans[n-1].decision, d) {
			p.spans = append(p.spans, span{from, d})
		}
	}
	numbers := make([]uint32, 0, len(calls))
	for nr := range calls {
		numbers = append(numbers, nr)
	}
	slices.Sort(numbers)
	next := uint32(0)
	for _, nr := range numbers {
		if nr > next {
			put(next, decision{other: gap})
		}
		put(nr, calls[nr])
		next = nr + 1
	}
	put(next, decision{other: beyond})
	return p
}

// An insn is struct sock_filter; linux/filter.h.
type insn struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Opcodes that the kernel takes of a filter, and whose outcome for a number it
// can find ahead, for its bitmap of calls that are always allowed;
// kernel/seccomp.c, seccomp_is_const_allow.
const (
	ldAbs = 0x20 // A = data[k]
	andK  = 0x54
	ja    = 0x05
	jeq   = 0x15
	jgt   = 0x25
	jge   = 0x35
	jset  = 0x45
	ret   = 0x06
)

// offsets in struct seccomp_data; linux/seccomp.h
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// maxInsns is BPF_MAXINSNS.
const maxInsns = 4096

var errTooLong = errors.New("it comes to more than the 4096 instructions that the kernel takes")

// assemble makes the program of policies; a call by another entry of the
// kernel gets the verdict foreign. Numbers are found by a binary search over
// groups of spans, so that every call is decided within a dozen comparisons.
func assemble(policies []policy, foreign Verdict) ([]byte, error) {
	code := []insn{{ldAbs, 0, 0, offArch}}
	for _, p := range policies {
		body := append([]insn{{ldAbs, 0, 0, offNr}}, search(groups(p.spans), 0)...)
		code = append(code, insn{jeq, 1, 0, p.arch}, insn{ja, 0, 0, uint32(len(body))})
		code = append(code, body...)
	}
	code = append(code, insn{ret, 0, 0, uint32(foreign)})
	if len(code) > maxInsns {
		return nil, errTooLong
	}
	out := make([]byte, 0, 8*len(code))
	for _, i := range code {
		out = binary.NativeEndian.AppendUint16(out, i.code)
		out = append(out, i.jt, i.jf)
		out = binary.NativeEndian.AppendUint32(out, i.k)
	}
	return out, nil
}

// A group is spans next to each other that are decided in a row: what most of
// them say, after the exceptions.
type group []span

// maxExceptions is how many comparisons a group may have, so that none is long.
const maxExceptions = 6

// groups parts spans so that the program is short: the kernel's work at a start
// grows with it, since it compiles each program anew.
func groups(spans []span) []group {
	type best struct{ cost, from int }
	bests := make([]best, len(spans)+1)
	for end := 1; end <= len(spans); end++ {
		bests[end].cost = -1
		for from := end - 1; from >= 0; from-- {
			jumps, code := group(spans[from:end]).code(endOf(spans, end))
			if jumps > maxExceptions && from < end-1 {
				break
			}
			cost := bests[from].cost + len(code) + 1
			if b := &bests[end]; b.cost < 0 || cost < b.cost {
				*b = best{cost, from}
			}
		}
	}
	var gs []group
	for end := len(spans); end > 0; end = bests[end].from {
		gs = append(gs, spans[bests[end].from:end])
	}
	slices.Reverse(gs)
	return gs
}

// endOf is the first number behind the spans up to end, 0 if there is none.
func endOf(spans []span, end int) uint32 {
	if end < len(spans) {
		return spans[end].from
	}
	return 0
}

// code decides about the numbers of a group, which ends before the number end;
// jumps is how many comparisons it takes at most.
func (g group) code(end uint32) (jumps int, code []insn) {
	// The decision of the most spans needs no comparison.
	common, most := 0, 0
	for i := range g {
		n := 0
		for j := range g {
			if sameDecision(g[i].decision, g[j].decision) {
				n++
			}
		}
		if n > most {
			common, most = i, n
		}
	}
	type exception struct {
		first, last uint32
		then        int // index into bodies
	}
	var exceptions []exception
	var bodies [][]insn
	var of []decision
	for i, s := range g {
		if i == common || sameDecision(s.decision, g[common].decision) {
			continue
		}
		next := endOf(g, i+1)
		if i == len(g)-1 {
			next = end
		}
		then := -1
		for j, d := range of {
			if sameDecision(d, s.decision) {
				then = j
			}
		}
		if then < 0 {
			then = len(bodies)
			bodies, of = append(bodies, decide(s.decision)), append(of, s.decision)
		}
		exceptions = append(exceptions, exception{s.from, next - 1, then})
	}
	// Comparisons, then what is common, then the others.
	for _, e := range exceptions {
		if jumps++; e.last != e.first {
			jumps++
		}
	}
	other := decide(g[common].decision)
	at := make([]int, len(bodies))
	n := jumps + len(other)
	for i, b := range bodies {
		at[i] = n
		n += len(b)
	}
	if n > 255 && len(g) > 1 {
		return maxExceptions + 1, nil // its jumps would be too long
	}
	for _, e := range exceptions {
		to := func() uint8 { return uint8(at[e.then] - len(code) - 1) }
		if e.first == e.last {
			code = append(code, insn{jeq, to(), 0, e.first})
		} else {
			code = append(code, insn{jgt, 1, 0, e.last})
			code = append(code, insn{jge, to(), 0, e.first})
		}
	}
	code = append(code, other...)
	for _, b := range bodies {
		code = append(code, b...)
	}
	return jumps, code
}

// search finds the group of the number in A.
func search(gs []group, end uint32) []insn {
	if len(gs) == 1 {
		_, code := gs[0].code(end)
		return code
	}
	mid := len(gs) / 2
	first := gs[mid][0].from
	low, high := search(gs[:mid], first), search(gs[mid:], end)
	code := make([]insn, 0, 2+len(low)+len(high))
	if len(low) <= 255 {
		code = append(code, insn{jge, uint8(len(low)), 0, first})
	} else {
		code = append(code, insn{jge, 0, 1, first}, insn{ja, 0, 0, uint32(len(low))})
	}
	return append(append(code, low...), high...)
}

// decide looks at the arguments, rule by rule.
func decide(d decision) []insn {
	var code []insn
	for _, r := range d.rules {
		body := []insn{{ret, 0, 0, uint32(r.verdict)}}
		for i := len(r.conds) - 1; i >= 0; i-- {
			body = append(compare(r.conds[i], len(body)), body...)
		}
		code = append(code, body...)
	}
	return append(code, insn{ret, 0, 0, uint32(d.other)})
}

// compare goes on if the condition holds, and else skips the rest of the rule.
func compare(c cond, rest int) []insn {
	lo, hi := offArgs+8*uint32(c.arg), offArgs+8*uint32(c.arg)+4
	const (
		all     = 0xffffffff
		yes, no = 0xfe, 0xff // jumps, until it is known how far
	)
	var code []insn
	load := func(off, mask uint32) {
		code = append(code, insn{ldAbs, 0, 0, off})
		if mask != all {
			code = append(code, insn{andK, 0, 0, mask})
		}
	}
	jump := func(how uint16, k uint32, jt, jf uint8) { code = append(code, insn{how, jt, jf, k}) }
	low, high := uint32(c.value), uint32(c.value>>32)
	mask := ^uint64(0)
	if c.op == opMasked {
		mask = c.mask
	}
	if !c.low && c.op != opIn {
		load(hi, uint32(mask>>32))
	}
	switch c.op {
	case opEQ, opMasked:
		if !c.low {
			jump(jeq, high, 0, no)
		}
		load(lo, uint32(mask))
		jump(jeq, low, yes, no)
	case opNE:
		if !c.low {
			jump(jeq, high, 0, yes)
		}
		load(lo, all)
		jump(jeq, low, no, yes)
	case opLT, opGE:
		less, notLess := uint8(yes), uint8(no)
		if c.op == opGE {
			less, notLess = no, yes
		}
		if !c.low {
			jump(jgt, high, notLess, 0)
			jump(jeq, high, 0, less)
		}
		load(lo, all)
		jump(jge, low, notLess, less)
	case opLE, opGT:
		notGreater, greater := uint8(yes), uint8(no)
		if c.op == opGT {
			notGreater, greater = no, yes
		}
		if !c.low {
			jump(jgt, high, greater, 0)
			jump(jeq, high, 0, notGreater)
		}
		load(lo, all)
		jump(jgt, low, greater, notGreater)
	case opIn:
		load(lo, all)
		for i, v := range c.in {
			if i < len(c.in)-1 {
				jump(jeq, v, yes, 0)
			} else {
				jump(jeq, v, yes, no)
			}
		}
	}
	n := len(code)
	far := n+rest > 255
	for i := range code {
		for _, j := range []*uint8{&code[i].jt, &code[i].jf} {
			switch {
			case code[i].code == ldAbs || code[i].code == andK:
			case *j == yes && far:
				*j = uint8(n - i) // behind the long jump
			case *j == yes, *j == no && far:
				*j = uint8(n - 1 - i)
			case *j == no:
				*j = uint8(n - 1 - i + rest)
			}
		}
	}
	if far {
		code = append(code, insn{ja, 0, 0, uint32(rest)})
	}
	return code
}
