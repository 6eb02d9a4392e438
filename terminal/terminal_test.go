package terminal

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A rig is a relay between two ptys of the test's: screen is what a terminal
// emulator holds, tty is what nobox inherited, box is what the command holds.
type rig struct {
	*Relay
	screen *os.File
	tty    int
	box    *os.File
	term   *pty
	inner  *pty
	before unix.Termios
	flags  int
}

// refused is an opener for a terminal that cannot be opened again.
func refused(int, int) int { return -1 }

// both runs the test with a description of the relay's own and with the
// inherited one.
func both(t *testing.T, test func(*testing.T, opener)) {
	t.Run("own description", func(t *testing.T) { test(t, reopen) })
	t.Run("inherited description", func(t *testing.T) { test(t, refused) })
}

func newRig(t testing.TB, open opener) *rig {
	t.Helper()
	term, inner := openPTY(t), openPTY(t)
	// A control character of one's own, to be restored with the rest.
	m := modes(t, term.tty)
	m.Cc[unix.VERASE] = 'H' & 0x1f
	set(t, term.tty, m)
	resize(t, term.tty, unix.Winsize{Row: 24, Col: 80})
	set(t, inner.tty, raw(modes(t, inner.tty)))
	inner.closeTTY()
	r := &rig{screen: term.master, tty: term.tty, box: inner.peer, term: term, inner: inner, before: modes(t, term.tty)}
	r.flags = statusFlags(t, r.tty)
	r.Relay = NewRelay(inner.takeMaster(t), Streams{FD: r.tty, Size: size(t, r.tty), Termios: r.before})
	r.open = open
	t.Cleanup(r.end)
	return r
}

func started(t testing.TB, open opener) *rig {
	t.Helper()
	r := newRig(t, open)
	if err := r.Start(); err != nil {
		t.Fatal("Start: ", err)
	}
	return r
}

// end has the box end, and closes the relay.
func (r *rig) end() {
	r.box.Close()
	r.Close()
}

func (r *rig) rawModes(open opener) unix.Termios {
	m := raw(r.before)
	if own := open(r.tty, unix.O_RDONLY); own < 0 {
		m.Cc[unix.VMIN] = 0
	} else {
		unix.Close(own)
	}
	return m
}

func (r *rig) expectModes(t testing.TB, what string, want unix.Termios) {
	t.Helper()
	if got := modes(t, r.tty); got != want {
		t.Fatalf("%s: modes are\n%+v, want\n%+v", what, got, want)
	}
}

func statusFlags(t testing.TB, fd int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags
}

// within fails the test if f takes longer than limit.
func within(t testing.TB, limit time.Duration, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if d := time.Since(start); d > limit {
		t.Errorf("%s took %v, more than %v", what, d, limit)
	}
}

func TestTheTerminalIsRawWhileRelayingAndAsItWasAfter(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		r.expectModes(t, "while relaying", r.rawModes(open))
		r.end()
		r.expectModes(t, "after Close", r.before)
	})
}

func TestThePanicOfACallerThatDefersCloseLeavesTheTerminalAsItWas(t *testing.T) {
	r := newRig(t, reopen)
	func() {
		defer func() { recover() }()
		defer r.Close()
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.box.Close()
		panic("in the caller's code")
	}()
	r.expectModes(t, "after the panic", r.before)
}

func TestEveryByteReachesTheBoxAndBackUnchanged(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		total := 8 << 20
		if testing.Short() || open(r.tty, unix.O_RDONLY) < 0 {
			total = 1 << 20
		}
		data := make([]byte, total)
		rand.New(rand.NewSource(1)).Read(data)
		var wg sync.WaitGroup
		for _, way := range []struct {
			name     string
			from, to *os.File
		}{{"typed", r.screen, r.box}, {"written", r.box, r.screen}} {
			wg.Go(func() {
				if _, err := way.from.Write(data); err != nil {
					t.Errorf("%s: %v", way.name, err)
				}
			})
			wg.Go(func() {
				got := make([]byte, len(data))
				if n, err := io.ReadFull(way.to, got); err != nil {
					t.Errorf("%s: %v after %d bytes", way.name, err, n)
				} else if !bytes.Equal(got, data) {
					t.Errorf("%s: bytes were changed", way.name)
				}
			})
		}
		wg.Wait()
		r.end()
	})
}

