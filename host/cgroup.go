package host

import (
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// CgroupMode is which versions of cgroups the machine has mounted; cgroups(7).
type CgroupMode uint8

const (
	CgroupNone    CgroupMode = iota // none that can be found
	CgroupLegacy                    // version 1 alone
	CgroupHybrid                    // version 2 beside version 1, which has controllers
	CgroupUnified                   // version 2 alone
)

// Cgroups is what the machine offers for limits.
type Cgroups struct {
	Mode   CgroupMode
	Mount  plan.HostPath // of version 2, "" if there is none
	V1     []string      // controllers that version 1 holds
	Kernel []string      // controllers that the kernel has; nil if that cannot be seen from here
	Off    []string      // controllers that the kernel has and was told to leave off; cgroup_disable=
	// ReadOnly: the hierarchy is mounted read-only, as in most containers.
	ReadOnly bool
	Systemd  bool // systemd is the machine's pid 1; sd_booted(3)

	Here  CgroupDir // where nobox stands, or what is above if that is nobox's own leaf
	Named CgroupDir // the one that was asked about

	Manager Manager

	CPUs int // that nobox may use
}

// A CgroupDir is one cgroup, seen as a place to make others in.
type CgroupDir struct {
	Path        plan.HostPath // "" if it cannot be told
	Err         error
	Controllers []string // that it could give to those below it
	Given       []string // that it gives them now
	Populated   bool     // processes stand in it
	Writable    bool     // the caller may make cgroups in it, and move processes to them
	Type        string   // cgroup.type; "" for the root
	CPUs        string   // cpuset.cpus.effective
}

// A Manager is a systemd that may make a scope: the user's own, or for root the
// machine's.
type Manager struct {
	Machine bool // it is the machine's
	// Buses are the ways to it, the most direct first.
	Buses []plan.Bus
	// Runtime is the directory where the user's has its sockets, and whether
	// there is one.
	Runtime    plan.HostPath
	HasRuntime bool
	Linger     bool     // it runs without the user being logged in; loginctl(1)
	Known      bool     // Controllers could be read
	Given      []string // controllers it was given by the machine's systemd
}

// CgroupLeaf is the name of the cgroup that nobox moves those to that stand
// where it has to make others; no process stands in a cgroup that gives
// controllers to those below, cgroups(7).
const CgroupLeaf = "nobox"

// cgroups looks at the machine's cgroups. named is one to look at, "" for none.
func (f *Facts) cgroups(named string) *Cgroups {
	c := &Cgroups{CPUs: runtime.NumCPU()}
	var fs unix.Statfs_t
	v2 := func(p string) bool { return unix.Statfs(p, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC }
	for _, m := range f.Mounts {
		if m.Type == "cgroup2" && v2(string(m.Point)) {
			c.Mount, c.ReadOnly = m.Point, fs.Flags&unix.ST_RDONLY != 0
			if m.Point == "/sys/fs/cgroup" {
				break
			}
		}
	}
	own := ""
	b, _ := ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(f) < 3:
		case f[0] == "0" && f[1] == "":
			own = f[2]
		case !strings.HasPrefix(f[1], "name="):
			c.V1 = append(c.V1, strings.Split(f[1], ",")...)
		}
	}
	switch {
	case len(c.V1) > 0 && c.Mount != "":
		c.Mode = CgroupHybrid
	case len(c.V1) > 0:
		c.Mode = CgroupLegacy
	case c.Mount != "":
		c.Mode = CgroupUnified
	}
	b, _ = ReadFile("/proc/cgroups")
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		if f[3] == "0" {
			c.Off = append(c.Off, f[0])
		}
	}
	if c.Mount != "" {
		// The true root has no type; that of a container has.
		if _, err := os.Stat(string(c.Mount) + "/cgroup.type"); err != nil {
			b, _ = ReadFile(string(c.Mount) + "/cgroup.controllers")
			c.Kernel = strings.Fields(string(b))
		}
	}
	_, err := os.Stat("/run/systemd/system")
	c.Systemd = err == nil
	if c.Mount != "" && strings.HasPrefix(own, "/") && !strings.HasPrefix(own, "/..") {
		c.Here = cgroupDir(join(string(c.Mount), strings.TrimSuffix(own, "/")))
		if above := path.Dir(string(c.Here.Path)); path.Base(own) == CgroupLeaf && within(string(c.Mount), above) {
			if d := cgroupDir(above); d.Writable {
				c.Here = d
			}
		}
	}
	if named != "" {
		if c.Mount != "" && !within(string(c.Mount), named) {
			named = join(string(c.Mount), path.Clean(named))
		}
		c.Named = cgroupDir(path.Clean(named))
		if c.Named.Err == nil && !v2(named) {
			c.Named.Err = ErrNoCgroup
		}
	}
	c.Manager = f.manager(c)
	return c
}

