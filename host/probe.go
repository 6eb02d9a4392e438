package host

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/caller"
	"nobox/plan"
	"nobox/terminal"
)

// Probe looks at the machine. It changes nothing and starts no process but
// getsubids, where the files do not list the user, and id, where passwd does
// not know the uid.
func Probe(q Questions) Facts {
	// Before nobox opens anything: a number may be free.
	fds := make(map[int]error, len(q.FDs))
	for _, fd := range q.FDs {
		_, fds[fd] = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	}
	f := Facts{
		FDs:            fds,
		IDs:            ProbeIDs(q.Ranges),
		Env:            caller.Environ(os.Environ()),
		Home:           os.Getenv("HOME"),
		Umask:          umask(),
		LastCap:        lastCap(),
		Streams:        terminal.Probe(),
		SignalsIgnored: caller.Ignored(),
		SignalsBlocked: caller.Blocked(),
		Places:         make(map[Place]PlaceFact, 48),
		Sources:        make(map[string]SourceFact, 4),
		Files:          make(map[Place]FileFact, 2),
	}
	f.NoFile[0], f.NoFile[1] = caller.NoFile()
	f.TimerSlack = caller.TimerSlack()
	f.Kernel, f.Release = kernel()
	f.Landlock = landlockABI()
	if q.Caps {
		f.Caps = effectiveCaps()
	}
	for fd := range f.StreamFiles {
		f.StreamFiles[fd] = streamFile(fd)
	}
	exe, err := os.Readlink("/proc/self/exe")
	f.unseen("/proc/self/exe", unwrap(err))
	f.Exe = plan.HostPath(strings.TrimSuffix(exe, deleted))
	f.OwnDirs, f.RunDirs = ownDirs(f.Home, f.UID)
	f.OwnFile = configFile(f.Home)
	if q.Secrets {
		f.SecretsAt, f.Secrets.Err = configDir(f.Home), unix.ENOENT
		if f.SecretsAt != "" {
			f.SecretsAt = path.Join(f.SecretsAt, "secrets")
			f.Secrets.Content, f.Secrets.Err = readBelow(Place{Base: "/", Path: f.SecretsAt}, 1<<20)
		}
	}
	f.RealRoot = f.UID == 0 && initialUserns()
	if q.Cwd {
		f.Cwd, f.CwdErr = cwd()
	}
	f.probeHomes()
	if q.Program != "" {
		f.NetHelper = tool(q.Program)
	}
	if q.Ports {
		f.IPv6Loopback = ipv6Loopback()
	}
	if q.Tun {
		if err := unix.Faccessat(unix.AT_FDCWD, "/dev/net/tun", unix.R_OK|unix.W_OK, 0); err != nil {
			f.Refused = map[plan.Fact]string{plan.FactTun: err.Error()}
		}
	}
	if q.Ahead != nil {
		f.Mounts, f.Unseen = q.Ahead.Mounts, q.Ahead.Unseen
	} else {
		f.probeMounts()
	}
	if q.Keep != "" {
		// Of one that could be there ENODATA is said; xattr(7).
		_, err := unix.Getxattr(q.Keep, "user.overlay.opaque", nil)
		f.NoAttrs = err == unix.EOPNOTSUPP
		f.KeepErr = unix.Access(q.Keep, unix.W_OK|unix.X_OK)
	}
	switch {
	case q.Cgroups && q.Ahead != nil:
		f.Cgroups = q.Ahead.Cgroups
		f.linger(&f.Cgroups.Manager)
	case q.Cgroups:
		f.Cgroups = f.cgroups(q.Cgroup)
	}
	for _, p := range q.Disks {
		if f.Disks == nil {
			f.Disks = map[string]Disk{}
		}
		f.Disks[p] = disk(p)
	}
	f.Look(q)
	return f
}

// LookAhead looks at no more than what limits need to know, for who asks systemd
// before all else is known. named is as Questions.Cgroup.
func LookAhead(named string) *Facts {
	f := &Facts{}
	f.probeMounts()
	f.UID = uint32(unix.Getuid())
	f.RealRoot = f.UID == 0 && initialUserns()
	f.Cgroups = f.cgroups(named)
	return f
}

// Binary is the path of nobox's own binary, "" if it cannot be told.
func Binary() string {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(exe, deleted)
}

// deleted is what the kernel adds to the path of a file that has none any more;
// proc_pid_exe(5).
const deleted = " (deleted)"

// unseen keeps the first of what could not be looked at.
func (f *Facts) unseen(name string, err error) {
	if f.Unseen.Err == nil && !tells(err) {
		f.Unseen = Unseen{Path: name, Err: err}
	}
}

