package terminal

import (
	"encoding/binary"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Share is what stands in the place of a Relay where a box was detached: it
// keeps what the box writes, and shows what it writes to its pty to whoever
// attaches. One thread does all of it.
//
//	clients ◄─ their sockets ◄─┬─ Share ◄─ master ═ peer, or a pipe ◄─ the command
//	log     ◄──────────────────┘
//	clients ─────────── Input, which they are handed ──────► the command
//
// A client says one thing on its socket, where it comes from, by a descriptor. It
// is handed another one, to which it writes what is typed, and by which it tells
// the terminal's size. So a client that is killed, or stopped, leaves nothing
// half done.
type Share struct {
	Master int          // the box's pty, which is the Share's from Start on; -1 without one
	Output int          // without one, the pipe that it writes to, the Share's as well
	Input  int          // what is handed to clients: the master, or a pipe; -1 for nothing
	Listen int          // a listening socket of stream type, non-blocking
	Keep   func([]byte) // puts what was written into the log

	// May says whether the process at the other end of a socket may attach, which
	// has sent the descriptor from, or none, -1.
	May func(socket, from int) bool

	wake int
	gone chan struct{}
}

const (
	// What may be on its way to a client: a box that writes more waits for it.
	clientQueue = 256 << 10
	mostClients = 64
	// Who has not said where it comes from is not one yet.
	mostStrangers = 8
	// How long a client may take nothing while the box waits for it.
	clientStall = 10 * time.Second
	// And once the box has ended.
	clientDrain = 2 * time.Second
)

type client struct {
	fd       int
	stranger bool // it has not said where it comes from
	queue    []byte
	since    time.Time // when it took something, or had room; when a stranger came
}

// Start starts the thread.
func (s *Share) Start() error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(s.source(), true); err != nil {
		unix.Close(wake)
		return err
	}
	s.wake, s.gone = wake, make(chan struct{})
	go s.thread()
	return nil
}

// Close is for when the box has ended: what it wrote goes to the log, and to the
// clients, and then their sockets end.
func (s *Share) Close() {
	unix.Write(s.wake, binary.NativeEndian.AppendUint64(nil, 1))
	<-s.gone
	unix.Close(s.wake)
}

// source is where what the box writes is read.
func (s *Share) source() int {
	if s.Master >= 0 {
		return s.Master
	}
	return s.Output
}

func (s *Share) thread() {
	runtime.LockOSThread()
	defer close(s.gone)
	var clients []*client
	buf := make([]byte, outputSize)
	source, output := s.source(), true
	take := func() bool { // false at the end of what the box writes
		n, err := read(source, buf)
		if n <= 0 {
			return err == unix.EAGAIN
		}
		s.Keep(buf[:n])
		if s.Master < 0 {
			return true // who attaches follows the log
		}
		for _, c := range clients {
			c.give(buf[:n])
		}
		return true
	}
	for {
		full, now := false, time.Now()
		kept, strangers := clients[:0], 0
		for _, c := range clients {
			if len(c.queue) < clientQueue && !c.stranger {
				c.since = now
			}
			if c.fd >= 0 && now.Sub(c.since) > clientStall {
				c.end()
			}
			if c.fd >= 0 {
				kept = append(kept, c)
				full = full || len(c.queue) >= clientQueue
				if c.stranger {
					strangers++
				}
			}
		}
		clients = kept
		if strangers > mostStrangers { // for the one that came last to be heard
			i := slices.IndexFunc(clients, func(c *client) bool { return c.stranger })
			clients[i].end()
			clients = slices.Delete(clients, i, i+1)
			strangers--
		}
		const wake, listen, written, first = 0, 1, 2, 3
		fds := []unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}, {Fd: -1}, {Fd: -1}}
		if len(clients) < mostClients {
			fds[listen] = unix.PollFd{Fd: int32(s.Listen), Events: unix.POLLIN}
		}
		if output && !full {
			fds[written] = unix.PollFd{Fd: int32(source), Events: unix.POLLIN}
		}
		for _, c := range clients {
			p := unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN}
			if len(c.queue) > 0 {
				p.Events |= unix.POLLOUT
			}
			fds = append(fds, p)
		}
		patience := time.Duration(-1)
		if full || strangers > 0 {
			patience = time.Second
		}
		if _, err := poll(fds, patience); err != nil {
			break
		}
		if fds[wake].Revents != 0 {
			break
		}
		for i, c := range clients {
			if ev := fds[first+i].Revents; c.stranger && ev != 0 {
				s.greet(c)
			} else if ev&^unix.POLLOUT != 0 {
				c.end() // it says nothing more while it is there
			} else if ev != 0 {
				c.flush()
			}
		}
		if fds[listen].Revents != 0 {
			if c := s.accept(); c != nil {
				clients = append(clients, c)
			}
		}
		if fds[written].Revents != 0 {
			output = take()
		}
	}
	settle := time.Duration(0) // a pipe holds what was written, a pty may pass it on later
	if s.Master >= 0 {
		settle = settleLimit
	}
	for left := drainLimit; output && left > 0 && take() && ready(source, unix.POLLIN, settle); left -= len(buf) {
	}
	end := time.Now().Add(clientDrain)
	for _, c := range clients {
		for c.fd >= 0 && len(c.queue) > 0 && ready(c.fd, unix.POLLOUT, time.Until(end)) {
			c.flush()
		}
		c.end()
	}
	unix.Close(source)
}

