package terminal

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	outputSize = 64 << 10
	// What a line discipline hands over in one read (N_TTY_BUF_SIZE). More
	// would only take away from what is typed ahead for the shell.
	inputSize = 4 << 10
	// What a terminal takes after POLLOUT without blocking: a pty below its
	// limit allocates 256 bytes whatever the limit (tty_buffer.c), other drivers
	// are ready at 256 (WAKEUP_CHARS), and OPOST makes two bytes of "\n".
	piece = 128

	lookEvery   = 250 * time.Millisecond // for the foreground, from the background
	settleLimit = 500 * time.Millisecond

	// More than a pty can hold: what is read beyond it after the end comes from
	// someone who is still writing.
	drainLimit = 1 << 20
)

// patience is how long a drain waits at most.
type patience struct {
	silence time.Duration // for the peer to be closed
	stall   time.Duration // for the terminal to take anything
	total   time.Duration
}

// loop is what the thread works with; nothing else touches it.
type loop struct {
	*Relay
	eventfd  int
	tty      descriptor // to read, and for modes and size; none once hung up
	screen   descriptor // to write; none if there is none, or once hung up
	input    buffer     // from tty to master
	output   buffer     // from master to screen
	saved    unix.Termios
	unsaved  bool // saved is still to be taken
	raw      bool // the modes are ours
	reading  bool // in the foreground, as far as was seen
	lookNext time.Time
	paused   bool // between Suspend and Resume
	deaf     bool // the master takes no input any more
	ended    bool // the master, or the source, gives no output any more
	source   int  // where output comes from: the master, or the relay's Source
	keys     keys
	polled   [5]unix.PollFd
}

// indices of loop.polled
const (
	pollWake = iota
	pollTTY
	pollScreen
	pollMaster
	pollSource // one of its own
)

func (r *Relay) thread(wake int, result chan<- error) {
	// The goroutine ends without unlocking, which ends the thread, and with
	// it the changed signal mask.
	runtime.LockOSThread()
	// A read from the background then fails with EIO and stops nobody;
	// __tty_check_change in the kernel's tty_jobctrl.c.
	var ttin unix.Sigset_t
	ttin.Val[0] = 1 << (unix.SIGTTIN - 1)
	err := unix.PthreadSigmask(unix.SIG_BLOCK, &ttin, nil)

	l := &loop{
		Relay: r, eventfd: wake, tty: none, screen: none,
		output: newBuffer(outputSize),
		saved:  r.streams.Termios, unsaved: r.streams.Background,
		source: r.master, keys: keys{word: r.Keys},
	}
	if r.Source >= 0 {
		l.source = r.Source
	}
	// What was held back may come before what is typed next.
	l.input = newBuffer(inputSize + len(r.Keys))
	defer r.retire()
	defer l.release()
	if err == nil {
		err = l.begin()
	}
	if result <- err; err != nil {
		return
	}
	for l.turn() {
	}
}

func (l *loop) begin() error {
	l.tty, l.screen = l.open.input(l.streams), l.open.output(l.streams)
	if l.streams.FD >= 0 && l.tty.fd < 0 {
		return errors.New("it is not open for reading")
	}
	// The master is nobody else's. Before anything is changed, so that an
	// error leaves nothing behind.
	if err := unix.SetNonblock(l.master, true); err != nil {
		return fmt.Errorf("the box's side: %w", err)
	}
	if l.apart() {
		if err := unix.SetNonblock(l.source, true); err != nil {
			return fmt.Errorf("the box's side: %w", err)
		}
	}
	if err := l.look(); err != nil && !gone(l.tty.fd) {
		return fmt.Errorf("raw mode: %w", err)
	}
	if l.apart() {
		l.redraw()
	}
	l.resize()
	return nil
}

// apart says whether output comes from elsewhere than the master.
func (l *loop) apart() bool { return l.source != l.master }

// redraw has the box be told of the size, by which programs draw their screen
// anew, also if that is what it was.
func (l *loop) redraw() {
	was, err := unix.IoctlGetWinsize(l.master, unix.TIOCGWINSZ)
	now, err2 := unix.IoctlGetWinsize(l.tty.fd, unix.TIOCGWINSZ)
	if err == nil && err2 == nil && was.Row == now.Row && was.Col == now.Col {
		was.Row++
		unix.IoctlSetWinsize(l.master, unix.TIOCSWINSZ, was)
	}
}

// release undoes what was done to the terminal and closes what is open.
func (l *loop) release() {
	l.restore()
	l.tty.close()
	l.screen.close()
	l.closeMaster()
}

