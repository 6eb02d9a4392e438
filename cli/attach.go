package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nobox/boxes"
	"nobox/sandbox"
)

// attach joins the caller's terminal, or streams, and a detached box.
func attach(inv *Invocation) int {
	name := inv.Names[0]
	cannot := func(err error, hints ...string) int {
		SayError(os.Stderr, fmt.Errorf("cannot attach to %s: %w", name, bare(err)), hints...)
		return ExitCannot
	}
	dir, uid := state()
	e, err := dir.Last(name, uid)
	switch {
	case err != nil:
		return cannot(err, hintFor(err)...)
	case e.Ended != nil:
		return cannot(errors.New("it has ended"), fmt.Sprintf("nobox logs %s prints what it wrote, nobox wait %s returns its exit code", name, name))
	case !e.Detached:
		return cannot(errors.New("it was not started with -d, and has the terminal and the streams of that nobox"), fmt.Sprintf("nobox exec %s -- sh runs one more command in it", name))
	}
	nobox, err := e.Nobox.Open()
	if err != nil {
		return cannot(boxes.ErrNone, hintFor(boxes.ErrNone)...)
	}
	defer unix.Close(nobox)
	socket, err := dir.Dial(name)
	if err != nil {
		return cannot(err)
	}
	a, err := sandbox.OpenAttachment(socket)
	if err != nil {
		if until(nobox, 0) == nil {
			err = errors.New("it has ended")
		}
		return cannot(err)
	}
	defer a.Close()
	end := func() int {
		code, err := waitFor(dir, uid, e)
		if err != nil {
			return cannot(err)
		}
		return code
	}
	if !a.Terminal || inv.NoStdin || !sandbox.OnTerminal() {
		// From here on; what was there before is for nobox logs.
		f, err := dir.Log(name)
		if err != nil {
			return cannot(err)
		}
		defer f.Close()
		if err := f.End(); err != nil {
			return cannot(err)
		}
		pass := !inv.NoSignals && !a.Terminal
		if err := a.Follow(nobox, !inv.NoStdin && !a.Terminal, pass, logPause, func() error { return f.Copy(os.Stdout, lost) }); err != nil {
			return cannot(err)
		}
		return end()
	}
	watch, stop, err := sandbox.Restorer()
	if err != nil {
		return cannot(err)
	}
	how, sig, err := a.Join(inv.DetachKeys, watch)
	stop()
	switch {
	case err != nil:
		return cannot(err)
	case how == sandbox.AttachEnded:
		if until(nobox, time.Second) == nil {
			return end()
		}
		// The box has ended before its nobox closes the sockets.
		if init, err := e.Init.Open(); err == nil {
			unix.Close(init)
			return cannot(errors.New("its nobox let go of this terminal, which took nothing for long; the box runs on"))
		}
		return end()
	case how == sandbox.AttachHungUp:
		return 128 + int(unix.SIGHUP)
	}
	SayNote(os.Stderr, fmt.Sprintf("detached from %s, which runs on; nobox attach %s goes back to it", name, name))
	if sig != 0 {
		return 128 + int(sig)
	}
	return 0
}
