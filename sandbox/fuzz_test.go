package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/internal/nstest"
	"nobox/plan"
	"nobox/userns"
)

// A die decodes bytes into choices. Without bytes every choice is the first,
// which is the usual one.
type die struct{ b []byte }

func (d *die) byte() int {
	if len(d.b) == 0 {
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return int(v)
}

// one in n
func (d *die) one(n int) bool { return d.byte()%n == n-1 }

func (d *die) uint64() uint64 {
	var v uint64
	for range 8 {
		v = v<<8 | uint64(d.byte())
	}
	return v
}

func pick[T any](d *die, from ...T) T { return from[d.byte()%len(from)] }

// some is a few of what f makes.
func some[T any](d *die, f func() T) (out []T) {
	for n := pick(d, 0, 1, 0, 2, 0, 3); n > 0; n-- {
		out = append(out, f())
	}
	return out
}

// odd are words that go wrong where one is careless.
var odd = []string{"", "a\x00b", "\x1b[2J", "-", "a b", "ü", "\xff", "%s", "'", "$(id)", strings.Repeat("x", 300), strings.Repeat("d/", 2500) + "d"}

// places are paths that a flag may name, and where the trees have something.
var places = []string{
	"/srv/data", "/srv/data/in", "/srv/data/in/deep", "/srv/data/file", "/srv/cache", "/mnt", "/opt", "/", "/etc", "/etc/hosts",
	"/etc/resolv.conf", "/etc/hostname", "/etc/passwd", "/etc/group", "/home", nstest.Home, nstest.Project, nstest.Project + "/bin",
	nstest.Project + "/bin/nobox", nstest.Home + "/.ssh", nstest.Home + "/.config/gh", "/root", "/tmp", "/tmp/a", "/tmp/a/b", "/var/tmp",
	"/run", "/run/user/1000", "/run/nobox", "/run/nobox/hosts", "/proc", "/proc/self", "/proc/sys", "/proc/kcore", "/sys", "/sys/firmware",
	"/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/console", "/dev/sda", "/dev/mqueue", "/usr/bin", "/bin", "/bin/bash", "/var",
	"/nobox", "/does/not/exist", "/srv/debian", "/srv/debian/etc", "/srv/bare", "/usr/local/bin/nobox",
}

func (d *die) place() string {
	if d.one(24) {
		return "/" + pick(d, odd...)
	}
	return places[d.byte()%len(places)]
}

// target is a path as cli makes them: absolute, clean, not the root.
func (d *die) target() string {
	if p := path.Clean(d.place()); p != "/" {
		return p
	}
	return "/mnt"
}

func (d *die) word(usual ...string) string {
	if d.one(12) {
		return pick(d, odd...)
	}
	return pick(d, usual...)
}

// name is one that cli lets through: not empty, no "=".
func (d *die) name() string {
	return "N" + strings.Map(func(r rune) rune {
		if r == '=' || r == 0 {
			return -1
		}
		return r
	}, d.word("AME", "", "=X"))
}

// options decodes Options such as any front end may make: what cli refuses by
// itself (package cli, FuzzParse) does not come up.
func (d *die) options() Options {
	o := Options{
		Command: pick(d, []string{"id"}, nil, []string{"/bin/sh", "-c", "true"}, []string{"./x"}, []string{""}),
		Rootfs:  plan.HostPath(pick(d, "", "", "/srv/debian", "/srv/bare", "debian", "/srv/data/file", "/", "/srv/odd")),
		Cwd:     pick(d, ShareDefault, ShareRW, ShareRO, ShareHidden, ShareOverlay), Home: pick(d, ShareDefault, ShareRO, ShareRW, ShareHidden, ShareOverlay),
		Net: pick(d, NetDefault, NetNone, NetHost, NetUser), Userns: pick(d, UsernsAuto, UsernsRoot, UsernsKeepID),
		ReadOnly: d.one(3), EnvHost: d.one(4), AsPid1: d.one(3), EndWithParent: d.one(4), Detached: d.one(4), Shown: d.one(4),
		Terminal: pick(d, Unset, No, Yes), Hostname: pick(d, "", "box", d.word("a.b", "a_b")),
		Timeout: time.Duration(d.byte()), StopTimeout: time.Duration(d.byte()),
	}
	if d.one(5) {
		o.Overlay = d.one(2)
		if o.OverlayDir = pick(d, "", "/srv/keep", "/srv/data/in", d.place()); o.OverlayDir != "" {
			o.OverlayDirFrom = "--overlay-dir " + plan.Quote(o.OverlayDir)
		}
	}
	if d.one(8) {
		o.Command = append(o.Command, d.word("arg"))
	}
	if o.Net != NetDefault {
		o.NetFrom = "--net"
	}
	if d.one(6) && (o.Net == NetDefault || o.Net == NetUser) {
		o.MTU, o.HostPorts = pick(d, 0, 1280, 65520), []uint16{80}
		o.AddHosts = []AddHost{{"db", pick(d, "192.0.2.1", HostGateway)}}
		o.DNS, o.DNSSearch = []string{"192.0.2.53"}, []string{"example.com"}
		o.AllowHosts, o.DenyHosts = []string{"*.example.com:443"}, []string{"10.0.0.0/8"}
		o.NetLog = pick(d, "net.log", "/srv/net.log", "")
	}
	if d.one(40) {
		o.Tier, o.ConnectTCP, o.BindTCP = TierLandlock, []uint16{443}, []uint16{0, 8080}
	}
	if o.Userns != UsernsAuto {
		o.UsernsFrom = pick(d, "-r", "-c", "--userns=keep-id")
	}
	if d.one(4) {
		o.Workdir = d.place()
	}
	o.Binds = some(d, func() Bind {
		b := Bind{Source: pick(d, d.place(), d.place(), "in", "../project", d.word("x")), Target: d.target(), ReadOnly: d.one(2), NoExec: d.one(4), Flat: d.one(4), Overlay: d.one(5)}
		if b.Source == "" {
			b.Source = "."
		}
		b.From = "-v " + plan.Quote(b.Source+":"+b.Target)
		return b
	})
	o.Tmpfs = some(d, func() Tmpfs {
		t := Tmpfs{Target: d.target(), Size: pick(d, 0, 1<<20, d.uint64()), Mode: pick(d, uint32(0), 0o700, 0o7777)}
		t.Options.ReadOnly, t.Options.NoExec = d.one(3), d.one(3)
		t.From = "--tmpfs " + plan.Quote(t.Target)
		return t
	})
	if d.one(6) {
		o.Masks = some(d, func() Mask {
			m := Mask{Path: pick(d, d.place(), d.place(), "in", "**/*", "/srv/**/file", "/etc/h*", "/**", "["+d.place())}
			m.From = "--mask " + plan.Quote(m.Path)
			return m
		})
	}
	if d.one(10) {
		o.Devices = some(d, func() Device {
			v := Device{Source: pick(d, "/dev/tty", "/dev/sda", "/dev", d.place()), Target: d.target()}
			if v.Source == "" {
				v.Source = "/dev/zero"
			}
			v.From = "--device " + plan.Quote(v.Source)
			return v
		})
	}
	o.Env = some(d, func() EnvVar {
		e := EnvVar{Name: pick(d, "PATH", "HOME", "TERM", d.name()), Value: d.word("v", "/bin", ""), FromCaller: d.one(3)}
		if e.From = "-e " + plan.Quote(e.Name); e.FromCaller {
			e.Value = ""
		}
		return e
	})
	cap := func(flag string) func() CapRequest {
		return func() CapRequest {
			c := CapRequest{Cap: pick(d, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN, unix.CAP_CHOWN, d.byte()%42), All: d.one(8)}
			if c.All {
				c.Cap = 0
			}
			c.From = flag + " " + fmt.Sprint(c.Cap)
			return c
		}
	}
	o.CapAdd, o.CapDrop = some(d, cap("--cap-add")), some(d, cap("--cap-drop"))
	o.AllowUserns = d.one(4)
	if o.AllowUserns && d.one(2) {
		o.Unmask = "--security-opt systempaths=unconfined"
	}
	if d.one(8) {
		o.PreserveFDs = []FD{{FD: pick(d, 3, 9, 3000), From: "--preserve-fd 3"}}
	}
	if d.one(4) {
		o.Seccomp = Seccomp{From: "--security-opt seccomp=x", Unconfined: true}
		if d.one(2) {
			o.Seccomp.Unconfined = false
			o.Seccomp.Profile = []byte(pick(d, `{"defaultAction":"SCMP_ACT_ALLOW"}`, `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ALLOW"}]}`,
				`{"defaultAction":"SCMP_ACT_LOG"}`, d.word("null", "{", `{"defaultAction":"SCMP_ACT_KILL"}`)))
		}
	}
	if o.Userns == UsernsAuto && d.one(4) {
		maps := func(flag string) func() MapRequest {
			return func() MapRequest {
				m := MapRequest{Box: pick(d, uint32(0), 1, 1000, uint32(d.uint64())%(1<<31)), Host: pick(d, uint32(0), 1, 2, 1000, 100000, uint32(d.uint64())%(1<<31)),
					Count: pick(d, uint32(1), 1000, 65536), Absolute: d.one(3)}
				m.From = fmt.Sprintf("%s %d:%d:%d", flag, m.Box, m.Host, m.Count)
				return m
			}
		}
		o.UIDMap, o.GIDMap = some(d, maps("--uidmap")), some(d, maps("--gidmap"))
	}
	if d.one(4) {
		o.User = d.word("1000:1000", "0", "build", "build:docker", "7", "high", "4294967295", ":", "a:b:c", "1000:", "-1", "ana", "root:tty")
	}
	o.Ulimits = some(d, func() Ulimit {
		hard := pick(d, 64, 4096, ^uint64(0))
		name, r := "core", unix.RLIMIT_CORE
		if d.one(2) {
			name, r = "nofile", unix.RLIMIT_NOFILE
		}
		return Ulimit{Name: name, Resource: r, Soft: min(hard, pick(d, 0, 64, ^uint64(0))), Hard: hard, From: "--ulimit " + name}
	})
	if d.one(6) {
		o.CwdAtMost, o.CwdAtMostFrom = pick(d, ShareRO, ShareOverlay), "cwd = ro, .nobox.toml:1"
	}
	if d.one(14) {
		o.Net, o.NetFrom = pick(d, NetPasta, NetSlirp4netns, NetPasta, NetSlirp4netns, NetNS), "--net"
		if o.Net == NetNS {
			o.NetNS = d.place()
		}
	}
	if d.one(20) && (o.Net != NetHost && o.Net != NetNS || d.one(8)) {
		for range pick(d, 1, 2, 3) {
			p := Publish{First: pick(d, uint16(0), 80, 8080), Box: pick(d, uint16(80), 1, 65535), UDP: d.one(3), From: "-p " + d.word("8080:80")}
			p.Last = p.First
			switch {
			case d.one(4):
				p.Addr = netip.MustParseAddr(pick(d, "0.0.0.0", "2001:db8::1", "192.0.2.1"))
			case d.one(5):
				p.First, p.Last, p.UDP, p.Path = 0, 0, false, d.word("app.sock", "/run/x")
			case p.First != 0 && d.one(4):
				p.Last += 9
			}
			o.Publish = append(o.Publish, p)
			o.Clients = o.Clients || d.one(3)
		}
	}
	amount := func(flag string, values ...uint64) Amount {
		if !d.one(4) {
			return Amount{}
		}
		return Amount{pick(d, values...), flag + " N"}
	}
	if !d.one(5) {
		if d.one(10) {
			o.EnvClear = true
			for i := range o.Binds {
				o.Binds[i].Try = d.one(2)
			}
			for i := range o.Env {
				if o.Env[i].Unset = d.one(2); o.Env[i].Unset {
					o.Env[i].Value, o.Env[i].FromCaller = "", false
				}
			}
		}
		return o
	}
	o.Limits = Limits{
		Memory: amount("-m", 6<<20, 1<<30, Unlimited-1), MemorySwap: amount("--memory-swap", 1<<30, 1, Unlimited),
		MemoryReservation: amount("--memory-reservation", 6<<20, 1<<40), CPUs: amount("--cpus", 50000, 100000000),
		CPUWeight: amount("--cpu-weight", 1, 10000), Pids: amount("--pids-limit", 100, 1), IOWeight: amount("--io-weight", 200),
		BestEffort: !d.one(4), Report: d.one(4),
	}
	if d.one(6) {
		o.Limits.CPUSet, o.Limits.CPUSetFrom = pick(d, "0", "0-3", "9"), "--cpuset-cpus"
	}
	if d.one(4) {
		o.Limits.Cgroup, o.Limits.CgroupFrom = pick(d, "auto", "systemd", "off", "/sys/fs/cgroup/x"), "--cgroup"
	}
	if d.one(6) {
		o.Limits.Writable = "--cgroup-writable"
	}
	if d.one(4) {
		o.Limits.Devices = some(d, func() DeviceLimit {
			return DeviceLimit{d.place(), pick(d, "rbps", "wiops"), pick(d, uint64(1), 1<<30), "--device-read-bps"}
		})
	}
	return o
}

// cgroups decodes what a machine may have for limits.
func (d *die) cgroups() *host.Cgroups {
	c := pick(d, nstest.Cgroups, nstest.Delegated)()
	c.Mode = pick(d, host.CgroupUnified, host.CgroupUnified, host.CgroupUnified, host.CgroupHybrid, host.CgroupLegacy, host.CgroupNone)
	c.ReadOnly, c.Systemd = d.one(8), d.one(2)
	if d.one(4) {
		c.Manager.Buses, c.Manager.Linger = nil, d.one(2)
	}
	if d.one(4) {
		c.Manager.Known = false
	}
	if d.one(4) {
		c.Here.Type = pick(d, "threaded", "domain invalid", "")
	}
	if d.one(3) {
		c.Named = host.CgroupDir{Path: "/sys/fs/cgroup/x", Writable: d.one(2), Populated: d.one(2), Controllers: []string{"memory"}}
	} else {
		c.Named = host.CgroupDir{Path: "/sys/fs/cgroup/x", Err: unix.ENOENT}
	}
	c.Off = some(d, func() string { return pick(d, "memory", "blkio") })
	return c
}

// tree decodes a file system: a usual one, in which something is not.
func (d *die) tree() nstest.Tree {
	t := complete.With(nstest.Bare("/srv/bare"))
	t["/debian"] = nstest.Link("/srv/debian")
	for _, p := range []string{"/srv/data/debian", nstest.Project + "/debian"} {
		t[p] = nstest.Link("/srv/debian")
	}
	for n := pick(d, 0, 1, 2, 4, 8); n > 0; n-- {
		p := pick(d, "", "", "/srv/debian", "/srv/bare", "/srv/odd") + d.place()
		if p == "/" || p == "" || strings.IndexByte(p, 0) >= 0 || strings.HasSuffix(p, "/") || len(p) > 1000 {
			continue
		}
		if p == "/proc" || p == "/sys" || p == "/dev" {
			continue // no Linux is without
		}
		t[p] = pick(d, nstest.Dir, nstest.File, nstest.Absent, nstest.Fifo, nstest.Closed, nstest.Device(1, 3), nstest.Device(8, 0),
			nstest.Text(d.word("x:x:0:0::/:\n", "build:x:1:1:::\n", "::::\n", "a:x:-1:99999999999::\n")),
			nstest.Link(d.place()), nstest.Link("."), nstest.Link("../.."), nstest.Link(".."+d.place()), nstest.Link(path.Base(p)))
	}
	return t.Whole()
}

// facts decodes what a machine may be, all but the places.
func (d *die) facts(t nstest.Tree) *host.Facts {
	f := nstest.Facts()
	switch d.byte() % 8 {
	case 1:
		f.UID, f.GID, f.User, f.RealRoot = 0, 0, "root", d.one(2)
		f.Env[2], f.Home = "HOME=/root", "/root"
	case 2:
		f.SubUID.Ranges, f.SubUID.Missing = nil, d.one(2)
	case 3:
		f.SubGID.Ranges, f.SubGID.Problems = nil, []string{"odd"}
	case 4:
		f.NewUIDMap.State, f.NewUIDMap.Path = host.HelperMissing, ""
	case 5:
		f.NoNewPrivs, f.NewUIDMap.State, f.NewGIDMap.State = true, host.HelperNoNewPrivs, host.HelperNoNewPrivs
	case 6:
		f.UID, f.GID, f.User = 3000000000, 3000000001, ""
		f.SubUID.Ranges = []host.Range{{Start: 4000000000, Count: 100}, {Start: 100000, Count: 1}, {Start: 200000, Count: 65536}}
	case 7:
		f.HelpersRefused = "newuidmap: uid range [1-65537) -> [100000-165536) not allowed"
		f.Refused = map[plan.Fact]string{plan.FactNewIDMap: f.HelpersRefused}
	}
	if d.one(8) {
		f.Refused = map[plan.Fact]string{plan.FactSysfs: "no", plan.FactMqueue: "no"}
	}
	f.Cgroups = d.cgroups()
	if d.one(8) {
		f.Refused = map[plan.Fact]string{pick(d, plan.FactScope, plan.FactCgroup, plan.FactLimit("memory.max"), plan.FactLimit("io.max")): "no"}
	}
	if d.one(8) {
		f.Disks = map[string]host.Disk{"/srv": {Err: host.ErrNoDisk}, "/": {Err: unix.EACCES}}
	}
	if d.one(16) {
		f.Kernel = pick(d, [2]int{5, 12}, [2]int{5, 11}, [2]int{4, 18}, [2]int{7, 0})
	}
	if d.one(3) {
		f.Mounts = host.Mounts{{Device: "1:1", Root: "/", Point: "/", Type: "ext4"}, {Device: "1:2", Root: "/", Point: "/srv/data/in", Type: pick(d, "xfs", "vfat", "nfs")},
			{Device: "1:1", Root: "/srv", Point: "/mnt", Type: "ext4"}, {Device: "0:9", Root: "/", Point: plan.HostPath(path.Clean("/" + d.place())), Type: "tmpfs"}}
	}
	f.SecretsAt, f.Secrets.Err = "/home/ana/.config/nobox/secrets", unix.ENOENT
	if d.one(4) {
		f.Secrets = host.FileFact{Content: []byte(d.word("notes\n", "# x\n\n ~/notes \n/srv/data\n", "**/f*\n", "[\n", "..\n", "project/*.c"))}
	}
	f.LastCap = pick(d, 40, 41, 63)
	f.StreamFiles = [3]host.StreamFile{pick(d, host.StreamElse, host.StreamRead, host.StreamWritten, host.StreamDir), pick(d, host.StreamElse, host.StreamRead, host.StreamWritten), pick(d, host.StreamElse, host.StreamWritten)}
	f.Landlock = pick(d, 6, 0, 1, 2, 3, 4, 5, 7)
	f.Umask = pick(d, uint32(0o022), 0, 0o777)
	f.NoFile = [2]uint64{pick(d, uint64(1024), 16), pick(d, ^uint64(0), 4096)}
	if d.one(4) {
		f.SignalsIgnored, f.SignalsBlocked = d.uint64(), d.uint64()
	}
	if d.one(2) {
		f.Streams.TTY = [3]bool{d.one(2), d.one(2), d.one(2)}
		if f.Streams.TTY[0] {
			f.Streams.FD, f.Streams.Size = 0, unix.Winsize{Row: uint16(d.byte()), Col: uint16(d.byte())}
		}
	}
	f.Env = append(f.Env, some(d, func() string {
		return d.word("SHELL=", "PATH=", "PATH=.", "LC_ALL=C", "=x", "x", "HOME=/tmp")
	})...)
	if d.one(4) {
		f.Env = f.Env[1:] // no SHELL
	}
	if d.one(8) {
		f.Env = nil
	}
	// Directories that are there, each once.
	f.Homes = nil
	for _, h := range some(d, func() string { return pick(d, nstest.Home, "/root", d.place()) }) {
		s := t.Source("/", h)
		known := s.Err != nil || s.Kind != host.Dir || s.Resolved == "/"
		for _, k := range f.Homes {
			known = known || k == s.Resolved
		}
		if !known {
			f.Homes = append(f.Homes, s.Resolved)
		}
	}
	if s := t.Source("/", pick(d, nstest.Project, nstest.Project, d.place())); s.Err == nil && s.Kind == host.Dir {
		f.Cwd = s.Resolved
	} else {
		f.Cwd, f.CwdErr = "", unix.ENOENT
	}
	if s := t.Source("/", pick(d, "/usr/local/bin/nobox", nstest.Project+"/bin/nobox", d.place())); s.Err == nil && s.Kind == host.File {
		f.Exe = s.Resolved
	} else {
		f.Exe = ""
	}
	return f
}

// try compiles what the bytes say and holds every promise; it says whether
// there is a plan.
func try(t *testing.T, data []byte) bool {
	d := &die{data}
	o := d.options()
	tree := d.tree()
	f := d.facts(tree)
	tree.Answer(f, QuestionsOf(o))
	tree.Answer(f, MoreQuestions(o, f))
	if o.Rootfs == "debian" && f.CwdErr != nil {
		return false // a name from a directory that is gone
	}
	p, err := Compile(o, f)
	if (p == nil) == (err == nil) {
		t.Fatalf("plan %v, error %v\n%+v", p, err, o)
	}
	// Every place it looks at is one that it asked about: to know more of the
	// machine changes nothing.
	more := host.Questions{}
	bases := map[plan.HostPath]bool{"": true, "/": true}
	for _, s := range f.Sources {
		if s.Err == nil {
			bases[s.Resolved] = true
		}
	}
	for p := range f.Places {
		bases[p.Base] = true
	}
	for b := range bases {
		for _, p := range places {
			if q := (host.Place{Base: b, Path: p}); f.Places[q].Resolved == "" && f.Places[q].Kind == host.None && f.Places[q].Err == nil && (b != "" || strings.HasPrefix(p, "/proc") || strings.HasPrefix(p, "/dev")) {
				more.Places = append(more.Places, q)
			}
		}
	}
	for _, p := range tree.Paths() {
		for b := range bases {
			for q := p; b != "" && b != "/" && strings.HasPrefix(q, string(b)+"/"); q = path.Dir(q) {
				more.Places = append(more.Places, host.Place{Base: b, Path: q[len(b):]})
			}
		}
	}
	tree.Answer(f, more)
	p2, err2 := Compile(o, f)
	if fmt.Sprint(err) != fmt.Sprint(err2) || p != nil && p2 != nil && p.String() != p2.String() {
		t.Fatalf("a place was looked at that was not asked about:\n%v\n%v\n%s\n%s\n%+v", err, err2, first(p, p2), o.Rootfs, o)
	}
	if err != nil {
		if s := err.Error(); !strings.HasPrefix(s, "cannot ") || strings.ContainsAny(s, "\x00\x1b\n") {
			t.Fatalf("an error that cannot be shown: %q\n%+v", s, o)
		}
		return false
	}
	if err := p.Check(); err != nil {
		t.Fatalf("%v\n%+v\n%s", err, o, p)
	}
	if _, err := userns.Syscalls(p); err != nil {
		t.Fatalf("%v\n%+v\n%s", err, o, p)
	}
	if j, err := p.JSON(); err != nil || !json.Valid(j) {
		t.Fatalf("JSON: %v\n%+v", err, o)
	}
	return true
}

// first is where two plans part.
func first(a, b *plan.Plan) string {
	if a == nil || b == nil {
		return "one plan only"
	}
	x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := make([]byte, 20+r.IntN(300))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { try(t, data) })
}

