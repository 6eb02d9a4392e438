package boxes

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// LogKept is how many bytes of what a box wrote are kept at the least, and
	// with logSlack at the most: the directory is in memory, which it shares with
	// all that the user's session keeps there.
	LogKept  = 16 << 20
	logSlack = 1 << 20
)

// logFull is the last line of a log of which nothing can be let go.
const logFull = "\nnobox: the log is full: no more of it is kept\n"

// A Log keeps the end of what a box writes. An offset in its file is how much the
// box had written by then; of what is not kept there is a hole, which takes no
// room (fallocate(2), FALLOC_FL_PUNCH_HOLE), so that those who read it on go on
// where they were.
type Log struct {
	fd    int
	since int64 // bytes written since something was let go
	gone  int64 // where what is kept begins
	full  bool
}

// NewLog is the log in a file opened for appending.
func NewLog(fd int) *Log { return &Log{fd: fd} }

// Keep appends b; what there is no room for is lost.
func (l *Log) Keep(b []byte) {
	for len(b) > 0 && !l.full {
		n, err := unix.Write(l.fd, b[:min(len(b), logSlack)])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		b = b[n:]
		if l.since += int64(n); l.since >= logSlack {
			l.since = 0
			l.letGo()
		}
	}
}

func (l *Log) letGo() {
	var st unix.Stat_t
	if unix.Fstat(l.fd, &st) != nil {
		return
	}
	end := (st.Size - LogKept) &^ (1<<16 - 1) // in whole pages, as large as there are
	if end <= l.gone {
		return
	}
	if err := unix.Fallocate(l.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, l.gone, end-l.gone); err != nil {
		unix.Write(l.fd, []byte(logFull)) // a file system without holes
		l.full = true
		return
	}
	l.gone = end
}

// Log makes the file that takes what the box writes.
func (c *Claim) Log() (*os.File, error) {
	return os.OpenFile(c.dir+"/log", os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
}

// Log opens what a box wrote, at its beginning.
func (d Dir) Log(name string) (*LogReader, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name, "log"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &LogReader{f: f}, nil
}

// A LogReader reads a log while the box writes to it.
type LogReader struct {
	f  *os.File
	at int64
}

// Close closes the file.
func (r *LogReader) Close() error { return r.f.Close() }

// End goes to the end of what is there by now.
func (r *LogReader) End() (err error) {
	r.at, err = r.f.Seek(0, io.SeekEnd)
	return err
}

// Copy writes to w what is there and was not read yet. Before it passes over bytes
// that are not kept it calls lost with their number.
func (r *LogReader) Copy(w io.Writer, lost func(int64)) error {
	b := make([]byte, 1<<16)
	for {
		n, err := r.f.ReadAt(b, r.at)
		if n == 0 {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		// Looked for behind the read: what was there before it may have been let
		// go of meanwhile, and have been read as zeros.
		kept, err := r.f.Seek(r.at, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // removed, or shortened, by somebody else
			return nil
		case err == nil && kept > r.at:
			lost(kept - r.at)
			r.at = kept
			continue
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		r.at += int64(n)
	}
}
