package cli

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nobox/sandbox"
)

// noFiles is the --env-file reader of tests that read none.
func noFiles(string) ([]byte, error) { return nil, fs.ErrNotExist }

// line splits a command line at spaces; "␣" is a space in a word, "∅" an empty
// one.
func line(s string) []string {
	args := strings.Fields(s)
	for i := range args {
		args[i] = strings.NewReplacer("␣", " ", "∅", "").Replace(args[i])
	}
	return args
}

func TestFlagsSetOptions(t *testing.T) {
	type opts = sandbox.Options
	for _, c := range []struct {
		line string
		want opts
	}{
		{"", opts{}},
		{"--", opts{}},
		{"-- ls -l", opts{Command: []string{"ls", "-l"}}},
		{"-- ls -- --net=host", opts{Command: []string{"ls", "--", "--net=host"}}},
		{"-- ∅", opts{Command: []string{""}}},
		{"-- help", opts{Command: []string{"help"}}},

		{"--rootfs ./debian", opts{Rootfs: "./debian"}},
		{"--rootfs=a␣b", opts{Rootfs: "a b"}},
		{"--root /srv", opts{Rootfs: "/srv"}},
		{"-R /srv", opts{Rootfs: "/srv"}},
		{"-R=/srv", opts{Rootfs: "/srv"}},
		{"-R/srv", opts{Rootfs: "/srv"}},
		{"--read-only", opts{ReadOnly: true}},
		{"--read-only=true --read-only=0", opts{}},
		{"--hostname box-1.lan", opts{Hostname: "box-1.lan"}},

		{"--cwd=rw", opts{Cwd: sandbox.ShareRW}},
		{"--cwd ro", opts{Cwd: sandbox.ShareRO}},
		{"--cwd=rw --cwd=hidden", opts{Cwd: sandbox.ShareHidden}},
		{"--home=rw", opts{Home: sandbox.ShareRW}},
		{"--home=ro", opts{Home: sandbox.ShareRO}},
		{"--home=hidden", opts{Home: sandbox.ShareHidden}},

		{"-v /a:/b", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", From: "-v /a:/b"}}}},
		{"-v/a:/b --volume=./a␣b:/c/../d/:ro -v=.:/e:rw,nosuid", opts{Binds: []sandbox.Bind{
			{Source: "/a", Target: "/b", From: "-v /a:/b"},
			{Source: "./a b", Target: "/d", ReadOnly: true, From: `--volume "./a b:/c/../d/:ro"`},
			{Source: ".", Target: "/e", From: "-v .:/e:rw,nosuid"}}}},
		{"-v ..:/b:ro,ro,nodev", opts{Binds: []sandbox.Bind{{Source: "..", Target: "/b", ReadOnly: true, From: "-v ..:/b:ro,ro,nodev"}}}},
		{"-v x/:/b", opts{Binds: []sandbox.Bind{{Source: "x/", Target: "/b", From: "-v x/:/b"}}}},

		{"-v /a:/b:noexec,bind", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", NoExec: true, Flat: true, From: "-v /a:/b:noexec,bind"}}}},
		{"--bind /a:x /b --ro-bind . /c -- ls", opts{Command: []string{"ls"}, Binds: []sandbox.Bind{{Source: "/a:x", Target: "/b", From: "--bind /a:x /b"},
			{Source: ".", Target: "/c", ReadOnly: true, From: "--ro-bind . /c"}}}},
		{"-v /a:/b:ro,rprivate,cached", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", ReadOnly: true, From: "-v /a:/b:ro,rprivate,cached"}}}},
		{"--mount TYPE=bind,SRC=/a,dst=/b,rw=false,bind-propagation=rprivate,consistency=cached,bind-recursive=readonly", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", ReadOnly: true,
			From: "--mount TYPE=bind,SRC=/a,dst=/b,rw=false,bind-propagation=rprivate,consistency=cached,bind-recursive=readonly"}}}},
		{"--mount type=bind,src=/a,dst=/b,rw,bind-nonrecursive", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", Flat: true, From: "--mount type=bind,src=/a,dst=/b,rw,bind-nonrecursive"}}}},
		{"--device /dev/a:rwm", opts{Devices: []sandbox.Device{{Source: "/dev/a", Target: "/dev/a", From: "--device /dev/a:rwm"}}}},
		{"--add-host db=2001:db8::1", opts{AddHosts: []sandbox.AddHost{{Name: "db", Address: "2001:db8::1"}}}},
		{"--mount type=bind,src=/a,dst=/b,readonly,bind-recursive=disabled", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", ReadOnly: true, Flat: true,
			From: "--mount type=bind,src=/a,dst=/b,readonly,bind-recursive=disabled"}}}},
		{"--mount type=bind,src=/a,dst=/b,nosuid,nodev=true", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", From: "--mount type=bind,src=/a,dst=/b,nosuid,nodev=true"}}}},
		{"--mount type=tmpfs,dst=/b,nosuid,nodev", opts{Tmpfs: []sandbox.Tmpfs{{Target: "/b", From: "--mount type=tmpfs,dst=/b,nosuid,nodev"}}}},
		{"--mount \"source=/a,b\",target=/b,ro=false", opts{Binds: []sandbox.Bind{{Source: "/a,b", Target: "/b", From: "--mount \"\\\"source=/a,b\\\",target=/b,ro=false\""}}}},
		{"--mount type=tmpfs,destination=/t,tmpfs-size=1k,tmpfs-mode=700,noexec", opts{Tmpfs: []sandbox.Tmpfs{{Target: "/t", Size: 1024, Mode: 0o700,
			Options: struct{ ReadOnly, NoExec bool }{false, true}, From: "--mount type=tmpfs,destination=/t,tmpfs-size=1k,tmpfs-mode=700,noexec"}}}},
		{"--overlay", opts{Overlay: true}},
		{"--overlay=../d", opts{Overlay: true, OverlayDir: "../d", OverlayDirFrom: "--overlay ../d"}},
		{"--cwd=overlay --home=overlay --overlay-dir d", opts{Cwd: sandbox.ShareOverlay, Home: sandbox.ShareOverlay, OverlayDir: "d", OverlayDirFrom: "--overlay-dir d"}},
		{"-v /a:/b:O,noexec", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", Overlay: true, NoExec: true, From: "-v /a:/b:O,noexec"}}}},
		{"--mount type=overlay,src=/a,dst=/b", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", Overlay: true, From: "--mount type=overlay,src=/a,dst=/b"}}}},
		{"--mask **/.env --mask /etc", opts{Masks: []sandbox.Mask{{Path: "**/.env", From: "--mask **/.env"}, {Path: "/etc", From: "--mask /etc"}}}},
		{"--device /dev/kvm --device /dev/a:/dev/b/:rwm", opts{Devices: []sandbox.Device{{Source: "/dev/kvm", Target: "/dev/kvm", From: "--device /dev/kvm"},
			{Source: "/dev/a", Target: "/dev/b", From: "--device /dev/a:/dev/b/:rwm"}}}},

		{"--tmpfs /t", opts{Tmpfs: []sandbox.Tmpfs{{Target: "/t", From: "--tmpfs /t"}}}},
		{"--tmpfs //t/:size=64m,mode=0700,ro,noexec,nosuid,nodev", opts{Tmpfs: []sandbox.Tmpfs{{Target: "/t", Size: 64 << 20, Mode: 0o700,
			Options: struct{ ReadOnly, NoExec bool }{true, true}, From: "--tmpfs //t/:size=64m,mode=0700,ro,noexec,nosuid,nodev"}}}},
		{"--tmpfs /t:rw,exec", opts{Tmpfs: []sandbox.Tmpfs{{Target: "/t", From: "--tmpfs /t:rw,exec"}}}},

		{"--bind-try /a /b --ro-bind-try /c /d", opts{Binds: []sandbox.Bind{{Source: "/a", Target: "/b", Try: true, From: "--bind-try /a /b"},
			{Source: "/c", Target: "/d", Try: true, ReadOnly: true, From: "--ro-bind-try /c /d"}}}},
		{"--proc /proc --dev /dev/ --mqueue /dev/mqueue --new-session --fork --kill-child --kill-child=SIGKILL --mount-proc=/proc --mount-proc", opts{}},
		{"--pid --ipc=private --uts --cgroupns=private --disable-userns --security-opt label=disable --security-opt apparmor=unconfined", opts{}},
		{"-Urf", opts{Userns: sandbox.UsernsRoot, UsernsFrom: "-r"}},
		{"-nC", opts{Net: sandbox.NetNone, NetFrom: "-n"}},
		{"--die-with-parent", opts{EndWithParent: true}},
		{"--wd /src", opts{Workdir: "/src"}},
		{"-w /src/", opts{Workdir: "/src"}},
		{"--workdir=/", opts{Workdir: "/"}},
		{"--chdir /a/../b", opts{Workdir: "/b"}},

		{"-e K=V --env K -eA=B=C -e=X=Y -e D=", opts{Env: []sandbox.EnvVar{
			{Name: "K", Value: "V", From: "-e K"}, {Name: "K", FromCaller: true, From: "--env K"},
			{Name: "A", Value: "B=C", From: "-e A"}, {Name: "X", Value: "Y", From: "-e X"}, {Name: "D", From: "-e D"}}}},
		{"--setenv K ∅ --setenv L v", opts{Env: []sandbox.EnvVar{{Name: "K", From: "--setenv K"}, {Name: "L", Value: "v", From: "--setenv L"}}}},
		{"-e A=B --clearenv -e C=D --unsetenv E", opts{EnvClear: true, Env: []sandbox.EnvVar{{Name: "C", Value: "D", From: "-e C"}, {Name: "E", Unset: true, From: "--unsetenv E"}}}},
		{"--env-host", opts{EnvHost: true}},

		{"--userns=auto", opts{UsernsFrom: "--userns=auto"}},
		{"--userns keep-id", opts{Userns: sandbox.UsernsKeepID, UsernsFrom: "--userns=keep-id"}},
		{"--userns=keep-id --userns=auto", opts{UsernsFrom: "--userns=auto"}},
		{"-r", opts{Userns: sandbox.UsernsRoot, UsernsFrom: "-r"}},
		{"--map-root-user", opts{Userns: sandbox.UsernsRoot, UsernsFrom: "--map-root-user"}},
		{"-c", opts{Userns: sandbox.UsernsKeepID, UsernsFrom: "-c"}},
		{"--map-current-user -c", opts{Userns: sandbox.UsernsKeepID, UsernsFrom: "-c"}},
		{"-r -r=false", opts{}},
		{"-r=false -c", opts{Userns: sandbox.UsernsKeepID, UsernsFrom: "-c"}},
		{"--uidmap 0:1:1000 --uidmap 1000:0 --gidmap 0:@100000:5", opts{
			UIDMap: []sandbox.MapRequest{{Box: 0, Host: 1, Count: 1000, From: "--uidmap 0:1:1000"}, {Box: 1000, Host: 0, Count: 1, From: "--uidmap 1000:0"}},
			GIDMap: []sandbox.MapRequest{{Box: 0, Host: 100000, Count: 5, Absolute: true, From: "--gidmap 0:@100000:5"}}}},
		{"-u 1000", opts{User: "1000"}},
		{"--user=www-data:www-data", opts{User: "www-data:www-data"}},
		{"-u0:0", opts{User: "0:0"}},
		{"-u 4294967294:wheel", opts{User: "4294967294:wheel"}},

		{"-t", opts{Terminal: sandbox.Yes}},
		{"--tty=false", opts{Terminal: sandbox.No}},
		{"-t=false", opts{Terminal: sandbox.No}},
		{"-it -- bash", opts{Terminal: sandbox.Yes, Command: []string{"bash"}}},
		{"-tic -i=false --interactive", opts{Terminal: sandbox.Yes, Userns: sandbox.UsernsKeepID, UsernsFrom: "-c"}},
		{"--as-pid-1", opts{AsPid1: true}},
		{"--timeout 90", opts{Timeout: 90 * time.Second}},
		{"--timeout=1h30m --timeout 0", opts{}},
		{"-m 512m", opts{Limits: sandbox.Limits{Memory: sandbox.Amount{Value: 512 << 20, From: "-m 512m"}}}},
		{"--memory=1.5G --memory-swap -1 --memory-reservation 1GiB", opts{Limits: sandbox.Limits{
			Memory: sandbox.Amount{Value: 3 << 29, From: "--memory 1.5G"}, MemorySwap: sandbox.Amount{Value: sandbox.Unlimited, From: "--memory-swap -1"},
			MemoryReservation: sandbox.Amount{Value: 1 << 30, From: "--memory-reservation 1GiB"}}}},
		{"-m 6m -m 7m --memory-swap 9m --memory-swap 0", opts{Limits: sandbox.Limits{Memory: sandbox.Amount{Value: 7 << 20, From: "-m 7m"}}}},
		{"--cpus .5 --cpu-weight 10 --cpuset-cpus 0-1,3", opts{Limits: sandbox.Limits{CPUs: sandbox.Amount{Value: 50000, From: "--cpus .5"},
			CPUWeight: sandbox.Amount{Value: 10, From: "--cpu-weight 10"}, CPUSet: "0-1,3", CPUSetFrom: "--cpuset-cpus 0-1,3"}}},
		{"--cpus 1.25", opts{Limits: sandbox.Limits{CPUs: sandbox.Amount{Value: 125000, From: "--cpus 1.25"}}}},
		{"--pids-limit 9", opts{Limits: sandbox.Limits{Pids: sandbox.Amount{Value: 9, From: "--pids-limit 9"}}}},
		{"--pids-limit 9 --pids-limit=-1", opts{}},
		{"--io-weight 50 --device-read-bps /a:b:1m --device-write-iops /dev/x:5", opts{Limits: sandbox.Limits{
			IOWeight: sandbox.Amount{Value: 50, From: "--io-weight 50"}, Devices: []sandbox.DeviceLimit{
				{Path: "/a:b", Key: "rbps", Rate: 1 << 20, From: "--device-read-bps /a:b:1m"}, {Path: "/dev/x", Key: "wiops", Rate: 5, From: "--device-write-iops /dev/x:5"}}}}},
		{"--cgroup systemd --cgroup-writable --best-effort", opts{Limits: sandbox.Limits{Cgroup: "systemd", CgroupFrom: "--cgroup systemd", Writable: "--cgroup-writable", BestEffort: true}}},
		{"--ulimit nofile=1024", opts{Ulimits: []sandbox.Ulimit{{Name: "nofile", Resource: unix.RLIMIT_NOFILE, Soft: 1024, Hard: 1024, From: "--ulimit nofile=1024"}}}},
		{"--ulimit core=0 --ulimit cpu=1:unlimited --ulimit core=-1", opts{Ulimits: []sandbox.Ulimit{
			{Name: "core", Resource: unix.RLIMIT_CORE, Soft: ^uint64(0), Hard: ^uint64(0), From: "--ulimit core=-1"},
			{Name: "cpu", Resource: unix.RLIMIT_CPU, Soft: 1, Hard: ^uint64(0), From: "--ulimit cpu=1:unlimited"}}}},

		{"--net=none", opts{Net: sandbox.NetNone, NetFrom: "--net=none"}},
		{"--net host", opts{Net: sandbox.NetHost, NetFrom: "--net=host"}},
		{"--net=none --network=host", opts{Net: sandbox.NetHost, NetFrom: "--network=host"}},
		{"--net=user", opts{Net: sandbox.NetUser, NetFrom: "--net=user"}},
		{"--allow-host *.example.com:443 --allow-host [2001:db8::/32]:1-2 --deny-host 10.0.0.0/8", opts{AllowHosts: []string{"*.example.com:443", "[2001:db8::/32]:1-2"}, DenyHosts: []string{"10.0.0.0/8"}}},
		{"--host-port 5432 --host-port 1", opts{HostPorts: []uint16{5432, 1}}},
		{"--add-host db:192.0.2.1 --add-host me:host-gateway --add-host six:[2001:db8::1]", opts{AddHosts: []sandbox.AddHost{{Name: "db", Address: "192.0.2.1"}, {Name: "me", Address: "host-gateway"}, {Name: "six", Address: "2001:db8::1"}}}},
		{"--dns 192.0.2.53 --dns-search example.com --dns-search . --mtu 9000 --net-log log", opts{DNS: []string{"192.0.2.53"}, DNSSearch: []string{"example.com", "."}, MTU: 9000, NetLog: "log"}},
		{"--help=false --version=false", opts{}},
	} {
		c.want.StopTimeout = DefaultStopTimeout
		o, err := parse(line(c.line), noFiles)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if want := (Invocation{Options: c.want}); !reflect.DeepEqual(*o, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.line, *o, want)
		}
	}
}

