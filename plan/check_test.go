package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestAGoodPlanPasses(t *testing.T) {
	for name, g := range good {
		if err := g.plan().Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPlanThatGoesAsFarAsItMayPasses(t *testing.T) {
	for _, text := range []string{
		`# The maps end at the highest id.
base: terminal
set: MapIDs {"uid":[{"box":0,"host":4294901759,"count":65536}],"gid":[{"box":4294901759,"host":0,"count":65536}]}`,
		`# A kernel has as many capabilities as fit.
base: reaper
set: DropBounding {"last":63}`,
		`# A flag asks for CAP_SYS_RESOURCE.
base: reaper
set: DropBounding {"keep":16777216}
from: DropBounding --cap-add=SYS_RESOURCE
set: SetCaps {"keep":16777216}
from: SetCaps --cap-add=SYS_RESOURCE`,
		`# A flag takes no filter.
base: reaper
set: Filter {"own":false,"program":""}
from: Filter --security-opt seccomp=unconfined
set: SessionKeyring {"closed":false}`,
		`# A flag takes another filter, which binds the command alone.
base: reaper
set: Filter {"own":false}
from: Filter --security-opt seccomp=f
move: Filter before Exec
set: SessionKeyring {"closed":false}
after: Landlock`,
		`# A flag shares a device, which works inside.
base: reaper
set: OpenTree#3 {"source":"/dev/dri","attr":{"nodev":false}}`,
		`# A flag makes the root writable.
base: rootfs
set: NewFS#2 {"attr":{"readOnly":false}}`,
		`# The command, which is pid 1, is tied to nobox at its last step but one.
base: as-pid-1
move: DieWithParent#2 before Exec`,
		`# The command's process begins where nothing can be gained any more.
base: as-pid-1
after: SessionKeyring`,
		`# Names have dots.
base: reaper
set: File {"path":"a..b/..c/d../...n"}
set: Exec {"files":["./make"]}`,
		`# A file holds a NUL byte.
base: reaper
set: File#2 {"content":"\u0000"}`,
	} {
		c, err := parseBad("", text+"\nwant: nothing")
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if err := c.plan.Check(); err != nil {
			t.Errorf("%s %v", c.name, err)
		}
	}
}

func TestAPlanOfManySharesIsCheckedToo(t *testing.T) {
	p := good["reaper"].plan()
	for range 200 {
		share := Attach{Tree: Slot(p.Slots), Root: 1, At: "/mnt"}
		p.Slots++
		at := place(p, "before Pivot")
		insert(p, at, Step{Side: Inside, Do: share, From: "-v"})
		insert(p, at, Step{Side: Inside, Do: OpenTree{Source: "/srv", Attr: Attr{NoSuid: true, NoDev: true}, Into: share.Tree}, From: "-v"})
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	last := first(p, "Attach#last")
	remove(p, last)
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "a tree is mounted nowhere: step "+strconv.Itoa(last)+",") {
		t.Error(err)
	}
}

// A badPlan is a case of a file in testdata/bad: a good plan, what is done to
// it, and what Check must say. The README there has the format.
type badPlan struct {
	name  string
	plan  *Plan
	want  string
	at    int
	wrong []string // the names of the checks that complain
}

func TestABadPlanIsRefused(t *testing.T) {
	for _, bad := range badPlans(t) {
		t.Run(bad.name, func(t *testing.T) {
			var e *CheckError
			if err := bad.plan.Check(); !errors.As(err, &e) {
				t.Fatalf("Check says %v, want %q", err, bad.want)
			}
			var wrong, said []string
			index := -2
			for _, c := range checks {
				s := surveyOf(bad.plan)
				if !s.concerns(c.name) {
					continue
				}
				if e := c.broken(s); e != nil {
					wrong = append(wrong, c.name)
					said = append(said, c.name+" says "+e.Error())
					if c.name == bad.wrong[0] && e.What == bad.want {
						index = e.Index
					}
				}
			}
			slices.Sort(wrong)
			slices.Sort(bad.wrong)
			switch {
			case !slices.Equal(wrong, bad.wrong):
				t.Errorf("the checks that complain are %q, want %q", wrong, bad.wrong)
			case index == -2:
				t.Errorf("nothing says %q", bad.want)
			case index != bad.at:
				t.Errorf("the complaint is about step %d, want %d", index+1, bad.at+1)
			}
			if t.Failed() {
				t.Log(strings.Join(said, "\n"))
			}
		})
	}
}

func TestEveryCheckHasItsFile(t *testing.T) {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	for _, f := range badFiles(t) {
		if !slices.Contains(names, filepath.Base(f)) {
			t.Errorf("%s is named after no check", f)
		}
	}
	for _, n := range names {
		if _, err := os.Stat(filepath.Join("testdata/bad", n)); err != nil {
			t.Error(err)
		}
	}
}

// What a check says is the first string of a call of at, missing or once.
func TestEveryComplaintIsMadeAboutSomeBadPlan(t *testing.T) {
	var wants []string
	for _, bad := range badPlans(t) {
		wants = append(wants, bad.want)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "check.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	expect := func(what string) {
		if seen[what] {
			t.Errorf("two places say %q", what)
		}
		seen[what] = true
		if !slices.ContainsFunc(wants, func(w string) bool { return strings.HasPrefix(w, what) }) {
			t.Errorf("no bad plan wants %q", what)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			name = fun.Name
		case *ast.SelectorExpr:
			name = fun.Sel.Name
		}
		if name != "at" && name != "missing" && name != "once" {
			return true
		}
		what := ""
		ast.Inspect(call.Args[len(call.Args)-1], func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && what == "" {
				what, _ = strconv.Unquote(lit.Value)
			}
			return true
		})
		switch {
		case name == "once":
			expect("there is no " + what)
			expect("there is more than one " + what)
		case !strings.HasSuffix(what, " "): // else it is once itself
			expect(what)
		}
		return true
	})
	if len(seen) < len(checks) {
		t.Errorf("found only %d complaints in check.go", len(seen))
	}
}

