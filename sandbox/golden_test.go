package sandbox

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/internal/nstest"
	"nobox/plan"
	"nobox/userns"
)

var update = flag.Bool("update", false, "write testdata/golden anew; its diff is the security review")

// A scene is what was asked for, and where.
type scene struct {
	o    Options
	tree nstest.Tree
	f    func(*host.Facts) // what the machine has that is not usual, nil if nothing
}

// facts answers all that Compile may look at.
func (s scene) facts() *host.Facts {
	f, tree := nstest.Facts(), s.tree
	if tree == nil {
		tree = nstest.Host()
	}
	if s.f != nil {
		s.f(f)
	}
	tree.Answer(f, QuestionsOf(s.o))
	tree.Answer(f, MoreQuestions(s.o, f))
	tree.Answer(f, LastQuestions(s.o, f))
	return f
}

func (s scene) compile() (*plan.Plan, error) { return Compile(s.o, s.facts()) }

// plan is the plan of a scene that has one, and it must hold what plans promise.
func (s scene) plan(t testing.TB) *plan.Plan {
	t.Helper()
	p, err := s.compile()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Fatalf("%v\n%s", err, p)
	}
	return p
}

var (
	complete = nstest.Host().With(nstest.Root("/srv/debian"))
	bare     = nstest.Host().With(nstest.Bare("/srv/bare"))
)

// scenes are the goldens, by the name of their files.
func scenes() map[string]scene {
	id := []string{"id"}
	return map[string]scene{
		"default":               {o: Options{Command: []string{"make", "it so"}}},
		"map-root-user":         {o: Options{Command: id, Userns: UsernsRoot, UsernsFrom: "-r"}},
		"map-current-user":      {o: Options{Command: id, Userns: UsernsKeepID, UsernsFrom: "-c"}},
		"rootfs":                {o: Options{Rootfs: "/srv/debian"}, tree: complete},
		"rootfs-bare":           {o: Options{Rootfs: "/srv/bare", Command: []string{"/bin/busybox", "sh"}}, tree: bare},
		"rootfs-bare-read-only": {o: Options{Rootfs: "/srv/bare", ReadOnly: true, Command: []string{"/bin/busybox", "sh"}}, tree: bare},
		"home-ro":               {o: Options{Command: id, Home: ShareRO}},
		"home-rw":               {o: Options{Command: id, Home: ShareRW}},
		"cwd-ro":                {o: Options{Command: id, Cwd: ShareRO}},
		"cap-add":               {o: Options{Command: id, CapAdd: []CapRequest{{All: true, From: "--cap-add ALL"}}, Net: NetUser, NetFrom: "--net=user"}},
		"tier-landlock": {o: Options{Command: id, Tier: TierLandlock, ConnectTCP: []uint16{443, 53}, BindTCP: []uint16{0},
			Binds: []Bind{{Source: "/srv/data", Target: "/srv/data", NoExec: true, From: "-v /srv/data:/srv/data:noexec"}},
			Masks: []Mask{{Path: "/etc/passwd", From: "--mask /etc/passwd"}}}},
		"net-host": {o: Options{Command: id, Net: NetHost, NetFrom: "--net=host"}},
		"net-user": {o: Options{Command: id, Userns: UsernsRoot, UsernsFrom: "-r", Net: NetUser, NetFrom: "--net=user"}},
		"net-user-veth": {o: Options{Command: id, Userns: UsernsRoot, UsernsFrom: "-r", Net: NetUser, NetFrom: "--net=user"},
			f: func(f *host.Facts) { f.Refused = map[plan.Fact]string{plan.FactTun: "no such file or directory"} }},
		"net-policy": {o: Options{Command: id, Userns: UsernsRoot, UsernsFrom: "-r", AllowHosts: []string{"*.example.com:443"}, DenyHosts: []string{"10.0.0.0/8"},
			HostPorts: []uint16{5432}, AddHosts: []AddHost{{"db", HostGateway}}, DNS: []string{"192.0.2.53"}, MTU: 9000, NetLog: "net.log"}},
		"net-slirp4netns": {o: Options{Command: id, Net: NetSlirp4netns, NetFrom: "--net=slirp4netns", Publish: []Publish{
			{First: 8080, Last: 8080, Box: 80, From: "-p 8080:80"}, {Box: 53, UDP: true, From: "-p 53/udp"}}}},
		"as-pid-1": {o: Options{Command: id, AsPid1: true, Userns: UsernsRoot, UsernsFrom: "-r", Net: NetNone, NetFrom: "--net=none"}},
		"user":     {o: Options{Command: id, User: "1000:1000"}},
		"limits": {o: Options{Command: id, Limits: Limits{
			Memory: Amount{512 << 20, "-m 512m"}, MemorySwap: Amount{1 << 30, "--memory-swap 1g"}, CPUs: Amount{150000, "--cpus 1.5"}, Pids: Amount{100, "--pids-limit 100"}}}},
		"limits-delegated": {o: Options{Command: id, Limits: Limits{
			Memory: Amount{512 << 20, "-m 512m"}, CPUSet: "0-1", CPUSetFrom: "--cpuset-cpus 0-1", Writable: "--cgroup-writable",
			Devices: []DeviceLimit{{"/srv", "rbps", 1 << 20, "--device-read-bps /srv:1m"}}}},
			f: func(f *host.Facts) { f.Cgroups = nstest.Delegated() }},
		"mounts": {o: Options{
			Command: id, Workdir: "/tmp/in/deep",
			Binds: []Bind{
				{Source: "/srv/data/in", Target: "/tmp/in/deep", From: "-v /srv/data/in:/tmp/in/deep"},
				{Source: "/srv/data", Target: "/mnt", ReadOnly: true, From: "-v /srv/data:/mnt:ro"},
				{Source: "/srv/data/file", Target: "/etc/resolv.conf", ReadOnly: true, From: "-v /srv/data/file:/etc/resolv.conf:ro"},
			},
			Tmpfs: []Tmpfs{
				{Target: "/tmp", Size: 64 << 20, From: "--tmpfs /tmp:size=64m"},
				{Target: "/srv/cache", Mode: 0o700, Options: struct{ ReadOnly, NoExec bool }{NoExec: true}, From: "--tmpfs /srv/cache:mode=700,noexec"},
			},
		}},
		"terminal": {o: Options{}, f: nstest.OnTerminal},
		"uidmap": {o: Options{
			Command: id, User: "7",
			UIDMap: []MapRequest{
				{Box: 0, Host: 1, Count: 1000, From: "--uidmap 0:1:1000"},
				{Box: 1000, Host: 0, Count: 1, From: "--uidmap 1000:0"},
			},
		}},
		"overlay-kept": {o: Options{Command: id, Cwd: ShareOverlay, OverlayDir: "/srv/cache", OverlayDirFrom: "--overlay-dir /srv/cache"}},
		"overlay-host": {
			o: Options{Command: id, Overlay: true, Masks: []Mask{{Path: "/srv/**/f*", From: "--mask /srv/**/f*"}, {Path: "/etc/none", From: "--mask /etc/none"}}},
			f: func(f *host.Facts) {
				f.Mounts = host.Mounts{{Device: "8:1", Root: "/", Point: "/", Type: "ext4"}, {Device: "0:5", Root: "/", Point: "/proc", Type: "proc"},
					{Device: "8:2", Root: "/", Point: "/srv/data", Type: "xfs"}, {Device: "8:3", Root: "/", Point: "/opt", Type: "vfat"}}
			},
		},
		"mask-stays-in-its-place": {
			o:    Options{Command: id, Masks: []Mask{{Path: "in/deep/key", From: "--mask in/deep/key"}}},
			tree: nstest.Host().With(nstest.Tree{nstest.Project + "/in/deep/key": nstest.File}),
		},
		"own-binary": {
			o:    Options{Command: id},
			tree: nstest.Host().With(nstest.Tree{nstest.Project + "/bin/release/nobox": nstest.File}),
			f:    func(f *host.Facts) { f.Exe = nstest.Project + "/bin/release/nobox" },
		},
	}
}

