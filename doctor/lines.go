package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/idmap"
	"nobox/plan"
	"nobox/sandbox"
)

// State is how well something works.
type State uint8

const (
	Works  State = iota
	Less         // a box starts, and has less
	Cannot       // what needs it is refused
)

func (s State) String() string { return [...]string{"works", "works with less", "cannot"}[s] }

// A Line is about one thing.
type Line struct {
	Name   string // as in "nobox doctor NAME"
	State  State
	What   string   // what was found
	Cause  string   // why not, or why less; "" where it works
	Remedy []string // to be pasted; nothing where only another machine helps
}

// Names of the lines that a failed start points to.
const (
	Box = "box"
	// The names of the trials of boxes beyond the first.
	NetworkUser  = "network"
	NetworkPasta = "pasta"
	NetworkSlirp = "slirp4netns"
	Limits       = "limits"
)

// Names are all lines, in order.
func Names() []string {
	names := make([]string, len(table))
	for i, l := range table {
		names[i] = l.name
	}
	return names
}

// A Trial is a box to start beyond the main one, by one of the names above.
type Trial = host.BoxTrial

// InsideVerb is the hidden verb by which nobox starts itself, to call Inside.
const InsideVerb = host.InsideVerb

// Inside is what runs in the namespaces that Look makes.
func Inside(args []string) (string, error) {
	if len(args) == 0 {
		return "", host.ErrNotInside
	}
	return host.Inside(args[0], args[1:])
}

// Features are the kernel's release, and what it has of what a box uses.
func Features() (release string, out []string) { return host.Features() }

// Binary is the path of this very nobox.
func Binary() string { return host.Binary() }

// Colour says whether the environment allows colours.
func Colour() bool { return host.Colour() }

// Look tries all that a box may need.
func Look(trials []Trial) host.Trial {
	sandbox.RestoreFiles() // what is started gets the caller's own limit
	return host.Try(append([]host.BoxTrial{{Name: Box}}, trials...))
}

// Lines are what a trial comes to.
func Lines(t *host.Trial) []Line {
	var ls []Line
	for _, l := range table {
		if line, ok := l.of(t); ok {
			line.Name = l.name
			ls = append(ls, line)
		}
	}
	return ls
}

// MainJob says whether the main job works: a box starts.
func MainJob(t *host.Trial) bool { return t.Boxes[Box].OK() }

var table = [...]struct {
	name string
	of   func(*host.Trial) (Line, bool)
}{
	{Box, mainBox},
	{"kernel", kernel},
	{"user-namespaces", userNamespaces},
	{"namespaces", namespaces},
	{"apparmor", apparmor},
	{"newuidmap", func(t *host.Trial) (Line, bool) { return helper(t, 0) }},
	{"newgidmap", func(t *host.Trial) (Line, bool) { return helper(t, 1) }},
	{"subuid", func(t *host.Trial) (Line, bool) { return subordinate(t, 0) }},
	{"subgid", func(t *host.Trial) (Line, bool) { return subordinate(t, 1) }},
	{"proc", proc},
	{"overlay", overlay},
	{"tun", tun},
	{"veth", veth},
	{"ipv6", ipv6},
	{NetworkUser, func(t *host.Trial) (Line, bool) { return boxLine(t, NetworkUser, "a box has a network of its own") }},
	{NetworkPasta, func(t *host.Trial) (Line, bool) { return program(t, NetworkPasta, t.Pasta, "passt") }},
	{NetworkSlirp, func(t *host.Trial) (Line, bool) { return program(t, NetworkSlirp, t.Slirp, "slirp4netns") }},
	{"bus", bus},
	{"linger", linger},
	{"cgroup", cgroup},
	{Limits, func(t *host.Trial) (Line, bool) {
		return boxLine(t, Limits, "a box has a limit on memory and processes")
	}},
	{"seccomp", seccomp},
	{"landlock", landlock},
	{"container", container},
}

func works(what string) (Line, bool) { return Line{What: what}, true }

func cannot(cause string, remedy ...string) (Line, bool) {
	return Line{State: Cannot, Cause: cause, Remedy: remedy}, true
}

