package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// boxNames are those that nobox ps lists in the place.
func boxNames(t *testing.T, p place) (names []string) {
	t.Helper()
	out, err := p.command(nobox, "ps", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Name string }
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, b := range all {
		names = append(names, b.Name)
	}
	return names
}

// started starts a box with a name, whose command says that it runs, and waits
// for its end where the test ends.
func started(t *testing.T, p place, name string) *process {
	t.Helper()
	b := start(t, p.command(nobox, "-r", "--net=none", "--name", name, "--", "sh", "-c", "echo up; exec sleep 1000"))
	if line, err := b.out.ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%s: %q, %v, %s", name, line, err, b.stderr.String())
	}
	return b
}

func TestTwoStartsThatRaceForANameDoNotBothGetIt(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	for round := range 10 {
		name := fmt.Sprintf("box%d", round)
		var mu sync.Mutex
		var wg sync.WaitGroup
		up, refused := 0, 0
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c := p.command(nobox, "-r", "--net=none", "--name", name, "--", "sh", "-c", "echo up; exec sleep 1000")
				var stderr strings.Builder
				c.Stderr = &stderr
				r, err := c.StdoutPipe()
				if err == nil {
					err = c.Start()
				}
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, 3)
				_, err = io.ReadFull(r, b)
				mu.Lock()
				if err == nil {
					up++
				} else {
					refused++
				}
				both := up+refused == 8
				mu.Unlock()
				if both {
					// All have tried: the one that has the name may go.
					if out, err := p.command(nobox, "stop", "--time", "0", name).CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				}
				err = c.Wait()
				if code := c.ProcessState.ExitCode(); code != 137 && (code != 125 || !strings.Contains(stderr.String(), "a box of that name is running")) {
					t.Errorf("exit %d, %v: %s", code, err, stderr.String())
				}
			}()
		}
		wg.Wait()
		if up != 1 || refused != 7 {
			t.Fatalf("%d have the name, %d were refused", up, refused)
		}
	}
	p.expectEmpty(t)
}

func TestAHundredBoxesWithNamesAreAllThereAndAllEnd(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	const n = 100
	var boxes [n]*process
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			boxes[i] = start(t, p.command(nobox, "-r", "--net=none", "--name", fmt.Sprintf("b%02d", i), "--", "sh", "-c", "echo up; exec sleep 1000"))
			if line, err := boxes[i].out.ReadString('\n'); err != nil {
				t.Errorf("box %d: %q, %v, %s", i, line, err, boxes[i].stderr.String())
			}
		}()
	}
	wg.Wait()
	names := boxNames(t, p)
	if len(names) != n {
		t.Errorf("%d boxes are listed: %v", len(names), names)
	}
	args := append([]string{"stop", "--time", "0"}, names...)
	if out, err := p.command(nobox, args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, b := range boxes {
		b.end(t, patience)
	}
	if left := boxNames(t, p); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	p.expectEmpty(t)
}

func TestOfANoboxThatWasKilledNothingIsListedAndItsNameIsFree(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	b := started(t, p, "one")
	more := start(t, p.command(nobox, "exec", "one", "--", "sh", "-c", "echo up; exec sleep 1000"))
	if _, err := more.out.ReadString('\n'); err != nil {
		t.Fatal(err, more.stderr.String())
	}
	b.Process.Signal(syscall.SIGKILL)
	b.end(t, patience)
	more.end(t, patience) // it ended with the box
	if names := boxNames(t, p); len(names) != 0 {
		t.Errorf("listed: %v", names)
	}
	p.expectEmpty(t)
	again := started(t, p, "one")
	again.Process.Signal(syscall.SIGTERM)
	again.end(t, patience)
	p.expectEmpty(t)
}

func TestACommandInABoxEndsWithItsNobox(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	b := started(t, p, "one")
	more := start(t, p.command(nobox, "exec", "one", "--", "sh", "-c", "echo up; exec sleep 999"))
	if _, err := more.out.ReadString('\n'); err != nil {
		t.Fatal(err, more.stderr.String())
	}
	more.Process.Signal(syscall.SIGKILL)
	more.end(t, patience)
	limit := time.Now().Add(gone)
	for {
		out, err := p.command(nobox, "exec", "one", "--", "sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done").Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), "sleep 999") {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("the command outlives its nobox:\n%s", out)
		}
	}
	b.Process.Signal(syscall.SIGTERM)
	b.end(t, patience)
	p.expectEmpty(t)
}
