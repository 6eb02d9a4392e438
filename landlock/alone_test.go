package landlock

import (
	"errors"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nobox/host"
	"nobox/plan"
)

func listed(names ...string) host.ListFact {
	var f host.ListFact
	for _, n := range names {
		e := host.ListEntry{Name: strings.TrimRight(n, "/@"), Kind: host.File}
		switch {
		case strings.HasSuffix(n, "/"):
			e.Kind = host.Dir
		case strings.HasSuffix(n, "@"):
			e.Kind, e.Link = host.Other, "elsewhere"
		}
		f.Entries = append(f.Entries, e)
	}
	return f
}

func TestRulesGiveWhatTheAreasSay(t *testing.T) {
	lists := map[plan.HostPath]host.ListFact{
		"/":         listed("bin@", "etc/", "home/", "srv/", "tmp/", "usr/", "vmlinuz", "var/", "homes/"),
		"/var":      listed("tmp/", "lib/", "run@"),
		"/home":     listed("me/"),
		"/home/me":  listed(".ssh/", "work/", "notes", "docs@"),
		"/srv":      listed("keys", "data/"),
		"/nowhere":  {},
		"/srv/data": listed("a", "b/"),
	}
	ro, rw, hidden := ReadOnly, ReadWrite, Hidden
	tests := []struct {
		name  string
		areas []Area
		lists []plan.HostPath
		rules string // PATH:r, w or d
		hole  string // that cannot be
	}{
		{"all of it", []Area{{Path: "/", Access: ro}}, nil, "/:r", ""},
		{"nothing", []Area{{Path: "/", Access: hidden}}, nil, "", ""},
		{"something hidden, something written", []Area{{Path: "/", Access: ro}, {Path: "/tmp"}, {Path: "/var/tmp"}, {Path: "/home"}, {Path: "/home/me/work", Access: rw}},
			[]plan.HostPath{"/", "/var"}, "/etc:r /srv:r /usr:r /vmlinuz:r /var/lib:r /homes:r /home/me/work:w", ""},
		{"a name that begins like a hidden one", []Area{{Path: "/", Access: ro}, {Path: "/home"}}, []plan.HostPath{"/"}, "/etc:r /srv:r /tmp:r /usr:r /vmlinuz:r /var:r /homes:r", ""},
		{"secrets in what is read", []Area{{Path: "/", Access: hidden}, {Path: "/home/me", Access: ro}, {Path: "/home/me/.ssh"}}, []plan.HostPath{"/home/me"}, "/home/me/work:r /home/me/notes:r", ""},
		{"written in what is read", []Area{{Path: "/", Access: ro}, {Path: "/srv", Access: rw}}, nil, "/:r /srv:w", ""},
		{"a hole two areas deep", []Area{{Path: "/", Access: ro}, {Path: "/srv/data", Access: ro}, {Path: "/srv/data/b"}}, []plan.HostPath{"/", "/srv", "/srv/data"},
			"/etc:r /home:r /srv/keys:r /tmp:r /usr:r /vmlinuz:r /var:r /homes:r /srv/data/a:r", ""},
		{"a secret in what is written", []Area{{Path: "/srv", Access: rw}, {Path: "/srv/keys"}}, nil, "", "/srv/keys"},
		{"read-only in what is written", []Area{{Path: "/srv", Access: rw}, {Path: "/srv/data", Access: ro}}, nil, "", "/srv/data"},
		{"not run in what is run", []Area{{Path: "/srv", Access: ro}, {Path: "/srv/data", Access: ro, NoExec: true}}, []plan.HostPath{"/srv"}, "/srv/keys:r /srv/data:r", ""},
		{"the last word counts", []Area{{Path: "/srv", Access: hidden}, {Path: "/srv", Access: rw}}, nil, "/srv:w", ""},
		{"a directory that cannot be listed", []Area{{Path: "/opt", Access: ro}, {Path: "/opt/x"}}, []plan.HostPath{"/opt"}, "", ""},
		{"a device among none", []Area{{Path: "/", Access: hidden}, {Path: "/dev/null", Access: Device}}, nil, "/dev/null:d", ""},
	}
	for _, tt := range tests {
		if got := Lists(tt.areas); !reflect.DeepEqual(got, tt.lists) {
			t.Errorf("%s: lists %q, want %q", tt.name, got, tt.lists)
		}
		w, err := Alone(tt.areas, lists, nil, nil, false)
		var hole *HoleError
		if errors.As(err, &hole) != (tt.hole != "") || hole != nil && hole.Hole.Path != tt.hole {
			t.Errorf("%s: %v, want a hole at %q", tt.name, err, tt.hole)
		}
		var got []string
		for _, r := range w.Rules {
			if !r.NoLinks || r.Files&^w.Files != 0 {
				t.Errorf("%s: %+v", tt.name, r)
			}
			kind := "r"
			switch {
			case r.Files&IoctlDev != 0:
				kind = "d"
			case r.Files&Write != 0:
				kind = "w"
			}
			got = append(got, string(r.Path)+":"+kind)
		}
		if s := strings.Join(got, " "); tt.hole == "" && !sameWords(s, tt.rules) {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.rules)
		}
	}
}