func TestFlagsSetTheInvocation(t *testing.T) {
	for _, c := range []struct {
		line string
		want Invocation
	}{
		{"--explain", Invocation{Explain: "words"}},
		{"--explain=words", Invocation{Explain: "words"}},
		{"--explain=syscalls", Invocation{Explain: "syscalls"}},
		{"--explain=json", Invocation{Explain: "json"}},
		{"--verbose", Invocation{Verbose: true}},
		{"--json-status-fd 3", Invocation{StatusFD: 3, Options: sandbox.Options{Shown: true}}},
		{"-h", Invocation{Verb: "help"}},
		{"-c --help -r", Invocation{Verb: "help"}},
		{"-rh", Invocation{Verb: "help"}},
		{"--version", Invocation{Verb: "version"}},
		{"help", Invocation{Verb: "help"}},
		{"help -v", Invocation{Verb: "help", Topic: "-v"}},
		{"help volume", Invocation{Verb: "help", Topic: "--volume"}},
		{"help v", Invocation{Verb: "help", Topic: "-v"}},
		{"help -volume", Invocation{Verb: "help", Topic: "--volume"}},
		{"help --chdir", Invocation{Verb: "help", Topic: "--chdir"}},
		{"help -h", Invocation{Verb: "help", Topic: "-h"}},
		{"help completion", Invocation{Verb: "help", Topic: "completion"}},
		{"completion --help", Invocation{Verb: "help", Topic: "completion"}},
		{"version -h", Invocation{Verb: "help", Topic: "version"}},
		{"version", Invocation{Verb: "version"}},
		{"completion zsh", Invocation{Verb: "completion", Topic: "zsh"}},
		{"man", Invocation{Verb: "man"}},
	} {
		o, err := parse(line(c.line), noFiles)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if c.want.Verb == "" {
			c.want.Options.StopTimeout = DefaultStopTimeout
		}
		if !reflect.DeepEqual(*o, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.line, *o, c.want)
		}
	}
}

