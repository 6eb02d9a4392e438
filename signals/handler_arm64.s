#include "textflag.h"

#define SYS_write 64
#define SYS_rt_sigreturn 139

// As the kernel calls it: R0 is the signal, R30 is restorer.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	SUB $16, RSP
	MOVD R0, (RSP)
	MOVW ·pipe(SB), R0
	MOVD RSP, R1
	MOVD $1, R2
	MOVD $SYS_write, R8
	SVC
	ADD $16, RSP
	RET

TEXT ·restorer(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD $SYS_rt_sigreturn, R8
	SVC
	BRK

TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVD $·handler(SB), R0
	MOVD R0, ret+0(FP)
	RET

TEXT ·restorerPC(SB),NOSPLIT,$0-8
	MOVD $·restorer(SB), R0
	MOVD R0, ret+0(FP)
	RET
