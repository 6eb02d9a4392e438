// Package caller keeps what nobox was handed by whoever started it, before
// the Go runtime changed it: which signals were ignored and blocked, and the
// limit on open files. The command gets them back.
//
// The runtime installs handlers for nearly all signals at start and forgets
// which were ignored, and package syscall raises RLIMIT_NOFILE in its init
// function. So a binary linked with -E nobox/caller.Entry (the Makefile does)
// runs the few instructions of entry_*.s first. A binary linked without keeps
// the limit, SIGHUP and SIGINT if they were ignored, and of the mask what the
// runtime does not unblock itself, such as USR1 and USR2 (os/signal, "Default
// behavior of signals in Go programs"; docs/adr/0002).
//
// This package imports nothing, so that its init function runs before that of
// syscall: packages are initialized in the order of their import paths as
// soon as their imports are (Go specification, "Program initialization").
package caller

//lint:file-ignore U1000 noSpace, noData, noProc, slack, joined, joinedUser and joinedNet are used by entry_*.s.

// set by Entry, bit n-1 is signal n
var (
	ignored, mask uint64
	nofile        [2]uint64
	slack         uint64 // timer slack, ns
	entered       uint64 // 1 if Entry ran

	joined                uint64 // 1 if Entry was to join namespaces
	joinedUser, joinedNet int64  // what setns(2) returned
)

// joining begins the name, argv[0], of a nobox that is to join a user and a
// network namespace before its runtime starts: setns(2) takes a user namespace
// in a process of one thread alone. A byte each says by which descriptor, '0'
// and up; '0' is none.
const joining = "nobox:ns"

// maxJoin is the highest descriptor that a byte can say.
const maxJoin = '~' - '0'

// JoiningName is the name that has Entry join the namespaces of two descriptors,
// the first one 0 for none; "" where it cannot be said.
func JoiningName(user, net int) string {
	if user < 0 || user > maxJoin || net < 3 || net > maxJoin {
		return ""
	}
	return joining + string([]byte{byte('0' + user), byte('0' + net)})
}

// Joined says whether this process was to join namespaces, and what came of it:
// errnos, 0 for success.
func Joined() (asked bool, user, net int) { return joined == 1, int(-joinedUser), int(-joinedNet) }

// JoinedBy are the descriptors in a name that JoiningName made.
func JoinedBy(name string) (user, net int, ok bool) {
	if len(name) != len(joining)+2 || name[:len(joining)] != joining {
		return 0, 0, false
	}
	return int(name[len(name)-2]) - '0', int(name[len(name)-1]) - '0', true
}

// Entry also gives the process, and the threads it will have, a timer slack of
// 10 ms: the runtime's monitor thread sleeps for 20 µs at a time while nobox
// works, and each wake-up costs a start more than it is worth.

// oneProc is what Entry appends to the environment that the runtime sees:
// nobox works on one thread, and each processor more that the runtime believes
// in costs a start a thread. A GOMAXPROCS of the caller's own comes first, and
// wins. Environ takes it out again; the odd spelling tells it from the caller's.
var oneProc = "GOMAXPROCS=01\x00"

// Environ is the caller's environment, of os.Environ's.
func Environ(env []string) []string {
	if n := len(env); entered == 1 && n > 0 && env[n-1] == oneProc[:len(oneProc)-1] {
		return env[:n-1]
	}
	return env
}

// noSpace is what Entry says where RLIMIT_AS is below the 800 MiB of address
// space that the runtime reserves at its start, and some: it would end with a
// dump of its stacks.
var noSpace = "nobox: cannot start: the limit on address space is below 800 MiB, which nobox reserves\nnobox: hint: ulimit -v shows the limit\n"

// noData is what it says where RLIMIT_DATA leaves too little for what the
// runtime writes to.
var noData = "nobox: cannot start: the limit on data is below 96 MiB, which nobox reserves\nnobox: hint: ulimit -d shows the limit\n"

// noProc is what it says where RLIMIT_NPROC is below what nobox itself takes of
// it, threads included.
var noProc = "nobox: cannot start: the limit on processes is below 8, and nobox itself takes up to 6\nnobox: hint: ulimit -u shows the limit\n"

// Entry is the process's entry point: it fills the variables above and jumps
// to the runtime's own. It must not be called.
func Entry()

// room grows the stack of the goroutine by 24 KiB in one step, where it would
// grow in four, with a copy and another span of stacks each.
func room()

// look fills mask and nofile, and the dispositions that the runtime respects.
func look()

func init() {
	room()
	if entered == 0 {
		look()
	}
}

// Ignored are the signals the caller had ignored; bit n-1 is signal n.
func Ignored() uint64 { return ignored }

// Blocked are the signals the caller had blocked; bit n-1 is signal n.
func Blocked() uint64 { return mask }

// NoFile is the caller's soft and hard RLIMIT_NOFILE.
func NoFile() (soft, hard uint64) { return nofile[0], nofile[1] }

// TimerSlack is the caller's timer slack in nanoseconds, PR_GET_TIMERSLACK; 0 if
// Entry did not run, and the caller's is in force.
func TimerSlack() uint64 { return slack }

// Complete says whether the entry hook ran, so that Ignored is all there was.
func Complete() bool { return entered == 1 }