// tells says whether the result of looking at a path says what is there, or that
// nothing is, for the caller; path_resolution(7). A file system whose server is
// gone for good (ENOTCONN) has nothing. An error of a disk, or of a kernel short
// of memory, says nothing.
func tells(err error) bool {
	switch err {
	case nil, unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG, unix.ENOTCONN, ErrLeaves:
		return true
	}
	return false
}

// lstat looks at a path as it is, without an automount, and again if a signal
// of the runtime's came between on a slow file system.
func lstat(name string, st *unix.Stat_t) error {
	for {
		if err := unix.Fstatat(unix.AT_FDCWD, name, st, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT); err != unix.EINTR {
			return err
		}
	}
}

// Look answers the further questions of q that name paths.
func (f *Facts) Look(q Questions) {
	for _, s := range q.Sources {
		if _, done := f.Sources[s]; !done {
			f.Sources[s] = source(s)
		}
	}
	known := make(map[string]bool, 16)
	for _, p := range q.Places {
		if _, done := f.Places[p]; !done {
			pf := place(p, known)
			f.unseen(join(string(p.Base), p.Path), pf.Err)
			f.Places[p] = pf
		}
	}
	for _, d := range q.Lists {
		if f.Lists == nil {
			f.Lists = map[plan.HostPath]ListFact{}
		}
		if _, done := f.Lists[d]; !done {
			f.Lists[d] = list(string(d))
		}
	}
	for _, g := range q.Globs {
		if f.Globs == nil {
			f.Globs = map[Glob]GlobFact{}
		}
		if _, done := f.Globs[g]; !done {
			found := glob(g, q.Shown)
			f.unseen(string(found.At), found.Err)
			f.Globs[g] = found
		}
	}
	for _, p := range q.Files {
		if _, done := f.Files[p]; !done {
			c, err := readBelow(p, 1<<20)
			f.Files[p] = FileFact{c, err}
		}
	}
}

// initialUserns says whether nobox is in the host's own user namespace: all ids
// are mapped to themselves; user_namespaces(7).
func initialUserns() bool {
	var buf [128]byte
	n, err := readSmall("/proc/self/uid_map", buf[:])
	f := strings.Fields(string(buf[:max(n, 0)]))
	return err == nil && len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
}

func umask() uint32 {
	m := unix.Umask(0)
	unix.Umask(m)
	return uint32(m)
}

// lastCap reads /proc/sys/kernel/cap_last_cap: the kernel may know more
// capabilities than this binary.
func lastCap() int {
	var buf [16]byte
	n, err := readSmall("/proc/sys/kernel/cap_last_cap", buf[:])
	if err == nil {
		if v, err := strconv.Atoi(strings.TrimSpace(string(buf[:n]))); err == nil && v < 64 {
			return v
		}
	}
	return unix.CAP_LAST_CAP
}

// landlockABI asks landlock_create_ruleset(2) for its version.
// LandlockABI is the version of Landlock's, 0 if the kernel has none or it is
// switched off.
func LandlockABI() int { return landlockABI() }

func landlockABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// effectiveCaps are the capabilities that this thread can use; capget(2).
func effectiveCaps() uint64 {
	var data [2]unix.CapUserData
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&hdr, &data[0]) != nil {
		return 0
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32
}

func readSmall(name string, buf []byte) (int, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Read(fd, buf)
}

func kernel() (v [2]int, release string) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return v, ""
	}
	release = unix.ByteSliceToString(u.Release[:])
	rest := release
	for i := range v {
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			n++
		}
		v[i], _ = strconv.Atoi(rest[:n])
		if n < len(rest) {
			rest = rest[n+1:]
		} else {
			rest = ""
		}
	}
	return v, release
}

// ErrUnreachable is a working directory that no path from the root leads to.
var ErrUnreachable = errors.New("it is not reachable from the root directory")

func cwd() (plan.HostPath, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if err != nil {
		return "", err
	}
	p := string(buf[:n-1])
	if !strings.HasPrefix(p, "/") {
		return "", ErrUnreachable // getcwd(2): "(unreachable)"
	}
	return plan.HostPath(p), nil
}

// probeHomes resolves $HOME and the home of /etc/passwd.
func (f *Facts) probeHomes() {
	for _, h := range []string{f.Home, f.PasswdHome} {
		if !strings.HasPrefix(h, "/") {
			continue
		}
		s := source(h)
		f.unseen(h, s.Err)
		if s.Err != nil || s.Kind != Dir || s.Resolved == "/" {
			continue
		}
		if name := path.Clean(h); name != string(s.Resolved) {
			f.HomeLinks = append(f.HomeLinks, HomeLink{Name: name, To: s.Resolved})
		}
		known := false
		for _, k := range f.Homes {
			known = known || k == s.Resolved
		}
		if !known {
			f.Homes = append(f.Homes, s.Resolved)
		}
	}
}

