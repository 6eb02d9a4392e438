package userns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// helperTimeout bounds newuidmap and newgidmap, which may ask a directory
// service for the caller's ranges.
const helperTimeout = 10 * time.Second

// A Box is a running box. Its methods may be used from several goroutines,
// except Next and Reap.
type Box struct {
	plan   *plan.Plan
	prog   *program
	region *region // that prog lies in
	mem    childMem

	pid     int
	pidfd   int
	control int    // the host's end
	cgroup  Cgroup // that the inside was born in; nil without one

	network      int // nobox's end of the socket to the network's process, -1 without one
	networkEnd   int // the other, until that process has it
	networkPID   int
	networkPIDFD int32
	networkTold  bool     // that the box has ended
	networkIdle  bool     // it was killed, before the box sent anything
	lastLines    []string // what it said then
	lastError    error
	networkStat  int // of /proc, -1 as long as it is not open

	attendants    []*attendant
	listening     []listening
	userNS, netNS int // the box's, -1 where nobody needs them
	shown         [len(plan.ShownNamespaces)]uint64

	netSwitch int    // a socket of the box's network, -1 without; cutoff.go
	device    string // what it takes down

	keeper    int   // the process that ends the box should nobox be killed; 0 without one
	keeperEnd int   // closing it has the keeper end the box
	others    []int // children of nobox's that are not the box's, where there is a keeper

	held *holding // nobox's own directories; nil without

	given   []int // descriptors that the inside gets, until it is cloned
	givenTo []plan.Slot

	watcher int
	lifeEnd int // closing it without ending the watcher first kills the box
	early   *plan.StepError
	modes   *modes // the terminal's, for the watcher; nil without one
	Master  int    // of the box's pty, -1 without one
	reaped  bool
	status  unix.WaitStatus
	usage   unix.Rusage
}

// TerminalModes tells the watcher whether nobox has made the terminal raw, and
// what its own modes are.
func (b *Box) TerminalModes(raw bool, own unix.Termios) {
	if b.modes == nil {
		return
	}
	if !raw {
		atomic.StoreUint32(&b.modes.raw, 0)
		return
	}
	copy(b.modes.termios[:], termiosBytes(&own))
	atomic.StoreUint32(&b.modes.raw, 1)
}

// Syscalls is the lowered inside of p, one line a call: --explain=syscalls.
func Syscalls(p *plan.Plan) (string, error) {
	prog, err := lower(p, nil, nil)
	if err != nil {
		return "", err
	}
	return prog.String(), nil
}

// Outside is what a start needs besides the plan.
type Outside struct {
	// TTY is the descriptor of the caller's terminal, for the watcher to
	// restore, -1 if there is none.
	TTY int
	// Cloned is called once the inside runs: what nobox has to do for itself
	// costs no time then. Its error ends the start.
	Cloned func() error
	// Network is the program of the network's process, an ELF file. It is a
	// constant: a string on the heap would not be there in the process that
	// becomes the program.
	Network string
	// Forwarder are the name and the arguments of the forwarder of these ports, and
	// descriptors that it has besides the sockets.
	Forwarder func([]Published) (args []string, files []int)
	// Lock sees that the lock of kept changes is held, and of this directory; nil
	// if the plan has none.
	Lock func(plan.HostPath) error
	// Holder plays HoldDirs.
	Holder Holder
	// Cgroup plays the steps about cgroups; nil if the plan has none.
	Cgroup Cgroup
}

// A Cgroup plays the steps about cgroups, and says by its descriptor which one
// the inside is born in.
type Cgroup interface {
	Play(plan.Action) error
	// Open opens a file for each slot.
	Open(plan.OpenLimit) ([]int, error)
	FD() int
	Kill()
	// Sweeper is the command line of nobox's that removes what is left of it, for
	// the process that Swept is told of: it waits until all have let go of life.
	Sweeper() []string
	Swept(pid, life int)
}

