package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"nobox/boxes"
	"nobox/sandbox"
)

// execFlags are the flags of a run that nobox exec has too: those about the
// command, not about the box.
var execFlags = [...]string{"tty", "user", "workdir", "env", "env-file", "env-host", "ulimit", "timeout", "stop-timeout", "explain", "verbose"}

// parseBoxVerb reads what stands behind a verb about boxes that run.
func parseBoxVerb(v *verb, args []string) (*Invocation, error) {
	o := &Invocation{Verb: v.name, StopTime: -1}
	switch v.name {
	case "exec":
		return parseExec(v, args)
	case "port":
		return parsePort(v, args)
	}
	keys := DefaultDetachKeys
	for i := 0; i < len(args); i++ {
		a := args[i]
		value, given := "", false
		if name, rest, ok := strings.Cut(a, "="); ok && strings.HasPrefix(a, "--") {
			a, value, given = name, rest, true
		}
		switch {
		case a == "--json" && !given && (v.name == "ps" || v.name == "inspect"):
			o.JSON = true
		case (a == "--all" || a == "-a") && !given && v.name == "ps":
			o.All = true
		case (a == "--follow" || a == "-f") && !given && v.name == "logs":
			o.Follow = true
		case a == "--no-stdin" && v.name == "attach":
			if err := onOff(orTrue(value, given), &o.NoStdin); err != nil {
				return nil, verbUsage(v, a+"="+show(value)+": "+err.Error())
			}
		case a == "--sig-proxy" && v.name == "attach":
			pass := true
			if err := onOff(orTrue(value, given), &pass); err != nil {
				return nil, verbUsage(v, a+"="+show(value)+": "+err.Error())
			}
			o.NoSignals = !pass
		case a == "--detach-keys" && v.name == "attach":
			if !given {
				if i++; i >= len(args) {
					return nil, verbUsage(v, a+" needs keys, as ctrl-p,ctrl-q")
				}
				value = args[i]
			}
			keys = value
		case (a == "--time" || a == "-t") && v.name == "stop":
			if !given {
				if i++; i >= len(args) {
					return nil, verbUsage(v, a+" needs a number of seconds")
				}
				value = args[i]
			}
			d, err := duration(value)
			if err != nil {
				return nil, verbUsage(v, fmt.Sprintf("%s %s: %v", a, show(value), err))
			}
			o.StopTime = d
		case strings.HasPrefix(a, "-"):
			return nil, noVerbFlag(v, a)
		case v.name == "ps":
			return nil, verbUsage(v, "no name goes with it")
		default:
			if err := boxes.Valid(a); err != nil {
				return nil, verbUsage(v, show(a)+": "+err.Error())
			}
			o.Names = append(o.Names, a)
		}
	}
	if v.name != "ps" && len(o.Names) == 0 {
		return nil, verbUsage(v, "which box? nobox ps lists those that have a name")
	}
	if v.name == "attach" {
		if len(o.Names) > 1 {
			return nil, verbUsage(v, "one box at a time")
		}
		var err error
		if o.DetachKeys, err = sandbox.ParseKeys(keys); err != nil {
			return nil, verbUsage(v, "--detach-keys "+show(keys)+": "+err.Error())
		}
	}
	return o, nil
}

// parseExec reads FLAGS NAME -- COMMAND.
func parseExec(v *verb, args []string) (*Invocation, error) {
	o := &Invocation{Verb: v.name, parsing: parsing{readFile: (&envFiles{}).file}}
	o.Options.StopTimeout = DefaultStopTimeout
	fs := flagSet(args)
	err := fs.ParseAll(args, func(f *pflag.Flag, value string) error {
		s := f.Value.(*spelling)
		// Its stdin is always the caller's, as docker's is with -i.
		if !slices.Contains(execFlags[:], s.name) && s.name != "interactive" {
			return verbUsage(v, "it has no "+s.as()+": that is for the box, which runs already")
		}
		return o.setFlag(s, value)
	})
	if err != nil {
		return nil, translate(err)
	}
	rest := fs.Args()
	if len(rest) == 0 || fs.ArgsLenAtDash() == 0 {
		return nil, verbUsage(v, "in which box? nobox ps lists those that have a name")
	}
	if err := boxes.Valid(rest[0]); err != nil {
		return nil, verbUsage(v, show(rest[0])+": "+err.Error())
	}
	o.Names = rest[:1]
	if rest = rest[1:]; len(rest) > 0 {
		// pflag stops at the first word that is no flag, and keeps the "--".
		if rest[0] != "--" {
			line := ""
			if !strings.HasPrefix(rest[0], "-") {
				line = ": " + shellLine([]string{"nobox", "exec"}, args[:len(args)-fs.NArg()+1], []string{"--"}, rest)
			}
			return nil, verbUsage(v, `flags stand before the name, and a command behind "--"`+line)
		}
		o.Options.Command = rest[1:]
	}
	o.Options.Env = append(o.fileEnv, o.env...)
	o.parsing = parsing{}
	return o, nil
}

