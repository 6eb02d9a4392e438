package cgroups

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/host"
)

// This is as much of D-Bus as one method call and one signal take; the D-Bus
// Specification, "Message Protocol". docs/adr/0016 says why it is not a library.

// order is the byte order of the messages that nobox writes.
var order = binary.LittleEndian

const (
	methodCall = 1
	methodDone = 2
	methodFail = 3
	signalMade = 4

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8

	// mostBytes of a message that nobox reads: the specification allows 128 MiB.
	mostBytes = 1 << 20
)

// A writer marshals values. What it writes is aligned as if it began at a
// multiple of 8.
type writer struct{ b []byte }

func (w *writer) align(n int) {
	for len(w.b)%n != 0 {
		w.b = append(w.b, 0)
	}
}
func (w *writer) byte(v byte) { w.b = append(w.b, v) }
func (w *writer) uint32(v uint32) {
	w.align(4)
	w.b = order.AppendUint32(w.b, v)
}
func (w *writer) string(s string) {
	w.uint32(uint32(len(s)))
	w.b = append(append(w.b, s...), 0)
}
func (w *writer) signature(s string) {
	w.b = append(append(append(w.b, byte(len(s))), s...), 0)
}

// array writes an array whose elements are aligned to n.
func (w *writer) array(n int, elements func()) {
	w.uint32(0)
	at := len(w.b) - 4
	w.align(n)
	start := len(w.b)
	elements()
	order.PutUint32(w.b[at:], uint32(len(w.b)-start))
}

// field is one of a header's fields.
type field struct {
	code      byte
	signature string // o, s, g or u
	text      string
	number    uint32
}

// call is a method call as it goes over the wire.
func call(serial uint32, destination, path, iface, member, signature string, body []byte) []byte {
	w := &writer{}
	w.byte('l')
	w.byte(methodCall)
	w.byte(0) // no flags
	w.byte(1) // version of the protocol
	w.uint32(uint32(len(body)))
	w.uint32(serial)
	w.array(8, func() {
		for _, f := range []field{
			{fieldPath, "o", path, 0}, {fieldInterface, "s", iface, 0}, {fieldMember, "s", member, 0},
			{fieldDestination, "s", destination, 0}, {fieldSignature, "g", signature, 0},
		} {
			if f.text == "" {
				continue
			}
			w.align(8)
			w.byte(f.code)
			w.signature(f.signature)
			if f.signature == "g" {
				w.signature(f.text)
			} else {
				w.string(f.text)
			}
		}
	})
	w.align(8)
	return append(w.b, body...)
}

// errShort is a message that ends too soon, or one of a kind nobox cannot read.
var errShort = errors.New("it answered with something that is no D-Bus message")

// A reader unmarshals values; after the first that is not there, all are zero.
type reader struct {
	b     []byte
	at    int
	order binary.ByteOrder
	err   error
}

func (r *reader) take(n, align int) []byte {
	r.at = (r.at + align - 1) / align * align
	if r.err != nil || n < 0 || r.at+n > len(r.b) || r.at+n < r.at {
		r.err = errShort
		return nil
	}
	v := r.b[r.at : r.at+n]
	r.at += n
	return v
}
func (r *reader) byte() byte {
	if v := r.take(1, 1); v != nil {
		return v[0]
	}
	return 0
}
func (r *reader) uint32() uint32 {
	if v := r.take(4, 4); v != nil {
		return r.order.Uint32(v)
	}
	return 0
}
func (r *reader) string() string {
	n := r.uint32()
	if n > mostBytes {
		r.err = errShort
		return ""
	}
	v := r.take(int(n)+1, 1)
	if v == nil {
		return ""
	}
	return string(v[:n])
}
func (r *reader) signature() string {
	n := int(r.byte())
	v := r.take(n+1, 1)
	if v == nil {
		return ""
	}
	return string(v[:n])
}

// A message is what nobox needs of one.
type message struct {
	kind                      byte
	path, iface, member, fail string
	reply                     uint32
	signature                 string
	body                      reader
}

