package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/cgroups"
	"nobox/host"
	"nobox/idmap"
	"nobox/landlock"
	"nobox/mounts"
	"nobox/plan"
	"nobox/slirp"
	"nobox/userns"
)

// A Refined is a step's failure with the cause that the machine shows for it.
// It unwraps to the step's own error.
type Refined struct {
	what, flag, cause string
	err               error
}

func (e *Refined) Error() string {
	if e.flag == "" {
		return fmt.Sprintf("%s: %s", e.what, e.cause)
	}
	return fmt.Sprintf("%s (%s): %s", e.what, e.flag, e.cause)
}

func (e *Refined) Unwrap() error { return e.err }

// A Diagnosis is an error with the cause that the machine shows, and what can
// be done about it.
type Diagnosis struct {
	Err   error
	Hints []string
}

// Diagnose looks at the machine again, since only a failure makes these
// questions worth asking, and returns the error with the cause it finds, and
// what can be done about it. Each hint is supported by a fact. Where the machine
// is the cause the last hint names the line of nobox doctor that is about it.
func Diagnose(err error, o Options, f *host.Facts) Diagnosis {
	d := diagnose(err, o, f)
	line := DoctorLine(err)
	if line == "" {
		line = lacking(err, o, f)
	}
	if line != "" {
		d.Hints = append(slices.Clip(d.Hints), "nobox doctor "+line+" tells whether this machine can, and what would help")
	}
	return d
}

// lacking is the line about what a start lacks that was not tried.
func lacking(err error, o Options, f *host.Facts) string {
	var ids *idmap.Error
	var checked *Error
	switch {
	case errors.As(err, &ids):
		switch {
		case f.IDs.NewUIDMap.State != host.HelperOK:
			return "newuidmap"
		case f.IDs.NewGIDMap.State != host.HelperOK:
			return "newgidmap"
		}
		return "subuid"
	case errors.As(err, &checked) && helpedBy(&o) != slirp.None && checked.Flag == o.NetFrom:
		return helpedBy(&o).HelperName()
	}
	return ""
}

// DoctorLine is the line of nobox doctor that is about what failed, "" where
// the failure is not the machine's.
func DoctorLine(err error) string {
	var limit *cgroups.Error
	if errors.As(err, &limit) {
		switch limit.About {
		case cgroups.AboutCgroups:
			return "cgroup"
		case cgroups.AboutSystemd:
			return "bus"
		case cgroups.AboutLinger:
			return "linger"
		}
		return ""
	}
	var failed *plan.StepError
	if !errors.As(err, &failed) {
		return ""
	}
	denied := errors.Is(failed.Err, unix.EPERM) || errors.Is(failed.Err, unix.EACCES) || errors.Is(failed.Err, unix.ENOSYS)
	switch a := failed.Step.Do.(type) {
	case plan.Clone:
		switch {
		case a.Cgroup && denied:
			return "cgroup"
		case a.Flags == 0:
			return ""
		}
		return "user-namespaces"
	case plan.Unshare:
		return "namespaces"
	case plan.MapIDs:
		return "newuidmap"
	case plan.MakeTun:
		return "tun"
	case plan.MakeVeth:
		return "veth"
	case plan.Listen:
		return ""
	case plan.Device, plan.DeviceIPv6, plan.StartNet, plan.SendNet:
		return "network"
	case plan.StartHelper:
		if a.Name == "pasta" {
			return "pasta"
		}
		return "slirp4netns"
	case plan.Filter:
		return "seccomp"
	case plan.NewFS:
		if a.Type == "proc" || a.Type == "overlay" {
			return a.Type
		}
	}
	switch {
	case denied && restrictedByAppArmor():
		return "apparmor"
	case denied && mountStep(failed.Step.Do):
		return "container"
	}
	return ""
}

