package plan

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A CheckError is a plan that must not be played. Whoever made the plan is
// wrong, not whoever runs it: it is a bug of nobox's.
type CheckError struct {
	Invariant string // the name of the check
	Index     int    // of the step that breaks it, -1 if a step is missing
	Step      Step
	What      string
}

func (e *CheckError) Error() string {
	s := "plan: " + e.What
	if e.Index < 0 {
		return s
	}
	s += ": step " + strconv.Itoa(e.Index+1)
	if e.Step.Do != nil {
		s += ", " + Printable(e.Step.Do.String())
	}
	return s
}

// Check says whether the plan keeps what every plan promises; the error is a
// *CheckError. It runs at every start, and it takes nothing from what made the
// plan: not the reasons, not the options, only the steps.
func (p *Plan) Check() error {
	s := surveyOf(p)
	for i := range checks {
		if !s.concerns(checks[i].name) {
			continue
		}
		if e := checks[i].broken(s); e != nil {
			e.Invariant = checks[i].name
			return e
		}
	}
	return nil
}

// checks are the invariants. Each has a file of the same name in testdata/bad.
var checks = [...]struct {
	name   string
	broken func(*survey) *CheckError
}{
	{"known-actions", unknownAction},
	{"sides", wrongSide},
	{"namespaces", badNamespaces},
	{"beside", badBeside},
	{"id-map", badIDMap},
	{"ids-before-mounts", mountsBeforeIDs},
	{"propagation", propagates},
	{"root", badRoot},
	{"slots", badSlot},
	{"trees", badTree},
	{"paths", badPath},
	{"nul", nulByte},
	{"writable", writableUnasked},
	{"whiteouts", badWhiteout},
	{"locks", unlocked},
	{"held", badHeld},
	{"end-with-parent", untied},
	{"nosuid-nodev", suidOrDevices},
	{"capabilities", badCapabilities},
	{"securebits", badSecurebits},
	{"no-new-privs", newPrivs},
	{"filter", badFilter},
	{"landlock", badLandlock},
	{"keyring", sharesKeyring},
	{"dumpable", dumpable},
	{"die-with-parent", outlivesNobox},
	{"descriptors", leaksDescriptors},
	{"signals", badSignals},
	{"session", badSession},
	{"terminal", badTerminal},
	{"init", badInit},
	{"events", badEvents},
	{"deadlock", deadlock},
	{"watcher", unwatched},
	{"network", badNetwork},
	{"join", badJoin},
	{"alone", badAlone},
	{"nest", badNest},
	{"helper", badHelper},
	{"published", badPublished},
	{"cgroup", badCgroup},
	{"command", badCommand},
}

// concerns says whether a check is about a plan such as this one: a plan that
// joins a box has nothing of what makes one, which "join" sees to, and neither has
// one that Landlock alone holds, which "alone" sees to.
func (s *survey) concerns(check string) bool {
	switch check {
	case "namespaces", "beside", "id-map", "ids-before-mounts", "propagation", "root", "trees", "writable", "landlock":
		return s.of[kindJoin].n == 0 && s.of[kindKeep].n == 0
	case "capabilities", "securebits":
		return s.of[kindKeep].n == 0
	}
	return true
}

// kind is the type of a step's action.
type kind uint8

const (
	kindUnknown kind = iota
	kindScope
	kindMakeCgroup
	kindLimitCgroup
	kindOpenLimit
	kindSweepCgroup
	kindSweepInside
	kindJoinCgroup
	kindClone
	kindMapIDs
	kindKeep
	kindWatch
	kindRelease
	kindTakePTY
	kindStartNet
	kindListen
	kindLock
	kindHoldDirs
	kindEndWithParent
	kindTakeNamespaces
	kindTakeSwitch
	kindSeeNamespaces
	kindStartForwarder
	kindStartHelper
	kindDieWithParent
	kindAwait
	kindUnshare
	kindHoldNet
	kindEnterNet
	kindFirstPID
	kindJoin
	kindOpenDevpts
	kindOpenHost
	kindNest
	kindMapNested
	kindMapSelf
	kindSetIDs
	kindHostname
	kindLoopbackUp
	kindMakeTun
	kindMakeVeth
	kindDevice
	kindDeviceIPv6
	kindSendNet
	kindSendSwitch
	kindShowNamespaces
	kindSendNamespaces
	kindLocalRoutes
	kindPingGroups
	kindClientRoutes
	kindPrivateMounts
	kindOpenTree
	kindCopyTree
	kindCopyBoxTree
	kindNewFS
	kindEnterTree
	kindDetach
	kindAttachRoot
	kindAttach
	kindAttachIn
	kindSetAttr
	kindMkdir
	kindFile
	kindSymlink
	kindChown
	kindCopyUp
	kindWhiteout
	kindPivot
	kindOpenPTY
	kindSendPTY
	kindNewSession
	kindTakeTTY
	kindForeground
	kindDropBounding
	kindSetCaps
	kindNoNewPrivs
	kindNotDumpable
	kindAdoptOrphans
	kindSecurebits
	kindSessionKeyring
	kindLimitNamespaces
	kindFilter
	kindLandlock
	kindChdir
	kindSetUmask
	kindRlimit
	kindTimerSlack
	kindWriteLimit
	kindRestoreSignals
	kindCloseFiles
	kindExec
	kinds // how many there are
)

func kindOf(a Action) kind {
	switch a.(type) {
	case Scope:
		return kindScope
	case MakeCgroup:
		return kindMakeCgroup
	case LimitCgroup:
		return kindLimitCgroup
	case OpenLimit:
		return kindOpenLimit
	case WriteLimit:
		return kindWriteLimit
	case SweepCgroup:
		return kindSweepCgroup
	case SweepInside:
		return kindSweepInside
	case JoinCgroup:
		return kindJoinCgroup
	case Clone:
		return kindClone
	case MapIDs:
		return kindMapIDs
	case Keep:
		return kindKeep
	case Watch:
		return kindWatch
	case Release:
		return kindRelease
	case TakePTY:
		return kindTakePTY
	case StartNet:
		return kindStartNet
	case Listen:
		return kindListen
	case Lock:
		return kindLock
	case HoldDirs:
		return kindHoldDirs
	case EndWithParent:
		return kindEndWithParent
	case TakeNamespaces:
		return kindTakeNamespaces
	case TakeSwitch:
		return kindTakeSwitch
	case SeeNamespaces:
		return kindSeeNamespaces
	case StartForwarder:
		return kindStartForwarder
	case StartHelper:
		return kindStartHelper
	case DieWithParent:
		return kindDieWithParent
	case Await:
		return kindAwait
	case Unshare:
		return kindUnshare
	case HoldNet:
		return kindHoldNet
	case EnterNet:
		return kindEnterNet
	case FirstPID:
		return kindFirstPID
	case Join:
		return kindJoin
	case OpenDevpts:
		return kindOpenDevpts
	case OpenHost:
		return kindOpenHost
	case Nest:
		return kindNest
	case MapNested:
		return kindMapNested
	case MapSelf:
		return kindMapSelf
	case SetIDs:
		return kindSetIDs
	case Hostname:
		return kindHostname
	case LoopbackUp:
		return kindLoopbackUp
	case MakeTun:
		return kindMakeTun
	case MakeVeth:
		return kindMakeVeth
	case Device:
		return kindDevice
	case DeviceIPv6:
		return kindDeviceIPv6
	case SendNet:
		return kindSendNet
	case SendSwitch:
		return kindSendSwitch
	case ShowNamespaces:
		return kindShowNamespaces
	case SendNamespaces:
		return kindSendNamespaces
	case LocalRoutes:
		return kindLocalRoutes
	case PingGroups:
		return kindPingGroups
	case ClientRoutes:
		return kindClientRoutes
	case PrivateMounts:
		return kindPrivateMounts
	case OpenTree:
		return kindOpenTree
	case CopyTree:
		return kindCopyTree
	case CopyBoxTree:
		return kindCopyBoxTree
	case NewFS:
		return kindNewFS
	case EnterTree:
		return kindEnterTree
	case Detach:
		return kindDetach
	case AttachRoot:
		return kindAttachRoot
	case Attach:
		return kindAttach
	case AttachIn:
		return kindAttachIn
	case SetAttr:
		return kindSetAttr
	case Mkdir:
		return kindMkdir
	case File:
		return kindFile
	case Symlink:
		return kindSymlink
	case Chown:
		return kindChown
	case CopyUp:
		return kindCopyUp
	case Whiteout:
		return kindWhiteout
	case Pivot:
		return kindPivot
	case OpenPTY:
		return kindOpenPTY
	case SendPTY:
		return kindSendPTY
	case NewSession:
		return kindNewSession
	case TakeTTY:
		return kindTakeTTY
	case Foreground:
		return kindForeground
	case DropBounding:
		return kindDropBounding
	case SetCaps:
		return kindSetCaps
	case NoNewPrivs:
		return kindNoNewPrivs
	case NotDumpable:
		return kindNotDumpable
	case AdoptOrphans:
		return kindAdoptOrphans
	case Securebits:
		return kindSecurebits
	case SessionKeyring:
		return kindSessionKeyring
	case LimitNamespaces:
		return kindLimitNamespaces
	case Filter:
		return kindFilter
	case Landlock:
		return kindLandlock
	case Chdir:
		return kindChdir
	case SetUmask:
		return kindSetUmask
	case Rlimit:
		return kindRlimit
	case TimerSlack:
		return kindTimerSlack
	case RestoreSignals:
		return kindRestoreSignals
	case CloseFiles:
		return kindCloseFiles
	case Exec:
		return kindExec
	}
	return kindUnknown
}

// trait is what the checks need to know of all actions of a kind.
type trait uint8

const (
	onHost trait = 1 << iota // played by nobox, outside
	views                    // makes the file system view: a mount, or something in one
	makes                    // fills a slot
	needs                    // needs a capability in the new user namespace, besides those that view
)