func sameWords(a, b string) bool {
	in := func(a, b string) bool {
		for _, w := range strings.Fields(a) {
			if !strings.Contains(" "+b+" ", " "+w+" ") {
				return false
			}
		}
		return true
	}
	return in(a, b) && in(b, a)
}

func TestPortsAreOfTheBoxThatHasAny(t *testing.T) {
	w, _ := Alone(nil, nil, []uint16{443}, []uint16{0, 8080}, true)
	want := []plan.LandlockPort{{Port: 443, Rights: ConnectTCP}, {Port: 0, Rights: BindTCP}, {Port: 8080, Rights: BindTCP}}
	if w.Ports != BindTCP|ConnectTCP || !reflect.DeepEqual(w.TCP, want) {
		t.Errorf("%#x %v", w.Ports, w.TCP)
	}
	if w, _ = Alone(nil, nil, nil, nil, false); w.Ports != 0 {
		t.Errorf("the host's network, and %#x", w.Ports)
	}
}

func TestAnOldLandlockIsNamed(t *testing.T) {
	for abi, want := range map[int]string{0: "has no Landlock", 1: "is ABI 1; ABI 6", 5: "ABI 5; ABI 6 is needed, of Linux 6.12"} {
		if s := ErrOld(abi, "6.6.0").Error(); !strings.Contains(s, want) || !strings.Contains(s, "6.6.0") {
			t.Errorf("ABI %d: %s", abi, s)
		}
	}
}

// FuzzAlone makes rules of any areas: none gives more than the nearest area that
// its path is in, whatever a listing holds.
func FuzzAlone(f *testing.F) {
	f.Add("r/ h/home w/home/me/src h/home/me/src/secret d/dev/null")
	f.Add("w/ h/a r/a/b w/a/b/c h/a/b/c/d")
	f.Add("r/a r/a/b h/a/bc h/a/b/c")
	f.Fuzz(func(t *testing.T, s string) {
		var areas []Area
		lists := map[plan.HostPath]host.ListFact{}
		for _, w := range strings.Fields(s[:min(len(s), 400)]) {
			access := strings.IndexByte("hrwd", w[0])
			p := path.Clean("/" + w[1:])
			if access < 0 || strings.ContainsAny(w, "@~") {
				continue
			}
			areas = append(areas, Area{Path: p, Access: Access(access)})
			for d := p; d != "/"; d = path.Dir(d) {
				l := lists[plan.HostPath(path.Dir(d))]
				if slices.ContainsFunc(l.Entries, func(e host.ListEntry) bool { return e.Name == path.Base(d) }) {
					continue
				}
				l.Entries = append(l.Entries, host.ListEntry{Name: path.Base(d), Kind: host.Dir}, host.ListEntry{Name: path.Base(d) + "~", Kind: host.File},
					host.ListEntry{Name: path.Base(d) + "@", Link: "/etc/shadow", Kind: host.Other})
				lists[plan.HostPath(path.Dir(d))] = l
			}
		}
		w, err := Alone(areas, lists, nil, nil, true)
		if err != nil {
			return
		}
		last := sorted(areas)
		nearest := func(p string) (a Area) {
			for _, x := range last { // by path: a nearer one comes later
				if inside(x.Path, p) {
					a = x
				}
			}
			return a
		}
		for _, r := range w.Rules {
			if strings.HasSuffix(string(r.Path), "@") && nearest(string(r.Path)).Path != string(r.Path) {
				t.Fatalf("%q: a rule for a link: %+v", s, r)
			}
			for _, x := range last {
				if inside(string(r.Path), x.Path) && r.Files&^x.rights() != 0 {
					t.Fatalf("%q: the rule for %s gives %#x, which %+v has not", s, r.Path, r.Files, x)
				}
			}
			if a := nearest(string(r.Path)); r.Files&^a.rights() != 0 {
				t.Fatalf("%q: the rule for %s gives more than %+v", s, r.Path, a)
			}
		}
	})
}
