package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/doctor"
	"nobox/plan"
	"nobox/sandbox"
	"nobox/userns"
)

// CheckPrivileges is the exit code where nobox must not run at all, and else 0. It
// comes before the name that nobox was called by counts.
func CheckPrivileges() int {
	if err := sandbox.CheckPrivileges(); err != nil {
		sayFailure(sandbox.Diagnose(err, sandbox.Options{}, nil))
		return ExitCannot
	}
	return 0
}

// Main runs one command line, the program's name left out, and returns the
// exit code.
func Main(args []string) int {
	if err := sandbox.CheckOwnFile(); err != nil {
		sayFailure(sandbox.Diagnose(err, sandbox.Options{}, nil))
		return ExitCannot
	}
	// What the caller left open is not for nobox's helpers nor the box.
	unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) // --json-status-fd is not for the box either
	inv, err := Parse(args)
	if err != nil {
		var checked *sandbox.Error
		if errors.As(err, &checked) {
			SayError(os.Stderr, err, checked.Hints...)
		} else {
			SayError(os.Stderr, err)
		}
		return ExitCannot
	}
	switch inv.Verb {
	case "help":
		return write(Help(inv.Topic))
	case "version":
		return write(Version())
	case "profiles":
		out, err := profileList(inv.Topic)
		if err != nil {
			SayError(os.Stderr, err)
			return ExitCannot
		}
		return write(out)
	case "doctor":
		return diagnose(inv)
	case doctor.InsideVerb:
		out, err := doctor.Inside(inv.Words)
		if err != nil {
			SayError(os.Stderr, fmt.Errorf("cannot try what a box needs: %w", err))
			return ExitCannot
		}
		return write(out)
	case "completion":
		return write(Completion(inv.Topic))
	case "man":
		return write(Man())
	case "sweep-cgroup":
		sandbox.SweepCgroup(inv.Topic)
		return 0
	case sandbox.RemoveVerb:
		sandbox.RemoveOwn(inv.Words)
		return 0
	case sandbox.RestoreVerb:
		sandbox.RestoreTerminal()
		return 0
	case "diff":
		return diff(inv)
	case "apply":
		return apply(inv)
	case "discard":
		return discard(inv)
	case "rm-owned":
		return rmOwned(inv)
	case "owned-inside":
		return ownedInside(inv)
	}
	if inv.Verb != "" {
		return boxVerb(inv)
	}
	if !inv.Detach || inv.Detached {
		keep := []int{}
		if inv.StatusFD != 0 {
			keep = append(keep, inv.StatusFD)
		}
		for _, fd := range inv.Options.PreserveFDs {
			keep = append(keep, fd.FD)
		}
		if inv.Detached {
			keep = append(keep, detachedPipe, detachedLock, detachedNamespace)
			if inv.keepsInput() {
				keep = append(keep, detachedInput)
			}
		}
		if err := sandbox.EnterNetwork(inv.Options, args, keep); err != nil {
			sayFailure(sandbox.Diagnose(err, inv.Options, nil))
			return ExitCannot
		}
	}
	if inv.Review {
		own := inv.Options.OverlayDir == ""
		if inv.Explain == "" {
			if err := reviewDir(&inv.Options); err != nil {
				SayError(os.Stderr, err)
				return ExitCannot
			}
			code, endTyped := run(inv, args)
			if r := review(inv.Options.OverlayDir, own, endTyped); code == 0 {
				code = r
			}
			return code
		}
	}
	if inv.Explain != "" {
		return explain(inv)
	}
	if inv.Detach && !inv.Detached {
		return detach(inv, args)
	}
	code, _ := run(inv, args)
	return code
}

// write writes to stdout; a reader that is gone is no reason to be silent
// about it in the exit code.
func write(s string) int {
	if _, err := os.Stdout.WriteString(s); err != nil {
		SayError(os.Stderr, fmt.Errorf("cannot write: %w", bare(err)))
		return ExitCannot
	}
	return 0
}

// exitLacking is nobox doctor's exit code where no box starts.
const exitLacking = 1

// diagnose prints what this machine has of what a box may need.
func diagnose(inv *Invocation) int {
	if slices.Contains(inv.Words, "--apparmor-profile") {
		return write(doctor.Profile(doctor.Binary()))
	}
	t := doctor.Look(doctorTrials())
	lines := doctor.Lines(&t)
	if inv.Topic != "" {
		lines = slices.DeleteFunc(lines, func(l doctor.Line) bool { return l.Name != inv.Topic })
	}
	out := ""
	if slices.Contains(inv.Words, "--json") {
		out = doctor.JSON(doctor.MainJob(&t), lines)
	} else {
		out = doctorText(lines, columns(os.Stdout), colourful(os.Stdout))
	}
	if code := write(out); code != 0 {
		return code
	}
	if !doctor.MainJob(&t) {
		return exitLacking
	}
	return 0
}