// Start plays the host side of p and with it starts the inside. It returns
// once the host side has nothing left to do; the inside may still fail, which
// Next tells. An error is a *plan.StepError where a step failed; then nothing
// is left of the box.
//
// Preconditions: the goroutine is locked to a thread that lives as long as the
// box, because the kernel kills the box when that thread ends (prctl(2),
// PR_SET_PDEATHSIG); p passed Check.
func Start(p *plan.Plan, o Outside) (*Box, error) {
	r, err := regionFor(len(p.Steps))
	if err != nil {
		return nil, err
	}
	ops, arena := r.buffers(len(p.Steps))
	prog, err := lower(p, ops, arena)
	if err != nil {
		r.free()
		return nil, err
	}
	b := &Box{plan: p, prog: prog, region: r, pid: -1, pidfd: -1, control: -1, watcher: -1, lifeEnd: -1, Master: -1,
		network: -1, networkEnd: -1, networkPID: -1, networkPIDFD: -1, networkStat: -1, userNS: -1, netNS: -1, netSwitch: -1}
	b.mem = childMem{clone: uintptr(unix.SIGCHLD)}
	b.mem.argv, b.mem.argvLen = argvArea(os.Args)

	for _, s := range p.Steps {
		switch s.Do.(type) {
		case plan.TakeTTY:
			b.mem.terminal = 1
		case plan.StartNet:
			if err := b.networkSocket(); err != nil {
				b.close()
				return nil, err
			}
		}
	}
	for i, s := range p.Steps {
		if s.Side != plan.Host {
			continue
		}
		err := b.host(s.Do, s.From, o)
		if _, ok := s.Do.(plan.Clone); ok && err == nil {
			if err := o.Cloned(); err != nil {
				b.Kill()
				b.reap()
				b.close()
				return nil, err
			}
		}
		if err != nil {
			// The inside may have failed first, and be the cause.
			failed := b.failure()
			b.Kill()
			b.reap()
			b.endKept()
			b.Dismiss()
			b.close()
			if failed != nil {
				return nil, failed
			}
			return nil, &plan.StepError{Index: i, Step: s, Err: err}
		}
	}
	return b, nil
}

// endWithParent ties this process to its parent; PR_SET_PDEATHSIG(2const).
//
// Preconditions: as Start: what a thread asks for is lost with it.
func endWithParent() error {
	parent := unix.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if unix.Getppid() != parent {
		return errors.New("it has ended")
	}
	return nil
}

// host plays one host step.
func (b *Box) host(a plan.Action, from string, o Outside) error {
	switch a := a.(type) {
	case plan.Scope, plan.MakeCgroup, plan.LimitCgroup, plan.JoinCgroup:
		if o.Cgroup == nil {
			return errors.New("nothing plays this step")
		}
		return o.Cgroup.Play(a)
	case plan.OpenLimit:
		if o.Cgroup == nil {
			return errors.New("nothing plays this step")
		}
		fds, err := o.Cgroup.Open(a)
		b.given, b.givenTo = append(b.given, fds...), append(b.givenTo, a.Into...)
		return err
	case plan.SweepCgroup:
		return b.sweep(o.Cgroup, false)
	case plan.SweepInside:
		return b.sweep(o.Cgroup, true)
	case plan.MapNested:
		return b.mapNested(a)
	case plan.Keep:
		return b.keep(a)
	case plan.Clone:
		fd := -1
		if a.Cgroup && o.Cgroup != nil {
			b.cgroup = o.Cgroup
			fd = o.Cgroup.FD()
		}
		return b.clone(a.Flags, fd)
	case plan.MapIDs:
		return b.mapIDs(a)
	case plan.Release:
		_, err := unix.Write(b.control, []byte{byte(a.Event)})
		return err
	case plan.Watch:
		return b.watch(o.TTY)
	case plan.StartNet:
		return b.startNetwork(a, o.Network)
	case plan.Lock:
		if o.Lock == nil {
			return errors.New("nothing plays this step")
		}
		return o.Lock(a.Dir)
	case plan.EndWithParent:
		return endWithParent()
	case plan.HoldDirs:
		return b.hold(a.Dirs, o.Holder)
	case plan.Listen:
		return b.listen(a, from)
	case plan.TakeNamespaces:
		return b.takeNamespaces()
	case plan.TakeSwitch:
		m, fd, err := b.receive()
		if err != nil {
			return err
		}
		if m.kind != msgSwitch || fd < 0 {
			b.early = b.stepError(m)
			return errors.New("the inside failed")
		}
		b.netSwitch, b.device = fd, a.Device
		return nil
	case plan.SeeNamespaces:
		return b.seeNamespaces()
	case plan.StartForwarder:
		args, files := o.Forwarder(b.published())
		return b.startForwarder(args, files, a.Visible)
	case plan.StartHelper:
		return b.startNetHelper(a)
	case plan.TakePTY:
		m, fd, err := b.receive()
		if err != nil {
			return err
		}
		if m.kind != msgPTY {
			b.early = b.stepError(m)
			return errors.New("the inside failed")
		}
		b.Master = fd
		return nil
	}
	return fmt.Errorf("%T is no host step", a)
}