// parse takes the first message from b. It returns how long it is, 0 if it is
// not all there yet.
func parse(b []byte) (m message, n int, err error) {
	if len(b) < 16 {
		return m, 0, nil
	}
	r := &reader{b: b, order: binary.LittleEndian}
	switch r.byte() {
	case 'l':
	case 'B':
		r.order = binary.BigEndian
	default:
		return m, 0, errShort
	}
	m.kind = r.byte()
	r.byte()
	if r.byte() != 1 {
		return m, 0, errShort
	}
	body := r.uint32()
	r.uint32()
	fields := r.uint32()
	if body > mostBytes || fields > mostBytes {
		return m, 0, errShort
	}
	start := (16 + int(fields) + 7) / 8 * 8
	n = start + int(body)
	if len(b) < n {
		return m, 0, nil
	}
	h := &reader{b: b[:16+fields], at: 16, order: r.order}
	for h.at = 16; h.at < len(h.b) && h.err == nil; {
		h.take(0, 8)
		if h.at >= len(h.b) {
			break
		}
		code := h.byte()
		text, number := "", uint32(0)
		switch h.signature() {
		case "o", "s":
			text = h.string()
		case "g":
			text = h.signature()
		case "u":
			number = h.uint32()
		default:
			return m, 0, errShort
		}
		switch code {
		case fieldPath:
			m.path = text
		case fieldInterface:
			m.iface = text
		case fieldMember:
			m.member = text
		case fieldErrorName:
			m.fail = text
		case fieldReplySerial:
			m.reply = number
		case fieldSignature:
			m.signature = text
		}
	}
	if h.err != nil {
		return m, 0, errShort
	}
	// The body is aligned by itself.
	m.body = reader{b: b[start:n], order: r.order}
	return m, n, nil
}

// sockaddr reads an address as D-Bus writes it: of several the first that is a
// local socket; "Server Addresses".
func sockaddr(address string) (*unix.SockaddrUnix, error) {
	for a := range strings.SplitSeq(address, ";") {
		transport, rest, _ := strings.Cut(a, ":")
		if transport != "unix" {
			continue
		}
		for kv := range strings.SplitSeq(rest, ",") {
			key, v, _ := strings.Cut(kv, "=")
			v, err := unescape(v)
			switch {
			case err != nil || v == "" || len(v) > 106: // sun_path, with its NUL; unix(7)
			case key == "path":
				return &unix.SockaddrUnix{Name: v}, nil
			case key == "abstract":
				return &unix.SockaddrUnix{Name: "@" + v}, nil
			}
		}
	}
	return nil, errors.New("its address is none of a local socket")
}

// unescape takes back D-Bus's %XX.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errShort
		}
		b, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", err
		}
		out = append(out, b[0])
		i += 2
	}
	return string(out), nil
}

// A conn is a connection to systemd or to a bus. Nothing on it waits longer
// than its deadline, which is put off while the other side is at work.
type conn struct {
	fd       int
	deadline time.Time
	in       []byte
	let      bool // in, by the other side

	serial      uint32   // of the last call
	unit        string   // the scope that was asked for last, "" if none was
	controllers []string // and what it was to have

	// How long the other side has run, by its own process, looked at once it has
	// been silent for a while. One that is busy gets more time, for two dozen
	// boxes may start at once; one that sleeps and says nothing hangs.
	looked bool
	peer   int
	ran    string
	limit  time.Time
}

// lookAfter is how long the other side is silent before nobox looks whether it
// runs: a start that is not held up does not pay for that.
const lookAfter = 100 * time.Millisecond

// busyPatience is how long a systemd may be busy with others.
const busyPatience = 90 * time.Second

// look notes how long the other side has run.
func (c *conn) look() {
	c.looked = true
	if cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil && int(cred.Pid) != os.Getpid() {
		c.peer = int(cred.Pid)
		c.ran = ranFor(c.peer)
	}
}

// moreTime says whether the other side ran since this was asked last, and then
// puts the deadline off.
func (c *conn) moreTime() bool {
	if c.peer <= 0 || !time.Now().Before(c.limit) {
		return false
	}
	now := ranFor(c.peer)
	if now == "" || now == c.ran {
		return false
	}
	c.ran, c.deadline = now, time.Now().Add(scopePatience)
	return true
}

