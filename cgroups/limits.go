package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"nobox/host"
	"nobox/plan"
)

// A Limit is one value for one file of the box's cgroup.
type Limit struct {
	Controller string
	File       string
	Value      string
	What       string // the object of "cannot"
	From       string // the flag
	Shown      bool   // programs inside look for it in their own cgroup
}

// A Mode is where the box's cgroup comes from.
type Mode uint8

const (
	Auto    Mode = iota // systemd, or else the cgroup that nobox stands in
	Systemd             // systemd alone
	Path                // a cgroup by its path
	Off                 // nowhere
)

// A Request is what a box's cgroup is to be.
type Request struct {
	Limits     []Limit
	Mode       Mode
	From       string // --cgroup as given, "" for the default
	Writable   string // the flag that has the box manage cgroups of its own, "" for none
	Report     bool   // the kernel's counts are wanted, if they can be had
	BestEffort bool   // what cannot be limited is said, and no error
}

// Asked says whether a cgroup is wanted at all.
func (r *Request) Asked() bool {
	if r.Mode == Off {
		return len(r.Limits) > 0 || r.Writable != ""
	}
	return r.insists() || r.Report
}

// insists says whether a cgroup that cannot be had is an error.
func (r *Request) insists() bool {
	return len(r.Limits) > 0 || r.Writable != "" || r.Mode == Systemd || r.Mode == Path
}

// An Error is a limit that cannot be enforced here.
type Error struct {
	What, Flag string
	Cause      error
	Remedies   []string
	About      About
}

// About is what of the machine is the cause.
type About uint8

const (
	AboutNothing About = iota // nothing, or nothing that can be tried without the flags
	AboutCgroups              // cgroups, as they are mounted and delegated
	AboutSystemd              // the caller's own systemd
	AboutLinger               // that there is none without a session
)

func (e *Error) Error() string {
	if e.Flag == "" {
		return fmt.Sprintf("cannot %s: %v", e.What, e.Cause)
	}
	return fmt.Sprintf("cannot %s (%s): %v", e.What, e.Flag, e.Cause)
}
func (e *Error) Unwrap() error   { return e.Cause }
func (e *Error) Hints() []string { return e.Remedies }

// A place is where a cgroup can be made.
type place struct {
	scope       bool
	dir         *host.CgroupDir // of a place that is no scope
	controllers []string
	known       bool // controllers are
}

// has says whether a controller can be had there, as far as is known.
func (p *place) has(c string) bool { return !p.known || slices.Contains(p.controllers, c) }

// A Made is what Steps made of a request.
type Made struct {
	Cgroup bool // the box has one
	Notes  []string

	// Quota is what sets the quota of CPU time; nil if that is done, or is none.
	Quota *plan.Step
}

