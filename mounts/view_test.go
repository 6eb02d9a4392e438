package mounts

import (
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/internal/nstest"
	"nobox/plan"
)

var debian = nstest.Host().With(nstest.Root("/srv/debian"))

// defaults are the places that sandbox gives every view of the host's tree.
func defaults() []Entry {
	return []Entry{
		{At: "/tmp", What: Empty, Mode: 0o1777}, {At: "/var/tmp", What: Empty, Mode: 0o1777}, {At: "/run", What: Empty, Mode: 0o755},
		{At: "/home", What: Empty, Mode: 0o755}, {At: "/root", What: Empty, Mode: 0o755}, {At: nstest.Home, What: Make, Mode: 0o755},
	}
}

// steps makes the steps of a view on a machine with the tree.
func steps(v View, tree nstest.Tree) (*plan.Plan, error) {
	f := nstest.Facts()
	for i, e := range v.Entries {
		if e.What == Bind && e.Source == "" {
			e.Source = plan.HostPath(path.Clean("/srv/data/" + string(e.At)))
		}
		if e.What == Bind && e.SourceKind == host.None {
			s := tree.Source("/", string(e.Source))
			e.Source, e.SourceKind = s.Resolved, s.Kind
		}
		v.Entries[i] = e
	}
	tree.Answer(f, host.Questions{Places: v.Places(f)})
	b := &plan.Builder{}
	if _, err := v.Steps(b, f); err != nil {
		return nil, err
	}
	return &plan.Plan{Steps: b.Steps, Slots: b.Slots()}, nil
}

func must(t *testing.T, v View, tree nstest.Tree) *plan.Plan {
	t.Helper()
	p, err := steps(v, tree)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func actions[A plan.Action](p *plan.Plan) (out []A) {
	for _, s := range p.Steps {
		if a, ok := s.Do.(A); ok {
			out = append(out, a)
		}
	}
	return out
}

// attached are the places of the box that something is mounted at, in order.
func attached(p *plan.Plan) (out []string) {
	for _, a := range actions[plan.Attach](p) {
		out = append(out, string(a.At))
	}
	return out
}

func TestADirectoryComesRightBeforeWhatIsBelowIt(t *testing.T) {
	sorted := []string{"/", "/a", "/a/b", "/a/b/c", "/a/c", "/a b", "/a-b", "/a-b/c", "/a.b", "/ab", "/b"}
	got := slices.Clone(sorted)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, func(a, b string) int {
		switch {
		case lessPath(a, b):
			return -1
		case lessPath(b, a):
			return 1
		}
		return 0
	})
	if !slices.Equal(got, sorted) {
		t.Errorf("%q", got)
	}
}

func bind(src, dst string) Entry {
	return Entry{At: plan.BoxPath(dst), What: Bind, Source: plan.HostPath(src), From: "-v " + src + ":" + dst}
}

func TestTheMostSpecificPlaceWinsWhateverTheOrderOfTheFlags(t *testing.T) {
	flags := []Entry{
		bind("/srv/data", "/mnt"),
		{At: "/mnt/in", What: Tmpfs, Mode: 0o755, From: "--tmpfs /mnt/in"},
		bind("/srv/cache", "/mnt/in/cache"),
		bind("/srv/data/in", "/tmp/deep/er"),
		{At: "/tmp", What: Tmpfs, Mode: 0o1777, Size: 1 << 20, From: "--tmpfs /tmp"},
		bind("/srv/data/file", "/tmp/file"),
	}
	r := rand.New(rand.NewPCG(1, 2))
	want := ""
	for range 200 {
		r.Shuffle(len(flags), func(i, j int) { flags[i], flags[j] = flags[j], flags[i] })
		entries := append(defaults(), flags...)
		if r.IntN(2) == 0 {
			entries = append(slices.Clone(flags), defaults()...)
		}
		p := must(t, View{Entries: entries}, nstest.Host())
		if got := p.String(); want == "" {
			want = got
			at := attached(p)
			for _, order := range [][2]string{{"/mnt", "/mnt/in"}, {"/mnt/in", "/mnt/in/cache"}, {"/tmp", "/tmp/deep/er"}} {
				if slices.Index(at, order[0]) < 0 || slices.Index(at, order[0]) > slices.Index(at, order[1]) {
					t.Fatalf("%s is mounted over %s: %q", order[0], order[1], at)
				}
			}
		} else if got != want {
			t.Fatalf("another order of the flags, another plan:\n%s\n%s", want, got)
		}
	}
}

