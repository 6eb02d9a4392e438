package cgroups

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// answer marshals a message as systemd would.
func answer(kind byte, reply uint32, member, fail, signature string, body []byte) []byte {
	w := &writer{}
	w.b = append(w.b, 'l', kind, 0, 1)
	w.uint32(uint32(len(body)))
	w.uint32(77)
	w.array(8, func() {
		text := func(code byte, sig, s string) {
			if s == "" {
				return
			}
			w.align(8)
			w.byte(code)
			w.signature(sig)
			if sig == "g" {
				w.signature(s)
			} else {
				w.string(s)
			}
		}
		if member != "" {
			text(fieldPath, "o", systemdPath)
			text(fieldInterface, "s", systemdIface)
			text(fieldMember, "s", member)
		}
		text(fieldErrorName, "s", fail)
		if reply != 0 {
			w.align(8)
			w.byte(fieldReplySerial)
			w.signature("u")
			w.uint32(reply)
		}
		text(fieldSignature, "g", signature)
	})
	w.align(8)
	return append(w.b, body...)
}

func strs(ss ...string) []byte {
	w := &writer{}
	for _, s := range ss {
		w.string(s)
	}
	return w.b
}

func removed(job, unit, how string) []byte {
	w := &writer{}
	w.uint32(5)
	w.string(job)
	w.string(unit)
	w.string(how)
	return answer(signalMade, 0, jobRemoved, "", "uoss", w.b)
}

// systemd listens on a socket and lets f answer one connection, whose first
// call of StartTransientUnit for unit has been read.
func systemd(t *testing.T, f func(c net.Conn, serial uint32, unit string)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nobox-bus-") // a short one: sun_path holds 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var in []byte
				buf := make([]byte, 4096)
				greeted := false
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					in = append(in, buf[:n]...)
					if !greeted {
						i := bytes.Index(in, []byte("BEGIN\r\n"))
						if i < 0 {
							continue
						}
						if !bytes.HasPrefix(in, []byte("\x00AUTH EXTERNAL ")) {
							return
						}
						c.Write([]byte("OK 0123456789abcdef\r\n"))
						in, greeted = in[i+7:], true
					}
					for {
						m, n, err := parse(in)
						if err != nil || n == 0 {
							break
						}
						serial := binary.LittleEndian.Uint32(in[8:])
						in = in[n:]
						if m.member == "StartTransientUnit" {
							f(c, serial, m.body.string())
						} else {
							c.Write(answer(methodDone, serial, "", "", "", nil))
						}
					}
				}
			}()
		}
	}()
	return "unix:path=" + path
}