func less(what, cause string, remedy ...string) (Line, bool) {
	return Line{State: Less, What: what, Cause: cause, Remedy: remedy}, true
}

// mainBox is the main job: nobox with no flag, and a shell that ends at once.
func mainBox(t *host.Trial) (Line, bool) {
	l, ok := boxLine(t, Box, "a box starts")
	for _, n := range t.Boxes[Box].Notes {
		// What else it may say is about the working directory, not the machine.
		if ok && l.State == Works && strings.HasPrefix(n, "one id only: ") {
			l.State = Less
			l.Cause, l.Remedy = remedyOf(n)
		}
	}
	return l, ok
}

func boxLine(t *host.Trial, name, what string) (Line, bool) {
	b, ok := t.Boxes[name]
	if !ok {
		return Line{}, false
	}
	if b.Err == nil {
		return Line{What: fmt.Sprintf("%s: %.0f ms", what, float64(b.Took.Microseconds())/1000)}, true
	}
	cause := b.Err.Error()
	if len(b.Notes) > 0 {
		cause = b.Notes[len(b.Notes)-1]
	}
	return cannot(cause, slices.DeleteFunc(slices.Clone(b.Hints), func(h string) bool { return strings.HasPrefix(h, "nobox doctor ") })...)
}

// remedyOf takes the remedy out of a note of idmap's.
func remedyOf(note string) (cause string, remedy []string) {
	cause, r, ok := strings.Cut(note, "; remedy: ")
	if ok {
		remedy = []string{r}
	}
	return cause, remedy
}

// versions are what a kernel below one lacks, for a box.
var versions = []struct {
	v    [2]int
	what string
}{
	{[2]int{5, 12}, "boxes at all (mount_setattr)"},
	{[2]int{5, 13}, "Landlock"},
	{[2]int{5, 14}, "the end of a box by cgroup.kill"},
	{[2]int{5, 19}, "the peak of memory in --report (memory.peak)"},
	{[2]int{6, 2}, "Landlock for truncation of files"},
	{[2]int{6, 7}, "Landlock for TCP ports"},
	{[2]int{6, 12}, "Landlock for abstract sockets and signals"},
}

func kernel(t *host.Trial) (Line, bool) {
	var lacks []string
	for _, v := range versions {
		if t.Kernel[0] < v.v[0] || t.Kernel[0] == v.v[0] && t.Kernel[1] < v.v[1] {
			lacks = append(lacks, fmt.Sprintf("%s needs %d.%d", v.what, v.v[0], v.v[1]))
		}
	}
	what := "Linux " + t.Release
	switch {
	case len(lacks) == 0:
		return works(what)
	case len(lacks) == len(versions):
		return cannot(what + " is too old: " + lacks[0])
	}
	return less(what, strings.Join(lacks, "; "))
}

// diagnose asks sandbox, which says the same of a start that fails.
func diagnose(t *host.Trial, do plan.Action, err error) (Line, bool) {
	d := sandbox.Diagnose(&plan.StepError{Step: plan.Step{Do: do}, Err: err}, sandbox.Options{}, &t.Facts)
	return cannot(strings.TrimPrefix(d.Err.Error(), "cannot "), slices.DeleteFunc(slices.Clone(d.Hints), func(h string) bool { return strings.HasPrefix(h, "nobox doctor ") })...)
}

func userNamespaces(t *host.Trial) (Line, bool) {
	if t.Userns.Err != nil {
		return diagnose(t, plan.Clone{Flags: unix.CLONE_NEWUSER}, t.Userns.Err)
	}
	what := "an ordinary user may make them"
	if n := t.Sysctls["user/max_user_namespaces"]; n != "" {
		what += "; user.max_user_namespaces is " + n
	}
	return works(what)
}

var namespaceNames = []string{"mnt", "pid", "net", "uts", "ipc", "cgroup"}

