package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
)

// The cgroups of a box, below one that is delegated to the caller, D:
//
//	D/nobox             who stood in D, nobox among them (the leaf)
//	D/nobox-N-X         the box's: its limits, and what the kernel counts
//	D/nobox-N-X/inside  the box's processes; the root of their cgroup namespace
//
// A scope of systemd's is a D of nobox's own. In another D there may be several
// boxes at a time: who changes anything there holds a lock on the directory,
// and the last box to leave takes back what the first one did.
const (
	inside = "inside"
	prefix = "nobox-"
)

// A Player plays the steps about cgroups of one start, and afterwards knows the
// box's. The zero value is ready; nil has no cgroups.
type Player struct {
	base    string // D
	dir     string // the box's
	shared  bool   // D is not nobox's alone
	fd      int    // of inside, 0 without one
	keeper  int    // the process that removes the cgroup should nobox be killed
	life    int    // nobox's end of the pipe that the keeper watches
	Systemd bool   // the cgroup is a scope's
}

// Dir is the box's cgroup, "" without one.
func (p *Player) Dir() string {
	if p == nil {
		return ""
	}
	return p.dir
}

// FD is the descriptor of the cgroup that the inside is to be born in.
func (p *Player) FD() int { return p.fd }

// Play plays one step.
func (p *Player) Play(a plan.Action) error {
	switch a := a.(type) {
	case plan.Scope:
		if err := startScope(a); err != nil {
			return err
		}
		p.Systemd = true
		return p.inScope()
	case plan.MakeCgroup:
		if a.In != "" {
			p.base, p.shared = string(a.In), true
		}
		return p.make(a)
	case plan.LimitCgroup:
		return p.limit(a)
	case plan.SweepCgroup:
		return p.keep()
	case plan.JoinCgroup:
		return p.join(a)
	}
	return fmt.Errorf("%T is no step about cgroups", a)
}

// inScope finds the scope that nobox stands in now.
func (p *Player) inScope() error {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return bare(err)
	}
	for line := range strings.Lines(string(b)) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasSuffix(own, ".scope") && strings.HasPrefix(filepath.Base(own), prefix) {
			p.base = filepath.Join("/sys/fs/cgroup", own)
			return nil
		}
	}
	return errors.New("systemd made a scope, but nobox does not stand in it")
}

