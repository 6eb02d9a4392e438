#include "textflag.h"

#define SYS_rt_sigaction 13
#define SYS_rt_sigprocmask 14
#define SYS_prlimit64 302
#define SYS_write 1
#define SYS_exit_group 231
#define SYS_prctl 157
#define SYS_fcntl 72
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
#define SYS_geteuid 107
#define SYS_setns 308
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEWNET 0x40000000
#define JOINING 0x736e3a786f626f6e // joining, as a number

// LOOK fills the package's variables. It uses 64 bytes at SP and clobbers AX CX
// DX SI DI R8-R14.
#define LOOK \
	XORQ R14, R14 \
	MOVQ $1, R12 \
sig: \
	MOVQ $SYS_rt_sigaction, AX \
	MOVQ R12, DI \
	XORQ SI, SI \
	MOVQ SP, DX \
	MOVQ $8, R10 \
	SYSCALL \
	TESTQ AX, AX \
	JNE next \
	CMPQ 0(SP), $1 \ // SIG_IGN
	JNE next \
	MOVQ R12, CX \
	DECQ CX \
	MOVQ $1, AX \
	SHLQ CX, AX \
	ORQ AX, R14 \
next: \
	INCQ R12 \
	CMPQ R12, $64 \
	JLE sig \
	MOVQ R14, ·ignored(SB) \
	MOVQ $SYS_rt_sigprocmask, AX \
	XORQ DI, DI \
	XORQ SI, SI \
	LEAQ ·mask(SB), DX \
	MOVQ $8, R10 \
	SYSCALL \
	MOVQ $SYS_prlimit64, AX \
	XORQ DI, DI \
	MOVQ $RLIMIT_NOFILE, SI \
	XORQ DX, DX \
	LEAQ ·nofile(SB), R10 \
	SYSCALL

// func Entry()
// As the kernel enters a process: SP points at argc, the stack below is free.
TEXT ·Entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ SP, R15
	SUBQ $64, SP
	ANDQ $~15, SP
	LOOK
	MOVQ $SYS_prlimit64, AX
	XORQ DI, DI
	MOVQ $RLIMIT_AS, SI
	XORQ DX, DX
	MOVQ SP, R10
	SYSCALL
	TESTQ AX, AX
	JNE data
	MOVQ ·noSpace+0(SB), BX
	MOVQ ·noSpace+8(SB), R12
	CMPQ (SP), $MIN_SPACE
	JCS refuse
data:
	MOVQ $SYS_prlimit64, AX
	XORQ DI, DI
	MOVQ $RLIMIT_DATA, SI
	XORQ DX, DX
	MOVQ SP, R10
	SYSCALL
	TESTQ AX, AX
	JNE start
	MOVQ ·noData+0(SB), BX
	MOVQ ·noData+8(SB), R12
	CMPQ (SP), $MIN_DATA
	JCS refuse
	MOVQ $SYS_prlimit64, AX
	XORQ DI, DI
	MOVQ $RLIMIT_NPROC, SI
	XORQ DX, DX
	MOVQ SP, R10
	SYSCALL
	TESTQ AX, AX
	JNE start
	CMPQ (SP), $MIN_PROC
	JCC start
	MOVQ $SYS_geteuid, AX
	SYSCALL
	TESTQ AX, AX
	JEQ start // root is not held to it
	MOVQ ·noProc+0(SB), BX
	MOVQ ·noProc+8(SB), R12
refuse:
	MOVQ $SYS_write, AX
	MOVQ $2, DI
	MOVQ BX, SI
	MOVQ R12, DX
	SYSCALL
	MOVQ $SYS_exit_group, AX
	MOVQ $125, DI
	SYSCALL
start:
	MOVQ $SYS_prctl, AX
	MOVQ $PR_GET_TIMERSLACK, DI
	SYSCALL
	MOVQ AX, ·slack(SB)
	MOVQ $SYS_prctl, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ $SLACK, SI
	SYSCALL
	MOVQ $1, ·entered(SB)

	// A nobox that is to join namespaces: while there is one thread.
	MOVQ 8(R15), BX
	TESTQ BX, BX
	JEQ alone
	MOVQ $JOINING, AX
	CMPQ (BX), AX
	JNE alone
	MOVBLZX 8(BX), DI
	SUBQ $48, DI
	JEQ net
	MOVQ $SYS_setns, AX
	MOVQ $CLONE_NEWUSER, SI
	SYSCALL
	MOVQ AX, ·joinedUser(SB)
net:
	MOVBLZX 9(BX), DI
	SUBQ $48, DI
	MOVQ $SYS_setns, AX
	MOVQ $CLONE_NEWNET, SI
	SYSCALL
	MOVQ AX, ·joinedNet(SB)
	MOVQ $1, ·joined(SB)
alone:

	// No file for the runtime to open: a soft limit of none, if it need not
	// open /dev/null in the place of a stream that is closed.
	XORQ R12, R12
stream:
	MOVQ $SYS_fcntl, AX
	MOVQ R12, DI
	MOVQ $F_GETFD, SI
	SYSCALL
	TESTQ AX, AX
	JLT files
	INCQ R12
	CMPQ R12, $3
	JLT stream
	MOVQ $0, (SP)
	MOVQ ·nofile+8(SB), AX
	MOVQ AX, 8(SP)
	MOVQ $SYS_prlimit64, AX
	XORQ DI, DI
	MOVQ $RLIMIT_NOFILE, SI
	MOVQ SP, DX
	XORQ R10, R10
	SYSCALL
files:

	// Copy argc, argv, envp and auxv down the stack, with oneProc appended to
	// envp.
	MOVQ (R15), CX
	LEAQ 16(R15)(CX*8), BX
env:
	MOVQ (BX), AX
	ADDQ $8, BX
	TESTQ AX, AX
	JNE env
	MOVQ BX, DX
	SUBQ $8, BX // the NULL that ends envp
aux:
	MOVQ (DX), AX
	ADDQ $16, DX
	TESTQ AX, AX
	JNE aux
	LEAQ 8(DX), AX
	SUBQ R15, AX
	MOVQ R15, DI
	SUBQ AX, DI
	ANDQ $~15, DI
	MOVQ DI, SP
	MOVQ R15, SI
	MOVQ BX, CX
	SUBQ SI, CX
	SHRQ $3, CX
	CLD
	REP; MOVSQ
	MOVQ ·oneProc(SB), AX
	MOVQ AX, (DI)
	ADDQ $8, DI
	MOVQ DX, CX
	SUBQ BX, CX
	SHRQ $3, CX
	REP; MOVSQ
	JMP _rt0_amd64_linux(SB)

// func look()
TEXT ·look(SB),NOSPLIT,$64-0
	MOVQ R14, R15 // g
	LOOK
	MOVQ R15, R14
	RET

// Its frame is what makes the runtime grow the stack.
TEXT ·room(SB),0,$24576-0
	RET