// configDir is the directory of nobox's configuration, "" if there is none.
func configDir(home string) string {
	file := configFile(home)
	if file == "" {
		return ""
	}
	return path.Dir(file)
}

// ownDirs are the directories of nobox's own configuration and state, there or
// not, and of them those of running boxes: XDG Base Directory Specification.
func ownDirs(home string, uid uint32) (all, running []string) {
	id := strconv.FormatUint(uint64(uid), 10)
	run := os.Getenv("XDG_RUNTIME_DIR")
	usable := private(run, uid)
	if !strings.HasPrefix(run, "/") {
		run = "/run/user/" + id
	}
	all = make([]string, 0, 4)
	for _, dir := range [...]string{configDir(home), stateDir(home)} {
		if dir != "" {
			all = append(all, dir)
		}
	}
	n := len(all)
	all = append(all, path.Join(run, "nobox"))
	if !usable && !private("/run/user/"+id, uid) {
		all = append(all, "/tmp/nobox-"+id) // package boxes
	}
	return all, all[n:]
}

// private says whether a directory is the user's alone.
func private(dir string, uid uint32) bool {
	var st unix.Stat_t
	return strings.HasPrefix(dir, "/") && unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Uid == uid && st.Mode&0o077 == 0
}

func stateDir(home string) string {
	dir := os.Getenv("XDG_STATE_HOME")
	if !strings.HasPrefix(dir, "/") {
		if dir = home; !strings.HasPrefix(dir, "/") {
			return ""
		}
		dir = path.Join(dir, ".local/state")
	}
	return path.Join(dir, "nobox")
}

// source resolves a path of the host as open(2) would, automounts included.
func source(name string) SourceFact {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return SourceFact{Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return SourceFact{Err: err}
	}
	resolved, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return SourceFact{Err: err}
	}
	return SourceFact{Resolved: plan.HostPath(resolved), Kind: kindOf(&st), Rdev: uint64(st.Rdev), Perm: st.Mode & 0o7777}
}

// A StreamFile is what a stream leads to that a program can open anew, by
// /proc/self/fd, for more than it was opened for: the mount that counts then is the
// caller's, not one of the box's.
type StreamFile uint8

const (
	StreamElse    StreamFile = iota // a pipe, a socket, or nothing
	StreamRead                      // a file or a device, opened for reading alone
	StreamWritten                   // one opened for writing, or /dev/null
	StreamDir                       // a directory
)

func streamFile(fd int) StreamFile {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return StreamElse
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return StreamDir
	case unix.S_IFCHR:
		if st.Rdev == unix.Mkdev(1, 3) {
			return StreamWritten
		}
	case unix.S_IFREG, unix.S_IFBLK:
	default:
		return StreamElse
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return StreamRead
	}
	return StreamWritten
}

func kindOf(st *unix.Stat_t) Kind {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFREG:
		return File
	case unix.S_IFCHR:
		return CharDev
	}
	return Other
}

// maxLinks is the kernel's limit on symbolic links in one lookup;
// path_resolution(7).
const maxLinks = 40

// ErrLeaves is a place below a bind that is reached by a link out of it.
var ErrLeaves = errors.New("a symbolic link on the way leads out of what is bound there")

