package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
	"nobox/ports"
	"nobox/userns"
)

// forwarded are the sockets of a published port.
func forwarded(p userns.Published) (all []ports.Port) {
	for _, fd := range p.FDs {
		all = append(all, ports.Port{FD: fd, Box: p.Step.Box, UDP: p.Step.UDP, Path: p.Path, Dir: p.Dir})
	}
	return all
}

// A PublishedPort is one of a box that runs.
type PublishedPort = ports.Listed

// A Forwarder is that of a box which runs, for who publishes more of its ports.
type Forwarder struct {
	// Connect is a connection to it, an error if there is none yet.
	Connect func() (int, error)
	// Listen makes the socket that Connect connects to, with a high number.
	Listen func() (int, error)
	// Process and Nobox are pidfds of a process of the box's and of the nobox that
	// runs it.
	Process, Nobox int
}

// ListPorts is what a box publishes.
func (f Forwarder) ListPorts() ([]ports.Listed, error) {
	c, err := f.Connect()
	if err != nil {
		return nil, nil // nobody publishes anything
	}
	defer unix.Close(c)
	return ports.List(c)
}

// ClosePort publishes a port no more.
func (f Forwarder) ClosePort(l ports.Listed) error {
	c, err := f.Connect()
	if err != nil {
		return err
	}
	defer unix.Close(c)
	return ports.Close(c, l)
}

// PublishMore publishes ports of a box that runs: all of them, or none. It
// starts a forwarder where there is none. The box is as its options say.
//
// Preconditions: as Run.
func (f Forwarder) PublishMore(box Options, more []Publish) (notes []string, err error) {
	box.Publish = more
	switch box.Net {
	case NetHost, NetNS:
		return nil, checkPublish(&box, &host.Facts{})
	}
	facts := host.Probe(host.Questions{Ports: true})
	if err := checkPublish(&box, &facts); err != nil {
		return nil, err
	}
	var all []ports.Port
	undo := func() {
		for _, p := range all {
			unix.Close(p.FD)
			if p.Path != "" {
				unix.Unlinkat(p.Dir, filepath.Base(p.Path), 0)
				unix.Close(p.Dir)
			}
		}
	}
	for _, p := range published(&box, &facts) {
		l, err := userns.Listen(p.Listen, p.From)
		if err != nil {
			undo()
			return nil, &plan.StepError{Step: plan.Step{Do: p.Listen, From: p.From}, Err: err}
		}
		all = append(all, forwarded(l)...)
		if p.Listen.First != p.Listen.Last || p.Listen.First == 0 && p.Listen.Path == "" {
			notes = append(notes, foundPort(l))
		}
	}
	if c, err := f.Connect(); err == nil {
		unix.Close(c)
		for _, p := range all {
			c, err := f.Connect() // a request a connection
			if err == nil {
				err = ports.Add(c, p)
				unix.Close(c)
			}
			if err != nil {
				undo()
				return nil, fmt.Errorf("the box's forwarder: %w", err)
			}
			unix.Close(p.FD)
			if p.Path != "" {
				unix.Close(p.Dir)
			}
		}
		return notes, nil
	}
	control, err := f.Listen()
	if err == nil {
		files := []int{control}
		for _, p := range all {
			files = append(files, p.FD)
			if p.Path != "" {
				files = append(files, p.Dir)
			}
		}
		// A box that was started without -p has no routes for --client-address.
		args := append([]string{ports.Name, ports.ControlArg(control)}, ports.Args(all)...)
		err = userns.Forward(f.Process, f.Nobox, args, files, false)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		err = fmt.Errorf("its network cannot be entered: %w", err)
	}
	if err != nil {
		undo()
	}
	return notes, err
}

// Absolute is a path of the caller's, absolute.
func Absolute(path string) (string, error) { return filepath.Abs(path) }
