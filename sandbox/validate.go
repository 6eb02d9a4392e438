package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nobox/caller"
	"nobox/host"
	"nobox/mounts"
	"nobox/plan"
)

// An Error is something that cannot be done, found before anything started.
type Error struct {
	What  string
	Flag  string // "" for a default
	Cause error
	Hints []string
}

func (e *Error) Error() string {
	if e.Flag == "" {
		return fmt.Sprintf("cannot %s: %v", e.What, e.Cause)
	}
	return fmt.Sprintf("cannot %s (%s): %v", e.What, e.Flag, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// kernelFloor is the first version with mount_setattr(2).
var kernelFloor = [2]int{5, 12}

// validate holds the checks that need no mechanism's knowledge.
func validate(o *Options, f *host.Facts) error {
	for _, check := range []func(*Options, *host.Facts) error{
		checkKernel, checkTier, checkCommand, checkHostname, checkRootfs, checkOverlay, checkHome, checkSecrets, checkWorkdir, checkFDs, checkTerminal, checkNet, checkNetFlags,
	} {
		if err := check(o, f); err != nil {
			return err
		}
	}
	return nil
}

func checkKernel(o *Options, f *host.Facts) error {
	if f.Kernel[0] < kernelFloor[0] || f.Kernel[0] == kernelFloor[0] && f.Kernel[1] < kernelFloor[1] {
		return &Error{What: "make a box", Cause: fmt.Errorf("this Linux, %s, is too old: nobox needs %d.%d, for mount_setattr(2)", f.Release, kernelFloor[0], kernelFloor[1])}
	}
	return nil
}

// minFiles is how many descriptors nobox takes for itself, and a few.
const minFiles = 32

// CheckFiles comes before all else: what lacks a descriptor fails in ways that
// look like something else. It also gives nobox the caller's own limit back,
// which package caller lowered and package syscall raised, so that the helpers
// get it; where that is too low for nobox itself the hard one stays.
func CheckFiles() error {
	soft, hard := caller.NoFile()
	if hard < minFiles {
		return &Error{What: "make a box", Cause: fmt.Errorf("too many open files: the limit is %d", hard),
			Hints: []string{fmt.Sprintf("nobox itself takes up to %d: ulimit -n shows the limit, ulimit -Hn the one it can be raised to", minFiles)}}
	}
	if soft < minFiles {
		soft = hard
	}
	// Not unix.Prlimit: package syscall would set the limit it found at its
	// own start, none, in every process it starts.
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: soft, Max: hard}); err != nil {
		return &Error{What: "make a box", Cause: fmt.Errorf("the limit on open files cannot be set: %w", err)}
	}
	return nil
}

// RestoreFiles gives nobox the caller's own limit on open files back, for what
// it starts besides boxes.
func RestoreFiles() error { return CheckFiles() }

func checkCommand(o *Options, f *host.Facts) error {
	for i, a := range o.Command {
		if strings.IndexByte(a, 0) >= 0 {
			return &Error{What: "run " + plan.Quote(o.Command[0]), Cause: fmt.Errorf("argument %d holds a NUL byte", i)}
		}
	}
	return nil
}

func checkHostname(o *Options, f *host.Facts) error {
	n := o.Hostname
	if n == "" {
		return nil
	}
	bad := func(cause string) error {
		return &Error{What: "name the host " + plan.Quote(n), Flag: "--hostname", Cause: errors.New(cause)}
	}
	if len(n) > 64 { // __NEW_UTS_LEN, sethostname(2)
		return bad("it is longer than 64 bytes")
	}
	for _, c := range []byte(n) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return bad("a host name has letters, digits, hyphens and dots")
		}
	}
	return nil
}