// ranFor is a process's state and CPU time, as /proc/PID/stat writes them, "" if
// it does not run: of one that waits for a CPU that it has more to do is certain.
func ranFor(pid int) string {
	b, _ := host.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	i := strings.LastIndexByte(string(b), ')')
	if i < 0 {
		return ""
	}
	f := strings.Fields(string(b)[i+1:])
	if len(f) < 13 || f[0] == "T" || f[0] == "Z" {
		return ""
	}
	ran := f[11] + " " + f[12]
	if f[0] == "R" {
		ran += " " + strconv.FormatInt(time.Now().UnixNano(), 10)
	}
	return ran
}

// errSilent is a bus that did not answer.
var errSilent = errors.New("no answer in time")

// dial connects and introduces nobox; what the other side says to that comes
// first of all it says. "Authentication Protocol"; the kernel tells it who nobox is.
func dial(address string, deadline time.Time) (*conn, error) {
	to, err := sockaddr(address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, deadline: deadline, limit: time.Now().Add(busyPatience)}
	for {
		err = unix.Connect(fd, to)
		// A full backlog: connect(2) has it that a local socket which does not
		// block says EAGAIN, and there is nothing to wait on.
		if err != unix.EAGAIN && err != unix.EINTR || !time.Now().Before(deadline) {
			break
		}
		unix.Nanosleep(&unix.Timespec{Nsec: int64(time.Millisecond)}, nil)
	}
	if err == unix.EAGAIN {
		err = errSilent
	}
	if err == nil {
		uid := hex.EncodeToString(strconv.AppendInt(nil, int64(unix.Getuid()), 10))
		err = c.write([]byte("\x00AUTH EXTERNAL " + uid + "\r\nBEGIN\r\n"))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// say says something. Before anything else is heard comes whether the other side
// lets nobox in.
func (c *conn) say(b []byte) error {
	if err := c.write(b); err != nil || c.let {
		return err
	}
	c.let = true
	return c.authenticated()
}

func (c *conn) authenticated() error {
	for {
		if line, rest, ok := strings.Cut(string(c.in), "\r\n"); ok {
			c.in = []byte(rest)
			if !strings.HasPrefix(line, "OK ") {
				return errors.New("it does not accept this user")
			}
			return nil
		}
		if len(c.in) > 4096 {
			return errShort
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// wait waits until the socket is ready, or the deadline.
func (c *conn) wait(events int16) error {
	for {
		left := time.Until(c.deadline)
		if left <= 0 {
			if c.moreTime() {
				continue
			}
			return errSilent
		}
		if !c.looked {
			left = min(left, lookAfter)
		}
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: events}}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n > 0:
			return nil
		case !c.looked:
			c.look()
		}
	}
}

func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if err := c.wait(unix.POLLOUT); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

func (c *conn) fill() error {
	var buf [4096]byte
	for {
		n, err := unix.Read(c.fd, buf[:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := c.wait(unix.POLLIN); err != nil {
				return err
			}
		case err != nil:
			return err
		case n == 0:
			return errors.New("it closed the connection")
		default:
			c.in = append(c.in, buf[:n]...)
			return nil
		}
	}
}

// next is the next message.
func (c *conn) next() (message, error) {
	for {
		m, n, err := parse(c.in)
		if err != nil {
			return m, err
		}
		if n > 0 {
			c.in = c.in[n:]
			return m, nil
		}
		if err := c.fill(); err != nil {
			return message{}, err
		}
	}
}

// A remoteError is what the other side says went wrong.
type remoteError struct{ name, text string }

func (e *remoteError) Error() string {
	if e.text != "" {
		return e.text
	}
	return e.name
}

// failure is the error that a message is, nil if it is none.
func (m *message) failure() error {
	if m.kind != methodFail {
		return nil
	}
	e := &remoteError{name: m.fail}
	if strings.HasPrefix(m.signature, "s") {
		e.text = strings.TrimSpace(m.body.string())
	}
	return e
}