var traits = [kinds]trait{
	kindScope: onHost, kindMakeCgroup: onHost, kindLimitCgroup: onHost, kindOpenLimit: onHost, kindSweepCgroup: onHost, kindSweepInside: onHost, kindJoinCgroup: onHost,
	kindKeep: onHost, kindMapNested: onHost, kindNest: needs, kindOpenHost: makes, kindClone: onHost, kindMapIDs: onHost, kindWatch: onHost, kindRelease: onHost, kindTakePTY: onHost, kindStartNet: onHost,
	kindListen: onHost, kindLock: onHost, kindHoldDirs: onHost, kindEndWithParent: onHost, kindTakeNamespaces: onHost, kindTakeSwitch: onHost, kindSeeNamespaces: onHost, kindStartForwarder: onHost, kindStartHelper: onHost,
	kindLocalRoutes: needs, kindPingGroups: needs, kindClientRoutes: needs,
	kindSetIDs: needs, kindHostname: needs, kindLoopbackUp: needs, kindDropBounding: needs, kindSecurebits: needs,
	kindLimitNamespaces: views, kindFirstPID: views, kindHoldNet: makes, kindEnterNet: needs,
	kindPrivateMounts: views, kindEnterTree: views, kindDetach: views, kindAttachRoot: views, kindAttach: views, kindAttachIn: views,
	kindSetAttr: views, kindMkdir: views, kindFile: views, kindSymlink: views, kindChown: views, kindCopyUp: views, kindWhiteout: views, kindPivot: views,
	kindOpenTree: views | makes, kindCopyTree: views | makes, kindCopyBoxTree: views | makes, kindNewFS: views | makes,
	kindOpenPTY: makes, kindOpenDevpts: makes, kindMakeTun: makes | needs, kindMakeVeth: makes | needs, kindDevice: needs, kindDeviceIPv6: needs,
}

// span is where the steps of some sort stand.
type span struct{ n, first, last int }

func (s *span) add(i int) {
	if s.n == 0 {
		s.first = i
	}
	s.n, s.last = s.n+1, i
}

// precedes says whether all of s stand before all of t.
func (s span) precedes(t span) bool { return s.n == 0 || t.n == 0 || s.last < t.first }

// survey is a plan with what one pass found in it.
type survey struct {
	*Plan
	kind []kind
	of   [kinds]span

	inside, beside, view, owned, make, need span
	awaitMapped, awaitGo                    span
	releaseMapped, releaseGo                span
	awaitNested, releaseNested              span

	// Room for a plan of common size, so that a check of one allocates little.
	kinds    [usual]kind
	slots    [usual]bool
	outside  [usual]bool
	writable [usual]bool
	trees    [usual]treeState
	sent     [4]kind
}

func surveyOf(p *Plan) *survey {
	s := &survey{Plan: p}
	s.kind = s.kinds[:0]
	for i := range p.Steps {
		step := &p.Steps[i]
		k := kindOf(step.Do)
		s.kind = append(s.kind, k)
		s.of[k].add(i)
		t := traits[k]
		switch step.Side {
		case Inside:
			s.inside.add(i)
		case Beside:
			s.beside.add(i)
		}
		if t&views != 0 {
			s.view.add(i)
			if !BeforeIDs(step.Do) {
				s.owned.add(i)
			}
		}
		if t&makes != 0 {
			s.make.add(i)
		}
		if t&(needs|views) != 0 && step.Side == Inside {
			s.need.add(i)
		}
		switch a := step.Do.(type) {
		case Await:
			switch a.Event {
			case EventGo:
				s.awaitGo.add(i)
			case EventNested:
				s.awaitNested.add(i)
			default:
				s.awaitMapped.add(i)
			}
		case Release:
			switch a.Event {
			case EventGo:
				s.releaseGo.add(i)
			case EventNested:
				s.releaseNested.add(i)
			default:
				s.releaseMapped.add(i)
			}
		}
	}
	return s
}

// at is the complaint about one step.
func (s *survey) at(i int, what string) *CheckError {
	return &CheckError{Index: i, Step: s.Steps[i], What: what}
}

// missing is the complaint about a step that is not there.
func missing(what string) *CheckError { return &CheckError{Index: -1, What: what} }

// once wants exactly one step of a kind.
func (s *survey) once(k kind, name string) *CheckError {
	switch s.of[k].n {
	case 0:
		return missing("there is no " + name)
	case 1:
		return nil
	}
	return s.at(s.of[k].last, "there is more than one "+name)
}

// ---- who does what

func unknownAction(s *survey) *CheckError {
	if u := s.of[kindUnknown]; u.n > 0 {
		return s.at(u.first, "an action that Check does not know")
	}
	return nil
}

func wrongSide(s *survey) *CheckError {
	for i, k := range s.kind {
		switch {
		case k == kindUnknown:
		case traits[k]&onHost != 0 && s.Steps[i].Side != Host:
			return s.at(i, "a step of the host side stands inside")
		case traits[k]&onHost == 0 && s.Steps[i].Side == Host:
			return s.at(i, "a step of the inside stands on the host side")
		case s.Steps[i].Side == Beside && !networks(k) && k != kindUnshare && k != kindHoldNet:
			return s.at(i, "a step that is not about the network stands beside")
		}
	}
	return nil
}

// networks says whether a step sets up a network namespace.
func networks(k kind) bool {
	switch k {
	case kindLoopbackUp, kindMakeTun, kindDevice, kindDeviceIPv6, kindSendNet, kindSendSwitch:
		return true
	}
	return false
}

func badNamespaces(s *survey) *CheckError {
	if e := s.once(kindClone, "Clone"); e != nil {
		return e
	}
	i := s.of[kindClone].first
	for j := range i {
		switch s.kind[j] {
		case kindListen, kindLock, kindHoldDirs, kindEndWithParent, kindScope, kindMakeCgroup, kindLimitCgroup, kindOpenLimit, kindSweepCgroup:
		default:
			return s.at(j, "something stands before the namespaces are made")
		}
	}
	if l := s.of[kindListen]; l.n > 0 && l.last > i {
		return s.at(l.last, "a port is bound when the box is started already")
	}
	flags := s.Steps[i].Do.(Clone).Flags
	const cloned = unix.CLONE_NEWUSER | unix.CLONE_NEWPID
	if flags&cloned != cloned {
		return s.at(i, "the inside starts in a user and a pid namespace of its own")
	}
	if other(flags) {
		// CLONE_VM or CLONE_FILES would have the inside work on nobox itself.
		return s.at(i, "the inside shares something with nobox")
	}
	var shared [Beside + 1]bool
	for j, k := range s.kind {
		if k != kindUnshare {
			continue
		}
		side, more := s.Steps[j].Side, s.Steps[j].Do.(Unshare).Flags
		switch {
		case shared[side]:
			return s.at(j, "there is more than one Unshare")
		case more&flags != 0:
			return s.at(j, "a namespace is made twice")
		case other(more):
			return s.at(j, "that is no namespace")
		case side == Inside && s.need.n > 0 && s.need.first < j:
			return s.at(s.need.first, "it is done in a namespace that the process then leaves")
		}
		flags |= more
		shared[side] = true
	}
	if flags&unix.CLONE_NEWNS == 0 {
		return s.at(i, "a box has at least a user, a mount and a pid namespace of its own")
	}
	return nil
}

// own are the namespaces that the box has of its own.
func (s *survey) own() (flags uint64) {
	if c := s.of[kindClone]; c.n > 0 {
		flags = s.Steps[c.first].Do.(Clone).Flags
	}
	for i, k := range s.kind {
		if k == kindUnshare {
			flags |= s.Steps[i].Do.(Unshare).Flags
		}
	}
	return flags
}

// badBeside: what is done beside makes a network namespace and no more, shares
// nothing with the inside that both work on, and is over, and entered, before
// anything depends on it.
func badBeside(s *survey) *CheckError {
	hold, enter := s.of[kindHoldNet], s.of[kindEnterNet]
	if f := s.of[kindFirstPID]; f.n > 0 && s.Steps[f.first].Do.(FirstPID).PID < 2 {
		return s.at(f.first, "that pid is pid 1's, or none")
	}
	if s.beside.n == 0 {
		for _, t := range [...]span{hold, enter} {
			if t.n > 0 {
				return s.at(t.first, "nothing is done beside")
			}
		}
		return nil
	}
	first, last := s.beside.first, s.beside.last
	switch u, ok := s.Steps[first].Do.(Unshare); {
	case !ok || u.Flags != unix.CLONE_NEWNET:
		return s.at(first, "what is done beside does not begin with a network namespace")
	case hold.n != 1 || hold.first != last:
		return s.at(last, "what is done beside does not end with a hold on its namespace")
	case s.inside.n == 0 || s.inside.first > first:
		return s.at(first, "the process beside starts before the inside is tied to nobox")
	case enter.n != 1 || enter.first < last || s.Steps[enter.first].Side != Inside:
		return s.at(last, "the network namespace is not entered")
	case s.Steps[enter.first].Do.(EnterNet).Net != s.Steps[last].Do.(HoldNet).Into:
		return s.at(enter.first, "something else than the network namespace is entered")
	case enter.first > s.Init.After:
		return s.at(enter.first, "pid 1 would stay in the host's network")
	}
	for i := first; i <= last; i++ {
		if s.Steps[i].Side == Inside {
			return s.at(i, "what is done beside does not stand together")
		}
	}
	for i := last + 1; i < enter.first; i++ {
		if s.Steps[i].Side == Inside && InNet(s.Steps[i].Do) {
			return s.at(i, "it is done in the host's network")
		}
	}
	return nil
}

// InNet says whether a step of the inside is to be done in the box's network
// namespace: it works on it, shows it, gives up what entering takes, or says
// something to nobox, as what is done beside may.
func InNet(a Action) bool {
	switch a := a.(type) {
	case LoopbackUp, MakeTun, MakeVeth, Device, DeviceIPv6, SendNet, SendSwitch, SendNamespaces, SendPTY, LocalRoutes, PingGroups, Pivot:
		return true
	case NewFS:
		return a.Type == "sysfs"
	}
	return false
}

