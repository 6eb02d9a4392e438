package host

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What a path is, or is not, is one thing; that nobody can say is another.
func TestAnErrorOfTheFileSystemIsNotNothing(t *testing.T) {
	for _, err := range []error{nil, unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG, unix.ENOTCONN, ErrLeaves} {
		var f Facts
		if f.unseen("/x", err); f.Unseen != (Unseen{}) {
			t.Errorf("%v: %+v", err, f.Unseen)
		}
	}
	for _, err := range []error{unix.EIO, unix.ENOMEM, unix.ESTALE, unix.EMFILE} {
		var f Facts
		f.unseen("/first", err)
		f.unseen("/second", unix.EIO)
		if f.Unseen != (Unseen{"/first", err}) {
			t.Errorf("%v: %+v", err, f.Unseen)
		}
	}
	w := globber{}
	w.fail(unix.EACCES, "/closed")
	w.fail(unix.EIO, "/broken")
	w.fail(unix.EACCES, "/another")
	if w.fact.Err != unix.EIO || w.fact.At != "/broken" {
		t.Errorf("of a pattern's errors %v at %s is kept", w.fact.Err, w.fact.At)
	}
}

// Descriptors run out while nobox looks: the first thing that needs one is named.
func TestAMachineThatCannotBeLookedAtIsSaid(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	f := Probe(Questions{Places: []Place{{Base: "/", Path: "/"}}})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if f.Unseen.Err != unix.EMFILE {
		t.Errorf("%+v", f.Unseen)
	}
}