func namespaces(t *host.Trial) (Line, bool) {
	if !t.Userns.OK() {
		return cannot("no user namespace to make them in")
	}
	for _, n := range namespaceNames {
		if err := t.Namespaces[n].Err; err != nil {
			l, ok := diagnose(t, plan.Unshare{}, err)
			if !strings.Contains(l.Cause, "max_") {
				l.Cause = "a namespace of type " + n + ": " + l.Cause
			}
			return l, ok
		}
	}
	return works(strings.Join(namespaceNames, ", "))
}

func apparmor(t *host.Trial) (Line, bool) {
	o := t.Inside["capabilities"]
	restricted := t.Sysctls["kernel/apparmor_restrict_unprivileged_userns"] == "1"
	switch {
	case !o.Tried:
		return Line{}, false
	case o.Err != nil && restricted:
		return cannot("user namespaces can be made, and give no power: "+o.Err.Error()+" (kernel.apparmor_restrict_unprivileged_userns=1)", installProfile)
	case o.Err != nil:
		return cannot("user namespaces can be made, and give no power: " + o.Err.Error())
	case restricted:
		return works("it restricts user namespaces, and lets nobox make them: " + t.AppArmor)
	case t.AppArmor != "":
		return works("it lets nobox make namespaces: " + t.AppArmor)
	}
	return works("nothing takes the power of a user namespace away")
}

const installProfile = "nobox doctor --apparmor-profile | sudo tee /etc/apparmor.d/nobox && sudo apparmor_parser -r /etc/apparmor.d/nobox"

// Profile is an AppArmor profile that lets this very binary make user
// namespaces; apparmor.d(5).
func Profile(exe string) string {
	return fmt.Sprintf(`# Lets nobox make user namespaces where AppArmor restricts them
# (kernel.apparmor_restrict_unprivileged_userns). It confines nothing else.
# Install it with
#   %s
abi <abi/4.0>,
include <tunables/global>

profile nobox %s flags=(unconfined) {
  userns,

  include if exists <local/nobox>
}
`, installProfile, attachment(exe))
}