func TestTheSizeIsCopiedAtStartOnResizeAndOnResume(t *testing.T) {
	r := newRig(t, reopen)
	box := int(r.box.Fd())
	check := func(when string, col uint16) {
		t.Helper()
		if got := size(t, box); got != (unix.Winsize{Row: 50, Col: col, Xpixel: 3, Ypixel: 4}) {
			t.Fatalf("%s: the box's terminal is %+v", when, got)
		}
	}
	change := func(col uint16) {
		resize(t, r.tty, unix.Winsize{Row: 50, Col: col, Xpixel: 3, Ypixel: 4})
	}
	change(100) // after Probe
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	check("after Start", 100)
	change(110)
	r.Resize()
	check("after Resize", 110)
	r.Suspend()
	change(120)
	check("while suspended", 110)
	r.Resume()
	check("after Resume", 120)
	change(130)
	r.Resume()
	check("after a Resume without Suspend", 130)
	r.end()
	r.Resize()
}

func TestAByteTypedAfterCloseBelongsToTheShell(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		send(t, r.screen, "for the box\r")
		expect(t, r.box, "for the box\r")
		r.end()
		send(t, r.screen, "for the shell\n")
		expect(t, r.term.peer, "for the shell\n")
	})
}

func TestWhatIsTypedWhenNobodyInsideCanReadItStaysForTheShell(t *testing.T) {
	r := started(t, reopen)
	send(t, r.box, "bye")
	r.box.Close()
	expect(t, r.screen, "bye")
	// Two requests: the relay has polled, and so seen the end, in between.
	r.Resize()
	r.Resize()
	send(t, r.screen, "ls\n")
	r.Close()
	expect(t, r.term.peer, "ls\n")
}

func TestWhatIsTypedAheadReachesTheCommand(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := newRig(t, open)
		send(t, r.screen, "make\nand half a li")
		expect(t, r.screen, "make\r\nand half a li") // the terminal's echo: it has taken them
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		expect(t, r.box, "make\nand half a li")
	})
}

func TestAnEndOfFileTypedAheadReachesTheCommandAsTyped(t *testing.T) {
	for name, c := range map[string]struct {
		typed, want string
		end         bool
	}{
		"alone":              {"\x04", "\x04", true},
		"behind lines":       {"one\ntwo\n\x04", "one\ntwo\n\x04", true},
		"within a line":      {"one\ntwo\x04", "one\ntwo\x04", true},
		"before a line":      {"\x04one\n", "\x04one\n", false},
		"before half a line": {"\x04on", "\x04on", true},
		"twice":              {"\x04\x04", "\x04\x04", true},
		"of one's own":       {"one\n\x1a", "one\n\x1a", true},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, open opener) {
				r := newRig(t, open)
				if name == "of one's own" {
					r.before.Cc[unix.VEOF], r.before.Cc[unix.VSUSP] = 'Z'&0x1f, 0
					set(t, r.tty, r.before)
					r.streams.Termios = r.before
				}
				send(t, r.screen, c.typed)
				if !ready(r.tty, unix.POLLIN, deadline) {
					t.Fatal("the terminal did not take what was typed")
				}
				if err := r.Start(); err != nil {
					t.Fatal(err)
				}
				expect(t, r.box, c.want)
				if name != "before half a line" && r.EndTyped() != c.end {
					t.Errorf("EndTyped is %v", !c.end)
				}
				send(t, r.screen, "more")
				expect(t, r.box, "more")
				if r.EndTyped() {
					t.Error("EndTyped holds though more was typed")
				}
				r.end()
				r.expectModes(t, "after the end", r.before)
			})
		})
	}
}

func TestSuspendGivesTheTerminalBackAndResumeTakesIt(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		for i := range 3 {
			send(t, r.box, "stopping")
			r.Suspend()
			expect(t, r.screen, "stopping") // was written out before
			r.expectModes(t, "suspended", r.before)

			// Neither way anything passes: what is typed is the shell's.
			shell := fmt.Sprintf("fg %d\n", i)
			send(t, r.screen, shell)
			expect(t, r.screen, shell[:len(shell)-1]+"\r\n") // its echo
			send(t, r.box, "from the background")
			r.Suspend()
			expectNothing(t, r.screen)
			expect(t, r.term.peer, shell)

			r.Resume()
			r.expectModes(t, "resumed", r.rawModes(open))
			expect(t, r.screen, "from the background")
			send(t, r.screen, "typed")
			expect(t, r.box, "typed")
			r.Resume()
		}
		r.end()
		r.expectModes(t, "after Close", r.before)
	})
}

