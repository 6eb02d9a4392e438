package userns

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// Where there is no pid namespace, whose end is that of all in it, three things
// take its place. One Landlock domain that no signal leaves holds nobox and all
// that comes of it, so that kill(2) of -1, which is one walk over all processes
// that no fork(2) escapes, ends what is in it and nothing else. Who loses its
// parent becomes the reaper's child, and where that has ended nobox's
// (PR_SET_CHILD_SUBREAPER), which waits for it. And a process of nobox's, the
// keeper, does that kill if nobox is gone. The command is in a domain of its own
// within, from which neither nobox nor the keeper nor the reaper can be signalled.

// scopeSignal is LANDLOCK_SCOPE_SIGNAL; linux/landlock.h.
const scopeSignal = 1 << 1

// keep enters the domain and starts the keeper.
//
// Preconditions: as Start, of whose thread the domain becomes.
func (b *Box) keep(a plan.Keep) error {
	if unix.Gettid() != os.Getpid() {
		return errors.New("not on the main thread")
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	b.others = children()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := enterDomain(scopeSignal); err != nil {
		return err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(p[0])
	pid, pidfd, err := cloneProgram(keeperProgram(p[0], a.Terminal), p[0], p[1], nil)
	if err != nil {
		unix.Close(p[1])
		return err
	}
	unix.Close(int(pidfd))
	b.keeper, b.keeperEnd = pid, p[1]
	return nil
}

// watcherTime is what the watcher has, in nanoseconds, to give the terminal its
// modes back before the keeper ends it with the rest.
const watcherTime = 100e6

// keeperProgram are the calls of the keeper: it waits until nobody holds the
// other end of its pipe, and ends whatever is in its domain. All signals are
// blocked, as the player has it.
func keeperProgram(life int, terminal bool) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 1<<10)}
	l.call(unix.SYS_SETSID) // out of the terminal's reach
	l.call(unix.SYS_CHDIR, l.str("/"))
	if life > 0 {
		l.call(unix.SYS_CLOSE_RANGE, num(0), num(life-1), num(0))
	}
	l.call(unix.SYS_CLOSE_RANGE, num(life+1), hex(uint32(0xffffffff)), num(0))
	pfd := l.data(make([]byte, 8)) // struct pollfd; POLLHUP alone is reported
	l.poke(pfd, 0, control())
	l.call(unix.SYS_PPOLL, pfd, num(1), null(), null(), num(sizeofSigset))
	if terminal {
		l.call(unix.SYS_PPOLL, null(), num(0), l.words(0, watcherTime), null(), num(sizeofSigset))
	}
	l.call(unix.SYS_KILL, num(-1), num(int(unix.SIGKILL))).ignore[0] = uint8(unix.ESRCH)
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}

// keptTimeout bounds the wait for what was killed: a process may be stuck in the
// kernel.
const keptTimeout = 10 * time.Second

// endKept ends what is left of the box, and waits until it has ended; the keeper
// is part of it.
func (b *Box) endKept() {
	if b.keeper == 0 || unix.Gettid() != os.Getpid() { // outside of the domain it would be everything
		return
	}
	b.keeper = 0
	unix.Kill(-1, unix.SIGKILL)
	for deadline := time.Now().Add(keptTimeout); time.Now().Before(deadline); {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG|unix.WALL, nil)
		switch {
		case pid > 0, err == unix.EINTR:
			continue
		case err != nil: // ECHILD
			deadline = time.Time{}
			continue
		}
		left := children()
		if left != nil && !slices.ContainsFunc(left, func(pid int) bool { return !slices.Contains(b.others, pid) }) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	unix.Close(b.keeperEnd)
}

// children are those of this process's main thread, which starts them all and
// gets the orphans; nil where the kernel does not say (CONFIG_PROC_CHILDREN).
func children() []int {
	pid := strconv.Itoa(os.Getpid())
	text, err := os.ReadFile("/proc/self/task/" + pid + "/children")
	if err != nil {
		return nil
	}
	pids := []int{}
	for _, f := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}