func TestZeroStopTimeoutIsNotTheDefault(t *testing.T) {
	o, err := parse(line("--stop-timeout 0"), noFiles)
	if err != nil || o.Options.StopTimeout != 0 {
		t.Errorf("%v, %v", o, err)
	}
}

func TestEveryFlagIsSetBySomeTestLine(t *testing.T) {
	// The words of the tables above: a new row without a line there fails here.
	for i := range flags {
		for _, s := range flags[i].spellings() {
			f := flags[i]
			args := []string{s}
			if f.needsValue() {
				args = append(args, good(&f))
			}
			if f.second != "" {
				args = append(args, "/b")
			}
			if _, err := parse(args, func(string) ([]byte, error) { return []byte("A=B\n"), nil }); err != nil {
				t.Errorf("%q: %v", args, err)
			}
			if !f.needsValue() {
				continue
			}
			if _, err := parse(args[:1], noFiles); err == nil || !strings.Contains(err.Error(), "("+s+"): it needs a value") {
				t.Errorf("%s alone: %v", s, err)
			}
			if _, err := parse([]string{s, "--", "true"}, noFiles); err == nil || !strings.HasSuffix(err.Error(), "("+s+`): it needs a value before "--"`) {
				t.Errorf("%s --: %v", s, err)
			}
			if _, err := parse([]string{s, "--net=none"}, noFiles); err == nil || !strings.HasSuffix(err.Error(), "("+s+"): it needs a value, and --net=none is a flag") {
				t.Errorf("%s --net=none: %v", s, err)
			}
			if _, err := parse([]string{s, "a\x00b"}, noFiles); err == nil || !strings.HasSuffix(err.Error(), ": a NUL byte cannot be in it") {
				t.Errorf("%s with NUL: %v", s, err)
			}
		}
	}
}

