package cgroups

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Unknown is a count that nobody kept.
const Unknown = int64(-1)

// A Usage is what a box took of the machine.
type Usage struct {
	Cgroup bool // from the box's cgroup, which counts all of it; else from rusage
	Wall   time.Duration

	User, System time.Duration
	Throttled    time.Duration // Unknown without the cpu controller
	MemoryPeak   int64         // bytes; by rusage those of the largest process
	SwapPeak     int64         // bytes
	PidsPeak     int64
	Read, Write  int64 // bytes of disks

	OOMKills    int64 // processes that the kernel killed for want of memory
	OOM         int64 // how often that was for the box's own limit
	OOMBelow    int64 // or for one that the box set itself
	PidsRefused int64 // forks at the box's own limit
}

// Ended is why a box may have ended before its time, false without a cgroup: the
// counts of what was killed or refused, and where there are such the peaks.
//
// Preconditions: the box has ended, and Remove was not called.
func (p *Player) Ended(pids bool) (u Usage, ok bool) {
	if p.box == 0 {
		return u, false
	}
	u = Usage{Cgroup: true, User: time.Duration(Unknown), System: time.Duration(Unknown), Throttled: time.Duration(Unknown),
		MemoryPeak: Unknown, SwapPeak: Unknown, PidsPeak: Unknown, Read: Unknown, Write: Unknown, PidsRefused: Unknown}
	memory := keyed(p.read("memory.events"))
	u.OOMKills, u.OOM = get(memory, "oom_kill"), get(memory, "oom")
	if u.OOM > 0 {
		// Counts are of all below too. The limit stands twice, here and inside.
		own := func(file string) int64 { return max(get(keyed(p.read(file)), "oom"), 0) }
		all := u.OOM
		u.OOM = own("memory.events.local") + own(inside+"/memory.events.local")
		u.OOMBelow = all - u.OOM
	}
	if u.OOMKills > 0 {
		u.MemoryPeak = number(p.read("memory.peak"))
	}
	if pids {
		// Before Linux 6.11 a refusal counted where the process stood, not where
		// the limit is.
		u.PidsRefused = max(get(keyed(p.read("pids.events")), "max"), get(keyed(p.read(inside+"/pids.events")), "max"))
		if u.PidsRefused > 0 {
			u.PidsPeak = number(p.read("pids.peak"))
		}
	}
	return u, true
}

// Usage reads all that the kernel counted; false without a cgroup.
//
// Preconditions: as Ended.
func (p *Player) Usage() (u Usage, ok bool) {
	if u, ok = p.Ended(true); !ok {
		return u, false
	}
	cpu := keyed(p.read("cpu.stat"))
	micros := func(name string) time.Duration {
		if v := get(cpu, name); v != Unknown {
			return time.Duration(v) * time.Microsecond
		}
		return time.Duration(Unknown)
	}
	u.User, u.System, u.Throttled = micros("user_usec"), micros("system_usec"), micros("throttled_usec")
	if u.Throttled != time.Duration(Unknown) {
		// Counted where the quota ran out first, which of two that are equal is the
		// one that the box sees.
		u.Throttled = max(u.Throttled, time.Duration(get(keyed(p.read(inside+"/cpu.stat")), "throttled_usec"))*time.Microsecond)
	}
	u.MemoryPeak, u.SwapPeak, u.PidsPeak = number(p.read("memory.peak")), number(p.read("memory.swap.peak")), number(p.read("pids.peak"))
	if b, err := readAt(p.box, "io.stat"); err == nil {
		u.Read, u.Write = ioBytes(b) // empty where no disk was touched
	}
	return u, true
}

// FromRusage is what the kernel counts without a cgroup: of the command and
// those that were waited for.
func FromRusage(ru *unix.Rusage) Usage {
	of := func(t unix.Timeval) time.Duration { return time.Duration(t.Nano()) }
	return Usage{
		User: of(ru.Utime), System: of(ru.Stime), Throttled: time.Duration(Unknown),
		MemoryPeak: ru.Maxrss << 10, SwapPeak: Unknown, PidsPeak: Unknown,
		Read: ru.Inblock * 512, Write: ru.Oublock * 512, // getrusage(2)
		OOMKills: Unknown, OOM: Unknown, PidsRefused: Unknown,
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return Unknown
	}
	return n
}

// keyed reads a file of lines "KEY VALUE"; cgroup-v2.rst, "Flat keyed".
func keyed(s string) map[string]int64 {
	m := map[string]int64{}
	for line := range strings.Lines(s) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			m[k] = number(v)
		}
	}
	return m
}

func get(m map[string]int64, key string) int64 {
	if v, ok := m[key]; ok {
		return v
	}
	return Unknown
}

// ioBytes adds up what a file of lines "8:0 rbytes=1 wbytes=2 …" says.
func ioBytes(s string) (r, w int64) {
	for line := range strings.Lines(s) {
		for _, f := range strings.Fields(line) {
			k, v, _ := strings.Cut(f, "=")
			n := max(number(v), 0)
			switch k {
			case "rbytes":
				r += n
			case "wbytes":
				w += n
			}
		}
	}
	return r, w
}