func TestAFlagTakesThePlaceOfADefault(t *testing.T) {
	p := must(t, View{Entries: append(defaults(), bind("/srv/data", "/tmp"))}, nstest.Host())
	if at := attached(p); slices.Index(at, "/tmp") < 0 || slices.Index(at, "/tmp") != lastIndex(at, "/tmp") {
		t.Errorf("%q", at)
	}
	for _, s := range p.Steps {
		if a, ok := s.Do.(plan.Attach); ok && a.At == "/tmp" && s.From == "" {
			t.Error("the default is there instead")
		}
	}
}

func lastIndex(s []string, v string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			return i
		}
	}
	return -1
}

func TestWhatCannotBeMountedIsRefused(t *testing.T) {
	tree := debian.With(nstest.Tree{
		"/srv/debian/link": nstest.Link("/opt/real"), "/srv/debian/opt/real": nstest.Dir, "/srv/debian/loop": nstest.Link("loop"),
		"/srv/debian/proclink": nstest.Link("proc/sys"), "/srv/debian/up": nstest.Link("../../../.."), "/srv/debian/closed": nstest.Closed,
		"/srv/debian/file": nstest.File,
	})
	tests := []struct {
		name, want string
		root       plan.HostPath
		entries    []Entry
	}{
		{"the same place twice", "cannot bind /srv/cache at /mnt (-v /srv/cache:/mnt): /mnt is already there (-v /srv/data:/mnt)",
			"", []Entry{bind("/srv/data", "/mnt"), bind("/srv/cache", "/mnt")}},
		{"the same place by another name", "/opt/real is already there",
			"/srv/debian", []Entry{bind("/srv/data", "/opt/real"), bind("/srv/cache", "/link")}},
		{"a bind and a tmpfs", "already there", "", []Entry{bind("/srv/data", "/mnt"), {At: "/mnt", What: Tmpfs, From: "--tmpfs /mnt"}}},
		{"no mount point on the host", "cannot bind /srv/data at /data (-v /srv/data:/data): there is no directory /data in the host's tree, and nobox makes nothing there",
			"", []Entry{bind("/srv/data", "/data")}},
		{"no mount point for a file", "there is no file /etc/new in the host's tree", "", []Entry{bind("/srv/data/file", "/etc/new")}},
		{"no mount point in what is bound", `there is no directory /mnt/none in what is bound at /mnt, and nobox makes nothing there`,
			"", []Entry{bind("/srv/data", "/mnt"), bind("/srv/cache", "/mnt/none")}},
		{"no mount point in the root", "there is no directory /none in the root directory", "/srv/debian", []Entry{bind("/srv/data", "/none")}},
		{"a file on a directory", "cannot bind /srv/data/file at /mnt (-v /srv/data/file:/mnt): /mnt is a directory, and a file would be mounted there",
			"", []Entry{bind("/srv/data/file", "/mnt")}},
		{"a directory on a file", "/file is a file, and a directory would be mounted there", "/srv/debian", []Entry{bind("/srv/data", "/file")}},
		{"a tmpfs on a file", "/file is a file", "/srv/debian", []Entry{{At: "/file", What: Tmpfs, From: "--tmpfs /file"}}},
		{"a closed place", "cannot bind /srv/data at /closed (-v /srv/data:/closed): permission denied", "/srv/debian", []Entry{bind("/srv/data", "/closed")}},
		{"a loop of links", "too many levels of symbolic links", "/srv/debian", []Entry{bind("/srv/data", "/loop")}},
		{"the root itself", "it is the root directory itself", "", []Entry{bind("/srv/data", "/")}},
		{"the root itself, by links that climb", "it is the root directory itself", "/srv/debian", []Entry{bind("/srv/data", "/up")}},
		{"/proc", "/proc is the box's own", "", []Entry{bind("/srv/data", "/proc")}},
		{"below /proc", "/proc is the box's own", "", []Entry{bind("/srv/data", "/proc/sys")}},
		{"below /proc, by a link", "/proc is the box's own", "/srv/debian", []Entry{bind("/srv/data", "/proclink")}},
		{"/dev", "/dev is the box's own", "", []Entry{bind("/srv/data", "/dev")}},
		{"a link of the box's own", "/dev/stdin is the box's own", "", []Entry{bind("/srv/data/file", "/dev/stdin")}},
		{"below a link of the box's own", "/dev/fd/7 is the box's own", "", []Entry{{At: "/dev/fd/7", What: Tmpfs, From: "--tmpfs"}}},
		{"in the box's devpts", "/dev/pts/0 is the box's own", "", []Entry{bind("/srv/data/file", "/dev/pts/0")}},
		{"the box's ptmx by another device", "/dev/ptmx is the box's own", "", []Entry{{At: "/dev/ptmx", What: Device, Source: "/dev/null", From: "--device"}}},
		{"a device", "it is a device", "", []Entry{bind("/dev/null", "/mnt")}},
	}
	for _, tt := range tests {
		v := View{Rootfs: tt.root, Entries: tt.entries}
		if tt.root != "" {
			v.From = "--rootfs"
		}
		_, err := steps(v, tree)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s:\n got %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestAMissingMountPointIsMadeWhereThatTouchesNothingOfTheHosts(t *testing.T) {
	p := must(t, View{Entries: append(defaults(), bind("/srv/data", "/tmp/a/b"), bind("/srv/data/file", "/run/x/file"), bind("/srv/cache", nstest.Home+"/cache"))}, nstest.Host())
	own := map[plan.Slot]bool{}
	for _, s := range p.Steps {
		switch a := s.Do.(type) {
		case plan.NewFS:
			own[a.Into] = true
		case plan.Mkdir:
			if !own[a.In] {
				t.Errorf("%v is made in something of the host's", a)
			}
		case plan.File:
			if !own[a.In] {
				t.Errorf("%v is made in something of the host's", a)
			}
		}
	}
	for _, at := range []string{"/tmp/a/b", "/run/x/file", nstest.Home + "/cache"} {
		if !slices.Contains(attached(p), at) {
			t.Errorf("nothing at %s", at)
		}
	}
}

func TestAMountPointThatIsThereInABindIsEnough(t *testing.T) {
	p := must(t, View{Entries: []Entry{bind("/srv/data", "/mnt"), bind("/srv/cache", "/mnt/in")}}, nstest.Host())
	if at := attached(p); slices.Index(at, "/mnt/in") < slices.Index(at, "/mnt") {
		t.Errorf("%q", at)
	}
	if n := len(actions[plan.Mkdir](p)); n != len(actions[plan.Mkdir](must(t, View{}, nstest.Host()))) {
		t.Errorf("%d directories are made", n)
	}
}

// ---- roots that want out

// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 and CVE-2026-41579 (runc),
// CVE-2026-47766 (crun): the system's places of a root are links.
func TestARootWhoseSystemPlacesAreNoDirectoriesIsRefused(t *testing.T) {
	for _, at := range []string{"proc", "sys", "dev", "tmp", "run", "var/tmp"} {
		system := at == "proc" || at == "sys" || at == "dev"
		for name, n := range map[string]nstest.Node{
			"absolute link": nstest.Link("/etc"), "relative link": nstest.Link("etc"), "climbing link": nstest.Link("../../../../etc"),
			"link to the host's": nstest.Link("/" + at), "link to the root": nstest.Link("/"), "dangling link": nstest.Link("/none"),
			"looping link": nstest.Link(path.Base(at)), "file": nstest.File, "fifo": nstest.Fifo, "device": nstest.Device(1, 3), "closed": nstest.Closed,
		} {
			fine := !system && (name == "absolute link" || name == "relative link" || name == "climbing link") // it stays inside
			if !system && (name == "dangling link" || name == "link to the root" || name == "link to the host's" && at != "var/tmp") {
				continue // refused or made harmless, as mounts sees fit; see the next test
			}
			tree := debian.With(nstest.Tree{"/srv/debian/" + at: n})
			for _, readOnly := range []bool{false, true} {
				_, err := steps(View{Rootfs: "/srv/debian", ReadOnly: readOnly, From: "--rootfs", Entries: defaults()[:3]}, tree)
				if fine || !system && name == "link to the host's" {
					continue
				}
				if err == nil || !strings.HasPrefix(err.Error(), "cannot use /srv/debian as the root (--rootfs): its /"+at) {
					t.Errorf("/%s is a %s: %v", at, name, err)
				}
			}
		}
	}
}

// Whatever a root has there, nothing of the host but the root, the devices and
// what was asked for is opened, and the system's places are mounted without
// following a link.
func TestNoLinkOfARootLeadsToTheHost(t *testing.T) {
	tests := map[string]nstest.Tree{
		"CVE-2025-31133, a link for /dev/null":    {"/srv/debian/dev/null": nstest.Link("/proc/sys/kernel/core_pattern")},
		"CVE-2025-52565, a link for the console":  {"/srv/debian/dev/console": nstest.Link("/proc/sysrq-trigger"), "/srv/debian/dev/pts/0": nstest.Link("/etc/shadow")},
		"a link for /dev/pts and /dev/shm":        {"/srv/debian/dev/pts": nstest.Link("/"), "/srv/debian/dev/shm": nstest.Link("../../../../tmp")},
		"a link for resolv.conf that climbs":      {"/srv/debian/etc/resolv.conf": nstest.Link("../../../../../etc/shadow")},
		"a link for hosts to the host's":          {"/srv/debian/etc/hosts": nstest.Link("/etc/passwd")},
		"a link for /etc":                         {"/srv/debian/etc": nstest.Link("/")},
		"a link for /tmp into /etc":               {"/srv/debian/tmp": nstest.Link("etc")},
		"a link for /run that dangles":            {"/srv/debian/run": nstest.Link("/none")},
		"CVE-2024-45310, a link on a dst's way":   {"/srv/debian/mnt": nstest.Link("../../.."), "/srv/debian/srv/data": nstest.Dir},
		"CVE-2025-52881, links inside the system": {"/srv/debian/proc/self": nstest.Link("/etc"), "/srv/debian/sys/firmware": nstest.Link("/etc")},
	}
	for name, more := range tests {
		t.Run(name, func(t *testing.T) {
			v := View{Rootfs: "/srv/debian", From: "--rootfs", Terminal: true, Entries: append(defaults()[:3:3], bind("/srv/cache", "/mnt/srv/data"))}
			p, err := steps(v, debian.With(more))
			if err != nil {
				v.Entries = v.Entries[:3] // without the bind, which needs its mount point
				if p, err = steps(v, debian.With(more)); err != nil {
					return // refused
				}
			}
			for _, a := range actions[plan.OpenTree](p) {
				switch a.Source {
				case "/srv/debian", "/srv/cache", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty":
				default:
					t.Errorf("%v", a)
				}
			}
			for _, a := range actions[plan.Attach](p) {
				if (a.At == "/proc" || a.At == "/sys" || a.At == "/dev") && !a.NoSymlinks {
					t.Errorf("%v follows links", a)
				}
			}
		})
	}
}

// CVE-2025-31133: a mask is the host's own null device, looked at, or nothing.
func TestTheDevicesAreTheHostsAndLookedAt(t *testing.T) {
	for _, bad := range []nstest.Node{nstest.Device(1, 5), nstest.File, nstest.Link("/etc/passwd"), nstest.Absent, nstest.Closed} {
		_, err := steps(View{}, nstest.Host().With(nstest.Tree{"/dev/null": bad}))
		if err == nil || !strings.HasPrefix(err.Error(), "cannot give the box /dev/null: ") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestMasksAreOfTheBoxsOwnNullOrAnEmptyDirectory(t *testing.T) {
	p := must(t, View{}, nstest.Host())
	var null, proc, empty plan.Slot
	masked := map[string]bool{}
	from := map[plan.Slot]plan.Slot{}
	for _, s := range p.Steps {
		switch a := s.Do.(type) {
		case plan.OpenTree:
			if a.Source == "/dev/null" {
				null = a.Into
			}
		case plan.NewFS:
			if a.Type == "proc" {
				proc = a.Into
			}
		case plan.CopyTree:
			from[a.Into] = a.Of
			if a.Path == "dir" && *a.Attr == maskAttr {
				empty = a.Of
			}
		case plan.AttachIn:
			if of := from[a.Tree]; a.In == proc && (of == null && of != 0 || of == empty && of != 0 || a.Tree == empty) {
				masked[a.Name] = true
			}
		}
	}
	for _, name := range []string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"} {
		if !masked[name] {
			t.Errorf("/proc/%s is not masked", name)
		}
	}
}

// CVE-2025-52565: the console is the pty that nobox opened, by its number in
// the box's own devpts.
func TestTheConsoleIsThePtyThatNoboxOpened(t *testing.T) {
	p := must(t, View{Terminal: true}, nstest.Host())
	var devpts plan.Slot
	console := false
	from := map[plan.Slot]plan.CopyTree{}
	for _, s := range p.Steps {
		switch a := s.Do.(type) {
		case plan.NewFS:
			if a.Type == "devpts" {
				devpts = a.Into
			}
		case plan.CopyTree:
			from[a.Into] = a
		case plan.AttachIn:
			if a.Name == "console" {
				c := from[a.Tree]
				console = c.Of == devpts && c.Path == "0"
			}
		}
	}
	if !console {
		t.Error(p)
	}
}

func TestAReadOnlyRootIsNotTouched(t *testing.T) {
	tree := nstest.Host().With(nstest.Bare("/srv/bare"))
	p := must(t, View{Rootfs: "/srv/bare", ReadOnly: true, From: "--rootfs", Entries: defaults()[:3]}, tree)
	host := map[plan.Slot]bool{}
	for _, s := range p.Steps {
		switch a := s.Do.(type) {
		case plan.OpenTree:
			host[a.Into] = true
			if !a.Attr.ReadOnly && !strings.HasPrefix(string(a.Source), "/dev/") {
				t.Error(a)
			}
		case plan.Mkdir:
			if host[a.In] {
				t.Error(a)
			}
		case plan.File:
			if host[a.In] {
				t.Error(a)
			}
		}
	}
}

func TestAReadWriteRootGetsTheMountPointsItLacks(t *testing.T) {
	tree := nstest.Host().With(nstest.Bare("/srv/bare")).With(nstest.Tree{"/srv/bare/proc": nstest.Dir})
	p := must(t, View{Rootfs: "/srv/bare", From: "--rootfs", Entries: defaults()[:3]}, tree)
	var made []string
	root := actions[plan.OpenTree](p)[0].Into
	for _, s := range p.Steps {
		if a, ok := s.Do.(plan.Mkdir); ok && a.In == root {
			made = append(made, a.Path)
			if s.From != "--rootfs" {
				t.Errorf("%v is not for the flag", a)
			}
		}
	}
	if want := []string{"sys", "dev", "tmp", "run", "var", "var/tmp"}; !slices.Equal(made, want) {
		t.Errorf("%q, want %q", made, want)
	}
}

// ---- nobox's own files

func TestNoboxsOwnFileIsReadOnlyInEveryWritableShareOfIt(t *testing.T) {
	const exe = "/srv/data/in/bin/nobox"
	tree := debian.With(nstest.Tree{exe: nstest.File, "/srv/debian/usr/bin/nobox": nstest.File})
	tests := []struct {
		name    string
		root    plan.HostPath
		protect plan.HostPath
		entries []Entry
		want    []string // what is pinned, the last of each read-only
	}{
		{"it lies elsewhere", "", exe, []Entry{bind("/srv/cache", "/mnt")}, nil},
		{"in a share", "", exe, []Entry{bind("/srv/data", "/mnt")}, []string{"/mnt/in", "/mnt/in/bin", "/mnt/in/bin/nobox"}},
		{"in two shares", "", exe, []Entry{bind("/srv/data", "/mnt"), bind("/srv/data/in", "/opt")},
			[]string{"/opt/bin", "/opt/bin/nobox", "/mnt/in", "/mnt/in/bin", "/mnt/in/bin/nobox"}},
		{"right in the share", "", exe, []Entry{bind("/srv/data/in/bin", "/mnt")}, []string{"/mnt/nobox"}},
		{"the share is read-only", "", exe, []Entry{{At: "/mnt", What: Bind, Source: "/srv/data", ReadOnly: true, From: "-v"}}, nil},
		{"all of the host is shared", "", exe, []Entry{bind("/", "/mnt")},
			[]string{"/mnt/srv", "/mnt/srv/data", "/mnt/srv/data/in", "/mnt/srv/data/in/bin", exe[:0] + "/mnt" + exe}},
		{"a name that only begins alike", "", "/srv/data/inner/nobox", []Entry{bind("/srv/data/in", "/mnt")}, nil},
		{"hidden by a tmpfs", "", exe, []Entry{bind("/srv/data", "/mnt"), {At: "/mnt/in", What: Tmpfs, Mode: 0o755, From: "--tmpfs"}}, nil},
		{"in the root", "/srv/debian", "/srv/debian/usr/bin/nobox", nil, []string{"/usr", "/usr/bin", "/usr/bin/nobox"}},
		{"the file itself is shared", "", exe, []Entry{bind(exe, "/srv/data/file")}, nil}, // read-only, see below
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := View{Rootfs: tt.root, Entries: tt.entries, Protect: []Thing{{Path: tt.protect, Kind: host.File}}}
			p := must(t, v, tree)
			var got []string
			for _, a := range actions[plan.CopyBoxTree](p) {
				got = append(got, string(a.Path))
				own := strings.HasSuffix(string(a.Path), "/nobox")
				if a.Attr.ReadOnly != own || !slices.Contains(attached(p), string(a.Path)) {
					t.Errorf("%v", a)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("pinned %q, want %q", got, tt.want)
			}
			for _, a := range actions[plan.OpenTree](p) {
				if a.Source == exe && !a.Attr.ReadOnly {
					t.Errorf("%v", a)
				}
			}
		})
	}
}

// ---- /etc

func TestTheBoxsOwnFilesOfEtcLieOverWhatIsThere(t *testing.T) {
	etc := Etc{Hosts: "H", ResolvConf: "R", Hostname: "N"}
	written := func(p *plan.Plan) map[string]string {
		out := map[string]string{}
		for _, a := range actions[plan.File](p) {
			if a.Content != "" {
				out[a.Path] = a.Content
			}
		}
		return out
	}
	p := must(t, View{Entries: defaults(), Etc: etc}, nstest.Host())
	for _, at := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"} {
		if !slices.Contains(attached(p), at) {
			t.Errorf("nothing at %s", at)
		}
	}
	// A link into /run, as systemd-resolved makes it, is filled at its end.
	p = must(t, View{Rootfs: "/srv/debian", From: "--rootfs", Entries: defaults()[:3], Etc: etc}, debian)
	if got := written(p)["systemd/resolve/stub-resolv.conf"]; got != "R" {
		t.Errorf("%q", written(p))
	}
	// A flag has the last word.
	p = must(t, View{Entries: append(defaults(), bind("/srv/data/file", "/etc/hosts")), Etc: etc}, nstest.Host())
	if _, ok := written(p)["nobox/hosts"]; ok {
		t.Error("written nevertheless")
	}
	// What is not there is not made.
	p = must(t, View{Entries: defaults(), Etc: etc}, nstest.Host().With(nstest.Tree{"/etc/hosts": nstest.Absent}))
	if slices.Contains(attached(p), "/etc/hosts") {
		t.Error("there is no /etc/hosts to lie over")
	}
}

func TestAMaskCoversWhatIsThereAndNothingElse(t *testing.T) {
	mask := func(at string) Entry { return Entry{At: plan.BoxPath(at), What: Mask, From: "--mask " + at} }
	p := must(t, View{Entries: []Entry{mask("/etc/passwd"), mask("/srv/data")}}, nstest.Host())
	at := attached(p)
	if !slices.Contains(at, "/etc/passwd") || !slices.Contains(at, "/srv/data") {
		t.Errorf("%q", at)
	}
}

func TestAMaskOfNothingIsAnError(t *testing.T) {
	_, err := steps(View{Entries: []Entry{{At: "/srv/none", What: Mask, From: "--mask /srv/none"}}}, nstest.Host())
	if err == nil || err.Error() != "cannot mask /srv/none (--mask /srv/none): there is nothing in the box" {
		t.Error(err)
	}
}

func TestAnErrorKeepsItsCause(t *testing.T) {
	_, err := steps(View{Rootfs: "/srv/debian", From: "--rootfs"}, debian.With(nstest.Tree{"/srv/debian/proc": nstest.Closed}))
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("%v", err)
	}
}

