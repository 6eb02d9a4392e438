// Command bench measures nobox against its peers, both commands of a row in
// turns, and prints docs/benchmarks.md. hyperfine takes the times.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// batch is how many runs a command has before the other one has its turn.
const batch = 10

// A row is one line of the table.
type row struct {
	name        string
	nobox, peer string
	floor, goal float64
	runs        int // 0 is -runs
}

// binds are the commands that share n directories of the host.
func binds(nobox string, n int) row {
	a, b := nobox+" -r --net=none --cwd=hidden", "bwrap --ro-bind / / --unshare-all --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --tmpfs /home"
	for i := range n {
		check(os.MkdirAll("shares/"+strconv.Itoa(i), 0o755))
		a += fmt.Sprintf(" -v ./shares/%d:/tmp/m/%d", i, i)
		b += fmt.Sprintf(" --bind shares/%d /tmp/m/%d", i, i)
	}
	return row{name: fmt.Sprintf("start with %d binds, over bubblewrap", n), nobox: a + " -- /bin/true", peer: b + " /bin/true", floor: 0.20, goal: 0.05, runs: batch}
}

func main() {
	nobox := flag.String("nobox", "", "the binary")
	empty := flag.String("empty", "", "an empty Go program")
	runs := flag.Int("runs", 100, "runs of each command")
	only := flag.String("only", "", "rows whose name holds this")
	flag.Parse()
	cwd, err := os.Getwd()
	check(err)
	root := filepath.Join(cwd, "root")
	busybox(root)

	bwrap := "bwrap --ro-bind / / --unshare-all --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --tmpfs /home --bind " + cwd + " " + cwd + " --as-pid-1 /bin/true"
	rows := []row{
		{name: "start, one id, command as pid 1, over bubblewrap", nobox: *nobox + " -r --net=none --as-pid-1 -- /bin/true", peer: bwrap, floor: 1.00, goal: 0.80},
		{name: "start, mapped range, over unshare (which mounts only proc)", nobox: *nobox + " --net=none -- /bin/true",
			peer: "unshare --user --map-auto --map-root-user --mount --uts --ipc --net --cgroup --pid --fork --mount-proc /bin/true", floor: 1.30, goal: 1.00},
		{name: "start over rootless podman", nobox: *nobox + " --net=none --rootfs " + root + " -- /bin/true",
			peer: "podman run --rm --network=none --rootfs " + root + " /bin/true", floor: 0.15, goal: 0.08},
		{name: "`nobox version` over an empty Go program", nobox: *nobox + " version", peer: *empty, floor: 1.50, goal: 1.20},
		{name: "start on a host with 1,000 more mounts, over bubblewrap", nobox: *nobox + " -r --net=none --as-pid-1 -- /bin/true", peer: bwrap, floor: 0.60, goal: 0.30},
	}
	for _, n := range []int{500, 1000, 2000} {
		rows = append(rows, binds(*nobox, n))
	}
	fmt.Printf("# Benchmarks\n\n`make bench` on %d CPUs, %s, Linux %s, %s. Each figure is the median of %d runs of nobox over the median of\nas many runs of the peer, taken by hyperfine in turns of %d. The peers: %s.\nRatios of one machine; the times behind them are not a claim.\n\n",
		runtime.NumCPU(), runtime.GOARCH, release(), time.Now().Format("2006-01-02"), *runs, batch, peers())
	fmt.Printf("| measure | nobox | peer | ratio | floor | goal |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		if !strings.Contains(r.name, *only) {
			continue
		}
		var a, b []float64
		if strings.Contains(r.name, "1,000") {
			a, b = manyMounts(*runs, r.nobox, r.peer)
		} else {
			if r.runs == 0 {
				r.runs = *runs
			}
			a, b, err = turns(r.runs, r.nobox, r.peer)
		}
		atMost := ""
		if err != nil && strings.HasPrefix(r.peer, "podman") {
			// Where podman cannot run a container at all, what it takes until it
			// says so is less than a start: the ratio can only be better.
			a, b, err = turns(*runs, r.nobox, r.peer, "-i")
			atMost = " at most (podman fails here, and fails faster than it starts)"
		}
		if err != nil {
			fmt.Printf("| %s | | | not measured: %v | %.2f | %.2f |\n", r.name, err, r.floor, r.goal)
			err = nil
			continue
		}
		fmt.Printf("| %s | %.2f ms | %.2f ms | **%.2f**%s | %.2f | %.2f |\n", r.name, median(a)*1e3, median(b)*1e3, median(a)/median(b), atMost, r.floor, r.goal)
	}
	if strings.Contains("200 boxes at once", *only) {
		a, b := atOnce(200, *nobox+" -r --net=none --as-pid-1 -- /bin/true", bwrap)
		fmt.Printf("| 200 boxes at once: boxes a second over bubblewrap | %.0f/s | %.0f/s | **%.2f** | 1.00 | 1.30 |\n", a, b, a/b)
	}
	if strings.Contains("resident memory", *only) {
		fmt.Printf("| resident memory of a waiting box, all nobox processes, PSS | %.1f MiB | | | 8 MiB | 3 MiB |\n", pss(*nobox))
	}
	fmt.Printf("\nThe commands, in the order of the table:\n\n```\n")
	for _, r := range rows {
		fmt.Printf("%s\n%s\n\n", strings.ReplaceAll(short(r.nobox, *nobox, "nobox"), cwd, "$PWD"), strings.ReplaceAll(short(r.peer, *empty, "empty"), cwd, "$PWD"))
	}
	fmt.Printf("```\n")
}