// good is a value that the flag takes.
func good(f *flag) string {
	if f.values != nil {
		return f.values[0]
	}
	switch f.takes {
	case takesBind:
		return "/a:/b"
	case takesUlimit:
		return "nofile=1"
	case takesCap:
		return "NET_RAW"
	case takesSecurity:
		return "seccomp=unconfined"
	case takesDir:
		return "/a"
	}
	switch f.arg {
	case "/proc", "/dev", "/dev/mqueue":
		return f.arg
	case "SIZE":
		return "64m"
	case "P:RATE":
		return "/:7"
	case "WHERE":
		return "systemd"
	case "C:H:N":
		return "0:0:1"
	case "DST[:OPTIONS]", "PATH[:DST]":
		return "/a"
	case "WHAT":
		return "example.com"
	case "NAME:IP":
		return "db:192.0.2.1"
	case "IP":
		return "192.0.2.53"
	case "BYTES":
		return "1500"
	case "KEY=VALUE,...":
		return "type=tmpfs,target=/a"
	}
	return "7"
}

func TestArgumentsPassExactly(t *testing.T) {
	odd := "\xff\xfe \x1b[31m\n'\"\\$"
	o, err := parse([]string{"-e", odd + "=" + odd, "-v", "./" + odd + ":/" + odd, "-w/" + odd, "--rootfs=" + odd, "--", odd, "", "--", "-v"}, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	p := o.Options
	if !slices.Equal(p.Command, []string{odd, "", "--", "-v"}) || p.Env[0].Name != odd || p.Env[0].Value != odd ||
		p.Binds[0].Source != "./"+odd || p.Binds[0].Target != "/"+odd || p.Workdir != "/"+odd || string(p.Rootfs) != odd {
		t.Errorf("%+v", p)
	}
	many := append([]string{"--"}, slices.Repeat([]string{strings.Repeat("x", 100)}, 20000)...)
	if o, err = parse(many, noFiles); err != nil || !slices.Equal(o.Options.Command, many[1:]) {
		t.Error("20,000 arguments do not pass", err)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"hosname", "hostname"}, {"hostnmae", "hostname"}, {"host", "hostname"}, {"Hostname", "hostname"},
		{"readonly", "read-only"}, {"volumes", "volume"}, {"networks", "network"}, {"nte", "net"}, {"work-dir", "workdir"},
		{"envfile", "env-file"}, {"map-root", "map-root-user"}, {"exlpain", "explain"}, {"root-fs", "rootfs"},
		{"", ""}, {"x", ""}, {"xyzzy", ""}, {"privileged", ""}, {"interactiv", "interactive"}, {strings.Repeat("hostname", 100), ""},
	} {
		if got := nearestFlag(c.name); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		n    int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"net", "net", 0}, {"net", "nte", 1}, {"net", "nets", 1}, {"net", "et", 1},
		{"net", "nat", 1}, {"kitten", "sitting", 3}, {"abcd", "badc", 2},
	} {
		if got := slips(c.a, c.b); got != c.n {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.n)
		}
	}
}