func diagnose(err error, o Options, f *host.Facts) Diagnosis {
	var checked *Error
	if errors.As(err, &checked) {
		return Diagnosis{err, checked.Hints}
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		if h := hinted.Hint(); h != "" {
			return Diagnosis{err, []string{h}}
		}
		return Diagnosis{err, nil}
	}
	var several interface{ Hints() []string }
	if errors.As(err, &several) {
		return Diagnosis{err, several.Hints()}
	}
	var failed *plan.StepError
	if !errors.As(err, &failed) {
		return Diagnosis{err, nil}
	}
	if failed.Fork {
		if errors.Is(failed.Err, unix.EAGAIN) {
			return diagnoseNamespaces(failed, f)
		}
		return Diagnosis{err, nil}
	}
	switch a := failed.Step.Do.(type) {
	case plan.Exec:
		return diagnoseExec(failed, a, o, f)
	case plan.Clone, plan.Unshare:
		return diagnoseNamespaces(failed, f)
	case plan.MapIDs:
		return diagnoseMapIDs(failed)
	case plan.Listen:
		if errors.Is(failed.Err, unix.EACCES) {
			return Diagnosis{err, portHint(a)}
		}
	}
	refine := func(cause string, hints ...string) Diagnosis {
		return Diagnosis{&Refined{failed.Step.Do.Cannot(), failed.Step.From, cause, failed}, hints}
	}
	denied := errors.Is(failed.Err, unix.EPERM) || errors.Is(failed.Err, unix.EACCES)
	if denied && restrictedByAppArmor() {
		return refine("permission denied: AppArmor lets user namespaces be made here, but gives them no capabilities", appArmorHint)
	}
	switch a := failed.Step.Do.(type) {
	case plan.NewFS:
		if a.Type == "proc" && denied {
			return refine("the kernel refuses a new /proc where part of the present one is covered; an outer container masks it",
				"start the outer container with --security-opt systempaths=unconfined (docker, nobox) or --security-opt unmask=ALL (podman)")
		}
		if a.Type == "overlay" && errors.Is(failed.Err, unix.ENODEV) {
			return refine("this kernel has no overlay file system", "sudo modprobe overlay")
		}
		if a.Type == "overlay" && errors.Is(failed.Err, unix.ELOOP) {
			return refine("a symbolic link is in the way, in what is kept")
		}
		if a.Type == "overlay" && failed.Step.From != "--read-only" {
			return refine(refusedLayers(a, o, f)+failed.Err.Error(),
				"a tree on another file system can be overlaid; one whose names fold case cannot, and two overlays on one another are as many as the kernel takes")
		}
		if a.Type == "overlay" {
			return refine("the root lacks mount points, and an overlay that gives them is refused: "+failed.Err.Error(),
				"something is mounted below it, or its file system cannot be a layer; with the directories proc, sys, dev, tmp, run and var/tmp in it no overlay is needed")
		}
	}
	if _, ok := failed.Step.Do.(plan.Mkdir); ok && failed.Step.From == "--rootfs" && errors.Is(failed.Err, unix.EROFS) {
		return refine(failed.Err.Error(), "with --read-only or --overlay nothing is made in it")
	}
	if _, ok := failed.Step.Do.(plan.Filter); ok {
		switch {
		case errors.Is(failed.Err, unix.ENOSYS), errors.Is(failed.Err, unix.EINVAL):
			return refine("this kernel was built without filters of system calls", "CONFIG_SECCOMP_FILTER is needed; --security-opt seccomp=unconfined does without")
		case denied:
			return refine("permission denied: a filter on nobox itself, of an outer container or sandbox, forbids it")
		}
	}
	if a, ok := failed.Step.Do.(plan.Rlimit); ok && errors.Is(failed.Err, unix.EPERM) {
		// Root inside cannot raise it either: that takes CAP_SYS_RESOURCE on the host.
		var own unix.Rlimit
		if unix.Getrlimit(a.Resource, &own) == nil && a.Hard > own.Max {
			return refine(fmt.Sprintf("it would be above the caller's own hard limit, %d", own.Max),
				fmt.Sprintf("%s=%d is the most that can be given here", a.Name, own.Max))
		}
	}
	if _, ok := failed.Step.Do.(plan.SessionKeyring); ok && errors.Is(failed.Err, unix.EDQUOT) {
		return refine("this user has as many keys as allowed", "sysctl kernel.keys.maxkeys is "+host.Sysctl("kernel/keys/maxkeys")+"; /proc/key-users shows what is in use")
	}
	switch {
	case denied && mountStep(failed.Step.Do) && host.SeccompFilter():
		return refine("permission denied: a seccomp filter on nobox itself, of an outer container or sandbox, forbids it",
			"start the outer container with --security-opt seccomp=unconfined")
	case errors.Is(failed.Err, userns.ErrShort):
		return refine("the system call did less than it must")
	case errors.Is(failed.Err, unix.EMFILE):
		return refine(fmt.Sprintf("too many open files: the limit is %d", f.NoFile[1]), "ulimit -n shows it; 64 are enough for a small box")
	case errors.Is(failed.Err, unix.EFBIG):
		return refine("the limit on the size of files is below the few hundred bytes that nobox writes to the box's own", "ulimit -f shows the limit")
	case errors.Is(failed.Err, unix.ENOSPC):
		if _, ok := failed.Step.Do.(plan.File); ok {
			return refine("no space left on the box's tmpfs: the machine is short of memory")
		}
		if mountStep(failed.Step.Do) {
			return refine("no space left: the mount namespace has too many mounts", "sysctl fs.mount-max is the limit, "+host.Sysctl("fs/mount-max")+" here")
		}
	case errors.Is(failed.Err, unix.ENAMETOOLONG):
		return refine("the path is longer than the kernel takes, 4095 bytes")
	case errors.Is(failed.Err, unix.ELOOP):
		if _, ok := failed.Step.Do.(plan.Chdir); ok {
			return refine("a link of /proc that leads elsewhere is on the way, or too many symbolic links")
		}
		return refine("a symbolic link is in the way, where none was when nobox looked")
	}
	return Diagnosis{err, nil}
}