func (b *Box) clone(flags uint64, cgroup int) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[1])
	b.control = fds[0]
	b.mem.hostEnd = uintptr(fds[0])
	var m *childMem
	b.region, m, err = place(b.region, b.prog, uintptr(fds[1]), b.mem)
	if err != nil {
		return err
	}
	m.fill(slotNet, uintptr(b.network))
	for i, fd := range b.given {
		m.fill(uint32(b.givenTo[i])+slotBase, uintptr(fd))
	}
	defer b.closeGiven()
	pidfd := int32(-1)
	m.unused.keep()
	syscall.ForkLock.Lock()
	pid, errno := cloneInside(uintptr(flags), b.region, m, &pidfd, cgroup)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return errno
	}
	b.pid, b.pidfd = int(pid), int(pidfd)
	return b.held.tell(b.pidfd)
}

func (b *Box) closeGiven() {
	for _, fd := range b.given {
		unix.Close(fd)
	}
	b.given, b.givenTo = nil, nil
}

// HelperError is newuidmap's or newgidmap's failure.
type HelperError struct {
	Helper string
	Stderr string // one line
	Err    error
}

func (e *HelperError) Error() string {
	if e.Stderr != "" {
		return e.Stderr
	}
	return e.Helper + ": " + e.Err.Error()
}

func (e *HelperError) Unwrap() error { return e.Err }

func (b *Box) mapIDs(a plan.MapIDs) error {
	proc := "/proc/" + strconv.Itoa(b.pid)
	if a.NewUIDMap == "" {
		if err := os.WriteFile(proc+"/uid_map", mapText(a.UID), 0); err != nil {
			return err
		}
		return os.WriteFile(proc+"/gid_map", mapText(a.GID), 0)
	}
	uid, err := startHelper(string(a.NewUIDMap), b.pid, a.UID)
	if err != nil {
		return err
	}
	gid, err := startHelper(string(a.NewGIDMap), b.pid, a.GID)
	if err != nil {
		uid.kill()
		uid.wait(time.Now())
		return err
	}
	deadline := time.Now().Add(helperTimeout)
	errUID, errGID := uid.wait(deadline), gid.wait(deadline)
	if errUID != nil {
		return errUID
	}
	if errGID != nil {
		return errGID
	}
	// A helper that says it did and did not would leave a box without ids.
	for _, c := range []struct {
		file, helper string
		want         []plan.IDMap
	}{{"/uid_map", string(a.NewUIDMap), a.UID}, {"/gid_map", string(a.NewGIDMap), a.GID}} {
		got, err := readMap(proc + c.file)
		if err != nil {
			return err
		}
		if !sameMap(got, c.want) {
			return &HelperError{Helper: c.helper, Err: errors.New("reported success but did not write the map")}
		}
	}
	return nil
}

// readMap reads a file of /proc, which is short, without the runtime's poller,
// which a start would set up for nothing else. 340 lines are the kernel's limit.
func readMap(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 512)
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return buf, err
		}
		buf = slices.Grow(buf[:len(buf)+n], 512)
	}
}

func mapText(ms []plan.IDMap) []byte {
	var b bytes.Buffer
	for _, m := range ms {
		b.WriteString(mapLine(m))
	}
	return b.Bytes()
}

// sameMap compares /proc/PID/uid_map, whose columns the kernel pads.
func sameMap(got []byte, want []plan.IDMap) bool {
	f := strings.Fields(string(got))
	if len(f) != 3*len(want) {
		return false
	}
	// The kernel sorts maps of more than five lines; user_namespaces(7).
	seen := map[[3]string]bool{}
	for i := 0; i < len(f); i += 3 {
		seen[[3]string{f[i], f[i+1], f[i+2]}] = true
	}
	for _, m := range want {
		k := [3]string{utoa(m.Box), utoa(m.Host), utoa(m.Count)}
		if !seen[k] {
			return false
		}
	}
	return true
}

