#include "textflag.h"

#define SYS_setns 268
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWNET 0x40000000
#define JOINING 0x736e3a786f626f6e // joining, as a number
#define SYS_rt_sigaction 134
#define SYS_rt_sigprocmask 135
#define SYS_prlimit64 261
#define SYS_write 64
#define SYS_exit_group 94
#define SYS_prctl 167
#define SYS_fcntl 25
#define F_GETFD 1
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30
#define SLACK 10000000
#define RLIMIT_NOFILE 7
#define RLIMIT_AS 9
#define RLIMIT_DATA 2
#define MIN_SPACE (800<<20)
#define MIN_DATA (96<<20)
#define RLIMIT_NPROC 6
#define MIN_PROC 8
#define SYS_geteuid 175

// LOOK fills the package's variables. R9 points at 64 bytes to write to. It
// clobbers R0-R8, R10-R13.
#define LOOK \
	MOVD $0, R10 \
	MOVD $1, R11 \
sig: \
	MOVD R11, R0 \
	MOVD $0, R1 \
	MOVD R9, R2 \
	MOVD $8, R3 \
	MOVD $SYS_rt_sigaction, R8 \
	SVC \
	CBNZ R0, next \
	MOVD (R9), R12 \
	CMP $1, R12 \ // SIG_IGN
	BNE next \
	SUB $1, R11, R12 \
	MOVD $1, R13 \
	LSL R12, R13, R13 \
	ORR R13, R10, R10 \
next: \
	ADD $1, R11, R11 \
	CMP $64, R11 \
	BLE sig \
	MOVD R10, ·ignored(SB) \
	MOVD $0, R0 \
	MOVD $0, R1 \
	MOVD $·mask(SB), R2 \
	MOVD $8, R3 \
	MOVD $SYS_rt_sigprocmask, R8 \
	SVC \
	MOVD $0, R0 \
	MOVD $RLIMIT_NOFILE, R1 \
	MOVD $0, R2 \
	MOVD $·nofile(SB), R3 \
	MOVD $SYS_prlimit64, R8 \
	SVC

// func Entry()
// As the kernel enters a process: SP points at argc, the stack below is free.
TEXT ·Entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	SUB $64, RSP, R9
	LOOK
	MOVD $0, R0
	MOVD $RLIMIT_AS, R1
	MOVD $0, R2
	MOVD R9, R3
	MOVD $SYS_prlimit64, R8
	SVC
	CBNZ R0, data
	MOVD ·noSpace+0(SB), R12
	MOVD ·noSpace+8(SB), R13
	MOVD (R9), R10
	MOVD $MIN_SPACE, R11
	CMP R11, R10
	BLO refuse
data:
	MOVD $0, R0
	MOVD $RLIMIT_DATA, R1
	MOVD $0, R2
	MOVD R9, R3
	MOVD $SYS_prlimit64, R8
	SVC
	CBNZ R0, start
	MOVD ·noData+0(SB), R12
	MOVD ·noData+8(SB), R13
	MOVD (R9), R10
	MOVD $MIN_DATA, R11
	CMP R11, R10
	BLO refuse
	MOVD $0, R0
	MOVD $RLIMIT_NPROC, R1
	MOVD $0, R2
	MOVD R9, R3
	MOVD $SYS_prlimit64, R8
	SVC
	CBNZ R0, start
	MOVD (R9), R10
	CMP $MIN_PROC, R10
	BHS start
	MOVD $SYS_geteuid, R8
	SVC
	CBZ R0, start // root is not held to it
	MOVD ·noProc+0(SB), R12
	MOVD ·noProc+8(SB), R13
refuse:
	MOVD $2, R0
	MOVD R12, R1
	MOVD R13, R2
	MOVD $SYS_write, R8
	SVC
	MOVD $125, R0
	MOVD $SYS_exit_group, R8
	SVC
start:
	MOVD $PR_GET_TIMERSLACK, R0
	MOVD $SYS_prctl, R8
	SVC
	MOVD R0, ·slack(SB)
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD $SLACK, R1
	MOVD $SYS_prctl, R8
	SVC
	MOVD $1, R10
	MOVD R10, ·entered(SB)

	// A nobox that is to join namespaces: while there is one thread.
	MOVD 8(RSP), R12
	CBZ R12, alone
	MOVD (R12), R10
	MOVD $JOINING, R11
	CMP R11, R10
	BNE alone
	MOVBU 8(R12), R0
	SUB $48, R0
	CBZ R0, net
	MOVD $CLONE_NEWUSER, R1
	MOVD $SYS_setns, R8
	SVC
	MOVD R0, ·joinedUser(SB)
net:
	MOVBU 9(R12), R0
	SUB $48, R0
	MOVD $CLONE_NEWNET, R1
	MOVD $SYS_setns, R8
	SVC
	MOVD R0, ·joinedNet(SB)
	MOVD $1, R10
	MOVD R10, ·joined(SB)
alone:

	// No file for the runtime to open: a soft limit of none, if it need not
	// open /dev/null in the place of a stream that is closed.
	MOVD $0, R11
stream:
	MOVD R11, R0
	MOVD $F_GETFD, R1
	MOVD $SYS_fcntl, R8
	SVC
	TBNZ $63, R0, files
	ADD $1, R11
	CMP $3, R11
	BNE stream
	MOVD $0, R10
	MOVD R10, (R9)
	MOVD ·nofile+8(SB), R10
	MOVD R10, 8(R9)
	MOVD $0, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD R9, R2
	MOVD $0, R3
	MOVD $SYS_prlimit64, R8
	SVC
files:

	// Copy argc, argv, envp and auxv down the stack, with oneProc appended to
	// envp.
	MOVD RSP, R0
	MOVD (R0), R1
	ADD R1<<3, R0, R2
	ADD $16, R2
env:
	MOVD.P 8(R2), R3
	CBNZ R3, env
	MOVD R2, R4
	SUB $8, R2 // the NULL that ends envp
aux:
	MOVD.P 16(R4), R3
	CBNZ R3, aux
	SUB R0, R4, R5
	ADD $8, R5
	SUB R5, R0, R6
	AND $~15, R6
	MOVD R6, RSP
	MOVD R0, R7
head:
	MOVD.P 8(R7), R3
	MOVD.P R3, 8(R6)
	CMP R2, R7
	BNE head
	MOVD ·oneProc(SB), R3
	MOVD.P R3, 8(R6)
tail:
	MOVD.P 8(R7), R3
	MOVD.P R3, 8(R6)
	CMP R4, R7
	BNE tail
	B _rt0_arm64_linux(SB)

// func look()
TEXT ·look(SB),NOSPLIT,$80-0
	MOVD $8(RSP), R9
	LOOK
	RET

// Its frame is what makes the runtime grow the stack.
TEXT ·room(SB),0,$24576-0
	RET