// portHint is about a port that is root's alone; ip(7),
// ip_unprivileged_port_start.
func portHint(a plan.Listen) []string {
	start := host.Sysctl("net/ipv4/ip_unprivileged_port_start")
	n, bad := strconv.Atoi(start)
	if a.Path != "" || bad != nil || a.First == 0 || int(a.First) >= n {
		return nil
	}
	hint := "sysctl net.ipv4.ip_unprivileged_port_start is " + start + ": lower ports are root's"
	// 8080 for 80, 8443 for 443.
	if port := int(a.First) + 8000; a.First == a.Last && port >= n && port <= math.MaxUint16 {
		a.First, a.Last = uint16(port), uint16(port)
		if l, err := userns.Listen(a, ""); err == nil {
			for _, fd := range l.FDs {
				unix.Close(fd)
			}
			return []string{fmt.Sprintf("%s; port %d is free", hint, port)}
		}
	}
	return []string{hint + "; in the place of the host's port 0 is one that is free"}
}

// refusedLayers names what the kernel would not make an overlay of.
func refusedLayers(a plan.NewFS, o Options, f *host.Facts) string {
	typ := func(p plan.HostPath) string {
		if f == nil || f.Mounts == nil {
			return "of an unknown file system"
		}
		return f.Mounts.TypeOf(p)
	}
	if o.OverlayDir != "" && f != nil {
		return "it is " + typ(a.Of) + ", and what is written goes to " + typ(f.Sources[o.OverlayDir].Resolved) + ": the kernel makes no overlay of the two: "
	}
	return "it is " + typ(a.Of) + ": the kernel makes no overlay of it: "
}

func mountStep(a plan.Action) bool {
	switch a.(type) {
	case plan.PrivateMounts, plan.OpenTree, plan.CopyTree, plan.CopyBoxTree, plan.NewFS, plan.AttachRoot,
		plan.Attach, plan.AttachIn, plan.SetAttr, plan.Pivot, plan.Detach:
		return true
	}
	return false
}