// Steps appends what makes the box's cgroup and sets its limits. With late the
// inside is to play Quota: what the making of the box took of a period would be
// the command's to wait for.
//
// Preconditions: f.Cgroups is there if the request is asked for; what follows
// appends Clone with Cgroup set as Made says.
func (r *Request) Steps(b *plan.Builder, f *host.Facts, late bool) (Made, error) {
	var m Made
	if !r.Asked() {
		return m, nil
	}
	p, why := r.place(f)
	if why != nil {
		if !r.insists() {
			return m, nil // a report says where its numbers are from
		}
		return m, r.refuse(&m, r.Limits, why)
	}
	var limits []Limit
	need := []string{}
	for _, l := range r.Limits {
		var why *Error
		switch reason, no := f.Refused[plan.FactLimit(l.File)]; {
		case !p.has(l.Controller):
			why = missing(p, l.Controller, f)
		case no:
			why = &Error{Cause: errors.New(reason), Remedies: refusedLimit(l)}
		default:
			limits = append(limits, l)
			if !slices.Contains(need, l.Controller) {
				need = append(need, l.Controller)
			}
			continue
		}
		if err := r.refuse(&m, []Limit{l}, why); err != nil {
			return m, err
		}
	}
	if len(limits) == 0 && r.Writable == "" && r.Mode == Auto && !r.Report {
		return m, nil // nothing of it is left
	}
	// What counts memory and processes costs next to nothing, and tells why a
	// box ended.
	also := []string{"memory", "pids"}
	if r.Report {
		also = append(also, "cpu", "io")
	}
	if r.Writable != "" {
		also = append(also, "cpu", "io", "cpuset")
	}
	for _, c := range also {
		if p.known && p.has(c) && !slices.Contains(need, c) {
			need = append(need, c)
		}
	}
	slices.Sort(need)

	from := r.From
	if len(limits) > 0 {
		from = limits[0].From
	} else if from == "" {
		from = r.Writable
	}
	if p.scope {
		s := f.Cgroups.Manager
		b.Host(from, "systemd removes it when it is empty, however nobox ended", plan.Scope{Machine: s.Machine, Buses: s.Buses, Controllers: need}).Needs = plan.FactScope
		b.Host(from, "the limits stand above what the box can see", plan.MakeCgroup{Leaf: true, Controllers: need}).Needs = plan.FactScope
	} else {
		b.Host(from, "the limits stand above what the box can see", plan.MakeCgroup{In: p.dir.Path, Leaf: p.dir.Populated, Controllers: need}).Needs = plan.FactCgroup
		b.Host(from, "nothing is left on the host", plan.SweepCgroup{})
	}
	for _, l := range limits {
		if late && l.File == "cpu.max" {
			of := []plan.Slot{b.NewSlot()}
			if l.Shown {
				of = append(of, b.NewSlot())
			}
			needs := plan.FactLimit(l.File)
			b.Host(l.From, "", plan.OpenLimit{File: l.File, What: l.What, Into: of}).Needs = needs
			m.Quota = &plan.Step{From: l.From, Why: "the quota is the command's alone", Needs: needs, Do: plan.WriteLimit{File: l.File, Value: l.Value, What: l.What, Of: of}}
			continue
		}
		b.Host(l.From, "", plan.LimitCgroup{File: l.File, Value: l.Value, What: l.What, Shown: l.Shown}).Needs = plan.FactLimit(l.File)
	}
	m.Cgroup = true
	return m, nil
}

// Scope is what systemd will be asked for; false if that is not certain.
//
// Preconditions: f is what host.LookAhead found.
func (r *Request) Scope(f *host.Facts) (plan.Scope, bool) {
	b := &plan.Builder{}
	if m, err := r.Steps(b, f, false); err != nil || !m.Cgroup || len(m.Notes) > 0 {
		return plan.Scope{}, false
	}
	s, ok := b.Steps[0].Do.(plan.Scope)
	return s, ok
}

// refuse is the error that limits cannot be had, or with best effort the notes.
func (r *Request) refuse(m *Made, limits []Limit, why *Error) error {
	what, flag := "make a cgroup for the box", r.From
	if r.Writable != "" && flag == "" {
		flag = r.Writable
	}
	if len(limits) > 0 {
		what, flag = limits[0].What, limits[0].From
	}
	if !r.BestEffort {
		return &Error{What: what, Flag: flag, Cause: why.Cause, Remedies: why.Remedies, About: why.About}
	}
	dropped := []string{}
	for _, l := range limits {
		if !slices.Contains(dropped, l.From) {
			dropped = append(dropped, l.From)
		}
	}
	if len(limits) == 0 {
		dropped = []string{flag}
	}
	m.Notes = append(m.Notes, fmt.Sprintf("dropped %s: %v", strings.Join(dropped, " and "), why.Cause))
	return nil
}

// place chooses where the cgroup is made.
func (r *Request) place(f *host.Facts) (*place, *Error) {
	c := f.Cgroups
	if r.Mode == Off {
		return nil, &Error{Cause: errors.New("--cgroup=off was given too, and this takes a cgroup")}
	}
	switch c.Mode {
	case host.CgroupHybrid:
		return nil, &Error{About: AboutCgroups, Cause: fmt.Errorf("version 1 of cgroups holds the controllers here (%s), beside an empty version 2; only version 2 can be given to an ordinary user", strings.Join(c.V1, " ")), Remedies: unify(c)}
	case host.CgroupLegacy:
		return nil, &Error{About: AboutCgroups, Cause: errors.New("this machine has cgroups of version 1 alone; only version 2 can be given to an ordinary user"), Remedies: unify(c)}
	case host.CgroupNone:
		return nil, &Error{About: AboutCgroups, Cause: errors.New("no cgroup file system is mounted here"), Remedies: []string{"sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"}}
	}
	if r.Mode == Path {
		return r.named(f)
	}
	var places []*place
	if len(c.Manager.Buses) > 0 && f.Has(plan.FactScope) && (c.Mount == "/sys/fs/cgroup" || c.Manager.Machine) && !c.ReadOnly {
		places = append(places, &place{scope: true, controllers: c.Manager.Given, known: c.Manager.Known})
	}
	if r.Mode == Auto && c.Here.Writable && !c.ReadOnly && f.Has(plan.FactCgroup) && !oddType(c.Here.Type) && !c.Manager.Machine {
		places = append(places, &place{dir: &c.Here, controllers: c.Here.Controllers, known: true})
	}
	for _, p := range places {
		if !slices.ContainsFunc(r.Limits, func(l Limit) bool { return !p.has(l.Controller) }) {
			return p, nil
		}
	}
	if len(places) > 0 {
		return places[0], nil
	}
	return nil, nowhere(f)
}

