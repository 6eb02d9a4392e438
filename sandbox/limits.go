package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/cgroups"
	"nobox/host"
	"nobox/plan"
	"nobox/userns"
)

// cpuPeriod is that of cpu.max, in microseconds: the kernel's default.
const cpuPeriod = 100000

// cgroup is what the box's cgroup is to be; the error is of a limit that makes
// no sense on this machine. Without facts it says whether one is wanted.
func cgroup(o *Options, f *host.Facts) (*cgroups.Request, error) {
	l := &o.Limits
	r := &cgroups.Request{From: l.CgroupFrom, Writable: l.Writable, Report: l.Report, BestEffort: l.BestEffort}
	switch l.Cgroup {
	case "", "auto":
		r.From = ""
	case "systemd":
		r.Mode = cgroups.Systemd
	case "off":
		r.Mode = cgroups.Off
	default:
		r.Mode = cgroups.Path
	}
	add := func(controller, file, value, what, from string) {
		shown := false
		switch file {
		case "memory.max", "memory.oom.group", "cpu.max", "pids.max":
			// Runtimes size themselves by these, as they do in other containers.
			// Which of two equal ones is met first is not said: all of the box ends.
			shown = true
		}
		r.Limits = append(r.Limits, cgroups.Limit{Controller: controller, File: file, Value: value, What: what, From: from, Shown: shown})
	}
	number := func(v uint64) string {
		if v == Unlimited {
			return "max"
		}
		return strconv.FormatUint(v, 10)
	}

	const memory, swap = "limit the memory", "limit the swap"
	if m := l.MemorySwap; m.From != "" {
		switch {
		case l.Memory.From == "":
			return nil, &Error{What: swap, Flag: m.From, Cause: errors.New("it is memory and swap together, and goes with -m")}
		case m.Value < l.Memory.Value:
			return nil, &Error{What: swap, Flag: m.From, Cause: fmt.Errorf("it is memory and swap together, and less than the memory alone (%s)", l.Memory.From)}
		}
	}
	if m := l.Memory; m.From != "" {
		add("memory", "memory.max", number(m.Value), memory, m.From)
		if l.MemorySwap.From == "" {
			add("memory", "memory.swap.max", "0", memory, m.From)
		} else {
			rest := l.MemorySwap.Value
			if rest != Unlimited {
				rest -= m.Value
			}
			add("memory", "memory.swap.max", number(rest), swap, l.MemorySwap.From)
		}
		// All of the box ends, not one process of it that leaves the rest hanging.
		add("memory", "memory.oom.group", "1", memory, m.From)
	}
	if m := l.MemoryReservation; m.From != "" {
		if l.Memory.From != "" && m.Value > l.Memory.Value {
			return nil, &Error{What: "reserve memory", Flag: m.From, Cause: fmt.Errorf("it is above the limit (%s)", l.Memory.From)}
		}
		add("memory", "memory.high", number(m.Value), "reserve memory", m.From)
	}
	if c := l.CPUs; c.From != "" {
		if f != nil && f.Cgroups != nil && c.Value > uint64(f.Cgroups.CPUs)*cpuPeriod {
			return nil, &Error{What: "limit the CPU time", Flag: c.From, Cause: fmt.Errorf("there are only %d CPUs", f.Cgroups.CPUs)}
		}
		add("cpu", "cpu.max", fmt.Sprintf("%d %d", c.Value, cpuPeriod), "limit the CPU time", c.From)
	}
	if w := l.CPUWeight; w.From != "" {
		add("cpu", "cpu.weight", number(w.Value), "weigh the CPU time", w.From)
	}
	if l.CPUSet != "" {
		add("cpuset", "cpuset.cpus", l.CPUSet, "choose the CPUs", l.CPUSetFrom)
	}
	if p := l.Pids; p.From != "" {
		if p.Value < 2 && !o.AsPid1 {
			return nil, &Error{What: "limit the processes", Flag: p.From, Cause: errors.New("the box's pid 1 is one, and the command another"),
				Hints: []string{"--pids-limit 2 is the least; with --as-pid-1 the command is pid 1"}}
		}
		add("pids", "pids.max", number(p.Value), "limit the processes", p.From)
	}
	if w := l.IOWeight; w.From != "" {
		add("io", "io.weight", number(w.Value), "weigh reads and writes", w.From)
	}
	for _, d := range l.Devices {
		const what = "limit reads and writes"
		dev := host.Disk{}
		if f != nil {
			dev = f.Disks[d.Path]
		}
		if dev.Err != nil {
			e := &Error{What: what, Flag: d.From, Cause: fmt.Errorf("%s: %w", plan.Quote(d.Path), dev.Err)}
			if errors.Is(dev.Err, host.ErrNoDisk) {
				e.Hints = []string{"tmpfs, overlay, btrfs and network file systems have none; the disk below can be named itself, as in /dev/sda"}
			}
			return nil, e
		}
		add("io", "io.max", fmt.Sprintf("%d:%d %s=%s", dev.Major, dev.Minor, d.Key, number(d.Rate)), what, d.From)
	}
	return r, nil
}