// badJoin: whoever joins a box makes nothing of it, is in it before anything is
// opened by a path, and is tied to nobox in each of its processes: it is not the
// box's pid 1, with which the box would end.
func badJoin(s *survey) *CheckError {
	join, die := s.of[kindJoin], s.of[kindDieWithParent]
	if join.n == 0 {
		if d := s.of[kindOpenDevpts]; d.n > 0 {
			return s.at(d.first, "no box was joined")
		}
		return nil
	}
	i := join.first
	a := s.Steps[i].Do.(Join)
	const least = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	// Its cgroup is all that is looked for before.
	before := s.of[kindScope].n + s.of[kindJoinCgroup].n
	switch c := s.of[kindClone]; {
	case c.n != 1 || c.first != before:
		return missing("the process that joins is not made first, and once")
	case s.Steps[before].Do.(Clone).Flags != 0:
		return s.at(before, "the process that joins has a namespace of its own")
	case join.n > 1:
		return s.at(join.last, "two boxes are joined")
	case a.Flags&least != least || other(a.Flags):
		return s.at(i, "not all of the box is joined, or something else")
	case a.FD < 3 || a.PID < 2:
		return s.at(i, "that is no process of a box's")
	case s.inside.n < 2 || die.n == 0 || die.first != s.inside.first:
		return s.at(i, "the process that joins is not tied to nobox yet")
	case s.of[kindUnshare].n+s.of[kindMapIDs].n+s.of[kindMapSelf].n+s.of[kindLoopbackUp].n+s.of[kindHostname].n > 0 || s.view.n > len(s.chowns()):
		return s.at(i, "a box is made and joined")
	case !s.Init.Reaper:
		return s.at(i, "the process that joins is not in the box's pid namespace, its child is")
	}
	for j := s.inside.first + 1; j < len(s.Steps); j++ {
		if s.Steps[j].Side == Inside {
			if j != i {
				return s.at(j, "something is done before the box is joined")
			}
			break
		}
	}
	behind := func(from, to int) bool {
		for j := from; j < to && j < len(s.kind); j++ {
			if s.kind[j] == kindDieWithParent {
				return true
			}
		}
		return false
	}
	if !behind(i+1, s.Init.After+1) {
		return s.at(i, "a change of ids unties the process from nobox")
	}
	if !behind(s.Init.After+1, len(s.Steps)) {
		return s.at(i, "fork(2) does not hand the tie to nobox down")
	}
	return nil
}

// badAlone: where Landlock alone holds a box, and no namespace does, everything
// that comes of it is in a domain from which nothing can be signalled but what is
// in it; what the command reads, writes and reaches is by rules; there is no
// capability left, and no step that would need one.
func badAlone(s *survey) *CheckError {
	keep := s.of[kindKeep]
	if keep.n == 0 {
		return nil
	}
	if keep.n > 1 {
		return s.at(keep.last, "the box is kept together twice")
	}
	for _, w := range [...]struct {
		kind kind
		name string
	}{{kindClone, "Clone"}, {kindAdoptOrphans, "AdoptOrphans"}, {kindSetCaps, "SetCaps"}, {kindLandlock, "Landlock"}, {kindFilter, "Filter"}} {
		if e := s.once(w.kind, w.name); e != nil {
			return e
		}
	}
	clone, wall, set, filter := s.of[kindClone].first, s.of[kindLandlock].first, s.of[kindSetCaps].first, s.of[kindFilter].first
	a := s.Steps[wall].Do.(Landlock)
	const files, scopes = 1<<16 - 1, 3 // all of ABI 6; linux/landlock.h
	switch {
	case keep.first > clone:
		return s.at(keep.first, "the box is started already, outside of the domain that keeps it together")
	case s.Steps[clone].Do.(Clone).Flags != 0:
		return s.at(clone, "a box with a namespace of its own needs no keeper")
	case s.of[kindUnshare].n+s.of[kindMapIDs].n+s.of[kindMapSelf].n+s.of[kindSetIDs].n+s.of[kindLoopbackUp].n+s.of[kindHostname].n > 0:
		return s.at(clone, "a namespace is set up that there is none of")
	case s.view.n > 0:
		return s.at(s.view.first, "the host's own mounts would be changed")
	case s.need.n > 0 && s.need.last > set:
		return s.at(s.need.last, "this needs a capability, and there is none any more")
	case !s.Init.Reaper || s.of[kindAdoptOrphans].first > s.Init.After:
		return s.at(s.of[kindAdoptOrphans].first, "nobody waits for orphans")
	case s.Steps[set].Do.(SetCaps) != SetCaps{}:
		return s.at(set, "a capability over the host itself is kept")
	case !s.Steps[filter].Do.(Filter).Own:
		return s.at(filter, "what no namespace keeps apart is left to a filter that nobox does not know")
	case s.of[kindListen].n+s.of[kindStartNet].n+s.of[kindStartHelper].n > 0:
		return s.at(clone, "a box without a network of its own has one to be served")
	case !s.of[kindNoNewPrivs].precedes(s.of[kindLandlock]):
		return s.at(wall, "the rules stand before no_new_privs")
	case wall < s.Init.After:
		return s.at(wall, "the command could signal the process that waits for it")
	case a.Files != files || a.Scoped != scopes:
		return s.at(wall, "Landlock is asked for less than there must be")
	}
	unasked := 0
	for _, r := range a.Rules {
		switch {
		case r.Files&^a.Files != 0:
			return s.at(wall, "a rule gives what is not handled")
		case !absolute(string(r.Path)) || climbs(string(r.Path)) || !r.NoLinks:
			return s.at(wall, "a rule is for what a link leads to")
		case r.writes() && r.From == "" && !node(HostPath(r.Path)):
			if unasked++; unasked > 1 {
				return s.at(wall, "a rule makes writable what no flag named")
			}
		}
	}
	for _, p := range a.TCP {
		if p.Rights&^a.Ports != 0 {
			return s.at(wall, "a rule for a port gives what is not handled")
		}
	}
	return nil
}

// badNest: whoever may mount takes off what hides the host's files, and makes them
// writable, unless the mounts are locked; they are where a copy of them belongs to
// a namespace within. Nothing but what is mounted then is locked, and the ids
// that everything after it is about must be there.
func badNest(s *survey) *CheckError {
	nest, mapped, open := s.of[kindNest], s.of[kindMapNested], s.of[kindOpenHost]
	pivot, drop := s.of[kindPivot], s.of[kindDropBounding]
	if nest.n == 0 && mapped.n+s.releaseNested.n+s.awaitNested.n > 0 {
		return missing("there is no namespace within")
	}
	for i, k := range s.kind {
		if k != kindOpenHost {
			continue
		}
		switch p := s.Steps[i].Do.(OpenHost).Path; {
		case nest.n+s.of[kindKeep].n == 0 && (p != "/proc/sys" || s.of[kindPingGroups].n == 0):
			return s.at(i, "nothing needs the host's")
		case p != "/dev" && p != "/proc/sys":
			return s.at(i, "that is for no step to use")
		case (nest.n > 0 || p == "/proc/sys") && !open.precedes(pivot):
			return s.at(i, "that would be the box's own")
		}
	}
	if nest.n == 0 {
		const admin = 1 << unix.CAP_SYS_ADMIN
		if pivot.n > 0 && drop.n > 0 && s.Steps[drop.first].Do.(DropBounding).Keep&admin != 0 {
			return s.at(drop.first, "the box could take off what hides the host's files")
		}
		return nil
	}
	i := nest.first
	const least = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	flags := s.Steps[i].Do.(Nest).Flags
	switch {
	case nest.n > 1 || mapped.n != 1 || s.releaseNested.n != 1 || s.awaitNested.n != 1:
		return s.at(i, "the namespace within is not made, mapped, said to be and waited for, each once")
	case flags&least != least || other(flags) || flags&(unix.CLONE_NEWPID|unix.CLONE_NEWCGROUP) != 0:
		return s.at(i, "not the namespaces that lock the mounts, or more")
	case s.own()&unix.CLONE_NEWNET == 0 && flags&unix.CLONE_NEWNET != 0:
		return s.at(i, "a network is made that nobody asked for")
	case pivot.n == 0 || pivot.first > i:
		return s.at(i, "the root could not be changed any more")
	case !mapped.precedes(s.releaseNested):
		return s.at(s.releaseNested.first, "the inside is told that its ids are there before they are")
	case s.awaitNested.first < i:
		return s.at(s.awaitNested.first, "the inside waits for what it has not made")
	}
	for j := i + 1; j < s.awaitNested.first; j++ {
		if s.Steps[j].Side == Inside {
			return s.at(j, "the ids are not mapped there yet")
		}
	}
	for j := range i {
		switch s.kind[j] {
		case kindHostname, kindLoopbackUp, kindMakeTun, kindMakeVeth, kindDevice, kindPingGroups, kindSendNamespaces, kindDropBounding, kindSetCaps:
			return s.at(j, "it is done in namespaces that the process then leaves")
		}
	}
	for _, m := range [...][]IDMap{s.Steps[mapped.first].Do.(MapNested).UID, s.Steps[mapped.first].Do.(MapNested).GID} {
		if len(m) == 0 {
			return s.at(mapped.first, "no id is mapped")
		}
		for _, l := range m {
			if l.Box != l.Host || l.Count == 0 {
				return s.at(mapped.first, "an id is mapped to another one")
			}
		}
	}
	return nil
}

// chowns are the steps that give something away, which a terminal needs too.
func (s *survey) chowns() (out []int) {
	for i, k := range s.kind {
		if k == kindChown {
			out = append(out, i)
		}
	}
	return out
}

// other says whether flags of clone(2) hold any that makes no namespace.
func other(flags uint64) bool {
	for _, n := range namespaces {
		flags &^= n.flag
	}
	return flags != 0
}

// ---- ids

func badIDMap(s *survey) *CheckError {
	self, host := s.of[kindMapSelf], s.of[kindMapIDs]
	switch {
	case self.n+host.n == 0:
		return missing("nothing maps the ids")
	case self.n+host.n > 1:
		return s.at(max(self.last, host.last), "the ids are mapped twice")
	case self.n == 1:
		a := s.Steps[self.first].Do.(MapSelf)
		if a.UID.Count != 1 || a.GID.Count != 1 {
			return s.at(self.first, "a process maps one id for itself, its own")
		}
		for i, k := range s.kind {
			if k == kindSetIDs && s.Steps[i].Do.(SetIDs).Groups != nil {
				return s.at(i, "setgroups is denied where the inside maps itself")
			}
		}
		return nil
	}
	a := s.Steps[host.first].Do.(MapIDs)
	if (a.NewUIDMap == "") != (a.NewGIDMap == "") {
		return s.at(host.first, "newuidmap and newgidmap go together")
	}
	for _, m := range [...][]IDMap{a.UID, a.GID} {
		if len(m) == 0 {
			return s.at(host.first, "a map without a line")
		}
		for _, l := range m {
			// 2^32-1 is (uid_t)-1, which is no id.
			if l.Count == 0 || uint64(l.Box)+uint64(l.Count) > 1<<32-1 || uint64(l.Host)+uint64(l.Count) > 1<<32-1 {
				return s.at(host.first, "a line of a map that is empty or ends above the highest id")
			}
		}
	}
	return nil
}

// BeforeIDs says whether a step of the inside may be done while no id is mapped
// yet: it makes nothing that belongs to anybody.
func BeforeIDs(a Action) bool {
	switch a.(type) {
	case SetUmask, Hostname, LoopbackUp, MakeTun, MakeVeth, Device, DeviceIPv6, SendNet, SendSwitch, EnterNet, PrivateMounts, OpenTree, AttachRoot, OpenHost:
		return true
	}
	return false
}

