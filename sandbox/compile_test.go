package sandbox

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/idmap"
	"nobox/internal/nstest"
	"nobox/plan"
	"nobox/seccomp"
)

// command is the Exec of a scene's plan.
func (s scene) command(t *testing.T) plan.Exec {
	t.Helper()
	return actions[plan.Exec](s.plan(t))[0]
}

func TestTheCommandGetsTheAllowedEnvironmentAndWhatFlagsSet(t *testing.T) {
	caller := []string{"PATH=/bin", "HOME=/home/ana", "LC_X=1", "LCX=1", "TOKEN=t", "PATH=/second", "=odd", "odd", "EMPTY=", "TZ="}
	e := func(name, value string) EnvVar { return EnvVar{Name: name, Value: value, From: "-e " + name} }
	pass := func(name string) EnvVar { return EnvVar{Name: name, FromCaller: true, From: "-e " + name} }
	tests := []struct {
		name string
		o    Options
		env  []string
		want string
	}{
		{"the allow-list, each name once, and the first of two", Options{}, caller, "PATH=/bin HOME=/home/ana LC_X=1 TZ="},
		{"all of it", Options{EnvHost: true}, caller, "PATH=/bin HOME=/home/ana LC_X=1 LCX=1 TOKEN=t EMPTY= TZ="},
		{"nothing of the caller's", Options{EnvClear: true, Env: []EnvVar{e("X", "1"), pass("TOKEN")}}, caller, "X=1 TOKEN=t"},
		{"nor a root's own", Options{EnvClear: true, Rootfs: "/srv/debian", User: "build"}, caller, ""},
		{"one is taken out, and set again", Options{Env: []EnvVar{{Name: "LC_X", Unset: true}, {Name: "PATH", Unset: true}, {Name: "NONE", Unset: true}, e("PATH", "/a")}}, caller, "HOME=/home/ana TZ= PATH=/a"},
		{"none is there", Options{}, nil, "PATH=" + defaultPath},
		{"an empty PATH", Options{}, []string{"PATH="}, "PATH=" + defaultPath},
		{"the caller's by name", Options{Env: []EnvVar{pass("TOKEN"), pass("MISSING"), pass("EMPTY")}}, caller, "PATH=/bin HOME=/home/ana LC_X=1 TZ= TOKEN=t EMPTY="},
		{"the last flag wins, in the place of the first", Options{Env: []EnvVar{e("PATH", "/a"), e("X", "1"), e("X", "2=3"), e("HOME", "")}}, caller, "PATH=/a HOME= LC_X=1 TZ= X=2=3"},
		{"a set one is not the caller's", Options{Env: []EnvVar{e("TOKEN", "mine"), pass("TOKEN")}}, caller, "PATH=/bin HOME=/home/ana LC_X=1 TZ= TOKEN=t"},
		{"a root has paths and a home of its own", Options{Rootfs: "/srv/debian"}, caller, "PATH=" + defaultPath + " HOME=/root LC_X=1 TZ="},
		{"unless the caller's are asked for", Options{Rootfs: "/srv/debian", EnvHost: true}, caller, "PATH=/bin HOME=/home/ana LC_X=1 LCX=1 TOKEN=t EMPTY= TZ="},
		{"and the home is that of the user", Options{Rootfs: "/srv/debian", User: "build"}, caller, "PATH=" + defaultPath + " HOME=/home/build LC_X=1 TZ="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Command = []string{"/bin/sh"}
			s := scene{o: tt.o, tree: complete, f: func(f *host.Facts) { f.Env = tt.env }}
			if got := strings.Join(s.command(t).Env, " "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWithoutACommandTheShellIsTheCallersIfTheBoxHasIt(t *testing.T) {
	own := nstest.Tree{nstest.Home + "/bin/zsh": nstest.File, "/usr/bin/fifo": nstest.Fifo, "/usr/bin/dir": nstest.Dir, nstest.Project + "/sh": nstest.File}
	tests := []struct {
		name, shell string
		o           Options
		want        string
	}{
		{"as it is", "/bin/bash", Options{}, "/bin/bash"},
		{"none", "", Options{}, "/bin/sh"},
		{"a relative one", "bash", Options{}, "/bin/sh"},
		{"one that is not there", "/bin/fish", Options{}, "/bin/sh"},
		{"a directory", "/usr/bin/dir", Options{}, "/bin/sh"},
		{"a fifo", "/usr/bin/fifo", Options{}, "/bin/sh"},
		{"one in the hidden home", nstest.Home + "/bin/zsh", Options{}, "/bin/sh"},
		{"one of the host that the root lacks", "/usr/bin/id", Options{Rootfs: "/srv/debian"}, "/bin/sh"},
		{"one of the root", "/usr/bin/bash", Options{Rootfs: "/srv/debian"}, "/usr/bin/bash"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scene{o: tt.o, tree: complete.With(own), f: func(f *host.Facts) { f.Env = []string{"PATH=/bin", "SHELL=" + tt.shell} }}
			e := s.command(t)
			if len(e.Args) != 1 || e.Args[0] != tt.want || len(e.Files) != 1 || string(e.Files[0]) != tt.want {
				t.Errorf("got %q in %q, want %q", e.Args, e.Files, tt.want)
			}
		})
	}
}

func TestACommandIsLookedForInTheAbsoluteDirectoriesOfThePathInside(t *testing.T) {
	s := scene{o: Options{Command: []string{"x"}, Env: []EnvVar{{Name: "PATH", Value: "/a:.::b:/c/../d", From: "-e PATH"}}}}
	if got := s.command(t).Files; !slices.Equal(got, []plan.BoxPath{"/a/x", "/d/x"}) {
		t.Errorf("%q", got)
	}
	s.o.Env[0].Value = ".:b"
	if _, err := s.compile(); err == nil || err.Error() != "cannot run x: PATH has no absolute directory" {
		t.Error(err)
	}
	s.o.Command = []string{"./x"}
	if got := s.command(t).Files; !slices.Equal(got, []plan.BoxPath{"./x"}) {
		t.Errorf("%q", got)
	}
}

func TestAWorkingDirectoryIsNotSharedWhereThatWouldShareTooMuch(t *testing.T) {
	f := nstest.Facts()
	for cwd, want := range map[string]string{
		nstest.Project: "", "/srv/data": "", "/tmp/build": "", "/home/other": "", "/home/ana2": "", "/run/build": "", "/var/tmp/x": "", "/etc": "",
		"/home/ana": "is the home", "/home": "holds the home", "/": "holds the home", "/root": "holds homes",
		"/proc": "is the system's", "/proc/self": "is the system's", "/sys/kernel": "is the system's", "/dev/shm": "is the system's", "/device": "",
		"/tmp": "is shared by the whole host", "/var/tmp": "is shared by the whole host", "/run": "is shared by the whole host",
		"/run/user": "is shared by the whole host", "/run/user/1000": "holds the sockets of the session", "/run/user/1000/x": "",
	} {
		if got := notShared(cwd, f); got != want {
			t.Errorf("%s: %q, want %q", cwd, got, want)
		}
	}
	f.Homes = nil
	for cwd, want := range map[string]string{"/": "is the root directory", "/home": "holds homes", "/home/ana": ""} {
		if got := notShared(cwd, f); got != want {
			t.Errorf("without a home: %s: %q, want %q", cwd, got, want)
		}
	}
}

// shared are the host's directories in a plan, and whether they are read-only.
func shared(p *plan.Plan) map[string]bool {
	out := map[string]bool{}
	for _, a := range actions[plan.OpenTree](p) {
		if !strings.HasPrefix(string(a.Source), "/dev/") && a.Source != "/" {
			out[string(a.Source)] = a.Attr.ReadOnly
		}
	}
	return out
}

func TestTheWorkingDirectoryIsSharedAsAsked(t *testing.T) {
	at := func(cwd plan.HostPath) func(*host.Facts) { return func(f *host.Facts) { f.Cwd = cwd } }
	const rw, ro = false, true
	tests := []struct {
		name  string
		o     Options
		f     func(*host.Facts)
		want  map[string]bool
		start plan.BoxPath
		note  string
	}{
		{"by default", Options{}, nil, map[string]bool{".": rw}, nstest.Project, ""},
		{"read-only", Options{Cwd: ShareRO}, nil, map[string]bool{nstest.Project: ro}, nstest.Project, ""},
		{"hidden", Options{Cwd: ShareHidden}, nil, map[string]bool{}, nstest.Home, ""},
		{"not the home", Options{}, at(nstest.Home), map[string]bool{}, nstest.Home, "is the home"},
		{"the home if one insists", Options{Cwd: ShareRW}, at(nstest.Home), map[string]bool{nstest.Home: rw}, nstest.Home, ""},
		{"the home if it is shared", Options{Home: ShareRW}, at(nstest.Home), map[string]bool{nstest.Home: rw}, nstest.Home, ""},
		{"not what holds the home", Options{}, at("/"), map[string]bool{}, nstest.Home, "holds the home"},
		{"not /tmp, which the box has its own of", Options{}, at("/tmp"), map[string]bool{}, "/tmp", "is shared by the whole host"},
		{"-w needs no word about it", Options{Workdir: "/opt"}, at(nstest.Home), map[string]bool{}, "/opt", ""},
		{"a flag binds it otherwise", Options{Binds: []Bind{{Source: nstest.Project, Target: nstest.Project, ReadOnly: true, From: "-v x"}}}, nil,
			map[string]bool{nstest.Project: ro}, nstest.Project, ""},
		{"not in a root", Options{Rootfs: "/srv/debian"}, nil, map[string]bool{"/srv/debian": rw}, "/", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Command = []string{"id"}
			p := scene{o: tt.o, tree: complete, f: tt.f}.plan(t)
			got := shared(p)
			same := len(got) == len(tt.want)
			for k, v := range tt.want {
				g, ok := got[k]
				if k == nstest.Project || k == nstest.Home { // either name of the working directory
					if w, other := got["."]; !ok && other {
						g, ok = w, true
					}
				}
				same = same && ok && g == v
			}
			if !same {
				t.Errorf("shared: %v, want %v", got, tt.want)
			}
			if start := actions[plan.Chdir](p)[0].Path; start != tt.start {
				t.Errorf("starts in %s, want %s", start, tt.start)
			}
			notes := strings.Join(p.Notes, "\n")
			if tt.note == "" && notes != "" || !strings.Contains(notes, tt.note) {
				t.Errorf("notes: %q, want %q", notes, tt.note)
			}
		})
	}
}

func TestWhatCannotBeIsSaidBeforeAnythingStarts(t *testing.T) {
	id := []string{"id"}
	tree := complete.With(nstest.Tree{"/srv/closed": nstest.Closed, "/srv/pipe": nstest.Fifo, "/slash": nstest.Link("/")})
	tests := []struct {
		want string
		o    Options
		f    func(*host.Facts)
	}{
		{"cannot make a box: this Linux, 5.11.0, is too old: nobox needs 5.12, for mount_setattr(2)", Options{},
			func(f *host.Facts) { f.Kernel, f.Release = [2]int{5, 11}, "5.11.0" }},
		{`cannot run "a b": argument 1 holds a NUL byte`, Options{Command: []string{"a b", "\x00"}}, nil},
		{`cannot run "": the command's name is empty`, Options{Command: []string{""}}, nil},
		{"cannot name the host " + strings.Repeat("x", 65) + " (--hostname): it is longer than 64 bytes", Options{Hostname: strings.Repeat("x", 65)}, nil},
		{`cannot name the host "a b" (--hostname): a host name has letters, digits, hyphens and dots`, Options{Hostname: "a b"}, nil},
		{"cannot use /nowhere as the root (--rootfs): no such file or directory", Options{Rootfs: "/nowhere"}, nil},
		{"cannot use /srv/closed as the root (--rootfs): permission denied", Options{Rootfs: "/srv/closed"}, nil},
		{"cannot use /srv/data/file as the root (--rootfs): it is a file, not a directory", Options{Rootfs: "/srv/data/file"}, nil},
		{"cannot use /slash as the root (--rootfs): it is the host's own root directory", Options{Rootfs: "/slash"}, nil},
		{"cannot start in etc (-w): it is not an absolute path", Options{Workdir: "etc"}, nil},
		{"cannot give the box a terminal (-t): stdin is not a terminal", Options{Terminal: Yes}, nil},
		{"cannot bind /nowhere at /mnt (-v x): no such file or directory", Options{Binds: []Bind{{Source: "/nowhere", Target: "/mnt", From: "-v x"}}}, nil},
		{"cannot bind /srv/closed at /mnt (--bind-try x): permission denied", Options{Binds: []Bind{{Source: "/nowhere", Target: "/srv", Try: true, From: "--bind-try y"}, {Source: "/srv/closed", Target: "/mnt", Try: true, From: "--bind-try x"}}}, nil},
		{"cannot bind /srv/closed at /mnt (-v x): permission denied", Options{Binds: []Bind{{Source: "/srv/closed", Target: "/mnt", From: "-v x"}}}, nil},
		{"cannot share the working directory: it was deleted", Options{}, func(f *host.Facts) { f.Cwd, f.CwdErr = "", unix.ENOENT }},
		{"cannot share the working directory: permission denied", Options{}, func(f *host.Facts) { f.Cwd, f.CwdErr = "", unix.EACCES }},
		{"cannot share the working directory (--cwd=rw): /sys/kernel cannot be shared: the box has its own", Options{Cwd: ShareRW}, func(f *host.Facts) { f.Cwd = "/sys/kernel" }},
		{"cannot set K (-e K): it holds a NUL byte", Options{Env: []EnvVar{{Name: "K", Value: "\x00", From: "-e K"}}}, nil},
	}
	for _, tt := range tests {
		if tt.o.Command == nil {
			tt.o.Command = id
		}
		p, err := scene{o: tt.o, tree: tree, f: tt.f}.compile()
		if err == nil || err.Error() != tt.want || p != nil {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
	}
}

func TestTheHostnameMayBeAsLongAsTheKernelTakes(t *testing.T) {
	scene{o: Options{Hostname: strings.Repeat("x", 64), Command: []string{"id"}}}.plan(t)
}

func TestAPathOfTheBoxIsLookedForWhereTheBoxHasIt(t *testing.T) {
	o := Options{
		Command: []string{"id"}, Home: ShareRO,
		Binds: []Bind{{Source: "/srv/data", Target: "/mnt", From: "-v 1"}, {Source: "/srv/cache", Target: "/mnt/in/deep", From: "-v 2"}},
		Tmpfs: []Tmpfs{{Target: "/opt", From: "--tmpfs /opt"}},
	}
	f := scene{o: o}.facts()
	v := newView(&o, f)
	for p, want := range map[string]string{
		"/usr/bin/id": "/ /usr/bin/id", "/mnt": "/ /srv/data", "/mnt/a": "/ /srv/data/a", "/mnt/in/deeper": "/ /srv/data/in/deeper",
		"/mnt/in/deep/x": "/ /srv/cache/x", "/mnt/../usr": "/ /usr", "x": "/ " + nstest.Project + "/x", "../.bashrc": "/ " + nstest.Home + "/.bashrc",
		"/opt/x": "", "/tmp/x": "", "/run": "", "/home/other": "", nstest.Home + "/bin/x": "/ " + nstest.Home + "/bin/x", nstest.Home + "/.ssh/id": "",
		"/mntx": "/ /mntx",
	} {
		got := ""
		if pl, ok := v.onHost(p, f); ok {
			got = string(pl.Base) + " " + pl.Path
		}
		if got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	o = Options{Rootfs: "/srv/debian", Workdir: "/usr", Command: []string{"id"}}
	f = scene{o: o, tree: complete}.facts()
	v = newView(&o, f)
	if pl, ok := v.onHost("bin/sh", f); !ok || pl != (host.Place{Base: "/srv/debian", Path: "/usr/bin/sh"}) {
		t.Errorf("in a root: %v %v", pl, ok)
	}
}

func TestTheCommandRunsAsWhoWasNamed(t *testing.T) {
	tree := complete.With(nstest.Bare("/srv/bare")).With(nstest.Tree{
		"/srv/fifo/etc/passwd": nstest.Fifo, "/srv/fifo/etc/group": nstest.Fifo,
		"/srv/hostile/etc/passwd": nstest.Text("neg:x:-1:-1::/:\nbig:x:4294967295:0::/:\nhuge:x:99999999999999999999:0::/:\n12:x:0:0::/:\n"),
		"/srv/hostile/etc/group":  nstest.Text("g:x:-1:neg\n"),
		"/srv/closed/etc/passwd":  nstest.Closed,
	})
	tests := []struct {
		user, root string
		want       string // uid:gid and groups, or the error's cause
	}{
		{"", "", "0:0 []"},
		{"0", "", "0:0 []"},
		{"1000", "", "1000:1000 [29]"}, // as its name
		{"1000:1000", "", "1000:1000 []"},
		{"1000:0", "", "1000:0 []"},
		{"65536:65536", "", "65536:65536 []"},
		{"ana", "", "1000:1000 [29]"},
		{"ana:tty", "", "1000:5 []"},
		{"www-data", "", "33:33 []"},
		{"build", "/srv/debian", "1000:1000 [999]"}, // high is not mapped, and left out
		{"1000", "/srv/debian", "1000:1000 [999]"},
		{"1000:1000", "/srv/debian", "1000:1000 []"},
		{"build:docker", "/srv/debian", "1000:999 []"},
		{"ana", "/srv/debian", "the box's /etc/passwd has no such user"},
		{"build:nobody", "/srv/debian", "the box's /etc/group has no such group"},
		{"high", "/srv/debian", "uid 70000 is not mapped"},
		{"0:70000", "/srv/debian", "gid 70000 is not mapped"},
		{"65537", "", "uid 65537 is not mapped"},
		{"4294967295", "", "4294967295 is no id: 0 to 4294967294 is"},
		{"4294967296", "", "4294967296 is no id: 0 to 4294967294 is"},
		{"-1", "", "-1 is no id: 0 to 4294967294 is"},
		{"+1", "", "+1 is no id: 0 to 4294967294 is"},
		{"1e3", "", "1e3 is no id: 0 to 4294967294 is"},
		{"0x0", "", "0x0 is no id: 0 to 4294967294 is"},
		{" 0", "", `" 0" is no id: 0 to 4294967294 is`},
		{"0:-1", "", "-1 is no id: 0 to 4294967294 is"},
		{":", "", "it has an empty part; UID|NAME[:GID|GROUP] is wanted"},
		{"0:", "", "it has an empty part; UID|NAME[:GID|GROUP] is wanted"},
		{":0", "", "it has an empty part; UID|NAME[:GID|GROUP] is wanted"},
		{"0:0:0", "", "it has more than two parts; UID|NAME[:GID|GROUP] is wanted"},
		{"7:8", "/srv/bare", "7:8 []"},
		{"7", "/srv/bare", "7:0 []"},
		{"root", "/srv/bare", "the box's /etc/passwd: no such file or directory"},
		{"root", "/srv/fifo", "the box's /etc/passwd: it is not a regular file"},
		{"7:8", "/srv/fifo", "7:8 []"},
		{"root", "/srv/closed", "the box's /etc/passwd: permission denied"},
		{"neg", "/srv/hostile", ""}, {"big", "/srv/hostile", ""}, {"huge", "/srv/hostile", ""},
	}
	for _, tt := range tests {
		t.Run(tt.user+" in "+tt.root, func(t *testing.T) {
			s := scene{o: Options{Command: []string{"/bin/sh"}, User: tt.user, Rootfs: plan.HostPath(tt.root)}, tree: tree}
			f := s.facts()
			ids, err := idmap.Choose(mapRequest(&s.o), f.IDs)
			if err != nil {
				t.Fatal(err)
			}
			u, err := lookupUser(&s.o, f, ids)
			got := ""
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Flag != "-u" {
					t.Fatalf("%T %v", err, err)
				}
				got = e.Cause.Error()
				if tt.want == "" {
					return // refused, in whatever words
				}
			} else {
				got = u.String() + " ["
				for i, g := range u.groups {
					if i > 0 {
						got += " "
					}
					got += strconv.FormatUint(uint64(g), 10)
				}
				got += "]"
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWithOneIdTheOtherOnesAreRefusedWithAHint(t *testing.T) {
	_, err := scene{o: Options{Command: []string{"id"}, Userns: UsernsRoot, UsernsFrom: "-r", User: "1"}}.compile()
	var e *Error
	if !errors.As(err, &e) || len(e.Hints) != 1 || !strings.Contains(e.Hints[0], "subuid(5)") {
		t.Errorf("%v", err)
	}
}

func TestAnIdThatIsNotMappedNamesThoseThatAre(t *testing.T) {
	by := []MapRequest{{Box: 0, Host: 0, Count: 1}, {Box: 1, Host: 1, Count: 9}, {Box: 20, Host: 10, Count: 1}}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{User: "70000"}, "the uids of the box are 0–65536; --uidmap 0:0 --uidmap 70000:1 maps one of the caller's range there"},
		{Options{User: "0:70000"}, "the gids of the box are 0–65536; --gidmap 0:0 --gidmap 70000:1 maps one of the caller's range there"},
		{Options{User: "30", UIDMap: by}, "the uids of the box are 0–9, 20"},
	} {
		c.o.Command = []string{"id"}
		_, err := scene{o: c.o}.compile()
		var e *Error
		if !errors.As(err, &e) || len(e.Hints) != 1 || e.Hints[0] != c.want {
			t.Errorf("%v: %q, want %q", err, e.Hints, c.want)
		}
	}
}

func TestNotesSayWhatIsLessThanOneMightThink(t *testing.T) {
	id := []string{"id"}
	tests := []struct {
		name string
		o    Options
		f    func(*host.Facts)
		want string // "" for silence
	}{
		{"all is well", Options{}, nil, ""},
		{"no range", Options{}, func(f *host.Facts) { f.SubUID.Ranges = nil }, "one id only: /etc/subuid grants ana no range; remedy: "},
		{"no range, and none was wanted", Options{Userns: UsernsRoot}, func(f *host.Facts) { f.SubUID.Ranges = nil }, ""},
		{"real root", Options{}, func(f *host.Facts) { f.UID, f.GID, f.RealRoot = 0, 0, true }, "running as root: "},
		{"root of a user namespace", Options{Userns: UsernsRoot}, func(f *host.Facts) { f.UID, f.GID = 0, 0 }, ""},
		{"real root, mapped away", Options{UIDMap: []MapRequest{{Host: 100000, Count: 65536, From: "--uidmap 0:100000:65536"}}},
			func(f *host.Facts) { f.UID, f.GID, f.RealRoot = 0, 0, true }, ""},
		{"the home", Options{}, func(f *host.Facts) { f.Cwd = nstest.Home },
			"the working directory is not shared: /home/ana is the home; the box starts in its own empty /home/ana (--cwd=rw shares it)"},
	}
	for _, tt := range tests {
		tt.o.Command = id
		got := strings.Join(scene{o: tt.o, f: tt.f}.plan(t).Notes, "\n")
		if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCapabilitiesAreDockersForRootInsideAndNoneForOthers(t *testing.T) {
	tests := []struct {
		o               Options
		bounding, holds uint64
	}{
		{Options{}, seccomp.RootCaps, seccomp.RootCaps},
		{Options{User: "1000"}, 0, 0},
		{Options{Userns: UsernsKeepID, UsernsFrom: "-c"}, 0, 0},
		{Options{Userns: UsernsKeepID, UsernsFrom: "-c", User: "0"}, 0, 0},
	}
	for _, tt := range tests {
		tt.o.Command = []string{"id"}
		p := scene{o: tt.o}.plan(t)
		if b, h := actions[plan.DropBounding](p)[0].Keep, actions[plan.SetCaps](p)[0].Keep; b != tt.bounding || h != tt.holds {
			t.Errorf("%+v: bounding %s, held %s", tt.o, plan.CapNames(b), plan.CapNames(h))
		}
	}
}

// The kernel compares groups as the host numbers them.
func TestTheGroupsThatPingAreAllOfTheBoxWhereverTheHostHasThem(t *testing.T) {
	m := func(box, host, count uint32) plan.IDMap { return plan.IDMap{Box: box, Host: host, Count: count} }
	tests := []struct {
		name        string
		gids        []plan.IDMap
		gid         uint32
		first, last uint32
	}{
		{"one", []plan.IDMap{m(0, 1000, 1)}, 0, 0, 0},
		{"root is the caller", []plan.IDMap{m(0, 1000, 1), m(1, 100000, 65536)}, 0, 0, 65536},
		{"the caller keeps the id", []plan.IDMap{m(0, 100000, 1000), m(1000, 1000, 1), m(1001, 101000, 64536)}, 1000, 1000, 65536},
		{"the caller comes after the ranges", []plan.IDMap{m(0, 900000, 1), m(1, 100000, 65536)}, 0, 0, 0},
		{"another, where the caller comes after", []plan.IDMap{m(0, 900000, 1), m(1, 100000, 65536)}, 7, 1, 65536},
		{"a group that is not mapped", []plan.IDMap{m(0, 1000, 1)}, 5, 5, 5},
	}
	for _, tt := range tests {
		g := pingers(idmap.Map{GID: tt.gids}, user{gid: tt.gid})
		if g.First != tt.first || g.Last != tt.last {
			t.Errorf("%s: %d to %d, want %d to %d", tt.name, g.First, g.Last, tt.first, tt.last)
		}
	}
}

// Of /run there is more than the resolver's files.
func TestTheNetworksProcessReadsWhereTheResolverWritesAlone(t *testing.T) {
	for to, want := range map[string]string{
		"":                                      "/etc /etc/resolv.conf",
		"/run/systemd/resolve/stub-resolv.conf": "/etc /etc/resolv.conf /run/systemd/resolve",
		"/run/resolv.conf":                      "/etc /etc/resolv.conf",
		"/run/user/1000/resolv.conf":            "/etc /etc/resolv.conf",
		"/mnt/wsl/resolv.conf":                  "/etc /etc/resolv.conf",
	} {
		tree := nstest.Host()
		if to != "" {
			tree = tree.With(nstest.Tree{to: nstest.File, resolvConf: nstest.Link(to)})
		}
		s := scene{o: Options{Command: []string{"true"}, Net: NetUser}, tree: tree}
		var got []string
		for _, r := range actions[plan.StartNet](s.plan(t))[0].Landlock.Rules {
			got = append(got, string(r.Path))
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%q: %s", to, g)
		}
	}
}

func TestTheCallersLimitOnFilesComesBackUnlessAFlagSetsIt(t *testing.T) {
	limits := func(u ...Ulimit) []plan.Rlimit {
		return actions[plan.Rlimit](scene{o: Options{Command: []string{"id"}, Ulimits: u}}.plan(t))
	}
	if got := limits(); len(got) != 1 || got[0].Soft != 1024 || got[0].Hard != 524288 || got[0].Resource != unix.RLIMIT_NOFILE {
		t.Errorf("%v", got)
	}
	if got := limits(Ulimit{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: 9, Hard: 9, From: "--ulimit nofile=9"}); len(got) != 1 || got[0].Soft != 9 {
		t.Errorf("%v", got)
	}
}

func TestTheBoxHasATerminalWhereTheCallerHasOneUnlessAskedNotTo(t *testing.T) {
	for _, tt := range []struct {
		o        Tristate
		terminal bool
		want     int
	}{{Unset, true, 1}, {Yes, true, 1}, {No, true, 0}, {Unset, false, 0}} {
		s := scene{o: Options{Command: []string{"id"}, Terminal: tt.o}}
		if tt.terminal {
			s.f = nstest.OnTerminal
		}
		if got := len(actions[plan.OpenPTY](s.plan(t))); got != tt.want {
			t.Errorf("%+v: %d terminals", tt, got)
		}
	}
}

// A fact that a start found untrue gives a second plan without it.
func TestARefusedFactGivesAPlanWithoutIt(t *testing.T) {
	refuse := func(fact plan.Fact) func(*host.Facts) {
		return func(f *host.Facts) {
			f.Refused = map[plan.Fact]string{fact: "operation not permitted"}
			if fact == plan.FactNewIDMap {
				f.HelpersRefused = "newuidmap: no"
			}
		}
	}
	for _, fact := range []plan.Fact{plan.FactSysfs, plan.FactMqueue, plan.FactNewIDMap, plan.FactPing} {
		s := scene{o: Options{Command: []string{"id"}}}
		if fact == plan.FactPing {
			s.o.User = "1000"
		}
		needs := func() (n int) {
			for _, st := range s.plan(t).Steps {
				if st.Needs == fact {
					n++
				}
			}
			return n
		}
		if needs() == 0 {
			t.Errorf("%s: nothing needs it", fact)
		}
		if s.f = refuse(fact); needs() != 0 {
			t.Errorf("%s: still needed", fact)
		}
	}
}

// What could not be looked at could be what a box is to hide, whatever it is.
func TestAPathThatCannotBeLookedAtIsNotTakenForNothing(t *testing.T) {
	f := nstest.Facts()
	f.Unseen = host.Unseen{Path: "/home", Err: unix.EIO}
	for _, o := range []Options{{Command: []string{"id"}}, {Command: []string{"id"}, Rootfs: "/root"}, {Command: []string{"id"}, Tier: TierLandlock}} {
		p, err := Compile(o, f)
		var e *Error
		if p != nil || !errors.As(err, &e) || e.What != "look at /home" || e.Cause != unix.EIO || len(e.Hints) == 0 {
			t.Errorf("%+v: %v, %v", o, p, err)
		}
	}
}
