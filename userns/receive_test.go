package userns

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatTheInsideSaidLastIsHeardThoughItLeftSomethingUnread(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := &Box{control: fds[0]}
	defer unix.Close(fds[0])
	if _, err := unix.Write(b.control, []byte("g")); err != nil {
		t.Fatal(err)
	}
	msg := make([]byte, sizeofMessage)
	binary.NativeEndian.PutUint32(msg, msgFailed)
	if _, err := unix.Write(fds[1], msg); err != nil {
		t.Fatal(err)
	}
	unix.Close(fds[1])
	m, fd, err := b.receive()
	if err != nil || m.kind != msgFailed || fd != -1 {
		t.Errorf("got %+v, descriptor %d, %v", m, fd, err)
	}
	if _, _, err := b.receive(); !errors.Is(err, errClosed) {
		t.Errorf("after the last: %v", err)
	}
}