// DefaultDetachKeys are docker's and podman's.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// orTrue is the value of a switch.
func orTrue(value string, given bool) string {
	if !given {
		return "true"
	}
	return value
}

func noVerbFlag(v *verb, flag string) error {
	e := &UsageError{Text: fmt.Sprintf("cannot %s: it has no %s", v.name, show(flag)), Help: v.usage() + "  " + v.help}
	if o := among(otherVerbs[:], v.name+"/"+flag); o != nil {
		e.Hint = o.instead
	}
	return e
}

func verbUsage(v *verb, cause string) error {
	return &UsageError{Text: fmt.Sprintf("cannot %s: %s", v.name, cause), Help: v.usage() + "  " + v.help}
}

// state is where the boxes of the caller are.
func state() (boxes.Dir, uint32) {
	runtimeDir, uid, known := sandbox.Caller()
	return boxes.Of(runtimeDir, uid, known), uid
}

// boxVerb carries out a verb about boxes that run.
func boxVerb(inv *Invocation) int {
	switch inv.Verb {
	case "ps":
		return ps(inv)
	case "exec":
		return execIn(inv)
	case "port":
		return port(inv)
	case "attach":
		return attach(inv)
	}
	code := 0
	dir, uid := state()
	for _, name := range inv.Names {
		e, err := dir.Last(name, uid)
		if err == nil {
			switch inv.Verb {
			case "stop":
				err = stop(e, inv.StopTime)
			case "inspect":
				err = inspect(e)
			case "wait":
				code, err = waitFor(dir, uid, e)
			case "logs":
				err = logs(dir, e, inv.Follow)
			case "rm":
				err = dir.Remove(name)
			}
		}
		if errors.Is(err, boxes.ErrNone) && inv.Verb != "stop" {
			err = noBox{err}
		}
		if err != nil {
			what := inv.Verb
			if words := inOtherWords[what]; words != "" {
				what = words
			}
			SayError(os.Stderr, fmt.Errorf("cannot %s %s: %w", what, name, bare(err)), hintFor(err)...)
			code = ExitCannot
		}
	}
	return code
}

// noBox is boxes.ErrNone where one that has ended would do as well.
type noBox struct{ error }

func (noBox) Error() string   { return "there is no box of that name" }
func (e noBox) Unwrap() error { return e.error }

// inOtherWords is what verbs do that are none of English.
var inOtherWords = map[string]string{"logs": "show the output of", "rm": "forget", "wait": "wait for"}

// hintFor says where the names are, of a box that there is not.
func hintFor(err error) []string {
	if !errors.Is(err, boxes.ErrNone) {
		return nil
	}
	dir, uid := state()
	if all, err := dir.List(uid, true); err == nil && len(all) == 0 {
		return []string{"no box has a name here: --name and -d give it one"}
	}
	return []string{"nobox ps --all lists the boxes that have a name, ended ones too"}
}

// ps lists the boxes that run.
func ps(inv *Invocation) int {
	dir, uid := state()
	all, err := dir.List(uid, inv.All)
	if err != nil {
		SayError(os.Stderr, fmt.Errorf("cannot list the boxes: %w", bare(err)))
		return ExitCannot
	}
	if inv.JSON {
		if all == nil {
			all = []boxes.Entry{}
		}
		b, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			SayError(os.Stderr, err)
			return ExitCannot
		}
		return write(string(b) + "\n")
	}
	var b strings.Builder
	b.WriteString(fmt.Sprintf("%-20s %8s %10s  %s\n", "NAME", "PID", "SINCE", "COMMAND"))
	for _, e := range all {
		var words []string
		for _, w := range e.Command {
			words = append(words, string(w))
		}
		pid := strconv.Itoa(e.Init.PID)
		switch {
		case e.Ended == nil:
		case e.Ended.Code < 0:
			pid = "killed"
		default:
			pid = "exit " + strconv.Itoa(e.Ended.Code)
		}
		b.WriteString(fmt.Sprintf("%-20s %8s %10s  %s\n", e.Name, pid, ago(time.Since(e.Since)), shellLine(words)))
	}
	return write(b.String())
}