// bare is an error without the path that package os writes before it.
func bare(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// write writes to a file of a cgroup, in one call as the kernel wants it.
func write(dir, file, value string) error {
	fd, err := unix.Open(dir+"/"+file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

func read(dir, file string) string {
	b, _ := os.ReadFile(dir + "/" + file)
	return strings.TrimSpace(string(b))
}

// lock waits for the lock on D, which goes with the descriptor.
func lock(dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

func (p *Player) make(a plan.MakeCgroup) error {
	if p.shared {
		unlock, err := lock(p.base)
		if err != nil {
			return err
		}
		defer unlock()
	}
	if a.Leaf {
		leaf := filepath.Join(p.base, host.CgroupLeaf)
		if err := unix.Mkdir(leaf, 0o755); err != nil && err != unix.EEXIST {
			return err
		}
		if err := move(p.base, leaf); err != nil {
			return err
		}
	}
	if err := give(p.base, a.Controllers); err != nil {
		return err
	}
	name := "box"
	if p.shared {
		name = prefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano()/1000%(36*36*36*36*36*36), 36)
	}
	dir := filepath.Join(p.base, name)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p.dir = dir
	if err := give(dir, a.Controllers); err != nil {
		return err
	}
	if err := unix.Mkdir(filepath.Join(dir, inside), 0o755); err != nil {
		return err
	}
	fd, err := unix.Open(filepath.Join(dir, inside), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.fd = fd
	return nil
}

// join finds a box's cgroup by a process that stands in it, or below it where the
// box may make cgroups of its own. It is not p's to kill or to remove.
func (p *Player) join(a plan.JoinCgroup) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", a.PID))
	if err != nil {
		return bare(err)
	}
	at, err := insideOf(string(b))
	if err != nil {
		return err
	}
	fd, err := unix.Open(filepath.Join("/sys/fs/cgroup", at), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// What was read was of that process if it is still there.
	if err := unix.PidfdSendSignal(a.FD, 0, nil, 0); err != nil {
		unix.Close(fd)
		return err
	}
	p.fd = fd
	return nil
}

// insideOf is the cgroup that a box was born in, from /proc/PID/cgroup of a
// process in it. The first of that name is the one: what is above is nobox's, what
// is below may be of the box's making.
func insideOf(text string) (string, error) {
	for line := range strings.Lines(text) {
		own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::/")
		if !ok {
			continue
		}
		parts := strings.Split(own, "/")
		for i, name := range parts {
			// As make has it: box or nobox-N-X, and inside.
			if name == inside && i > 0 && (parts[i-1] == "box" || strings.HasPrefix(parts[i-1], prefix)) {
				return "/" + strings.Join(parts[:i+1], "/"), nil
			}
		}
		return "", fmt.Errorf("its command stands in %s, which is not of a box's making", plan.Quote("/"+own))
	}
	return "", errors.New("it has no cgroup of version 2")
}

// give enables controllers for those below.
func give(dir string, controllers []string) error {
	have := strings.Fields(read(dir, "cgroup.subtree_control"))
	missing := ""
	for _, c := range controllers {
		if !contains(have, c) {
			missing += " +" + c
		}
	}
	if missing == "" {
		return nil
	}
	err := write(dir, "cgroup.subtree_control", missing[1:])
	if err == unix.EBUSY && read(dir, "cgroup.procs") != "" {
		return errors.New("processes stand in it, so that it cannot give controllers to others")
	}
	return err
}

func contains(ss []string, s string) bool {
	for _, x := range ss {
		if x == s {
			return true
		}
	}
	return false
}

// mostMoves bounds how often those are moved that fork meanwhile.
const mostMoves = 100

// move moves all processes from one cgroup to another.
func move(from, to string) error {
	for range mostMoves {
		pids := strings.Fields(read(from, "cgroup.procs"))
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if pid == "0" {
				return errors.New("processes of another pid namespace stand in it")
			}
			if err := write(to, "cgroup.procs", pid); err != nil && err != unix.ESRCH {
				return fmt.Errorf("process %s cannot be moved out of the way: %w", pid, err)
			}
		}
	}
	return errors.New("processes keep appearing in it")
}

func (p *Player) limit(a plan.LimitCgroup) error {
	err := write(p.dir, a.File, a.Value)
	switch {
	case err == unix.ENOENT:
		return fmt.Errorf("this kernel has no %s", a.File)
	case err == unix.ERANGE && a.File == "cpuset.cpus":
		return fmt.Errorf("only the CPUs %s can be had", read(p.dir, "cpuset.cpus.effective"))
	case err != nil:
		return err
	case a.File == "cpuset.cpus":
		// The kernel takes CPUs that are not there, and leaves them out.
		if got := read(p.dir, "cpuset.cpus.effective"); !sameCPUs(got, a.Value) {
			return fmt.Errorf("only the CPUs %s can be had", got)
		}
	}
	return nil
}

func sameCPUs(a, b string) bool {
	x, err1 := ParseCPUs(a)
	y, err2 := ParseCPUs(b)
	if err1 != nil || err2 != nil || len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

// Kill kills everything in the box's cgroup; Linux 5.14.
func (p *Player) Kill() {
	if p.Dir() != "" {
		write(p.dir, "cgroup.kill", "1")
	}
}

// SweepVerb is the verb by which nobox starts the process that removes a
// cgroup when nobox is gone.
const SweepVerb = "sweep-cgroup"

// keep starts that process. It has descriptor 3, the read end of a pipe of which
// nobox alone has the other.
func (p *Player) keep() error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return err
	}
	n := uintptr(null)
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"nobox", SweepVerb, p.dir}, &syscall.ProcAttr{
		Dir: "/", Files: []uintptr{n, n, n, uintptr(pipe[0])}, Sys: &syscall.SysProcAttr{Setsid: true}})
	unix.Close(null)
	unix.Close(pipe[0])
	if err != nil {
		unix.Close(pipe[1])
		return err
	}
	p.keeper, p.life = pid, pipe[1]
	return nil
}

