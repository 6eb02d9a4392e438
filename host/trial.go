package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// An Outcome is what came of trying something.
type Outcome struct {
	Tried bool
	Err   error  // nil: it worked; an Errno where the kernel refused
	Said  string // what a program said, or what was found
}

// OK says whether it was tried and worked.
func (o Outcome) OK() bool { return o.Tried && o.Err == nil }

func outcome(err error) Outcome { return Outcome{Tried: true, Err: err} }

// A Layer is a directory whose file system may be part of an overlay.
type Layer struct {
	What  string // the working directory, the home, the state directory
	Path  string // what is there of it, or the nearest directory above
	Upper bool   // as the layer that is written to, and not the one below it
	Type  string // of the file system
}

// A BoxTrial is a box to be started by this very nobox.
type BoxTrial struct {
	Name string
	Args []string // the flags
}

// A BoxOutcome is what came of a BoxTrial.
type BoxOutcome struct {
	Outcome
	Took         time.Duration
	Notes, Hints []string // what nobox said, without its name before it
}

// A Trial is what a machine showed when all that a box may need was tried. It
// is plain data.
type Trial struct {
	Facts
	Userns        Outcome            // a user namespace
	Namespaces    map[string]Outcome // each other kind, in a user namespace
	Inside        map[string]Outcome // what was tried in all of them; inside.go
	Helpers       [2]Outcome         // newuidmap and newgidmap, with all ranges
	SubFiles      [2]SubFile
	Layers        []Layer
	Pasta         Outcome
	Slirp         Outcome
	Bus           Outcome // the user's own
	BusPath       string
	Linger        bool
	Systemd       bool
	Cgroup        Cgroup
	LandlockTried Outcome // Said is the version
	Boxes         map[string]BoxOutcome

	// What nobox runs in.
	Container    string // "" if nothing shows one
	UnderSeccomp bool
	Chroot       bool
	NestedUserns bool
	AppArmor     string // the label of nobox itself
	Sysctls      map[string]string
}

// Sysctls that tell why namespaces cannot be made.
var sysctls = []string{"kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns", "user/max_user_namespaces"}

// Try tries all that a box may need, in children that are gone when it returns,
// and says what came of it. What it makes in the state directory it removes.
// It is for nobox doctor: it takes a second.
//
// Preconditions: this binary is nobox, whose verb InsideVerb is Inside.
func Try(boxes []BoxTrial) Trial {
	t := Trial{Facts: Probe(Questions{Ranges: true, Cwd: true}), Sysctls: map[string]string{}, Namespaces: map[string]Outcome{}}
	for _, s := range sysctls {
		t.Sysctls[s] = Sysctl(s)
	}
	t.UnderSeccomp, t.Chroot, t.NestedUserns = SeccompFilter(), Chrooted(), !initialUserns()
	t.Container, t.AppArmor = container(), apparmorLabel()
	t.Layers = layers(&t.Facts)
	t.tryNamespaces()
	t.tryHelpers()
	passwd, _ := ReadFile(passwdFile)
	names, _ := userNames(passwd, t.UID)
	who := append(names, t.User, id(t.UID))
	t.SubFiles = [2]SubFile{subFile(subuidFile, who, t.SubUID), subFile(subgidFile, who, t.SubGID)}
	t.SubFiles[0].Overlaps = append(t.SubFiles[0].Overlaps, usersWithin(passwd, t.SubUID.Ranges)...)
	t.Pasta, t.Slirp = version("pasta"), version("slirp4netns")
	t.BusPath, t.Bus = tryBus(t.UID)
	t.Linger = exists("/var/lib/systemd/linger/" + t.User)
	t.Systemd = exists("/run/systemd/system")
	t.Cgroup = cgroup(t.UID)
	t.LandlockTried = landlock()
	t.Boxes = map[string]BoxOutcome{}
	for _, b := range boxes {
		t.Boxes[b.Name] = tryBox(b)
	}
	return t
}

func exists(name string) bool { return unix.Access(name, unix.F_OK) == nil }

// InsideVerb is the hidden verb by which nobox starts itself for a trial.
const InsideVerb = "doctor-inside"

// self is this very binary, to be started once more.
const self = "/proc/self/exe"

const patience = 10 * time.Second

// inNamespaces runs Inside with tasks in new namespaces. With mapped the caller
// is root there, else nobody; then the process waits until after has returned.
func inNamespaces(flags uintptr, mapped bool, after func(pid int) error, tasks ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	own, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{InsideVerb, own}, tasks...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | flags, Pdeathsig: unix.SIGKILL}
	if mapped {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", bareErrno(err)
	}
	if after != nil {
		err = after(cmd.Process.Pid)
	}
	in.Close()
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = errors.New(strings.TrimSpace(werr.Error() + " " + said.String()))
	}
	return out.String(), err
}