func TestModesHearsOfRawBeforeItIsSetAndOfTheOwnModesAfter(t *testing.T) {
	r := newRig(t, reopen)
	var heard []bool
	r.Modes = func(raw bool, own unix.Termios) {
		heard = append(heard, raw)
		if own != r.before {
			t.Errorf("told %+v, want %+v", own, r.before)
		}
		r.expectModes(t, "when told", r.before)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.Suspend()
	r.Resume()
	r.end()
	if want := "[true false true false]"; fmt.Sprint(heard) != want {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

func TestResumeTakesTheTerminalAgainAfterAStopWithoutSuspend(t *testing.T) {
	r := started(t, reopen)
	set(t, r.tty, r.before) // as the shell does when it sees nobox stopped
	r.Resume()
	r.expectModes(t, "resumed", r.rawModes(reopen))
	r.end()
	r.expectModes(t, "after Close", r.before)
}

func TestCloseWhileSuspendedWritesOutTheRest(t *testing.T) {
	r := started(t, reopen)
	r.Suspend()
	send(t, r.box, "killed while stopped")
	r.end()
	r.expectModes(t, "after Close", r.before)
	expect(t, r.screen, "killed while stopped")
}

func TestCloseWritesOutAllThatTheCommandWrote(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := newRig(t, open)
		// As much as the pty takes with nobody reading it.
		data := make([]byte, 1<<20)
		rand.New(rand.NewSource(2)).Read(data)
		n, err := unix.Write(int(r.box.Fd()), data)
		if n < 4096 {
			t.Fatalf("the pty took %d bytes: %v", n, err)
		}
		r.box.Close()
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		got := make(chan []byte)
		go func() {
			b := make([]byte, n)
			k, _ := io.ReadFull(r.screen, b)
			got <- b[:k]
		}()
		r.Close()
		if b := <-got; !bytes.Equal(b, data[:n]) {
			t.Fatalf("%d of %d bytes came out", len(b), n)
		}
		expectNothing(t, r.screen)
	})
}

func TestTheHangUpOfTheTerminalHangsUpTheBox(t *testing.T) {
	for _, state := range []struct {
		name string
		set  func(*rig)
	}{
		{"relaying", func(*rig) {}},
		{"suspended", func(r *rig) { r.Suspend() }},
		{"with input the box does not read", func(r *rig) {
			r.fill(r.screen, make([]byte, 1<<20))
		}},
		{"after the end of output", func(r *rig) { r.box.Close() }},
	} {
		t.Run(state.name, func(t *testing.T) {
			both(t, func(t *testing.T, open opener) {
				r := started(t, open)
				state.set(r)
				select {
				case <-r.HungUp():
					t.Fatal("HungUp was closed before the hang-up")
				default:
				}
				r.screen.Close()
				select {
				case <-r.HungUp():
				case <-time.After(deadline):
					t.Fatal("the hang-up was not noticed")
				}
				expectEnd(t, r.box)
				expectIdle(t)
				r.Resize()
				r.Suspend()
				r.Resume()
				within(t, time.Second, "Close", r.Close)
			})
		})
	}
}

// expectIdle measures that the process does not burn the processor. It
// synchronizes nothing.
func expectIdle(t *testing.T) {
	t.Helper()
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const span = 60 * time.Millisecond
	before := used()
	time.Sleep(span)
	if d := used() - before; d > span/2 {
		t.Errorf("used the processor for %v of %v, with nothing to do", d, span)
	}
}

func TestTheRelayIsIdleWhenThereIsNothingToDo(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		expectIdle(t)
		r.Suspend()
		expectIdle(t)
		r.Resume()
		r.fill(r.box, make([]byte, 1<<20))
		expectIdle(t) // the terminal is not read
		r.fill(r.screen, make([]byte, 1<<20))
		expectIdle(t) // nor the box's
		r.box.Close()
		r.Resize()
		expectIdle(t) // nor is anyone inside
		go io.Copy(io.Discard, r.screen)
		r.Close()
	})
}

func TestTheInheritedDescriptorStaysAsItWas(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		check := func(when string) {
			t.Helper()
			if got := statusFlags(t, r.tty); got != r.flags {
				t.Fatalf("%s: flags %#o, were %#o", when, got, r.flags)
			}
		}
		check("relaying")
		send(t, r.screen, "x")
		expect(t, r.box, "x")
		check("after input")
		send(t, r.box, "y")
		expect(t, r.screen, "y")
		check("after output")
		r.Suspend()
		check("suspended")
		r.Resume()
		r.end()
		check("after Close")
	})
}