// golden compares got with a file of testdata/golden, or makes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := 0; i < len(g) && i < len(w); i++ {
		if g[i] != w[i] {
			t.Fatalf("%s:%d:\n got %s\nwant %s\n(go test ./sandbox -update makes it anew)", name, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d (go test ./sandbox -update makes it anew)", name, len(g), len(w))
}

func TestAPlanReadsLikeItsGolden(t *testing.T) {
	for name, s := range scenes() {
		t.Run(name, func(t *testing.T) { golden(t, name+".txt", s.plan(t).String()) })
	}
}

// The arena's offsets are left out, so that a longer string changes one line.
func TestTheSystemCallsReadLikeTheirGolden(t *testing.T) {
	s, err := userns.Syscalls(scenes()["as-pid-1"].plan(t))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for rest := s; rest != ""; {
		before, after, found := strings.Cut(rest, "&0x")
		b.WriteString(before)
		if rest = strings.TrimLeft(after, "0123456789abcdef"); found {
			b.WriteString("&…")
		}
	}
	golden(t, "as-pid-1.syscalls.txt", b.String())
}

func TestEveryGoldenHasAScene(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"as-pid-1.syscalls"}
	want = append(want, slices.Collect(maps.Keys(scenes()))...)
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".txt"); !slices.Contains(want, name) {
			t.Errorf("%s is of no scene", f)
		}
	}
}