// networkHint is what would help where the network's process could not be
// started, which is when the box sends its first packet: "" where the machine
// shows nothing.
func networkHint(err error) string {
	var e *userns.NetworkError
	if !errors.As(err, &e) || !e.Start {
		return ""
	}
	switch v := host.Sysctl("vm/memfd_noexec"); {
	case errors.Is(err, unix.EACCES) && v != "" && v != "0":
		return "sysctl vm.memfd_noexec is " + v + ": nothing may be run from memory; --net=slirp4netns and --net=pasta do without"
	case errors.Is(err, unix.ENOMEM):
		return "the machine, or the cgroup that nobox runs in, has no memory left: the network's process takes about 12 MiB"
	}
	var r unix.Rlimit
	if errors.Is(err, userns.ErrCutShort) && unix.Getrlimit(unix.RLIMIT_FSIZE, &r) == nil && r.Cur != unix.RLIM_INFINITY {
		return fmt.Sprintf("the limit on the size of files is %d KiB, which holds in memory too: ulimit -f shows it, ulimit -Hf what it can be raised to", r.Cur>>10)
	}
	return ""
}

// restrictedByAppArmor is Ubuntu's switch; its release notes of 23.10.
func restrictedByAppArmor() bool {
	return host.Sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1"
}

// appArmorHint is what gives this very binary what AppArmor takes from others.
const appArmorHint = "nobox doctor --apparmor-profile | sudo tee /etc/apparmor.d/nobox && sudo apparmor_parser -r /etc/apparmor.d/nobox"

// diagnoseNamespaces finds why no namespaces can be made; user_namespaces(7),
// namespaces(7), clone(2).
func diagnoseNamespaces(failed *plan.StepError, f *host.Facts) Diagnosis {
	const user = "create a user namespace"
	refine := func(what, cause string, hints ...string) Diagnosis {
		if what == user && f.Landlock >= landlock.AloneABI {
			hints = append(hints, tierFlag+" does without: it holds less of what a box is, and says what not")
		}
		return Diagnosis{&Refined{what, failed.Step.From, cause, failed}, hints}
	}
	if c, ok := failed.Step.Do.(plan.Clone); ok && c.Cgroup {
		const what = "start the box in its cgroup"
		switch {
		case errors.Is(failed.Err, unix.ENOSYS):
			return refine(what, "there is no clone3(2), which a seccomp filter on nobox itself hides from it")
		case errors.Is(failed.Err, unix.EACCES):
			return refine(what, "nobox stands outside of what was delegated, and may move no process between the two",
				"start nobox from a process in the delegated cgroup: root moves this shell there with its number in cgroup.procs")
		case errors.Is(failed.Err, unix.EAGAIN):
			return refine(what, "the limit of processes, of this user or of a cgroup above, is reached")
		}
	}
	if host.Sysctl("kernel/unprivileged_userns_clone") == "0" {
		return refine(user, "unprivileged user namespaces are switched off (kernel.unprivileged_userns_clone=0)",
			"sudo sysctl -w kernel.unprivileged_userns_clone=1")
	}
	for _, ns := range []string{"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"} {
		name := "max_" + ns + "_namespaces"
		limit := host.Sysctl("user/" + name)
		what := "create a namespace of type " + ns
		if ns == "user" {
			what = user
		}
		if limit == "0" && host.SeccompFilter() {
			return refine(what, "the sandbox around nobox allows none (user."+name+"=0)", "where that is a box of nobox's, --allow-userns allows them there")
		}
		if limit == "0" {
			return refine(what, "they are switched off (user."+name+"=0)", "sudo sysctl -w user."+name+"=15000")
		}
		if ns == "user" && errors.Is(failed.Err, unix.EUSERS) {
			return refine(what, "user namespaces are nested too deep already: 32 levels are the kernel's limit")
		}
	}
	switch {
	case errors.Is(failed.Err, unix.EMFILE), errors.Is(failed.Err, unix.ENFILE):
		return refine("start a process", "too many open files", "ulimit -n shows the limit")
	case errors.Is(failed.Err, unix.ENOSPC):
		return refine(user, "this user has as many namespaces as the machine allows",
			"sysctl user.max_user_namespaces is "+host.Sysctl("user/max_user_namespaces")+"; end other boxes or raise it")
	case errors.Is(failed.Err, unix.EAGAIN):
		return refine("start a process", "this user has as many processes as allowed", "ulimit -u shows the limit; a cgroup may have another, pids.max")
	case errors.Is(failed.Err, unix.ENOMEM):
		return refine("start a process", "out of memory")
	case errors.Is(failed.Err, unix.EPERM) && host.Chrooted():
		return refine(user, "nobox runs in a chroot, and the kernel makes no user namespaces there", "run it outside of the chroot")
	case errors.Is(failed.Err, unix.EPERM) || errors.Is(failed.Err, unix.EACCES) || errors.Is(failed.Err, unix.ENOSYS):
		if restrictedByAppArmor() {
			return refine(user, "AppArmor restricts user namespaces here", appArmorHint)
		}
		if name := host.AppArmorProfile(); name != "" {
			return refine(user, "the AppArmor profile "+plan.Quote(name)+", which nobox runs under, forbids it", "the profile needs the line: userns,")
		}
		if host.SeccompFilter() {
			return refine(user, "a seccomp filter on nobox itself, of an outer container or sandbox, forbids it",
				"start the outer container with --security-opt seccomp=unconfined")
		}
		return refine(user, "permission denied")
	case errors.Is(failed.Err, unix.EINVAL):
		return refine("create the namespaces", "this kernel was built without one of them", "CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_UTS_NS, CONFIG_IPC_NS and CONFIG_CGROUPS are needed")
	}
	return Diagnosis{failed, nil}
}