func bareErrno(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// kinds are the namespaces of a box besides the user namespace.
var kinds = []struct {
	name string
	flag uintptr
}{
	{"mnt", unix.CLONE_NEWNS}, {"pid", unix.CLONE_NEWPID}, {"net", unix.CLONE_NEWNET},
	{"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC}, {"cgroup", unix.CLONE_NEWCGROUP},
}

func (t *Trial) tryNamespaces() {
	_, err := inNamespaces(0, true, nil)
	t.Userns = outcome(err)
	if err != nil {
		return
	}
	var all uintptr
	for _, k := range kinds {
		_, err := inNamespaces(k.flag, true, nil)
		t.Namespaces[k.name] = outcome(err)
		if err == nil {
			all |= k.flag
		}
	}
	tasks := []string{"capabilities", "proc", "tun", "veth", "ipv6", "seccomp"}
	for i, l := range t.Layers {
		task := "lower"
		if l.Upper {
			task = "upper"
			dir, err := os.MkdirTemp(l.Path, ".nobox-doctor-")
			if err != nil {
				continue // said by the file system's line
			}
			defer func() {
				os.Chmod(path.Join(dir, "work/work"), 0o700) // an overlay's, which has mode 0
				os.RemoveAll(dir)
			}()
			tasks = append(tasks, task+":"+strconv.Itoa(i)+":"+dir)
			continue
		}
		tasks = append(tasks, task+":"+strconv.Itoa(i)+":"+l.Path)
	}
	out, err := inNamespaces(all, true, nil, tasks...)
	t.Inside = parseInside(out)
	if err != nil {
		for _, task := range tasks {
			name := taskName(task)
			if _, done := t.Inside[name]; !done {
				t.Inside[name] = outcome(err)
			}
		}
	}
}

// taskName is the name under which the outcome of a task is told: all but the
// path of a layer.
func taskName(task string) string {
	parts := strings.SplitN(task, ":", 3)
	return strings.Join(parts[:min(len(parts), 2)], ":")
}

// parseInside reads what Inside has written: name, errno, text, with tabs
// between and lines that end in a newline.
func parseInside(out string) map[string]Outcome {
	m := map[string]Outcome{}
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) != 3 {
			continue
		}
		o := Outcome{Tried: true, Said: f[2]}
		if n, err := strconv.Atoi(f[1]); err == nil && n > 0 {
			o.Err = syscall.Errno(n)
		} else if f[1] != "0" {
			o.Err = errors.New(f[2])
		}
		m[f[0]] = o
	}
	return m
}

// tryHelpers has newuidmap and newgidmap write all ranges into a namespace, and
// reads back what they have written.
func (t *Trial) tryHelpers() {
	if !t.Userns.OK() || len(t.SubUID.Ranges) == 0 || len(t.SubGID.Ranges) == 0 {
		return
	}
	_, err := inNamespaces(0, false, func(pid int) error {
		for i, h := range []struct {
			Helper
			kind string
			own  uint32
			sub  []Range
		}{
			{t.NewUIDMap, "uid", t.UID, t.SubUID.Ranges},
			{t.NewGIDMap, "gid", t.GID, t.SubGID.Ranges},
		} {
			if h.Path == "" {
				continue
			}
			args := []string{strconv.Itoa(pid), "0", id(h.own), "1"}
			next := uint32(1)
			for _, r := range h.sub {
				args = append(args, id(next), id(r.Start), id(r.Count))
				next += r.Count
			}
			t.Helpers[i] = runHelper(string(h.Path), args, "/proc/"+strconv.Itoa(pid)+"/"+h.kind+"_map", 1+len(h.sub))
		}
		return nil
	})
	_ = err // Userns has told
}

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

var errNotWritten = errors.New("it says that it succeeded, and has written no map")

func runHelper(path string, args []string, mapFile string, lines int) Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	said, err := cmd.CombinedOutput()
	o := Outcome{Tried: true, Err: err, Said: strings.TrimSpace(string(said))}
	if err == nil {
		b, _ := os.ReadFile(mapFile)
		if bytes.Count(b, []byte{'\n'}) < lines {
			o.Err = errNotWritten
		}
	}
	return o
}

// A SubFile is what /etc/subuid or /etc/subgid is, beyond the caller's ranges.
type SubFile struct {
	Link     string   // where the file leads, if it is a symbolic link
	Overlaps []string // who else has ids of the caller's ranges
}