func checkRootfs(o *Options, f *host.Facts) error {
	if o.Rootfs == "" {
		if o.ReadOnly {
			return nil // the host's tree always is
		}
		return nil
	}
	s := f.Sources[string(o.Rootfs)]
	what := "use " + plan.Quote(string(o.Rootfs)) + " as the root"
	switch {
	case s.Err != nil:
		return &Error{What: what, Flag: "--rootfs", Cause: s.Err}
	case s.Kind != host.Dir:
		return &Error{What: what, Flag: "--rootfs", Cause: fmt.Errorf("it is %v, not a directory", s.Kind),
			Hints: []string{"unpack an archive into a directory first"}}
	case s.Resolved == "/":
		return &Error{What: what, Flag: "--rootfs", Cause: errors.New("it is the host's own root directory"),
			Hints: []string{"without --rootfs the box gets the host's tree, read-only"}}
	}
	return nil
}

// checkOverlay: an overlay is of something, and its changes go somewhere.
func checkOverlay(o *Options, f *host.Facts) error {
	if o.Overlay && o.ReadOnly {
		return &Error{What: "overlay the root", Flag: "--overlay", Cause: errors.New("--read-only makes it read-only"), Hints: []string{"give one of the two"}}
	}
	if o.OverlayDir == "" {
		return nil
	}
	what := "keep changes in " + plan.Quote(o.OverlayDir)
	any := o.Overlay || o.Cwd == ShareOverlay || o.Home == ShareOverlay
	for _, b := range o.Binds {
		any = any || b.Overlay
	}
	s := f.Sources[o.OverlayDir]
	switch {
	case !any:
		return &Error{What: what, Flag: o.OverlayDirFrom, Cause: errors.New("nothing is an overlay"), Hints: []string{"--overlay, --cwd=overlay, --home=overlay and -v SRC:DST:O make one"}}
	case errors.Is(s.Err, unix.ENOENT):
		return &Error{What: what, Flag: o.OverlayDirFrom, Cause: s.Err, Hints: []string{"mkdir -p " + mounts.ShellQuote(o.OverlayDir)}}
	case s.Err != nil:
		return &Error{What: what, Flag: o.OverlayDirFrom, Cause: s.Err}
	case s.Kind != host.Dir:
		return &Error{What: what, Flag: o.OverlayDirFrom, Cause: fmt.Errorf("it is %v, not a directory", s.Kind)}
	}
	return nil
}

// checkSecrets: a list of secrets that cannot be read masks nothing.
func checkSecrets(o *Options, f *host.Facts) error {
	if !masksSecrets(o) || errors.Is(f.Secrets.Err, unix.ENOENT) || errors.Is(f.Secrets.Err, unix.ENOTDIR) {
		return nil
	}
	err := f.Secrets.Err
	if err == nil {
		_, err = secretsList(string(f.Secrets.Content))
	}
	if err != nil {
		return &Error{What: "read the list of secrets " + plan.Quote(f.SecretsAt), Flag: "--home=" + shareName(o.Home), Cause: err}
	}
	return nil
}

// checkHome: a root of its own has no home of the caller's to share.
func checkHome(o *Options, f *host.Facts) error {
	if o.Rootfs != "" && o.Home.shares() {
		return &Error{What: "share the home", Flag: "--home=" + shareName(o.Home), Cause: errors.New("with --rootfs the box has another root, and no home of the host's"),
			Hints: []string{"-v ~:/mnt shares it at a place of that root"}}
	}
	return nil
}

func checkWorkdir(o *Options, f *host.Facts) error {
	if strings.IndexByte(o.Workdir, 0) >= 0 {
		return &Error{What: "start in " + plan.Quote(o.Workdir), Flag: "-w", Cause: errors.New("it holds a NUL byte")}
	}
	if o.Workdir != "" && !strings.HasPrefix(o.Workdir, "/") {
		return &Error{What: "start in " + plan.Quote(o.Workdir), Flag: "-w", Cause: errors.New("it is not an absolute path")}
	}
	return nil
}

