package userns

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// inside has one of each action of the inside, with what a lowering needs.
var inside = []plan.Action{
	plan.DieWithParent{}, plan.Await{Event: plan.EventGo}, plan.MapSelf{UID: plan.IDMap{Count: 1}, GID: plan.IDMap{Count: 1}},
	plan.SetIDs{UID: 1, GID: 2, Groups: []uint32{3}}, plan.Unshare{Flags: unix.CLONE_NEWNS}, plan.HoldNet{Into: 1}, plan.EnterNet{Net: 1}, plan.FirstPID{Proc: 1, PID: 2}, plan.Join{FD: 9, Flags: unix.CLONE_NEWNS}, plan.OpenDevpts{Into: 1}, plan.Hostname{Name: "box"}, plan.LoopbackUp{}, plan.PrivateMounts{},
	plan.MakeTun{Name: "eth0", Index: 64, Into: 1}, plan.Device{Name: "eth0", MTU: 1500, Address: "10.0.2.100/24", Gateway: "10.0.2.2"},
	plan.DeviceIPv6{Name: "eth0", Index: 64, Address: "fd00::1/64", Gateway: "fd00::2"}, plan.SendNet{Device: 1}, plan.SendSwitch{}, plan.ShowNamespaces{},
	plan.MakeVeth{Name: "eth0", Index: 64, MTU: 1500, Address: "02:6e:6f:62:6f:78", Into: 1},
	plan.OpenTree{Source: "/srv", Recursive: true, Attr: plan.Attr{ReadOnly: true}, Into: 1}, plan.CopyTree{Of: 1, Path: "a", Into: 2},
	plan.CopyBoxTree{Root: 1, Path: "/a", Into: 3}, plan.NewFS{Type: "tmpfs", Options: []plan.Option{{Key: "mode", Value: "0755"}}, Into: 4},
	plan.EnterTree{Tree: 1}, plan.Detach{Tree: 1}, plan.AttachRoot{Tree: 1}, plan.Attach{Tree: 1, Root: 2, At: "/a", NoSymlinks: true},
	plan.AttachIn{Tree: 1, In: 2, Name: "a"}, plan.SetAttr{Tree: 1, Attr: plan.Attr{NoExec: true}}, plan.Mkdir{In: 1, Path: "a/b", Mode: 0o755, MayExist: true},
	plan.File{In: 1, Path: "a", Mode: 0o644, Content: "text"}, plan.Symlink{In: 1, Name: "a", Target: "b"}, plan.Chown{In: 1, Path: "0", UID: 1, GID: 5},
	plan.CopyUp{In: 1, Path: "a/b"}, plan.Whiteout{In: 1, Path: "u1"}, plan.Whiteout{In: 1, Path: "u1/a/b"},
	plan.Pivot{Root: 1}, plan.OpenPTY{Devpts: 1, Master: 5, Peer: 6}, plan.SendPTY{Master: 5}, plan.NewSession{},
	plan.TakeTTY{Peer: 6, Streams: [3]bool{true, false, true}}, plan.Foreground{Terminal: true}, plan.DropBounding{Keep: 1, Last: 40},
	plan.SetCaps{Keep: 1 << 40}, plan.NoNewPrivs{}, plan.NotDumpable{}, plan.Chdir{Path: "/"}, plan.SetUmask{Mask: 0o22},
	plan.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: 2}, plan.RestoreSignals{Ignored: 1, Mask: 2}, plan.CloseFiles{}, plan.TimerSlack{}, plan.WriteLimit{File: "cpu.max", Value: "1 2", Of: []plan.Slot{1}},
	plan.Securebits{Bits: 0xef}, plan.SessionKeyring{Closed: true}, plan.LimitNamespaces{Proc: 1, Types: []string{"user"}}, plan.Filter{Program: "program "},
	plan.Landlock{Files: 2, Rules: []plan.LandlockRule{{Path: "/a", Files: 2, MayBeFile: true}}, Streams: [3]uint64{2, 0, 2}, TCP: []plan.LandlockPort{{Port: 443, Rights: 2}}},
	plan.AdoptOrphans{}, plan.OpenHost{Path: "/dev", Into: 1}, plan.Nest{Flags: unix.CLONE_NEWUSER},
	plan.SendNamespaces{}, plan.PingGroups{First: 1, Last: 2}, plan.ClientRoutes{IPv6: true}, plan.LocalRoutes{Device: "tap0", Prefixes: []string{"127.0.0.0/8", "::1/128"}},
	plan.Exec{Files: []plan.BoxPath{"/bin/a", "/usr/bin/a"}, Args: []string{"a", "b c"}, Env: []string{"A=1"}},
}