func TestAnInheritedDescriptionThatIsNonBlockingStaysSoAndWorks(t *testing.T) {
	r := newRig(t, refused)
	if err := unix.SetNonblock(r.tty, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go r.box.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(r.screen, got); err != nil || !bytes.Equal(got, data) {
		t.Fatal("output was changed or lost: ", err)
	}
	r.end()
	if statusFlags(t, r.tty) != r.flags|unix.O_NONBLOCK {
		t.Error("the flags were changed")
	}
}

func TestOutputIsNotLostWhenTheBoxEndsWithBothWaysFull(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		data := make([]byte, 1<<20)
		rand.New(rand.NewSource(4)).Read(data)
		written := data[:r.fill(r.box, data)]
		if len(written) <= outputSize {
			t.Fatalf("only %d bytes were written", len(written))
		}
		r.fill(r.screen, data)
		r.Resize()
		r.box.Close()
		r.Resize()
		r.Resize()
		got := make([]byte, len(written))
		if n, err := io.ReadFull(r.screen, got); err != nil || !bytes.Equal(got, written) {
			t.Fatalf("%d of %d bytes came out: %v", n, len(written), err)
		}
		r.Close()
	})
}

// fill writes as much of data as fits on the way from f, and returns how much.
func (r *rig) fill(f *os.File, data []byte) int {
	total := 0
	for tries := 0; tries < 100; tries++ {
		if n, err := unix.Write(int(f.Fd()), data[total:]); err == nil {
			total += n
			tries = 0
		}
		r.Resize() // the relay has had a turn in between
	}
	return total
}

// clog writes total bytes to f, more than fits on the way while nobody reads
// the other end. What it returns waits until all are written.
func clog(t *testing.T, f *os.File, total int) (wait func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := f.Write(make([]byte, total))
		done <- err
	}()
	return func() {
		t.Helper()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestOutputFlowsThoughTheBoxDoesNotReadItsInput(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		typed := clog(t, r.screen, 1<<20)
		for range 64 {
			data := bytes.Repeat([]byte("output "), 1<<10)
			go r.box.Write(data)
			expect(t, r.screen, string(data))
		}
		if _, err := io.ReadFull(r.box, make([]byte, 1<<20)); err != nil {
			t.Fatal("the paste: ", err)
		}
		typed()
		r.end()
	})
}

func TestInputFlowsThoughTheTerminalIsNotRead(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		written := clog(t, r.box, 1<<20)
		for range 64 {
			data := bytes.Repeat([]byte("typed "), 1<<10)
			go r.screen.Write(data)
			expect(t, r.box, string(data))
		}
		within(t, time.Second, "Resize", r.Resize)
		if _, err := io.ReadFull(r.screen, make([]byte, 1<<20)); err != nil {
			t.Fatal("the output: ", err)
		}
		written()
		r.end()
	})
}

func TestSuspendDoesNotWaitLongForATerminalThatIsNotReadAndLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		data := make([]byte, 1<<20)
		rand.New(rand.NewSource(3)).Read(data)
		go r.box.Write(data)
		within(t, 5*time.Second, "Suspend", r.Suspend)
		r.expectModes(t, "suspended", r.before)
		// Raw for the test's comparison; only output processing matters.
		set(t, r.tty, r.rawModes(open))
		r.Resume()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(r.screen, got); err != nil || !bytes.Equal(got, data) {
			t.Fatal("output was changed or lost: ", err)
		}
		r.end()
	})
}

func TestCloseGivesUpOnAPeerThatIsHeldOpen(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		send(t, r.box, "last words")
		within(t, time.Second, "Close", r.Close)
		expect(t, r.screen, "last words")
		r.expectModes(t, "after Close", r.before)
		expectEnd(t, r.box)
	})
}

func TestCloseGivesUpOnAPeerThatIsWrittenToWithoutEnd(t *testing.T) {
	r := started(t, reopen)
	go io.Copy(io.Discard, r.screen)
	go func() {
		for b := make([]byte, 64<<10); ; {
			if _, err := r.box.Write(b); err != nil {
				return
			}
		}
	}()
	within(t, 5*time.Second, "Close", r.Close)
	r.expectModes(t, "after Close", r.before)
}