func TestAMaskOfNothingInAnOverlayIsAWhiteoutThatIsHeld(t *testing.T) {
	mask := func(at string) Entry { return Entry{At: plan.BoxPath(at), What: Mask, From: "--mask " + at} }
	tree := debian.With(nstest.Tree{"/srv/debian/a/b": nstest.Dir, "/srv/debian/ln": nstest.Link("a/b")})
	view := func(masks ...string) View {
		v := View{Rootfs: "/srv/debian", From: "--rootfs", Overlay: "--overlay"}
		for _, m := range masks {
			v.Entries = append(v.Entries, mask(m))
		}
		return v
	}
	whiteouts := func(p *plan.Plan) (out []string) {
		for _, w := range actions[plan.Whiteout](p) {
			out = append(out, w.Path)
		}
		return out
	}
	tests := []struct {
		masks  []string
		want   []string
		copied int
	}{
		{[]string{"/none"}, []string{"u1/none"}, 0},
		{[]string{"/a/b/none", "/a/b/too"}, []string{"u1/a/b/none", "u1/a/b/too"}, 1},
		{[]string{"/ln/none"}, []string{"u1/a/b/none"}, 1},
		{[]string{"/a/none/x", "/a/none/y/z"}, []string{"u1/a/none"}, 1}, // the first that is missing, once
		{[]string{"/a/b"}, nil, 0},
	}
	for _, tt := range tests {
		p := must(t, view(tt.masks...), tree)
		if got := whiteouts(p); !slices.Equal(got, tt.want) || len(actions[plan.CopyUp](p)) != tt.copied {
			t.Errorf("%q: %q, %d copied up", tt.masks, got, len(actions[plan.CopyUp](p)))
		}
	}

	// A directory of an owner without an id inside: nothing can be made there.
	v := view("/a/b/none", "/none")
	v.Mapped = func(uint32, uint32) bool { return false }
	if got := whiteouts(must(t, v, tree)); !slices.Equal(got, []string{"u1/none"}) {
		t.Errorf("in a directory of nobody's: %q", got)
	}
	v = view("/none")
	v.Remounts = "--allow-userns"
	if _, err := steps(v, tree); err == nil || !strings.Contains(err.Error(), "with --allow-userns the box could make it") {
		t.Error(err)
	}

	// What an earlier box left counts.
	keep := View{Rootfs: "/srv/debian", From: "--rootfs", Overlay: "--overlay", Keep: &Keep{Dir: "/srv/keep", From: "--overlay-dir"}}
	upper := string(keep.Keep.upperOf("/srv/debian"))
	left := nstest.Tree{upper + "/made/x": nstest.File, upper + "/gone": nstest.Device(0, 0), upper + "/gone2": nstest.Device(0, 0), "/srv/debian/gone2": nstest.File}
	for at, want := range map[string]string{"/made/x": "covered", "/made/y": "error", "/gone": "held", "/gone2": "held", "/new": "made"} {
		v := keep
		v.Entries = []Entry{mask(at)}
		f := nstest.Facts()
		all := tree.With(left)
		all.Answer(f, host.Questions{Places: v.Places(f)})
		all.Answer(f, host.Questions{Places: v.Places(f)})
		b := &plan.Builder{}
		_, err := v.Steps(b, f)
		p := &plan.Plan{Steps: b.Steps}
		got := "covered"
		switch {
		case err != nil:
			got = "error"
		case len(whiteouts(p)) > 0:
			got = "made"
		case !slices.Contains(attached(p), at):
			got = "held"
		}
		if got != want {
			t.Errorf("%s with what is kept: %s, want %s (%v)", at, got, want, err)
		}
	}
}