// attachment is a path as a profile is attached to it: quoted, with what would
// be a pattern escaped.
func attachment(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if strings.IndexByte(`\*?[]{}^"@,`, path[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	if strings.ContainsAny(path, " \t") {
		return `"` + b.String() + `"`
	}
	return b.String()
}

func helper(t *host.Trial, i int) (Line, bool) {
	h := [...]host.Helper{t.NewUIDMap, t.NewGIDMap}[i]
	o := t.Helpers[i]
	const lost = "a box has one id"
	if h.State != host.HelperOK {
		// As a start would say it, were the ranges in order and the other one well.
		ids := t.IDs
		ids.SubUID, ids.SubGID = granted, granted
		other := &ids.NewGIDMap
		if i == 1 {
			other = &ids.NewUIDMap
		}
		other.State = host.HelperOK
		m, err := idmap.Choose(idmap.Request{}, ids)
		if err != nil || m.Note == "" {
			return works("root maps ids without it")
		}
		cause, remedy := remedyOf(strings.TrimPrefix(m.Note, "one id only: "))
		return less(lost, cause, remedy...)
	}
	switch {
	case o.Err != nil && o.Said != "":
		return less(lost, string(h.Path)+" refuses the ranges: "+o.Said, "grep . /etc/subuid /etc/subgid", "sudo dpkg-reconfigure uidmap || sudo dnf reinstall shadow-utils")
	case o.Err != nil:
		return less(lost, string(h.Path)+": "+o.Err.Error())
	case !o.Tried:
		return works(string(h.Path) + ", not tried for want of a range")
	}
	return works(string(h.Path) + " maps all ranges")
}

// granted stands for ranges that are in order.
var granted = host.Subordinate{Ranges: []host.Range{{Start: 100000, Count: 65536}}}

func subordinate(t *host.Trial, i int) (Line, bool) {
	s := [...]host.Subordinate{t.SubUID, t.SubGID}[i]
	f := t.SubFiles[i]
	ids := t.IDs
	ids.NewUIDMap.State, ids.NewGIDMap.State = host.HelperOK, host.HelperOK
	if i == 0 {
		ids.SubGID = granted
	} else {
		ids.SubUID = granted
	}
	m, err := idmap.Choose(idmap.Request{}, ids)
	if err == nil && m.Note != "" && len(s.Ranges) == 0 {
		cause, remedy := remedyOf(strings.TrimPrefix(m.Note, "one id only: "))
		return less("a box has one id", cause, remedy...)
	}
	if len(s.Ranges) == 0 {
		return works("root maps ids without a range")
	}
	var total uint64
	var ranges []string
	for _, r := range s.Ranges {
		total += uint64(r.Count)
		ranges = append(ranges, fmt.Sprintf("%d–%d", r.Start, r.Last()))
	}
	what := fmt.Sprintf("%s: %d ids, %s", s.File, total, strings.Join(ranges, " "))
	if f.Link != "" {
		what += ", a link to " + f.Link
	}
	var causes, remedy []string
	causes = append(causes, s.Problems...)
	if len(f.Overlaps) > 0 {
		causes = append(causes, "others have ids of these ranges: "+strings.Join(f.Overlaps[:min(len(f.Overlaps), 3)], ", "))
		kind := []string{"uids", "gids"}[i]
		if s.File == "/etc/subuid" || s.File == "/etc/subgid" {
			r := s.Ranges[0]
			remedy = append(remedy, fmt.Sprintf("sudo usermod --del-sub%s %d-%d --add-sub%s FIRST-LAST %s   # ids that no line of %s has", kind, r.Start, r.Last(), kind, t.User, s.File))
		}
	}
	if total < 65536 {
		causes = append(causes, "fewer than 65536: programs of distributions want ids up to 65534, nobody's")
	}
	if len(causes) > 0 {
		return less(what, strings.Join(causes, "; "), remedy...)
	}
	return works(what)
}

func proc(t *host.Trial) (Line, bool) {
	o := t.Inside["proc"]
	switch {
	case !o.Tried:
		return Line{}, false
	case o.Err != nil:
		return diagnose(t, plan.NewFS{Type: "proc"}, o.Err)
	}
	return works("a new /proc may be mounted")
}

func overlay(t *host.Trial) (Line, bool) {
	var good, bad []string
	for i, l := range t.Layers {
		name := "lower"
		if l.Upper {
			name = "upper"
		}
		o := t.Inside[name+":"+strconv.Itoa(i)]
		what := fmt.Sprintf("%s (%s)", l.What, l.Type)
		switch {
		case !o.Tried && !t.Userns.OK():
			continue
		case !o.Tried:
			bad = append(bad, fmt.Sprintf("%s cannot be written to: %s", l.What, l.Path))
		case o.Err == nil:
			good = append(good, what)
		case errors.Is(o.Err, unix.ENODEV):
			return cannot("this kernel has no overlay file system", "sudo modprobe overlay")
		case l.Upper:
			bad = append(bad, fmt.Sprintf("changes cannot be kept in %s, %s: %v", what, l.Path, o.Err))
		default:
			bad = append(bad, fmt.Sprintf("none over %s, %s: %v", what, l.Path, o.Err))
		}
	}
	switch {
	case len(bad) == 0 && len(good) == 0:
		return Line{}, false
	case len(bad) == 0:
		return works("over " + strings.Join(good, ", "))
	}
	remedy := ""
	for _, b := range bad {
		if strings.HasPrefix(b, "changes") || strings.Contains(b, "written") {
			remedy = "export XDG_STATE_HOME=/var/tmp/$USER-state   # or another directory of a local file system"
		}
	}
	l := Line{State: Less, What: "over " + strings.Join(good, ", "), Cause: strings.Join(bad, "; ")}
	if len(good) == 0 {
		l.State, l.What = Cannot, ""
	}
	if remedy != "" {
		l.Remedy = []string{remedy}
	}
	return l, true
}

func tun(t *host.Trial) (Line, bool) {
	o := t.Inside["tun"]
	switch {
	case !o.Tried:
		return Line{}, false
	case errors.Is(o.Err, unix.ENOENT), errors.Is(o.Err, unix.ENODEV), errors.Is(o.Err, unix.ENXIO):
		l, ok := less("the network goes the veth way", "/dev/net/tun is not there: "+o.Err.Error(), "sudo modprobe tun", "podman run --device /dev/net/tun …   # where this is a container")
		return otherwiseVeth(t, l), ok
	case errors.Is(o.Err, unix.EACCES), errors.Is(o.Err, unix.EPERM):
		l, ok := less("the network goes the veth way", "/dev/net/tun: "+o.Err.Error(), "sudo chmod 0666 /dev/net/tun")
		return otherwiseVeth(t, l), ok
	case o.Err != nil:
		l, ok := less("the network goes the veth way", "/dev/net/tun: "+o.Err.Error())
		return otherwiseVeth(t, l), ok
	}
	return works("/dev/net/tun makes devices")
}

func otherwiseVeth(t *host.Trial, l Line) Line {
	if !t.Inside["veth"].OK() {
		l.State, l.What = Cannot, ""
	}
	return l
}

func veth(t *host.Trial) (Line, bool) {
	o := t.Inside["veth"]
	switch {
	case !o.Tried:
		return Line{}, false
	case errors.Is(o.Err, unix.EOPNOTSUPP):
		return cannot("this kernel has no veth devices", "sudo modprobe veth")
	case o.Err != nil:
		return cannot(o.Err.Error())
	}
	return works("a pair of devices and a packet socket, where there is no /dev/net/tun")
}

func ipv6(t *host.Trial) (Line, bool) {
	o := t.Inside["ipv6"]
	switch {
	case !o.Tried:
		return Line{}, false
	case o.Err != nil:
		return less("a box has IPv4 alone", "::1 cannot be bound in a new network namespace: "+o.Err.Error(),
			"sudo sysctl -w net.ipv6.conf.default.disable_ipv6=0   # or without ipv6.disable=1 on the kernel's command line")
	}
	return works("lo has ::1")
}

// program is about pasta and slirp4netns, which a box needs for nothing but
// the network of that name.
func program(t *host.Trial, name string, o host.Outcome, debian string) (Line, bool) {
	switch {
	case errors.Is(o.Err, unix.ENOENT):
		return less("--net="+name+" alone needs it", "it is not installed", "sudo apt install "+debian+" || sudo dnf install "+debian)
	case o.Err != nil:
		return less("--net="+name+" alone needs it", "it does not start: "+o.Err.Error())
	}
	if l, ok := boxLine(t, name, "a box has its network"); ok {
		if l.State == Works {
			l.What = o.Said + "; " + l.What
		}
		return l, ok
	}
	return works(o.Said)
}

func bus(t *host.Trial) (Line, bool) {
	if t.Bus.Err == nil {
		return works(t.BusPath)
	}
	switch {
	case !t.Systemd:
		return less("limits need a cgroup that is delegated already", "systemd does not run here: "+t.BusPath+": "+t.Bus.Err.Error())
	case errors.Is(t.Bus.Err, unix.ENOENT) && !t.Cgroup.Manager:
		return less("limits need a cgroup that is delegated already", "no manager of systemd's runs for "+t.User, "sudo loginctl enable-linger "+t.User)
	case errors.Is(t.Bus.Err, unix.ENOENT):
		return less("limits need a cgroup that is delegated already", t.BusPath+": "+t.Bus.Err.Error(), "sudo apt install dbus-user-session || sudo dnf install dbus-daemon", "systemctl --user start dbus.socket")
	}
	return less("limits need a cgroup that is delegated already", t.BusPath+": "+t.Bus.Err.Error(), "systemctl --user restart dbus.socket")
}

func linger(t *host.Trial) (Line, bool) {
	switch {
	case !t.Systemd:
		return Line{}, false
	case t.Linger:
		return works("the manager of " + t.User + " stays when the last session ends")
	}
	return less("boxes with limits end with the last session", t.User+" has no lingering", "sudo loginctl enable-linger "+t.User)
}

// wanted are the controllers that limits need; cgroups(7).
var wanted = []string{"cpu", "cpuset", "io", "memory", "pids"}

func cgroup(t *host.Trial) (Line, bool) {
	c := t.Cgroup
	const delegate = `sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload`
	switch c.Layout {
	case "":
		return less("a box has no limits but --ulimit and --timeout", "no cgroup file system is mounted")
	case "v1", "hybrid":
		remedy := []string{}
		if t.Systemd {
			remedy = append(remedy, `sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub && sudo update-grub && sudo reboot`)
		}
		return less("a box has no limits but --ulimit and --timeout", "the controllers are those of cgroup v1 ("+c.Layout+"), which cannot be delegated", remedy...)
	}
	switch {
	case c.Manager:
		var lacks []string
		for _, w := range wanted {
			if !slices.Contains(c.Controllers, w) {
				lacks = append(lacks, w)
			}
		}
		what := fmt.Sprintf("v2, user@%d.service hands on %s", t.UID, strings.Join(c.Controllers, " "))
		if len(lacks) > 0 {
			return less(what, "it has not "+strings.Join(lacks, " "), delegate)
		}
		return works(what)
	case c.Delegated.Err == nil && c.Delegated.Tried:
		return works("v2, " + c.Own + " is the caller's (" + orNone(c.Unit) + ")")
	case t.Systemd:
		return less("a box has no limits but --ulimit and --timeout", "no manager of systemd's runs for "+t.User+", and "+c.Own+" is not the caller's", "sudo loginctl enable-linger "+t.User)
	}
	return less("a box has no limits but --ulimit and --timeout", fmt.Sprintf("%s is not the caller's: %v", c.Own, c.Delegated.Err))
}

func orNone(s string) string {
	if s == "" {
		return "no unit"
	}
	return s
}

func seccomp(t *host.Trial) (Line, bool) {
	o := t.Inside["seccomp"]
	switch {
	case !o.Tried:
		return Line{}, false
	case o.Err != nil:
		return cannot("a filter of system calls cannot be set: "+o.Err.Error()+"; CONFIG_SECCOMP_FILTER is needed", "nobox --security-opt seccomp=unconfined -- COMMAND")
	}
	return works("filters of system calls can be set")
}

func landlock(t *host.Trial) (Line, bool) {
	switch {
	case errors.Is(t.LandlockTried.Err, unix.ENOSYS):
		return less("the mounts alone keep files apart", "this kernel was built without it, or is older than 5.13")
	case errors.Is(t.LandlockTried.Err, unix.EOPNOTSUPP):
		return less("the mounts alone keep files apart", "it was not switched on when the kernel started",
			`sudo sed -i "s/^GRUB_CMDLINE_LINUX=\"/&lsm=landlock,$(cat /sys/kernel/security/lsm) /" /etc/default/grub && sudo update-grub && sudo reboot`)
	case t.LandlockTried.Err != nil:
		return less("the mounts alone keep files apart", t.LandlockTried.Err.Error())
	}
	n, _ := strconv.Atoi(t.LandlockTried.Said)
	what := "version " + t.LandlockTried.Said
	switch {
	case n < 4:
		return less(what, "TCP ports need version 4, abstract sockets and signals 6: Linux 6.7 and 6.12")
	case n < 6:
		return less(what, "abstract sockets and signals need version 6: Linux 6.12")
	}
	return works(what)
}

func container(t *host.Trial) (Line, bool) {
	var in []string
	if t.Container != "" {
		in = append(in, t.Container)
	}
	if t.NestedUserns {
		in = append(in, "a user namespace")
	}
	if t.Chroot {
		in = append(in, "a chroot")
	}
	if t.UnderSeccomp {
		in = append(in, "a filter of system calls")
	}
	if t.NoNewPrivs {
		in = append(in, "no_new_privs")
	}
	if len(in) == 0 {
		return works("nobox stands in none")
	}
	what := "nobox stands in " + strings.Join(in, ", ")
	if MainJob(t) {
		return works(what)
	}
	switch t.Container {
	case "docker":
		return less(what, "what it refuses is in the lines above", "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt apparmor=unconfined …")
	case "podman":
		return less(what, "what it refuses is in the lines above", "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL --device /dev/net/tun …")
	}
	return less(what, "what it refuses is in the lines above")
}
