package plan

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSONVersion is the version of what JSON returns. It grows when something is
// taken away or changes its meaning, not when something is added.
const JSONVersion = 1

// JSON is the plan for tools, --explain=json: all of it, values of the
// environment included, one step a line. The after of init counts steps from
// 0. A step has side, do (the action's name), the action's fields, text (the
// words of String) and, where there are any, from, why and needs. A byte string
// that is not UTF-8, as paths and arguments may be, is {"base64": "…"}.
//
// It is no encoding/json because that would put U+FFFD in such strings.
func (p *Plan) JSON() ([]byte, error) {
	e := &encoder{}
	e.raw(`{"version":` + strconv.Itoa(JSONVersion) + ",\n\"notes\":[")
	for i, n := range p.Notes {
		if i > 0 {
			e.raw(",")
		}
		e.string(n)
	}
	e.raw("],\n\"init\":")
	e.value(reflect.ValueOf(p.Init))
	e.raw(",\n\"slots\":" + strconv.Itoa(p.Slots))
	e.raw(",\n\"steps\":[")
	for i := range p.Steps {
		if i > 0 {
			e.raw(",")
		}
		e.raw("\n")
		e.step(&p.Steps[i])
	}
	e.raw("\n]}\n")
	return e.out, e.err
}

// encoder appends JSON. The order is that of fields and slices; it takes no maps.
type encoder struct {
	out []byte
	err error
}

// JSONString is a string as JSON has it; see JSON for what is not UTF-8.
func JSONString(s string) string {
	var e encoder
	e.string(s)
	return string(e.out)
}

func (e *encoder) raw(s string) { e.out = append(e.out, s...) }

func (e *encoder) step(s *Step) {
	e.raw(`{"side":`)
	e.string(s.Side.String())
	do := reflect.ValueOf(s.Do)
	e.raw(`,"do":`)
	e.string(lowerFirst(do.Type().Name()))
	for _, m := range [...]struct{ key, value string }{
		{"from", s.From}, {"why", s.Why}, {"needs", string(s.Needs)}, {"text", Printable(s.Do.String())},
	} {
		if m.value != "" {
			e.raw(`,"` + m.key + `":`)
			e.string(m.value)
		}
	}
	e.fields(do, true)
	e.raw("}")
}

// fields appends a struct's fields, named as encoding/json would, but for those
// without a tag, whose first letter becomes small.
func (e *encoder) fields(v reflect.Value, comma bool) {
	for i := range v.NumField() {
		name, opts, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := v.Field(i)
		if name == "-" || opts == "omitempty" && empty(f) {
			continue
		}
		if name == "" {
			name = lowerFirst(v.Type().Field(i).Name)
		}
		if comma {
			e.raw(",")
		}
		comma = true
		e.raw(`"` + name + `":`)
		e.value(f)
	}
}

func empty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.Kind() != reflect.Struct && v.IsZero()
}

func (e *encoder) value(v reflect.Value) {
	if v.Type() == reflect.TypeFor[Event]() {
		e.string(eventName(Event(v.Uint())))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		e.out = strconv.AppendBool(e.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.out = strconv.AppendInt(e.out, v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		e.out = strconv.AppendUint(e.out, v.Uint(), 10)
	case reflect.String:
		e.string(v.String())
	case reflect.Struct:
		e.raw("{")
		e.fields(v, false)
		e.raw("}")
	case reflect.Pointer:
		if v.IsNil() {
			e.raw("null")
			return
		}
		e.value(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.IsNil() {
			e.raw("null")
			return
		}
		e.raw("[")
		for i := range v.Len() {
			if i > 0 {
				e.raw(",")
			}
			e.value(v.Index(i))
		}
		e.raw("]")
	default:
		e.err = fmt.Errorf("plan: %s has no JSON", v.Type())
	}
}

func eventName(v Event) string {
	switch v {
	case EventMapped:
		return "mapped"
	case EventNested:
		return "nested"
	case EventGo:
		return "go"
	}
	return strconv.Itoa(int(v))
}

func (e *encoder) string(s string) {
	if !utf8.ValidString(s) {
		e.raw(`{"base64":"` + base64.StdEncoding.EncodeToString([]byte(s)) + `"}`)
		return
	}
	e.raw(`"`)
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			e.out = append(e.out, '\\', byte(r))
		case r == '\n':
			e.raw(`\n`)
		case strconv.IsPrint(r):
			e.out = utf8.AppendRune(e.out, r)
		case r > 0xffff: // a surrogate pair; RFC 8259, 7
			r -= 0x10000
			e.raw(fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff))
		default:
			e.raw(fmt.Sprintf(`\u%04x`, r))
		}
	}
	e.raw(`"`)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
