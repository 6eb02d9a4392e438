package cli

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"nobox/plan"
	"nobox/sandbox"
)

// FuzzParse reads any arguments, separated by newlines: each either means
// something or is an error that can be shown.
func FuzzParse(f *testing.F) {
	for i := range flags {
		for _, s := range flags[i].spellings() {
			fl := flags[i]
			f.Add(s + "\n" + good(&fl) + "\n--\nls\n-l")
			f.Add(s + "=" + good(&fl))
			f.Add(s + good(&fl))
		}
	}
	for _, s := range []string{"", "ls\n-l", "help\n-v", "exec", "-it", "-test.v", "a\n--net=none\n--\nb", "--env-file\nf", "\xff\n--\n\xff",
		"-v\n/a:/b:ro,rw", "--tmpfs\n/a:size=1.5g,mode=1777", "-u\n0x0", "--uidmap\n0:@0:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\n")
		read := func(name string) ([]byte, error) {
			if len(name)%2 == 0 {
				return nil, fs.ErrNotExist
			}
			return []byte(name + "=" + name), nil
		}
		o, err := parse(args, read)
		if (o == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", args, o, err)
		}
		if err != nil {
			var usage *UsageError
			if !errors.As(err, &usage) {
				t.Fatalf("%q: %T", args, err)
			}
			var b strings.Builder
			SayError(&b, err)
			said := b.String()
			for l := range strings.Lines(said) {
				if !strings.HasPrefix(l, "nobox: ") || !utf8.ValidString(l) || plan.Printable(strings.TrimSuffix(l, "\n")) != strings.TrimSuffix(l, "\n") {
					t.Fatalf("%q: %q", args, said)
				}
			}
			return
		}
		if o.Verb == "help" && Help(o.Topic) == "" || o.Verb == "completion" && Completion(o.Topic) == "" {
			t.Fatalf("%q: %s %s prints nothing", args, o.Verb, o.Topic)
		}
		check(t, args, o.Options)
	})
}

// check holds what sandbox may rely on.
func check(t *testing.T, args []string, o sandbox.Options) {
	for _, b := range o.Binds {
		if b.Source == "" || b.From == "" || len(b.Target) < 2 || b.Target[0] != '/' || strings.Contains(b.Target, "//") {
			t.Fatalf("%q: %+v", args, b)
		}
	}
	for _, m := range o.Tmpfs {
		if m.From == "" || len(m.Target) < 2 || m.Target[0] != '/' || m.Mode > 0o7777 {
			t.Fatalf("%q: %+v", args, m)
		}
	}
	for _, e := range o.Env {
		if e.Name == "" || e.From == "" || strings.ContainsAny(e.Name, "=\x00") || strings.Contains(e.Value, "\x00") {
			t.Fatalf("%q: %+v", args, e)
		}
	}
	for _, u := range o.Ulimits {
		if u.From == "" || u.Soft > u.Hard {
			t.Fatalf("%q: %+v", args, u)
		}
	}
	for _, m := range append(o.UIDMap, o.GIDMap...) {
		if m.Count == 0 || m.From == "" || uint64(m.Box)+uint64(m.Count) > 1<<32-1 {
			t.Fatalf("%q: %+v", args, m)
		}
	}
	if o.Workdir != "" && o.Workdir[0] != '/' || len(o.Hostname) > 64 || o.Timeout < 0 || o.StopTimeout < 0 {
		t.Fatalf("%q: %+v", args, o)
	}
	if len(o.UIDMap)+len(o.GIDMap) > 0 && o.Userns != sandbox.UsernsAuto {
		t.Fatalf("%q: two ways to map ids", args)
	}
}

// FuzzEnvFile reads any file: names that can be set, or an error with a line.
func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"", "A=B\n", "\ufeffA=B\r\n", "# x\n\n A", "=x", "a b=c", "A=\x00", "export A=B", "\r\r\n=", "\xff=\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, err := envFile("f", "--env-file", data)
		if err != nil {
			if vars != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("%q: %v, %v", data, vars, err)
			}
			return
		}
		for _, e := range vars {
			if e.Name == "" || strings.ContainsAny(e.Name, "=\x00\n \t") || strings.ContainsAny(e.Value, "\x00\n") || e.FromCaller && e.Value != "" {
				t.Fatalf("%q: %+v", data, e)
			}
		}
	})
}

// FuzzSizes reads any number: a size, a count of CPUs, a time, a limit or a list
// of ports. What is taken is in bounds, and means the same when it is written as
// the plain number that it came to.
func FuzzSizes(f *testing.F) {
	for _, s := range []string{"", "0", "1", "512", "64k", "1.5g", "10MiB", "18446744073709551615", "18446744073709551616", "16383.999999p", "1.p", ".5m", "1e3", "-1", "+1", " 1",
		"0.00001", "1h2m3s", "9223372036854775807ns", "nofile=1:2", "cpu=-1", "stack=unlimited", "443,80", "65535", "0,0", "１", "0x10", "1_000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := size(s); err == nil {
			if again, err := size(strconv.FormatUint(n, 10)); err != nil || again != n || n == 0 {
				t.Fatalf("%q is %d, and that is %d, %v", s, n, again, err)
			}
		}
		if n, err := cpus(s); err == nil && n > 1<<62 {
			t.Fatalf("%q: %d CPUs", s, n)
		}
		if d, err := duration(s); err == nil {
			if again, err := duration(d.String()); err != nil || again != d || d < 0 {
				t.Fatalf("%q is %v, and that is %v, %v", s, d, again, err)
			}
		}
		if u, err := ulimit(s); err == nil && (u.Soft > u.Hard || u.Name == "" || u.Resource < 0) {
			t.Fatalf("%q: %+v", s, u)
		}
		var ports []uint16
		if err := tcpPorts(s, 1, &ports); err == nil && (len(ports) == 0 || slices.Contains(ports, 0)) {
			t.Fatalf("%q: %v", s, ports)
		}
	})
}