// explain prints the plan and starts nothing.
func explain(inv *Invocation) int {
	p, f, err := sandbox.Prepare(inv.Options)
	if err != nil {
		sayFailure(sandbox.Diagnose(err, inv.Options, f))
		return ExitCannot
	}
	if inv.Explain == "words" {
		if code := write(settingsText(inv.fromFiles)); code != 0 {
			return code
		}
	}
	return explained(inv.Explain, p)
}

// explained prints a plan.
func explained(how string, p *plan.Plan) int {
	switch how {
	case "syscalls":
		s, err := userns.Syscalls(p)
		if err != nil {
			SayError(os.Stderr, err)
			return ExitCannot
		}
		return write(s)
	case "json":
		b, err := p.JSON()
		if err != nil {
			SayError(os.Stderr, err)
			return ExitCannot
		}
		return write(string(bytes.TrimRight(b, "\n")) + "\n")
	}
	return write(p.String())
}

// run runs the box.
func run(inv *Invocation, args []string) (code int, endTyped bool) {
	h := sandbox.Hooks{Note: func(n string) { SayNote(os.Stderr, n) }, Review: inv.Review}
	statusFD := -1
	if inv.StatusFD != 0 {
		// One of its own: the run lets go of the streams that only the box uses.
		fd, err := unix.FcntlInt(uintptr(inv.StatusFD), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			SayError(os.Stderr, fmt.Errorf("cannot write the status (--json-status-fd %d): %w", inv.StatusFD, bare(err)))
			return ExitCannot, false
		}
		statusFD = fd
		h.Started = func(pid int, ns sandbox.Namespaces) { status(statusFD, started(pid, ns)) }
	}
	report := -1
	if inv.Report != "" && inv.Report != reportToStderr {
		// Before anything runs, for it must not run in vain.
		fd, err := userns.OpenOutside(inv.Report, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o666)
		if err != nil {
			SayError(os.Stderr, fmt.Errorf("cannot report (--report=%s): %w", show(inv.Report), err))
			return ExitCannot, false
		}
		report = fd
	}
	var times []string
	if inv.Verbose {
		last := time.Now()
		h.Timing = func(what string, at time.Time) {
			times = append(times, fmt.Sprintf("%s after %.2f ms", what, float64(at.Sub(last).Microseconds())/1000))
			last = at
		}
	}
	release, err := claim(inv, args, &h)
	if err != nil {
		SayError(os.Stderr, err)
		return ExitCannot, false
	}
	r, f, err := sandbox.Run(inv.Options, h)
	if code = r.ExitCode(); err != nil {
		code = exitCode(err)
	}
	release(code, err == nil)
	for _, t := range times {
		SayNote(os.Stderr, t)
	}
	if err != nil {
		sayFailure(sandbox.Diagnose(err, inv.Options, f))
		return code, false
	}
	switch {
	case report >= 0 && strings.HasSuffix(inv.Report, ".json"):
		err = writeAll(report, reportJSON(&r))
	case report >= 0:
		err = writeAll(report, reportText(&r))
	case inv.Report != "":
		for line := range strings.Lines(reportText(&r)) {
			SayNote(os.Stderr, strings.TrimSuffix(line, "\n"))
		}
	}
	if err != nil {
		SayError(os.Stderr, fmt.Errorf("cannot report (--report=%s): %w", show(inv.Report), err))
	}
	if statusFD >= 0 {
		status(statusFD, fmt.Sprintf("{ \"exit-code\": %d }\n", r.ExitCode()))
	}
	return code, r.EndTyped
}

// started is what bwrap --json-status-fd says of a sandbox that runs: pid 1 by
// the host's number, and the inodes of its namespaces.
func started(pid int, ids sandbox.Namespaces) string {
	s := fmt.Sprintf("{ \"child-pid\": %d", pid)
	for i, ns := range plan.ShownNamespaces {
		if ids[i] != 0 {
			s += fmt.Sprintf(", \"%s-namespace\": %d", ns, ids[i])
		}
	}
	return s + " }\n"
}

// status writes a line. A reader that is gone is not the box's matter.
func status(fd int, line string) {
	unix.Write(fd, []byte(line))
}

func sayFailure(d sandbox.Diagnosis) { SayError(os.Stderr, d.Err, d.Hints...) }

// exitCode tells apart, as docker run does, a command that could not be run
// from all else that went wrong.
func exitCode(err error) int {
	var failed *plan.StepError
	if errors.As(err, &failed) {
		if _, ok := failed.Step.Do.(plan.Exec); ok {
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				return ExitNotFound
			}
			return ExitNotExecutable
		}
	}
	if errors.Is(err, sandbox.ErrNoCommand) {
		return ExitNotFound
	}
	return ExitCannot
}
