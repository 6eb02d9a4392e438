package profiles

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"nobox/host"
)

// shipped are the profiles that nobox comes with.
//
//go:embed shipped.toml
var shipped string

// ShippedFile is the name under which positions in shipped are told.
const ShippedFile = "nobox's own profiles"

// A Layer is settings of one origin. Layers are applied in order: what comes
// later counts.
type Layer struct {
	Profile  string // "" for the settings of every box
	Project  bool   // of a directory that a box may have written to
	Settings []Setting
}

// None is the name that stands for no configuration at all.
const None = "none"

// Files are what is read: the user's configuration and the project's. Home is
// $HOME, which "~/" stands for.
type Files struct {
	User, Project host.ConfigFile
	Home          string
	Exists        func(path string) bool
}

// Read has host read the files.
func Read() Files {
	user, project, home := host.Config()
	return Files{User: user, Project: project, Home: home, Exists: host.Exists}
}

// Load returns the layers for a box with the profile of that name, "" for the
// one that the configuration names. The keys "extends", "about" and, above the
// profiles, "profile" are its own, and in no layer. An error is an *Error, or
// says why a file could not be read.
func Load(f Files, name string) ([]Layer, error) {
	if name == None || name == "" && f.User.Content == nil && f.Project.Content == nil && f.User.Err == nil && f.Project.Err == nil {
		return nil, nil
	}
	user, err := open(f.User)
	if err != nil {
		return nil, err
	}
	var layers []Layer
	if user != nil {
		rest := Layer{}
		for _, s := range user.top.settings {
			switch {
			case s.Key == "profile":
				chosen, err := s.name()
				if err != nil {
					return nil, err
				}
				if name == "" {
					name = chosen
				}
			case own(s.Key):
				return nil, &Error{At: s.At, Text: s.Key + " stands in a profile only"}
			default:
				rest.Settings = append(rest.Settings, s)
			}
		}
		if len(rest.Settings) > 0 {
			layers = append(layers, rest)
		}
	}
	if name != "" && name != None {
		chain, err := resolve(user, name)
		if err != nil {
			return nil, err
		}
		layers = append(layers, chain...)
	}
	project, err := open(f.Project)
	if err != nil {
		return nil, err
	}
	if project != nil {
		for _, n := range project.names {
			return nil, &Error{At: project.profiles[n].at, Text: "a project has no profiles: its settings stand without a table"}
		}
		for _, s := range project.top.settings {
			if own(s.Key) || s.Key == "profile" {
				return nil, &Error{At: s.At, Text: s.Key + " is not for a project to choose"}
			}
		}
		layers = append(layers, Layer{Project: true, Settings: project.top.settings})
	}
	return layers, nil
}

func open(f host.ConfigFile) (*document, error) {
	if f.Err != nil {
		return nil, &Error{At: Position{File: f.Name}, Text: f.Err.Error()}
	}
	if f.Content == nil {
		return nil, nil
	}
	return parse(f.Name, f.Content)
}

// own are the keys of a profile that are no settings.
func own(key string) bool { return key == "extends" || key == "about" }

// name is the value of a key that names a profile.
func (s *Setting) name() (string, error) {
	if len(s.Values) != 1 || s.List || !s.Values[0].String {
		return "", &Error{At: s.At, Text: s.Key + " is the name of a profile, in quotes"}
	}
	return s.Values[0].Text, nil
}

func builtin() *document {
	d, err := parse(ShippedFile, []byte(shipped))
	if err != nil {
		panic(fmt.Sprintf("profiles: shipped.toml: %v", err)) // a test reads it
	}
	return d
}

// find is the profile of that name: the user's, else nobox's.
func find(user *document, name string, notUser bool) *table {
	if user != nil && !notUser {
		if t := user.profiles[name]; t != nil {
			return t
		}
	}
	return builtin().profiles[name]
}

// resolve follows extends: what a profile extends comes before it. One that
// extends its own name extends nobox's of that name.
func resolve(user *document, name string) ([]Layer, error) {
	var layers []Layer
	var from *Setting
	seen := map[*table]bool{}
	notUser := false
	for name != "" {
		t := find(user, name, notUser)
		if t == nil {
			at := Position{}
			if from != nil {
				at = from.At
			}
			return nil, &Error{At: at, Text: fmt.Sprintf("there is no profile %q", name), Hint: "nobox profiles lists them: " + strings.Join(names(user), ", ")}
		}
		if seen[t] || len(layers) > 32 {
			return nil, &Error{At: from.At, Text: "the profile extends itself"}
		}
		seen[t] = true
		l := Layer{Profile: name}
		next := ""
		from = nil
		for i := range t.settings {
			switch s := &t.settings[i]; s.Key {
			case "extends":
				var err error
				if next, err = s.name(); err != nil {
					return nil, err
				}
				from = s
			case "about":
			case "profile":
				return nil, &Error{At: s.At, Text: "profile stands above all profiles only", Hint: "extends takes another one's settings"}
			default:
				l.Settings = append(l.Settings, *s)
			}
		}
		layers = append(layers, l)
		notUser = next == name
		name = next
	}
	slices.Reverse(layers)
	return layers, nil
}

func names(user *document) []string {
	var out []string
	if user != nil {
		out = append(out, user.names...)
	}
	for _, n := range builtin().names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// A Profile is one that can be named.
type Profile struct {
	Name, About, Extends string
	At                   Position
	Settings             []Setting // with extends and about left out, and not those of what it extends
}

// List is all profiles, the user's first.
func List(f Files) ([]Profile, error) {
	user, err := open(f.User)
	if err != nil {
		return nil, err
	}
	var out []Profile
	for _, n := range names(user) {
		t := find(user, n, false)
		p := Profile{Name: n, At: t.at}
		for _, s := range t.settings {
			switch {
			case s.Key == "about" && len(s.Values) == 1:
				p.About = s.Values[0].Text
			case s.Key == "extends" && len(s.Values) == 1:
				p.Extends = s.Values[0].Text
			case !own(s.Key):
				p.Settings = append(p.Settings, s)
			}
		}
		out = append(out, p)
	}
	return out, nil
}
