#include "textflag.h"

#define SYS_clone 220
#define SYS_clone3 435

// func cloneOnto(flags, stack uintptr, pidfd *int32, entry, mem uintptr) (pid uintptr)
// The child does not return: it calls entry(mem) on its own stack.
TEXT ·cloneOnto(SB),NOSPLIT,$0-48
	MOVD flags+0(FP), R0
	MOVD stack+8(FP), R1
	MOVD pidfd+16(FP), R2
	MOVD entry+24(FP), R9
	MOVD mem+32(FP), R10
	MOVD $0, R3
	MOVD $0, R4
	MOVD $SYS_clone, R8
	SVC
	CBZ R0, child
	MOVD R0, pid+40(FP)
	RET
child:
	SUB $32, RSP
	MOVD R10, 8(RSP)
	CALL (R9)
	BRK

// func cloneOnto3(args *cloneArgs, size, entry, mem uintptr) (pid uintptr)
// The same by clone3(2).
TEXT ·cloneOnto3(SB),NOSPLIT,$0-40
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD entry+16(FP), R9
	MOVD mem+24(FP), R10
	MOVD $SYS_clone3, R8
	SVC
	CBZ R0, child
	MOVD R0, pid+32(FP)
	RET
child:
	SUB $32, RSP
	MOVD R10, 8(RSP)
	CALL (R9)
	BRK

TEXT ·playPC(SB),NOSPLIT,$0-8
	MOVD $·play(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·accompanyPC(SB),NOSPLIT,$0-8
	MOVD $·accompany(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·watchPC(SB),NOSPLIT,$0-8
	MOVD $·watch(SB), R0
	MOVD R0, ret+0(FP)
	RET