// mountsBeforeIDs: what is made while no id is mapped belongs to nobody.
func mountsBeforeIDs(s *survey) *CheckError {
	if s.releaseMapped.n > 0 && (s.of[kindMapIDs].n == 0 || !s.of[kindMapIDs].precedes(s.releaseMapped)) {
		return s.at(s.releaseMapped.first, "the inside is told that the ids are mapped before they are")
	}
	mapped := s.of[kindMapSelf]
	if mapped.n == 0 {
		mapped = s.awaitMapped
	}
	if mapped.n == 0 {
		return missing("the inside does not wait until the ids are mapped")
	}
	for _, t := range [...]span{s.owned, s.of[kindSetIDs]} {
		if !mapped.precedes(t) {
			return s.at(t.first, "the ids are not mapped yet")
		}
	}
	return nil
}

// ---- the file system view

func propagates(s *survey) *CheckError {
	if e := s.once(kindPrivateMounts, "PrivateMounts"); e != nil {
		return e
	}
	if s.view.first < s.of[kindPrivateMounts].first {
		return s.at(s.view.first, "mounts still propagate to the host")
	}
	return nil
}

func badRoot(s *survey) *CheckError {
	if e := s.once(kindPivot, "Pivot"); e != nil {
		return e
	}
	pivot, roots := s.of[kindPivot], s.of[kindAttachRoot]
	root := s.Steps[pivot.first].Do.(Pivot).Root
	if roots.n == 0 {
		return missing("there is no AttachRoot")
	}
	if s.Steps[roots.last].Do.(AttachRoot).Tree != root {
		return s.at(pivot.first, "the new root is not what covers the old one")
	}
	if s.view.last > pivot.first {
		return s.at(s.view.last, "the view is changed from within")
	}
	if show := s.of[kindShowNamespaces]; show.n > 0 && show.first < pivot.first {
		return s.at(show.first, "the box is said to be complete, and is not")
	}
	entered := span{}
	for i, k := range s.kind {
		var below Slot
		switch k {
		case kindAttach:
			below = s.Steps[i].Do.(Attach).Root
		case kindCopyBoxTree:
			below = s.Steps[i].Do.(CopyBoxTree).Root
		case kindChdir:
			if i < pivot.first {
				return s.at(i, "the working directory would be one of the host's")
			}
			continue
		case kindEnterTree, kindDetach:
			entered.add(i)
			continue
		case kindOpenTree:
			if entered.n > 0 && s.Steps[i].Do.(OpenTree).Source == WorkingDirectory {
				return s.at(i, "the working directory is the caller's no more")
			}
			continue
		default:
			continue
		}
		if below != root {
			return s.at(i, "a path of the box is looked up in something else than its root")
		}
		if i < roots.last {
			return s.at(i, "a path of the box is looked up before it has a root")
		}
	}
	return nil
}

// mostSlots: a step fills two at most.
func (s *survey) mostSlots() int { return 2*len(s.Steps) + 1 }

// bySlot is a table with a place for each slot that a plan of this length can
// have: buf, if that is long enough.
func bySlot[T any](s *survey, buf []T) []T {
	if n := min(s.Slots, s.mostSlots()); n > len(buf) {
		return make([]T, n)
	}
	return buf
}

func badSlot(s *survey) *CheckError {
	if s.Slots < 1 || s.Slots > s.mostSlots() {
		return missing("the number of slots is not that of the slots in use")
	}
	filled := bySlot(s, s.slots[:])
	var room [4]Slot
	beside := room[:0]
	for i := range s.Steps {
		do := s.Steps[i].Do
		for _, slot := range Takes(do) {
			if slot < 1 || int(slot) >= s.Slots || !filled[slot] {
				return s.at(i, "a slot is used before it is filled")
			}
			if slices.Contains(beside, slot) != (s.Steps[i].Side == Beside) && s.kind[i] != kindEnterNet {
				return s.at(i, "a slot is used while another process fills it")
			}
		}
		for _, slot := range Makes(do) {
			if slot < 1 || int(slot) >= s.Slots {
				return s.at(i, "a slot is filled that was not handed out")
			}
			if filled[slot] {
				return s.at(i, "a slot is filled twice")
			}
			filled[slot] = true
			if s.Steps[i].Side == Beside {
				beside = append(beside, slot)
			}
		}
	}
	for slot := 1; slot < s.Slots; slot++ {
		if !filled[slot] {
			return missing("a slot is handed out and never filled")
		}
	}
	return nil
}

type treeState uint8

const (
	noTree treeState = iota
	detached
	mounted
	covering // mounted over the old root
	gone
)

// badTree: a tree that is mounted twice is moved, and uncovers what it covered
// (move_mount(2)); one that is never mounted was meant to cover something.
func badTree(s *survey) *CheckError {
	state := bySlot(s, s.trees[:])
	// Slots out of range are badSlot's.
	is := func(t Slot) treeState {
		if t < 1 || int(t) >= len(state) {
			return noTree
		}
		return state[t]
	}
	for i := range s.Steps {
		do := s.Steps[i].Do
		if s.of[kindDetach].n > 0 {
			for _, t := range Takes(do) {
				if is(t) == gone {
					return s.at(i, "a tree is used that was taken away")
				}
			}
		}
		var made, mount Slot
		how := mounted
		switch a := do.(type) {
		case OpenTree:
			made = a.Into
		case CopyBoxTree:
			made = a.Into
		case NewFS:
			made = a.Into
		case CopyTree:
			// Of a detached tree the kernel copies nothing before Linux 6.15.
			if is(a.Of) == detached {
				return s.at(i, "a tree is copied that is mounted nowhere yet")
			}
			made = a.Into
		case Detach:
			if is(a.Tree) != covering {
				return s.at(i, "what is covered comes to light again")
			}
			state[a.Tree] = gone
		case AttachRoot:
			mount, how = a.Tree, covering
		case Attach:
			mount = a.Tree
		case AttachIn:
			// Nor does it mount anything on one.
			if is(a.In) == detached {
				return s.at(i, "something is mounted on a tree that is mounted nowhere yet")
			}
			mount = a.Tree
		}
		switch is(mount) {
		case mounted, covering:
			return s.at(i, "a tree that is mounted is moved away")
		case detached:
			state[mount] = how
		}
		if made > 0 && int(made) < len(state) {
			state[made] = detached
		}
	}
	for i := range s.Steps {
		if s.kind[i] == kindOpenPTY || s.kind[i] == kindMakeTun {
			continue
		}
		for _, t := range Makes(s.Steps[i].Do) {
			if is(t) == detached {
				return s.at(i, "a tree is mounted nowhere")
			}
		}
	}
	return nil
}

// badPath: what is named below a tree must be there. Only paths of the box are
// resolved by rules that keep them in (openat2(2), RESOLVE_IN_ROOT).
func badPath(s *survey) *CheckError {
	for i := range s.Steps {
		do := s.Steps[i].Do
		if name, ok := nameInTree(do); ok && (name == "" && s.kind[i] != kindChown || absolute(name) || climbs(name)) {
			return s.at(i, "a name leads out of its tree")
		}
		if path, ok := pathInBox(do); ok && !absolute(string(path)) {
			return s.at(i, "a path of the box is not absolute")
		}
		switch a := do.(type) {
		case OpenTree:
			if a.Source != WorkingDirectory && (!absolute(string(a.Source)) || climbs(string(a.Source))) {
				return s.at(i, "a path of the host is not absolute, or not resolved")
			}
		case MapIDs:
			for _, p := range [...]HostPath{a.NewUIDMap, a.NewGIDMap} {
				if p != "" && !absolute(string(p)) {
					return s.at(i, "a helper would be looked for in the working directory")
				}
			}
		}
	}
	return nil
}

// nameInTree is the name below a tree that an action works on.
func nameInTree(a Action) (string, bool) {
	switch a := a.(type) {
	case CopyTree:
		return a.Path, a.Path != "" // "" is all of it
	case AttachIn:
		return a.Name, true
	case Mkdir:
		return a.Path, true
	case File:
		return a.Path, true
	case Symlink:
		return a.Name, true
	case Chown:
		return a.Path, true
	case CopyUp:
		return a.Path, true
	case Whiteout:
		return a.Path, true
	}
	return "", false
}

// pathInBox is the path of the box that an action works on. Those of a command
// may be relative to its working directory.
func pathInBox(a Action) (BoxPath, bool) {
	switch a := a.(type) {
	case Attach:
		return a.At, true
	case CopyBoxTree:
		return a.Path, true
	case Chdir:
		return a.Path, true
	}
	return "", false
}

func absolute(p string) bool { return strings.HasPrefix(p, "/") }

// climbs says whether a path has a component "..".
func climbs(p string) bool {
	for {
		i := strings.Index(p, "..")
		if i < 0 {
			return false
		}
		if (i == 0 || p[i-1] == '/') && (i+2 == len(p) || p[i+2] == '/') {
			return true
		}
		p = p[i+1:]
	}
}

func nulByte(s *survey) *CheckError {
	for i := range s.Steps {
		if hasNUL(s.Steps[i].Do) {
			return s.at(i, "a NUL byte, at which the kernel takes the string to end")
		}
	}
	return nil
}

