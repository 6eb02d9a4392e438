package host

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A Range is ids of the host, Start to Start+Count-1.
type Range struct {
	Start uint32 `json:"start"`
	Count uint32 `json:"count"`
}

// Last is the last id of the range.
//
// Preconditions: the range is not empty.
func (r Range) Last() uint32 { return r.Start + r.Count - 1 }

// Contains says whether the id is in the range.
func (r Range) Contains(id uint32) bool { return id >= r.Start && id-r.Start < r.Count }

// Subordinate is what one of /etc/subuid and /etc/subgid, or getsubids where
// they do not list the user, grants the caller; subuid(5).
type Subordinate struct {
	File   string  `json:"file"`   // or "getsubids NAME" if that is where the ranges are from
	Ranges []Range `json:"ranges"` // all lines of the caller's, in order; valid ones only, none overlap
	// Problems are lines of the caller's that were left out, and why.
	Problems []string `json:"problems,omitempty"`
	Err      string   `json:"err,omitempty"`     // the file could not be read
	Missing  bool     `json:"missing,omitempty"` // because there is none
	// Free is the first id from 100000 up that lies above the ranges of all
	// others; 0 if not looked for, which is where the caller has ranges.
	Free uint32 `json:"free,omitempty"`
}

// HelperState says whether newuidmap or newgidmap can work.
type HelperState uint8

const (
	HelperOK         HelperState = iota
	HelperMissing                // not on PATH nor in the usual places
	HelperPowerless              // neither setuid root nor with file capabilities
	HelperNosuid                 // on a file system mounted nosuid
	HelperNoNewPrivs             // the caller runs with no_new_privs, so setuid has no effect
)

// Helper is newuidmap or newgidmap.
type Helper struct {
	Name  string        `json:"name"`
	Path  plan.HostPath `json:"path,omitempty"`
	State HelperState   `json:"state"`
	Mount plan.HostPath `json:"mount,omitempty"` // the mount that is nosuid
}

// IDs is who the caller is and which ids are theirs.
type IDs struct {
	UID, GID uint32
	User     string // "" if no name is known
	// FromDirectory: the name is not from /etc/passwd, but id(1) knows it,
	// from LDAP for example. usermod(8) cannot change such a user.
	FromDirectory bool
	PasswdHome    string // the home directory that /etc/passwd gives, "" if none
	SubUID        Subordinate
	SubGID        Subordinate
	NewUIDMap     Helper
	NewGIDMap     Helper
	NoNewPrivs    bool
	// SetgroupsDenied: nobox runs in a user namespace where setgroups(2) is
	// denied, and with it in every one below; user_namespaces(7).
	SetgroupsDenied bool
	// HelpersRefused is what newuidmap or newgidmap said when it was tried and
	// failed. Only a run learns it; ProbeIDs leaves it empty.
	HelpersRefused string
}

// passwd(5), subuid(5), subgid(5)
const (
	passwdFile = "/etc/passwd"
	subuidFile = "/etc/subuid"
	subgidFile = "/etc/subgid"
)

// A machine is where the questions about ids are put; tests have their own.
type machine struct {
	passwd, subuid, subgid string
	path                   string   // the caller's PATH
	places                 []string // searched for programs after PATH
	uid, gid               uint32
	noNewPrivs             bool
	patience               time.Duration // with the user database, in all
}

// ProbeIDs says who the caller is and, with wantRanges, which ids are theirs
// and whether the helpers that map them can work. Without, nothing is read but
// /etc/passwd.
func ProbeIDs(wantRanges bool) IDs {
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	m := machine{
		passwd: passwdFile, subuid: subuidFile, subgid: subgidFile,
		path: os.Getenv("PATH"), places: usualPlaces,
		uid: uint32(os.Getuid()), gid: uint32(os.Getgid()),
		noNewPrivs: err == nil && nnp != 0,
		patience:   2 * time.Second,
	}
	return m.ids(wantRanges)
}

func (m machine) ids(wantRanges bool) IDs {
	ids := IDs{UID: m.uid, GID: m.gid, NoNewPrivs: m.noNewPrivs}
	passwd, _ := ReadFile(m.passwd) // without one the uid has no name, and needs none
	names, home := userNames(passwd, m.uid)
	ids.PasswdHome = home
	if len(names) > 0 {
		ids.User = names[0]
	}
	if wantRanges {
		m.subordinates(&ids, names)
		if b, err := ReadFile("/proc/self/setgroups"); err == nil {
			ids.SetgroupsDenied = bytes.HasPrefix(b, []byte("deny"))
		}
		ids.NewUIDMap = m.helper("newuidmap")
		ids.NewGIDMap = m.helper("newgidmap")
	}
	return ids
}

// userNames lists the names that passwd(5) gives the uid, in order, and the
// home directory of the first. It is not
// user.ParsePasswd: that takes apart every line, and a site may have 100,000.
// $USER and $LOGNAME could add nothing: a name there counts only if it has the
// uid in this file, and then it is in the list.
func userNames(passwd []byte, uid uint32) (names []string, home string) {
	want := strconv.AppendUint(nil, uint64(uid), 10)
	for line := range bytes.Lines(passwd) {
		name, rest, _ := bytes.Cut(line, []byte{':'})
		_, rest, _ = bytes.Cut(rest, []byte{':'})
		id, _, ok := bytes.Cut(rest, []byte{':'})
		// + and - start the lines of NIS, nsswitch.conf(5), compat mode.
		if ok && bytes.Equal(id, want) && len(name) > 0 && name[0] != '+' && name[0] != '-' && name[0] != '#' {
			if len(names) == 0 {
				if f := bytes.Split(line, []byte{':'}); len(f) > 5 {
					home = string(f[5])
				}
			}
			names = append(names, string(name))
		}
	}
	return names, home
}