// ago is a duration in its largest unit.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	case d >= 2*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d >= 2*time.Minute:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(max(d, 0)/time.Second)) + " s"
}

// inspect prints all there is to know of a box.
func inspect(e boxes.Entry) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(b, '\n'))
	return err
}

// waitFor waits until the box ended, and returns the code of its command, where
// that is kept.
func waitFor(dir boxes.Dir, uid uint32, e boxes.Entry) (int, error) {
	if fd, err := e.Nobox.Open(); err == nil && e.Ended == nil {
		err := until(fd, -1)
		unix.Close(fd)
		if err != nil {
			return ExitCannot, err
		}
	}
	last, err := dir.Last(e.Name, uid)
	switch {
	case err != nil || last.Nobox != e.Nobox || last.Ended == nil:
		return 0, nil // nothing is kept of it
	case last.Ended.Code < 0:
		return ExitCannot, errors.New("its nobox was killed, and its exit code with it")
	}
	return last.Ended.Code, nil
}

// logs prints what a detached box wrote, and with follow goes on until it ended.
func logs(dir boxes.Dir, e boxes.Entry, follow bool) error {
	if !e.Detached {
		return errors.New("it was not started with -d, and writes where that nobox does")
	}
	f, err := dir.Log(e.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	ended := -1
	if follow && e.Ended == nil {
		if ended, err = e.Nobox.Open(); err == nil {
			defer unix.Close(ended)
		}
	}
	for {
		over := ended < 0 || until(ended, 0) == nil
		if err := f.Copy(os.Stdout, lost); err != nil {
			return err
		}
		if over {
			return nil
		}
		until(ended, logPause)
	}
}

// lost says how much of a log is passed over.
func lost(n int64) {
	SayNote(os.Stderr, fmt.Sprintf("what it wrote here is not kept: %d bytes", n))
}

// logPause is how often a log is looked at: a file in memory, and inotify(7)
// would wake for each line.
const logPause = 100 * time.Millisecond

// until waits until a process ended; after limit, if that is not negative, the
// error is ETIMEDOUT.
func until(pidfd int, limit time.Duration) error {
	end := time.Now().Add(limit)
	for {
		ms := -1
		if limit >= 0 {
			ms = int(max(time.Until(end), 0).Milliseconds())
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, ms)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n > 0:
			return nil
		case limit >= 0 && !time.Now().Before(end):
			return unix.ETIMEDOUT
		}
	}
}

// killWait is how long a box may take to be gone after it was killed.
const killWait = 10 * time.Second

// stop asks the command to end, as TERM to its nobox does, which kills it after
// the box's own --stop-timeout; or after limit, if that is not negative.
func stop(e boxes.Entry, limit time.Duration) error {
	if e.Ended != nil {
		return boxes.ErrNone
	}
	nobox, err := e.Nobox.Open()
	if err != nil {
		return boxes.ErrNone
	}
	defer unix.Close(nobox)
	if limit != 0 {
		if err := unix.PidfdSendSignal(nobox, unix.SIGTERM, nil, 0); err != nil {
			return err
		}
		if err := until(nobox, limit); err != unix.ETIMEDOUT {
			return err
		}
	}
	// Its pid 1, so that the nobox that runs it sees the end, and says it.
	init, err := e.Init.Open()
	if err == nil {
		unix.PidfdSendSignal(init, unix.SIGKILL, nil, 0)
		unix.Close(init)
	}
	return until(nobox, killWait)
}

// execIn runs one more command in a box.
func execIn(inv *Invocation) int {
	name := inv.Names[0]
	dir, uid := state()
	e, err := dir.Find(name, uid)
	cannot := func(err error) int {
		SayError(os.Stderr, fmt.Errorf("cannot run a command in %s: %w", name, bare(err)), hintFor(err)...)
		return ExitCannot
	}
	if err != nil {
		return cannot(err)
	}
	var args []string
	for _, a := range e.Args {
		args = append(args, string(a))
	}
	// What was relative to the directory that the box was started in still is.
	gone := os.Chdir(string(e.Cwd)) != nil
	box, err := ParseAgain(args)
	if err != nil {
		return cannot(err)
	}
	if gone {
		box.Options.Cwd = sandbox.ShareHidden
	}
	if err := sandbox.MayJoin(box.Options); err != nil {
		sayFailure(sandbox.Diagnose(err, box.Options, nil))
		return ExitCannot
	}
	p, fd, err := e.Joinable()
	if err != nil {
		return cannot(err)
	}
	j := sandbox.Joined{Options: box.Options, PID: p.PID, FD: fd}
	if inv.Explain != "" {
		plan, f, err := sandbox.PrepareExec(j, inv.Options)
		if err != nil {
			sayFailure(sandbox.Diagnose(err, j.Options, f))
			return ExitCannot
		}
		return explained(inv.Explain, plan)
	}
	r, f, err := sandbox.Exec(j, inv.Options, sandbox.Hooks{Note: func(n string) { SayNote(os.Stderr, n) }})
	if err != nil {
		sayFailure(sandbox.Diagnose(err, j.Options, f))
		return exitCode(err)
	}
	return r.ExitCode()
}