// place walks a path below its base, component by component, as
// RESOLVE_IN_ROOT does. What it finds is advice for Compile: the box resolves
// again by openat2(2), on the tree it has by then. known are directories met
// before, so that each is looked at once.
func place(p Place, known map[string]bool) PlaceFact {
	if p.Base == "" {
		return node(p.Path)
	}
	base := strings.TrimSuffix(string(p.Base), "/")
	rest := strings.Split(strings.Trim(path.Clean(p.Path), "/"), "/")
	cur, links := "", 0
	var f PlaceFact
	f.Kind = Dir
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			if p.Bound && cur == "" {
				f.Err, f.Kind, f.Resolved = ErrLeaves, None, ""
				return f
			}
			cur = cur[:max(strings.LastIndexByte(cur, '/'), 0)]
			continue
		}
		name := base + cur + "/" + c
		if len(rest) > 0 && known[name] {
			cur, f.Kind = cur+"/"+c, Dir
			continue
		}
		var st unix.Stat_t
		if err := lstat(name, &st); err != nil {
			f.Resolved = plan.BoxPath(path.Join("/", cur, c, path.Join(rest...)))
			f.Kind = None
			if err != unix.ENOENT {
				f.Err = err
				return f
			}
			f.Exists = plan.BoxPath(join(cur, ""))
			if cur == "" {
				f.Exists = "/"
			}
			if p.Make {
				err := unix.Access(join(base+cur, ""), unix.W_OK)
				if f.Makeable = err == nil; unix.Stat(join(base+cur, ""), &st) == nil {
					f.Owner = [2]uint32{st.Uid, st.Gid}
					// chmod(2) is for who owns it, in the box too.
					f.Makeable = f.Makeable || err == unix.EACCES && st.Uid == uint32(unix.Geteuid())
				}
			}
			return f
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if links++; links > maxLinks {
				f.Err, f.Kind = unix.ELOOP, None
				return f
			}
			if len(rest) == 0 && links == 1 {
				f.Symlink = true
			}
			if p.Make {
				f.Links = append(f.Links, plan.BoxPath(cur+"/"+c))
			}
			to, err := os.Readlink(name)
			if err = unwrap(err); err == unix.EINVAL {
				rest = append([]string{c}, rest...) // it is no link any more
				continue
			}
			if err != nil {
				f.Err, f.Kind = err, None
				return f
			}
			if strings.HasPrefix(to, "/") {
				if p.Bound {
					f.Err, f.Kind, f.Resolved = ErrLeaves, None, ""
					return f
				}
				cur = ""
			}
			rest = append(strings.Split(strings.Trim(to, "/"), "/"), rest...)
			continue
		}
		cur += "/" + c
		if f.Kind, f.Rdev, f.Perm = kindOf(&st), uint64(st.Rdev), st.Mode&0o7777; f.Kind == Dir {
			known[name] = true
		}
	}
	f.Resolved = plan.BoxPath(cur)
	if cur == "" {
		f.Resolved = "/"
		f.Kind = Dir
	}
	return f
}

// list lists a directory.
func list(dir string) (f ListFact) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ListFact{Err: unwrap(err)}
	}
	for _, e := range entries {
		var st unix.Stat_t
		name := join(dir, "/"+e.Name())
		if lstat(name, &st) != nil {
			continue // gone, or closed
		}
		x := ListEntry{Name: e.Name(), Kind: kindOf(&st), Perm: st.Mode & 0o7777}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if x.Link, err = os.Readlink(name); err != nil || x.Link == "" {
				continue
			}
		}
		f.Entries = append(f.Entries, x)
	}
	return f
}

// node looks at a path of the host as it is.
func node(name string) PlaceFact {
	var st unix.Stat_t
	if err := lstat(name, &st); err != nil {
		if err == unix.ENOENT {
			err = nil
		}
		return PlaceFact{Resolved: plan.BoxPath(name), Err: err}
	}
	return PlaceFact{Resolved: plan.BoxPath(name), Kind: kindOf(&st), Rdev: uint64(st.Rdev)}
}

// ErrNotRegular is a file whose content is wanted but that is no regular file.
var ErrNotRegular = errors.New("it is not a regular file")

// ErrTooLarge is a file beyond the limit.
var ErrTooLarge = errors.New("it is too large")

// readBelow reads a regular file below a base that may be hostile: no link
// leads out of it, a fifo does not block, and no more than max bytes are taken
// (CVE-2024-9676).
func readBelow(p Place, max int) ([]byte, error) {
	base := string(p.Base)
	if base == "" {
		base = "/"
	}
	root, err := unix.Open(base, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, p.Path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, ErrNotRegular
	}
	if st.Size > int64(max) {
		return nil, ErrTooLarge
	}
	var out []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return out, nil
		}
		if out = append(out, buf[:n]...); len(out) > max {
			return nil, ErrTooLarge
		}
	}
}

// Home is $HOME.
func Home() string { return os.Getenv("HOME") }

// StateDir makes the directory of nobox's state, where it is not there; "" if
// there can be none. One that a box needs for its time alone is to stay from then
// on, and so is what it is in.
func StateDir() string {
	dir := stateDir(Home())
	if dir == "" {
		return ""
	}
	for limit := time.Now().Add(holdWait); ; unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil) {
		if os.MkdirAll(dir, 0o700) != nil {
			return ""
		}
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil && err != unix.ENOENT {
			return ""
		}
		if err == nil {
			// Who removes it looks at its mode with the lock for itself.
			var st, at unix.Stat_t
			stays := flock(fd, unix.LOCK_SH) == nil || time.Now().After(limit)
			stays = stays && unix.Fstat(fd, &st) == nil && unix.Stat(dir, &at) == nil && st.Dev == at.Dev && st.Ino == at.Ino
			if stays && Passes(st.Mode&0o7777) {
				unix.Fchmod(fd, 0o700)
				for d := path.Dir(dir); PassesAt(d); d = path.Dir(d) {
					unix.Chmod(d, 0o700)
				}
			}
			unix.Close(fd)
			if stays {
				return dir
			}
		}
		if time.Now().After(limit) {
			return ""
		}
	}
}