func TestEveryActionHasAKindAndASide(t *testing.T) {
	seen := map[kind]bool{}
	for _, a := range everyAction {
		k := kindOf(a)
		if k == kindUnknown || seen[k] {
			t.Errorf("%T has kind %d, as another has or none", a, k)
		}
		seen[k] = true
		if got := traits[k]&makes != 0; got != (Makes(a) != nil) {
			t.Errorf("%T makes a slot: traits say %v", a, got)
		}
	}
	if len(seen) != int(kinds)-1 {
		t.Errorf("%d actions, %d kinds", len(seen), kinds-1)
	}
}

func TestANulByteIsFoundInWhateverStringReachesTheKernel(t *testing.T) {
	harmless := map[string]bool{
		"Attach.What":      true, // for errors
		"NewFS.Of":         true, // for errors
		"Rlimit.Name":      true,
		"File.Content":     true, // written with its length
		"StartNet.Filter":  true, // has its length
		"Filter.What":      true,
		"Filter.Program":   true, // has its length
		"LimitCgroup.What": true,
		"OpenLimit.What":   true,
		"WriteLimit.What":  true,
	}
	for _, a := range everyAction {
		v := reflect.New(reflect.TypeOf(a)).Elem()
		for i := range v.NumField() {
			name := v.Type().Name() + "." + v.Type().Field(i).Name
			forEachString(v.Field(i), func() {
				if got := hasNUL(v.Interface().(Action)); got == harmless[name] {
					t.Errorf("%s: a NUL byte is found: %v", name, got)
				}
			})
		}
	}
}

