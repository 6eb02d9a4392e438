package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReviewShowsTheChangesAndAsksOnTheTerminal(t *testing.T) {
	asUser(t)
	need(t, "userns", "kernel:6.6")
	for answer, want := range map[string]string{"a": "box", "d": "host", "k": "host", "": "host", "n": "host"} {
		t.Run("answer "+answer, func(t *testing.T) {
			p, s := newPlace(t), newScreen(t)
			f, keep := p.work+"/f", p.run+"/keep"
			for _, err := range []error{os.WriteFile(f, []byte("host\n"), 0o644), os.Mkdir(keep, 0o755)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			b := s.start(p, []string{nobox, "--review", "--overlay-dir", keep, "--", "sh", "-c", "echo box >f; exit 7"})
			s.expect("modified  5 B -> 4 B")
			s.expect("the changes are kept: nobox diff|apply|discard ") // should the answer be Ctrl-C
			s.expect("apply, discard or keep these changes? [a/d/K] ")
			s.send("yes\n")
			s.expect("an answer is a (apply), d (discard) or k (keep)")
			s.expect("apply, discard or keep these changes? [a/d/K] ")
			s.send(answer + "\n")
			b.expectEnd(t, patience, 7)
			if got, _ := os.ReadFile(f); strings.TrimSpace(string(got)) != want {
				t.Errorf("the file is %q", got)
			}
			out, err := exec.Command(nobox, "diff", keep).CombinedOutput()
			if kept := answer != "a" && answer != "d"; err != nil || kept != strings.Contains(string(out), "modified") {
				t.Errorf("kept: %q, %v", out, err)
			}
		})
	}
}

func TestReviewKeepsWhereTheTerminalsInputEndedBefore(t *testing.T) {
	asUser(t)
	need(t, "userns", "kernel:6.6")
	p, s := newPlace(t), newScreen(t)
	keep := p.run + "/keep"
	if err := os.Mkdir(keep, 0o755); err != nil {
		t.Fatal(err)
	}
	// As script(1) does it where its own input is empty.
	s.send("\x04")
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.tty), Events: unix.POLLIN}}, int(patience.Milliseconds())); n != 1 {
		t.Fatal("the terminal took nothing: ", err)
	}
	// The command is given the end as well.
	b := s.start(p, []string{nobox, "--review", "--overlay-dir", keep, "--", "sh", "-c", "cat; echo box >f"})
	s.expect("added     4 B")
	s.expect("the changes are kept: nobox diff|apply|discard ")
	b.expectEnd(t, patience, 0)
	if strings.Contains(s.all(), "apply, discard or keep") {
		t.Error("nobody was there to be asked")
	}
	if _, err := os.Lstat(p.work + "/f"); err == nil {
		t.Error("it was written back")
	}
}

// hostileStarts is how many boxes are started while their root changes.
const hostileStarts = 500

// exchanging exchanges each of names below root for name.link, and back, over and
// over. stop ends that and says how often it was done.
func exchanging(root string, names []string) (stop func() int) {
	var ended atomic.Bool
	exchanged := make(chan int)
	go func() {
		n := 0
		for !ended.Load() {
			for _, name := range names {
				for range 2 { // and back: one is a link at a time
					if unix.Renameat2(unix.AT_FDCWD, root+"/"+name, unix.AT_FDCWD, root+"/"+name+".link", unix.RENAME_EXCHANGE) == nil {
						n++
					}
				}
			}
		}
		exchanged <- n
	}()
	return func() int {
		ended.Store(true)
		return <-exchanged
	}
}