// Sweep is the work of that process: it waits until nobox is gone, and removes
// the cgroup if that is still there.
func Sweep(dir string) {
	var b [1]byte
	for {
		if _, err := unix.Read(3, b[:]); err != unix.EINTR {
			break
		}
	}
	if filepath.IsAbs(dir) && strings.HasPrefix(filepath.Base(dir), prefix) {
		sweep(dir)
	}
}

// Remove removes the box's cgroup, with whatever is left in it. A scope is
// systemd's to remove, once nobox has left it by ending.
func (p *Player) Remove() {
	if p == nil {
		return
	}
	if p.fd > 0 {
		unix.Close(p.fd)
		p.fd = 0
	}
	if p.dir != "" && p.shared {
		sweep(p.dir)
	}
	if p.keeper > 0 {
		unix.Close(p.life)
		for {
			if _, err := unix.Wait4(p.keeper, nil, 0, nil); err != unix.EINTR {
				break
			}
		}
		p.keeper = 0
	}
	p.dir = ""
}

// sweepPatience is how long the kernel may take to end what was killed.
const sweepPatience = 5 * time.Second

// sweep removes a box's cgroup from a D that is not nobox's alone, and what
// nobox changed there if it was the last.
func sweep(dir string) {
	base := filepath.Dir(dir)
	unlock, err := lock(base)
	if err != nil {
		return
	}
	defer unlock()
	write(dir, "cgroup.kill", "1")
	until := time.Now().Add(sweepPatience)
	for {
		err := removeAll(dir)
		if err != unix.EBUSY || !time.Now().Before(until) {
			break
		}
		awaitEmpty(dir, until)
	}
	leaf := filepath.Join(base, host.CgroupLeaf)
	if _, err := os.Stat(leaf); err != nil {
		return
	}
	for _, d := range children(base) {
		if d != host.CgroupLeaf {
			return
		}
	}
	for _, c := range strings.Fields(read(base, "cgroup.subtree_control")) {
		write(base, "cgroup.subtree_control", "-"+c)
	}
	if move(leaf, base) == nil {
		unix.Rmdir(leaf)
	}
}

func children(dir string) (names []string) {
	es, _ := os.ReadDir(dir)
	for _, e := range es {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// removeAll removes a cgroup and those below.
func removeAll(dir string) error {
	for _, d := range children(dir) {
		if err := removeAll(filepath.Join(dir, d)); err != nil {
			return err
		}
	}
	err := unix.Rmdir(dir)
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// awaitEmpty waits until no process is left in a cgroup and those below;
// cgroups(7), cgroup.events.
func awaitEmpty(dir string, until time.Time) {
	fd, err := unix.Open(dir+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	for {
		var b [256]byte
		n, err := unix.Pread(fd, b[:], 0)
		left := time.Until(until)
		if err != nil || left <= 0 || strings.Contains(string(b[:max(n, 0)]), "populated 0") {
			// One that has just ended may still be counted for a moment.
			unix.Nanosleep(&unix.Timespec{Nsec: int64(time.Millisecond)}, nil)
			return
		}
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, int(left/time.Millisecond)+1)
	}
}

// ParseCPUs reads a list of CPUs as the kernel writes it: 0-3,7. The result is
// ascending.
func ParseCPUs(s string) ([]int, error) {
	const most = 8192 // CONFIG_NR_CPUS at most
	seen := map[int]bool{}
	last := -1
	for part := range strings.SplitSeq(s, ",") {
		a, b, isRange := strings.Cut(part, "-")
		from, err := strconv.ParseUint(a, 10, 16)
		to := from
		if err == nil && isRange {
			to, err = strconv.ParseUint(b, 10, 16)
		}
		if err != nil || to < from || to >= most {
			return nil, errors.New("not a list of CPUs")
		}
		for c := int(from); c <= int(to); c++ {
			seen[c] = true
			last = max(last, c)
		}
	}
	var out []int
	for c := 0; c <= last; c++ {
		if seen[c] {
			out = append(out, c)
		}
	}
	return out, nil
}