// ParseCPUs reads a list of CPUs such as 0-3,7.
func ParseCPUs(s string) ([]int, error) { return cgroups.ParseCPUs(s) }

// limit appends the steps that make the box's cgroup, where it is to have one.
func limit(o *Options, f *host.Facts, b *plan.Builder, p *plan.Plan) (cgroups.Made, error) {
	r, err := cgroup(o, f)
	if err != nil {
		return cgroups.Made{}, err
	}
	m, err := r.Steps(b, f, true)
	for _, n := range m.Notes {
		p.Notes = append(p.Notes, n+" (--best-effort)")
	}
	return m, err
}

// cgroupQuestions are what limits need to know.
func cgroupQuestions(o *Options, q *host.Questions) {
	r, err := cgroup(o, nil)
	if err != nil || !r.Asked() {
		return
	}
	q.Cgroups = true
	if r.Mode == cgroups.Path {
		q.Cgroup = o.Limits.Cgroup
	}
	for _, d := range o.Limits.Devices {
		q.Disks = append(q.Disks, d.Path)
	}
}

// knock is the player of the steps about cgroups. If it is certain that there
// will be a scope, it has asked systemd for that already, and the facts are what it
// looked at before; systemd works on it while nobox looks at the rest of the machine.
func knock(o *Options) (*cgroups.Player, *host.Facts) {
	p := &cgroups.Player{Guard: userns.Guard}
	r, err := cgroup(o, nil)
	if err != nil || !r.Asked() || r.Mode != cgroups.Auto && r.Mode != cgroups.Systemd || len(o.PreserveFDs) > 0 {
		return p, nil // a descriptor of nobox's own would look like one of the caller's
	}
	buses := host.Systemd()
	if len(buses) == 0 {
		return p, nil
	}
	p.Knock(buses[0])
	// Nobox stands in the scope from some time on: where it stood is looked up first.
	f := host.LookAhead("")
	if s, ok := r.Scope(f); ok {
		p.Ask(s)
	}
	return p, f
}

// usage reads what the box took; without a report only what ended it.
func (r *Result) usage(o *Options, cg *cgroups.Player, box *userns.Box, wall time.Duration) {
	var u cgroups.Usage
	var ok bool
	if o.Limits.Report {
		u, ok = cg.Usage()
	} else {
		u, ok = cg.Ended(o.Limits.Pids.From != "")
	}
	if !ok {
		u = cgroups.FromRusage(box.Usage())
	}
	u.Wall = wall
	r.Usage = u
}

// reasons are lines about limits that the box ran into.
func (r *Result) reasons(o *Options) (out []string) {
	u := &r.Usage
	peak := func(n int64, show func(uint64) string) string {
		if n == cgroups.Unknown {
			return ""
		}
		return "; peak " + show(uint64(n))
	}
	if u.OOMKills > 0 && (u.OOM != 0 || u.OOMBelow == 0) {
		if m := o.Limits.Memory; m.From != "" && u.OOM != 0 {
			out = append(out, fmt.Sprintf("out of memory: the kernel ended the box at its limit of %s (%s)%s", Bytes(m.Value), m.From, peak(u.MemoryPeak, Bytes)))
		} else {
			out = append(out, "out of memory: the machine ran out, or a cgroup above the box did, and the kernel ended it"+peak(u.MemoryPeak, Bytes))
		}
	}
	if p := o.Limits.Pids; u.PidsRefused > 0 && p.From != "" {
		out = append(out, fmt.Sprintf("too many processes: %d times none was made, at the limit of %d (%s)%s", u.PidsRefused, p.Value, p.From,
			peak(u.PidsPeak, func(n uint64) string { return strconv.FormatUint(n, 10) })))
	}
	return out
}

// Bytes writes a number of bytes by the unit it is nearest to.
func Bytes(n uint64) string {
	units := [...]string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	if n < 1<<10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1023.95 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + units[i]
}

// ReasonWord is how a box ended, in one word: exited, signal, timeout or oom.
func (r *Result) ReasonWord() string {
	switch {
	case r.TimedOut:
		return "timeout"
	case r.Usage.OOMKills > 0 && (r.Usage.OOM != 0 || r.Usage.OOMBelow == 0) && r.Status.Signaled() && r.Status.Signal() == unix.SIGKILL:
		return "oom"
	case r.Status.Signaled():
		return "signal"
	}
	return "exited"
}

// Reason is the same in words.
func (r *Result) Reason() string {
	switch r.ReasonWord() {
	case "timeout":
		return "by --timeout"
	case "oom":
		return "by the kernel, for want of memory"
	case "signal":
		return "by signal " + strconv.Itoa(int(r.Status.Signal())) + ", " + unix.SignalName(r.Status.Signal())
	}
	return "with exit code " + strconv.Itoa(r.Status.ExitStatus())
}