// turn waits for something to do and does it. It is false at the end.
func (l *loop) turn() bool {
	if !l.await() {
		return false
	}
	if l.polled[pollWake].Revents != 0 {
		if !l.serve() {
			return false
		}
		return true // what was polled may not hold any more
	}
	const gone = unix.POLLHUP | unix.POLLERR | unix.POLLNVAL
	ttyGone := l.polled[pollTTY].Revents&gone != 0
	if l.polled[pollScreen].Revents&gone != 0 {
		// Another terminal than the one on stdin, else both are gone.
		l.screen.close()
		ttyGone = ttyGone || l.tty.fd < 0
	}
	if ttyGone {
		l.hangUp()
		return true
	}
	if l.paused {
		return true
	}
	if l.background() && !time.Now().Before(l.lookNext) {
		l.look() // an error leaves it in the background, and is tried again
	}
	if l.polled[pollTTY].Revents&unix.POLLIN != 0 && !l.readTerminal() {
		l.hangUp()
		return true
	}
	master := l.polled[pollMaster].Revents
	if master&gone != 0 {
		l.deafen() // what was written is still to be read
	}
	source := l.polled[pollSource].Revents
	if !l.apart() {
		source = master &^ unix.POLLOUT
	}
	if source != 0 && l.output.room() {
		l.readMaster()
	}
	l.writeScreen()
	l.writeMaster()
	return true
}

// await polls what the state and the room in the buffers ask for. It is false
// if that is not possible.
func (l *loop) await() bool {
	p := &l.polled
	p[pollWake] = unix.PollFd{Fd: int32(l.eventfd), Events: unix.POLLIN}
	p[pollTTY] = unix.PollFd{Fd: int32(l.tty.fd)} // POLLHUP is always reported
	p[pollScreen] = unix.PollFd{Fd: int32(l.screen.fd)}
	p[pollMaster], p[pollSource] = unix.PollFd{Fd: -1}, unix.PollFd{Fd: -1}
	timeout := time.Duration(-1)
	if !l.paused {
		if l.reading && !l.deaf && l.input.empty() {
			p[pollTTY].Events = unix.POLLIN
		}
		if !l.output.empty() {
			p[pollScreen].Events = unix.POLLOUT
		}
		var events int16
		switch {
		case l.ended || !l.output.room():
		case l.apart():
			p[pollSource] = unix.PollFd{Fd: int32(l.source), Events: unix.POLLIN}
		default:
			events |= unix.POLLIN
		}
		if !l.deaf && !l.input.empty() {
			events |= unix.POLLOUT
		}
		if events != 0 { // else its POLLHUP would be reported over and over
			p[pollMaster] = unix.PollFd{Fd: int32(l.master), Events: events}
		}
		if l.background() {
			timeout = max(0, time.Until(l.lookNext))
		}
	}
	_, err := poll(p[:], timeout)
	return err == nil
}

// background says whether to look for the foreground from time to time.
func (l *loop) background() bool { return l.tty.fd >= 0 && !l.reading && !l.ended }

// serve carries out what is queued. It is false after opClose.
func (l *loop) serve() bool {
	var count [8]byte
	unix.Read(l.eventfd, count[:])
	more := true
	for _, q := range l.requests() {
		switch q.op {
		case opResize:
			l.resize()
		case opSuspend:
			if !l.paused {
				// What is left stays in the buffer and the pty, for Resume.
				l.drain(patience{stall: time.Second, total: time.Second})
				l.restore()
				l.paused, l.reading = true, false
			}
		case opResume:
			l.paused, l.reading = false, false
			l.look()
			l.resize()
		case opClose:
			if more {
				// What is left is lost, so a slow terminal is given time.
				l.drain(patience{silence: 500 * time.Millisecond, stall: 10 * time.Second, total: time.Hour})
				more = false
			}
		}
		close(q.done)
	}
	return more
}

// look makes the terminal raw and has it read if nobox is in its foreground,
// and else looks again later.
func (l *loop) look() error {
	if l.tty.fd < 0 {
		return nil
	}
	l.lookNext = time.Now().Add(lookEvery)
	if !foreground(l.tty.fd) {
		return nil
	}
	if l.unsaved {
		t, err := unix.IoctlGetTermios(l.tty.fd, unix.TCGETS)
		if err != nil {
			return err
		}
		l.saved, l.unsaved = *t, false
	}
	t := raw(l.saved)
	if l.tty.blocks {
		// So that a read cannot wait for a byte that another process took
		// after the poll; termios(3).
		t.Cc[unix.VMIN] = 0
	}
	// TCSETS and not TCSETSF: what was typed ahead is the command's.
	l.readLines()
	if l.Modes != nil {
		l.Modes(true, l.saved)
	}
	if err := setModes(l.tty.fd, &t); err != nil {
		return err
	}
	l.raw, l.reading = true, true
	l.resize() // SIGWINCH is sent to the foreground group only
	return nil
}

