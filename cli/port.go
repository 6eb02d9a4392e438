package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/boxes"
	"nobox/plan"
	"nobox/sandbox"
)

// A closing is what --close of nobox port names.
type closing struct {
	given string
	path  string // of a socket, else the other three
	addr  netip.Addr
	port  uint16
	udp   bool
}

// parsePort reads NAME with -p and --close anywhere around it.
func parsePort(v *verb, args []string) (*Invocation, error) {
	o := &Invocation{Verb: v.name}
	for i := 0; i < len(args); i++ {
		a := args[i]
		value, given := "", false
		switch name, rest, ok := strings.Cut(a, "="); {
		case ok && strings.HasPrefix(a, "--"):
			a, value, given = name, rest, true
		case strings.HasPrefix(a, "-p") && len(a) > 2:
			a, value, given = "-p", strings.TrimPrefix(a[2:], "="), true
		}
		next := func() error {
			if !given {
				if i++; i >= len(args) {
					return verbUsage(v, a+" needs a port")
				}
				value = args[i]
			}
			return nil
		}
		switch {
		case a == "--json" && !given:
			o.JSON = true
		case a == "-p" || a == "--publish":
			if err := next(); err != nil {
				return nil, err
			}
			from := a + " " + show(value)
			ps, err := publish(value)
			if err != nil {
				return nil, verbUsage(v, from+": "+err.Error())
			}
			for _, p := range ps {
				p.From = from
				o.Options.Publish = append(o.Options.Publish, p)
			}
		case a == "--close":
			if err := next(); err != nil {
				return nil, err
			}
			c, err := parseClosing(value)
			if err != nil {
				return nil, verbUsage(v, a+" "+show(value)+": "+err.Error())
			}
			o.Close = append(o.Close, c)
		case a == "--client-address":
			return nil, verbUsage(v, "it has no "+a+": that is for the start of a box, with -p, and holds for the ports that come later as well")
		case strings.HasPrefix(a, "-"):
			return nil, verbUsage(v, "it has no "+show(a))
		case len(o.Names) > 0:
			return nil, verbUsage(v, "one box at a time")
		default:
			if err := boxes.Valid(a); err != nil {
				return nil, verbUsage(v, show(a)+": "+err.Error())
			}
			o.Names = []string{a}
		}
	}
	if len(o.Names) == 0 {
		return nil, verbUsage(v, "of which box? nobox ps lists those that have a name")
	}
	return o, nil
}

// parseClosing reads [IP:]PORT[/udp] or a path, as -p has them on the host's
// side.
func parseClosing(s string) (c closing, err error) {
	c.given = s
	if isSocketPath(s) {
		c.path = s
		return c, nil
	}
	rest, proto, given := strings.Cut(s, "/")
	switch strings.ToLower(proto) {
	case "udp":
		c.udp = true
	case "tcp":
	default:
		if given {
			return c, notProtocol(proto)
		}
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		if c.addr, err = publishAddress(rest[:i]); err != nil {
			return c, err
		}
		rest = rest[i+1:]
	}
	if c.port, err = portNumber(rest); err == nil && c.port == 0 {
		err = notPort(rest)
	}
	return c, err
}

// matches says whether a published port is meant; abs is the path, absolute.
func (c closing) matches(l sandbox.PublishedPort, abs string) bool {
	switch {
	case c.path != "":
		return l.Proto == "unix" && l.Where == abs
	case c.udp != (l.Proto == "udp"):
		return false
	}
	return l.At(c.addr, c.port)
}

// port lists what a box publishes, after it closed and published what was asked
// for.
func port(inv *Invocation) int {
	name := inv.Names[0]
	dir, uid := state()
	cannot := func(err error) int {
		SayError(os.Stderr, fmt.Errorf("cannot tell or change the ports of %s: %w", name, bare(err)), hintFor(err)...)
		return ExitCannot
	}
	e, err := dir.Find(name, uid)
	if err != nil {
		return cannot(err)
	}
	f := sandbox.Forwarder{
		Connect: func() (int, error) { return dir.ConnectPorts(name) },
		Listen:  func() (int, error) { return dir.ListenPorts(name) },
	}
	for _, c := range inv.Close {
		if err := closePorts(f, c); err != nil {
			return cannot(err)
		}
	}
	if more := inv.Options.Publish; len(more) > 0 {
		var args []string
		for _, a := range e.Args {
			args = append(args, string(a))
		}
		// Its variables do not matter here.
		box, err := parseWith(args, func(string) ([]byte, error) { return nil, nil })
		if err != nil || box.Verb != "" {
			return cannot(fmt.Errorf("it was started by another version of nobox, or with other settings: %v", err))
		}
		_, fd, err := e.Joinable()
		if err != nil {
			return cannot(err)
		}
		nobox, err := e.Nobox.Open()
		if err != nil {
			return cannot(boxes.ErrNone)
		}
		f.Process = fd
		if f.Nobox, err = unix.FcntlInt(uintptr(nobox), unix.F_DUPFD_CLOEXEC, 10); err != nil {
			return cannot(err)
		}
		notes, err := f.PublishMore(box.Options, more)
		var step *plan.StepError
		var checked *sandbox.Error
		switch {
		case errors.As(err, &step):
			sayFailure(sandbox.Diagnose(err, box.Options, nil))
			return ExitCannot
		case errors.As(err, &checked):
			SayError(os.Stderr, err, checked.Hints...)
			return ExitCannot
		case err != nil:
			return cannot(err)
		}
		for _, n := range notes {
			SayNote(os.Stderr, n)
		}
	}
	all, err := f.ListPorts()
	if err != nil {
		return cannot(err)
	}
	if inv.JSON {
		return write(portsJSON(all))
	}
	var b strings.Builder
	for _, l := range all {
		proto := l.Proto
		if proto == "unix" {
			proto = "tcp"
		}
		fmt.Fprintf(&b, "%d/%s -> %s\n", l.Box, proto, plan.Printable(l.Where))
	}
	return write(b.String())
}

func closePorts(f sandbox.Forwarder, c closing) error {
	all, err := f.ListPorts()
	if err != nil {
		return err
	}
	abs := ""
	if c.path != "" {
		if abs, err = sandbox.Absolute(c.path); err != nil {
			return err
		}
	}
	n := 0
	for _, l := range all {
		if c.matches(l, abs) {
			if err := f.ClosePort(l); err != nil {
				return err
			}
			n++
		}
	}
	if n == 0 {
		return errors.New("nothing is published at " + show(c.given))
	}
	return nil
}

// portsJSON is the list for tools.
func portsJSON(all []sandbox.PublishedPort) string {
	type entry struct {
		Box   uint16 `json:"box"`
		Proto string `json:"proto"`
		Host  string `json:"host"`
	}
	list := []entry{}
	for _, l := range all {
		list = append(list, entry{l.Box, l.Proto, l.Where})
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return "[]\n"
	}
	return string(b) + "\n"
}

// ConfineForwarder binds this process, which is to be the forwarder.
func ConfineForwarder() { sandbox.ConfineForwarder() }