// checkFDs: what is handed on must be the caller's, and open.
func checkFDs(o *Options, f *host.Facts) error {
	for _, fd := range o.PreserveFDs {
		if err := f.FDs[fd.FD]; err != nil {
			return &Error{What: "hand on the descriptor", Flag: fd.From, Cause: err, Hints: []string{"a shell opens one by 3<FILE behind the command line"}}
		}
	}
	return nil
}

func checkTerminal(o *Options, f *host.Facts) error {
	if o.Terminal == Yes && !f.Streams.TTY[0] {
		return &Error{What: "give the box a terminal", Flag: "-t", Cause: errors.New("stdin is not a terminal")}
	}
	return nil
}

func checkNet(o *Options, f *host.Facts) error {
	mode := helpedBy(o)
	if hint, cause := mode.Unfit(f.NetHelper); cause != nil {
		e := &Error{What: "set up the network", Flag: o.NetFrom, Cause: cause}
		if hint != "" {
			e.Hints = []string{hint}
		}
		return e
	}
	if err := checkPublish(o, f); err != nil {
		return err
	}
	switch o.Net {
	case NetUser:
		if !f.NetStack {
			return &Error{What: "set up the network", Flag: o.NetFrom, Cause: errors.New("this nobox was built without its network stack"),
				Hints: []string{"make builds one that has it; --net=none needs none"}}
		}
		if why := noStack(f); why != "" {
			return &Error{What: "set up the network", Flag: o.NetFrom, Cause: errors.New(why)}
		}
	}
	return nil
}

// checkNetFlags refuses what only the network in user space can do where the
// box has another: a policy that nobody applies would be none.
func checkNetFlags(o *Options, f *host.Facts) error {
	if netOf(o, f) == NetUser {
		return nil
	}
	for _, x := range []struct {
		given bool
		flag  string
	}{
		{len(o.AllowHosts) > 0, "--allow-host"}, {len(o.DenyHosts) > 0, "--deny-host"}, {len(o.HostPorts) > 0, "--host-port"},
		{o.NetLog != "", "--net-log"}, {len(o.DNS) > 0, "--dns"}, {len(o.DNSSearch) > 0, "--dns-search"}, {o.MTU != 0, "--mtu"},
	} {
		if !x.given {
			continue
		}
		e := &Error{What: "set up the network", Flag: x.flag, Cause: errors.New("it goes with --net=user alone")}
		if why := noStack(f); o.Net == NetDefault && why != "" {
			e.Cause = errors.New("it takes the network in user space: " + why)
		}
		return e
	}
	return nil
}

// checkPublish: a port is taken once, by the kernel's rules too, and there is a
// network of the box's own behind it.
func checkPublish(o *Options, f *host.Facts) error {
	for i, p := range o.Publish {
		switch o.Net {
		case NetHost:
			return &Error{What: "publish a port", Flag: p.From, Cause: errors.New("with --net=host the box's ports are the host's already")}
		case NetNS:
			return &Error{What: "publish a port", Flag: p.From, Cause: errors.New("with --net=ns: what the box listens at is in that network, and nobox has no part in it")}
		}
		for _, q := range o.Publish[:i] {
			if p.UDP == q.UDP && p.Path == q.Path && p.Addr == q.Addr && p.First == q.First && p.First == p.Last && q.First == q.Last && (p.First != 0 || p.Path != "") {
				return &Error{What: "publish a port", Flag: p.From, Cause: fmt.Errorf("%s has it already", q.From)}
			}
		}
	}
	if o.Clients && len(o.Publish) == 0 {
		return &Error{What: "show servers their clients", Flag: "--client-address", Cause: errors.New("it goes with -p, and there is none")}
	}
	if n := 2 * len(o.Publish); n > int(f.NoFile[1])-minFiles && f.NoFile[1] < 1<<30 {
		return &Error{What: "publish ports", Flag: o.Publish[0].From, Cause: fmt.Errorf("they need %d descriptors, and the limit is %d", n, f.NoFile[1])}
	}
	return nil
}