// forEachString puts a NUL byte in each string below v in turn and calls f.
func forEachString(v reflect.Value, f func()) {
	switch v.Kind() {
	case reflect.String:
		for _, s := range []string{"\x00a", "a\x00"} {
			v.SetString(s)
			f()
		}
		v.SetString("")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		forEachString(v.Index(1), f)
	case reflect.Struct:
		for i := range v.NumField() {
			forEachString(v.Field(i), f)
		}
	}
}

func TestACheckErrorShowsNoControlCharacters(t *testing.T) {
	p := good["reaper"].plan()
	i := first(p, "NewFS")
	a := p.Steps[i].Do.(NewFS)
	a.Attr.NoSuid, a.Type = false, "tmpfs\x1b[2J"
	p.Steps[i].Do = a
	if got := p.Check().Error(); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestAnEmptyPlanIsRefused(t *testing.T) {
	if err := new(Plan).Check(); err == nil {
		t.Error("it passes")
	}
	if got := (&Plan{Steps: make([]Step, 1)}).Check().Error(); got != "plan: an action that Check does not know: step 1" {
		t.Error(got)
	}
}

// Check stops at the first complaint, and one check may not rely on another.
func TestNoCheckPanicsWhateverThePlan(t *testing.T) {
	plans := []*Plan{{}, {Steps: make([]Step, 3), Slots: 1 << 40}, {Slots: -1}}
	for _, g := range good {
		n := len(g.plan().Steps)
		for _, after := range []int{-1 << 40, -1, n - 1, n, 1 << 40} {
			p := g.plan()
			p.Init.After = after
			plans = append(plans, p)
		}
		for i := range n {
			p := g.plan()
			remove(p, i)
			plans = append(plans, p)
		}
		for _, a := range everyAction {
			p := g.plan()
			p.Steps = append(p.Steps, Step{Side: Inside, Do: a})
			plans = append(plans, p, &Plan{Steps: []Step{{Side: Inside, Do: a}, {Side: Host, Do: a}}})
		}
	}
	for _, p := range plans {
		for _, c := range checks {
			c.broken(surveyOf(p))
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, name := range []string{"reaper", "terminal"} {
		p := good[name].plan()
		b.Run(fmt.Sprintf("%s with %d steps", name, len(p.Steps)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Check(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// ---- testdata/bad

func badFiles(t *testing.T) []string {
	t.Helper()
	fs, err := filepath.Glob("testdata/bad/*")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(fs, func(f string) bool { return filepath.Ext(f) == ".md" })
}

func badPlans(t *testing.T) (out []badPlan) {
	t.Helper()
	for _, f := range badFiles(t) {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split(strings.TrimSpace(string(content)), "\n\n") {
			bad, err := parseBad(filepath.Base(f), text)
			if err != nil {
				t.Fatalf("%s: %v, in\n%s", f, err, text)
			}
			out = append(out, bad)
		}
	}
	return out
}

// parseBad reads one case and makes its plan.
func parseBad(check, text string) (bad badPlan, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	bad.wrong, bad.at = []string{check}, -1
	var p *Plan
	var after string
	for _, line := range strings.Split(text, "\n") {
		if sentence, ok := strings.CutPrefix(line, "# "); ok {
			if bad.name == "" {
				bad.name = check + "/" + sentence
			}
			continue
		}
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return bad, fmt.Errorf("no key in %q", line)
		}
		word, rest, _ := strings.Cut(value, " ")
		switch key {
		case "base":
			g, ok := good[value]
			if !ok {
				return bad, fmt.Errorf("there is no good plan %q", value)
			}
			p = g.plan()
		case "delete":
			i := first(p, value)
			remove(p, i)
		case "move":
			from, to := first(p, word), place(p, rest)
			s := p.Steps[from]
			insert(p, to, s)
			if to <= from {
				from++
			}
			follow := p.Init.After == from
			remove(p, from)
			if follow {
				p.Init.After = to
				if to > from {
					p.Init.After--
				}
			}
		case "copy":
			insert(p, place(p, rest), p.Steps[first(p, word)])
		case "insert":
			i := max(strings.LastIndex(rest, " after "), strings.LastIndex(rest, " before "))
			name, fields, _ := strings.Cut(rest[:i], " ")
			s := Step{Side: side(word), Do: newAction(name)}
			s.Do = edit(s.Do, fields)
			insert(p, place(p, rest[i+1:]), s)
		case "set":
			s := &p.Steps[first(p, word)]
			s.Do = edit(s.Do, rest)
		case "from":
			p.Steps[first(p, word)].From = rest
		case "side":
			p.Steps[first(p, word)].Side = side(rest)
		case "reaper":
			p.Init.Reaper = value == "true"
		case "slots":
			p.Slots, err = strconv.Atoi(value)
		case "after":
			after = value
		case "want":
			bad.want = value
		case "at":
			bad.at = first(p, value)
		case "also":
			bad.wrong = append(bad.wrong, value)
		default:
			err = fmt.Errorf("no key is called %q", key)
		}
		if err != nil {
			return bad, err
		}
	}
	switch n, err := strconv.Atoi(after); {
	case err == nil:
		p.Init.After = n
	case after != "":
		p.Init.After = first(p, after)
	}
	bad.plan = p
	if bad.name == "" || bad.want == "" {
		return bad, errors.New("a case has a sentence and a want")
	}
	return bad, nil
}

// first is the index of the step that a selector names: NAME, NAME#2 for the
// second, NAME#last.
func first(p *Plan, selector string) int {
	name, nth, _ := strings.Cut(selector, "#")
	want, _ := strconv.Atoi(nth)
	last := -1
	for i, n := 0, 0; i < len(p.Steps); i++ {
		if reflect.TypeOf(p.Steps[i].Do).Name() != name {
			continue
		}
		n++
		last = i
		if nth == "" || n == want {
			return i
		}
	}
	if nth != "last" || last < 0 {
		panic("there is no step " + selector)
	}
	return last
}

// place reads "before SELECTOR" or "after SELECTOR".
func place(p *Plan, s string) int {
	where, selector, _ := strings.Cut(s, " ")
	switch where {
	case "before":
		return first(p, selector)
	case "after":
		return first(p, selector) + 1
	}
	panic("before or after what: " + s)
}

// insert and remove keep Init.After at the step it names.
func insert(p *Plan, i int, s Step) {
	p.Steps = slices.Insert(p.Steps, i, s)
	if i <= p.Init.After {
		p.Init.After++
	}
}

func remove(p *Plan, i int) {
	p.Steps = slices.Delete(p.Steps, i, i+1)
	if i <= p.Init.After {
		p.Init.After--
	}
}

func side(s string) Side {
	switch s {
	case "host":
		return Host
	case "beside":
		return Beside
	}
	return Inside
}

// Unheard is an action that is none of the closed set.
type Unheard struct{}

func (Unheard) String() string { return "do the unheard-of" }
func (Unheard) Cannot() string { return "do the unheard-of" }

func newAction(name string) Action {
	for _, a := range append(everyAction, Unheard{}) {
		if reflect.TypeOf(a).Name() == name {
			return a
		}
	}
	panic("there is no action " + name)
}

// edit sets the fields that a JSON object has, named as in the plan's JSON.
func edit(a Action, fields string) Action {
	if fields == "" {
		return a
	}
	for _, e := range []Event{EventMapped, EventGo} {
		fields = strings.ReplaceAll(fields, `"event":"`+eventName(e)+`"`, fmt.Sprintf(`"event":%d`, e))
	}
	v := reflect.New(reflect.TypeOf(a))
	v.Elem().Set(reflect.ValueOf(a))
	d := json.NewDecoder(strings.NewReader(fields))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Interface()); err != nil {
		panic(err)
	}
	return v.Elem().Interface().(Action)
}
