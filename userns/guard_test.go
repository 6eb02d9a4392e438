package userns

import (
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guarded is the argument of the process that a test runs to end it.
const guarded = "guarded"

// TestAGuardSpeaksWhenNoboxHasEnded runs itself as the process that is killed.
func TestAGuardSpeaksWhenNoboxHasEnded(t *testing.T) {
	if flag.Arg(0) == guarded {
		if _, err := Guard(3, []byte("gone")); err != nil {
			t.Fatal(err)
		}
		unix.Write(3, []byte("here"))
		time.Sleep(time.Hour)
	}
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	end := os.NewFile(uintptr(s[1]), "")
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", guarded)
	c.ExtraFiles = []*os.File{end}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end.Close()
	expect := func(want string) {
		t.Helper()
		var b [16]byte
		if n, err := unix.Read(s[0], b[:]); string(b[:max(n, 0)]) != want {
			t.Errorf("%q, %v, want %q", b[:max(n, 0)], err, want)
		}
	}
	expect("here")
	c.Process.Kill()
	c.Wait()
	expect("gone")
	expect("") // nobody has the other end any more
	unix.Close(s[0])
}

func TestAGuardThatIsReleasedSaysNothing(t *testing.T) {
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s[0])
	release, err := Guard(s[1], []byte("gone"))
	if err != nil {
		t.Fatal(err)
	}
	release()
	unix.Close(s[1])
	var b [16]byte
	if n, err := unix.Read(s[0], b[:]); n != 0 || err != nil {
		t.Errorf("%q, %v", b[:max(n, 0)], err)
	}
}
