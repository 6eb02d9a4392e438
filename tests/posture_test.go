package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// status are the fields of a process's status file.
func statusFields(t *testing.T, pid int) map[string]string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// children are the processes that a process started.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(w)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, n)
		}
	}
	return pids
}

// Once a box runs, nobox itself can start no program, gain no privilege, and
// not be looked into; nor can the network's process.
func TestNoboxLetsGoOfWhatARunningBoxDoesNotNeed(t *testing.T) {
	asUser(t)
	need(t, "userns")
	for _, flags := range [][]string{{"-r"}, {"-r", "--as-pid-1"}, {"-r", "--security-opt", "seccomp=unconfined"}} {
		p := newPlace(t)
		line := box(flags, "sh", "-c", "echo ready; cat; echo end")
		n := start(t, p.command(line[0], line[1:]...))
		n.expectLine(t, "ready")
		until(t, "nobox has a filter of its own", func() bool {
			f := statusFields(t, n.Process.Pid)
			return f["Seccomp"] == "2" && f["NoNewPrivs"] == "1"
		})
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", n.Process.Pid))
		for _, task := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(task))
			if f := statusFields(t, tid); f["Seccomp"] != "2" {
				t.Errorf("%q: thread %d has no filter", flags, tid)
			}
		}
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", n.Process.Pid)); err == nil {
			t.Errorf("%q: its environment can be read", flags)
		}
		// And the box still ends as it should.
		n.in.Close()
		n.expectLine(t, "end")
		n.expectEnd(t, patience, 0)
		p.expectEmpty(t)
	}
}

func TestTheNetworksProcessCanStartNoProgram(t *testing.T) {
	asUser(t)
	need(t, "userns", "tun", "bash")
	p := newPlace(t)
	line := []string{nobox, "-r", "--net=user", "--", "bash", "-c", "echo x >/dev/udp/10.0.2.2/9 2>/dev/null; echo ready; cat"}
	n := start(t, p.command(line[0], line[1:]...))
	n.expectLine(t, "ready")
	pids := children(t, n.Process.Pid)
	if len(pids) < 2 {
		t.Fatalf("children: %v", pids)
	}
	until(t, "both processes are confined", func() bool {
		for _, pid := range pids {
			if f := statusFields(t, pid); f["Seccomp"] != "2" || f["NoNewPrivs"] != "1" {
				return false
			}
		}
		return true
	})
	n.in.Close()
	n.expectEnd(t, patience, 0)
}
