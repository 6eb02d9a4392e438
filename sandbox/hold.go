package sandbox

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/mounts"
	"nobox/plan"
	"nobox/userns"
)

// holder holds nobox's own directories for a box, and adds those that it holds to
// held.
func holder(f *host.Facts, held *[]plan.HostPath) userns.Holder {
	return userns.Holder{
		Hold: func(dir plan.HostPath) (letGo func(), err error) {
			d, err := host.HoldDir(string(dir))
			if err != nil {
				e := &notHeld{dir: dir, err: err, running: slices.Contains(f.RunDirs, string(dir))}
				for _, pf := range f.Places {
					if plan.HostPath(pf.Resolved) == dir && pf.Exists != "" {
						e.in = string(pf.Exists)
					}
				}
				return nil, e
			}
			*held = append(*held, dir)
			return d.LetGo, nil
		},
		After: func(dirs []plan.HostPath) []string {
			args := []string{"nobox", RemoveVerb}
			for _, d := range dirs {
				args = append(args, string(d))
			}
			return args
		},
	}
}

// notHeld is a directory that cannot be held.
type notHeld struct {
	dir     plan.HostPath
	err     error
	running bool   // it is one of running boxes
	in      string // where it was to be made, if known
}

func (e *notHeld) Error() string { return fmt.Sprintf("%s: %v", plan.Quote(string(e.dir)), e.err) }
func (e *notHeld) Unwrap() error { return e.err }

// Hint is that a directory which is there for good needs no lock. In one that is the
// caller's, and that nobody may write to, the box could make it nevertheless.
func (e *notHeld) Hint() string {
	if e.err == unix.EACCES && e.in != "" {
		return "chmod u+w " + mounts.ShellQuote(e.in)
	}
	if e.err != host.ErrHeld || e.running {
		return ""
	}
	return "chmod 700 " + mounts.ShellQuote(string(e.dir))
}

// RemoveVerb is the verb by which nobox starts the process that removes directories
// of its own which no box needs any more.
const RemoveVerb = "remove-own"

// RemoveOwn is what nobox does under that verb: its stdin is of the nobox that
// needed them, and is gone.
func RemoveOwn(dirs []string) {
	userns.AwaitBox(0)
	for _, d := range dirs {
		host.RemoveIdle(d, true)
	}
}