func TestChangesAreKeptWhereAnOverlayCanKeepThem(t *testing.T) {
	for typ, want := range map[string]string{
		"nfs4": "it is a network's file system (nfs4)", "9p": "it is a network's file system (9p)", "fuse.sshfs": "it is fuse.sshfs, which", "vfat": "it is vfat, which",
		"overlay": "it is overlay, which", "ramfs": "it is ramfs, without the user.* attributes", "ext4": "",
	} {
		v := View{Entries: []Entry{{At: nstest.Project, What: Bind, Source: nstest.Project, SourceKind: host.Dir, Overlay: true, From: "--cwd=overlay"}},
			Keep: &Keep{Dir: "/srv/keep", From: "--overlay-dir", NoAttrs: typ == "ramfs"}}
		f := nstest.Facts()
		f.Mounts = host.Mounts{{Device: "8:1", Root: "/", Point: "/", Type: "ext4"}, {Device: "0:50", Root: "/", Point: "/srv/keep", Type: typ}}
		nstest.Host().Answer(f, host.Questions{Places: v.Places(f)})
		_, err := v.Steps(&plan.Builder{}, f)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", typ, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), "cannot keep changes in /srv/keep (--overlay-dir): "+want)):
			t.Errorf("%s: %v, want %s", typ, err, want)
		}
	}
}

