package cli

import (
	"strings"
	"testing"

	"nobox/host"
	"nobox/profiles"
)

// with parses a command line with a configuration and a project's settings.
func with(user, project string, args ...string) (*Invocation, error) {
	f := profiles.Files{User: host.ConfigFile{Name: "config.toml"}, Project: host.ConfigFile{Name: ".nobox.toml"}, Home: "/home/ana",
		Exists: func(p string) bool { return p != "/home/ana/.absent" && !strings.HasPrefix(p, "/home/ana/sdk") }}
	if user != "" {
		f.User.Content = []byte(user)
	}
	if project != "" {
		f.Project.Content = []byte(project)
	}
	o, err := parse(args, nil)
	if err != nil {
		return nil, err
	}
	return configured(o, args, f, nil)
}

func TestShippedProfilesAreUnderstood(t *testing.T) {
	list, err := profiles.List(profiles.Files{})
	if err != nil || len(list) < 5 {
		t.Fatal(list, err)
	}
	for _, p := range list {
		o, err := with("", "", "--profile", p.Name, "--", "true")
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if len(o.fromFiles) == 0 || p.About == "" {
			t.Errorf("%s sets nothing, or does not say what it is for", p.Name)
		}
	}
}

func TestTheCommandLineCountsMoreThanFiles(t *testing.T) {
	const user = `map-root-user = true
timeout = "1h"
volume = ["~/a:/mnt:ro"]
volume-try = ["~/.absent:/x", "~/b:~/b:ro"]
env = ["A=1"]
[profile.x]
volume = ["/other:/mnt"]
`
	o, err := with(user, "", "-c", "--timeout", "5s", "-e", "A=2", "--", "true")
	if err != nil {
		t.Fatal(err)
	}
	if o.Options.UsernsFrom != "-c" || o.Options.Timeout.Seconds() != 5 || len(o.Options.Binds) != 2 || o.Options.Env[1].Value != "2" {
		t.Errorf("%+v", o.Options)
	}
	if b := o.Options.Binds; b[0].Source != "/home/ana/a" || !b[0].ReadOnly || b[1].Target != "/home/ana/b" || b[0].From != "volume = ~/a:/mnt:ro, config.toml:3" {
		t.Errorf("%+v", b)
	}
	o, err = with(user, "", "--profile=x", "--", "true")
	if err != nil || len(o.Options.Binds) != 2 || o.Options.Binds[1].Source != "/other" {
		t.Errorf("a later layer's bind: %v %+v", err, o)
	}
	o, err = with(user, "", "--profile=x", "-v", "/cli:/mnt", "--", "true")
	if err != nil || len(o.Options.Binds) != 2 || o.Options.Binds[1].Source != "/cli" {
		t.Errorf("the command line's bind: %v %+v", err, o)
	}
	if o, err = with(user, "", "--profile=none", "--", "true"); err != nil || o.Options.Timeout != 0 {
		t.Errorf("none: %v %+v", err, o)
	}
}

func TestASettingThatIsWrongNamesTheLineAndWhatIsRight(t *testing.T) {
	for _, c := range []struct{ user, want string }{
		{"\nvolum = [\"/a:/b\"]", "cannot take volum (config.toml:2): no setting is called so\nhint: did you mean volume?"},
		{"timout = \"5s\"", "did you mean timeout?"},
		{"v = [\"/a:/b\"]", "cannot take v (config.toml:1)"},
		{"chdir = \"/\"", "a setting has the long name of its flag: workdir"},
		{"bind = [\"/a\"]", "volume has source and destination in one"},
		{"explain = \"json\"", "it is for the command line only"},
		{"tty = \"false\"", "true or false is wanted, without quotes"},
		{"cwd = [\"rw\", \"ro\"]", "one value is wanted"},
		{"cwd = \"up\"", "(cwd = up, config.toml:1): up is not one of rw, ro"},
		{"mask = true", "strings are wanted"},
		{"volume = [\"/a:/mnt\", \"/b\"]", "config.toml:1): it needs a source and a destination"},
	} {
		_, err := with(c.user, "", "--", "true")
		e, ok := err.(*UsageError)
		if !ok {
			t.Errorf("%q: %v", c.user, err)
			continue
		}
		if got := e.Text + "\nhint: " + e.Hint; !strings.Contains(got, c.want) {
			t.Errorf("%q: %s\nwant %s", c.user, got, c.want)
		}
	}
}