// A golden says what would be done, its twin that it was: the same line, or one
// of the kind, looked at from inside. It is the transcript of the golden's name,
// with "twin_" before it where there are others of that name, or one of those for
// a machine that has what this one lacks.
func TestEveryGoldenHasATwin(t *testing.T) {
	for name := range scenes() {
		name = strings.ReplaceAll(name, "-", "_")
		var found []string
		for _, pattern := range []string{"script/twin_" + name, "script/" + name, "vm/*/" + name} {
			files, err := filepath.Glob("../tests/testdata/" + pattern + ".txtar")
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, files...)
		}
		if len(found) == 0 {
			t.Errorf("the golden %s has no twin", name)
		}
	}
}

// What is compiled must not depend on where the tests run, nor on the order
// in which Go walks a map.
func TestTheSameOptionsAndFactsGiveTheSamePlan(t *testing.T) {
	for name, s := range scenes() {
		first := s.plan(t).String()
		for range 5 {
			if again := s.plan(t).String(); again != first {
				t.Fatalf("%s: two plans:\n%s\n%s", name, first, again)
			}
		}
	}
}

// ---- what the goldens show, said outright

// inside runs f on each action of the inside.
func actions[A plan.Action](p *plan.Plan) (out []A) {
	for _, s := range p.Steps {
		if a, ok := s.Do.(A); ok {
			out = append(out, a)
		}
	}
	return out
}

func TestOnlyNetHostSharesANamespace(t *testing.T) {
	all := uint64(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP)
	for name, s := range scenes() {
		want := all
		if s.o.Net == NetHost {
			want &^= unix.CLONE_NEWNET
		}
		p := s.plan(t)
		if s.o.Tier == TierLandlock {
			if n := len(actions[plan.Unshare](p)); n > 0 || actions[plan.Clone](p)[0].Flags != 0 {
				t.Errorf("%s: it has namespaces", name)
			}
			continue
		}
		got := actions[plan.Clone](p)[0].Flags
		for _, u := range actions[plan.Unshare](p) {
			got |= u.Flags
		}
		if got != want {
			t.Errorf("%s: namespaces %#x, want %#x", name, got, want)
		}
	}
}

func TestNoPlanNamesASecretOfTheEnvironment(t *testing.T) {
	for name, s := range scenes() {
		p := s.plan(t)
		b, err := p.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, env := range actions[plan.Exec](p)[0].Env {
			if strings.HasPrefix(env, "TOKEN=") || strings.HasPrefix(env, "SSH_AUTH_SOCK=") {
				t.Errorf("%s: the command gets %s", name, env)
			}
		}
		if strings.Contains(p.String(), "hunter2") || strings.Contains(string(b), "hunter2") {
			t.Errorf("%s: shows a secret", name)
		}
	}
}

// Every tree of the host that is open for writing was named by a flag, or is
// the working directory.
func TestNothingElseOfTheHostIsWritable(t *testing.T) {
	want := map[string][]plan.HostPath{
		"rootfs": {"/srv/debian"}, "rootfs-bare": {"/srv/bare"}, "home-rw": {nstest.Home},
		"cwd-ro": nil, "mounts": {plan.WorkingDirectory, "/srv/data/in"}, "rootfs-bare-read-only": nil,
		"tier-landlock": {nstest.Project, "/srv/data"}, "home-ro": {plan.WorkingDirectory}, "overlay-kept": {"/srv/cache"},
	}
	for name, s := range scenes() {
		var got []plan.HostPath
		for _, a := range actions[plan.OpenTree](s.plan(t)) {
			if !a.Attr.ReadOnly && !strings.HasPrefix(string(a.Source), "/dev/") {
				got = append(got, a.Source)
			}
		}
		for _, l := range actions[plan.Landlock](s.plan(t)) {
			for _, r := range l.Rules { // of a box that has no other wall
				if s.o.Tier == TierLandlock && r.Files&2 != 0 && !strings.HasPrefix(string(r.Path), "/dev/") {
					got = append(got, plan.HostPath(r.Path))
				}
			}
		}
		w, special := want[name]
		if !special {
			w = []plan.HostPath{plan.WorkingDirectory}
		}
		if slices.Sort(got); !slices.Equal(got, w) {
			t.Errorf("%s: writable: %q, want %q", name, got, w)
		}
	}
}

func TestABoxThatGoesWithoutLandlockSaysSo(t *testing.T) {
	s := scene{o: Options{Command: []string{"id"}}, f: func(f *host.Facts) {
		f.Refused = map[plan.Fact]string{plan.FactLandlock: "argument list too long"}
	}}
	p := s.plan(t)
	if len(actions[plan.Landlock](p)) > 0 || !slices.Contains(p.Notes, "the box goes without Landlock as a second wall: argument list too long") {
		t.Errorf("notes %q", p.Notes)
	}
}