// outside are those that nobox plays itself.
var outside = []plan.Action{plan.Scope{}, plan.MakeCgroup{}, plan.LimitCgroup{}, plan.OpenLimit{}, plan.SweepCgroup{}, plan.SweepInside{}, plan.JoinCgroup{}, plan.Keep{}, plan.MapNested{}, plan.Clone{}, plan.MapIDs{}, plan.Watch{}, plan.Release{}, plan.TakePTY{}, plan.StartNet{}, plan.Listen{}, plan.TakeNamespaces{}, plan.TakeSwitch{}, plan.SeeNamespaces{},
	plan.StartForwarder{}, plan.StartHelper{}, plan.Lock{}, plan.HoldDirs{}, plan.EndWithParent{}}

// actionTypes are the types of plan/actions.go that are actions.
func actionTypes(t *testing.T) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../plan/actions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Cannot" {
			names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	return names
}

func planOf(actions ...plan.Action) *plan.Plan {
	p := &plan.Plan{Slots: 7, Init: plan.Init{Reaper: true}}
	for i, a := range actions {
		if _, ok := a.(plan.EnterNet); ok && i == 0 {
			p.Steps = append(p.Steps, plan.Step{Side: plan.Beside, Do: plan.HoldNet{Into: a.(plan.EnterNet).Net}})
		}
		side := plan.Inside
		if _, ok := a.(plan.HoldNet); ok && i > 0 {
			side = plan.Beside
		}
		p.Steps = append(p.Steps, plan.Step{Side: side, Do: a})
	}
	return p
}

