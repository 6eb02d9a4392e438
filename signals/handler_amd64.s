#include "textflag.h"

#define SYS_write 1
#define SYS_rt_sigreturn 15

// As the kernel calls it: DI is the signal, the return address is restorer.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	SUBQ $24, SP
	MOVQ DI, (SP)
	MOVLQSX ·pipe(SB), DI
	MOVQ SP, SI
	MOVQ $1, DX
	MOVQ $SYS_write, AX
	SYSCALL
	ADDQ $24, SP
	RET

TEXT ·restorer(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ $SYS_rt_sigreturn, AX
	SYSCALL
	INT $3

TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVQ $·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·restorerPC(SB),NOSPLIT,$0-8
	MOVQ $·restorer(SB), AX
	MOVQ AX, ret+0(FP)
	RET