func TestAScopeIsThereWhenItsJobHasEnded(t *testing.T) {
	const job = "/org/freedesktop/systemd1/job/7"
	for _, tt := range []struct {
		name   string
		direct bool
		f      func(c net.Conn, serial uint32, unit string)
		want   string // of the error, "" for none
	}{
		{"the answer first", true, func(c net.Conn, serial uint32, unit string) {
			c.Write(answer(methodDone, serial, "", "", "o", strs(job)))
			c.Write(removed("/other", "other.scope", "failed"))
			c.Write(removed(job, unit, "done"))
		}, ""},
		{"the end first, in pieces", true, func(c net.Conn, serial uint32, unit string) {
			b := append(removed(job, unit, "done"), answer(methodDone, serial, "", "", "o", strs(job))...)
			for i := range b {
				c.Write(b[i : i+1])
			}
		}, ""},
		{"over a bus", false, func(c net.Conn, serial uint32, unit string) {
			c.Write(answer(methodDone, serial, "", "", "o", strs(job)))
			c.Write(removed(job, unit, "done"))
		}, ""},
		{"a job that fails", true, func(c net.Conn, serial uint32, unit string) {
			c.Write(answer(methodDone, serial, "", "", "o", strs(job)))
			c.Write(removed(job, unit, "failed"))
		}, "ended with failed"},
		{"a refusal", true, func(c net.Conn, serial uint32, unit string) {
			c.Write(answer(methodFail, serial, "", "org.freedesktop.DBus.Error.AccessDenied", "s", strs("Access denied")))
		}, "Access denied"},
		{"nonsense", true, func(c net.Conn, serial uint32, unit string) { c.Write(bytes.Repeat([]byte("x"), 64)) }, "no D-Bus message"},
		{"a hang-up", true, func(c net.Conn, serial uint32, unit string) { c.Close() }, "closed the connection"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (&Player{}).startScope(plan.Scope{Buses: []plan.Bus{{Address: systemd(t, tt.f), Direct: tt.direct}}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Whoever knocked asks through the same door, and through another if that one
// does not open.
func TestWhoKnockedAsksThroughTheSameDoor(t *testing.T) {
	done := func(c net.Conn, serial uint32, unit string) {
		c.Write(answer(methodDone, serial, "", "", "o", strs("/job")))
		c.Write(removed("/job", unit, "done"))
	}
	working := plan.Bus{Address: systemd(t, done), Direct: true}
	closed := plan.Bus{Address: systemd(t, func(c net.Conn, _ uint32, _ string) { c.Close() }), Direct: true}
	for _, buses := range [][]plan.Bus{{working}, {closed, working}, {{Address: "unix:path=/nonexistent"}, working}} {
		p := &Player{}
		p.Knock(buses[0])
		if (p.door != nil) != (buses[0].Address != "unix:path=/nonexistent") {
			t.Error(buses[0], "nobody knocked, or at no door")
		}
		if err := p.startScope(plan.Scope{Buses: buses}); err != nil || p.door != nil {
			t.Error(err, p.door)
		}
	}
	p := &Player{}
	p.Knock(working)
	// Another goroutine may have got the number by then.
	var before, after unix.Stat_t
	if err := unix.Fstat(p.door.fd, &before); err != nil {
		t.Fatal(err)
	}
	fd := p.door.fd
	p.Leave()
	if err := unix.Fstat(fd, &after); err == nil && before.Ino == after.Ino {
		t.Error("the connection is open still")
	}
}

// What was asked for ahead is the scope, if it is the plan's; else the plan's comes
// after it.
func TestAScopeThatWasAskedForAheadIsThePlansOrIsFollowedByIt(t *testing.T) {
	for _, direct := range []bool{true, false} {
		units := make(chan string, 3)
		bus := plan.Bus{Direct: direct, Address: systemd(t, func(c net.Conn, serial uint32, unit string) {
			units <- unit
			job := "/job/" + unit
			c.Write(answer(methodDone, serial, "", "", "o", strs(job)))
			c.Write(removed(job, unit, "done"))
		})}
		ahead := plan.Scope{Buses: []plan.Bus{bus}, Controllers: []string{"memory", "pids"}}
		for _, tt := range []struct {
			controllers []string
			asked       int
		}{{[]string{"memory", "pids"}, 1}, {[]string{"cpu", "memory", "pids"}, 2}} {
			p := &Player{}
			p.Knock(bus)
			p.Ask(ahead)
			seen := map[string]bool{<-units: true} // nobody has waited yet
			if err := p.startScope(plan.Scope{Buses: ahead.Buses, Controllers: tt.controllers}); err != nil {
				t.Error(err)
			}
			for len(units) > 0 {
				seen[<-units] = true
			}
			if len(seen) != tt.asked || p.door != nil {
				t.Errorf("%v, directly %v: asked for %d scopes, want %d", tt.controllers, direct, len(seen), tt.asked)
			}
		}
	}
	// Nobody is at the door, or at another one.
	p := &Player{}
	p.Ask(plan.Scope{Buses: []plan.Bus{{Address: "unix:path=/nonexistent"}}})
	if p.door != nil {
		t.Error("a door from nowhere")
	}
}

func TestAUnitOfThatNameMeansAnother(t *testing.T) {
	seen := map[string]bool{}
	bus := systemd(t, func(c net.Conn, serial uint32, unit string) {
		if len(seen) < 2 {
			seen[unit] = true
			c.Write(answer(methodFail, serial, "", unitExists, "s", strs("it is there")))
			return
		}
		c.Write(answer(methodDone, serial, "", "", "o", strs("/job")))
		c.Write(removed("/job", unit, "done"))
	})
	if err := (&Player{}).startScope(plan.Scope{Buses: []plan.Bus{{Address: bus, Direct: true}}}); err != nil || len(seen) != 2 {
		t.Errorf("%v after %d names", err, len(seen))
	}
}

// A bus that hangs costs two seconds in all, and leaves time for another.
func TestASilentBusEndsInTime(t *testing.T) {
	silent := systemd(t, func(net.Conn, uint32, string) {})
	start := time.Now()
	err := (&Player{}).startScope(plan.Scope{Buses: []plan.Bus{{Address: silent, Direct: true}, {Address: silent}}})
	var be *BusError
	if !errors.As(err, &be) || len(be.Tried) != 2 || !errors.Is(be.Tried[0].Err, errSilent) || time.Since(start) > scopePatience+time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	working := systemd(t, func(c net.Conn, serial uint32, unit string) {
		c.Write(answer(methodDone, serial, "", "", "o", strs("/job")))
		c.Write(removed("/job", unit, "done"))
	})
	if err := (&Player{}).startScope(plan.Scope{Buses: []plan.Bus{{Address: silent, Direct: true}, {Address: "unix:path=/nonexistent"}, {Address: working}}}); err != nil {
		t.Error(err)
	}
}

func TestAddressesOfLocalSocketsAreRead(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/user/1000/bus":           "/run/user/1000/bus",
		"unix:path=/run/a%20b,guid=00":           "/run/a b",
		"unix:abstract=/tmp/dbus-x,guid=1":       "@/tmp/dbus-x",
		"tcp:host=localhost;unix:path=/x":        "/x",
		"unix:runtime=yes;unix:path=/y":          "/y",
		"tcp:host=localhost":                     "",
		"garbage":                                "",
		"unix:path=/" + strings.Repeat("a", 200): "",
		"unix:path=%zz":                          "",
	} {
		got := ""
		if a, err := sockaddr(address); err == nil {
			got = a.Name
		}
		if got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(removed("/j", "u", "done"))
	f.Add(answer(methodFail, 1, "", "a.b", "s", strs("no")))
	f.Add(call(1, busName, busPath, busName, "Hello", "", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := parse(b)
		if n > len(b) || err == nil && n < 0 {
			t.Fatal(n)
		}
		if n > 0 {
			m.failure()
			m.body.uint32()
			m.body.string()
		}
	})
}

func FuzzSockaddr(f *testing.F) {
	f.Add("unix:path=/run/user/1/bus,guid=%41")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := sockaddr(s); err == nil && (a.Name == "" || len(a.Name) > 108) {
			t.Fatalf("%q", a.Name)
		}
	})
}
