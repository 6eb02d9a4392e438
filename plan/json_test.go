package plan

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestAPlansJSONIsItsGolden(t *testing.T) {
	for name, g := range good {
		b, err := g.plan().JSON()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", string(b))
	}
}

// jsonPlan is how a tool would read a plan.
type jsonPlan struct {
	Version int
	Notes   []string
	Init    Init
	Slots   int
	Steps   []json.RawMessage
}

type jsonStep struct{ Side, Do, From, Why, Needs, Text string }

func readPlan(t *testing.T, b []byte) *Plan {
	t.Helper()
	var j jsonPlan
	if err := json.Unmarshal(b, &j); err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if j.Version != JSONVersion {
		t.Errorf("version %d", j.Version)
	}
	p := &Plan{Notes: j.Notes, Init: j.Init, Slots: j.Slots}
	for _, raw := range j.Steps {
		var s jsonStep
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		var do Action
		for _, a := range everyAction {
			if lowerFirst(reflect.TypeOf(a).Name()) == s.Do {
				do = a
			}
		}
		if do == nil {
			t.Fatalf("there is no action %q", s.Do)
		}
		fields := string(raw)
		for _, e := range []Event{EventMapped, EventNested, EventGo} {
			fields = strings.ReplaceAll(fields, `"event":"`+eventName(e)+`"`, fmt.Sprintf(`"event":%d`, e))
		}
		v := reflect.New(reflect.TypeOf(do))
		if err := json.Unmarshal([]byte(fields), v.Interface()); err != nil {
			t.Fatalf("%v in %s", err, fields)
		}
		do = v.Elem().Interface().(Action)
		if s.Text != do.String() {
			t.Errorf("the text is %q, the step's words are %q", s.Text, do)
		}
		p.Steps = append(p.Steps, Step{Side: side(s.Side), Do: do, From: s.From, Why: s.Why, Needs: Fact(s.Needs)})
	}
	return p
}

func TestJSONHoldsTheWholePlan(t *testing.T) {
	for name, g := range good {
		want := g.plan()
		b, err := want.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got := readPlan(t, b)
		if got.Init != want.Init || got.Slots != want.Slots || fmt.Sprint(got.Notes) != fmt.Sprint(want.Notes) || len(got.Steps) != len(want.Steps) {
			t.Fatalf("%s: got %+v", name, got)
		}
		for i := range want.Steps {
			if !reflect.DeepEqual(got.Steps[i], want.Steps[i]) {
				t.Errorf("%s: step %d:\n got %#v\nwant %#v", name, i+1, got.Steps[i], want.Steps[i])
			}
		}
	}
}

func TestEveryActionHasJSONWithoutAKeyTwice(t *testing.T) {
	for _, a := range everyAction {
		e := &encoder{}
		e.step(&Step{Do: a, From: "f", Why: "w", Needs: "n"})
		if e.err != nil {
			t.Errorf("%T: %v", a, e.err)
		}
		d, seen := json.NewDecoder(strings.NewReader(string(e.out))), map[string]bool{}
		for depth, isKey := 0, false; ; {
			tok, err := d.Token()
			if err != nil {
				break
			}
			switch v := tok.(type) {
			case json.Delim:
				depth += strings.Count("{[", v.String()) - strings.Count("}]", v.String())
				isKey = depth == 1
			case string:
				if depth == 1 && isKey {
					if seen[v] {
						t.Errorf("%T: %q is there twice", a, v)
					}
					seen[v] = true
				}
				isKey = depth == 1 && !isKey
			default:
				isKey = depth == 1
			}
		}
		if len(seen) < 6 {
			t.Errorf("%T: %s", a, e.out)
		}
	}
}

func TestBytesThatAreNotUTF8Survive(t *testing.T) {
	const raw = "\xff/caf\xe9"
	p := &Plan{Steps: []Step{
		{Side: Inside, Do: OpenTree{Source: HostPath("/srv" + raw)}, From: "-v /srv" + raw + ":/mnt"},
		{Side: Inside, Do: Exec{Args: []string{"make", raw}, Env: []string{"A=" + raw, "B=café"}}},
	}}
	b, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var j struct{ Steps []map[string]any }
	if err := json.Unmarshal(b, &j); err != nil {
		t.Fatal(err)
	}
	back := func(v any) string {
		s, err := base64.StdEncoding.DecodeString(v.(map[string]any)["base64"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	exec := j.Steps[1]
	for got, want := range map[string]string{
		back(j.Steps[0]["source"]):      "/srv" + raw,
		back(j.Steps[0]["from"]):        "-v /srv" + raw + ":/mnt",
		back(exec["args"].([]any)[1]):   raw,
		back(exec["env"].([]any)[0]):    "A=" + raw,
		exec["env"].([]any)[1].(string): "B=café",
		j.Steps[0]["text"].(string):     p.Steps[0].Do.String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAJSONStringIsWhatItWas(t *testing.T) {
	for _, s := range []string{"", "plain", `"\`, "\x00\x1f\n\t\u007f\u009b", "é→😀", "\u202e\u2028\ufeff", "\U000e0001\U0010ffff", "�"} {
		e := &encoder{}
		e.string(s)
		var got string
		if err := json.Unmarshal(e.out, &got); err != nil || got != s {
			t.Errorf("%q became %s: %v", s, e.out, err)
		}
	}
}

func FuzzAJSONStringIsWhatItWas(f *testing.F) {
	f.Add("a\x1b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		e := &encoder{}
		e.string(s)
		var got any
		if err := json.Unmarshal(e.out, &got); err != nil {
			t.Fatal(err)
		}
		if m, ok := got.(map[string]any); ok {
			b, _ := base64.StdEncoding.DecodeString(m["base64"].(string))
			got = string(b)
		}
		if got != s {
			t.Errorf("%q became %s", s, e.out)
		}
	})
}
