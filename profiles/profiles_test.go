package profiles

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"nobox/host"
)

func files(user, project string) Files {
	f := Files{User: host.ConfigFile{Name: "config.toml"}, Project: host.ConfigFile{Name: ".nobox.toml"}, Home: "/home/ana"}
	if user != "" {
		f.User.Content = []byte(user)
	}
	if project != "" {
		f.Project.Content = []byte(project)
	}
	return f
}

// told is the layers in short: one word a setting, with its line.
func told(ls []Layer) string {
	var words []string
	for _, l := range ls {
		where := l.Profile
		if l.Project {
			where = "project"
		}
		for _, s := range l.Settings {
			var v []string
			for _, x := range s.Values {
				v = append(v, x.Text)
			}
			words = append(words, fmt.Sprintf("%s/%s=%s@%d", where, s.Key, strings.Join(v, ","), s.At.Line))
		}
	}
	return strings.Join(words, " ")
}

func TestLayersComeInOrder(t *testing.T) {
	const user = `# comments stay
hostname = "all"
[profile.a]
about = "x"
extends = "b"
cwd = "ro"
mask = [
  "x", # why
  'y',
]
[profile.b]
tty = false
pids-limit = 1_000
[profile.strict]
extends = "strict"
`
	for _, c := range []struct{ user, project, name, want string }{
		{"", "", "", ""},
		{user, "", "", "/hostname=all@2"},
		{user, "", "a", "/hostname=all@2 b/tty=false@12 b/pids-limit=1000@13 a/cwd=ro@6 a/mask=x,y@7"},
		{"profile = \"a\"\n" + user, "", "", "/hostname=all@3 b/tty=false@13 b/pids-limit=1000@14 a/cwd=ro@7 a/mask=x,y@8"},
		{"profile = \"a\"\n" + user, "", "b", "/hostname=all@3 b/tty=false@13 b/pids-limit=1000@14"},
		{user, "net = \"none\"", "none", ""},
		{user, "net = \"none\"", "b", "/hostname=all@2 b/tty=false@12 b/pids-limit=1000@13 project/net=none@1"},
		{"", "mask = []", "demo", "demo/rootfs=./debian@"},
	} {
		ls, err := Load(files(c.user, c.project), c.name)
		if err != nil {
			t.Errorf("%q: %v", c.name, err)
		}
		if got := told(ls); got != c.want && !(c.name == "demo" && strings.HasPrefix(got, c.want)) {
			t.Errorf("%q: %s\nwant %s", c.name, got, c.want)
		}
	}
	// One that extends its own name extends nobox's.
	ls, err := Load(files(user, ""), "strict")
	if err != nil || len(ls) != 3 || !strings.Contains(told(ls), "strict/map-current-user=true") {
		t.Errorf("%v %s", err, told(ls))
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct {
		user, project, name string
		line                int
		text                string
	}{
		{"a = \nb", "", "", 1, "no TOML"},
		{"\n\nx = {a=1}", "", "", 3, "x"},
		{"\na.b = 1", "", "", 2, "parts"},
		{"a = 1\na = 2", "", "", 2, "already, in line 1"},
		{"[profiles.x]", "", "", 1, "no table [profiles.x]"},
		{"[profile.x]\n[profile.x]", "", "", 2, "already, in line 1"},
		{"[profile.none]", "", "", 1, "no name"},
		{"[profile.x]\nprofile = \"y\"", "", "x", 2, "above all profiles"},
		{"[profile.x]\nextends = 1", "", "x", 2, "name of a profile"},
		{"[profile.x]\nextends = \"y\"", "", "x", 2, `no profile "y"`},
		{"[profile.x]\nextends = \"y\"\n[profile.y]\nextends = \"x\"", "", "x", 4, "extends itself"},
		{"extends = \"x\"", "", "", 1, "in a profile only"},
		{"", "[profile.x]", "", 1, "no profiles"},
		{"", "\nprofile = \"dev\"", "", 2, "not for a project"},
		{"", "extends = \"dev\"", "", 1, "not for a project"},
		{"", "", "nosuch", 0, `no profile "nosuch"`},
		{"[[profile]]", "", "", 1, "no meaning"},
	} {
		_, err := Load(files(c.user, c.project), c.name)
		var e *Error
		if !errors.As(err, &e) || e.At.Line != c.line || !strings.Contains(e.Text, c.text) {
			t.Errorf("%q %q %q: %v %+v, want line %d and %q", c.user, c.project, c.name, err, e, c.line, c.text)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("a = 1\n[profile.x]\nextends = \"x\"\nb = [1, \"2\"]\n", "c = true")
	f.Add(shipped, shipped)
	f.Add("[profile.x]\nextends = 'y'\n[profile.y]\nextends = 'x'", "")
	f.Fuzz(func(t *testing.T, user, project string) {
		for _, name := range []string{"", "x"} {
			ls, err := Load(files(user, project), name)
			if err != nil && ls != nil {
				t.Errorf("layers and an error: %v", err)
			}
			for _, l := range ls {
				for _, s := range l.Settings {
					if s.At.Line < 1 || s.At.File == "" || len(s.Values) == 0 && !s.List {
						t.Errorf("%+v", s)
					}
				}
			}
		}
		List(files(user, project))
	})
}
