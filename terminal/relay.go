package terminal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Relay joins the caller's terminal and the master side of the box's pty.
// Its methods may be called from any goroutine, in any order.
//
// Precondition: SIGTTOU is not caught. It may be ignored.
type Relay struct {
	// Modes, if set before Start, is called from the relay's thread right
	// before the terminal is made raw, and right after it has its own modes
	// again, with these.
	Modes func(raw bool, own unix.Termios)

	// Source, if set before Start, is a socket that the box's output comes from,
	// instead of the master, which then others use as well; the relay owns it.
	// Over is told by the relay's thread that it has ended, or that Keys were
	// typed, after which nothing more is read.
	Source int
	Keys   []byte // none if there are none
	Over   func(keys bool)

	master  int
	streams Streams
	open    opener
	hungUp  chan struct{} // closed by the thread
	gone    chan struct{} // closed when the thread is, or will never be

	endTyped atomic.Bool

	mu      sync.Mutex
	started bool // or closed before that
	wake    int  // eventfd; -1 when there is no thread to wake
	queue   []request
}

type request struct {
	op   op
	done chan struct{}
}

type op uint8

const (
	opResize op = iota
	opSuspend
	opResume
	opClose
)

// NewRelay makes a relay that has not started. It owns master from here on,
// and its open file description, which no other process may use, if there is no
// Source.
func NewRelay(master int, s Streams) *Relay {
	return &Relay{
		Source: -1, master: master, streams: s, open: reopen, wake: -1,
		hungUp: make(chan struct{}), gone: make(chan struct{}),
	}
}

// Start starts copying, and puts the terminal in raw mode if nobox is in its
// foreground. Its errors read as the cause in "cannot use the terminal". After
// one the terminal is as it was, and Close still has to be called.
func (r *Relay) Start() error {
	r.mu.Lock()
	if r.started {
		r.mu.Unlock()
		return errors.New("the relay was started or closed before")
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		r.mu.Unlock()
		return fmt.Errorf("eventfd: %w", err)
	}
	r.started, r.wake = true, wake
	r.mu.Unlock()
	result := make(chan error, 1)
	go r.thread(wake, result)
	return <-result
}

// Resize gives the box's pty the terminal's size; the kernel sends SIGWINCH
// inside if it changed.
func (r *Relay) Resize() { r.do(opResize) }

// Suspend writes out what the command wrote before it stopped, gives the
// terminal its own modes back and leaves it alone, until Resume.
func (r *Relay) Suspend() { r.do(opSuspend) }

// Resume is for after a SIGCONT, whether there was a Suspend or not: if nobox
// is in the foreground the terminal is made raw again, and its size is passed on.
func (r *Relay) Resume() { r.do(opResume) }

// HungUp is closed when the caller's terminal is gone. The master is closed
// by then.
func (r *Relay) HungUp() <-chan struct{} { return r.hungUp }

// EndTyped says whether an end of file was typed before the terminal was made
// raw, and nothing since: script(1) types one where its input ends, and who is at
// a keyboard none so early.
func (r *Relay) EndTyped() bool { return r.endTyped.Load() }

// Close is for when the box has ended: it writes out what is left of the
// output, gives the terminal its own modes back, closes the master, and returns
// when the relay's thread has finished. A peer that is still held open is given
// up after half a second, a terminal that takes nothing after ten.
func (r *Relay) Close() {
	r.mu.Lock()
	if !r.started {
		r.started = true
		unix.Close(r.master)
		if r.Source >= 0 {
			unix.Close(r.Source)
		}
		close(r.gone)
	}
	r.mu.Unlock()
	r.do(opClose)
	<-r.gone
}

// do has the thread carry out op, and waits for it.
func (r *Relay) do(op op) {
	q := request{op, make(chan struct{})}
	r.mu.Lock()
	if r.wake < 0 {
		r.mu.Unlock()
		return
	}
	r.queue = append(r.queue, q)
	// Cannot fail but with EAGAIN, when the thread is awake anyway.
	unix.Write(r.wake, binary.NativeEndian.AppendUint64(nil, 1))
	r.mu.Unlock()
	<-q.done
}

// requests takes what is queued.
func (r *Relay) requests() []request {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queue
	r.queue = nil
	return q
}

// retire ends the queue: nothing is accepted any more, nobody left waiting.
func (r *Relay) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	unix.Close(r.wake)
	r.wake = -1
	for _, q := range r.queue {
		close(q.done)
	}
	r.queue = nil
	close(r.gone)
}
