package tests

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The test binary is also what runs inside and beside the boxes: called as
// "BINARY payload:NAME ARG..." it is the program NAME below. In a box it is
// /tmp/self; see boxed.

func init() {
	if len(os.Args) < 2 {
		return
	}
	name, ok := strings.CutPrefix(os.Args[1], "payload:")
	if !ok {
		return
	}
	args := os.Args[2:]
	switch name {
	case "kills":
		os.Exit(kills(args))
	case "start-with":
		startWith(args)
	case "jobshell":
		jobShell(args)
	case "signals":
		recordSignals()
	case "stubborn":
		stubborn(args)
	case "orphans":
		orphans()
	case "size":
		reportSize()
	case "tiocsti":
		typeIntoTerminal()
	case "terminals":
		writeToTerminals()
	case "escape":
		escape(args)
	case "chroot-escape":
		chrootEscape()
	case "with-key":
		withKey(args)
	case "pry":
		pry(args)
	case "grab-exe":
		grabExe()
	case "entry32":
		entry32()
	}
	fmt.Fprintln(os.Stderr, "payload:"+name+" cannot go on")
	os.Exit(99)
}

// startWith changes what a process inherits, and executes a program:
// [job|foreground-job] [ignore=N,N...] [block=N,N...] -- PROGRAM ARG...
func startWith(args []string) {
	runtime.LockOSThread()
	if args[0] == "job" || args[0] == "foreground-job" {
		if err := unix.Setpgid(0, 0); err != nil {
			fail(err)
		}
		if args[0] == "foreground-job" {
			setForeground(unix.Getpid())
		}
		args = args[1:]
	}
	for len(args) > 0 && args[0] != "--" {
		what, list, _ := strings.Cut(args[0], "=")
		args = args[1:]
		var mask uint64
		for _, s := range strings.Split(list, ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				fail(err)
			}
			mask |= 1 << (n - 1)
			if what == "ignore" {
				// struct sigaction of the kernel: handler, flags, restorer, mask
				act := [4]uint64{1}
				if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); e != 0 {
					fail(e)
				}
			}
		}
		if what == "block" {
			if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0); e != 0 {
				fail(e)
			}
		}
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		fail(err)
	}
	fail(syscall.Exec(path, args[1:], os.Environ()))
}

// setForeground makes a process group the one that the terminal on descriptor
// 0 belongs to.
func setForeground(pgrp int) {
	var ttou, old unix.Sigset_t
	ttou.Val[0] = 1 << (unix.SIGTTOU - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &ttou, &old); err != nil {
		fail(err)
	}
	if err := unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, pgrp); err != nil {
		fail(err)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "payload: ", err)
	os.Exit(98)
}

// recordSignals prints the name of each signal that arrives, until its input
// ends.
func recordSignals() {
	c := make(chan os.Signal, 64)
	signal.Notify(c, passedSignals...)
	end := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		close(end)
	}()
	fmt.Println("ready")
	for {
		select {
		case s := <-c:
			fmt.Println(unix.SignalName(s.(unix.Signal)))
		case <-end:
			os.Exit(0)
		}
	}
}

var passedSignals = []os.Signal{
	unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGCONT,
}

// stubborn does what a program can to outlive those around it: it cuts
// whatever ties it to its parent, ignores every signal, and leaves children
// behind in sessions of their own. With the argument "setuid" it changes its
// ids as well. It prints "ready" when all of it is done.
func stubborn(args []string) {
	runtime.LockOSThread()
	uid := 0
	child := false
	for _, a := range args {
		switch a {
		case "setuid":
			uid = 1000
		case "child":
			child = true
		}
	}
	if uid != 0 && !child {
		if err := syscall.Setresgid(uid, uid, uid); err != nil {
			fail(err)
		}
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			fail(err)
		}
	}
	for n := 1; n <= 64; n++ {
		act := [4]uint64{1}
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
	}
	// It belongs to the thread that execve left, on which init functions run.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		fail(err)
	}
	if !child {
		syscall.Setsid() // refused to a group leader
		r, w, err := os.Pipe()
		if err != nil {
			fail(err)
		}
		for i := 0; i < 2; i++ {
			c := exec.Command(os.Args[0], "payload:stubborn", "child")
			c.Stdout, c.Stderr = w, os.Stderr
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := c.Start(); err != nil {
				fail(err)
			}
		}
		w.Close()
		b := bufio.NewReader(r)
		for i := 0; i < 2; i++ {
			if _, err := b.ReadString('\n'); err != nil {
				fail(err)
			}
		}
	}
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}

