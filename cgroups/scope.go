package cgroups

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"nobox/plan"
)

// scopePatience is how long all of the buses together may take. A systemd that
// is busy answers within that; one that hangs must not hang nobox.
const scopePatience = 2 * time.Second

// org.freedesktop.systemd1(5)
const (
	systemdName   = "org.freedesktop.systemd1"
	systemdPath   = "/org/freedesktop/systemd1"
	systemdIface  = "org.freedesktop.systemd1.Manager"
	busName       = "org.freedesktop.DBus"
	busPath       = "/org/freedesktop/DBus"
	jobRemoved    = "JobRemoved"
	unitExists    = "org.freedesktop.systemd1.UnitExists"
	stopUnit      = "StopUnit"
	mostUnitTries = 5

	lastSerial = 1<<31 - 1 // of no other call
)

// A BusError is how asking one systemd after the other went.
type BusError struct {
	Tried []BusTry
}

// A BusTry is one way to systemd and why it did not lead there.
type BusTry struct {
	Address string
	Err     error
}

func (e *BusError) Error() string {
	if len(e.Tried) == 0 {
		return "there is no way to it"
	}
	var s []string
	for _, t := range e.Tried {
		s = append(s, plan.Quote(strings.TrimPrefix(t.Address, "unix:path="))+": "+t.Err.Error())
	}
	return strings.Join(s, "; ")
}

// startScope has systemd make a scope with nobox in it, and returns when it has.
func (p *Player) startScope(a plan.Scope) error {
	return p.ask(a.Buses, func(c *conn, direct bool) error {
		if c.unit != "" && !slices.Equal(c.controllers, a.Controllers) {
			// What was asked for ahead is not it. The one comes before the other, so
			// that nobox ends up in the other.
			if err := c.say(nil); err != nil {
				return err
			}
			if err := c.jobDone(); err != nil {
				return err
			}
			c.unit = ""
		}
		var wants []byte
		var err error
		if c.unit == "" {
			if wants, err = p.request(c, direct, a.Controllers); err != nil {
				return err
			}
		}
		for try := 0; ; try++ {
			if err := c.say(wants); err != nil {
				return err
			}
			err := c.jobDone()
			var said *remoteError
			if !errors.As(err, &said) || said.name != unitExists || try == mostUnitTries {
				return err
			}
			if wants, err = p.request(c, direct, a.Controllers); err != nil {
				return err
			}
		}
	})
}

// request is what has systemd make a scope, which is stopped should nobox be gone
// before it stands in it. systemd forgets a scope when its last process ends; of
// one that had none by the time it came, it waits for that for ever.
func (p *Player) request(c *conn, direct bool, controllers []string) ([]byte, error) {
	wants := c.scope(direct, controllers)
	if p.Guard != nil {
		p.safe()
		body := &writer{}
		body.string(c.unit)
		body.string("replace")
		var err error
		if p.release, err = p.Guard(c.fd, call(lastSerial, systemdName, systemdPath, systemdIface, stopUnit, "ss", body.b)); err != nil {
			return nil, fmt.Errorf("nobody would stop the scope should nobox be killed: %w", err)
		}
	}
	return wants, nil
}

// safe says that nobox stands in the scope, or that there will be none.
func (p *Player) safe() {
	if p.release != nil {
		p.release()
		p.release = nil
	}
}

// scope is what has systemd make a scope: on a bus with what that has to hear
// first. The connection notes what it asks for.
func (c *conn) scope(direct bool, controllers []string) (wants []byte) {
	if c.serial == 0 && !direct {
		wants = call(1, busName, busPath, busName, "Hello", "", nil)
		match := &writer{}
		match.string("type='signal',sender='" + systemdName + "',interface='" + systemdIface + "',member='" + jobRemoved + "'")
		wants = append(wants, call(2, busName, busPath, busName, "AddMatch", "s", match.b)...)
		// On a bus systemd tells of jobs only if someone wants to know; to who
		// is connected directly it tells everything.
		wants = append(wants, call(3, systemdName, systemdPath, systemdIface, "Subscribe", "", nil)...)
		c.serial = 3
	}
	c.serial++
	c.unit, c.controllers = unitName(os.Getpid(), time.Now()), controllers
	return append(wants, call(c.serial, systemdName, systemdPath, systemdIface, "StartTransientUnit", "ssa(sv)a(sa(sv))", transientScope(c.unit, controllers))...)
}

