package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
	"nobox/sandbox"
)

// unknown is a count that the kernel did not keep.
const unknown = -1

// writeAll writes all of s.
func writeAll(fd int, s string) error {
	for len(s) > 0 {
		n, err := unix.Write(fd, []byte(s))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		s = s[n:]
	}
	return unix.Close(fd)
}

// reportText is what a box took, a line for each thing.
func reportText(r *sandbox.Result) string {
	u := &r.Usage
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%-10s %s\n", name, value) }
	count := func(n int64) string {
		if n == unknown {
			return "unknown"
		}
		return strconv.FormatInt(n, 10)
	}
	size := func(n int64) string {
		if n == unknown {
			return "unknown"
		}
		return sandbox.Bytes(uint64(n))
	}
	line("ended", r.Reason())
	line("wall", seconds(u.Wall)+" s")
	line("cpu", seconds(u.User)+" s user, "+seconds(u.System)+" s system")
	if u.Throttled != unknown {
		line("throttled", seconds(u.Throttled)+" s")
	}
	if u.Cgroup {
		line("memory", "peak "+size(u.MemoryPeak)+", swap peak "+size(u.SwapPeak))
		line("processes", "peak "+count(u.PidsPeak))
	} else {
		line("memory", "peak "+size(u.MemoryPeak)+", of the largest process")
	}
	line("disks", size(u.Read)+" read, "+size(u.Write)+" written")
	if u.Cgroup {
		line("killed", count(u.OOMKills)+" for want of memory")
		line("counted", "by the box's cgroup: all that ran inside")
	} else {
		line("counted", "by rusage: the command and those it waited for; there was no cgroup")
	}
	for _, to := range r.Refused {
		line("refused", plan.Printable(to))
	}
	return b.String()
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// reportJSON is the same for tools. What was not counted is null.
func reportJSON(r *sandbox.Result) string {
	u := &r.Usage
	source := "rusage"
	if u.Cgroup {
		source = "cgroup"
	}
	count := func(n int64) string {
		if n == unknown {
			return "null"
		}
		return strconv.FormatInt(n, 10)
	}
	secs := func(d time.Duration) string {
		if d == unknown {
			return "null"
		}
		return strconv.FormatFloat(d.Seconds(), 'f', 6, 64)
	}
	signal := "null"
	if r.Status.Signaled() {
		signal = strconv.Itoa(int(r.Status.Signal()))
	}
	var b strings.Builder
	b.WriteString("{\n")
	for i, m := range [...][2]string{
		{"source", strconv.Quote(source)},
		{"exit_reason", strconv.Quote(r.ReasonWord())},
		{"exit_code", strconv.Itoa(r.ExitCode())},
		{"signal", signal},
		{"wall_seconds", secs(u.Wall)},
		{"user_seconds", secs(u.User)},
		{"system_seconds", secs(u.System)},
		{"throttled_seconds", secs(u.Throttled)},
		{"memory_peak_bytes", count(u.MemoryPeak)},
		{"swap_peak_bytes", count(u.SwapPeak)},
		{"pids_peak", count(u.PidsPeak)},
		{"io_read_bytes", count(u.Read)},
		{"io_write_bytes", count(u.Write)},
		{"oom_kills", count(u.OOMKills)},
		{"pids_refused", count(u.PidsRefused)},
		{"network_refused", refusedJSON(r.Refused)},
	} {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, "  %q: %s", m[0], m[1])
	}
	b.WriteString("\n}\n")
	return b.String()
}

// refusedJSON is what the network's policy refused: an array of objects, with
// where to and why.
func refusedJSON(refused []string) string {
	s := "["
	for i, r := range refused {
		to, why, _ := strings.Cut(r, " (")
		if i > 0 {
			s += ", "
		}
		s += `{"to": ` + plan.JSONString(to) + `, "why": ` + plan.JSONString(strings.TrimSuffix(why, ")")) + "}"
	}
	return s + "]"
}