// claim takes the name of a box that is to run, "" for none. The function
// returned is to be called with the exit code once the box has ended, and whether
// its command ran at all.
func claim(inv *Invocation, args []string, h *sandbox.Hooks) (func(code int, ran bool), error) {
	if inv.Name == "" {
		return func(int, bool) {}, nil
	}
	dir, uid := state()
	var c *boxes.Claim
	var err error
	if inv.Detached {
		os.WriteFile("/proc/self/comm", []byte("nobox"), 0) // not the exe of /proc/self/exe
		c, err = dir.Inherit(inv.Name, detachedLock)
		args = args[1:] // --detached
		if err == nil {
			h.Attach, err = attaching(inv, c)
		}
	} else {
		c, err = dir.Claim(inv.Name, uid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot name the box (--name %s): %w", inv.Name, bare(err))
	}
	e, err := entryOf(inv, args, c)
	if err != nil {
		return nil, err
	}
	own := func() {}
	if inv.Detached {
		if own, err = keepOutput(inv, h.Attach); err != nil {
			c.Release()
			return nil, fmt.Errorf("cannot keep what the box writes (-d): %w", err)
		}
	}
	h.PortsSocket, h.Named = c.ListenPorts, c.Dir()
	before := h.Started
	told := false
	tell := func() {
		unix.Write(detachedPipe, []byte{1})
		unix.Close(detachedPipe)
		told = true
	}
	h.Started = func(pid int, ns sandbox.Namespaces) {
		e.Nobox, _ = boxes.ProcessOf(os.Getpid())
		e.Init, _ = boxes.ProcessOf(pid)
		if err := c.Say(e); err != nil {
			SayNote(os.Stderr, fmt.Sprintf("nobox ps and exec do not know the box: %v", bare(err)))
		}
		if inv.Detached && e.Executed(executeWait) {
			tell()
		}
		if before != nil {
			before(pid, ns)
		}
	}
	return func(code int, ran bool) {
		own()
		if !inv.Detached || !ran && !told {
			c.Release()
			return
		}
		c.End(e, code)
		if !told { // it ended too soon to be seen
			tell()
		}
	}, nil
}

// executeWait is how long who asked for a detached box waits to hear whether its
// command could be run.
const executeWait = 10 * time.Second

// entryOf is what is known of a box before it runs, for which there is room.
func entryOf(inv *Invocation, args []string, c *boxes.Claim) (boxes.Entry, error) {
	cwd, _ := os.Getwd()
	e := boxes.Entry{Name: inv.Name, Reaper: !inv.Options.AsPid1, Nested: sandbox.Nested(inv.Options), Since: time.Now(), Args: texts(args), Command: texts(inv.Options.Command), Cwd: boxes.Text(cwd), Detached: inv.Detached}
	if err := c.Reserve(e); err != nil {
		c.Release()
		return e, fmt.Errorf("cannot keep what is to be known of the box (--name %s): %w", inv.Name, bare(err))
	}
	return e, nil
}

// A nobox that runs a detached box has descriptors of the one that started it: a
// pipe, to which it writes a byte when the box runs, the name's lock, and the
// caller's user namespace, which it leaves to join a network of another.
const detachedPipe, detachedLock, detachedNamespace = 3, 4, 5

// With -i but no terminal it has as well the other end of the command's stdin.
const detachedInput = 6

// attaching is what a detached box has for those who attach to it.
func attaching(inv *Invocation, c *boxes.Claim) (*sandbox.Attaching, error) {
	a := &sandbox.Attaching{Input: -1, May: boxes.Own(detachedNamespace)}
	unix.Close(detachedNamespace)
	if inv.keepsInput() {
		a.Input = detachedInput
	}
	var err error
	a.Listen, err = c.Listen()
	return a, err
}

// keepOutput has what the box writes go to the log by way of nobox, which lets no
// more than boxes.LogKept of it stay, whatever the box does: without a terminal
// stdout and stderr, which are the log until then, become a pipe. The function
// returned gives nobox the log back for what it has to say once the box has ended.
func keepOutput(inv *Invocation, a *sandbox.Attaching) (func(), error) {
	// One of its own: the run lets go of the streams that only the box uses.
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	log := boxes.NewLog(fd)
	a.Keep = log.Keep
	if inv.Options.Terminal == sandbox.Yes {
		return func() {}, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	a.Output = p[0]
	for _, stream := range []int{1, 2} {
		if err := unix.Dup3(p[1], stream, 0); err != nil {
			return nil, err
		}
	}
	unix.Close(p[1])
	// What nobox said if the run did not come to read it.
	left, err := unix.FcntlInt(uintptr(p[0]), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return func() {
		unix.Dup3(fd, 1, 0)
		unix.Dup3(fd, 2, 0)
		b := make([]byte, 1<<16)
		if unix.SetNonblock(left, true) == nil {
			for n, err := unix.Read(left, b); n > 0 && err == nil; n, err = unix.Read(left, b) {
				log.Keep(b[:n])
			}
		}
		unix.Close(left)
	}, nil
}

// keepsInput says whether a detached box has a stdin that who attaches writes to.
func (inv *Invocation) keepsInput() bool {
	return inv.Interactive && inv.Options.Terminal != sandbox.Yes
}

// madeUp is a name for a box that was given none.
func madeUp() string {
	var b [4]byte
	unix.Getrandom(b[:], 0)
	return fmt.Sprintf("box-%x", b)
}

// detach starts a nobox that runs the box in a session of its own, and returns
// when the box runs, or does not.
func detach(inv *Invocation, args []string) int {
	cannot := func(err error) int {
		SayError(os.Stderr, fmt.Errorf("cannot detach the box (-d): %w", bare(err)))
		return ExitCannot
	}
	o := inv.Options
	if o.Terminal != sandbox.Yes {
		o.Terminal = sandbox.No // stdin is none there
	}
	if _, f, err := sandbox.Prepare(o); err != nil {
		sayFailure(sandbox.Diagnose(err, o, f))
		return ExitCannot
	}
	dir, uid := state()
	made := inv.Name == ""
	var c *boxes.Claim
	var err error
	for {
		if made {
			inv.Name = madeUp()
		}
		if c, err = dir.Claim(inv.Name, uid); !made || err != boxes.ErrTaken {
			break
		}
	}
	if err != nil {
		SayError(os.Stderr, fmt.Errorf("cannot name the box (--name %s): %w", inv.Name, bare(err)))
		return ExitCannot
	}
	// It could not say so itself, on a disk that is full.
	if _, err := entryOf(inv, args, c); err != nil {
		SayError(os.Stderr, err)
		return ExitCannot
	}
	log, err := c.Log()
	if err != nil {
		c.Release()
		return cannot(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		c.Release()
		return cannot(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		c.Release()
		return cannot(err)
	}
	own, err := os.Open("/proc/self/ns/user")
	if err != nil {
		c.Release()
		return cannot(err)
	}
	files := []uintptr{null.Fd(), log.Fd(), log.Fd(), uintptr(p[1]), uintptr(c.FD()), own.Fd()}
	if inv.keepsInput() {
		var in [2]int
		if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
			c.Release()
			return cannot(err)
		}
		defer unix.Close(in[0])
		defer unix.Close(in[1])
		files[0] = uintptr(in[0])
		files = append(files, uintptr(in[1]))
	}
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{os.Args[0], "--detached=" + inv.Name}, args...), &syscall.ProcAttr{
		Env:   sandbox.Environ(),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	unix.Close(p[1])
	own.Close()
	if err != nil {
		c.Release()
		return cannot(err)
	}
	if n, err := unix.Read(p[0], make([]byte, 1)); n == 1 && err == nil {
		return write(inv.Name + "\n")
	}
	// What it said is in the log, which it removed: this descriptor has it.
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", log.Fd())); err == nil {
		os.Stderr.Write(text)
	}
	c.Release()
	if ws.Exited() && ws.ExitStatus() != 0 {
		return ws.ExitStatus()
	}
	return ExitCannot
}

func texts(words []string) []boxes.Text {
	out := make([]boxes.Text, len(words))
	for i, w := range words {
		out[i] = boxes.Text(w)
	}
	return out
}
