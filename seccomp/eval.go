package seccomp

import "encoding/binary"

// A Call is a system call as a filter sees it; struct seccomp_data.
type Call struct {
	Arch uint32
	Nr   uint32
	Args [6]uint64
}

// Eval runs a program as the kernel would. A program that is none, or that
// does not end, kills.
func Eval(program []byte, c Call) Verdict {
	var a uint32
	for pc := uint32(0); 8*pc+8 <= uint32(len(program)); pc++ {
		p := program[8*pc:]
		code, jt, jf, k := binary.NativeEndian.Uint16(p), p[2], p[3], binary.NativeEndian.Uint32(p[4:])
		jump := func(yes bool) {
			if yes {
				pc += uint32(jt)
			} else {
				pc += uint32(jf)
			}
		}
		switch code {
		case ldAbs:
			switch {
			case k == offNr:
				a = c.Nr
			case k == offArch:
				a = c.Arch
			case k >= offArgs && k < offArgs+48 && k%4 == 0:
				a = uint32(c.Args[(k-offArgs)/8] >> (8 * (k % 8)))
			default:
				return KillProcess
			}
		case andK:
			a &= k
		case ja:
			pc += k
		case jeq:
			jump(a == k)
		case jgt:
			jump(a > k)
		case jge:
			jump(a >= k)
		case jset:
			jump(a&k != 0)
		case ret:
			return Verdict(k)
		default:
			return KillProcess
		}
	}
	return KillProcess
}
