package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// How long the machine may take. Under emulation a boot takes half a minute on
// an idle machine and a good minute on a busy one.
const (
	bootHardware  = 30 * time.Second // or the hardware does not truly work
	bootEmulation = 4 * time.Minute
	runAll        = 25 * time.Minute
)

// boot is asked for by make test-vm and tests/run: go test ./... alone does not
// make and boot a machine.
var boot = flag.Bool("boot", false, "boot the machine")

// TestVM boots the machine and reports what its transcripts said. NOBOX_VM_RUN
// names the directories of testdata/vm that are run, else all are;
// NOBOX_VM_SCRIPT is a regexp that names of transcripts must match.
func TestVM(t *testing.T) {
	if !*boot {
		t.Skip("without -boot there is no machine: make test-vm")
	}
	needs(t)
	work := t.TempDir()
	image, err := output("sh", "image")
	if err != nil {
		absent(t, fmt.Sprintf("the machine's image cannot be made: %v", err))
	}
	payload := makePayload(t, work)

	m := &machine{image: image, payload: payload, dir: work}
	start := time.Now()
	// Whether /dev/kvm truly works only a boot tells: there are machines that
	// have it and run no ordinary kernel on it.
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		m.accel = []string{"-accel", "kvm", "-cpu", "host"}
		m.boot(bootHardware)
	}
	if !m.up {
		m.accel = []string{"-accel", "tcg,thread=multi", "-cpu", "max"}
		m.boot(bootEmulation)
		if !m.up && bytes.Contains(m.console(), []byte("Oops: int3")) {
			// The kernel patches its own code as it comes up. On a busy host an
			// emulated processor may meet the breakpoint that it does that by when
			// nobody handles it any more.
			m.boot(bootEmulation)
		}
	}
	t.Logf("%s: up after %.0f s, ended after %.0f s", m.accel[1], m.booted.Seconds(), time.Since(start).Seconds())
	if keep := os.Getenv("NOBOX_VM_KEEP"); keep != "" {
		os.WriteFile(filepath.Join(keep, "results"), m.results, 0o644)
		os.WriteFile(filepath.Join(keep, "console"), m.console(), 0o644)
	}
	switch {
	case !m.up:
		t.Fatalf("the machine did not come up: %v\n%s", m.err, tail(m.console(), 60))
	case m.err != nil:
		t.Errorf("the machine did not end well: %v\n%s\n%s", m.err, tail(m.console(), 30), tail(m.results, 30))
	}
	sections := split(m.results)
	if len(sections) == 0 {
		t.Errorf("the machine ran no transcripts:\n%s\n%s", m.results, tail(m.console(), 30))
	}
	for _, s := range sections {
		t.Run(s.name, s.report)
	}
}

// needs skips the test where the machine cannot be made or run, unless
// NOBOX_REQUIRE has qemu, or all.
func needs(t *testing.T) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, tool := range []string{"qemu-system-x86_64", "mke2fs", "mmdebstrap"} {
		if _, err := exec.LookPath(tool); err != nil {
			absent(t, "there is no "+tool+" in PATH")
		}
	}
}

func absent(t *testing.T, why string) {
	for _, w := range strings.Fields(os.Getenv("NOBOX_REQUIRE")) {
		if w == "qemu" || w == "all" {
			t.Fatalf("NOBOX_REQUIRE has %s, but %s", w, why)
		}
	}
	fmt.Fprintf(os.Stderr, "skipped for want of qemu (%s): %s\n", why, t.Name())
	t.Skipf("needs qemu: %s", why)
}

