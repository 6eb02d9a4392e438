package sandbox

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"nobox/caller"
	"nobox/host"
	"nobox/plan"
	"nobox/signals"
)

// EnterNetwork has nobox enter the network namespace that o names, if it names
// one, so that the box shares it with nobox as it would the host's. One that
// belongs to another user namespace takes entering that first, which a process
// of several threads cannot: nobox runs itself once more, with the same
// arguments and the descriptors keep, and is there before its runtime starts.
// The box is made below that user namespace then, with what ids that has.
//
// Preconditions: it is called on the main thread; nothing is started.
func EnterNetwork(o Options, args []string, keep []int) error {
	if o.Net != NetNS {
		return nil
	}
	cannot := func(cause error, hints ...string) error {
		return &Error{What: "join the network namespace " + plan.Quote(o.NetNS), Flag: o.NetFrom, Cause: cause, Hints: hints}
	}
	const ownHint = "one of the caller's own is that of another box or of `unshare -Urn`: /proc/PID/ns/net"
	if asked, user, net := caller.Joined(); asked {
		u, n, _ := caller.JoinedBy(os.Args[0])
		os.WriteFile("/proc/self/comm", []byte("nobox"), 0) // not the exe of /proc/self/exe
		if u > 0 {
			unix.Close(u)
		}
		unix.Close(n)
		switch {
		case user != 0:
			return cannot(&joinError{"its user namespace cannot be entered", syscall.Errno(user)}, ownHint)
		case net != 0:
			return cannot(&joinError{"it cannot be entered", syscall.Errno(net)}, ownHint)
		case !host.Mapped():
			return cannot(errors.New("the user namespace that it belongs to has no ids: its uid_map is empty"), "unshare -Urn maps this user in it, unshare -Un does not")
		}
		if host.NoUserns() {
			return cannot(errors.New("no user namespace can be made below the one that it belongs to"), "a box lets none be made in it unless it was started with --allow-userns")
		}
		return nil
	}
	n, err := host.NetworkAt(o.NetNS)
	if err != nil {
		return cannot(err, ownHint)
	}
	if n.Own {
		unix.Close(n.FD)
		return nil
	}
	if n.Owner < 0 {
		err := unix.Setns(n.FD, unix.CLONE_NEWNET)
		unix.Close(n.FD)
		if err == unix.EPERM {
			return cannot(errors.New("it belongs to this user namespace, and this user has no CAP_SYS_ADMIN here"), ownHint)
		}
		if err != nil {
			return cannot(err)
		}
		return nil
	}
	name := caller.JoiningName(n.Owner, n.FD)
	switch {
	case !caller.Complete():
		return cannot(errors.New("this nobox was built without its entry point, which make adds"))
	case name == "":
		return cannot(errors.New("no descriptor below 79 is free"))
	}
	for _, fd := range append(keep, n.Owner, n.FD) {
		unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	return cannot(again("/proc/self/exe", append([]string{name}, args...)))
}

type joinError struct {
	what string
	err  error
}

func (e *joinError) Error() string { return e.what + ": " + e.err.Error() }
func (e *joinError) Unwrap() error { return e.err }

// CheckPrivileges refuses to run with more rights than the caller's: whatever nobox
// opens and makes by a path of his it does with his own.
func CheckPrivileges() error {
	if !host.Privileged() {
		return nil
	}
	return &Error{What: "run with the rights of another user", Cause: errors.New("nobox's file has a set-user-ID or set-group-ID bit, or capabilities"),
		Hints: []string{"nobox needs none: take them away (chmod ug-s FILE, setcap -r FILE); nobox doctor says what a box lacks"}}
}

// CheckOwnFile refuses to be run in a box by the file of the nobox outside.
func CheckOwnFile() error {
	if !host.Foreign() {
		return nil
	}
	return &Error{What: "start nobox by /proc/self/exe", Cause: errors.New("in a box that leads to a file outside of it, which what is started here could change"),
		Hints: []string{"the box's command, or the interpreter in its first line, is a link to /proc/self/exe: nothing that means well"}}
}

// fromMemory runs nobox in the place of this one from a sealed copy of its file,
// if it does not yet. A process that joins a box still has nobox's file as
// /proc/self/exe when it becomes the command, and a command that leads there is
// nobox once more: what ran in the box already could change the file by
// /proc/PID/exe (CVE-2019-5736). Where Landlock binds both they are in two domains,
// of which none may look into the other.
//
// Preconditions: nothing is started.
func fromMemory() error {
	if host.Sealed() {
		os.WriteFile("/proc/self/comm", []byte("nobox"), 0) // not the descriptor's number
		return nil
	}
	cannot := func(err error) error {
		e := &Error{What: "run a command in the box from a copy of nobox in memory, which this kernel needs", Cause: err}
		if v := host.Sysctl("vm/memfd_noexec"); errors.Is(err, unix.EACCES) && v != "" && v != "0" {
			e.Hints = []string{"sysctl vm.memfd_noexec is " + v + ": nothing may be run from memory"}
		}
		return e
	}
	fd, err := unix.MemfdCreate("nobox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("nobox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return cannot(err)
	}
	exe, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return cannot(err)
	}
	for {
		n, err := unix.Sendfile(fd, exe, nil, 1<<30)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return cannot(err)
		}
		if n == 0 {
			break
		}
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE); err != nil {
		return cannot(err)
	}
	return cannot(again("/proc/self/fd/"+strconv.Itoa(fd), os.Args))
}

// again runs a file of nobox in the place of this one, with what the caller handed
// over as it was. It returns if it cannot.
func again(file string, argv []string) error {
	ignored, blocked := caller.Ignored(), caller.Blocked()
	for sig := unix.Signal(1); sig <= 64; sig++ {
		if ignored&(1<<(sig-1)) != 0 {
			signals.Ignore(sig)
		}
	}
	set := unix.Sigset_t{}
	set.Val[0] = blocked
	unix.PthreadSigmask(unix.SIG_SETMASK, &set, nil)
	if slack := caller.TimerSlack(); slack != 0 {
		unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
	}
	soft, hard := caller.NoFile()
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: soft, Max: hard})
	return syscall.Exec(file, argv, host.Environ())
}
