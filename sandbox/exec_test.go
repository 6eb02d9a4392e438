package sandbox

import (
	"testing"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/internal/nstest"
	"nobox/plan"
)

// joined compiles one more command in a box.
func joined(box, x Options, change func(*host.Facts)) (*plan.Plan, error) {
	f := nstest.Facts()
	if change != nil {
		change(f)
	}
	j := Joined{Options: box, PID: 4711, FD: 9}
	o := j.with(x)
	nstest.Host().Answer(f, QuestionsOf(o))
	nstest.Host().Answer(f, MoreQuestions(o, f))
	p, err := CompileExec(j, x, f)
	if err == nil {
		err = p.Check()
	}
	return p, err
}

func TestACommandThatJoinsHoldsWhatTheBoxsOwnDoes(t *testing.T) {
	for name, s := range scenes() {
		if s.o.Rootfs != "" || len(s.o.Binds) > 0 || s.tree != nil {
			continue // of another tree
		}
		box := s.plan(t)
		p, err := joined(s.o, Options{Command: []string{"id"}}, s.f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		last := func(p *plan.Plan) (bounding plan.DropBounding, caps plan.SetCaps, filter plan.Filter) {
			return actions[plan.DropBounding](p)[0], actions[plan.SetCaps](p)[0], actions[plan.Filter](p)[0]
		}
		b1, c1, f1 := last(box)
		b2, c2, f2 := last(p)
		if b1 != b2 || c1 != c2 || f1 != f2 {
			t.Errorf("%s: %v %v, the box: %v %v", name, b2, c2, b1, c1)
		}
		own := actions[plan.Clone](box)[0].Flags
		for _, u := range actions[plan.Unshare](box) {
			own |= u.Flags
		}
		if got := actions[plan.Join](p)[0].Flags; got != own {
			t.Errorf("%s: joins %#x, the box has %#x", name, got, own)
		}
	}
}

func TestACommandThatJoinsIsBornInTheBoxsCgroup(t *testing.T) {
	for _, l := range []Limits{{Memory: Amount{1 << 20, "-m 1m"}}, {Pids: Amount{9, "--pids-limit 9"}}, {Report: true}} {
		p, err := joined(Options{Limits: l}, Options{Command: []string{"id"}}, nil)
		if err != nil {
			t.Errorf("%+v: %v", l, err)
			continue
		}
		if j := actions[plan.JoinCgroup](p); len(j) != 1 || j[0].PID != 4711 || !actions[plan.Clone](p)[0].Cgroup {
			t.Errorf("%+v: %v", l, p)
		}
	}
	// A limit that cannot be had now was not had then.
	if _, err := joined(Options{Limits: Limits{CPUSet: "0", CPUSetFrom: "--cpuset-cpus 0"}}, Options{Command: []string{"id"}}, nil); err == nil {
		t.Error("a command without the box's limit")
	}
	p, err := joined(Options{}, Options{Command: []string{"id"}}, nil)
	if err != nil || len(actions[plan.JoinCgroup](p))+len(actions[plan.Scope](p)) > 0 || actions[plan.Clone](p)[0].Cgroup {
		t.Errorf("without limits: %v, %v", p, err)
	}
}

func TestAProcessThatJoinsIsNoPid1(t *testing.T) {
	p, err := joined(Options{AsPid1: true, Net: NetHost}, Options{Command: []string{"id"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Init.Reaper {
		t.Error("the command would be the process that joined, in the host's pid namespace")
	}
	if actions[plan.Join](p)[0].Flags&unix.CLONE_NEWNET != 0 {
		t.Error("a network namespace is joined that is the host's")
	}
}