func output(name string, arg ...string) (string, error) {
	c := exec.Command(name, arg...)
	var diagnostics bytes.Buffer
	c.Stderr = &diagnostics
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(c.Args, " "), err, out, diagnostics.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// makePayload makes the disk with all that the tests run.
func makePayload(t *testing.T, work string) string {
	t.Helper()
	dir := filepath.Join(work, "payload")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	nobox := os.Getenv("NOBOX")
	if nobox == "" {
		nobox = filepath.Join(work, "nobox")
		if _, err := output("make", "-s", "-C", "../..", "build", "BIN="+nobox); err != nil {
			t.Fatal(err)
		}
	}
	settings := ""
	if v := os.Getenv("NOBOX_VM_RUN"); v != "" {
		settings += fmt.Sprintf("NOBOX_VM_RUN=%q\n", v)
	}
	script := os.Getenv("NOBOX_VM_SCRIPT")
	if err := os.WriteFile(filepath.Join(dir, "settings"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	guest, err := os.ReadFile("guest")
	if err != nil {
		t.Fatal(err)
	}
	if script != "" {
		guest = bytes.ReplaceAll(guest, []byte(`"^TestVM\$"`), []byte(fmt.Sprintf("%q", `^TestVM$/`+script)))
	}
	if err := os.WriteFile(filepath.Join(dir, "guest"), guest, 0o644); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "tests.test"), "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the tests: %v\n%s", err, out)
	}
	for _, c := range [][]string{
		{"cp", nobox, filepath.Join(dir, "nobox")},
		{"mkdir", filepath.Join(dir, "testdata")},
		{"cp", "-R", "../testdata/vm", filepath.Join(dir, "testdata")},
		{"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", dir, dir + ".img", "128M"},
	} {
		if _, err := output(c[0], c[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	return dir + ".img"
}

// A machine is one boot.
type machine struct {
	image, payload, dir string
	accel               []string

	up      bool
	booted  time.Duration
	results []byte
	err     error
}

// boot runs the machine until it ends, or does not come up in time.
func (m *machine) boot(patience time.Duration) {
	port, console := filepath.Join(m.dir, "results"), filepath.Join(m.dir, "console")
	if f, err := os.Create(port); err != nil {
		m.err = err
		return
	} else {
		f.Close()
	}
	args := append(m.accel,
		"-M", "q35", "-smp", "2", "-m", "2048", "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
		"-kernel", m.image+"/vmlinuz",
		"-append", "root=/dev/nvme0n1 rootwait rw console=ttyS0 quiet panic=-1 systemd.show_status=error mitigations=off",
		// One NVMe disk alone: the kernel numbers them as it finds them.
		"-drive", "if=none,id=root,file="+m.image+"/disk.img,format=raw,snapshot=on",
		"-device", "nvme,serial=root,drive=root",
		"-drive", "if=none,id=payload,file="+m.payload+",format=raw,readonly=on",
		"-device", "virtio-blk-pci,drive=payload",
		"-device", "virtio-serial-pci", "-device", "virtio-rng-pci",
		"-chardev", "file,id=results,path="+port, "-device", "virtserialport,chardev=results,name=results",
		"-serial", "file:"+console)
	q := exec.Command("qemu-system-x86_64", args...)
	var said bytes.Buffer
	q.Stdout, q.Stderr = &said, &said
	start := time.Now()
	if m.err = q.Start(); m.err != nil {
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- q.Wait() }()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case err := <-ended:
			if m.err = err; err != nil {
				m.err = fmt.Errorf("qemu: %w\n%s", err, said.Bytes())
			}
			waiting = false
		case <-look.C:
			if !m.up {
				b, _ := os.ReadFile(port)
				if m.up = bytes.Contains(b, []byte("=== VM up")); m.up {
					m.booted = time.Since(start)
				}
			}
			late := !m.up && time.Since(start) > patience
			if late || time.Since(start) > runAll {
				q.Process.Kill()
				<-ended
				m.err = fmt.Errorf("ended by force after %.0f s", time.Since(start).Seconds())
				waiting = false
			}
		}
	}
	m.results, _ = os.ReadFile(port)
	m.up = bytes.Contains(m.results, []byte("=== VM up"))
}

func (m *machine) console() []byte {
	b, _ := os.ReadFile(filepath.Join(m.dir, "console"))
	return b
}

func tail(b []byte, lines int) string {
	l := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}

// A section is what one run of the test binary said.
type section struct {
	name   string
	said   []byte
	status string // "" if it did not end
}

func split(results []byte) []*section {
	var all []*section
	var cur *section
	for line := range bytes.Lines(results) {
		word := strings.Fields(string(line))
		switch {
		case len(word) > 3 && word[0] == "===" && word[1] == "VM" && word[2] == "begin":
			cur = &section{name: word[3]}
			all = append(all, cur)
		case len(word) > 4 && word[0] == "===" && word[1] == "VM" && word[2] == "end" && cur != nil:
			cur.status, cur = word[4], nil
		case cur != nil:
			cur.said = append(cur.said, line...)
		}
	}
	return all
}

// event is one of test2json's; go doc cmd/test2json.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// report reports each transcript as a test of its own.
func (s *section) report(t *testing.T) {
	c := exec.Command("go", "tool", "test2json")
	c.Stdin = bytes.NewReader(s.said)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("test2json: %v", err)
	}
	type result struct {
		output  strings.Builder
		outcome string
	}
	results := map[string]*result{}
	var order []string
	for d := json.NewDecoder(bufio.NewReader(bytes.NewReader(out))); ; {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		_, name, ok := strings.Cut(e.Test, "/")
		if !ok {
			continue
		}
		r := results[name]
		if r == nil {
			r = &result{}
			results[name] = r
			order = append(order, name)
		}
		switch e.Action {
		case "output":
			r.output.WriteString(e.Output)
		case "pass", "fail", "skip":
			r.outcome = e.Action
		}
	}
	failed := false
	for _, name := range order {
		r := results[name]
		failed = failed || r.outcome == "fail"
		t.Run(name, func(t *testing.T) {
			switch r.outcome {
			case "pass":
				if testing.Verbose() {
					t.Log(r.output.String())
				}
			case "skip":
				t.Skip(r.output.String())
			case "fail":
				t.Error(r.output.String())
			default:
				t.Error("it did not end\n" + r.output.String())
			}
		})
	}
	switch {
	case len(order) == 0:
		t.Errorf("no transcript ran\n%s", s.said)
	case s.status == "":
		t.Errorf("it did not end\n%s", tail(s.said, 40))
	case s.status != "0" && !failed:
		t.Errorf("the tests ended with %s\n%s", s.status, tail(s.said, 40))
	}
}