// A fuzz test that only ever met errors would hold nothing.
func TestTheFuzzDecoderReachesEveryFieldAndMakesPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	reached := map[string]bool{}
	all := map[string]bool{}
	plans := 0
	const rounds = 1000
	for range rounds {
		b := make([]byte, r.IntN(400))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		o := (&die{bytes.Clone(b)}).options()
		fields("Options", reflect.ValueOf(o), all, reached)
		if try(t, b) {
			plans++
		}
	}
	for name := range all {
		if !reached[name] {
			t.Errorf("%s is never set", name)
		}
	}
	if plans < rounds/25 {
		t.Errorf("%d plans in %d rounds", plans, rounds)
	}
}

// fields notes the fields there are, below slices too, and those that are set.
func fields(name string, v reflect.Value, all, set map[string]bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fields(name+"."+v.Type().Field(i).Name, v.Field(i), all, set)
		}
	case reflect.Slice:
		all[name] = true
		set[name] = set[name] || v.Len() > 0
		for i := range v.Len() {
			fields(name+"[]", v.Index(i), all, set)
		}
	default:
		all[name] = true
		set[name] = set[name] || !v.IsZero()
	}
}

func FuzzSecretsList(f *testing.F) {
	for _, s := range []string{"", "a\n#b\n", "~/x\n/y/../z", "..", "~", "**/k[a-z]", "[", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := secretsList(s)
		if err != nil && (list != nil || !strings.HasPrefix(err.Error(), "line ")) {
			t.Fatalf("%q: %q, %v", s, list, err)
		}
		for _, p := range list {
			if p == "" || path.Clean(p) != p || p == "/" || p == "." || p == ".." || strings.HasPrefix(p, "../") || strings.IndexByte(p, 0) >= 0 {
				t.Fatalf("%q: %q", s, p)
			}
		}
	})
}