func subFile(file string, who []string, s Subordinate) (f SubFile) {
	if to, err := os.Readlink(file); err == nil {
		f.Link = to
	}
	if content, err := ReadFile(file); err == nil {
		f.Overlaps = overlaps(content, who, s.Ranges)
	}
	return f
}

// overlaps are the lines of others than who that give ids of the ranges.
func overlaps(content []byte, who []string, ranges []Range) (out []string) {
	for line := range bytes.Lines(content) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 3 || slices.Contains(who, f[0]) {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 {
			continue
		}
		if slices.ContainsFunc(ranges, func(r Range) bool { return start <= uint64(r.Last()) && uint64(r.Start) < start+count }) {
			out = append(out, strings.Join(f, ":"))
		}
	}
	return out
}

// usersWithin are the users of passwd(5) whose uid is in one of the ranges.
func usersWithin(passwd []byte, ranges []Range) (out []string) {
	for line := range bytes.Lines(passwd) {
		f := strings.Split(string(line), ":")
		if len(f) < 3 {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		for _, r := range ranges {
			if r.Contains(uint32(n)) {
				out = append(out, "user "+f[0]+" with uid "+f[2])
			}
		}
	}
	return out
}

// layers are the directories that an overlay is asked for.
func layers(f *Facts) (ls []Layer) {
	add := func(what, dir string, upper bool) {
		for dir != "/" && !isDir(dir) {
			dir = path.Dir(dir)
		}
		var st unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &st) != nil {
			return
		}
		typ := ""
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			if i := f.Mounts.of(plan.HostPath(real)); i >= 0 {
				typ = f.Mounts[i].Type
			}
		}
		ls = append(ls, Layer{What: what, Path: dir, Upper: upper, Type: typ})
	}
	if f.Cwd != "" {
		add("the working directory", string(f.Cwd), false)
	}
	if len(f.Homes) > 0 {
		add("the home", string(f.Homes[0]), false)
	}
	if state := os.Getenv("XDG_STATE_HOME"); strings.HasPrefix(state, "/") {
		add("the state directory", path.Join(state, "nobox"), true)
	} else if strings.HasPrefix(f.Home, "/") {
		add("the state directory", path.Join(f.Home, ".local/state/nobox"), true)
	}
	return ls
}

func isDir(p string) bool {
	var st unix.Stat_t
	return unix.Stat(p, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// version asks a program for its version.
func version(name string) Outcome {
	m := machine{path: os.Getenv("PATH"), places: usualPlaces}
	file := m.find(name)
	if file == "" {
		return Outcome{Tried: true, Err: unix.ENOENT}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, "--version").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return Outcome{Tried: true, Err: bareErrno(err), Said: strings.TrimSpace(line)}
}

// tryBus says hello to the user's own bus as far as any caller must: the
// authentication of the D-Bus Specification. It is looked for where the
// environment says, and else where systemd has it, which is what ssh, cron and
// su leave.
func tryBus(uid uint32) (string, Outcome) {
	name := "/run/user/" + id(uid) + "/bus"
	if dir := os.Getenv("XDG_RUNTIME_DIR"); strings.HasPrefix(dir, "/") && exists(dir+"/bus") {
		name = dir + "/bus"
	}
	if a, ok := strings.CutPrefix(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), "unix:path="); ok {
		a, _, _ = strings.Cut(a, ",")
		if exists(a) {
			name = a
		}
	}
	return name, outcome(greet(name, uid))
}

// greet is no use of package net, of which nobox itself has next to nothing.
func greet(name string, uid uint32) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.Timeval{Sec: 2}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return err
	}
	hex := ""
	for _, b := range []byte(id(uid)) {
		hex += strconv.FormatUint(uint64(b), 16)
	}
	if _, err := unix.Write(fd, []byte("\x00AUTH EXTERNAL "+hex+"\r\n")); err != nil {
		return err
	}
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	switch {
	case err != nil:
		return err
	case !bytes.HasPrefix(buf[:n], []byte("OK ")):
		return errors.New("it answers " + strconv.Quote(strings.TrimSpace(string(buf[:n]))))
	}
	return nil
}

// tryBox starts a box with a shell that ends at once.
func tryBox(b BoxTrial) BoxOutcome {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append(append([]string{}, b.Args...), "--", "/bin/sh", "-c", ":")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	start := time.Now()
	err := cmd.Run()
	o := BoxOutcome{Outcome: outcome(bareErrno(err)), Took: time.Since(start)}
	for line := range strings.Lines(said.String()) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "nobox: ")
		if h, ok := strings.CutPrefix(line, "hint: "); ok {
			o.Hints = append(o.Hints, h)
		} else if !strings.HasPrefix(line, "help: ") {
			o.Notes = append(o.Notes, line)
		}
	}
	return o
}