func utoa(v uint32) string { return strconv.FormatUint(uint64(v), 10) }

type helper struct {
	name   string
	pid    int
	stderr int     // one end of a socket, a write a message
	region *region // that it works in until it is the helper
}

// startHelper runs newuidmap or newgidmap with an empty environment. The
// player becomes it, as it does the network's process, so that nobody waits for
// the one before the other is on its way, as vfork(2) would. Until then it
// shares nobox's memory, of which it writes to its own region alone.
func startHelper(path string, pid int, m []plan.IDMap) (*helper, error) {
	argv := make([]string, 0, 2+3*len(m))
	argv = append(argv, path, strconv.Itoa(pid))
	for _, x := range m {
		argv = append(argv, utoa(x.Box), utoa(x.Host), utoa(x.Count))
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fds[1])
	h := &helper{name: path, stderr: fds[0]}
	if h.region, err = newRegion(0); err == nil { // place makes one that is large enough
		var mem *childMem
		if h.region, mem, err = place(h.region, helperProgram(argv), uintptr(fds[1]), childMem{hostEnd: uintptr(fds[0])}); err == nil {
			h.pid, err = cloneHelper(h.region, mem)
		}
	}
	if err != nil {
		unix.Close(fds[0])
		if h.region != nil {
			h.region.free()
		}
		return nil, &HelperError{Helper: path, Err: err}
	}
	return h, nil
}

// helperProgram are the calls that become newuidmap or newgidmap.
func helperProgram(argv []string) *program {
	l := &lowerer{next: slotBase + 1, arena: make([]byte, 8, 1<<10)}
	devnull := l.temp() // not one of the three: the runtime opened those that were closed
	l.make(devnull, unix.SYS_OPENAT, cwd(), l.str("/dev/null"), hex(unix.O_RDWR|unix.O_CLOEXEC))
	l.call(unix.SYS_DUP3, devnull, num(0), num(0))
	l.call(unix.SYS_DUP3, devnull, num(1), num(0))
	l.call(unix.SYS_DUP3, control(), num(2), num(0))
	l.call(unix.SYS_CLOSE_RANGE, num(3), hex(uint32(0xffffffff)), num(closeRangeCloexec))
	l.call(unix.SYS_RT_SIGPROCMASK, num(sigSetmask), l.words(0), null(), num(sizeofSigset))
	l.call(unix.SYS_EXECVE, l.str(argv[0]), l.vector(argv), l.vector([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}))
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}
}

func (h *helper) kill() { unix.Kill(h.pid, unix.SIGKILL) }

