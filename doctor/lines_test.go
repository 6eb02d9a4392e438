package doctor

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
)

// sound is a machine that lacks nothing.
func sound() host.Trial {
	ok := host.Outcome{Tried: true}
	t := host.Trial{
		Userns:     ok,
		Namespaces: map[string]host.Outcome{},
		Inside: map[string]host.Outcome{"capabilities": ok, "proc": ok, "tun": ok, "veth": ok, "ipv6": ok, "seccomp": ok,
			"lower:0": ok, "upper:1": ok},
		Helpers:       [2]host.Outcome{ok, ok},
		Layers:        []host.Layer{{What: "the home", Path: "/home/ana", Type: "ext4"}, {What: "the state directory", Path: "/home/ana", Type: "ext4", Upper: true}},
		Pasta:         host.Outcome{Tried: true, Said: "pasta 1"},
		Slirp:         host.Outcome{Tried: true, Said: "slirp4netns 1"},
		Bus:           ok,
		BusPath:       "/run/user/1001/bus",
		Systemd:       true,
		Linger:        true,
		Cgroup:        host.Cgroup{Layout: "v2", Manager: true, Controllers: wanted},
		LandlockTried: host.Outcome{Tried: true, Said: "7"},
		Boxes:         map[string]host.BoxOutcome{Box: {Outcome: ok}, NetworkUser: {Outcome: ok}, Limits: {Outcome: ok}},
		Sysctls:       map[string]string{},
	}
	for _, n := range namespaceNames {
		t.Namespaces[n] = ok
	}
	t.UID, t.GID, t.User = 1001, 1001, "ana"
	t.Kernel, t.Release = [2]int{6, 18}, "6.18.0"
	t.SubUID = host.Subordinate{File: "/etc/subuid", Ranges: []host.Range{{Start: 100000, Count: 65536}}}
	t.SubGID = host.Subordinate{File: "/etc/subgid", Ranges: []host.Range{{Start: 100000, Count: 65536}}}
	t.NewUIDMap = host.Helper{Name: "newuidmap", Path: "/usr/bin/newuidmap"}
	t.NewGIDMap = host.Helper{Name: "newgidmap", Path: "/usr/bin/newgidmap"}
	return t
}

func TestASoundMachineHasEveryLineAndAllWork(t *testing.T) {
	m := sound()
	var names []string
	for _, l := range Lines(&m) {
		names = append(names, l.Name)
		if l.State != Works || l.What == "" || l.Cause != "" || len(l.Remedy) > 0 {
			t.Errorf("%s: %v, %q; %q %q", l.Name, l.State, l.What, l.Cause, l.Remedy)
		}
	}
	if !slices.Equal(names, Names()) {
		t.Errorf("lines %v\nwant  %v", names, Names())
	}
	if !MainJob(&m) {
		t.Error("the main job does not work")
	}
}