// hasNUL says whether a string that reaches the kernel as one of C's holds a
// NUL. A file's content has a length, and may.
func hasNUL(a Action) bool {
	nul := func(s string) bool { return strings.IndexByte(s, 0) >= 0 }
	switch a := a.(type) {
	case MapIDs:
		return nul(string(a.NewUIDMap)) || nul(string(a.NewGIDMap))
	case Scope:
		if slices.ContainsFunc(a.Controllers, nul) {
			return true
		}
		for _, b := range a.Buses {
			if nul(b.Address) {
				return true
			}
		}
	case MakeCgroup:
		return slices.ContainsFunc(a.Controllers, nul) || nul(string(a.In))
	case LimitCgroup:
		return nul(a.File) || nul(a.Value)
	case OpenLimit:
		return nul(a.File)
	case WriteLimit:
		return nul(a.File) || nul(a.Value)
	case Hostname:
		return nul(a.Name)
	case StartNet:
		if nul(string(a.Log)) {
			return true
		}
		for _, v := range a.Args {
			if nul(v) {
				return true
			}
		}
	case MakeTun:
		return nul(a.Name)
	case MakeVeth:
		return nul(a.Name) || nul(a.Address)
	case TakeSwitch:
		return nul(a.Device)
	case Device:
		return nul(a.Name) || nul(a.Address) || nul(a.Gateway)
	case Listen:
		return nul(string(a.Path)) || slices.ContainsFunc(a.At, nul)
	case Lock:
		return nul(string(a.Dir))
	case HoldDirs:
		return slices.ContainsFunc(a.Dirs, func(d HostPath) bool { return nul(string(d)) })
	case OpenHost:
		return nul(string(a.Path))
	case StartHelper:
		return nul(a.Name) || nul(string(a.Path)) || slices.ContainsFunc(a.Args, nul)
	case LocalRoutes:
		return nul(a.Device) || slices.ContainsFunc(a.Prefixes, nul)
	case DeviceIPv6:
		return nul(a.Name) || nul(a.Address) || nul(a.Gateway)
	case OpenTree:
		return nul(string(a.Source))
	case CopyTree:
		return nul(a.Path)
	case CopyBoxTree:
		return nul(string(a.Path))
	case NewFS:
		for _, o := range a.Options {
			if nul(o.Key) || nul(o.Value) {
				return true
			}
		}
		return nul(a.Type)
	case Attach:
		return nul(string(a.At))
	case AttachIn:
		return nul(a.Name)
	case Mkdir:
		return nul(a.Path)
	case File:
		return nul(a.Path)
	case Symlink:
		return nul(a.Name) || nul(a.Target)
	case Chown:
		return nul(a.Path)
	case CopyUp:
		return nul(a.Path)
	case Whiteout:
		return nul(a.Path)
	case Chdir:
		return nul(string(a.Path))
	case Landlock:
		for _, r := range a.Rules {
			if nul(string(r.Path)) || nul(r.From) {
				return true
			}
		}
	case LimitNamespaces:
		for _, t := range a.Types {
			if nul(t) {
				return true
			}
		}
	case Exec:
		for _, f := range a.Files {
			if nul(string(f)) {
				return true
			}
		}
		for _, v := range a.Args {
			if nul(v) {
				return true
			}
		}
		for _, v := range a.Env {
			if nul(v) {
				return true
			}
		}
	}
	return false
}

// ---- what the box may do

// node says whether a path is a device that holds nothing: whoever may open
// it may write to it, and nothing is changed by that.
func node(p HostPath) bool {
	switch p {
	case "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty":
		return true
	}
	return false
}

// ownMemory says whether a new file system of a type shows nothing but what
// the box itself put there, or is.
func ownMemory(fs string) bool {
	switch fs {
	case "tmpfs", "devpts", "mqueue", "proc":
		return true
	}
	return false
}

// writableUnasked: CopyTree and CopyBoxTree keep what their source has, and no
// step takes read-only away. Nor does nobox itself write where no flag said so.
func writableUnasked(s *survey) *CheckError {
	outside := bySlot(s, s.outside[:]) // what is not the box's own
	is := func(t Slot) bool { return t > 0 && int(t) < len(outside) && outside[t] }
	shared := 0
	for i := range s.Steps {
		asked := s.Steps[i].From != ""
		var into, in Slot
		switch a := s.Steps[i].Do.(type) {
		case OpenTree:
			into = a.Into
			if asked || a.Attr.ReadOnly || node(a.Source) && !a.Recursive {
				break
			}
			if a.Source != WorkingDirectory {
				return s.at(i, "writable, and no flag named it")
			}
			if shared++; shared > 1 {
				return s.at(i, "the working directory is shared twice")
			}
		case NewFS:
			if ownMemory(a.Type) {
				break
			}
			into = a.Into
			if !asked && !a.Attr.ReadOnly {
				return s.at(i, "a writable file system that is not the box's own, and no flag named it")
			}
		case CopyBoxTree:
			into = a.Into
		case CopyTree:
			if is(a.Of) {
				into = a.Into
			}
		case Mkdir:
			in = a.In
		case File:
			in = a.In
		case Symlink:
			in = a.In
		case Chown:
			in = a.In
		case CopyUp:
			in = a.In
		case Whiteout:
			in = a.In
		}
		if into > 0 && int(into) < len(outside) {
			outside[into] = true
		}
		if is(in) && !asked {
			return s.at(i, "something is made or changed outside, and no flag named it")
		}
	}
	return nil
}

// badWhiteout: a name whose whiteout is no mount point can be made, and so can
// one in a directory that can be removed and made again (vfs_rename in
// fs/namei.c). And chown(2) of no ids is without effect in an overlay alone.
func badWhiteout(s *survey) *CheckError {
	if s.of[kindCopyUp].n+s.of[kindWhiteout].n == 0 {
		return nil
	}
	overlay := map[Slot]bool{}
	for i := range s.Steps {
		switch a := s.Steps[i].Do.(type) {
		case NewFS:
			for _, o := range a.Options {
				overlay[a.Into] = overlay[a.Into] || a.Type == "overlay" && o.Key == "upperdir"
			}
		case CopyUp:
			if !overlay[a.In] {
				return s.at(i, "something is copied up in what is no overlay")
			}
		case Whiteout:
			if rest, ok := s.heldBelow(a); !ok {
				return s.at(i, "a whiteout that can be written")
			} else if rest != "" {
				return s.at(i, "a whiteout in a directory that can be made again")
			}
		}
	}
	return nil
}

// badHeld: a directory of nobox's own that is not there yet, or that another nobox
// may remove, keeps a box from nothing.
func badHeld(s *survey) *CheckError {
	held, clone := s.of[kindHoldDirs], s.of[kindClone]
	if held.n == 0 {
		return nil
	}
	dirs := s.Steps[held.first].Do.(HoldDirs).Dirs
	switch {
	case held.n > 1:
		return s.at(held.last, "directories are held twice")
	case clone.n > 0 && held.first > clone.first:
		return s.at(held.first, "the box could make the directories first")
	case len(dirs) == 0:
		return s.at(held.first, "no directory is held")
	}
	for _, d := range dirs {
		if !absolute(string(d)) || climbs(string(d)) {
			return s.at(held.first, "the path of a directory is not absolute, or not resolved")
		}
	}
	return nil
}

// untied: a box of a nobox whose parent ended first has nobody who ends it.
func untied(s *survey) *CheckError {
	if tie := s.of[kindEndWithParent]; tie.n > 0 && tie.first > 0 {
		return s.at(tie.first, "it is not the first step: what started nobox may be gone by then")
	} else if tie.n > 1 {
		return s.at(tie.last, "nobox is tied twice")
	}
	return nil
}

// unlocked: a layer of the host's that an overlay writes to is locked before the
// box is there.
func unlocked(s *survey) *CheckError {
	concerned := s.of[kindLock].n > 0
	for i := 0; i < len(s.kind) && !concerned; i++ {
		fs, _ := s.Steps[i].Do.(NewFS)
		concerned = fs.Type == "overlay"
	}
	if !concerned {
		return nil // without the maps below, which cost a start time
	}
	locked := map[HostPath]bool{}
	if l := s.of[kindLock]; l.n > 0 {
		for i := range s.Steps {
			if a, is := s.Steps[i].Do.(Lock); is {
				if s.of[kindClone].n > 0 && i > s.of[kindClone].first {
					return s.at(i, "a directory is locked when the box is started already")
				}
				locked[a.Dir] = true
			}
		}
	}
	type place struct {
		in   Slot
		name string
	}
	from, at := map[Slot]HostPath{}, map[place]HostPath{}
	var stands Slot
	for i := range s.Steps {
		switch a := s.Steps[i].Do.(type) {
		case OpenTree:
			from[a.Into] = a.Source
		case CopyTree:
			from[a.Into] = from[a.Of]
		case AttachIn:
			at[place{a.In, a.Name}] = from[a.Tree]
		case EnterTree:
			stands = a.Tree
		case NewFS:
			for _, o := range a.Options {
				if a.Type != "overlay" || o.Key != "upperdir" {
					continue
				}
				name, _, _ := strings.Cut(o.Value, "/")
				if dir := at[place{stands, name}]; dir != "" && !locked[dir] {
					return s.at(i, "what a box writes is kept in a directory that is not locked")
				}
			}
		}
	}
	return nil
}

// heldBelow says whether something is mounted on a whiteout, and which of the
// directories above it in its layer nothing is mounted on, "" if there is none.
func (s *survey) heldBelow(w Whiteout) (dir string, ok bool) {
	for i := range s.Steps {
		layer, is := s.Steps[i].Do.(CopyTree)
		if !is || layer.Of != w.In {
			continue
		}
		rel, below := strings.CutPrefix(w.Path, layer.Path+"/")
		if !below {
			continue
		}
		held := map[string]bool{}
		for _, x := range s.Steps {
			if a, is := x.Do.(AttachIn); is && a.In == layer.Into {
				held[a.Name] = true
			}
		}
		if !held[rel] {
			continue
		}
		for d := path.Dir(rel); d != "."; d = path.Dir(d) {
			if !held[d] {
				return d, true
			}
		}
		return "", true
	}
	return "", false
}

// suidOrDevices: a new file system may go without nodev, because a superblock
// made in a user namespace holds no devices whatever its mount says (SB_I_NODEV;
// fs/super.c, alloc_super).
func suidOrDevices(s *survey) *CheckError {
	for i := range s.Steps {
		var attr Attr
		mayDev := false
		switch a := s.Steps[i].Do.(type) {
		case OpenTree:
			attr, mayDev = a.Attr, strings.HasPrefix(string(a.Source), "/dev/")
		case CopyBoxTree:
			attr = a.Attr
		case NewFS:
			attr, mayDev = a.Attr, true
		default:
			continue
		}
		if !attr.NoSuid {
			return s.at(i, "a mount without nosuid")
		}
		if !attr.NoDev && !mayDev {
			return s.at(i, "a mount without nodev")
		}
	}
	return nil
}

// harmless are the capabilities that only have power over what is the box's
// own. Every other one, one that the kernel has yet to get included, opens
// code of the kernel that an ordinary process cannot reach.
const harmless = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP |
	1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE

// leastLastCap is the last capability of the oldest kernel that nobox runs on.
const leastLastCap = unix.CAP_CHECKPOINT_RESTORE