// accept takes one client, which is to say where it comes from; nil if it is gone.
func (s *Share) accept() *client {
	fd, _, err := unix.Accept4(s.Listen, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return nil
	}
	return &client{fd: fd, stranger: true, since: time.Now()}
}

// greet hears where a client comes from, and hands it what it is to have, or ends
// it if it may not.
func (s *Share) greet(c *client) {
	var b [16]byte
	oob := make([]byte, unix.CmsgSpace(4))
	from := -1
	n, err := retry(func() (int, error) {
		n, m, _, _, err := unix.Recvmsg(c.fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		oob = oob[:max(m, 0)]
		return n, err
	})
	if err == unix.EAGAIN {
		return
	}
	if err == nil && n > 0 {
		from = sent(oob)
	}
	kind, rights := ShareLog, []byte(nil)
	if s.Master >= 0 {
		kind = SharePTY
	}
	if s.Input >= 0 {
		rights = unix.UnixRights(s.Input)
	}
	if from < 0 || !s.May(c.fd, from) || unix.Sendmsg(c.fd, []byte{kind}, rights, nil, unix.MSG_NOSIGNAL) != nil {
		c.end()
	}
	if from >= 0 {
		unix.Close(from)
	}
	c.stranger, c.since = false, time.Now()
}

// sent is the descriptor that came with a message, -1 if none did.
func sent(oob []byte) int {
	if cs, err := unix.ParseSocketControlMessage(oob); err == nil && len(cs) == 1 {
		if fds, err := unix.ParseUnixRights(&cs[0]); err == nil && len(fds) == 1 {
			return fds[0]
		}
	}
	return -1
}

func (c *client) give(b []byte) {
	if c.fd < 0 || c.stranger {
		return
	}
	c.queue = append(c.queue, b...)
	c.flush()
}

// flush writes what the socket takes.
func (c *client) flush() {
	for c.fd >= 0 && len(c.queue) > 0 {
		n, err := retry(func() (int, error) { return unix.SendmsgN(c.fd, c.queue, nil, nil, unix.MSG_NOSIGNAL) })
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			c.end()
			return
		}
		c.since = time.Now()
		if c.queue = c.queue[n:]; len(c.queue) == 0 {
			c.queue = nil
		}
	}
}

func (c *client) end() {
	if c.fd >= 0 {
		unix.Close(c.fd)
	}
	c.fd, c.queue = -1, nil
}

// What the first byte says that a client gets.
const (
	SharePTY byte = 'p' // the box has a pty: its master comes along, and output follows
	ShareLog byte = 'l' // it has none: its log is followed
)

// Attach takes what a Share hands to a client of the socket.
func Attach(socket int) (kind byte, input int, err error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	n, err := retry(func() (int, error) {
		n, m, _, _, err := unix.Recvmsg(socket, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		oob = oob[:max(m, 0)]
		return n, err
	})
	if err != nil {
		return 0, -1, err
	}
	if n == 0 {
		return 0, -1, unix.ECONNREFUSED
	}
	return b[0], sent(oob), nil
}

// Apart are the streams of a box whose terminal nobody looks at yet.
func Apart() Streams {
	var t unix.Termios
	t.Cflag = unix.B38400 | unix.CS8 | unix.CREAD | unix.HUPCL // tty_std_termios of the kernel's tty_io.c
	t.Ispeed, t.Ospeed = 38400, 38400
	t.Iflag = unix.IUTF8
	return Streams{TTY: [3]bool{true, true, true}, FD: -1, Size: unix.Winsize{Row: 24, Col: 80}, Termios: sane(t)}
}