// wait waits until the helper ends, or kills it at the deadline.
func (h *helper) wait(deadline time.Time) error {
	defer func() { unix.Close(h.stderr); h.region.free() }()
	var text []byte
	var started error // why it is not even that helper
	buf := make([]byte, 512)
	late := false
	for !late {
		left := time.Until(deadline)
		if left < 0 {
			left = 0
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(h.stderr), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n == 0 {
			late = true
			h.kill()
			break
		}
		k, err := unix.Read(h.stderr, buf)
		if err == unix.EINTR {
			continue
		}
		if k <= 0 {
			break
		}
		if m := messageOf(buf[:k]); m.kind == msgFailed {
			started = syscall.Errno(m.b)
		} else if len(text) < 4096 {
			text = append(text, buf[:k]...)
		}
	}
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(h.pid, &ws, 0, nil)
		if err != unix.EINTR {
			break
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	switch {
	case started != nil:
		return &HelperError{Helper: h.name, Err: started}
	case late:
		return &HelperError{Helper: h.name, Err: fmt.Errorf("no answer within %v", helperTimeout)}
	case ws.Exited() && ws.ExitStatus() == 0:
		return nil
	case ws.Signaled():
		return &HelperError{Helper: h.name, Stderr: line, Err: fmt.Errorf("killed by signal %d", ws.Signal())}
	}
	return &HelperError{Helper: h.name, Stderr: line, Err: fmt.Errorf("exit status %d", ws.ExitStatus())}
}

func (b *Box) watch(tty int) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(p[0])
	m := watchMem{life: uintptr(p[0]), lifeEnd: uintptr(p[1]), pidfd: uintptr(b.pidfd)}
	keep := []uintptr{m.life, m.pidfd}
	if tty >= 0 {
		m.tty, m.terminal = uintptr(tty), 1
		keep = append(keep, m.tty)
	}
	for i := range keep { // three at most
		for j := i + 1; j < len(keep); j++ {
			if keep[j] < keep[i] {
				keep[i], keep[j] = keep[j], keep[i]
			}
		}
	}
	m.nkeep = uintptr(copy(m.keep[:], keep))
	syscall.ForkLock.Lock()
	pid, shared, err := cloneWatcher(m)
	syscall.ForkLock.Unlock()
	if err != nil {
		unix.Close(p[1])
		return err
	}
	b.watcher, b.lifeEnd = int(pid), p[1]
	if tty >= 0 {
		b.modes = &shared.modes
	}
	return nil
}

// message is what the inside says; see child_unsafe.go.
type message struct{ kind, a, b, c uint32 }

// errClosed: the inside closed the control socket, by execve or by ending.
var errClosed = errors.New("control socket closed")

// receive waits for one message, with the descriptor that came along or -1.
func (b *Box) receive() (message, int, error) {
	var buf [sizeofMessage]byte
	var oob [32]byte
	for {
		n, oobn, _, _, err := unix.Recvmsg(b.control, buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		// ECONNRESET, once, says that the inside ended without reading all that
		// nobox had said: what it said itself comes after; unix(7).
		if err == unix.EINTR || err == unix.ECONNRESET {
			continue
		}
		if err != nil {
			return message{}, -1, err
		}
		if n == 0 {
			return message{}, -1, errClosed
		}
		if n != sizeofMessage {
			return message{}, -1, fmt.Errorf("a message of %d bytes from the inside", n)
		}
		return messageOf(buf[:]), descriptorIn(oob[:oobn]), nil
	}
}

// descriptorIn is the descriptor that came along with a message, or -1; unix(7).
func descriptorIn(oob []byte) int {
	if len(oob) > 0 {
		if cs, err := unix.ParseSocketControlMessage(oob); err == nil && len(cs) == 1 {
			if fds, err := unix.ParseUnixRights(&cs[0]); err == nil && len(fds) == 1 {
				return fds[0]
			}
		}
	}
	return -1
}

// messageOf reads a message of the player; its kind is 0 if it is none.
func messageOf(b []byte) message {
	if len(b) != sizeofMessage {
		return message{}
	}
	u := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	return message{u(0), u(1), u(2), u(3)}
}

// failure is what the inside reported as failed, nil if nothing or not yet.
func (b *Box) failure() error {
	if b.early != nil {
		return b.early
	}
	if b.control < 0 {
		return nil
	}
	unix.SetNonblock(b.control, true)
	defer unix.SetNonblock(b.control, false)
	for {
		m, fd, err := b.receive()
		if err != nil {
			return nil
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if e := b.stepError(m); e != nil {
			return e
		}
	}
}

// ErrShort is a system call of the inside whose result was not what its step
// promises; for a wait it means that nobox went away.
var ErrShort = errors.New("unexpected result")

func (b *Box) stepError(m message) *plan.StepError {
	if m.kind != msgFailed || int(m.a) >= len(b.prog.ops) {
		return nil
	}
	i := int(b.prog.ops[m.a].step)
	e := &plan.StepError{Index: i, Step: b.plan.Steps[i], Err: ErrShort, Fork: b.prog.ops[m.a].kind == opFork}
	if m.b != 0 {
		e.Err = syscall.Errno(m.b)
		if _, ok := e.Step.Do.(plan.Exec); ok && m.b == uint32(unix.ENOENT) && m.c != 0 {
			// execvp(3): what could not be tried outranks what is not there.
			e.Err = syscall.Errno(m.c)
		}
	}
	return e
}

func (b *Box) close() {
	b.killNetwork()
	b.endNetwork()
	b.endAttendants()
	b.release()
	b.closeGiven()
	if b.region != nil {
		b.region.free()
		b.region, b.prog = nil, nil
	}
	for _, fd := range []*int{&b.control, &b.pidfd, &b.Master, &b.netSwitch} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