func badCapabilities(s *survey) *CheckError {
	if e := s.once(kindDropBounding, "DropBounding"); e != nil {
		return e
	}
	if e := s.once(kindSetCaps, "SetCaps"); e != nil {
		return e
	}
	drop, set := s.of[kindDropBounding].first, s.of[kindSetCaps].first
	if s.need.last > set {
		return s.at(s.need.last, "a capability is needed after they are dropped")
	}
	bounding, keep := s.Steps[drop].Do.(DropBounding), s.Steps[set].Do.(SetCaps).Keep
	if s.Steps[set].Do.(SetCaps).Ambient && s.Steps[set].From == "" {
		return s.at(set, "ambient capabilities, and no flag asked for them (CVE-2022-24769)")
	}
	if bounding.Last < leastLastCap || bounding.Last > 63 {
		return s.at(drop, "the bounding set would keep the kernel's newest capabilities")
	}
	if keep&^bounding.Keep != 0 {
		return s.at(set, "a capability is kept that the bounding set has not")
	}
	if bounding.Keep&^harmless != 0 && s.Steps[drop].From == "" {
		return s.at(drop, "a dangerous capability stays within reach, and no flag named it")
	}
	if keep&^harmless != 0 && s.Steps[set].From == "" {
		return s.at(set, "a dangerous capability is kept, and no flag named it")
	}
	return nil
}

func newPrivs(s *survey) *CheckError {
	if e := s.once(kindNoNewPrivs, "NoNewPrivs"); e != nil {
		return e
	}
	if !s.of[kindSetCaps].precedes(s.of[kindNoNewPrivs]) {
		return s.at(s.of[kindNoNewPrivs].first, "no_new_privs stands before the capabilities are dropped")
	}
	return nil
}

// badSecurebits: what root means is settled before the capabilities go, since
// that takes one of them.
func badSecurebits(s *survey) *CheckError {
	if e := s.once(kindSecurebits, "Securebits"); e != nil {
		return e
	}
	const locked = 1<<1 | 1<<3 | 1<<7 // NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE
	i := s.of[kindSecurebits].first
	if s.Steps[i].Do.(Securebits).Bits&locked != locked {
		return s.at(i, "the box could change what root means")
	}
	return nil
}

// badFilter: the kernel takes a filter only of who cannot gain privileges, and
// what the inside still does after it must be what every filter allows that a
// command can start under.
func badFilter(s *survey) *CheckError {
	if e := s.once(kindFilter, "Filter"); e != nil {
		return e
	}
	f := s.of[kindFilter]
	a := s.Steps[f.first].Do.(Filter)
	switch {
	case !a.Own && s.Steps[f.first].From == "":
		return s.at(f.first, "system calls are filtered by another filter than nobox's, or by none, and no flag said so")
	case a.Own && a.Program == "", len(a.Program)%8 != 0, a.Instructions() > 4096: // BPF_MAXINSNS; linux/bpf_common.h
		return s.at(f.first, "a program that the kernel does not take")
	case !s.of[kindNoNewPrivs].precedes(f):
		return s.at(f.first, "the filter stands before no_new_privs")
	case a.Own && s.Init.Reaper && f.first > s.Init.After:
		return s.at(f.first, "pid 1 would go without the filter")
	}
	for i := f.first + 1; i < len(s.kind); i++ {
		if s.Steps[i].Side == Host {
			continue
		}
		switch s.kind[i] {
		case kindExec:
			continue
		case kindLandlock:
			if s.of[kindKeep].n > 0 {
				continue
			}
		case kindForeground, kindDieWithParent, kindChdir, kindRlimit, kindTimerSlack, kindWriteLimit, kindCloseFiles, kindRestoreSignals:
			if a.Own || a.Program == "" {
				continue
			}
			return s.at(i, "a filter that nobox does not know stands before this")
		}
		return s.at(i, "the filter is not among the last things before the command")
	}
	return nil
}

// badLandlock: a kernel without it is no failure, so that it may be missing.
// Under rules for files the kernel refuses every mount, and what nothing is
// mounted at read-write needs no rule.
func badLandlock(s *survey) *CheckError {
	l := s.of[kindLandlock]
	if l.n == 0 {
		return nil
	}
	if l.n > 1 {
		return s.at(l.last, "Landlock is set up twice")
	}
	i := l.first
	switch a := s.Steps[i].Do.(Landlock); {
	case !s.of[kindNoNewPrivs].precedes(l):
		return s.at(i, "Landlock stands before no_new_privs")
	case s.view.n > 0 && s.view.last > i:
		return s.at(s.view.last, "Landlock refuses this, which stands behind it")
	case s.Init.Reaper && i > s.Init.After:
		return s.at(i, "pid 1 would stay outside of Landlock")
	default:
		var places map[BoxPath]bool
		if len(a.Rules) > 0 {
			places = s.writablePlaces()
		}
		for _, r := range a.Rules {
			if r.Files&^a.Files != 0 || !places[r.Path] {
				return s.at(i, "a rule gives more than the mounts do")
			}
		}
	}
	return nil
}

// writablePlaces are the places where something is mounted read-write.
func (s *survey) writablePlaces() map[BoxPath]bool {
	places := make(map[BoxPath]bool, 16)
	rw := bySlot(s, s.writable[:])
	is := func(t Slot) bool { return t > 0 && int(t) < len(rw) && rw[t] } // others are badSlot's
	set := func(t Slot, writable bool) {
		if t > 0 && int(t) < len(rw) {
			rw[t] = writable
		}
	}
	for i := range s.Steps {
		switch a := s.Steps[i].Do.(type) {
		case OpenTree:
			set(a.Into, !a.Attr.ReadOnly)
		case NewFS:
			set(a.Into, !a.Attr.ReadOnly)
		case CopyBoxTree:
			set(a.Into, !a.Attr.ReadOnly)
		case CopyTree:
			set(a.Into, is(a.Of) && (a.Attr == nil || !a.Attr.ReadOnly))
		case AttachRoot:
			if is(a.Tree) {
				places["/"] = true
			}
		case Attach:
			if is(a.Tree) {
				places[a.At] = true
			}
		}
	}
	return places
}

// sharesKeyring: a key ring belongs to a uid.
func sharesKeyring(s *survey) *CheckError {
	if e := s.once(kindSessionKeyring, "SessionKeyring"); e != nil {
		return e
	}
	ring := s.of[kindSessionKeyring]
	switch {
	case !s.of[kindSetIDs].precedes(ring):
		return s.at(ring.first, "the session keyring would be another user's")
	case ring.first > s.Init.After:
		return s.at(ring.first, "pid 1 keeps the caller's session keyring")
	case s.Steps[ring.first].Do.(SessionKeyring).Closed && s.of[kindFilter].n > 0 && !s.Steps[s.of[kindFilter].first].Do.(Filter).Own:
		return s.at(ring.first, "a filter that nobox does not know is counted on to close the calls on keys")
	}
	return nil
}

// dumpable: a change of ids sets the flag again, to /proc/sys/fs/suid_dumpable;
// prctl(2), PR_SET_DUMPABLE.
func dumpable(s *survey) *CheckError {
	not := s.of[kindNotDumpable]
	if not.n == 0 && s.Init.Reaper {
		return missing("there is no NotDumpable, and the reaper is open to the box")
	}
	if not.n > 0 && s.of[kindSetIDs].n > 0 && s.of[kindSetIDs].last > not.last {
		return s.at(s.of[kindSetIDs].last, "a change of ids opens nobox's process to the box again")
	}
	return nil
}

// outlivesNobox: a change of ids takes back what DieWithParent did; prctl(2),
// PR_SET_PDEATHSIG.
func outlivesNobox(s *survey) *CheckError {
	die, ids := s.of[kindDieWithParent], s.of[kindSetIDs]
	if s.inside.n > 0 && (die.n == 0 || die.first != s.inside.first) {
		return s.at(s.inside.first, "the box is not tied to nobox yet")
	}
	if ids.n > 0 && die.last < ids.last {
		return s.at(ids.last, "a change of ids unties the box from nobox")
	}
	// fork(2) does not hand the tie down: the first behind the last change of
	// ids must be pid 1's.
	if ids.n > 0 && s.Init.Reaper {
		for i := ids.last; i <= s.Init.After && i < len(s.kind); i++ {
			if s.kind[i] == kindDieWithParent {
				return nil
			}
		}
		return s.at(ids.last, "a change of ids unties the reaper from nobox")
	}
	return nil
}

// ---- what the command starts with

func leaksDescriptors(s *survey) *CheckError {
	if e := s.once(kindCloseFiles, "CloseFiles"); e != nil {
		return e
	}
	i := s.of[kindCloseFiles].first
	below := 2
	for _, fd := range s.Steps[i].Do.(CloseFiles).Keep {
		if s.Steps[i].From == "" {
			return s.at(i, "a descriptor is handed on, and no flag named it")
		}
		if fd <= below {
			return s.at(i, "the descriptors to be kept are not in order")
		}
		below = fd
	}
	if !s.make.precedes(s.of[kindCloseFiles]) {
		return s.at(s.make.last, "a descriptor is opened after they are closed")
	}
	return nil
}

func badSignals(s *survey) *CheckError {
	if e := s.once(kindRestoreSignals, "RestoreSignals"); e != nil {
		return e
	}
	restore := s.of[kindRestoreSignals]
	if s.Init.Reaper && restore.first <= s.Init.After {
		return s.at(restore.first, "the reaper needs every signal blocked")
	}
	if !s.of[kindForeground].precedes(restore) {
		return s.at(s.of[kindForeground].last, "SIGTTOU, which this raises, must be blocked")
	}
	return nil
}

func badSession(s *survey) *CheckError {
	if e := s.once(kindNewSession, "NewSession"); e != nil {
		return e
	}
	session, take, fore := s.of[kindNewSession], s.of[kindTakeTTY], s.of[kindForeground]
	switch {
	case session.first > s.Init.After:
		return s.at(session.first, "pid 1 stays in the caller's session")
	case take.n > 0 && take.last > s.Init.After:
		return s.at(take.last, "the terminal is taken by another process than the session's leader")
	case !session.precedes(take):
		return s.at(take.first, "a terminal is taken without a session of one's own")
	case fore.n > 0 && !s.Init.Reaper:
		return s.at(fore.first, "pid 1 leads its session, and can change its process group no more")
	case fore.n > 0 && fore.first <= s.Init.After:
		return s.at(fore.first, "the reaper would be in the foreground")
	}
	return nil
}