// orphans leaves three hundred processes to pid 1, and prints how many
// processes there are once no more than two are left, or ten seconds later.
func orphans() {
	for i := 0; i < 10; i++ {
		c := exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 30 ]; do (:&); i=$((i+1)); done")
		if err := c.Run(); err != nil {
			fail(err)
		}
	}
	n := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		pids, _ := filepath.Glob("/proc/[0-9]*")
		if n = len(pids); n <= 2 {
			break
		}
	}
	fmt.Println(n)
	os.Exit(0)
}

// reportSize prints the terminal's size, and again at each SIGWINCH, until a
// line is typed.
func reportSize() {
	c := make(chan os.Signal, 8)
	signal.Notify(c, unix.SIGWINCH)
	end := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		close(end)
	}()
	for {
		ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			fail(err)
		}
		fmt.Printf("size %d %d.\n", ws.Row, ws.Col)
		select {
		case <-c:
		case <-end:
			os.Exit(0)
		}
	}
}

// typeIntoTerminal tries to have "INJECTED" typed on every terminal it can
// lay hands on.
func typeIntoTerminal() {
	fds := []int{0, 1, 2, 3, 9, 10}
	for _, name := range []string{"/dev/tty", "/dev/console", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2"} {
		for _, how := range []int{unix.O_RDWR, unix.O_RDONLY, unix.O_WRONLY} {
			if fd, err := unix.Open(name, how|unix.O_NONBLOCK, 0); err == nil {
				fds = append(fds, fd)
			}
		}
	}
	ways := []uintptr{unix.TIOCSTI, unix.TIOCSTI | 1<<32}
	for round := 0; round < 2; round++ {
		for _, fd := range fds {
			for _, c := range []byte("INJECTED\n") {
				for _, way := range ways {
					syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), way, uintptr(unsafe.Pointer(&c)))
				}
			}
			paste := [2]byte{3, 0} // TIOCL_PASTESEL
			syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCLINUX, uintptr(unsafe.Pointer(&paste)))
		}
		// Once more with each of them for the controlling terminal.
		syscall.Setsid()
		for _, fd := range fds {
			syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSCTTY, 1)
		}
	}
	os.WriteFile("tried", nil, 0o644)
	os.Exit(0)
}

// writeToTerminals writes "INTRUDER" to every terminal device there is.
func writeToTerminals() {
	var names []string
	for _, glob := range []string{"/dev/pts/*", "/dev/tty*", "/dev/console", "/dev/vcs*"} {
		m, _ := filepath.Glob(glob)
		names = append(names, m...)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "ptmx") {
			continue
		}
		if fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
			unix.Write(fd, []byte("INTRUDER"))
			unix.Close(fd)
		}
	}
	fmt.Println("terminals:", strings.Join(names, " "))
	os.Exit(0)
}

// jobShell is the least of a shell with job control, and unlike the real ones
// never touches the terminal's modes. It takes one line at a time:
//
//	run      start ARG... as a job in the foreground
//	start    the same in the background
//	fg, bg   go on with it
//	kill     SIGKILL to it
//	wait     wait for it in the background
//	exit
func jobShell(args []string) {
	runtime.LockOSThread()
	in := bufio.NewReader(os.Stdin)
	var job *os.Process
	say := func(format string, a ...any) { fmt.Printf("[shell] "+format+"\n", a...) }
	wait := func() {
		var ws unix.WaitStatus
		for {
			if _, err := unix.Wait4(job.Pid, &ws, unix.WUNTRACED, nil); err != unix.EINTR {
				break
			}
		}
		setForeground(unix.Getpgrp())
		switch {
		case ws.Stopped():
			say("stopped by %s", unix.SignalName(ws.StopSignal()))
		case ws.Signaled():
			say("killed by %s", unix.SignalName(ws.Signal()))
		default:
			say("exit %d", ws.ExitStatus())
		}
	}
	say("prompt")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			os.Exit(0)
		}
		switch line = strings.TrimSpace(line); line {
		case "run", "start":
			how := "job"
			if line == "run" {
				how = "foreground-job"
			}
			argv := append([]string{os.Args[0], "payload:start-with", how, "--"}, args...)
			job, err = os.StartProcess(argv[0], argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
			if err != nil {
				fail(err)
			}
			if line == "run" {
				wait()
			} else {
				say("pid %d", job.Pid)
			}
		case "fg":
			setForeground(job.Pid)
			unix.Kill(-job.Pid, unix.SIGCONT)
			wait()
		case "bg":
			unix.Kill(-job.Pid, unix.SIGCONT)
			say("gone on")
		case "kill":
			unix.Kill(job.Pid, unix.SIGKILL)
			say("killed")
		case "wait":
			wait()
		case "exit":
			os.Exit(0)
		default:
			say("typed %q", line)
		}
	}
}