// CVE-2021-30465 and CVE-2024-45310 (runc): the directories of a root are
// exchanged for links while a box starts on it.
func TestARootThatExchangesItsDirectoriesForLinksLeadsNowhere(t *testing.T) {
	asUser(t)
	need(t, "userns", "busybox")
	dir := scratch(t)
	root, outside := dir+"/root", dir+"/outside"
	names := []string{"proc", "sys", "dev", "tmp", "run", "var", "etc", "mnt"}
	for _, d := range append(slices.Clone(names), "bin", "var/tmp", "mnt/in") {
		for _, base := range []string{root, outside} {
			if err := os.MkdirAll(base+"/"+d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	putBusybox(t, root+"/bin/busybox")
	for name, content := range map[string][]byte{root + "/etc/hosts": nil, outside + "/etc/hosts": []byte("outside\n"), outside + "/secret": []byte("outside\n")} {
		if err := os.WriteFile(name, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	share := dir + "/share"
	if err := os.Mkdir(share, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := os.Symlink(outside+"/"+n, root+"/"+n+".link"); err != nil {
			t.Fatal(err)
		}
	}
	before := everything(t, outside)
	stop := exchanging(root, names)
	started, refused := 0, 0
	for i := range hostileStarts {
		flags := []string{"-r", "--rootfs", root, "-v", share + ":/mnt/in"}
		switch i % 4 {
		case 0, 2:
			flags = append(flags, "--read-only")
		case 3:
			flags = append(flags, "--overlay", "--mask", "/etc/none", "--mask", "/var/none", "--mask", "/etc/hosts")
		}
		// What is mounted may be anywhere in the root; a write must not leave it.
		script := `for d in /tmp /run /var/tmp /mnt/in /dev /proc /sys /etc; do echo bad >$d/bad; cat $d/../secret; done; cat /secret /etc/hosts; exit 42`
		c := exec.Command(nobox, append(flags, "--", "/bin/busybox", "sh", "-c", script)...)
		var words strings.Builder
		c.Stderr = &words
		out, err := c.Output()
		code := 0
		if e, ok := err.(*exec.ExitError); ok {
			code = e.ExitCode()
		}
		switch code {
		case 42:
			started++
		case 125:
			refused++
			// For a reason that the exchanges give, and no other.
			if !strings.Contains("\n"+words.String(), "\nnobox: cannot ") {
				t.Fatalf("start %d is refused without a word: %s", i, words.String())
			}
		default:
			t.Fatalf("start %d: exit code %d: %s", i, code, words.String())
		}
		if strings.Contains(string(out), "outside") {
			t.Fatalf("start %d shows what is outside: %s", i, out)
		}
	}
	if n := stop(); n < hostileStarts {
		t.Errorf("only %d exchanges in %d starts", n, hostileStarts)
	}
	// Neither says anything about the other: each must have happened, many times.
	if started < hostileStarts/20 || refused < hostileStarts/20 || started+refused != hostileStarts {
		t.Errorf("%d of %d boxes ran the command, %d were refused", started, hostileStarts, refused)
	}
	if after := everything(t, outside); !slices.Equal(before, after) {
		t.Errorf("outside was changed:\n%q\n%q", before, after)
	}
	t.Logf("%d of %d ran the command, %d were refused", started, hostileStarts, refused)
}

// CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 (runc): what masks are made
// of, the console and the places of /proc that are written to are exchanged, in
// the root, for links to where a write would do harm. A box that starts has every
// mask, its own /proc and its own devices, whenever the exchange comes.
func TestMasksHoldWhateverTheRootHasInTheirPlace(t *testing.T) {
	asUser(t)
	need(t, "userns", "busybox")
	dir := scratch(t)
	root, outside := dir+"/root", dir+"/outside"
	for _, d := range []string{"bin", "proc/sys/kernel", "proc/self", "sys/firmware", "dev/pts", "dev/shm", "tmp", "run", "var/tmp", "etc"} {
		if err := os.MkdirAll(root+"/"+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"dev/null", "dev/console", "dev/pts", "dev/ptmx", "dev/shm", "proc/kcore", "proc/keys", "proc/sysrq-trigger", "proc/sys", "proc/self", "sys/firmware", "etc/masked"}
	putBusybox(t, root+"/bin/busybox")
	for _, f := range names {
		if st, err := os.Stat(root + "/" + f); err == nil && st.IsDir() {
			continue
		}
		if err := os.WriteFile(root+"/"+f, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		if err := os.WriteFile(outside+"/"+strings.ReplaceAll(n, "/", "-"), []byte("outside\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside+"/"+strings.ReplaceAll(n, "/", "-"), root+"/"+n+".link"); err != nil {
			t.Fatal(err)
		}
	}
	before := everything(t, outside)
	stop := exchanging(root, names)
	const script = `B=/bin/busybox
for f in /dev/null /proc/kcore /proc/keys /proc/timer_list; do if $B test -e $f; then $B stat -c "$f %t:%T" $f; fi; done
$B stat -f -c '/proc %t' /proc; $B stat -f -c '/dev/pts %t' /dev/pts; $B stat -f -c '/sys %t' /sys
for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/kcore /dev/null /dev/console /dev/shm/x; do echo bad >$f; done 2>/dev/null
$B cat /etc/masked
exit 42`
	want := map[string]string{"/dev/null": "1:3", "/proc/kcore": "1:3", "/proc/keys": "1:3", "/proc/timer_list": "1:3", "/proc": "9fa0", "/dev/pts": "1cd1", "/sys": "62656572"}
	started := 0
	for i := range hostileStarts / 5 {
		flags := []string{"-r", "--net=none", "--rootfs", root}
		if i%2 == 0 {
			flags = append(flags, "--read-only")
		}
		out, err := exec.Command(nobox, append(flags, "--", "/bin/busybox", "sh", "-c", script)...).CombinedOutput()
		code := 0
		if e, ok := err.(*exec.ExitError); ok {
			code = e.ExitCode()
		}
		if code == 125 {
			continue
		}
		if code != 42 {
			t.Fatalf("start %d: exit code %d: %s", i, code, out)
		}
		started++
		seen := 0
		for line := range strings.Lines(string(out)) {
			name, is, _ := strings.Cut(strings.TrimSpace(line), " ")
			if w, ok := want[name]; ok {
				seen++
				if is != w {
					t.Fatalf("start %d: %s is %s, want %s", i, name, is, w)
				}
			}
		}
		if seen < 5 || strings.Contains(string(out), "outside") {
			t.Fatalf("start %d: %s", i, out)
		}
	}
	if n := stop(); n < hostileStarts {
		t.Errorf("only %d exchanges", n)
	}
	if started < hostileStarts/10 {
		t.Errorf("only %d boxes started", started)
	}
	if after := everything(t, outside); !slices.Equal(before, after) {
		t.Errorf("outside was changed:\n%q\n%q", before, after)
	}
	t.Logf("%d of %d started", started, hostileStarts/5)
}

// everything is all there is of a tree, in a line each.
func everything(t testing.TB, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%s %o %d:%d", strings.TrimPrefix(p, dir), st.Mode, st.Uid, st.Gid)
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", data)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A start that is killed leaves nothing behind: strace kills nobox at one
// system call of the host side after another, at each from the clone on. It
// follows no child, so that newuidmap is as setuid as ever.
func TestAStartThatIsKilledAtAnyStepLeavesNothingOnTheHost(t *testing.T) {
	asUser(t)
	need(t, "userns", "strace", "kernel:6.6")
	// What nobox leaves is inherited by the test, and so seen.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	p := newPlace(t)
	root, data, keep := p.run+"/root", p.run+"/data", p.tmp+"/keep"
	for _, d := range []string{root + "/bin", root + "/etc", data + "/in", keep} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(data+"/file", []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	overlaid := []string{"--rootfs", root, "--overlay", "-v", data + ":/mnt/new", "--mask", "/etc/none"}
	shapes := []struct {
		name  string
		needs []string
		flags []string
	}{
		{"a root read-only", nil, []string{"-r", "--rootfs", root, "--read-only", "-v", data + ":/mnt/new"}},
		{"a root overlaid", nil, append([]string{"-r"}, overlaid...)},
		{"the host's overlaid", nil, []string{"-r", "--overlay", "--cwd=overlay", "-v", data + ":/tmp/x/y", "-v", data + "/in:/tmp/x/y/in:O"}},
		{"the host's", nil, []string{"-r", "-v", data + ":/tmp/x/y", "--tmpfs", "/tmp/x/y/in:ro", "--home=ro", "--mask", "/tmp/x/y/file"}},
		{"no flag", []string{"subids", "tun"}, nil},
		{"a range, a network, a root overlaid", []string{"subids", "tun"}, append([]string{"--net=user", "-p", "0:80"}, overlaid...)},
		{"a range, the command as pid 1, changes kept", []string{"subids", "tun"}, []string{"--as-pid-1", "--cwd=overlay", "--overlay-dir", keep, "--mask", "none"}},
		{"the home, in which nobox's own could be made", nil, []string{"-r", "--net=none", "--home=rw"}},
		{"no network", []string{"subids"}, []string{"--net=none", "-v", data + ":/tmp/x"}},
		{"who may mount", []string{"subids", "tun"}, []string{"--cap-add=ALL"}},
		{"Landlock alone", []string{"landlock6"}, []string{"--tier=landlock"}},
	}
	all := func() []string {
		return append(everything(t, p.run), append(everything(t, p.work), everything(t, p.home)...)...)
	}
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			need(t, shape.needs...)
			before := all()
			line := append(append([]string{nobox}, shape.flags...), "--", "/bin/true")
			trace := p.tmp + "/trace"
			if out, err := p.command("strace", append([]string{"-qq", "-o", trace}, line...)...).CombinedOutput(); err != nil && !strings.Contains(string(out), "cannot run /bin/true") {
				t.Fatalf("%v: %s", err, out)
			}
			calls, made := callsOf(t, trace)
			killed, late := 0, 0
			for n, c := range calls {
				if n < made-5 && n%20 != 0 {
					continue // nothing but nobox itself is there yet
				}
				inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", c.name, c.nth)
				err := p.command("strace", append([]string{"-qq", "-o", "/dev/null", "-e", "trace=all", "-e", inject}, line...)...).Run()
				left := holdFamily(t, os.Getpid())
				left.expectGone(t, patience) // an overlay on a disk is synced at its end
				reapOrphans()
				if after := all(); !slices.Equal(before, after) {
					t.Fatalf("killed at %s %d:\nbefore %q\nafter  %q", c.name, c.nth, before, after)
				}
				if t.Failed() {
					t.Fatalf("killed at %s %d", c.name, c.nth)
				}
				if e, ok := err.(*exec.ExitError); !ok || e.ExitCode() != -1 {
					continue // this time it made fewer such calls
				}
				if killed++; n > made {
					late++
				}
			}
			if killed < 40 || late < 30 {
				t.Errorf("killed at %d calls only, %d of them with a box", killed, late)
			}
			t.Logf("killed at %d calls, %d of them with a box", killed, late)
		})
	}
}

// An apply that is killed at any of its system calls is gone on with, to the same
// end.
func TestAnApplyThatIsKilledAnywhereGoesOnToTheSameEnd(t *testing.T) {
	asUser(t)
	need(t, "userns", "strace", "kernel:6.6")
	// Few changes are synced one by one, many in batches. What the box closed is opened for a moment.
	t.Run("few", func(t *testing.T) { killedApply(t, "", 2) })
	t.Run("many", func(t *testing.T) {
		killedApply(t, "; i=0; while [ $i -lt 60 ]; do echo $i >new/$i; ln -s $i new/l$i; i=$((i+1)); done", 9)
	})
}

func killedApply(t *testing.T, more string, stride int) {
	t.Helper()
	p := newPlace(t)
	host, keep := p.work, p.run+"/keep"
	must := func(c *exec.Cmd) string {
		t.Helper()
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", c.Args, err, out)
		}
		return string(out)
	}
	const before = `mkdir -p d/sub gone becomes opaque && echo host | tee f mode same d/x d/sub/y gone/z becomes/b opaque/o opaque/p file >/dev/null && ln -s f link && mkdir dr op && echo host | tee dr/gone dr/f op/a op/x >/dev/null && chmod 500 dr`
	const box = `echo box >f; chmod 4700 mode; echo host >same; rm d/x; mkdir new; echo n >new/n; rm -r gone; rm -r becomes; echo file >becomes;
rm -r opaque; mkdir opaque; echo box >opaque/p; rm file; mkdir file; echo in >file/in; ln -sf d link; echo z >z; mkdir -p cl/osed; echo c | tee cl/osed/c cl/d >/dev/null; chmod 500 cl/osed cl; rm dr/gone; echo more >dr/f; echo new >dr/new; rm -r op; mkdir op; echo x >op/x; chmod 555 op`
	must(p.command("mkdir", keep))
	must(p.command("sh", "-c", before))
	must(p.command(nobox, "-r", "--net=none", "--cwd=overlay", "--overlay-dir", keep, "--", "sh", "-c", box+more))
	must(p.command("cp", "-a", host, p.tmp+"/host"))
	must(p.command("cp", "-a", keep, p.tmp+"/keep"))
	again := func() {
		must(p.command("sh", "-c", `chmod -R u+rwX . ../run/keep; find . -mindepth 1 -delete; cp -a $TMPDIR/host/. . && rm -rf ../run/keep && cp -a $TMPDIR/keep ../run/keep && touch ../run/keep/layer*`))
	}
	again()
	trace := p.tmp + "/trace"
	must(p.command("strace", "-f", "-qq", "-o", trace, nobox, "apply", keep))
	want := everything(t, host)
	if left := must(p.command(nobox, "diff", keep)); left != "" {
		t.Fatalf("left: %s", left)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, name := range []string{"renameat", "unlinkat", "mkdirat", "mknodat", "symlinkat", "fchmod", "fremovexattr", "write", "fsync", "syncfs", "utimensat"} {
		made := strings.Count(string(text), " "+name+"(")
		for nth := 0; nth < made; nth += min(stride, max(1, made/4)) {
			again()
			inject := fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, nth+1)
			c := p.command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+name, "-e", inject, nobox, "apply", keep)
			if e, ok := c.Run().(*exec.ExitError); ok && e.ExitCode() == -1 {
				killed++
			}
			if out, err := p.command(nobox, "apply", keep).CombinedOutput(); err != nil {
				t.Fatalf("killed at %s %d: %v: %s", name, nth+1, err, out)
			}
			if got := everything(t, host); !slices.Equal(got, want) {
				t.Fatalf("killed at %s %d:\n got %q\nwant %q", name, nth+1, got, want)
			}
			if left := must(p.command(nobox, "diff", keep)); left != "" {
				t.Fatalf("killed at %s %d: left: %s", name, nth+1, left)
			}
		}
	}
	if killed < 40 {
		t.Errorf("killed at %d calls only", killed)
	}
	t.Logf("killed at %d calls", killed)
}

// A nthCall is one of a program's system calls: the nth of that name.
type nthCall struct {
	name string
	nth  int
}

// callsOf reads strace's output, and finds the clone that makes the box.
func callsOf(t *testing.T, trace string) (calls []nthCall, made int) {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		name, rest, ok := strings.Cut(line, "(")
		if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			continue // a signal
		}
		if strings.Contains(rest, "CLONE_NEWUSER") || name == "landlock_restrict_self" { // or what Landlock alone holds
			made = len(calls)
		}
		seen[name]++
		calls = append(calls, nthCall{name, seen[name]})
	}
	if made == 0 {
		t.Fatalf("no box was made:\n%s", text)
	}
	return calls, made
}

// reapOrphans waits for the children that the test did not start and that have
// ended.
func reapOrphans() {
	for _, m := range family(os.Getpid()) {
		if m.state == "Z" && m.parent == os.Getpid() {
			unix.Wait4(m.pid, nil, unix.WNOHANG|unix.WALL, nil)
		}
	}
}
