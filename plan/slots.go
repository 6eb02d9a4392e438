package plan

// Makes lists the slots that an action fills.
func Makes(a Action) []Slot {
	switch a := a.(type) {
	case OpenTree:
		return []Slot{a.Into}
	case CopyTree:
		return []Slot{a.Into}
	case CopyBoxTree:
		return []Slot{a.Into}
	case NewFS:
		return []Slot{a.Into}
	case OpenPTY:
		return []Slot{a.Master, a.Peer}
	case OpenDevpts:
		return []Slot{a.Into}
	case OpenHost:
		return []Slot{a.Into}
	case MakeTun:
		return []Slot{a.Into}
	case MakeVeth:
		return []Slot{a.Into}
	case HoldNet:
		return []Slot{a.Into}
	case OpenLimit:
		return a.Into
	}
	return nil
}

// Takes lists the slots that an action needs filled.
func Takes(a Action) []Slot {
	switch a := a.(type) {
	case CopyTree:
		return []Slot{a.Of}
	case CopyBoxTree:
		return []Slot{a.Root}
	case AttachRoot:
		return []Slot{a.Tree}
	case EnterTree:
		return []Slot{a.Tree}
	case Detach:
		return []Slot{a.Tree}
	case Attach:
		return []Slot{a.Tree, a.Root}
	case AttachIn:
		return []Slot{a.Tree, a.In}
	case SetAttr:
		return []Slot{a.Tree}
	case Mkdir:
		return []Slot{a.In}
	case File:
		return []Slot{a.In}
	case Symlink:
		return []Slot{a.In}
	case Chown:
		return []Slot{a.In}
	case CopyUp:
		return []Slot{a.In}
	case Whiteout:
		return []Slot{a.In}
	case Pivot:
		return []Slot{a.Root}
	case LimitNamespaces:
		return []Slot{a.Proc}
	case FirstPID:
		return []Slot{a.Proc}
	case EnterNet:
		return []Slot{a.Net}
	case OpenPTY:
		return []Slot{a.Devpts}
	case WriteLimit:
		return a.Of
	case SendPTY:
		return []Slot{a.Master}
	case TakeTTY:
		return []Slot{a.Peer}
	case SendNet:
		return []Slot{a.Device}
	case MakeTun:
		if a.Dev != 0 {
			return []Slot{a.Dev}
		}
	case PingGroups:
		if a.Sys != 0 {
			return []Slot{a.Sys}
		}
	}
	return nil
}

// Uses lists the slots that an action fills or needs.
func Uses(a Action) []Slot {
	if m := Makes(a); m != nil {
		return append(m, Takes(a)...)
	}
	return Takes(a)
}