// badTerminal: a pty is opened, handed out, received and taken, or nothing of
// all this.
func badTerminal(s *survey) *CheckError {
	open, send, receive, take := s.of[kindOpenPTY], s.of[kindSendPTY], s.of[kindTakePTY], s.of[kindTakeTTY]
	for _, t := range [...]span{open, send, receive, take} {
		if t.n > 1 {
			return s.at(t.last, "a box has one terminal")
		}
	}
	if open.n != send.n || send.n != receive.n || receive.n != take.n {
		return missing("the box's terminal is not opened, handed out, received and taken")
	}
	if open.n > 0 {
		pty := s.Steps[open.first].Do.(OpenPTY)
		if s.Steps[send.first].Do.(SendPTY).Master != pty.Master {
			return s.at(send.first, "something else than the terminal's master side is handed out")
		}
		if s.Steps[take.first].Do.(TakeTTY).Peer != pty.Peer {
			return s.at(take.first, "something else than the box's terminal is taken")
		}
	}
	for i, k := range s.kind {
		if k == kindForeground && s.Steps[i].Do.(Foreground).Terminal &&
			(take.n == 0 || !s.Steps[take.first].Do.(TakeTTY).Streams[0]) {
			return s.at(i, "stdin is not the box's terminal")
		}
	}
	return nil
}

// badInit: the reaper holds no more than the command will.
func badInit(s *survey) *CheckError {
	after := s.Init.After
	if after < 0 || after >= len(s.Steps) || s.Steps[after].Side != Inside {
		return missing("Init.After is not a step of the inside")
	}
	if s.of[kindExec].n > 0 && after >= s.of[kindExec].first {
		return s.at(after, "nothing is left for the command's process")
	}
	for _, k := range [...]kind{kindPivot, kindSetCaps, kindNoNewPrivs} {
		if t := s.of[k]; t.n > 0 && t.last > after {
			return s.at(t.last, "pid 1 would go without this")
		}
	}
	if t := s.of[kindNotDumpable]; s.Init.Reaper && t.n > 0 && t.last > after {
		return s.at(t.last, "the reaper would stay open to the box")
	}
	return nil
}

// ---- where the sides meet

// badEvents: a wait takes the next byte that comes, whichever event it is.
func badEvents(s *survey) *CheckError {
	next := 0
	for i, k := range s.kind {
		if k != kindAwait {
			continue
		}
		for next < len(s.kind) && s.kind[next] != kindRelease {
			next++
		}
		if next == len(s.kind) {
			return s.at(i, "nobody says what the inside waits for")
		}
		if s.Steps[next].Do.(Release).Event != s.Steps[i].Do.(Await).Event {
			return s.at(i, "the inside takes one event for another")
		}
		next++
	}
	for ; next < len(s.kind); next++ {
		if s.kind[next] == kindRelease {
			return s.at(next, "the inside does not wait for this")
		}
	}
	return nil
}

// deadlock plays the waits of both sides.
func deadlock(s *survey) *CheckError {
	var host, inside, said, heard, received int
	sent := s.sent[:0]
	for {
		before := host + inside
		for ; host < len(s.kind); host++ {
			if s.Steps[host].Side != Host {
				continue
			}
			if s.kind[host] == kindRelease {
				said++
			}
			// The inside hands things out in an order, and they are taken in that.
			if takes := s.kind[host]; takes == kindMapNested || takes == kindTakePTY || takes == kindTakeNamespaces || takes == kindTakeSwitch || takes == kindSeeNamespaces {
				if received == len(sent) || sent[received] != takes {
					break
				}
				received++
			}
		}
		for ; inside < len(s.kind); inside++ {
			if s.Steps[inside].Side == Host {
				continue
			}
			switch s.kind[inside] {
			case kindSendPTY:
				sent = append(sent, kindTakePTY)
			case kindSendNamespaces:
				sent = append(sent, kindTakeNamespaces)
			case kindSendSwitch:
				sent = append(sent, kindTakeSwitch)
			case kindShowNamespaces:
				sent = append(sent, kindSeeNamespaces)
			case kindNest:
				sent = append(sent, kindMapNested)
			}
			if s.kind[inside] == kindAwait {
				if heard == said {
					break
				}
				heard++
			}
		}
		if host+inside > before {
			continue
		}
		switch {
		case inside < len(s.kind) && host < len(s.kind):
			return s.at(inside, "the two sides wait for each other")
		case inside < len(s.kind):
			return s.at(inside, "the inside waits for ever")
		case host < len(s.kind):
			return s.at(host, "the host side waits for ever")
		}
		return nil
	}
}

// unwatched: a reaper notices nobox's death. Where the command is pid 1 nothing
// of nobox's is left inside to do so, and the caller's terminal nobody inside
// can restore: then a watcher stands by before the command runs.
func unwatched(s *survey) *CheckError {
	if s.releaseGo.n > 0 {
		for i := s.releaseGo.first + 1; i < len(s.Steps); i++ {
			if s.Steps[i].Side == Host {
				return s.at(i, "the host side said that it has nothing left to do")
			}
		}
	}
	if s.Init.Reaper && s.of[kindTakeTTY].n == 0 {
		return nil
	}
	if e := s.once(kindWatch, "Watch"); e != nil {
		return e
	}
	if s.awaitGo.n == 0 {
		return missing("the command does not wait until it is watched")
	}
	return nil
}

// badCgroup: a box whose cgroup is not made before it starts, or which sees
// where its own limits are set, is not limited. What nobody removes stays.
func badCgroup(s *survey) *CheckError {
	scope, make, limit, sweep, open, put := s.of[kindScope], s.of[kindMakeCgroup], s.of[kindLimitCgroup], s.of[kindSweepCgroup], s.of[kindOpenLimit], s.of[kindWriteLimit]
	clone, join := s.of[kindClone].first, s.of[kindJoinCgroup]
	if s.of[kindClone].n == 0 {
		return nil // badNamespaces' matter
	}
	in := s.Steps[clone].Do.(Clone).Cgroup
	for _, t := range [...]span{scope, make, sweep, join} {
		if t.n > 1 {
			return s.at(t.last, "a box has one cgroup")
		}
	}
	for _, t := range [...]span{scope, make, limit, open, sweep, join} {
		if t.n > 0 && t.last > clone {
			return s.at(t.last, "the inside runs without it already")
		}
	}
	switch {
	case join.n > 0 && (make.n > 0 || s.of[kindJoin].n == 0):
		return s.at(join.first, "a box is made in the cgroup of another")
	case in != (make.n+join.n > 0):
		return s.at(clone, "a cgroup is made and not entered, or entered and not made")
	case scope.n > 0 && make.n+join.n == 0:
		return s.at(scope.first, "a scope is asked for in vain")
	case !scope.precedes(join):
		return s.at(join.first, "nobox does not stand in the scope yet")
	case !make.precedes(limit):
		return s.at(limit.first, "a limit is set before there is a cgroup")
	case open.n > 1:
		return s.at(open.last, "one limit alone may come when the box is made")
	case !make.precedes(open) || open.n > make.n:
		return s.at(open.first, "a limit is opened before there is a cgroup")
	case open.n > put.n:
		return s.at(open.first, "nobody sets this limit")
	case put.n > open.n:
		return s.at(put.last, "this limit was not opened")
	case !put.precedes(s.of[kindCloseFiles]):
		return s.at(put.last, "the limit is set when its files are closed")
	}
	if open.n > 0 {
		o, w := s.Steps[open.first].Do.(OpenLimit), s.Steps[put.first].Do.(WriteLimit)
		switch {
		case o.File != "cpu.max":
			return s.at(open.first, "this limit is to stand before the box is made") // what is made counts
		case w.File != o.File || !slices.Equal(w.Of, o.Into) || strings.Contains(w.Value, "\n"):
			return s.at(put.first, "that is not the limit that was opened")
		}
	}
	if join.n > 0 {
		if j, a := s.Steps[s.of[kindJoin].first].Do.(Join), s.Steps[join.first].Do.(JoinCgroup); j.PID != a.PID || j.FD != a.FD {
			return s.at(join.first, "the cgroup is another box's")
		}
	}
	if make.n > 0 {
		a := s.Steps[make.first].Do.(MakeCgroup)
		switch {
		case (a.In == "") != (scope.n > 0):
			return s.at(make.first, "the cgroup is made elsewhere than in the scope, or in none")
		case !scope.precedes(make):
			return s.at(make.first, "the scope is not there yet")
		case a.In != "" && (!absolute(string(a.In)) || climbs(string(a.In))):
			return s.at(make.first, "the path of the cgroup is not absolute, or not resolved")
		case a.In != "" && sweep.n == 0:
			return s.at(make.first, "nobody removes the cgroup should nobox be killed")
		case sweep.n > 0 && !make.precedes(sweep):
			return s.at(sweep.first, "there is nothing to remove yet")
		case s.own()&unix.CLONE_NEWCGROUP == 0 && s.of[kindKeep].n == 0: // which may write to no cgroup
			return s.at(clone, "the box sees the cgroup where its limits are set")
		}
		if !controllers(a.Controllers) {
			return s.at(make.first, "that is no controller")
		}
		if scope.n > 0 && !slices.Equal(s.Steps[scope.first].Do.(Scope).Controllers, a.Controllers) {
			return s.at(make.first, "the cgroup has other controllers than the scope")
		}
	}
	by := s.of[kindSweepInside]
	switch release := s.of[kindRelease]; {
	case by.n > 1:
		return s.at(by.last, "one process removes what the box makes")
	case by.n > 0 && (make.n == 0 || by.first < clone):
		return s.at(by.first, "there is no box yet whose root it could be")
	case by.n > 0 && release.n > 0 && release.first < by.first:
		return s.at(by.first, "the box may have made cgroups already")
	}
	for i, k := range s.kind {
		switch k {
		case kindLimitCgroup:
			a := s.Steps[i].Do.(LimitCgroup)
			if a.File == "" || strings.Contains(a.File, "/") || strings.HasPrefix(a.File, "cgroup.") || strings.Contains(a.Value, "\n") {
				return s.at(i, "that is no limit")
			}
		case kindNewFS:
			if a := s.Steps[i].Do.(NewFS); a.Type == "cgroup2" && (make.n == 0 || s.own()&unix.CLONE_NEWCGROUP == 0) {
				return s.at(i, "the box would see cgroups that are not its own")
			} else if a.Type == "cgroup2" && !a.Attr.ReadOnly && by.n == 0 {
				return s.at(i, "nobody may remove the cgroups that the box makes")
			}
		}
	}
	return nil
}

// controllers says whether those are names of controllers.
func controllers(names []string) bool {
	for _, c := range names {
		if c == "" || strings.Trim(c, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return false
		}
	}
	return true
}

