package cgroups

import (
	"errors"
	"fmt"
	"os"
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
	mostUnitTries = 5
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
func startScope(a plan.Scope) error {
	deadline := time.Now().Add(scopePatience)
	failed := &BusError{}
	for i, b := range a.Buses {
		// The last may take what is left, the others a share.
		until := deadline
		if n := len(a.Buses) - i; n > 1 {
			until = time.Now().Add(time.Until(deadline) * time.Duration(n) / time.Duration(n+1))
		}
		err := scopeBy(b, until)
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

func scopeBy(b plan.Bus, deadline time.Time) error {
	c, err := dial(b.Address, deadline)
	if err != nil {
		return err
	}
	defer c.close()
	var hello []byte
	serial := uint32(1)
	if !b.Direct {
		match := &writer{}
		match.string("type='signal',sender='" + systemdName + "',interface='" + systemdIface + "',member='" + jobRemoved + "'")
		hello = append(hello, call(1, busName, busPath, busName, "Hello", "", nil)...)
		hello = append(hello, call(2, busName, busPath, busName, "AddMatch", "s", match.b)...)
		// On a bus systemd tells of jobs only if someone wants to know; to who
		// is connected directly it tells everything.
		hello = append(hello, call(3, systemdName, systemdPath, systemdIface, "Subscribe", "", nil)...)
		serial = 4
	}
	for try := 0; ; try++ {
		unit := unitName(os.Getpid(), time.Now())
		body := transientScope(unit)
		if err := c.write(append(hello, call(serial, systemdName, systemdPath, systemdIface, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)...)); err != nil {
			return err
		}
		err := c.jobDone(serial, unit)
		var said *remoteError
		if errors.As(err, &said) && said.name == unitExists && try < mostUnitTries {
			hello, serial = nil, serial+1
			continue
		}
		return err
	}
}

// unitName is a name no other scope has: the number of a process comes again,
// and not every process is of this pid namespace.
func unitName(pid int, at time.Time) string {
	return fmt.Sprintf("nobox-%d-%s.scope", pid, strconv.FormatInt(at.UnixNano()/1000%(36*36*36*36*36*36), 36))
}

// transientScope are the arguments of StartTransientUnit.
func transientScope(unit string) []byte {
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
		property("Delegate", "b", func() { w.uint32(1) })
		// Forget it when it ends, also if that was not well; systemd.unit(5).
		property("CollectMode", "s", func() { w.string("inactive-or-failed") })
	})
	w.array(8, func() {})
	return w.b
}

// jobDone waits until the job that a call started has ended. Its end may be
// told before its number is.
func (c *conn) jobDone(serial uint32, unit string) error {
	job := ""
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
