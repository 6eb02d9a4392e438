package cgroups

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	box    = "box"
	inside = "inside"
	prefix = "nobox-"
)

// A Player plays the steps about cgroups of one start, and afterwards knows the
// box's. The zero value is ready; nil has no cgroups.
type Player struct {
	base    string // D
	dir     string // the box's
	shared  bool   // D is not nobox's alone
	box     int    // a descriptor of it, 0 without one
	fd      int    // of inside
	keeper  int    // the process that removes the cgroup should nobox be killed
	life    int    // nobox's end of the pipe that the keeper watches
	Systemd bool   // the cgroup is a scope's

	// Guard has a process send a message by a socket should nobox end before it is
	// released; nil for none.
	Guard   func(socket int, message []byte) (release func(), err error)
	release func()

	door    *conn // to a systemd that was not asked yet, nil without one
	address string
}

// Dir is the box's cgroup, "" without one.
func (p *Player) Dir() string {
	if p == nil {
		return ""
	}
	return p.dir
}

// Base is the cgroup that the box's is in, "" without one.
func (p *Player) Base() string {
	if p == nil || p.dir == "" {
		return ""
	}
	return p.base
}

// FD is the descriptor of the cgroup that the inside is to be born in.
func (p *Player) FD() int { return p.fd }

// Play plays one step.
func (p *Player) Play(a plan.Action) error {
	switch a := a.(type) {
	case plan.Scope:
		if err := p.startScope(a); err != nil {
			return err
		}
		p.Systemd = true
		if err := p.inScope(); err != nil {
			return err
		}
		p.safe()
		return nil
	case plan.MakeCgroup:
		if p.shared = a.In != ""; p.shared {
			p.base = string(a.In)
		}
		return p.make(a)
	case plan.LimitCgroup:
		return p.limit(a)
	case plan.JoinCgroup:
		return p.join(a)
	}
	return fmt.Errorf("%T is no step about cgroups", a)
}

