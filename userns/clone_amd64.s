#include "textflag.h"

#define SYS_clone 56
#define SYS_clone3 435

// func cloneOnto(flags, stack uintptr, pidfd *int32, entry, mem uintptr) (pid uintptr)
// The child does not return: it calls entry(mem) on its own stack.
TEXT ·cloneOnto(SB),NOSPLIT,$0-48
	MOVQ flags+0(FP), DI
	MOVQ stack+8(FP), SI
	MOVQ pidfd+16(FP), DX
	MOVQ entry+24(FP), R12
	MOVQ mem+32(FP), R13
	XORQ R10, R10
	XORQ R8, R8
	MOVQ $SYS_clone, AX
	SYSCALL
	CMPQ AX, $0
	JEQ child
	MOVQ AX, pid+40(FP)
	RET
child:
	SUBQ $32, SP
	MOVQ R13, 0(SP)
	CALL R12
	INT $3

// func cloneOnto3(args *cloneArgs, size, entry, mem uintptr) (pid uintptr)
// The same by clone3(2).
TEXT ·cloneOnto3(SB),NOSPLIT,$0-40
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ entry+16(FP), R12
	MOVQ mem+24(FP), R13
	MOVQ $SYS_clone3, AX
	SYSCALL
	CMPQ AX, $0
	JEQ child
	MOVQ AX, pid+32(FP)
	RET
child:
	SUBQ $32, SP
	MOVQ R13, 0(SP)
	CALL R12
	INT $3

TEXT ·playPC(SB),NOSPLIT,$0-8
	MOVQ $·play(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·accompanyPC(SB),NOSPLIT,$0-8
	MOVQ $·accompany(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·watchPC(SB),NOSPLIT,$0-8
	MOVQ $·watch(SB), AX
	MOVQ AX, ret+0(FP)
	RET