func short(cmd, path, name string) string {
	cmd = strings.ReplaceAll(cmd, path, name)
	// Of many shares the first is enough.
	for _, again := range []string{" -v ./shares/1:", " --bind shares/1 "} {
		if i := strings.Index(cmd, again); i >= 0 {
			cmd = cmd[:i] + " …" + cmd[strings.LastIndexByte(cmd, ' '):]
		}
	}
	return cmd
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func release() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

func peers() string {
	var out []string
	for _, c := range [][]string{{"bwrap", "--version"}, {"unshare", "--version"}, {"podman", "--version"}, {"hyperfine", "--version"}} {
		b, err := exec.Command(c[0], c[1:]...).Output()
		if err == nil {
			out = append(out, strings.TrimSpace(string(b)))
		}
	}
	return strings.Join(out, ", ")
}

// busybox makes a root with one static binary.
func busybox(root string) {
	bin := filepath.Join(root, "bin")
	check(os.MkdirAll(bin, 0o755))
	b, err := os.ReadFile("/bin/busybox")
	if err != nil {
		b, err = os.ReadFile("/usr/bin/busybox")
	}
	check(err)
	check(os.WriteFile(filepath.Join(bin, "busybox"), b, 0o755))
	for _, d := range []string{"proc", "sys", "dev", "tmp", "run", "var/tmp", "etc"} {
		check(os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	for _, l := range []string{"true", "sh", "sleep"} {
		os.Remove(filepath.Join(bin, l))
		check(os.Symlink("busybox", filepath.Join(bin, l)))
	}
}

// turns runs both commands by hyperfine, batch by batch.
func turns(runs int, a, b string, flags ...string) (ta, tb []float64, err error) {
	for n := 0; n < runs; n += batch {
		// The one that goes first changes: the other finds warmer caches.
		cmds := []string{a, b}
		if n/batch%2 == 1 {
			cmds = []string{b, a}
		}
		times, err := hyperfine(cmds, flags...)
		if err != nil {
			return nil, nil, err
		}
		if cmds[0] == a {
			ta, tb = append(ta, times[0]...), append(tb, times[1]...)
		} else {
			ta, tb = append(ta, times[1]...), append(tb, times[0]...)
		}
	}
	return ta, tb, nil
}

func hyperfine(cmds []string, flags ...string) ([][]float64, error) {
	f, err := os.CreateTemp(".", "hyperfine")
	check(err)
	f.Close()
	defer os.Remove(f.Name())
	args := append([]string{"-N", "--warmup", "2", "--runs", strconv.Itoa(batch), "--export-json", f.Name()}, flags...)
	args = append(args, cmds...)
	if out, err := exec.Command("hyperfine", args...).CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, l := range lines {
			if strings.Contains(l, "rror") {
				return nil, fmt.Errorf("%s", strings.TrimSpace(l))
			}
		}
		return nil, err
	}
	var r struct{ Results []struct{ Times []float64 } }
	data, err := os.ReadFile(f.Name())
	check(err)
	check(json.Unmarshal(data, &r))
	var out [][]float64
	for _, x := range r.Results {
		out = append(out, x.Times)
	}
	return out, nil
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}

// manyMounts runs this program again where 1,000 tmpfs more are mounted: in a
// user and mount namespace, in which both commands make theirs.
func manyMounts(runs int, a, b string) (ta, tb []float64) {
	script := `set -e
mkdir -p many; mount -t tmpfs many many
i=0; while [ $i -lt 1000 ]; do mkdir many/$i; mount -t tmpfs m many/$i; i=$((i+1)); done
exec "$@"`
	for n := 0; n < runs; n += batch {
		f, err := os.CreateTemp(".", "hyperfine")
		check(err)
		f.Close()
		cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh",
			"hyperfine", "-N", "--warmup", "2", "--runs", strconv.Itoa(batch), "--export-json", f.Name(), a, b)
		out, err := cmd.CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s\n", out)
			check(err)
		}
		var r struct{ Results []struct{ Times []float64 } }
		data, err := os.ReadFile(f.Name())
		check(err)
		check(json.Unmarshal(data, &r))
		os.Remove(f.Name())
		ta, tb = append(ta, r.Results[0].Times...), append(tb, r.Results[1].Times...)
	}
	return ta, tb
}