// inScope finds the scope that nobox stands in now.
func (p *Player) inScope() error {
	b, err := host.ReadFile("/proc/self/cgroup")
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
func write(dir, file, value string) error { return writeAt(unix.AT_FDCWD, dir+"/"+file, value) }

func writeAt(dir int, file, value string) error {
	fd, err := unix.Openat(dir, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

func read(dir, file string) string {
	s, _ := readAt(unix.AT_FDCWD, dir+"/"+file)
	return strings.TrimSpace(s)
}

// readAt reads a file whole, most of which are a line or two.
func readAt(dir int, file string) (string, error) {
	fd, err := unix.Openat(dir, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	all := make([]byte, 0, 1<<10)
	for {
		n, err := unix.Read(fd, all[len(all):cap(all)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", err
		case n == 0:
			return string(all), nil
		}
		if all = all[:len(all)+n]; len(all) == cap(all) {
			all = slices.Grow(all, len(all))
		}
	}
}

// read is a file of the box's cgroup.
func (p *Player) read(file string) string {
	s, _ := readAt(p.box, file)
	return strings.TrimSpace(s)
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
	base, err := unix.Open(p.base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(base)
	if a.Leaf {
		if err := unix.Mkdirat(base, host.CgroupLeaf, 0o755); err != nil && err != unix.EEXIST {
			return err
		}
		leaf := filepath.Join(p.base, host.CgroupLeaf)
		if p.shared {
			err = move(p.base, leaf)
		} else {
			err = writeAt(base, host.CgroupLeaf+"/cgroup.procs", "0") // nobox, whatever its number there
		}
		if err != nil {
			return err
		}
	}
	name := box
	if p.shared {
		name = prefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano()/1000%(36*36*36*36*36*36), 36)
	}
	if p.shared {
		note(p.base, a.Controllers)
	}
	if err := give(base, a.Controllers); err != nil {
		return err
	}
	if err := unix.Mkdirat(base, name, 0o755); err != nil {
		return err
	}
	p.dir = filepath.Join(p.base, name)
	if p.box, err = unix.Openat(base, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if err := give(p.box, a.Controllers); err != nil {
		return err
	}
	if err := unix.Mkdirat(p.box, inside, 0o755); err != nil {
		return err
	}
	p.fd, err = unix.Openat(p.box, inside, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return err
}

// join finds a box's cgroup by a process that stands in it, or below it where the
// box may make cgroups of its own. It is not p's to kill or to remove.
func (p *Player) join(a plan.JoinCgroup) error {
	b, err := host.ReadFile(fmt.Sprintf("/proc/%d/cgroup", a.PID))
	if err != nil {
		return bare(err)
	}
	own, at, err := insideOf(string(b))
	if err != nil {
		return err
	}
	// Beside the box's own command: where a box gives controllers to others below
	// no process may stand in it, and one that stood there would keep it from that.
	// But what another of the box's users made is not the caller's to enter.
	if unix.Access(filepath.Join("/sys/fs/cgroup", own, "cgroup.procs"), unix.W_OK) != nil {
		own = at
	}
	fd, err := unix.Open(filepath.Join("/sys/fs/cgroup", own), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
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

// insideOf is where a process stands, from /proc/PID/cgroup, and the cgroup that
// its box was born in. The first of that name is the one: what is above is nobox's, what
// is below may be of the box's making.
func insideOf(text string) (own, at string, err error) {
	for line := range strings.Lines(text) {
		own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::/")
		if !ok {
			continue
		}
		parts := strings.Split(own, "/")
		for i, name := range parts {
			// As make has it: box or nobox-N-X, and inside.
			if name == inside && i > 0 && (parts[i-1] == box || strings.HasPrefix(parts[i-1], prefix)) {
				return "/" + own, "/" + strings.Join(parts[:i+1], "/"), nil
			}
		}
		return "", "", fmt.Errorf("its command stands in %s, which is not of a box's making", plan.Quote("/"+own))
	}
	return "", "", errors.New("it has no cgroup of version 2")
}

// give enables controllers for those below; the kernel passes over those that
// are.
func give(dir int, controllers []string) error {
	if len(controllers) == 0 {
		return nil
	}
	err := writeAt(dir, "cgroup.subtree_control", "+"+strings.Join(controllers, " +"))
	if err == unix.EBUSY {
		return errors.New("processes stand in it, so that it cannot give controllers to others")
	}
	return err
}

// givenAttr is where stands, at D, which controllers nobox had D give that it did
// not give before: the box that leaves last takes them back, whichever came first.
// kernfs has attributes of users since Linux 5.7.
const givenAttr = "user.nobox.given"

// given are the controllers that stand there; false if nothing does.
func given(dir string) ([]string, bool) {
	var b [256]byte
	n, err := unix.Getxattr(dir, givenAttr, b[:])
	if err != nil {
		return nil, false
	}
	return strings.Fields(string(b[:n])), true
}

// note notes which of the controllers D does not give yet.
func note(dir string, controllers []string) {
	have := strings.Fields(read(dir, "cgroup.subtree_control"))
	add, _ := given(dir)
	for _, c := range controllers {
		if !slices.Contains(have, c) && !slices.Contains(add, c) {
			add = append(add, c)
		}
	}
	unix.Setxattr(dir, givenAttr, []byte(strings.Join(add, " ")), 0)
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

// Open opens a file of the box's cgroup, and for a second slot that of the one
// that it sees.
func (p *Player) Open(a plan.OpenLimit) (fds []int, err error) {
	for i := range a.Into {
		dir := p.box
		if i > 0 {
			dir = p.fd
		}
		fd, err := unix.Openat(dir, a.File, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			err = lacks(a.File)
		}
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func lacks(file string) error { return fmt.Errorf("this kernel has no %s", file) }

func (p *Player) limit(a plan.LimitCgroup) error {
	err := writeAt(p.box, a.File, a.Value)
	if err == nil && a.Shown {
		err = writeAt(p.fd, a.File, a.Value)
	}
	switch {
	case err == unix.ENOENT:
		return lacks(a.File)
	case err == unix.ERANGE && a.File == "cpuset.cpus":
		return fmt.Errorf("only the CPUs %s can be had", p.read("cpuset.cpus.effective"))
	case err != nil:
		return err
	case a.File == "cpuset.cpus":
		// The kernel takes CPUs that are not there, and leaves them out.
		if got := p.read("cpuset.cpus.effective"); !sameCPUs(got, a.Value) {
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
		writeAt(p.box, "cgroup.kill", "1")
	}
}

// SweepVerb is the verb by which nobox starts the process that removes a
// cgroup when nobox is gone.
const SweepVerb = "sweep-cgroup"

// Sweeper is the command line of the process that removes the box's cgroups.
func (p *Player) Sweeper() []string { return []string{"nobox", SweepVerb, p.dir} }

// Swept has p know of that process, which works once all have let go of life. It
// takes the place of the one before.
func (p *Player) Swept(pid, life int) {
	p.dismiss()
	p.keeper, p.life = pid, life
}

// dismiss ends that process: there is nothing to do for it.
func (p *Player) dismiss() {
	if p.keeper > 0 {
		unix.Kill(p.keeper, unix.SIGKILL)
		p.letSweep()
	}
}

// letSweep has that process do its work, and waits for it.
func (p *Player) letSweep() {
	if p.keeper == 0 {
		return
	}
	unix.Close(p.life)
	for {
		if _, err := unix.Wait4(p.keeper, nil, 0, nil); err != unix.EINTR {
			break
		}
	}
	p.keeper = 0
}

// Sweep is the work of that process, which comes when nobox has ended, or is
// done with the box.
func Sweep(dir string) {
	base := filepath.Base(filepath.Dir(dir))
	switch {
	case !filepath.IsAbs(dir):
	case strings.HasPrefix(filepath.Base(dir), prefix):
		sweep(dir)
	case filepath.Base(dir) == box && strings.HasPrefix(base, prefix) && strings.HasSuffix(base, ".scope"):
		remove(dir)
	}
}

// Remove removes the box's cgroup, with whatever is left in it. A scope is
// systemd's to remove, once nobox has left it by ending; what the caller may not
// remove is the other process's.
func (p *Player) Remove() {
	if p == nil {
		return
	}
	for _, fd := range []*int{&p.fd, &p.box} {
		if *fd > 0 {
			unix.Close(*fd)
			*fd = 0
		}
	}
	var err error
	switch {
	case p.dir == "":
	case p.shared:
		err = sweep(p.dir)
	case p.keeper > 0:
		err = remove(p.dir)
	}
	if err == nil {
		p.dismiss()
	}
	p.letSweep()
	p.dir = ""
}

// sweepPatience is how long the kernel may take to end what was killed.
const sweepPatience = 5 * time.Second

// sweep removes a box's cgroup from a D that is not nobox's alone, and what
// nobox changed there if it was the last.
func sweep(dir string) error {
	base := filepath.Dir(dir)
	unlock, err := lock(base)
	if err != nil {
		return err
	}
	defer unlock()
	if err := remove(dir); err != nil {
		return err
	}
	for _, d := range children(base) {
		if strings.HasPrefix(d, prefix) {
			return nil // another box
		}
	}
	leaf := filepath.Join(base, host.CgroupLeaf)
	_, err = os.Stat(leaf)
	back, known := given(base)
	if !known && err == nil {
		// Processes stood here, so that nothing was given before.
		back = strings.Fields(read(base, "cgroup.subtree_control"))
	}
	for _, c := range back {
		write(base, "cgroup.subtree_control", "-"+c)
	}
	unix.Removexattr(base, givenAttr)
	if err == nil && move(leaf, base) == nil {
		unix.Rmdir(leaf)
	}
	return nil
}

// remove ends what is in a box's cgroup, and removes it.
func remove(dir string) error {
	write(dir, "cgroup.kill", "1")
	until := time.Now().Add(sweepPatience)
	for {
		err := removeAll(dir)
		if err != unix.EBUSY || !time.Now().Before(until) {
			return err
		}
		awaitEmpty(dir, until)
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

// removeAll removes a cgroup and those below, however deep they are: the box may
// have made them. It has one of them open at a time, and no path that grows.
func removeAll(dir string) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	at, err := unix.Open(filepath.Dir(dir), flags, 0)
	if err != nil {
		return err
	}
	defer func() { unix.Close(at) }()
	enter := func(name string) error {
		fd, err := unix.Openat(at, name, flags, 0)
		if err == nil {
			unix.Close(at)
			at = fd
		}
		return err
	}
	names := []string{filepath.Base(dir)} // of the one to remove, and of those above
	for {
		last := len(names) - 1
		err := unix.Unlinkat(at, names[last], unix.AT_REMOVEDIR)
		switch err {
		case nil, unix.ENOENT:
			if names = names[:last]; last == 0 {
				return nil
			}
			err = enter("..")
		case unix.EBUSY, unix.ENOTEMPTY: // there are processes in it, or cgroups
			if err = enter(names[last]); err == nil {
				child := firstChild(at)
				if child == "" {
					return unix.EBUSY
				}
				names = append(names, child)
			}
		}
		if err != nil {
			return err
		}
	}
}

// firstChild is the name of a cgroup below the one that was opened, "" if there
// is none.
func firstChild(fd int) string {
	buf := make([]byte, 8<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return ""
		}
		for b := buf[:n]; len(b) >= 19; { // struct linux_dirent64; getdents64(2)
			size := int(binary.NativeEndian.Uint16(b[16:]))
			if size < 19 || size > len(b) {
				break
			}
			name, _, _ := strings.Cut(string(b[19:size]), "\x00")
			if b[18] == unix.DT_DIR && name != "." && name != ".." {
				return name
			}
			b = b[size:]
		}
	}
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