func diagnoseMapIDs(failed *plan.StepError) Diagnosis {
	var h *userns.HelperError
	if errors.As(failed.Err, &h) {
		return Diagnosis{failed, []string{"subuid(5) and subgid(5) hold the ranges; -r maps one id and needs no helper"}}
	}
	return Diagnosis{failed, nil}
}

// diagnoseExec says why a command could not be run, as a shell would.
func diagnoseExec(failed *plan.StepError, a plan.Exec, o Options, f *host.Facts) Diagnosis {
	refine := func(cause string, hints ...string) Diagnosis {
		return Diagnosis{&Refined{a.Cannot(), failed.Step.From, cause, failed}, hints}
	}
	v := newView(&o, f)
	switch {
	case errors.Is(failed.Err, unix.E2BIG):
		return refine("its arguments and environment are larger than the kernel takes", "one argument may have 128 KiB, all together a quarter of ulimit -s")
	case errors.Is(failed.Err, unix.ETXTBSY):
		return refine("the file is open for writing")
	case errors.Is(failed.Err, unix.ENAMETOOLONG):
		return refine("the name is longer than the kernel takes")
	case errors.Is(failed.Err, unix.ENOMEM):
		return refine("out of memory")
	}
	found := false
	if errors.Is(failed.Err, unix.EACCES) && len(a.Files) == 1 && v.isPlace(string(a.Files[0])) {
		return refine("it is a directory")
	}
	for _, file := range a.Files {
		p, ok := v.onHost(string(file), f)
		if !ok {
			continue
		}
		kind, mode, head := host.Head(p)
		if kind == host.None {
			continue
		}
		found = true
		switch {
		case kind == host.Dir && errors.Is(failed.Err, unix.EACCES):
			return refine("it is a directory")
		case kind != host.File && kind != host.Dir && errors.Is(failed.Err, unix.EACCES):
			return refine("it is no regular file")
		case errors.Is(failed.Err, unix.EACCES) && mode&0o111 == 0:
			return refine("it is not executable", "chmod +x "+string(file))
		case errors.Is(failed.Err, unix.EACCES):
			return refine("permission denied", "a directory on the way, or the interpreter of a script, is closed to the box's ids; or it lies on a file system mounted noexec")
		case errors.Is(failed.Err, unix.ENOENT) && bytes.HasPrefix(head, []byte("#!")):
			return refine(fmt.Sprintf("its interpreter %s is not in the box", plan.Quote(interpreter(head))))
		case errors.Is(failed.Err, unix.ENOENT) && bytes.HasPrefix(head, []byte("\x7fELF")):
			return refine("its dynamic loader is not in the box", "a static binary needs none")
		case errors.Is(failed.Err, unix.ENOEXEC) && bytes.HasPrefix(head, []byte("\x7fELF")):
			return refine(wrongMachine(head))
		case errors.Is(failed.Err, unix.ENOEXEC) && len(head) == 0:
			return refine("the file is empty")
		case errors.Is(failed.Err, unix.ENOEXEC):
			return refine("it is neither a program nor a script that starts with #!", "sh "+string(file)+" runs it by the shell")
		}
	}
	if errors.Is(failed.Err, unix.ENOENT) || errors.Is(failed.Err, unix.ENOTDIR) {
		if len(a.Files) == 1 && strings.Contains(a.Args[0], "/") {
			if !found && o.Rootfs == "" && v.hides(path.Clean(string(a.Files[0]))) {
				if kind, _, _ := host.Head(host.Place{Path: string(a.Files[0])}); kind != host.None {
					return refine("no such file in the box: what the host has there is hidden", "-v "+path.Dir(string(a.Files[0]))+":"+path.Dir(string(a.Files[0]))+":ro shows it, --home=ro the home")
				}
			}
			return refine("no such file in the box")
		}
		for _, file := range a.Files {
			if o.Rootfs == "" && v.hides(path.Clean(string(file))) {
				if kind, _, _ := host.Head(host.Place{Path: string(file)}); kind == host.File {
					return refine("not found in the box's PATH", fmt.Sprintf("the host's %s is hidden; --home=ro shows the home, -v DIR:DIR:ro a directory", plan.Quote(string(file))))
				}
			}
		}
		return refine("not found in the box's PATH")
	}
	return Diagnosis{failed, nil}
}