// restore gives the terminal its own modes back.
func (l *loop) restore() {
	if !l.raw || l.tty.fd < 0 || !foreground(l.tty.fd) {
		return
	}
	settle(l.tty.fd, settleLimit)
	// TCSETS and not TCSETSF: what is typed now is the shell's.
	if setModes(l.tty.fd, &l.saved) == nil {
		l.raw = false
		if l.Modes != nil {
			l.Modes(false, l.saved)
		}
	}
}

func (l *loop) resize() {
	if l.tty.fd < 0 || l.master < 0 {
		return
	}
	if ws, err := unix.IoctlGetWinsize(l.tty.fd, unix.TIOCGWINSZ); err == nil {
		unix.IoctlSetWinsize(l.master, unix.TIOCSWINSZ, ws)
	}
}

// hangUp is for when the terminal is gone: nothing more goes either way, and
// the closed master has the kernel send SIGHUP inside; pty(7).
func (l *loop) hangUp() {
	l.restore() // in vain, but for a terminal that only reported an error
	l.tty.close()
	l.screen.close()
	l.input.clear()
	l.output.clear()
	l.closeMaster()
	close(l.hungUp)
}

func (l *loop) closeMaster() {
	if l.apart() {
		unix.Close(l.source)
	}
	if l.master >= 0 {
		unix.Close(l.master)
	}
	l.master, l.source, l.deaf, l.ended = -1, -1, true, true
}

// readLines takes the lines that were typed ahead, before the terminal is raw. An
// end of file among them is no byte: the line discipline marks where it was, and
// from a raw terminal that mark reads as a NUL (__DISABLED_CHAR in n_tty.c). It
// goes on as the character that the box's own terminal takes for one.
func (l *loop) readLines() {
	t, err := unix.IoctlGetTermios(l.tty.fd, unix.TCGETS)
	if err != nil || t.Lflag&unix.ICANON == 0 {
		return
	}
	for !l.deaf {
		b := l.input.free()[l.keys.held:]
		p := []unix.PollFd{{Fd: int32(l.tty.fd), Events: unix.POLLIN}}
		if n, err := poll(p, 0); len(b) < 2 || n != 1 || err != nil || p[0].Revents != unix.POLLIN {
			return
		}
		b = b[:len(b)-1]
		n, err := read(l.tty.fd, b)
		if err != nil {
			return
		}
		ended := n == 0 || n < len(b) && b[n-1] != '\n' && b[n-1] != t.Cc[unix.VEOL] && b[n-1] != t.Cc[unix.VEOL2]
		if ended {
			b[:n+1][n] = sane(*t).Cc[unix.VEOF]
			n++
		}
		l.typed(n)
		l.endTyped.Store(ended)
	}
}

// typed has n bytes, read to where free() and what is held back of keys end, go on
// to the box.
func (l *loop) typed(n int) {
	n, all := l.keys.filter(l.input.free(), l.keys.held, n)
	l.input.put(n)
	if all {
		l.reading, l.deaf = false, true
		l.input.clear()
		l.Over(true)
	}
}

// readTerminal takes what was typed, unless nobox is in the background by now.
// It is false if the terminal is gone.
func (l *loop) readTerminal() bool {
	if !foreground(l.tty.fd) {
		l.retreat()
		return true
	}
	n, err := read(l.tty.fd, l.input.free()[l.keys.held:])
	if n > 0 {
		l.endTyped.Store(false)
		l.typed(n)
		return true
	}
	if err == unix.EAGAIN {
		return true
	}
	// EIO without a hang-up is a read from the background, SIGTTIN being
	// blocked. 0 without one comes of a VMIN of 0, or of an end of file typed
	// after someone else made the terminal cooked. None may become a busy loop.
	l.retreat()
	return !gone(l.tty.fd)
}

// retreat is the way from the foreground to the background.
func (l *loop) retreat() {
	l.reading = false
	l.lookNext = time.Now().Add(lookEvery)
	if l.Modes != nil {
		l.Modes(false, l.saved) // whose they are now, they are not nobox's to restore
	}
}

