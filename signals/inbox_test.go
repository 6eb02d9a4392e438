package signals

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// send sends this very thread a signal: it is handled before the call returns.
//
// Preconditions: the goroutine is locked to its thread.
func send(t *testing.T, sig unix.Signal) {
	t.Helper()
	if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), sig); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, sigs ...unix.Signal) *Inbox {
	t.Helper()
	runtime.LockOSThread()
	in, err := Take(sigs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if in.taken != nil {
			in.GiveBack()
		}
		runtime.UnlockOSThread()
	})
	return in
}

func readable(t *testing.T, in *Inbox, timeout int) bool {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(in.FD()), Events: unix.POLLIN}}, timeout)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

func TestSignalsArriveInTheirOrder(t *testing.T) {
	in := take(t, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	if readable(t, in, 0) {
		t.Fatal("readable before a signal")
	}
	if sig, ok := in.Next(); ok {
		t.Fatalf("%v before a signal", sig)
	}
	want := []unix.Signal{unix.SIGUSR1, unix.SIGWINCH, unix.SIGUSR2, unix.SIGUSR1}
	for _, sig := range want {
		send(t, sig)
	}
	for i, w := range want {
		if !readable(t, in, 0) {
			t.Fatalf("signal %d: not readable", i)
		}
		if got, ok := in.Next(); !ok || got != w {
			t.Errorf("signal %d: %v %v, want %v", i, got, ok, w)
		}
	}
	if _, ok := in.Next(); ok {
		t.Error("one too many")
	}
}

// A signal may come to any thread of the process, and while Go code runs.
func TestManySignalsDisturbNothing(t *testing.T) {
	in := take(t, unix.SIGUSR1)
	stop, sums := make(chan struct{}), make(chan bool)
	const workers = 4
	for range workers {
		go func() {
			right := true
			for {
				select {
				case <-stop:
					sums <- right
					return
				default:
				}
				s := make([]int, 1000)
				for i := range s {
					s[i] = i
				}
				n := 0
				for _, v := range s {
					n += v
				}
				right = right && n == 499500
				runtime.Gosched()
			}
		}()
	}
	const each = 2000
	for range each {
		send(t, unix.SIGUSR1) // to this thread: none is lost
		if err := unix.Kill(unix.Getpid(), unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for readable(t, in, 0) {
		if sig, ok := in.Next(); ok && sig == unix.SIGUSR1 {
			n++
		}
	}
	if n < each || n > 2*each {
		t.Errorf("%d signals of %d and %d that may fall together", n, each, each)
	}
	close(stop)
	for range workers {
		if !<-sums {
			t.Error("a computation went wrong")
		}
	}
}

func TestAFullInboxDropsSignalsAndBlocksNobody(t *testing.T) {
	in := take(t, unix.SIGUSR1)
	size, err := unix.FcntlInt(uintptr(in.write), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := time.AfterFunc(time.Minute, func() { panic("the handler blocks") })
	for range size + 100 {
		send(t, unix.SIGUSR1)
	}
	done.Stop()
	n := 0
	for _, ok := in.Next(); ok; _, ok = in.Next() {
		n++
	}
	if n == 0 || n > size {
		t.Errorf("%d signals, the pipe holds %d", n, size)
	}
}

func TestGivenBackSignalsDoWhatTheyDid(t *testing.T) {
	var before, during, after action
	look := func(a *action) {
		if err := sigaction(unix.SIGWINCH, nil, a); err != nil {
			t.Fatal(err)
		}
	}
	look(&before)
	in := take(t, unix.SIGWINCH)
	look(&during)
	in.GiveBack()
	look(&after)
	if during.handler != handlerPC() {
		t.Error("not taken")
	}
	if after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
	send(t, unix.SIGWINCH) // the runtime's again
	again := take(t, unix.SIGWINCH)
	send(t, unix.SIGWINCH)
	if sig, ok := again.Next(); !ok || sig != unix.SIGWINCH {
		t.Errorf("%v %v the second time", sig, ok)
	}
}

func TestASignalThatCannotBeTakenIsAnErrorAndTakesNone(t *testing.T) {
	var before, after action
	sigaction(unix.SIGUSR2, nil, &before)
	if in, err := Take(unix.SIGUSR2, unix.SIGKILL); err != unix.EINVAL || in != nil {
		t.Fatalf("%v %v", in, err)
	}
	sigaction(unix.SIGUSR2, nil, &after)
	if after != before || pipe != -1 {
		t.Errorf("left behind: %+v, pipe %d", after, pipe)
	}
}
