package boxes

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newLog is a log in a directory, as a box has one.
func newLog(t *testing.T) (Dir, *Log) {
	t.Helper()
	d := Dir(t.TempDir())
	if err := os.Mkdir(filepath.Join(string(d), "web"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := (&Claim{dir: filepath.Join(string(d), "web")}).Log()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return d, NewLog(int(f.Fd()))
}

func lines(from, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%015d\n", from+i)
	}
	return b.Bytes()
}

// TestLogKeepsItsEnd writes four times what is kept: the file takes no more than
// it may, and who reads gets the end, and is told of all that is not there.
func TestLogKeepsItsEnd(t *testing.T) {
	d, l := newLog(t)
	const piece = 1 << 16 / 16
	total := 0
	for ; total*16 < 4*LogKept; total += piece {
		l.Keep(lines(total, piece))
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(string(d), "web", "log"), &st); err != nil {
		t.Fatal(err)
	}
	if room := st.Blocks * 512; room < LogKept || room > LogKept+2*logSlack {
		t.Errorf("the log takes %d bytes, which is not some %d", room, LogKept)
	}
	r, err := d.Log("web")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	gone := int64(0)
	if err := r.Copy(&got, func(n int64) { gone += n }); err != nil {
		t.Fatal(err)
	}
	if gone+int64(got.Len()) != int64(total)*16 {
		t.Errorf("%d bytes read and %d told lost, of %d", got.Len(), gone, total*16)
	}
	if want := lines(int(gone)/16, got.Len()/16); !bytes.Equal(got.Bytes(), want) || got.Len() < LogKept {
		t.Errorf("the last %d bytes are not what was written", got.Len())
	}
}

// TestLogIsReadWhileItIsWritten has a reader that is faster, and then slower, than
// what it reads.
func TestLogIsReadWhileItIsWritten(t *testing.T) {
	d, l := newLog(t)
	r, err := d.Log("web")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	none := func(n int64) { t.Errorf("%d bytes are told lost", n) }
	for i := range 3 {
		l.Keep(lines(i*10, 10))
		if err := r.Copy(&got, none); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got.Bytes(), lines(0, 30)) {
		t.Errorf("read %q", got.Bytes())
	}
	l.Keep(lines(30, 3*LogKept/16))
	got.Reset()
	gone := int64(0)
	if err := r.Copy(&got, func(n int64) { gone += n }); err != nil {
		t.Fatal(err)
	}
	if first := 30 + int(gone)/16; gone == 0 || !bytes.HasPrefix(got.Bytes(), lines(first, 1)) {
		t.Errorf("%d bytes are told lost, and then comes %q", gone, got.Bytes()[:16])
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	got.Reset()
	if l.Keep([]byte("last\n")); r.Copy(&got, none) != nil || got.String() != "last\n" {
		t.Errorf("after the end comes %q", got.String())
	}
}