// ErrNoCgroup is a path that is no cgroup of version 2.
var ErrNoCgroup = cgroupError("it is no cgroup of version 2")

type cgroupError string

func (e cgroupError) Error() string { return string(e) }

func cgroupDir(p string) CgroupDir {
	d := CgroupDir{Path: plan.HostPath(p)}
	read := func(name string) string {
		b, err := ReadFile(p + "/" + name)
		if err != nil && d.Err == nil && name == "cgroup.controllers" {
			d.Err = bareError(err)
		}
		return strings.TrimSpace(string(b))
	}
	d.Controllers = strings.Fields(read("cgroup.controllers"))
	d.Given = strings.Fields(read("cgroup.subtree_control"))
	d.Populated = read("cgroup.procs") != ""
	d.Type = read("cgroup.type")
	d.CPUs = read("cpuset.cpus.effective")
	d.Writable = true
	for _, name := range []string{"", "/cgroup.procs", "/cgroup.subtree_control"} {
		if unix.Access(p+name, unix.W_OK) != nil {
			d.Writable = false
		}
	}
	return d
}

func bareError(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

// manager finds the systemd that the caller may ask.
func (f *Facts) manager(c *Cgroups) Manager {
	m := Manager{Buses: Systemd()}
	cgroup := ""
	if f.RealRoot {
		m.Machine, m.Linger = true, true
	} else {
		uid := strconv.FormatUint(uint64(f.UID), 10)
		m.Runtime = plan.HostPath("/run/user/" + uid)
		_, err := os.Stat(string(m.Runtime))
		m.HasRuntime = err == nil
		f.linger(&m)
		cgroup = "/user.slice/user-" + uid + ".slice/user@" + uid + ".service"
	}
	if b, err := ReadFile(string(c.Mount) + cgroup + "/cgroup.controllers"); err == nil && c.Mount != "" {
		m.Known, m.Given = true, strings.Fields(string(b))
	}
	return m
}

// linger looks whether the user's systemd runs without a session.
func (f *Facts) linger(m *Manager) {
	if m.Machine {
		return
	}
	_, err := os.Stat("/var/lib/systemd/linger/" + f.User)
	m.Linger = err == nil && f.User != ""
}

// Systemd are the ways to the caller's own systemd, or root's to the machine's,
// the most direct first. Its own socket is there without a bus, nothing stands in
// between, and none of a bus's limits on clients hold; systemctl(1) takes it too.
// An address of the environment may be that of another bus, on which there is no
// systemd.
func Systemd() (buses []plan.Bus) {
	socket := func(p string, direct bool) {
		var st unix.Stat_t
		if unix.Stat(p, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK {
			buses = append(buses, plan.Bus{Address: "unix:path=" + p, Direct: direct})
		}
	}
	if unix.Getuid() == 0 && initialUserns() {
		socket("/run/systemd/private", true)
		socket("/run/dbus/system_bus_socket", false)
		return buses
	}
	dir := "/run/user/" + strconv.Itoa(unix.Getuid())
	if x := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(x) && x != dir {
		socket(x+"/systemd/private", true)
	}
	socket(dir+"/systemd/private", true)
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
		buses = append(buses, plan.Bus{Address: a})
	}
	socket(dir+"/bus", false)
	return buses
}

// Disk is the block device that holds a path, or that the path is.
type Disk struct {
	Major, Minor uint32
	Err          error
}

// ErrNoDisk is a path on a file system that is on no one block device.
var ErrNoDisk = cgroupError("its file system is not on a block device of its own")

// disk finds the device whose reads and writes the kernel can limit: a whole
// disk, since it counts for a partition nothing of its own; blk-cgroup.c.
func disk(p string) Disk {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return Disk{Err: err}
	}
	dev := uint64(st.Dev)
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		dev = uint64(st.Rdev)
	}
	d := Disk{Major: unix.Major(dev), Minor: unix.Minor(dev)}
	if d.Major == 0 {
		d.Err = ErrNoDisk
		return d
	}
	dir, err := filepath.EvalSymlinks("/sys/dev/block/" + strconv.Itoa(int(d.Major)) + ":" + strconv.Itoa(int(d.Minor)))
	if err != nil {
		return d // the kernel will say
	}
	if _, err := os.Stat(dir + "/partition"); err != nil {
		return d
	}
	b, err := ReadFile(path.Dir(dir) + "/dev")
	major, minor, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	ma, e1 := strconv.ParseUint(major, 10, 32)
	mi, e2 := strconv.ParseUint(minor, 10, 32)
	if err == nil && ok && e1 == nil && e2 == nil {
		d.Major, d.Minor = uint32(ma), uint32(mi)
	}
	return d
}
