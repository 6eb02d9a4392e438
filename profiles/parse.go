package profiles

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A Setting is one key of a file with its values: one, or those of an array.
type Setting struct {
	Key    string
	Values []Value
	List   bool
	At     Position
}

// A Value is a string, a number, true or false.
type Value struct {
	Text   string
	String bool // it was written in quotes
}

// A Position is a line of a file.
type Position struct {
	File string
	Line int
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// An Error is something wrong in a file.
type Error struct {
	At   Position
	Text string
	Hint string
}

func (e *Error) Error() string { return e.Text }

// A table is the settings of a file, or of one profile in it.
type table struct {
	at       Position // of its head
	settings []Setting
}

// A document is a parsed file.
type document struct {
	top      table
	profiles map[string]*table
	names    []string // in order
}

// parse reads TOML: settings, and tables [profile.NAME] of them.
func parse(file string, content []byte) (*document, error) {
	d := &document{profiles: map[string]*table{}}
	current := &d.top
	var p unstable.Parser
	p.Reset(content)
	for p.NextExpression() {
		e := p.Expression()
		var key []string
		at := Position{File: file, Line: 1}
		for it := e.Key(); it.Next(); {
			n := it.Node()
			if len(key) == 0 {
				at.Line = p.Shape(n.Raw).Start.Line
			}
			key = append(key, string(n.Data))
		}
		fail := func(hint, format string, a ...any) error {
			return &Error{At: at, Text: fmt.Sprintf(format, a...), Hint: hint}
		}
		switch e.Kind {
		case unstable.Table:
			if len(key) != 2 || key[0] != "profile" {
				return nil, fail("a profile is [profile.NAME]; the settings of every box stand above the first one", "there is no table [%s]", strings.Join(key, "."))
			}
			if !validName(key[1]) {
				return nil, fail(`letters, digits, "-" and "_" are in a name`, "%q is no name of a profile", key[1])
			}
			if old := d.profiles[key[1]]; old != nil {
				return nil, fail("", "profile %s is there already, in line %d", key[1], old.at.Line)
			}
			current = &table{at: at}
			d.profiles[key[1]] = current
			d.names = append(d.names, key[1])
		case unstable.KeyValue:
			if len(key) != 1 {
				return nil, fail("a key with other characters than letters, digits, \"-\" and \"_\" stands in quotes", "%s has parts, which no setting has", strings.Join(key, "."))
			}
			for _, s := range current.settings {
				if s.Key == key[0] {
					return nil, fail("values of one key stand in one array", "%s is set already, in line %d", key[0], s.At.Line)
				}
			}
			s := Setting{Key: key[0], At: at}
			if err := s.take(e.Value(), fail); err != nil {
				return nil, err
			}
			current.settings = append(current.settings, s)
		case unstable.Comment:
		default:
			return nil, fail("a profile is [profile.NAME]", "this kind of table has no meaning here")
		}
	}
	if err := p.Error(); err != nil {
		line := 1
		var bad *unstable.ParserError
		if errors.As(err, &bad) && bad.Highlight != nil {
			line = p.Shape(p.Range(bad.Highlight)).Start.Line
		}
		return nil, &Error{At: Position{file, line}, Text: "this is no TOML: " + err.Error()}
	}
	return d, nil
}

func (s *Setting) take(n *unstable.Node, fail func(string, string, ...any) error) error {
	if n.Kind != unstable.Array {
		v, err := scalar(n, s.Key, fail)
		s.Values = []Value{v}
		return err
	}
	s.List = true
	for it := n.Children(); it.Next(); {
		if it.Node().Kind == unstable.Comment {
			continue
		}
		v, err := scalar(it.Node(), s.Key, fail)
		if err != nil {
			return err
		}
		s.Values = append(s.Values, v)
	}
	return nil
}

func scalar(n *unstable.Node, key string, fail func(string, string, ...any) error) (Value, error) {
	switch n.Kind {
	case unstable.String:
		return Value{Text: string(n.Data), String: true}, nil
	case unstable.Bool:
		return Value{Text: string(n.Data)}, nil
	case unstable.Integer, unstable.Float:
		return Value{Text: strings.ReplaceAll(string(n.Data), "_", "")}, nil
	}
	return Value{}, fail("", "the value of %s is a %s; there are strings, numbers, true, false and arrays of them", key, n.Kind)
}

func validName(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return s != "" && s != "none"
}
