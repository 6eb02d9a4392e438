package seccomp

import (
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"golang.org/x/sys/unix"

	"encoding/json"
)

func caps(name string) (int, bool) {
	n, ok := map[string]int{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH}[name]
	return n, ok || strings.HasPrefix(name, "CAP_")
}

var here = Where{Caps: RootCaps, Kernel: [2]int{6, 1}, CapNumber: caps}

func programOf(text string, w Where) ([]byte, error) {
	p, err := Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return p.program(&amd64, w)
}

func TestAProfileThatIsNoneIsRefused(t *testing.T) {
	rule := func(s string) string { return `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + s + `]}` }
	for text, want := range map[string]string{
		``:                                     "ends early",
		`{`:                                    "ends early",
		"{\n\n\"defaultAction\": 7}":           "line 3: ",
		`null`:                                 "no defaultAction",
		`{}`:                                   "no defaultAction",
		`[]`:                                   "array",
		`{"defaultAction":"SCMP_ACT_ALLOW"} x`: "behind",
		`{"defaultAction":"ALLOW"}`:            "no action",
		`{"defaultAction":"SCMP_ACT_ALLOW","sycalls":[]}`:                                   "sycalls",
		`{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}`:                                  "flags",
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_S390X"]}`:            "other processors",
		`{"defaultAction":"SCMP_ACT_ERRNO"}`:                                                ErrForbidsExec.Error(),
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}`:                         "no errno",
		rule(`{"names":["bpf"],"action":"SCMP_ACT_NOTIFY"}`):                                "SCMP_ACT_NOTIFY",
		rule(`{"action":"SCMP_ACT_ERRNO"}`):                                                 "no names",
		rule(`{"name":"bpf","names":["bpf"],"action":"SCMP_ACT_ERRNO"}`):                    "both",
		rule(`{"names":["ptraec"],"action":"SCMP_ACT_ERRNO"}`):                              "ptraec",
		rule(`{"names":["bpf"],"action":"SCMP_ACT_ERRNO","arg":[]}`):                        `"arg"`,
		rule(`{"names":["bpf"],"action":"SCMP_ACT_ERRNO","args":[{"index":6}]}`):            "argument 6",
		rule(`{"names":["bpf"],"action":"SCMP_ACT_ERRNO","args":[{"op":"EQ"}]}`):            "no comparison",
		rule(`{"names":["bpf"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["X"]}}`):       "no capability",
		rule(`{"names":["bpf"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"four"}}`): "no version",
		rule(`{"names":["execve"],"action":"SCMP_ACT_KILL"}`):                               ErrForbidsExec.Error(),
	} {
		if _, err := programOf(text, here); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestAProfileDoesWhatItSays(t *testing.T) {
	const socketNoVsock = `{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}`
	deny := func(rules string) string {
		return `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":13,"syscalls":[{"names":["execve","no_such_call"],"action":"SCMP_ACT_ALLOW"},` + rules + `]}`
	}
	eacces := Errno(uint16(unix.EACCES))
	tests := []struct {
		text string
		call Call
		says Verdict
	}{
		{deny(socketNoVsock), Call{amd64.arch, 41, [6]uint64{2}}, Allow},
		{deny(socketNoVsock), Call{amd64.arch, 41, [6]uint64{40}}, eacces},
		// The kernel takes an int: docker's own words must not be got round by
		// the high half.
		{deny(socketNoVsock), Call{amd64.arch, 41, [6]uint64{1<<32 | 40}}, eacces},
		// Two conditions on an argument are alternatives, on two arguments both.
		{deny(`{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":0,"op":"SCMP_CMP_EQ"},{"index":1,"value":15,"op":"SCMP_CMP_EQ"}]}`), Call{amd64.arch, 62, [6]uint64{1, 15}}, Allow},
		{deny(`{"names":["kill"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":15,"op":"SCMP_CMP_EQ"}]}`), Call{amd64.arch, 62, [6]uint64{2, 15}}, eacces},
		// A rule with conditions comes before one without, wherever it stands.
		{deny(`{"names":["ioctl"],"action":"SCMP_ACT_ALLOW"},{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":21522,"op":"SCMP_CMP_EQ"}]}`), Call{amd64.arch, 16, [6]uint64{0, unix.TIOCSTI}}, eperm},
		{deny(`{"names":["ioctl"],"action":"SCMP_ACT_ALLOW"},{"names":["ioctl"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":21522,"op":"SCMP_CMP_EQ"}]}`), Call{amd64.arch, 16, [6]uint64{0, unix.TCGETS}}, Allow},
		{deny(`{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}]}`), Call{amd64.arch, 56, [6]uint64{unix.CLONE_NEWUSER}}, eacces},
		{deny(`{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}]}`), Call{amd64.arch, 56, [6]uint64{17}}, Allow},
		{deny(`{"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}`), Call{amd64.arch, 165, [6]uint64{}}, eacces},
		{deny(`{"names":["mount"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}}`), Call{amd64.arch, 165, [6]uint64{}}, Allow},
		{deny(`{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}}`), Call{amd64.arch, 101, [6]uint64{}}, Allow},
		{deny(`{"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"6.2"}}`), Call{amd64.arch, 101, [6]uint64{}}, eacces},
		{deny(`{"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64","x32"]}}`), Call{amd64.arch, 158, [6]uint64{}}, Allow},
		// What is newer than the profile is not there, what lies between is refused.
		{deny(`{"names":["openat2"],"action":"SCMP_ACT_ALLOW"}`), Call{amd64.arch, 438, [6]uint64{}}, enosys},
		{deny(`{"names":["openat2"],"action":"SCMP_ACT_ALLOW"}`), Call{amd64.arch, 436, [6]uint64{}}, eacces},
		{deny(`{"names":["openat2"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}`), Call{amd64.arch, 437, [6]uint64{}}, eacces},
		{deny(`{"names":["openat2"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}}`), Call{amd64.arch, 438, [6]uint64{}}, enosys},
		{`{"defaultAction":"SCMP_ACT_KILL_PROCESS","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ALLOW"}]}`, Call{amd64.arch, 438, [6]uint64{}}, KillProcess},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"}]}`, Call{amd64.arch, 438, [6]uint64{}}, Allow},
		// Entries that the profile does not open.
		{`{"defaultAction":"SCMP_ACT_ALLOW"}`, Call{amd64.sub.arch, 1, [6]uint64{}}, enosys},
		{`{"defaultAction":"SCMP_ACT_ALLOW"}`, Call{amd64.arch, x32Bit | 1, [6]uint64{}}, enosys},
		{`{"defaultAction":"SCMP_ACT_ALLOW"}`, Call{amd64.arch, 1, [6]uint64{}}, Allow},
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}`,
			Call{amd64.sub.arch, 20, [6]uint64{}}, eacces}, // getpid of i386
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}`,
			Call{amd64.arch, 20, [6]uint64{}}, Allow},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"bpf","action":"SCMP_ACT_TRAP"}]}`, Call{amd64.arch, 321, [6]uint64{}}, Trap},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"bpf","action":"SCMP_ACT_ERRNO","errno":"ENOSYS"}]}`, Call{amd64.arch, 321, [6]uint64{}}, enosys},
	}
	for _, tt := range tests {
		p, err := programOf(tt.text, here)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if err := valid(p); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		if got := Eval(p, tt.call); got != tt.says {
			t.Errorf("%s: %+v: %#x, want %#x", tt.text, tt.call, got, tt.says)
		}
	}
}