// atOnce starts n boxes at once, in turns, and returns boxes a second: the
// medians of five rounds.
func atOnce(n int, a, b string) (ra, rb float64) {
	var va, vb []float64
	for range 5 {
		va = append(va, rate(n, a))
		vb = append(vb, rate(n, b))
	}
	return median(va), median(vb)
}

func rate(n int, cmd string) float64 {
	argv := strings.Fields(cmd)
	var wg sync.WaitGroup
	start := time.Now()
	for range n {
		wg.Add(1)
		c := exec.Command(argv[0], argv[1:]...)
		check(c.Start())
		go func() { defer wg.Done(); check(c.Wait()) }()
	}
	wg.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// pss is the proportional set size of nobox's processes while a box waits, in
// MiB; proc_pid_smaps(5). The reaper is not readable by its owner: it is
// counted with what it shares from the parent's view, as the parent's copy.
func pss(nobox string) float64 {
	c := exec.Command(nobox, "-r", "--net=none", "--", "/bin/sleep", "60")
	check(c.Start())
	defer func() { c.Process.Signal(syscall.SIGTERM); c.Wait() }()
	time.Sleep(500 * time.Millisecond)
	kib := 0.0
	for _, pid := range append([]int{c.Process.Pid}, children(c.Process.Pid)...) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			// Not dumpable: its resident size is the upper bound.
			b, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			check(err)
			kib += field(string(b), "VmRSS:")
			continue
		}
		kib += field(string(b), "Pss:")
	}
	return kib / 1024
}

// children are nobox's own processes below pid: the reaper, not the command.
func children(pid int) []int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var out []int
	for _, f := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(f)
		if err == nil {
			out = append(out, n)
		}
	}
	return out
}

func field(s, name string) float64 {
	for line := range strings.Lines(s) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return 0
}
