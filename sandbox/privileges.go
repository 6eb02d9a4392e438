package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/landlock"
	"nobox/plan"
	"nobox/seccomp"
)

// caps are the capabilities of a box.
type caps struct {
	bounding uint64 // what any program in it can have
	keep     uint64 // what the command has
	ambient  bool   // it is not root, and would lose them by execve(2) otherwise
	from     string // the flag that asked for other ones than the default's
}

// capabilities are docker's default set for root inside, none for anybody else
// and with -c, and what the flags change of that, as docker run does.
func capabilities(o *Options, f *host.Facts, who user) (caps, error) {
	root := who.uid == 0 && o.Userns != UsernsKeepID
	c := caps{bounding: seccomp.RootCaps}
	if !root {
		c.bounding = 0
	}
	if o.Userns == UsernsKeepID {
		c.from = mapFlag(o)
	}
	if helpedBy(o).HelperName() != "" {
		// A packet made by hand reaches the host's loopback by the helper.
		c.bounding &^= 1 << unix.CAP_NET_RAW
	}
	every := uint64(1)<<f.LastCap<<1 - 1
	for _, d := range o.CapDrop {
		c.from = d.From
		if d.All {
			c.bounding = 0
		} else {
			c.bounding &^= 1 << d.Cap
		}
	}
	for _, a := range o.CapAdd {
		c.from = a.From
		added := every
		switch {
		case !a.All && a.Cap > f.LastCap:
			return c, &Error{What: "add the capability", Flag: a.From, Cause: fmt.Errorf("this kernel's last one is %s", plan.CapNames(1<<f.LastCap))}
		case !a.All:
			added = 1 << a.Cap
		}
		for _, d := range o.CapDrop {
			switch {
			case a.All && d.All:
				return c, &Error{What: "add the capabilities", Flag: a.From, Cause: errors.New(d.From + " drops them again")}
			case !d.All && added&(1<<d.Cap) != 0 && !a.All:
				return c, &Error{What: "add the capability", Flag: a.From, Cause: errors.New(d.From + " drops it again")}
			case !d.All && a.All:
				added &^= 1 << d.Cap
			}
		}
		c.bounding |= added
	}
	c.keep = c.bounding
	c.ambient = !root && c.keep != 0
	return c, nil
}

// The bits of securebits, SECBIT_*; linux/securebits.h.
const (
	secNoRoot, secNoRootLocked                 = 1 << 0, 1 << 1
	secNoSetuidFixup, secNoSetuidFixupLocked   = 1 << 2, 1 << 3
	secKeepCapsLocked                          = 1 << 5
	secNoAmbientRaise, secNoAmbientRaiseLocked = 1 << 6, 1 << 7
)

// securebits: where uid 0 has no capability it shall not get one by being 0,
// and nobody can raise one. Where it has some, things are as root inside
// expects them, for good; KEEP_CAPS stays open for daemons that change their
// uid and keep a capability they have, and is cleared by execve(2).
func (c caps) securebits() uint32 {
	const locks = secNoRootLocked | secNoSetuidFixupLocked | secNoAmbientRaiseLocked
	switch {
	case c.keep == 0:
		return locks | secNoRoot | secNoSetuidFixup | secNoAmbientRaise | secKeepCapsLocked
	case c.ambient:
		return locks | secNoRoot | secNoSetuidFixup | secKeepCapsLocked
	}
	return locks
}

// filterOf is the filter of system calls, and the flag that asked for it.
func filterOf(o *Options, f *host.Facts, keep uint64) (plan.Filter, string, error) {
	cannot := func(err error) error {
		return &Error{What: "filter system calls", Flag: o.Seccomp.From, Cause: err}
	}
	switch {
	case o.Seccomp.Unconfined:
		return plan.Filter{What: "nothing"}, o.Seccomp.From, nil
	case o.Seccomp.Profile != nil:
		p, err := seccomp.Parse(o.Seccomp.Profile)
		if err != nil {
			return plan.Filter{}, "", cannot(err)
		}
		program, err := p.Program(seccomp.Where{Caps: keep, Kernel: f.Kernel, CapNumber: plan.CapNumber})
		if err != nil {
			return plan.Filter{}, "", cannot(err)
		}
		return plan.Filter{What: "the profile given", Program: string(program)}, o.Seccomp.From, nil
	}
	program, err := seccomp.Default(seccomp.Want{Caps: keep, AllowUserns: o.AllowUserns})
	if err != nil {
		return plan.Filter{}, "", cannot(err)
	}
	own := plan.Filter{What: "docker's default list and nobox's own", Own: true, Program: string(program)}
	if o.AllowUserns {
		own.What += ", new namespaces allowed"
	}
	return own, flagIf(o.AllowUserns, "--allow-userns"), nil
}

// resolvConf is all that the network's process reads, and readByNetwork where it
// may do so: the file may be replaced.
const resolvConf = "/etc/resolv.conf"

var readByNetwork = [...]string{"/etc", resolvConf}

// resolverDir is where a resolver's service writes what /etc/resolv.conf leads to,
// and replaces it, "" if that is none of its own: /run has much else.
func resolverDir(f *host.Facts) string {
	to := f.Sources[resolvConf]
	dir := path.Dir(string(to.Resolved))
	if to.Err != nil || !strings.HasPrefix(dir, "/run/") || strings.HasPrefix(dir+"/", "/run/user/") {
		return ""
	}
	return dir
}

// confine binds the network's process, which reads what the box sends and runs
// outside: it can start no program, write to no file, and read few.
func confine(steps []plan.Step, f *host.Facts) error {
	for i := range steps {
		start, ok := steps[i].Do.(plan.StartNet)
		if !ok {
			continue
		}
		program, err := seccomp.Default(seccomp.Want{Process: true})
		if err != nil {
			return err
		}
		start.Filter = string(program)
		if f.Has(plan.FactLandlock) {
			var paths []plan.BoxPath
			for _, p := range readByNetwork {
				if f.Sources[p].Err == nil && f.Sources[p].Resolved != "" {
					paths = append(paths, plan.BoxPath(p))
				}
			}
			if dir := resolverDir(f); dir != "" {
				paths = append(paths, plan.BoxPath(dir))
			}
			start.Landlock = landlock.Reader(f.Landlock, paths...)
		}
		steps[i].Do = start
	}
	return nil
}