func TestCallsOutOfOrderAreHarmless(t *testing.T) {
	r := newRig(t, reopen)
	r.Resize()
	r.Suspend()
	r.Resume()
	r.expectModes(t, "before Start", r.before)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if r.Start() == nil {
		t.Error("a second Start succeeded")
	}
	r.end()
	r.Close()
	r.Suspend()
	r.Resume()
	r.Resize()
	r.expectModes(t, "after Close", r.before)
	if r.Start() == nil {
		t.Error("a Start after Close succeeded")
	}

	r = newRig(t, reopen)
	r.Close()
	if r.Start() == nil {
		t.Error("a Start after Close succeeded")
	}
	expectEnd(t, r.box)
}

func TestAStartThatFailsLeavesTheTerminalAsItWas(t *testing.T) {
	r := newRig(t, refused)
	unix.Close(r.master)
	r.master = -1
	if r.Start() == nil {
		t.Fatal("Start succeeded without a master")
	}
	r.expectModes(t, "after the error", r.before)
	r.Close()

	r = newRig(t, refused)
	r.streams.FD = int(r.box.Fd()) + 1000
	if r.Start() == nil {
		t.Fatal("Start succeeded without a terminal")
	}
	r.Close()
	expectEnd(t, r.box)
}

func TestCallsFromManyGoroutinesEndWithTheTerminalAsItWas(t *testing.T) {
	both(t, func(t *testing.T, open opener) {
		r := started(t, open)
		go io.Copy(io.Discard, r.screen)
		go io.Copy(r.box, r.box)
		var wg sync.WaitGroup
		for _, f := range []func(){r.Resize, r.Suspend, r.Resume, func() { send(t, r.screen, "x") }} {
			wg.Go(func() {
				for range 50 {
					f()
				}
			})
		}
		wg.Wait()
		for range 4 {
			wg.Go(r.Close)
			wg.Go(r.Resume)
			wg.Go(r.Suspend)
		}
		wg.Wait()
		r.expectModes(t, "after Close", r.before)
	})
}

func TestRawClearsWhatCfmakerawClears(t *testing.T) {
	all := unix.Termios{Iflag: ^uint32(0), Oflag: ^uint32(0), Cflag: ^uint32(0), Lflag: ^uint32(0), Ispeed: 7, Ospeed: 8}
	all.Cc[unix.VERASE] = 'H' & 0x1f
	m := raw(all)
	if m.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG|unix.IEXTEN) != 0 || m.Iflag&(unix.IXON|unix.ICRNL) != 0 || m.Oflag&unix.OPOST != 0 {
		t.Errorf("%+v is not raw", m)
	}
	if m.Cflag&unix.CSIZE != unix.CS8 || m.Cc[unix.VMIN] != 1 || m.Cc[unix.VTIME] != 0 {
		t.Errorf("%+v does not read bytes one by one", m)
	}
	if m.Iflag&unix.IUTF8 == 0 || m.Lflag&unix.TOSTOP == 0 || m.Cc[unix.VERASE] != 'H'&0x1f || m.Ispeed != 7 || m.Ospeed != 8 {
		t.Errorf("%+v lost what is none of raw's business", m)
	}
	if raw(m) != m {
		t.Error("raw of raw differs")
	}
}

func TestSaneIsWhatTheKernelGivesANewTerminal(t *testing.T) {
	fresh := modes(t, openPTY(t).tty)
	editor := raw(fresh)
	editor.Cc[unix.VLNEXT], editor.Cc[unix.VERASE] = 0, 'H'&0x1f
	want := fresh
	want.Cc[unix.VERASE] = 'H' & 0x1f
	if got := sane(editor); got != want {
		t.Errorf("sane is\n%+v, want\n%+v", got, want)
	}
}

func benchmark(b *testing.B, from, to *os.File) {
	chunk := make([]byte, 64<<10)
	b.SetBytes(int64(len(chunk)))
	from.SetDeadline(time.Time{})
	to.SetDeadline(time.Time{})
	b.ResetTimer()
	go func() {
		for range b.N {
			from.Write(chunk)
		}
	}()
	io.CopyN(io.Discard, to, int64(b.N)*int64(len(chunk)))
}

func BenchmarkOutput(b *testing.B) {
	b.Run("plain pty", func(b *testing.B) {
		p := openPTY(b)
		set(b, p.tty, raw(modes(b, p.tty)))
		benchmark(b, p.peer, p.master)
	})
	for name, open := range map[string]opener{"relay": reopen, "relay on the inherited description": refused} {
		b.Run(name, func(b *testing.B) {
			r := started(b, open)
			benchmark(b, r.box, r.screen)
		})
	}
}