// The exact words for what is wrong. Each line is what stderr shows, without
// "nobox: " and without the line of help that follows.
func TestMistakes(t *testing.T) {
	const only = ", and only one of --userns, -r, -c and --uidmap can be"
	for _, c := range []struct{ line, want string }{
		// the line as a whole
		{"ls -l", `cannot run ls: a command stands behind "--": nobox -- ls -l`},
		{"--hostname x -e A=B␣C ls -l", `cannot run ls: a command stands behind "--": nobox --hostname x -e 'A=B C' -- ls -l`},
		{"ls --net=none", `cannot run ls: a command stands behind "--": nobox -- ls --net=none`},
		{"∅", `cannot run "": a command stands behind "--": nobox -- ''`},
		{"-", `cannot run -: a command stands behind "--": nobox -- -`},
		{"grep -- -x", `cannot run grep: a command stands behind "--": nobox -- grep -- -x`},
		{"find . -- -x", `cannot run find: a command stands behind "--": nobox -- find . -- -x`},
		{"go test -test.v", `cannot run go: a command stands behind "--": nobox -- go test -test.v`},
		{"ubuntu -- bash", `cannot make sense of ubuntu: nothing but flags stands before "--": nobox -- bash`},
		{"--net=none ubuntu --read-only -- bash -l", `cannot make sense of ubuntu: nothing but flags stands before "--": nobox --net=none --read-only -- bash -l`},
		{"--verbose ps aux", "cannot ps (--verbose): the verb stands first and takes no flags: nobox ps"},
		{"verson", `cannot run verson: a command stands behind "--": nobox -- verson` + "\n" + `hint: did you mean nobox version?`},

		// flags there are not
		{"--hosname x", `unknown flag --hosname: did you mean --hostname?`},
		{"--hosname=x", `unknown flag --hosname: did you mean --hostname?`},
		{"--xyzzy", "unknown flag --xyzzy\n" + `hint: "nobox help" lists the flags`},
		{"-x", "unknown flag -x\n" + `hint: "nobox help" lists the flags`},
		{"-rxc", "unknown flag -x\n" + `hint: "nobox help" lists the flags`},
		{"-ö", "unknown flag \"-ö\"\n" + `hint: "nobox help" lists the flags`},
		{"-t=", "unknown flag -=\n" + `hint: "nobox help" lists the flags`},
		{"--=x", "unknown flag --=x\n" + `hint: "nobox help" lists the flags`},
		{"---net", "unknown flag ---net\n" + `hint: "nobox help" lists the flags`},
		// Flags of others.
		{"--privileged --rm", "unknown flag --privileged, one of docker's\nhint: --cap-add, --device, --allow-userns and --security-opt each open one thing, of what the caller has"},
		{"--dev-bind /dev /dev", "unknown flag --dev-bind, one of bwrap's\nhint: --device PATH shares a device, --bind SRC DST what is none"},
		{"-P", "unknown flag -P, one of docker's\nhint: -p BOX publishes the port BOX of the box at a free one"},
		{"-US 0", "unknown flag -S, one of unshare's\nhint: -u UID:GID is who runs the command"},
		{"help --restart", "unknown flag --restart, one of docker's\nhint: a box runs once: a loop of the shell's, or a service of systemd's, starts it again"},
		{"--net -- id", "cannot set up the network (--net): it needs a value before \"--\"\nhint: --net=none is what unshare's --net is: lo alone"},
		{"--mount --pid --fork -- id", "cannot mount (--mount): it needs a value, and --pid is a flag\nhint: as unshare's flag it holds in every box: leave it out"},
		{"--user", "cannot run as that user (--user): it needs a value\nhint: as unshare's flag it holds in every box: leave it out"},
		{"-m -- id", "cannot limit the memory (-m): it needs a value before \"--\"\nhint: as unshare's flag it holds in every box: leave it out"},
		{"--memory -- id", "cannot limit the memory (--memory): it needs a value before \"--\""},
		{"--ro-bind / /", "cannot bind (--ro-bind / /): / is the root itself\nhint: the host's tree is there without a flag, read-only; --home=ro shows the homes"},
		{"-v /:/:ro", "cannot bind (-v /:/:ro): / is the root itself\nhint: the host's tree is there without a flag, read-only; --home=ro shows the homes"},
		{"--pid=host", "cannot make the namespace (--pid=host): it holds in every box, and host cannot be had"},
		{"--ipc=/run/ns", "cannot make the namespace (--ipc=/run/ns): it holds in every box, and /run/ns cannot be had"},
		{"--uts=0", "cannot make the namespace (--uts=0): it cannot be switched off"},
		{"--mount-proc=/mnt", "cannot mount (--mount-proc=/mnt): it holds in every box, and /mnt cannot be had"},
		{"--kill-child=TERM", "cannot end the command (--kill-child=TERM): it holds in every box, and TERM cannot be had"},
		{"--proc /mnt", "cannot mount (--proc /mnt): every box has it at /proc, and nowhere else"},
		{"--dev dev", "cannot mount (--dev dev): dev is not an absolute path of the box: it starts with \"/\""},
		{"--disable-userns --allow-userns", "cannot forbid user namespaces (--disable-userns): --disable-userns and --allow-userns exclude one another"},
		{"--tier=landlock --unshare-pid", "cannot choose what holds the box (--tier=landlock): --tier=landlock and --unshare-pid exclude one another"},
		{"--tier=landlock --unshare-all", "cannot choose what holds the box (--tier=landlock): --tier=landlock and --unshare-all exclude one another"},
		{"--tier=landlock --proc /proc", "cannot choose what holds the box (--tier=landlock): --tier=landlock and \"--proc /proc\" exclude one another"},
		{"-d --die-with-parent", "cannot end with the parent (--die-with-parent): --die-with-parent and -d exclude one another"},
		{"--clearenv --env-host", "cannot clear the environment (--clearenv): --clearenv and --env-host exclude one another"},
		{"--unsetenv A=B", "cannot leave a variable out (--unsetenv A=B): the name of a variable has no \"=\" in it"},
		{"--bind-try /a", "cannot bind (--bind-try /a): it needs two arguments: SRC DST"},
		{"--security-opt label=type:x", "cannot set the security option (--security-opt label=type:x): label is not one of seccomp, systempaths, no-new-privileges"},
		{"-explain -- ls", `unknown flag -explain: did you mean --explain?`},
		{"-read-only", `unknown flag -read-only: did you mean --read-only?`},
		{"-hostname x", `unknown flag -hostname: did you mean --hostname?`},
		{"-net=none", `unknown flag -net=none: did you mean --net?`},
		{"-test.v", "unknown flag -test.v\n" + `hint: "nobox help" lists the flags`},
		{"-itest.run=x", "unknown flag -itest.run=x\n" + `hint: "nobox help" lists the flags`},
		{"-p80:x", "cannot publish (-p 80:x): x is not a port: a number from 1 to 65535"},
		{"-p localhost:80:80", "cannot publish (-p localhost:80:80): localhost is a name, and an address stands here\nhint: without one it is 127.0.0.1 and [::1]"},
		{"-m 0", "cannot limit the memory (-m 0): a limit of 0 would end the box at once"},
		{"-m 5m", "cannot limit the memory (-m 5m): 5m is too little for anything to run: 6m is the least"},
		{"-m lots", "cannot limit the memory (-m lots): lots is not a size: a number of bytes, or one with k, m, g or t behind it"},
		{"-m 1e", "cannot limit the memory (-m 1e): 1e is not a size: a number of bytes, or one with k, m, g or t behind it"},
		{"-m -1", "cannot limit the memory (-m -1): -1 is not a size: a number of bytes, or one with k, m, g or t behind it"},
		{"--memory-swap -2", "cannot limit the swap (--memory-swap -2): -2 is not a size: a number of bytes, or one with k, m, g or t behind it"},
		{"--cpus 0", "cannot limit the CPU time (--cpus 0): 0 is not a number of CPUs: from 0.01 up, such as 0.5 or 2"},
		{"--cpus 0.001", "cannot limit the CPU time (--cpus 0.001): 0.001 is not a number of CPUs: from 0.01 up, such as 0.5 or 2"},
		{"--cpus 1e3", "cannot limit the CPU time (--cpus 1e3): 1e3 is not a number of CPUs: from 0.01 up, such as 0.5 or 2"},
		{"--cpu-weight 0", "cannot weigh the CPU time (--cpu-weight 0): 0 is not a number from 1 to 10000"},
		{"--io-weight 10001", "cannot weigh reads and writes (--io-weight 10001): 10001 is not a number from 1 to 10000"},
		{"--pids-limit x", "cannot limit the processes (--pids-limit x): x is not a number from 1 to 4194304"},
		{"--cpuset-cpus 3-1", "cannot choose the CPUs (--cpuset-cpus 3-1): 3-1 is not a list of CPUs: numbers and ranges, such as 0-3,7"},
		{"--device-read-bps /dev/x", "cannot limit reads and writes (--device-read-bps /dev/x): it needs a path and a rate: PATH:SIZE"},
		{"--device-write-iops /dev/x:0", "cannot limit reads and writes (--device-write-iops /dev/x:0): 0 is not a number from 1 to 4294967295"},
		{"--cgroup here", "cannot choose the cgroup (--cgroup here): here is not one of auto, systemd, off, nor the absolute path of a cgroup"},
		{"--cgroup /a/../b", "cannot choose the cgroup (--cgroup /a/../b): /a/../b is not one of auto, systemd, off, nor the absolute path of a cgroup"},
		{"--report=", "cannot report (--report \"\"): the path is empty"},

		// verbs
		{"exec -u 1 x ls -l", `cannot exec: flags stand before the name, and a command behind "--": nobox exec -u 1 x -- ls -l`},
		{"exec x -it -- sh", `cannot exec: flags stand before the name, and a command behind "--"`},
		{"exec -d x -- sh", "cannot exec: it has no -d: that is for the box, which runs already"},
		{"rm -f x", "cannot rm: it has no -f\nhint: nobox stop --time 0 NAME ends it first"},
		{"rm -x x", "cannot rm: it has no -x"},
		{"ps -q", "cannot ps: it has no -q\nhint: --json is for programs, such as jq"},
		{"logs --tail=5 x", "cannot logs: it has no --tail\nhint: nobox logs NAME | tail -n 10 has the last ten lines"},
		{"run -it debian", `cannot run run: a command stands behind "--": nobox -- run -it debian` + "\nhint: as one of docker's verbs: a box is started without a verb: nobox [FLAGS] -- COMMAND"},
		{"kill web", `cannot run kill: a command stands behind "--": nobox -- kill web` + "\nhint: as one of docker's verbs: nobox stop --time 0 NAME"},
		{"exec", "cannot exec: in which box? nobox ps lists those that have a name"},
		{"attach", "cannot attach: which box? nobox ps lists those that have a name"},
		{"attach a b", "cannot attach: one box at a time"},
		{"attach --detach-keys", "cannot attach: --detach-keys needs keys, as ctrl-p,ctrl-q"},
		{"attach --detach-keys ctrl-1 a", `cannot attach: --detach-keys ctrl-1: "ctrl-1" is no key: one is a character, or "ctrl-" and a letter or one of @ [ \ ] ^ _`},
		{"attach --no-stdin=x a", "cannot attach: --no-stdin=x: x is not one of true, false"},
		{"attach --follow a", "cannot attach: it has no --follow"},
		{"port a --client-address -p 80", "cannot port: it has no --client-address: that is for the start of a box, with -p, and holds for the ports that come later as well"},
		{"ps aux", "cannot ps: no name goes with it"},
		{"stop", "cannot stop: which box? nobox ps lists those that have a name"},
		{"version x", "cannot version (x): nothing goes with it"},
		{"version --net=none", "cannot version (--net=none): nothing goes with it"},
		{"man --", "cannot man (--): nothing goes with it"},
		{"completion bash zsh", "cannot completion (zsh): one word goes with it"},
		{"--net=none -r version", "cannot version (--net=none -r): the verb stands first and takes no flags: nobox version"},
		{"completion", "cannot make completions: for which shell: nobox completion bash|zsh|fish"},
		{"completion tcsh", "cannot make completions for tcsh: there are those for bash, zsh and fish"},
		{"help hostnam", "cannot help with hostnam: there is no such flag, verb or task; did you mean --hostname?"},
		{"help xyzzy", "cannot help with xyzzy: there is no such flag, verb or task\n" + `hint: "nobox help" lists the flags`},
		{"help --", "cannot help with --: there is no such flag, verb or task\n" + `hint: "nobox help" lists the flags`},
		{"help oci", "cannot help with oci: not in this version\n" + `hint: "nobox help" lists the flags`},

		// Box
		{"--rootfs=", `cannot use the root directory (--rootfs ""): the path is empty`},
		{"--rootfs=~/x", `cannot use the root directory (--rootfs ~/x): the shell left the ~ as it is, which it replaces at the start of a word only` +
			"\n" + `hint: write "$HOME/x", or "./~" for a directory of that name`},
		{"--read-only=maybe", "cannot make the root read-only (--read-only=maybe): maybe is not one of true, false"},
		{"--hostname=", `cannot set the host name (--hostname ""): the name is empty`},
		{"--hostname a␣b", `cannot set the host name (--hostname "a b"): "a b" is not a host name: letters, digits and "_", and within "-" and "."`},
		{"--hostname -a", `cannot set the host name (--hostname -a): -a is not a host name: letters, digits and "_", and within "-" and "."`},
		{"--hostname a.", `cannot set the host name (--hostname a.): a. is not a host name: letters, digits and "_", and within "-" and "."`},
		{"--hostname " + strings.Repeat("a", 65), "cannot set the host name (--hostname " + strings.Repeat("a", 65) + "): 65 bytes are too long a name: 64 at most"},

		// Files
		{"--cwd=", `cannot share the working directory (--cwd=""): "" is not one of rw, ro, overlay, hidden`},
		{"--cwd=RW", "cannot share the working directory (--cwd=RW): RW is not one of rw, ro, overlay, hidden"},
		{"--overlay=/a --overlay-dir /b", "cannot keep the changes (--overlay-dir /b): \"--overlay /a\" and \"--overlay-dir /b\" exclude one another"},
		{"--mount type=overlay,src=/a,dst=/b,ro", "cannot mount (--mount type=overlay,src=/a,dst=/b,ro): type=overlay and readonly exclude one another"},
		{"-v /data", "cannot bind (-v /data): it needs a source and a destination: SRC:DST\nhint: -v /data:/data shares it at the same path"},
		{"-v data", "cannot bind (-v data): it needs a source and a destination: SRC:DST"},
		{"-v=", `cannot bind (-v =): it needs a source and a destination: SRC:DST`},
		{"--volume=", `cannot bind (--volume ""): it needs a source and a destination: SRC:DST`},
		{"-v data:/data", "cannot bind (-v data:/data): data would be a volume with a name, which nobox does not have; the path is ./data"},
		{"-v :/b", "cannot bind (-v :/b): the path is empty"},
		{"-v /a:", "cannot bind (-v /a:): the path is empty"},
		{"-v /a:b", `cannot bind (-v /a:b): b is not an absolute path of the box: it starts with "/"`},
		{"-v /a:/b/..", "cannot bind (-v /a:/b/..): / is the root itself\nhint: --rootfs DIR takes another root"},
		{"--device /dev/a:/dev/b:x", `cannot share the device (--device /dev/a:/dev/b:x): there is one ":" too many; a path with ":" in it cannot be written here`},
		{"--device /dev/a:/dev/b:r", "cannot share the device (--device /dev/a:/dev/b:r): r alone cannot be had: the box may do with a device what the host's permissions let the caller do"},
		{"-v /a:b:/c", `cannot bind (-v /a:b:/c): there is one ":" too many; a path with ":" in it can be given to --bind SRC DST, --ro-bind or --mount`},
		{"-v /a:/b:ro:rw", `cannot bind (-v /a:/b:ro:rw): there is one ":" too many; a path with ":" in it can be given to --bind SRC DST, --ro-bind or --mount`},
		{"-v /a:/b:", `cannot bind (-v /a:/b:): "" is not one of ro, rw, O, noexec, exec, bind, rbind, nosuid, nodev`},
		{"-v /a:/b:rx", "cannot bind (-v /a:/b:rx): rx is not one of ro, rw, O, noexec, exec, bind, rbind, nosuid, nodev"},
		{"-v /a:/b:ro,rw", "cannot bind (-v /a:/b:ro,rw): ro and rw exclude one another"},
		{"-v /a:/b:O,ro", "cannot bind (-v /a:/b:O,ro): O and ro exclude one another"},
		{"-v /a:/b:exec,noexec", "cannot bind (-v /a:/b:exec,noexec): exec and noexec exclude one another"},
		{"--bind /a", "cannot bind (--bind /a): it needs two arguments: SRC DST"},
		{"--ro-bind /a -- /b", "cannot bind (--ro-bind /a): it needs two arguments: SRC DST"},
		{"--bind /a b", "cannot bind (--bind /a b): b is not an absolute path of the box: it starts with \"/\""},
		{"--mount type=bind,source=/a", "cannot mount (--mount type=bind,source=/a): it lacks target="},
		{"--mount type=bind,dst=/a", "cannot mount (--mount type=bind,dst=/a): it lacks source="},
		{"--mount type=tmpfs,dst=/a,src=/b", "cannot mount (--mount type=tmpfs,dst=/a,src=/b): source is not for type=tmpfs"},
		{"--mount type=image,dst=/a", "cannot mount (--mount type=image,dst=/a): image is not one of bind, tmpfs, overlay"},
		{"--mount type=bind,target", "cannot mount (--mount type=bind,target): target is not KEY=VALUE"},
		{"--mount dst=/a,dst=/b,src=/c", "cannot mount (--mount dst=/a,dst=/b,src=/c): target=/a and dst=/b exclude one another"},
		{"--mount src=/c,\"dst=/a", "cannot mount (--mount \"src=/c,\\\"dst=/a\"): a double quote is not closed"},
		{"-v /a:/b:rslave", "cannot bind (-v /a:/b:rslave): mounts of a box and of the host do not show in one another (rslave): a bind is always private"},
		{"-v /a:/b:U", "cannot bind (-v /a:/b:U): nobox gives no file another owner (U): root inside is the caller; --userns=keep-id is for a command that is to be the caller itself"},
		{"-v /a:/b:suid", "cannot bind (-v /a:/b:suid): nosuid always holds"},
		{"--mount type=bind,src=/a,dst=/b,bind-propagation=shared", "cannot mount (--mount type=bind,src=/a,dst=/b,bind-propagation=shared): mounts of a box and of the host do not show in one another (shared): a bind is always private"},
		{"--mount type=bind,src=/a,dst=/b,bind-propagation=x", "cannot mount (--mount type=bind,src=/a,dst=/b,bind-propagation=x): x is not one of private, rprivate"},
		{"--mount type=tmpfs,dst=/b,bind-propagation=private", "cannot mount (--mount type=tmpfs,dst=/b,bind-propagation=private): bind-propagation is not for type=tmpfs"},
		{"--mount type=bind,src=/a,dst=/b,bind-recursive=readonly", "cannot mount (--mount type=bind,src=/a,dst=/b,bind-recursive=readonly): bind-recursive=readonly goes with readonly alone"},
		{"--mount type=bind,src=/a,dst=/b,ro,bind-recursive=writable", "cannot mount (--mount type=bind,src=/a,dst=/b,ro,bind-recursive=writable): bind-recursive=writable cannot be had: a read-only mount is so below its submounts too"},
		{"--mount type=bind,src=/a,dst=/b,ro,rw", "cannot mount (--mount type=bind,src=/a,dst=/b,ro,rw): ro=true and rw exclude one another"},
		{"--mount type=volume,src=a,dst=/b", "cannot mount (--mount type=volume,src=a,dst=/b): nobox has no volumes with a name: type=bind,source=./DIR shares a directory, type=tmpfs is one that goes with the box"},
		{"--mount type=bind,src=/a,dst=/b,relabel=shared", "cannot mount (--mount type=bind,src=/a,dst=/b,relabel=shared): nobox does not relabel files for SELinux (relabel=shared): what the caller can read, the box can; leave it out"},
		{"--mount type=bind,src=/a,dst=/b,consistency=x", "cannot mount (--mount type=bind,src=/a,dst=/b,consistency=x): x is not one of consistent, cached, delegated, default"},
		{"--device /dev/a:r", "cannot share the device (--device /dev/a:r): r alone cannot be had: the box may do with a device what the host's permissions let the caller do"},
		{"--dns-search a,b", "cannot search the domain (--dns-search a,b): it is no domain"},
		{"-v /a:/b:Z", "cannot bind (-v /a:/b:Z): nobox does not relabel files for SELinux (Z): what the caller can read, the box can; leave it out"},
		{"-v ~/a:/b", `cannot bind (-v ~/a:/b): the shell left the ~ as it is, which it replaces at the start of a word only` +
			"\n" + `hint: write "$HOME/a", or "./~" for a directory of that name`},
		{"--tmpfs=", `cannot mount a tmpfs (--tmpfs ""): the path is empty`},
		{"--tmpfs t", `cannot mount a tmpfs (--tmpfs t): t is not an absolute path of the box: it starts with "/"`},
		{"--tmpfs /", "cannot mount a tmpfs (--tmpfs /): / is the root itself\nhint: --rootfs DIR takes another root"},
		{"--tmpfs /t:", `cannot mount a tmpfs (--tmpfs /t:): "" is not one of size=, mode=, ro, rw, noexec, exec, nosuid, nodev`},
		{"--tmpfs /t:size", "cannot mount a tmpfs (--tmpfs /t:size): size is not one of size=, mode=, ro, rw, noexec, exec, nosuid, nodev"},
		{"--tmpfs /t:suid", "cannot mount a tmpfs (--tmpfs /t:suid): suid is not one of size=, mode=, ro, rw, noexec, exec, nosuid, nodev"},
		{"--tmpfs /t:size=50%", "cannot mount a tmpfs (--tmpfs /t:size=50%): 50% is not a size: a number of bytes, or one with k, m, g or t behind it"},
		{"--tmpfs /t:size=0", "cannot mount a tmpfs (--tmpfs /t:size=0): a size of 0 would be no limit; without size= half of the memory is"},
		{"--tmpfs /t:mode=0", "cannot mount a tmpfs (--tmpfs /t:mode=0): 0 is not a mode: octal digits from 1 to 7777"},
		{"--tmpfs /t:mode=8", "cannot mount a tmpfs (--tmpfs /t:mode=8): 8 is not a mode: octal digits from 1 to 7777"},
		{"--tmpfs /t:ro,rw", "cannot mount a tmpfs (--tmpfs /t:ro,rw): ro and rw exclude one another"},
		{"--tmpfs /t:size=1m,size=2m", "cannot mount a tmpfs (--tmpfs /t:size=1m,size=2m): size=1m and size=2m exclude one another"},

		// Identity
		{"--userns=", `cannot map the ids (--userns=""): "" is not one of auto, keep-id`},
		{"--userns=host", "cannot map the ids (--userns=host): host is not one of auto, keep-id\nhint: every box has a user namespace: -r and -c choose who one is in it"},
		{"-r -c", "cannot map the ids (-c): -r was given too" + only},
		{"-c --userns=keep-id", "cannot map the ids (--userns=keep-id): -c was given too" + only},
		{"--userns auto --map-root-user", "cannot map the ids (--map-root-user): --userns=auto was given too" + only},
		{"-r --uidmap 0:0:1", "cannot map the uids (--uidmap 0:0:1): -r was given too" + only},
		{"--gidmap 0:0:1 -c", "cannot map the ids (-c): --gidmap 0:0:1 was given too" + only},
		{"--uidmap 0", "cannot map the uids (--uidmap 0): C:H:N is wanted: the first id inside, the first outside, how many"},
		{"--gidmap 0:x:1", "cannot map the gids (--gidmap 0:x:1): H, the first id outside, is not a number"},
		{"--user=", `cannot run as that user (--user ""): the user is missing: a uid, or the name of a user inside`},
		{"-u 0:", "cannot run as that user (-u 0:): the group is missing: a gid, or the name of a group inside"},
		{"-u :0", "cannot run as that user (-u :0): the user is missing: a uid, or the name of a user inside"},
		{"-u 0x0", "cannot run as that user (-u 0x0): 0x0 is not a uid: a number from 0 to 4294967294"},
		{"-u 1000:1x", "cannot run as that user (-u 1000:1x): 1x is not a gid: a number from 0 to 4294967294"},
		{"-u -1", "cannot run as that user (-u -1): -1 is neither a uid nor the name of a user"},
		{"-u a:b:c", "cannot run as that user (-u a:b:c): b:c is neither a gid nor the name of a group"},

		// Process
		{"-w x", `cannot start in that directory (-w x): x is not an absolute path of the box: it starts with "/"`},
		{"--workdir=", `cannot start in that directory (--workdir ""): the path is empty`},
		{"-e ∅", `cannot set a variable (-e ""): the name of the variable is missing: K=V`},
		{"-e =V", "cannot set a variable (-e =V): the name of the variable is missing: K=V"},
		{"--env-file=", `cannot read the variables (--env-file ""): the path is empty`},
		{"--env-file x", "cannot read the variables (--env-file x): file does not exist"},
		{"--env-host=x", "cannot pass the environment on (--env-host=x): x is not one of true, false"},
		{"--tty=x", "cannot give the box a terminal (--tty=x): x is not one of true, false"},
		{"-tfalse", "unknown flag -a\n" + `hint: "nobox help" lists the flags`},
		{"--interactive=x", "cannot keep stdin open (--interactive=x): x is not one of true, false"},
		{"--as-pid-1=x", "cannot run the command as pid 1 (--as-pid-1=x): x is not one of true, false"},
		{"--timeout=", `cannot set the time limit (--timeout ""): "" is not a duration: seconds, or such as 90s, 5m or 1h30m`},
		{"--timeout 5d", "cannot set the time limit (--timeout 5d): 5d is not a duration: seconds, or such as 90s, 5m or 1h30m"},
		{"--stop-timeout -1", "cannot set the time from TERM to KILL (--stop-timeout -1): -1 is not a duration: seconds, or such as 90s, 5m or 1h30m"},
		{"--ulimit nofile", "cannot set the limit (--ulimit nofile): the limit is missing: nofile=SOFT[:HARD]"},
		{"--ulimit NOFILE=1", "cannot set the limit (--ulimit NOFILE=1): NOFILE is not one of as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack"},
		{"--ulimit nofile=", `cannot set the limit (--ulimit nofile=): "" is not a limit: a number from 0 up, or unlimited`},
		{"--ulimit nofile=1k", "cannot set the limit (--ulimit nofile=1k): 1k is not a limit: a number from 0 up, or unlimited"},
		{"--ulimit nofile=2:1", "cannot set the limit (--ulimit nofile=2:1): the soft limit 2 is above the hard limit 1"},
		{"--ulimit core=unlimited:0", "cannot set the limit (--ulimit core=unlimited:0): the soft limit unlimited is above the hard limit 0"},

		// Network
		{"--allow-host 127.1", "cannot allow the host (--allow-host 127.1): it is neither a name nor an address as written in full"},
		{"--deny-host a.com:", "cannot deny the host (--deny-host a.com:): there is no port behind the colon"},
		{"--host-port 0", "cannot open the host's port (--host-port 0): a port is a number from 1 to 65535"},
		{"--add-host db", "cannot add the host (--add-host db): write NAME:IP"},
		{"--dns resolver", "cannot ask the resolver (--dns resolver): resolver is not an address, such as 192.0.2.53 or 2001:db8::53"},
		{"--mtu 1279", "cannot set the MTU (--mtu 1279): an MTU is a number from 1280 to 65520"},
		{"--net=bridge", "cannot set up the network (--net=bridge): bridge is not one of user, none, host, pasta, slirp4netns, ns:PATH\nhint: --net=user, the default, is a network of the box's own with a way out"},
		{"--net=ns", "cannot set up the network (--net=ns): ns is not one of user, none, host, pasta, slirp4netns, ns:PATH"},

		// See through
		{"--explain=", `cannot explain (--explain=""): "" is not one of words, syscalls, json`},
		{"--explain=yaml", "cannot explain (--explain=yaml): yaml is not one of words, syscalls, json"},
		{"--explain json", `cannot run json: a command stands behind "--": nobox --explain -- json`},
		{"--json-status-fd 0", "cannot write the status (--json-status-fd 0): 0 is not the number of an open file: 1 or more, as in --json-status-fd 3 3>FILE"},
		{"--json-status-fd -1", "cannot write the status (--json-status-fd -1): -1 is not the number of an open file: 1 or more, as in --json-status-fd 3 3>FILE"},
		{"--verbose=x", "cannot be verbose (--verbose=x): x is not one of true, false"},
		{"--help=x", "cannot help (--help=x): x is not one of true, false"},
		{"--version=x", "cannot tell the version (--version=x): x is not one of true, false"},
	} {
		o, err := parse(line(c.line), noFiles)
		var u *UsageError
		if o != nil || !errors.As(err, &u) {
			t.Errorf("%s: %+v, %v", c.line, o, err)
			continue
		}
		got := u.Text
		if u.Hint != "" {
			got += "\nhint: " + u.Hint
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.line, got, c.want)
		}
	}
}

func TestAMistakeShowsTheLineOfHelpThatMatters(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"-v x", "-v, --volume SRC:DST[:OPTIONS]  share SRC of the host at DST"},
		{"--chdir x", "-w, --workdir DIR  start the command in DIR of the box"},
		{"--hosname x", "--hostname NAME  host name inside (default nobox)"},
		{"--explain=x", "--explain[=HOW]  print the plan: in words, syscalls, json"},
		{"--tty=x", "-t, --tty[=false]  a terminal of its own (default if stdin is one)"},
		{"version x", "nobox version  the version"},
		{"--interactive=x", "-i, --interactive  with -d: a stdin for nobox attach"},
		{"ls", ""},
	} {
		_, err := parse(line(c.line), noFiles)
		var u *UsageError
		if !errors.As(err, &u) || u.Help != c.want {
			t.Errorf("%s: %+v", c.line, u)
		}
	}
}