func badCommand(s *survey) *CheckError {
	if e := s.once(kindExec, "Exec"); e != nil {
		return e
	}
	i := s.of[kindExec].first
	if s.inside.last != i {
		return s.at(s.inside.last, "nothing is played after the command runs")
	}
	a := s.Steps[i].Do.(Exec)
	if len(a.Args) == 0 {
		return s.at(i, "a command without a name")
	}
	if len(a.Files) == 0 {
		return s.at(i, "a command without a file")
	}
	for _, f := range a.Files {
		if f == "" {
			return s.at(i, "a file without a name")
		}
	}
	for _, kv := range a.Env {
		if strings.IndexByte(kv, '=') <= 0 {
			return s.at(i, "a variable without a name")
		}
	}
	return nil
}

// badNetwork: a device is made in a network namespace of the box's own, or it
// would be one of the host's; it is set up before its packets are handed out,
// once; whoever takes them is there; and should that one end, nobox can tell
// the box.
func badNetwork(s *survey) *CheckError {
	tun, veth, device, v6, send, start := s.of[kindMakeTun], s.of[kindMakeVeth], s.of[kindDevice], s.of[kindDeviceIPv6], s.of[kindSendNet], s.of[kindStartNet]
	give, take := s.of[kindSendSwitch], s.of[kindTakeSwitch]
	for _, t := range [...]span{tun, veth, device, v6, send, start, give, take} {
		if t.n > 1 {
			return s.at(t.last, "a box has one network device")
		}
	}
	if s.own()&unix.CLONE_NEWNET == 0 {
		for _, t := range [...]span{s.of[kindLoopbackUp], tun, veth, device, s.of[kindLocalRoutes], s.of[kindPingGroups], s.of[kindClientRoutes]} {
			if t.n > 0 {
				return s.at(t.first, "a network device of the host's is changed")
			}
		}
	}
	if tun.n > 0 && veth.n > 0 {
		return s.at(veth.first, "a device is made in two ways")
	}
	if tun.n+veth.n != device.n || device.n != send.n || send.n != start.n || v6.n > device.n {
		return missing("the box's network is not made, set up, handed out and served")
	}
	if give.n != device.n || take.n != device.n {
		return missing("a box would not learn that its network is gone")
	}
	if device.n == 0 {
		return nil
	}
	var name string
	var index uint32
	var packets Slot
	var i int
	if d := s.Steps[device.first].Do.(Device); veth.n > 0 {
		i = veth.first
		made := s.Steps[i].Do.(MakeVeth)
		name, index, packets = made.Name, made.Index, made.Into
		switch {
		case made.MTU != d.MTU:
			return s.at(i, "what is as long as the one device takes does not fit the other")
		case !linkAddress(made.Address):
			return s.at(i, "a link address that no device has")
		}
		for _, t := range [...]span{s.of[kindLoopbackUp], s.of[kindLocalRoutes], s.of[kindPingGroups], s.of[kindClientRoutes], s.of[kindSendNamespaces], s.view, give} {
			if t.n > 0 && t.first < i {
				return s.at(t.first, "the process leaves that network namespace again")
			}
		}
	} else {
		i = tun.first
		made := s.Steps[i].Do.(MakeTun)
		name, index, packets = made.Name, made.Index, made.Into
	}
	d := s.Steps[device.first].Do.(Device)
	switch {
	case !deviceName(name) || index < 2 || index > 1<<31-1: // 1 is lo's
		return s.at(i, "a name or number that no network device of a box has")
	case device.first < i || d.Name != name:
		return s.at(device.first, "another device is set up than was made")
	case !network(d.Address, d.Gateway, netip.Addr.Is4):
		return s.at(device.first, "an address that is none")
	case d.MTU < 1280 || d.MTU > 65535: // RFC 8200, 5
		return s.at(device.first, "an MTU that IPv6 cannot use, or no packet has")
	case s.Steps[send.first].Do.(SendNet).Device != packets:
		return s.at(send.first, "something else than the network device is handed out")
	case send.first > s.Init.After || give.first > s.Init.After:
		return s.at(max(send.first, give.first), "the command's process would hold what leads out of the box")
	case s.Steps[take.first].Do.(TakeSwitch).Device != name:
		return s.at(take.first, "another device would be taken down than was made")
	case s.of[kindSetCaps].n > 0 && give.first > s.of[kindSetCaps].first:
		return s.at(give.first, "who made the socket has no power over the network any more")
	}
	if v6.n > 0 {
		d6 := s.Steps[v6.first].Do.(DeviceIPv6)
		switch {
		case v6.first < device.first || d6.Name != name || d6.Index != index:
			return s.at(v6.first, "IPv6 is set up on another device than was made")
		case !network(d6.Address, d6.Gateway, netip.Addr.Is6):
			return s.at(v6.first, "an IPv6 address that is none")
		}
	}
	return nil
}

// linkAddress says whether s is an Ethernet address of one device, as six
// numbers of two hexadecimal digits.
func linkAddress(s string) bool {
	b, ok := LinkAddress(s)
	return ok && b[0]&1 == 0 && b != [6]byte{}
}

// LinkAddress reads an Ethernet address.
func LinkAddress(s string) (b [6]byte, ok bool) {
	if len(s) != 17 {
		return b, false
	}
	for i := range b {
		v, err := strconv.ParseUint(s[3*i:3*i+2], 16, 8)
		if err != nil || i > 0 && s[3*i-1] != ':' {
			return b, false
		}
		b[i] = byte(v)
	}
	return b, true
}

// badHelper: a program that makes the box's device does so once the inside has
// said where, in a network of the box's own, and before the command; and the box
// cannot send by it what it would take for the host's own.
func badHelper(s *survey) *CheckError {
	start, routes := s.of[kindStartHelper], s.of[kindLocalRoutes]
	if start.n == 0 {
		if routes.n > 0 {
			return s.at(routes.first, "nobody makes the device")
		}
		return nil
	}
	if start.n > 1 {
		return s.at(start.last, "a box has one network helper")
	}
	i := start.first
	a := s.Steps[i].Do.(StartHelper)
	loopback := false
	for j, k := range s.kind {
		if k != kindLocalRoutes {
			continue
		}
		r := s.Steps[j].Do.(LocalRoutes)
		if !deviceName(r.Device) || len(r.Prefixes) == 0 {
			return s.at(j, "no device, or nothing to keep from it")
		}
		for _, p := range r.Prefixes {
			prefix, err := netip.ParsePrefix(p)
			if err != nil || prefix != prefix.Masked() {
				return s.at(j, "a prefix that is none")
			}
			loopback = loopback || p == "127.0.0.0/8"
		}
	}
	take, awaited, dump, set := s.of[kindTakeNamespaces], s.awaitGo, s.of[kindNotDumpable], s.of[kindSetCaps]
	switch {
	case !absolute(string(a.Path)) || climbs(string(a.Path)):
		return s.at(i, "a program would be looked for in the working directory")
	case a.Ready != unix.Stdout && a.Ready != HelperReady:
		return s.at(i, "nobody hears that the helper is ready")
	case s.own()&unix.CLONE_NEWNET == 0 || s.of[kindDevice].n > 0:
		return s.at(i, "the box has another network already")
	case take.n == 0 || take.first > i:
		return s.at(i, "the helper is started before the inside is ready for it")
	case awaited.n == 0:
		return s.at(i, "the command does not wait for its network")
	case !loopback:
		return s.at(i, "the box reaches the host's loopback by its device")
	case routes.first < awaited.first:
		return s.at(routes.first, "the device is not there yet")
	case dump.n > 0 && dump.first < awaited.first:
		return s.at(dump.first, "the helper cannot enter the box any more")
	case set.n > 0 && s.Steps[set.first].From == "" && s.Steps[set.first].Do.(SetCaps).Keep&(1<<unix.CAP_NET_RAW) != 0:
		return s.at(set.first, "a raw packet reaches the host's loopback by the helper")
	}
	return nil
}

// badPublished: sockets are bound before all else, and someone serves them, in
// the box's network.
func badPublished(s *survey) *CheckError {
	listen, start, take, send := s.of[kindListen], s.of[kindStartForwarder], s.of[kindTakeNamespaces], s.of[kindSendNamespaces]
	if take.n > 1 || send.n > 1 || start.n > 1 {
		return s.at(max(take.last, send.last, start.last), "the box's namespaces are handed out, or served, twice")
	}
	if take.n != send.n {
		return missing("the box's namespaces are not handed out and received")
	}
	if (listen.n > 0) != (start.n > 0) {
		return missing("published ports are not bound and served")
	}
	if take.n > 0 && start.n == 0 && s.of[kindStartHelper].n == 0 {
		return s.at(take.first, "nobody needs the box's namespaces")
	}
	if listen.n == 0 {
		return nil
	}
	for i := range s.kind {
		if s.kind[i] != kindListen {
			continue
		}
		a := s.Steps[i].Do.(Listen)
		switch {
		case s.Steps[i].From == "":
			return s.at(i, "a port is published, and no flag named it")
		case a.Box == 0 || a.Last < a.First || a.First == 0 && a.Last != 0:
			return s.at(i, "a port that is none")
		case (a.Path == "") == (len(a.At) == 0) || a.Path != "" && a.UDP:
			return s.at(i, "a socket is bound nowhere, or twice")
		}
		for _, at := range a.At {
			if ip, err := netip.ParseAddr(at); err != nil || ip.Zone() != "" {
				return s.at(i, "a socket is bound to what is no address")
			}
		}
	}
	routes := s.of[kindClientRoutes]
	if visible := s.Steps[start.first].Do.(StartForwarder).Visible; visible != (routes.n > 0) {
		return s.at(start.first, "answers to clients do not come back, or come back to nobody")
	}
	switch {
	case s.own()&unix.CLONE_NEWNET == 0:
		return s.at(start.first, "the box has no network of its own")
	case take.n == 0 || start.first < take.first:
		return s.at(start.first, "the forwarder is started before it has a place")
	}
	return nil
}

// deviceName: net/core/dev.c, dev_valid_name; "%" stands for a number there.
func deviceName(n string) bool {
	if len(n) == 0 || len(n) >= unix.IFNAMSIZ || n == "." || n == ".." || n == "lo" {
		return false
	}
	return strings.IndexFunc(n, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' }) < 0
}

// network says whether an address with a prefix, and a gateway, are those of
// one network, and of the right family.
func network(address, gateway string, family func(netip.Addr) bool) bool {
	a, err := netip.ParsePrefix(address)
	g, err2 := netip.ParseAddr(gateway)
	return err == nil && err2 == nil && family(a.Addr()) && a.Contains(g) && g.Zone() == ""
}