// docker's own profile, read from JSON, and the default filter say the same of
// a call, but for what nobox closes beyond it.
func TestDockersProfileAndTheDefaultFilterAgree(t *testing.T) {
	text, err := json.Marshal(moby.DefaultProfile())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range abis {
		w := here
		w.CapNumber = func(n string) (int, bool) {
			for i, c := range []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"} {
				if c == n {
					return i, true
				}
			}
			if n == "CAP_SYS_CHROOT" {
				return unix.CAP_SYS_CHROOT, true
			}
			return unix.CAP_SYS_MODULE, true // one that a box has not
		}
		docker, err := p.program(a, w)
		if err != nil {
			t.Fatal(err)
		}
		own := filterFor(t, a, Want{Caps: RootCaps})
		for line := range strings.Lines(a.names) {
			call, _, _ := strings.Cut(line, " ")
			nr := a.nr(t, call)
			c := Call{Arch: a.arch, Nr: nr}
			if call == "socket" || call == "socketpair" {
				c.Args[0] = unix.AF_INET
			}
			d, o := Eval(docker, c), Eval(own, c)
			switch {
			case d == o, d == eperm && o == enosys:
			case call == "socketpair": // docker leaves its family open; the kernel knows one
			default:
				t.Errorf("%s: %s: docker %#x, nobox %#x", name, call, d, o)
			}
		}
	}
}

// FuzzProfile: whatever a file holds, it is a filter that the kernel would
// take, and under which execve is not refused outright, or an error.
func FuzzProfile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["execve"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":3,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"}]}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"name":"socket","action":"SCMP_ACT_ERRNO","errnoRet":97,"includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"}}]}`))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":[{"names":["execve","clone3"],"action":"SCMP_ACT_ALLOW","excludes":{"arches":["arm64"]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			if s := err.Error(); s == "" || strings.ContainsAny(s, "\n\x1b") {
				t.Fatalf("%q", s)
			}
			return
		}
		for _, a := range abis {
			b, err := p.program(a, here)
			if err != nil {
				continue
			}
			if err := valid(b); err != nil {
				t.Fatal(err)
			}
			if v := Eval(b, Call{Arch: a.arch, Nr: a.nr(t, "execve")}); len(p.Syscalls) == 0 && v != Allow && v != Log {
				t.Fatalf("execve is %#x", v)
			}
		}
	})
}