// What one thing that is taken away does to its line. That it can be found so
// on a machine is what tests/testdata/script/doctor_*.txtar are for.
func TestEachLackHasItsCauseAndRemedy(t *testing.T) {
	no := func(e error) host.Outcome { return host.Outcome{Tried: true, Err: e} }
	for _, c := range []struct {
		line          string
		take          func(*host.Trial)
		state         State
		cause, remedy string // patterns; "" is none
	}{
		{"kernel", func(m *host.Trial) { m.Kernel = [2]int{5, 15} }, Less, "memory.peak.*5.19; .*6.12", ""},
		{"kernel", func(m *host.Trial) { m.Kernel = [2]int{5, 10} }, Cannot, "too old.*5.12", ""},
		{"user-namespaces", func(m *host.Trial) { m.Userns = no(unix.EUSERS) }, Cannot, "nested too deep", ""},
		{"namespaces", func(m *host.Trial) { m.Namespaces["net"] = no(unix.ENOSPC) }, Cannot, "type net: ", "max_user_namespaces"},
		{"apparmor", func(m *host.Trial) {
			m.Inside["capabilities"] = no(unix.EPERM)
			m.Sysctls["kernel/apparmor_restrict_unprivileged_userns"] = "1"
		}, Cannot, "give no power", "doctor --apparmor-profile"},
		{"newuidmap", func(m *host.Trial) { m.NewUIDMap.State = host.HelperMissing }, Less, "newuidmap is not installed", "apt install uidmap"},
		{"newgidmap", func(m *host.Trial) { m.NewGIDMap.State = host.HelperNosuid; m.NewGIDMap.Mount = "/usr" }, Less, "nosuid", "remount,suid /usr"},
		{"newgidmap", func(m *host.Trial) { m.Helpers[1] = host.Outcome{Tried: true, Err: unix.EPERM, Said: "not allowed"} }, Less, "not allowed", "subgid"},
		{"subuid", func(m *host.Trial) { m.SubUID = host.Subordinate{File: "/etc/subuid", Free: 165536} }, Less, "no range", "usermod --add-subuids 165536-231071 ana"},
		{"subgid", func(m *host.Trial) { m.SubGID.Ranges[0].Count = 1000 }, Less, "fewer than 65536", ""},
		{"subuid", func(m *host.Trial) { m.SubFiles[0].Overlaps = []string{"bob:100000:65536"} }, Less, "bob:100000", "usermod --del-subuids 100000-165535"},
		{"subuid", func(m *host.Trial) { m.SubUID.Problems = []string{`line 2, "ana:x:1": the start is not a number`} }, Less, "line 2", ""},
		{"proc", func(m *host.Trial) { m.Inside["proc"] = no(unix.EPERM) }, Cannot, "part of the present one is covered", "systempaths=unconfined"},
		{"overlay", func(m *host.Trial) { m.Inside["upper:1"] = no(unix.EINVAL) }, Less, "changes cannot be kept", "XDG_STATE_HOME"},
		{"overlay", func(m *host.Trial) { m.Inside["lower:0"] = no(unix.ENODEV) }, Cannot, "no overlay", "modprobe overlay"},
		{"tun", func(m *host.Trial) { m.Inside["tun"] = no(unix.ENOENT) }, Less, "not there", "modprobe tun"},
		{"tun", func(m *host.Trial) { m.Inside["tun"] = no(unix.EACCES); m.Inside["veth"] = no(unix.EOPNOTSUPP) }, Cannot, "permission denied", "chmod 0666"},
		{"ipv6", func(m *host.Trial) { m.Inside["ipv6"] = no(unix.EAFNOSUPPORT) }, Less, "::1", "disable_ipv6"},
		{"pasta", func(m *host.Trial) { m.Pasta = no(unix.ENOENT) }, Less, "not installed", "install passt"},
		{"bus", func(m *host.Trial) { m.Bus = no(unix.ENOENT); m.Cgroup.Manager = false }, Less, "no manager", "enable-linger ana"},
		{"linger", func(m *host.Trial) { m.Linger = false }, Less, "no lingering", "enable-linger ana"},
		{"cgroup", func(m *host.Trial) { m.Cgroup.Controllers = []string{"memory", "pids"} }, Less, "has not cpu cpuset io", `Delegate=cpu cpuset io memory pids`},
		{"cgroup", func(m *host.Trial) { m.Cgroup = host.Cgroup{Layout: "hybrid"} }, Less, "v1", "unified_cgroup_hierarchy"},
		{"seccomp", func(m *host.Trial) { m.Inside["seccomp"] = no(unix.EINVAL) }, Cannot, "CONFIG_SECCOMP_FILTER", "unconfined"},
		{"landlock", func(m *host.Trial) { m.LandlockTried = no(unix.EOPNOTSUPP) }, Less, "not switched on", "lsm=landlock"},
		{"landlock", func(m *host.Trial) { m.LandlockTried.Said = "3" }, Less, "6.7 and 6.12", ""},
		{"box", func(m *host.Trial) {
			m.Boxes[Box] = host.BoxOutcome{Outcome: no(unix.EPERM), Notes: []string{"cannot start"}, Hints: []string{"do this", "nobox doctor proc tells"}}
		}, Cannot, "cannot start", "^do this$"},
		{"container", func(m *host.Trial) {
			m.Container = "docker"
			m.Boxes[Box] = host.BoxOutcome{Outcome: no(unix.EPERM)}
		}, Less, "lines above", "seccomp=unconfined"},
	} {
		m := sound()
		c.take(&m)
		for _, l := range Lines(&m) {
			if l.Name != c.line {
				continue
			}
			if l.State != c.state {
				t.Errorf("%s %v, want %v: %q", l.Name, l.State, c.state, l.Cause)
			}
			if c.cause == "" == (l.Cause != "") || !regexp.MustCompile(c.cause).MatchString(l.Cause) {
				t.Errorf("%s: cause %q, want %q", l.Name, l.Cause, c.cause)
			}
			if remedy := strings.Join(l.Remedy, "\n"); c.remedy == "" == (remedy != "") || !regexp.MustCompile(c.remedy).MatchString(remedy) {
				t.Errorf("%s: remedy %q, want %q", l.Name, remedy, c.remedy)
			}
		}
	}
}

// A failed start names a line; there must be one of that name.
func TestTheLinesThatHintsNameAreThere(t *testing.T) {
	src, err := os.ReadFile("../sandbox/hints.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(src), "func lacking(")
	body, _, _ = strings.Cut(body, "\nfunc diagnose(")
	found := regexp.MustCompile(`return "([a-z-]+)"`).FindAllStringSubmatch(body, -1)
	if len(found) < 6 {
		t.Fatalf("only %d names in DoctorLine", len(found))
	}
	for _, m := range found {
		if !slices.Contains(Names(), m[1]) {
			t.Errorf("there is no line %q", m[1])
		}
	}
}

func TestJSONIsJSONWhateverTheMachineSays(t *testing.T) {
	odd := "a\"b\\c\n\x01\xff…"
	var got struct {
		Works bool
		Lines []struct {
			Name, State, What, Cause string
			Remedy                   []string
		}
	}
	s := JSON(true, []Line{{Name: "box", State: Less, What: odd, Cause: odd, Remedy: []string{odd, "x"}}, {Name: "y"}})
	if err := json.Unmarshal([]byte(s), &got); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	want := "a\"b\\c\n\x01\ufffd…"
	if !got.Works || len(got.Lines) != 2 || got.Lines[0].What != want || got.Lines[0].Remedy[0] != want || got.Lines[0].State != "less" {
		t.Errorf("%+v", got)
	}
}

func TestAProfileIsAttachedToThePathItself(t *testing.T) {
	if p := Profile("/home/ana/my bin/no[b]ox"); !strings.Contains(p, `profile nobox "/home/ana/my bin/no\[b\]ox" flags=(unconfined) {`) || !strings.Contains(p, "\n  userns,\n") {
		t.Error(p)
	}
}

// Of a package; `nobox doctor --apparmor-profile` prints it for any other path.
func TestThePackagedProfileIsTheOneThatIsPrinted(t *testing.T) {
	have, err := os.ReadFile("../packaging/apparmor/nobox.apparmor")
	if err != nil || string(have) != Profile("/usr/bin/nobox") {
		t.Errorf("%v\n%s\nwant\n%s", err, have, Profile("/usr/bin/nobox"))
	}
}
