package sandbox

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/internal/nstest"
	"nobox/plan"
)

// What cannot be limited has its cause and its remedy, by what the machine is.
func TestALimitThatCannotBeEnforcedSaysWhyAndWhatHelps(t *testing.T) {
	memory := Limits{Memory: Amount{64 << 20, "-m 64m"}}
	cpuset := Limits{CPUSet: "0", CPUSetFrom: "--cpuset-cpus 0"}
	disk := Limits{Devices: []DeviceLimit{{"/srv", "rbps", 1, "--device-read-bps /srv:1"}}}
	with := func(l Limits, where string) Limits {
		l.Cgroup, l.CgroupFrom = where, "--cgroup "+where
		return l
	}
	for _, c := range []struct {
		name   string
		limits Limits
		f      func(*host.Facts)
		cause  string
		hint   string
	}{
		{"no manager", memory, func(f *host.Facts) { f.Cgroups.Manager = host.Manager{} }, "no systemd of yours is running: ana is not logged in, and does not linger", "sudo loginctl enable-linger ana"},
		{"a manager that ended", memory, func(f *host.Facts) { f.Cgroups.Manager = host.Manager{Linger: true, Runtime: "/run/user/1000"} }, "your own systemd is not running", "sudo systemctl start user@1000.service"},
		{"not delegated", cpuset, nil, "the machine's systemd does not delegate the cpuset controller to you (user@1000.service has: cpu memory pids)", `printf '[Service]\nDelegate=cpu cpuset io memory pids\n'`},
		{"not delegated, io", disk, nil, "does not delegate the io controller", "systemctl restart user@1000.service"},
		{"hybrid", memory, func(f *host.Facts) { f.Cgroups.Mode, f.Cgroups.V1 = host.CgroupHybrid, []string{"memory", "cpu"} }, "version 1 of cgroups holds the controllers here (memory cpu)", "systemd.unified_cgroup_hierarchy=1"},
		{"version 1", memory, func(f *host.Facts) { f.Cgroups.Mode, f.Cgroups.Systemd = host.CgroupLegacy, false }, "cgroups of version 1 alone", "cgroup_no_v1=all"},
		{"none", memory, func(f *host.Facts) { f.Cgroups.Mode = host.CgroupNone }, "no cgroup file system is mounted here", "sudo mount -t cgroup2"},
		{"read-only", memory, func(f *host.Facts) { f.Cgroups.ReadOnly = true }, "/sys/fs/cgroup is mounted read-only", "unmask=/sys/fs/cgroup"},
		{"switched off", memory, func(f *host.Facts) {
			f.Cgroups.Off, f.Cgroups.Manager.Given = []string{"memory"}, []string{"pids"}
		}, "cgroup_disable=memory", "command line"},
		{"not built", disk, func(f *host.Facts) { f.Cgroups.Kernel = []string{"memory"} }, "built without the io controller, CONFIG_BLK_CGROUP", ""},
		{"a silent bus", memory, func(f *host.Facts) { f.Refused = map[plan.Fact]string{plan.FactScope: "no answer in time"} }, "systemd gave no cgroup: no answer in time", "systemctl --user status"},
		{"nobody delegated", memory, func(f *host.Facts) {
			f.Cgroups = nstest.Delegated()
			f.Cgroups.Here.Writable, f.Cgroups.Here.Path = false, "/sys/fs/cgroup/job"
		}, "nobody delegated a cgroup", "chown ana /sys/fs/cgroup/ana"},
		{"a container without it", cpuset, func(f *host.Facts) {
			f.Cgroups = nstest.Delegated()
			f.Cgroups.Here.Controllers = []string{"memory"}
		}, `the cpuset controller was not delegated to /sys/fs/cgroup, which has: memory`, "whoever started this container"},
		{"threaded", memory, func(f *host.Facts) {
			f.Cgroups = nstest.Delegated()
			f.Cgroups.Here.Type = "threaded"
		}, "of type threaded", ""},
		{"another's", with(memory, "/sys/fs/cgroup/x"), func(f *host.Facts) { f.Cgroups.Named = host.CgroupDir{Path: "/sys/fs/cgroup/x"} }, "/sys/fs/cgroup/x is not yours to make cgroups in", "sudo chown ana /sys/fs/cgroup/x"},
		{"not there", with(memory, "/x"), func(f *host.Facts) { f.Cgroups.Named = host.CgroupDir{Path: "/sys/fs/cgroup/x", Err: unix.ENOENT} }, "no such file or directory", ""},
		{"off", with(memory, "off"), nil, "--cgroup=off was given too", ""},
		{"no weights", Limits{IOWeight: Amount{5, "--io-weight 5"}}, func(f *host.Facts) {
			f.Cgroups = nstest.Delegated()
			f.Refused = map[plan.Fact]string{plan.FactLimit("io.weight"): "this kernel has no io.weight"}
		}, "this kernel has no io.weight", "BFQ"},
		{"more CPUs than there are", Limits{CPUs: Amount{500000, "--cpus 5"}}, nil, "there are only 4 CPUs", ""},
		{"no disk", disk, func(f *host.Facts) { f.Disks = map[string]host.Disk{"/srv": {Err: host.ErrNoDisk}} }, "not on a block device", "tmpfs, overlay"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scene{o: Options{Command: []string{"id"}, Limits: c.limits}, f: func(f *host.Facts) {
				f.Cgroups = nstest.Cgroups()
				if c.f != nil {
					c.f(f)
				}
			}}
			f := s.facts()
			_, err := Compile(s.o, f)
			if err == nil {
				t.Fatal("there is a plan")
			}
			d := Diagnose(err, s.o, f)
			if !strings.HasPrefix(err.Error(), "cannot ") || !strings.Contains(err.Error(), c.cause) || !strings.Contains(strings.Join(d.Hints, "\n"), c.hint) || c.hint != "" && len(d.Hints) == 0 {
				t.Errorf("%v\n%q\nwant %q and %q", err, d.Hints, c.cause, c.hint)
			}
			line := "cgroup"
			switch c.name {
			case "no manager":
				line = "linger"
			case "a manager that ended", "a silent bus":
				line = "bus"
			case "another's", "not there", "off", "no weights", "more CPUs than there are", "no disk":
				line = "" // the doctor knows nothing of what was asked
			}
			if got := DoctorLine(err); got != line {
				t.Errorf("it points to the doctor's line %q, want %q", got, line)
			}
			// With best effort it goes on, but for what contradicts itself.
			s.o.Limits.BestEffort = true
			p, err := Compile(s.o, f)
			var own *Error
			switch {
			case errors.As(err, &own):
			case err != nil:
				t.Error(err)
			case len(p.Notes) == 0 || !strings.HasSuffix(p.Notes[len(p.Notes)-1], "(--best-effort)") && !strings.Contains(strings.Join(p.Notes, "\n"), "dropped "):
				t.Errorf("it does not say what it dropped: %q", p.Notes)
			case p.Check() != nil:
				t.Error(p.Check())
			}
		})
	}
}

func TestBytesReadWell(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 64 << 20: "64 MiB", 3 << 29: "1.5 GiB", 1<<20 - 1: "1 MiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestWhatIsDoneBesideIsNotWhereNoProcessIsToSpare(t *testing.T) {
	for limit, beside := range map[uint64]bool{1: false, 2: false, 3: true, 100: true} {
		s := scene{o: Options{Command: []string{"id"}, Net: NetNone, AsPid1: true, Limits: Limits{Pids: Amount{limit, "--pids-limit"}}}, f: func(f *host.Facts) { f.Cgroups = nstest.Cgroups() }}
		p, err := Compile(s.o, s.facts())
		if err != nil {
			t.Fatal(err)
		}
		got := false
		for _, step := range p.Steps {
			got = got || step.Side == plan.Beside
		}
		if got != beside {
			t.Errorf("--pids-limit %d: beside is %v", limit, got)
		}
	}
}