func oddType(t string) bool { return t != "" && t != "domain" }

// unify says how to boot with version 2 alone.
func unify(c *host.Cgroups) []string {
	if c.Systemd {
		return []string{
			"version 2 alone is a flag of the kernel's command line, systemd.unified_cgroup_hierarchy=1; with GRUB, and a reboot:",
			`echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX systemd.unified_cgroup_hierarchy=1"' | sudo tee -a /etc/default/grub && sudo update-grub && sudo reboot`,
		}
	}
	return []string{"boot the kernel with cgroup_no_v1=all, and mount version 2 alone: sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"}
}

// named checks the cgroup of --cgroup=PATH.
func (r *Request) named(f *host.Facts) (*place, *Error) {
	c := f.Cgroups
	d := &c.Named
	reason, no := f.Refused[plan.FactCgroup]
	switch {
	case d.Err != nil:
		return nil, &Error{Cause: fmt.Errorf("%s: %w", plan.Quote(string(d.Path)), d.Err)}
	case c.ReadOnly:
		return nil, readOnly(c)
	case !d.Writable:
		return nil, &Error{Cause: fmt.Errorf("%s is not yours to make cgroups in", plan.Quote(string(d.Path))), Remedies: []string{chown(f, string(d.Path))}}
	case oddType(d.Type):
		return nil, &Error{Cause: fmt.Errorf("%s is of type %s, and can give no controllers to others", plan.Quote(string(d.Path)), plan.Quote(d.Type))}
	case no:
		return nil, &Error{Cause: errors.New(reason)}
	}
	return &place{dir: d, controllers: d.Controllers, known: true}, nil
}

func chown(f *host.Facts, dir string) string {
	who := f.User
	if who == "" {
		who = fmt.Sprint(f.UID)
	}
	return fmt.Sprintf("sudo chown %s %s %s/cgroup.procs %s/cgroup.subtree_control", who, dir, dir, dir)
}

func readOnly(c *host.Cgroups) *Error {
	return &Error{About: AboutCgroups, Cause: fmt.Errorf("%s is mounted read-only, as containers and sandboxes have it", c.Mount),
		Remedies: []string{"in a container of podman: podman run --security-opt unmask=/sys/fs/cgroup …; of docker: docker run --privileged …; in a box of nobox's: --cgroup-writable"}}
}