// ask asks one systemd after the other.
func (p *Player) ask(buses []plan.Bus, what func(c *conn, direct bool) error) error {
	defer p.Leave()
	deadline := time.Now().Add(scopePatience)
	failed := &BusError{}
	for i, b := range buses {
		// The last may take what is left, the others a share.
		until := deadline
		if n := len(buses) - i; n > 1 {
			until = time.Now().Add(time.Until(deadline) * time.Duration(n) / time.Duration(n+1))
		}
		c, err := p.knocked(b.Address, until)
		if err == nil {
			err = what(c, b.Direct)
			c.close()
		}
		if err == nil {
			return nil
		}
		failed.Tried = append(failed.Tried, BusTry{b.Address, err})
		var said *remoteError
		if errors.As(err, &said) && b.Direct {
			break // systemd itself said no
		}
	}
	return failed
}

// Knock connects to a systemd that will be asked for a scope. It takes its time to
// let somebody in, and nobox has something else to do meanwhile. Whether it opens
// is seen when it is asked.
func (p *Player) Knock(b plan.Bus) {
	if c, err := dial(b.Address, time.Now()); err == nil {
		p.door, p.address = c, b.Address
	}
}

// Ask asks the systemd that was knocked at for a scope, without waiting for it.
// Whether that is the one that the plan has is seen when the plan is played.
func (p *Player) Ask(s plan.Scope) {
	if p.door == nil || len(s.Buses) == 0 || s.Buses[0].Address != p.address {
		return
	}
	wants, err := p.request(p.door, s.Buses[0].Direct, s.Controllers)
	if err != nil || p.door.write(wants) != nil {
		p.Leave()
	}
}

// Leave goes away from the door if nothing came of it.
func (p *Player) Leave() {
	if p.door != nil {
		p.door.close()
		p.door = nil
	}
}

// knocked is the connection to address.
func (p *Player) knocked(address string, deadline time.Time) (*conn, error) {
	if c := p.door; c != nil && p.address == address {
		p.door = nil
		c.deadline, c.limit = deadline, time.Now().Add(busyPatience)
		return c, nil
	}
	return dial(address, deadline)
}

// unitName is a name no other scope has: the number of a process comes again,
// and not every process is of this pid namespace.
func unitName(pid int, at time.Time) string {
	return fmt.Sprintf("nobox-%d-%s.scope", pid, strconv.FormatInt(at.UnixNano()/1000%(36*36*36*36*36*36), 36))
}

// transientScope are the arguments of StartTransientUnit.
func transientScope(unit string, controllers []string) []byte {
	w := &writer{}
	w.string(unit)
	w.string("fail")
	property := func(name, signature string, value func()) {
		w.align(8)
		w.string(name)
		w.signature(signature)
		value()
	}
	w.array(8, func() {
		property("Description", "s", func() { w.string("nobox") })
		// 0 is who sends this, whatever number it has in systemd's pid namespace.
		property("PIDs", "au", func() { w.array(4, func() { w.uint32(0) }) })
		// Delegate=yes with these controllers. With all of them systemd would give
		// the slice some that nobody asked for, and take them back when the scope
		// ends, at each start.
		property("DelegateControllers", "as", func() {
			w.array(4, func() {
				for _, c := range controllers {
					w.string(c)
				}
			})
		})
		// Forget it when it ends, also if that was not well; systemd.unit(5).
		property("CollectMode", "s", func() { w.string("inactive-or-failed") })
	})
	w.array(8, func() {})
	return w.b
}

// jobDone waits until the job that the call for a scope started has ended. Its end
// may be told before its number is.
func (c *conn) jobDone() error {
	serial, unit, job := c.serial, c.unit, ""
	ended := map[string]string{} // of jobs of this unit
	for {
		m, err := c.next()
		if err != nil {
			return err
		}
		switch {
		case m.kind == methodFail && m.reply <= serial:
			return m.failure()
		case m.kind == methodDone && m.reply == serial:
			if job = m.body.string(); m.body.err != nil {
				return errShort
			}
		case m.kind == signalMade && m.member == jobRemoved && m.iface == systemdIface:
			m.body.uint32()
			path, of, how := m.body.string(), m.body.string(), m.body.string()
			if m.body.err != nil {
				return errShort
			}
			if of == unit {
				ended[path] = how
			}
		}
		if how, ok := ended[job]; ok && job != "" {
			if how != "done" {
				return fmt.Errorf("the scope's job ended with %s", plan.Quote(how))
			}
			return nil
		}
	}
}
