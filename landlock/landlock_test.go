package landlock

import (
	"reflect"
	"testing"

	"nobox/host"
	"nobox/plan"
)

func TestAnOlderKernelIsAskedForLess(t *testing.T) {
	const abi1 = 0x1fff
	tests := []struct {
		abi             int
		fs, net, scoped uint64
	}{
		{0, 0, 0, 0},
		{1, abi1, 0, 0},
		{2, abi1 | 1<<13, 0, 0},
		{3, abi1 | 3<<13, 0, 0},
		{4, abi1 | 3<<13, 3, 0},
		{5, abi1 | 7<<13, 3, 0},
		{6, abi1 | 7<<13, 3, 3},
		{99, abi1 | 7<<13, 3, 3}, // what is newer is not asked for
	}
	for _, tt := range tests {
		if fs, net, scoped := Rights(tt.abi); fs != tt.fs || net != tt.net || scoped != tt.scoped {
			t.Errorf("ABI %d: %#x %#x %#x", tt.abi, fs, net, scoped)
		}
	}
}

// steps are a root, a directory and a file that can be written to, one that
// cannot, and one below another.
func steps(root bool) []plan.Step {
	var b plan.Builder
	tree := func(rw bool, at plan.BoxPath) {
		t := b.NewSlot()
		b.Inside("", "", plan.OpenTree{Source: plan.HostPath(at), Attr: plan.Attr{ReadOnly: !rw}, Into: t})
		if at == "/" {
			b.Inside("", "", plan.AttachRoot{Tree: t})
		} else {
			b.Inside("", "", plan.Attach{Tree: t, Root: 1, At: at})
		}
	}
	tree(root, "/")
	tree(true, "/toil/deep")
	tree(true, "/toil")
	tree(true, "/toilshop")
	tree(false, "/srv")
	fs, copied := b.NewSlot(), b.NewSlot()
	b.Inside("", "", plan.NewFS{Type: "tmpfs", Into: fs})
	b.Inside("", "", plan.Attach{Tree: fs, Root: 1, At: "/tmp"})
	b.Inside("", "", plan.CopyTree{Of: fs, Path: "hosts", Into: copied})
	b.Inside("", "", plan.Attach{Tree: copied, Root: 1, At: "/etc/hosts"})
	return b.Steps
}

func TestAWallIsWhatTheMountsAre(t *testing.T) {
	fs3 := Write
	rule := func(at plan.BoxPath, files uint64, file bool) plan.LandlockRule {
		return plan.LandlockRule{Path: at, Files: files, MayBeFile: file}
	}
	rules := func(files uint64) []plan.LandlockRule {
		return []plan.LandlockRule{rule("/etc/hosts", files, true), rule("/tmp", files, false), rule("/toil", files, true), rule("/toilshop", files, true)}
	}
	tests := []struct {
		name  string
		abi   int
		root  bool
		files bool
		want  plan.Landlock
		ok    bool
	}{
		{"all", 6, false, true, plan.Landlock{Files: fs3, Scoped: 3, Rules: rules(fs3), Streams: [3]uint64{0, WriteFile | Truncate}}, true},
		{"no scopes", 3, false, true, plan.Landlock{Files: fs3, Rules: rules(fs3), Streams: [3]uint64{0, WriteFile | Truncate}}, true},
		{"no truncate", 2, false, true, plan.Landlock{Files: fs3 &^ Truncate, Rules: rules(fs3 &^ Truncate), Streams: [3]uint64{0, WriteFile}}, true},
		{"nothing could be moved", 1, false, true, plan.Landlock{}, false},
		{"none", 0, false, true, plan.Landlock{}, false},
		{"it mounts", 6, false, false, plan.Landlock{Scoped: 3}, true},
		{"the root is writable", 6, true, true, plan.Landlock{Scoped: 3}, true},
		{"the root is writable, no scopes", 5, true, true, plan.Landlock{}, false},
	}
	for _, tt := range tests {
		got, ok := Wall(tt.abi, steps(tt.root), tt.files, [3]host.StreamFile{host.StreamElse, host.StreamWritten, host.StreamElse})
		if ok != tt.ok || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, ok, tt.want)
		}
	}
}

// What a stream leads to is no part of the view, and a writable root takes none of it in.
func TestAStreamThatIsOnlyReadIsNotWritten(t *testing.T) {
	for _, is := range []host.StreamFile{host.StreamRead, host.StreamDir} {
		streams := [3]host.StreamFile{is, host.StreamWritten, host.StreamElse}
		for _, root := range []bool{false, true} {
			got, ok := Wall(6, steps(root), true, streams)
			if !ok || got.Files != Write || got.Streams != [3]uint64{0, WriteFile | Truncate} {
				t.Errorf("%v, root %v: %+v", is, root, got)
			}
			if root && !reflect.DeepEqual(got.Rules, []plan.LandlockRule{{Path: "/", Files: Write}}) {
				t.Errorf("%v: rules %+v", is, got.Rules)
			}
		}
		if got, _ := Wall(6, steps(true), false, streams); got.Files != 0 {
			t.Errorf("%v, it mounts: %+v", is, got)
		}
	}
}

func TestNoboxItselfHasWhatTheRulesLeaveAndNoMore(t *testing.T) {
	rules := []plan.LandlockRule{{Path: "/proc", Files: ReadFile | ReadDir, MayBeFile: true}, {Path: "/dev/tty", Files: IoctlDev, MayBeFile: true}}
	l := Supervisor(6, rules)
	if fs, net, _ := Rights(6); l.Files != fs || l.Ports != net || l.Scoped != AbstractUnix {
		t.Errorf("handled: %+v", l)
	}
	if !reflect.DeepEqual(l.Rules, rules) || l.TCP != nil {
		t.Errorf("rules: %+v", l.Rules)
	}
	// A right that the kernel does not know is an error to it.
	if l := Supervisor(1, rules); l.Ports|l.Scoped != 0 || len(l.Rules) != 1 || l.Rules[0].Path != "/proc" {
		t.Errorf("ABI 1: %+v", l)
	}
	if l := Supervisor(0, rules); l != nil {
		t.Errorf("no Landlock: %+v", l)
	}
}