// nowhere is why no cgroup can be had.
func nowhere(f *host.Facts) *Error {
	c, m := f.Cgroups, f.Cgroups.Manager
	who := f.User
	if who == "" {
		who = fmt.Sprint(f.UID)
	}
	reason, refused := f.Refused[plan.FactScope]
	here, refusedHere := f.Refused[plan.FactCgroup]
	switch {
	case c.ReadOnly:
		return readOnly(c)
	case refused && refusedHere:
		return &Error{About: AboutSystemd, Cause: fmt.Errorf("systemd gave no cgroup: %s; nor can one be made in %s: %s", reason, c.Here.Path, here)}
	case refused:
		e := &Error{About: AboutSystemd, Cause: fmt.Errorf("systemd gave no cgroup: %s", reason)}
		if m.Machine {
			e.Remedies = []string{"systemctl status says whether systemd is well"}
		} else {
			e.Remedies = []string{fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d systemctl --user status says whether it is well", f.UID)}
			if c.Systemd && !m.HasRuntime {
				e.Remedies = []string{"your own systemd runs once you may linger: sudo loginctl enable-linger " + who}
			}
		}
		return e
	case refusedHere:
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("none can be made in %s, where nobox stands: %s", c.Here.Path, here)}
	case c.Systemd && !m.Machine && !m.Linger:
		return &Error{About: AboutLinger, Cause: fmt.Errorf("no systemd of yours is running: %s is not logged in, and does not linger", who),
			Remedies: []string{"sudo loginctl enable-linger " + who}}
	case c.Systemd && !m.Machine:
		return &Error{About: AboutSystemd, Cause: fmt.Errorf("your own systemd is not running, or its socket %s/systemd/private is not there", m.Runtime),
			Remedies: []string{fmt.Sprintf("sudo systemctl start user@%d.service", f.UID)}}
	case c.Here.Path != "" && oddType(c.Here.Type):
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("nobox stands in %s, which is of type %s and can give no controllers to others", plan.Quote(string(c.Here.Path)), plan.Quote(c.Here.Type))}
	}
	at := "a cgroup that cannot be seen from here"
	if c.Here.Path != "" {
		at = plan.Quote(string(c.Here.Path)) + ", which is not yours"
	}
	dir := string(c.Mount) + "/" + who
	return &Error{About: AboutCgroups, Cause: fmt.Errorf("nobody delegated a cgroup: there is no systemd, and nobox stands in %s", at),
		Remedies: []string{
			"root can delegate one, and put this shell in it:",
			fmt.Sprintf("sudo sh -c 'echo +cpu +memory +pids >%s/cgroup.subtree_control; mkdir %s && chown %s %s %s/cgroup.procs %s/cgroup.subtree_control && echo '$$' >%s/cgroup.procs'",
				c.Mount, dir, who, dir, dir, dir, dir),
		}}
}

// kernelName is a controller's name in /proc/cgroups and on the command line.
func kernelName(c string) string {
	if c == "io" {
		return "blkio"
	}
	return c
}

// config is the kernel's build option of a controller.
func config(c string) string {
	switch c {
	case "memory":
		return "CONFIG_MEMCG"
	case "io":
		return "CONFIG_BLK_CGROUP"
	case "cpu":
		return "CONFIG_CGROUP_SCHED"
	case "cpuset":
		return "CONFIG_CPUSETS"
	}
	return "CONFIG_CGROUP_" + strings.ToUpper(c)
}

// missing is why a controller is not to be had in a place, and who can change
// that.
func missing(p *place, controller string, f *host.Facts) *Error {
	c := f.Cgroups
	switch {
	case slices.Contains(c.Off, kernelName(controller)):
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("the kernel was told to leave its %s controller off (cgroup_disable=%s)", controller, kernelName(controller)),
			Remedies: []string{"take cgroup_disable= from the kernel's command line, and boot again"}}
	case len(c.Kernel) > 0 && !slices.Contains(c.Kernel, controller):
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("this kernel was built without the %s controller, %s", controller, config(controller))}
	case p.scope && c.Manager.Machine:
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("the kernel gives systemd no %s controller here", controller)}
	case p.scope:
		all := "cpu cpuset io memory pids"
		return &Error{About: AboutCgroups, Cause: fmt.Errorf("the machine's systemd does not delegate the %s controller to you (user@%d.service has: %s)", controller, f.UID, strings.Join(c.Manager.Given, " ")),
			Remedies: []string{
				"an administrator can delegate it, which ends your sessions' services once:",
				fmt.Sprintf(`sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\nDelegate=%s\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload && sudo systemctl restart user@%d.service`, all, f.UID),
			}}
	}
	e := &Error{About: AboutCgroups, Cause: fmt.Errorf("the %s controller was not delegated to %s, which has: %s", controller, plan.Quote(string(p.dir.Path)), strings.Join(p.dir.Controllers, " "))}
	if above := path.Dir(string(p.dir.Path)); string(p.dir.Path) != string(c.Mount) {
		e.Remedies = []string{fmt.Sprintf("echo +%s | sudo tee %s/cgroup.subtree_control", controller, above)}
	} else {
		e.Remedies = []string{"whoever started this container can give it: it is the root of what is visible here"}
	}
	return e
}

func refusedLimit(l Limit) []string {
	switch {
	case l.File == "io.weight":
		return []string{"weights take the kernel's BFQ scheduler or iocost (CONFIG_BLK_CGROUP_IOCOST); --device-read-bps and its siblings take neither"}
	case strings.HasPrefix(l.File, "memory.swap"):
		return []string{"the kernel accounts for swap with CONFIG_SWAP, and not with swapaccount=0 on its command line"}
	}
	return nil
}