func TestAProjectMayOnlyTighten(t *testing.T) {
	for _, c := range []struct {
		user, project string
		ok            bool
	}{
		{"", `cwd = "hidden"`, true},
		{"", `cwd = "ro"`, true},
		{"", `cwd = "rw"`, false},
		{`cwd = "ro"`, `cwd = "ro"`, true},
		{`cwd = "ro"`, `cwd = "overlay"`, false},
		{`cwd = "hidden"`, `cwd = "ro"`, false},
		{"", `home = "hidden"`, true},
		{"", `home = "ro"`, false},
		{`home = "rw"`, `home = "ro"`, true},
		{"", `net = "none"`, true},
		{"", `net = "host"`, false},
		{"", `net = "user"`, true},
		{`net = "none"`, `net = "user"`, false},
		{`net = "host"`, `net = "none"`, true},
		{"", `mask = ["/etc/passwd"]`, true},
		{"", `cap-drop = ["ALL"]`, true},
		{"", `cap-add = ["SYS_ADMIN"]`, false},
		{"", `allow-userns = true`, false},
		{"", `security-opt = ["seccomp=unconfined"]`, false},
		{"", `volume = ["/:/mnt"]`, false},
		{"", `volume-try = ["/:/mnt"]`, false},
		{"", `mount = ["type=bind,source=/,target=/mnt"]`, false},
		{"", `device = ["/dev/kvm"]`, false},
		{"", `rootfs = "/x"`, false},
		{"", `env = ["SSH_AUTH_SOCK"]`, false},
		{"", `env-host = true`, false},
		{"", `env-file = ["/home/ana/.netrc"]`, false},
		{"", `tty = false`, false},
		{"", `as-pid-1 = true`, false},
		{"", `read-only = true`, true},
		{"read-only = true", `read-only = false`, false},
		{"", `timeout = "5m"`, true},
		{`timeout = "1m"`, `timeout = "5m"`, false},
		{`timeout = "1m"`, `timeout = "0"`, false},
		{"", `timeout = "0"`, false},
		{"", `stop-timeout = "1s"`, true},
		{"", `stop-timeout = "1h"`, false},
		{"", `ulimit = ["nofile=100"]`, true},
		{`ulimit = ["nofile=100"]`, `ulimit = ["nofile=1000"]`, false},
		{"", `map-current-user = true`, true},
		{`map-current-user = true`, `map-root-user = true`, false},
		{"", `map-root-user = false`, false},
		{"", `uidmap = ["0:0:1"]`, false},
		{"", `user = "0"`, false},
		{"", `overlay-dir = "/home/ana/x"`, false},
		{"", `allow-host = ["a.example", "b.example"]`, true},
		{`allow-host = ["a.example"]`, `allow-host = ["b.example"]`, false},
		{"", `deny-host = ["10.0.0.0/8"]`, true},
		{"", `hostname = "p"`, true},
		{"", `workdir = "/"`, true},
	} {
		o, err := with(c.user, c.project, "--", "true")
		if (err == nil) != c.ok {
			t.Errorf("%q below %q: %v", c.project, c.user, err)
		}
		if err != nil && (!strings.Contains(err.Error(), ".nobox.toml:1") || !strings.Contains(err.Error(), "a project may only tighten")) {
			t.Errorf("%q: %v", c.project, err)
		}
		if err == nil && !strings.Contains(settingsText(o.fromFiles), ".nobox.toml:1") {
			t.Errorf("%q is not told of", c.project)
		}
	}
}

func TestAProjectMakesNoListOfTheCommandLinesLonger(t *testing.T) {
	if _, err := with("", `allow-host = ["b.example"]`, "--allow-host", "a.example", "--", "true"); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("%v", err)
	}
}

// Whoever adds a flag has to think of projects only if it tightens: all others
// are refused.
func TestAProjectMaySetNoFlagThatNobodyThoughtOf(t *testing.T) {
	may := strings.Fields("mask deny-host cap-drop hostname workdir read-only map-root-user map-current-user cwd home net timeout stop-timeout memory memory-swap pids-limit cpus ulimit allow-host")
	for i := range flags {
		f := &flags[i]
		for _, v := range []string{"true", "none", "1", "hidden", "nofile=1", "1s", "x"} {
			o := &Invocation{}
			o.Options.StopTimeout = DefaultStopTimeout
			_, why := o.tightens(f, v, map[string][]string{})
			known := false
			for _, m := range may {
				known = known || m == f.name
			}
			if why == "" && !known {
				t.Errorf("a project may set --%s", f.name)
			}
		}
	}
}