func TestEveryActionOfTheInsideHasALowering(t *testing.T) {
	listed := map[string]bool{}
	for _, a := range outside {
		listed[reflect.TypeOf(a).Name()] = true
		if _, err := lower(planOf(a), nil, nil); err == nil {
			t.Errorf("%T is of the host side, and lowered", a)
		}
	}
	for _, a := range inside {
		listed[reflect.TypeOf(a).Name()] = true
		p, err := lower(planOf(a), nil, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		calls := 0
		for _, o := range p.ops {
			if o.kind == opCall && o.nr != unix.SYS_CLOSE {
				calls++
			}
		}
		if calls == 0 {
			t.Errorf("%T is lowered to nothing", a)
		}
	}
	for _, name := range actionTypes(t) {
		if !listed[name] {
			t.Errorf("%s is in neither list of this test", name)
		}
	}
}

func TestAProgramIsTheSameEachTimeAndInItsOwnBuffers(t *testing.T) {
	p := planOf(inside...)
	first, err := lower(p, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 10, 100000} {
		again, err := lower(p, make([]op, 0, room), make([]byte, 0, room))
		if err != nil {
			t.Fatal(err)
		}
		if again.String() != first.String() {
			t.Errorf("with room for %d: another program", room)
		}
		if !slices.Equal(again.relocs, first.relocs) || again.slots != first.slots {
			t.Errorf("with room for %d: other relocations or slots", room)
		}
	}
}

func TestEverySystemCallHasANameAndEveryLineAStep(t *testing.T) {
	s, err := Syscalls(planOf(inside...))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s, "syscall_") {
		t.Errorf("a call without a name:\n%s", s)
	}
	for _, want := range []string{
		"step 1\n", `sethostname("box", 3)`, `execve("/bin/a", ["a", "b c"], ["A=1"])`, "unless ENOENT, ENOTDIR, EACCES", "unless EEXIST",
		"the parent becomes the reaper", "the child makes the next 1 of these calls,", "setns(#1, 0x40000000)", `mkdirat(`, "must be 4",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
}

func TestADescriptorIsClosedAfterItsLastUseAndNotBefore(t *testing.T) {
	prog, err := lower(planOf(
		plan.OpenTree{Source: "/srv", Into: 1}, plan.Attach{Tree: 1, Root: 2, At: "/a"}, plan.SetUmask{}, plan.AttachIn{Tree: 3, In: 1, Name: "b"}, plan.NoNewPrivs{}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	closed := map[uint32]uint32{} // slot to step
	for _, o := range prog.ops {
		if o.kind != opCall {
			continue
		}
		for i, how := range o.how {
			if step, ok := closed[o.arg[i]]; how == argSlot && o.arg[i] <= slotBase+6 && ok {
				t.Errorf("slot %d is used after step %d closed it", o.arg[i]-slotBase, step+1)
			}
		}
		if o.nr == unix.SYS_CLOSE && o.arg[0] <= slotBase+6 {
			closed[o.arg[0]] = o.step
		}
	}
	for slot, step := range map[uint32]uint32{1: 3, 2: 1, 3: 3} {
		if closed[slot+slotBase] != step {
			t.Errorf("slot %d is closed in step %d, want %d", slot, closed[slot+slotBase]+1, step+1)
		}
	}
}

func TestStringsLieInTheArenaAsTheKernelReadsThem(t *testing.T) {
	prog, err := lower(planOf(plan.Exec{Files: []plan.BoxPath{"/x"}, Args: []string{"", "a", strings.Repeat("y", 100000)}, Env: nil}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(prog.relocs) != 3 {
		t.Fatalf("%d pointers to place, want 3", len(prog.relocs))
	}
	for i, want := range []string{"", "a", strings.Repeat("y", 100000)} {
		if got := prog.cstring(le64(prog.arena[prog.relocs[i]:])); got != want {
			t.Errorf("argument %d: %.20q, want %.20q", i, got, want)
		}
		if prog.relocs[i]%8 != 0 {
			t.Errorf("a pointer at %d", prog.relocs[i])
		}
	}
}

func TestAHelpersErrorIsItsOwnWordsOrHowItEnded(t *testing.T) {
	cause := errors.New("exit status 1")
	for want, e := range map[string]*HelperError{
		"newuidmap: not allowed":            {Helper: "/usr/bin/newuidmap", Stderr: "newuidmap: not allowed", Err: cause},
		"/usr/bin/newuidmap: exit status 1": {Helper: "/usr/bin/newuidmap", Err: cause},
	} {
		if e.Error() != want || !errors.Is(e, cause) {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

func TestAMapIsComparedAsTheKernelShowsIt(t *testing.T) {
	want := []plan.IDMap{{Box: 0, Host: 1000, Count: 1}, {Box: 1, Host: 100000, Count: 65536}}
	for text, same := range map[string]bool{
		"         0       1000          1\n         1     100000      65536\n": true,
		"         1     100000      65536\n         0       1000          1\n": true, // more than five lines are sorted
		"         0       1000          1\n":                                   false,
		"         0       1000          1\n         1     100000      65535\n": false,
		"": false,
		"         0       1000          1\n         0       1000          1\n": false,
	} {
		if sameMap([]byte(text), want) != same {
			t.Errorf("%q: %v", text, !same)
		}
	}
}

// A stack check is a call into the runtime, which a cloned process has not;
// and the race detector's are others.
func TestThePlayerNeitherGrowsItsStackNorCallsTheRuntime(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "child_unsafe.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			own[fn.Name.Name] = true
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		has := func(line string) bool {
			return fn.Doc != nil && slices.ContainsFunc(fn.Doc.List, func(c *ast.Comment) bool { return c.Text == line })
		}
		for _, line := range []string{"//go:nosplit", "//go:norace"} {
			if !has(line) {
				t.Errorf("%s has no %s", fn.Name.Name, line)
			}
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.DeferStmt, *ast.SendStmt, *ast.SelectStmt, *ast.FuncLit, *ast.MapType, *ast.ChanType, *ast.InterfaceType, *ast.TypeAssertExpr, *ast.RangeStmt:
				t.Errorf("%s: %T", fn.Name.Name, n)
			case *ast.IndexExpr:
				// Of an array by a constant there is no check.
				if _, constant := n.Index.(*ast.BasicLit); !constant {
					t.Errorf("%s: an index that is checked", fn.Name.Name)
				}
			case *ast.CallExpr:
				switch c := n.Fun.(type) {
				case *ast.Ident:
					if slices.Contains([]string{"append", "make", "new", "panic", "print", "println", "copy", "delete", "len"}, c.Name) {
						t.Errorf("%s calls %s", fn.Name.Name, c.Name)
					}
				case *ast.SelectorExpr:
					x, ok := c.X.(*ast.Ident)
					if !ok {
						return true
					}
					switch what := x.Name + "." + c.Sel.Name; what {
					case "syscall.RawSyscall", "syscall.RawSyscall6", "unsafe.Add", "unsafe.Pointer", "unsafe.Sizeof":
					default:
						if !own[c.Sel.Name] {
							t.Errorf("%s calls %s", fn.Name.Name, what)
						}
					}
				}
			}
			return true
		})
	}
}