// readMaster takes some of what the box wrote and returns how much. It does
// not read until there is nothing more: on an empty pty even a non-blocking
// read waits for the kernel's worker (tty_buffer_flush_work).
func (l *loop) readMaster() int {
	n, err := read(l.source, l.output.free())
	if n > 0 {
		l.output.put(n)
		return n
	}
	if err != unix.EAGAIN { // EIO: no process has the peer open
		l.ended = true
		l.deafen()
		if l.apart() {
			l.Over(false)
		}
	}
	return 0
}

// deafen is for when nobody inside can receive input any more. A write then
// fails with EIO, or with EAGAIN for ever if the box's pty was full.
func (l *loop) deafen() {
	l.deaf = true
	l.input.clear()
}

// writeScreen writes what the terminal takes.
func (l *loop) writeScreen() {
	for !l.output.empty() && l.screen.fd >= 0 {
		b := l.output.full()
		if l.screen.blocks {
			b = b[:min(piece, len(b))]
			if !ready(l.screen.fd, unix.POLLOUT, 0) {
				return
			}
		}
		n, err := write(l.screen.fd, b)
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			// EIO: hung up, which the next poll reports, or a background
			// that nobody controls on a terminal with tostop.
			n = len(b)
		}
		l.output.drop(n)
	}
	if l.screen.fd < 0 {
		l.output.clear()
	}
}

// writeMaster gives the box what it takes of what was typed.
func (l *loop) writeMaster() {
	for !l.input.empty() && !l.deaf {
		n, err := write(l.master, l.input.full())
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			l.deafen()
			return
		}
		l.input.drop(n)
	}
}

// drain writes out what the box has written, and waits for more until the
// peer is closed or patience is at an end.
func (l *loop) drain(p patience) {
	start := time.Now()
	for left := drainLimit; ; {
		for l.writeScreen(); !l.output.empty(); l.writeScreen() {
			rest := min(p.stall, p.total-time.Since(start))
			if rest <= 0 || !ready(l.screen.fd, unix.POLLOUT, rest) {
				return
			}
		}
		if l.ended || left <= 0 || time.Since(start) > p.total {
			return
		}
		n := l.readMaster()
		left -= n
		if n == 0 && !l.ended && !ready(l.source, unix.POLLIN, p.silence-time.Since(start)) {
			return
		}
	}
}

// A buffer is bytes on their way: full() is to be written, free() to be read
// into.
type buffer struct {
	b        []byte
	from, to int
}

func newBuffer(size int) buffer { return buffer{b: make([]byte, size)} }

func (b *buffer) empty() bool  { return b.from == b.to }
func (b *buffer) room() bool   { return b.to < len(b.b) }
func (b *buffer) full() []byte { return b.b[b.from:b.to] }
func (b *buffer) free() []byte { return b.b[b.to:] }
func (b *buffer) put(n int)    { b.to += n }
func (b *buffer) clear()       { b.from, b.to = 0, 0 }
func (b *buffer) drop(n int) {
	if b.from += n; b.from == b.to {
		b.clear()
	}
}

// retry repeats a call that a signal interrupted.
func retry[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

func read(fd int, b []byte) (int, error) {
	return retry(func() (int, error) { return unix.Read(fd, b) })
}

func write(fd int, b []byte) (int, error) {
	return retry(func() (int, error) { return unix.Write(fd, b) })
}

func setModes(fd int, t *unix.Termios) error {
	_, err := retry(func() (struct{}, error) { return struct{}{}, unix.IoctlSetTermios(fd, unix.TCSETS, t) })
	return err
}

// poll is poll(2) with a negative timeout for none. An interruption is a
// timeout that came early.
func poll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.Poll(fds, ms)
	if err == unix.EINTR {
		for i := range fds {
			fds[i].Revents = 0
		}
		return 0, nil
	}
	return n, err
}

// ready waits up to timeout for one of events, or for an error or hang-up,
// which the read or write that follows will find.
func ready(fd int, events int16, timeout time.Duration) bool {
	end := time.Now().Add(timeout)
	for {
		n, err := poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, max(0, time.Until(end)))
		if n > 0 || err != nil {
			return err == nil
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}

// gone says whether the terminal hung up. A read that fails cannot tell.
func gone(tty int) bool {
	p := []unix.PollFd{{Fd: int32(tty)}}
	n, err := retry(func() (int, error) { return unix.Poll(p, 0) })
	return err == nil && n > 0
}