// A Cgroup is how control groups are set up, and what of them is the caller's.
type Cgroup struct {
	Layout      string   // v2, hybrid, v1; "" is none
	Own         string   // nobox's own group of v2
	Unit        string   // the systemd unit that the group is below
	Delegated   Outcome  // a group below its own
	Manager     bool     // the user has a manager of systemd's
	Controllers []string // that it hands on
}

// cgroup reads cgroups(7), and tries to make a group below nobox's own.
func cgroup(uid uint32) (c Cgroup) {
	const root = "/sys/fs/cgroup"
	var st unix.Statfs_t
	mount := ""
	switch {
	case unix.Statfs(root, &st) != nil:
	case st.Type == unix.CGROUP2_SUPER_MAGIC:
		c.Layout, mount = "v2", root
	case unix.Statfs(root+"/unified", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC:
		c.Layout, mount = "hybrid", root+"/unified"
	default:
		if b, err := os.ReadFile("/proc/self/cgroup"); err == nil && len(b) > 0 {
			c.Layout = "v1"
		}
	}
	if mount == "" {
		return c
	}
	b, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			c.Own = own
		}
	}
	for part := range strings.SplitSeq(c.Own, "/") {
		if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
			c.Unit = part
		}
	}
	dir, err := os.MkdirTemp(mount+c.Own, "nobox-doctor-")
	if err == nil {
		os.Remove(dir)
	}
	c.Delegated = outcome(bareErrno(err))
	u := id(uid)
	b, err = os.ReadFile(mount + "/user.slice/user-" + u + ".slice/user@" + u + ".service/cgroup.controllers")
	c.Manager = err == nil
	c.Controllers = strings.Fields(string(b))
	return c
}

// landlock asks for the version of Landlock's interface; landlock(7).
func landlock() Outcome {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return outcome(errno)
	}
	return Outcome{Tried: true, Said: strconv.Itoa(int(v))}
}

// container names what nobox runs in, by the marks that each leaves.
func container() string {
	switch {
	case exists("/run/.containerenv"):
		return "podman"
	case exists("/.dockerenv"):
		return "docker"
	case exists("/var/run/secrets/kubernetes.io"):
		return "kubernetes"
	case exists("/.flatpak-info"):
		return "flatpak"
	case exists("/.singularity.d"):
		return "apptainer"
	}
	if b, err := os.ReadFile("/run/systemd/container"); err == nil {
		return strings.TrimSpace(string(b)) // the Container Interface of systemd
	}
	if v := os.Getenv("container"); v != "" {
		return v
	}
	if strings.Contains(strings.ToLower(Sysctl("kernel/osrelease")), "microsoft") {
		return "wsl"
	}
	return ""
}

// AppArmorProfile is the profile that AppArmor holds nobox itself to, "" if
// there is none; apparmor(7), /proc/PID/attr/apparmor/current.
func AppArmorProfile() string {
	b, err := os.ReadFile("/proc/self/attr/apparmor/current")
	name, enforced := strings.CutSuffix(strings.TrimRight(string(b), "\n\x00"), " (enforce)")
	if err != nil || !enforced {
		return ""
	}
	return name
}

func apparmorLabel() string {
	for _, name := range []string{"/proc/self/attr/apparmor/current", "/proc/self/attr/current"} {
		if b, err := os.ReadFile(name); err == nil {
			return strings.TrimRight(string(b), "\n\x00")
		}
	}
	return ""
}

// Colour says whether the environment lets a terminal be written to in
// colours: NO_COLOR, where it is not empty, and a TERM that has none say no.
func Colour() bool {
	term := os.Getenv("TERM")
	return os.Getenv("NO_COLOR") == "" && term != "" && term != "dumb"
}

// Features are what this kernel has of what a box uses, for nobox version.
func Features() (release string, out []string) {
	v, release := kernel()
	if v[0] > 5 || v[0] == 5 && v[1] >= 12 {
		out = append(out, "mount_setattr")
	}
	if l := landlock(); l.OK() {
		out = append(out, "landlock "+l.Said)
	}
	if unix.Access("/proc/sys/kernel/seccomp", unix.F_OK) == nil {
		out = append(out, "seccomp")
	}
	if exists("/proc/self/ns/user") {
		out = append(out, "user namespaces")
	}
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		out = append(out, "cgroup v2")
	}
	return release, out
}