// isPlace says whether a path of the box is a directory that nobox mounts.
func (v *view) isPlace(p string) bool {
	p = path.Clean(p)
	for _, e := range v.Entries {
		if string(e.At) == p && (e.What != mounts.Bind || e.SourceKind == host.Dir) {
			return true
		}
	}
	return p == "/proc" || p == "/sys" || p == "/dev"
}

// onHost is where on the host a path of the box is looked for, false where the
// box has nothing of the host's.
func (v *view) onHost(p string, f *host.Facts) (host.Place, bool) {
	if !strings.HasPrefix(p, "/") {
		p = path.Join(v.start, p)
	}
	p = path.Clean(p)
	best := -1
	for i, e := range v.Entries {
		if within(string(e.At), p) && (best < 0 || len(e.At) >= len(v.Entries[best].At)) {
			best = i
		}
	}
	if best < 0 {
		return host.Place{Base: v.base(), Path: p}, true
	}
	e := v.Entries[best]
	if e.What != mounts.Bind {
		return host.Place{}, false
	}
	at := path.Join(string(e.Source), strings.TrimPrefix(p, string(e.At)))
	for _, h := range v.Hide {
		if within(string(h.Path), at) {
			return host.Place{}, false
		}
	}
	return host.Place{Base: "/", Path: at}, true
}

func interpreter(head []byte) string {
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	name, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	return strings.TrimRight(name, "\r")
}

// machines are the ELF machines one meets; elf.h.
func machineName(m uint16) string {
	switch m {
	case 3:
		return "i386"
	case 8:
		return "mips"
	case 20, 21:
		return "powerpc"
	case 22:
		return "s390"
	case 40:
		return "arm"
	case 62:
		return "x86-64"
	case 183:
		return "aarch64"
	case 243:
		return "riscv"
	}
	return fmt.Sprintf("machine %d", m)
}

func wrongMachine(head []byte) string {
	own, _ := host.Machine()
	if len(head) < 20 {
		return "it is a damaged program"
	}
	m := uint16(head[18]) | uint16(head[19])<<8
	if head[5] == 2 {
		m = uint16(head[19]) | uint16(head[18])<<8
	}
	if m == own {
		return "it is a damaged program"
	}
	return fmt.Sprintf("it is a program for %s, and this machine is %s", machineName(m), machineName(own))
}