func TestATreeIsOverlaidWhereItsFileSystemCanBeALayer(t *testing.T) {
	for typ, can := range map[string]bool{
		"ext4": true, "xfs": true, "btrfs": true, "nfs": true, "nfs4": true, "fuse.sshfs": true, "squashfs": true, "erofs": true, "iso9660": true, "overlay": true, "ntfs3": true,
		"vfat": false, "exfat": false, "ntfs3, nocase": false, "cifs": false, "proc": false,
	} {
		v := View{Entries: []Entry{{At: nstest.Project, What: Bind, Source: nstest.Project, SourceKind: host.Dir, Overlay: true, From: "--cwd=overlay"}}}
		f := nstest.Facts()
		f.Mounts = host.Mounts{{Device: "8:1", Root: "/", Point: "/", Type: "ext4"}, {Device: "0:50", Root: "/", Point: nstest.Project, Type: typ}}
		nstest.Host().Answer(f, host.Questions{Places: v.Places(f)})
		_, err := v.Steps(&plan.Builder{}, f)
		switch {
		case can && err != nil:
			t.Errorf("%s: %v", typ, err)
		case !can && (err == nil || !strings.HasSuffix(err.Error(), " (--cwd=overlay): it is "+typ+", which cannot be a layer of an overlay")):
			t.Errorf("%s: %v", typ, err)
		}
	}
}
