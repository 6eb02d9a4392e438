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

func TestTheForwarderCanStartNoProgram(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	n := start(t, p.command(nobox, "-r", "--net=none", "-p", "./s:80", "--", "sh", "-c", "echo ready; cat"))
	n.expectLine(t, "ready")
	forwarder := 0
	for _, pid := range children(t, n.Process.Pid) {
		if strings.HasPrefix(commandOf(pid), "nobox-ports") {
			forwarder = pid
		}
	}
	if forwarder == 0 {
		t.Fatal("no forwarder")
	}
	until(t, "it is confined", func() bool {
		f := statusFields(t, forwarder)
		return f["Seccomp"] == "2" && f["NoNewPrivs"] == "1" && f["CapPrm"] == "0000000000000000"
	})
	n.in.Close()
	n.expectEnd(t, patience, 0)
	p.expectEmpty(t)
}

// Landlock shows nowhere in /proc. What nobox removes when a named box has ended is
// known by its path, and that it may by the directory that was there: in
// another one of that path nothing is touched, though all that nobox itself looks
// at is as it was.
func TestNoboxChangesNothingButWhatItHasARuleFor(t *testing.T) {
	asUser(t)
	need(t, "userns", "landlock")
	ended := func(confined bool) (removed bool) {
		p := newPlace(t)
		n := start(t, p.command(nobox, "-r", "--net=none", "--name", "one", "--", "sh", "-c", "echo ready; cat"))
		n.expectLine(t, "ready")
		if confined {
			until(t, "nobox has let go", func() bool { return statusFields(t, n.Process.Pid)["Seccomp"] == "2" })
		}
		moved, dir := p.run+"-moved", p.run+"/nobox/one"
		if err := os.Rename(p.run, moved); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		// The lock is the same file, so the directory passes for the box's.
		if err := os.Link(moved+"/nobox/one/lock", dir+"/lock"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/state", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		n.in.Close()
		n.expectEnd(t, patience, 0)
		_, err := os.Stat(dir + "/state")
		return err != nil
	}
	if ended(true) {
		t.Error("nobox removed a file in a directory that it has no rule for")
	}
	// Else the file would be left for another reason than the rule. On a busy
	// machine nobox may have let go before the box ends, and then it says nothing.
	for range 20 {
		if ended(false) {
			return
		}
	}
	t.Error("without the rules nobox leaves the file as well")
}

// A domain is a thread's, and every thread of nobox's has to enter it, the relay's
// of a terminal too; the network's process enters one before it is a program.
func TestEveryThreadOfNoboxIsInADomain(t *testing.T) {
	asUser(t)
	need(t, "userns", "landlock", "strace", "tun", "bash")
	p := newPlace(t)
	trace := p.home + "/trace"
	n := start(t, p.command("strace", "-f", "-qq", "-o", trace, "-e", "trace=landlock_restrict_self,execveat", nobox, "-r", "--net=user", "--",
		"bash", "-c", "echo x >/dev/udp/10.0.2.2/9 2>/dev/null; echo ready; cat"))
	n.expectLine(t, "ready")
	var noboxPID int
	until(t, "nobox under strace", func() bool {
		for _, pid := range children(t, n.Process.Pid) {
			noboxPID = pid
		}
		return noboxPID > 0
	})
	until(t, "nobox has let go", func() bool { return statusFields(t, noboxPID)["Seccomp"] == "2" })
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", noboxPID))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads: %v, %v", tasks, err)
	}
	n.in.Close()
	n.expectEnd(t, patience, 0)
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	entered, network := map[string]bool{}, ""
	for line := range strings.Lines(string(b)) {
		tid, call, _ := strings.Cut(line, " ")
		switch {
		case strings.Contains(call, "landlock_restrict_self") && strings.HasSuffix(strings.TrimSpace(line), "= 0"):
			entered[tid] = true
		case strings.Contains(call, "execveat("):
			network = tid
		}
	}
	for _, task := range tasks {
		if !entered[filepath.Base(task)] {
			t.Errorf("thread %s of nobox is in no domain:\n%s", filepath.Base(task), b)
		}
	}
	if network == "" || !entered[network] {
		t.Errorf("the network's process %q is in no domain:\n%s", network, b)
	}
}
