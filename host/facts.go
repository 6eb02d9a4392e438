package host

import (
	"nobox/plan"
	"nobox/terminal"
)

// Questions is what a run needs to know about the machine beyond what Probe
// always tells. It is a pure function of what was asked for.
type Questions struct {
	Caps    bool            // the capabilities that nobox has
	Ranges  bool            // subordinate ids, newuidmap and newgidmap
	Cwd     bool            // the working directory's path
	Secrets bool            // the caller's own list of secrets, in nobox's configuration
	Sources []string        // paths of the host, as the caller wrote them
	Places  []Place         // places below a root or a source
	Files   []Place         // files whose content is wanted, 1 MiB at most
	Lists   []plan.HostPath // directories whose entries are wanted
	Globs   []Glob          // patterns to be looked up, once
	Shown   []Shown         // what the box shows, for the patterns
	FDs     []int           // descriptors that are to be open
	Keep    string          // a directory in which an overlay is to keep what is written
	Program string          // of the host's, that makes the box's network
	Ports   bool            // whether ::1 can be listened at
	Tun     bool            // whether the caller may open /dev/net/tun
	Cgroups bool            // what there is for limits
	Cgroup  string          // a cgroup to look at, by its path or its path in the hierarchy
	Ahead   *Facts          // what LookAhead found; nil if nobody looked
	Disks   []string        // paths whose block device is wanted
}

// A Place is a path below a directory of the host: Base "/" is the host's own
// tree. Symbolic links on the way are followed below Base. With an empty Base
// the path is looked at as it is, in one call: for the kernel's own.
type Place struct {
	Base plan.HostPath
	Path string // absolute
	// Bound: Base is mounted somewhere in the box, so that a link which leaves
	// it leads elsewhere than below Base; that is ErrLeaves.
	Bound bool
	Make  bool // whether it could be made is wanted as well
}

// A HomeLink is a name of a home by which there are links on the way.
type HomeLink struct {
	Name string // absolute, clean
	To   plan.HostPath
}

// Unseen is a path that could not be looked at. A box that took it for nothing
// could lack what hides, masks or protects it.
type Unseen struct {
	Path string
	Err  error
}

// Kind is what stands at a path.
type Kind uint8

const (
	None    Kind = iota // nothing
	Dir                 // a directory
	File                // a regular file
	CharDev             // a character device
	Other               // a fifo, a socket, a block device
)

func (k Kind) String() string {
	return [...]string{"nothing", "a directory", "a file", "a device", "neither file nor directory"}[k]
}

// PlaceFact is what stands at a Place.
type PlaceFact struct {
	Resolved plan.BoxPath // links followed as far as the path exists
	Kind     Kind
	Symlink  bool           // the last component as asked is a symbolic link
	Links    []plan.BoxPath // the symbolic links on the way, with Make: by names that have none on theirs
	Rdev     uint64         // of a device
	Perm     uint32         // the mode without the type
	Exists   plan.BoxPath   // of what is not there, the nearest directory above that is
	Makeable bool           // of what is not there, with Make: the caller may write to that, or may make that so
	Owner    [2]uint32      // of what is not there, with Make: uid and gid of that
	Err      error          // why it could not be looked at, other than not being there
}

// SourceFact is what stands at a path of the host.
type SourceFact struct {
	Resolved plan.HostPath // absolute, no symbolic links
	Kind     Kind
	Rdev     uint64
	Perm     uint32
	Err      error
}

// ListEntry is an entry of a directory.
type ListEntry struct {
	Name string
	Kind Kind
	Link string // of a symbolic link, where it leads
	Perm uint32
}

// ListFact is what a directory holds, by name.
type ListFact struct {
	Entries []ListEntry
	Err     error
}

// FileFact is a file's content.
type FileFact struct {
	Content []byte
	Err     error
}

// Facts is what the machine is. It is plain data: nothing in it looks again.
type Facts struct {
	IDs

	Kernel   [2]int // version and patch level, 5 and 12 of 5.12.0
	Release  string
	LastCap  int    // number of the kernel's last capability
	Caps     uint64 // the answer to Caps: the effective set
	Landlock int    // the ABI's version, 0 if the kernel has none or it is switched off

	Cwd       plan.HostPath // "" if it has no path that can be walked from the root
	CwdErr    error
	Homes     []plan.HostPath // $HOME and the one of /etc/passwd, resolved, where they are directories other than /
	Home      string          // $HOME as it is
	HomeLinks []HomeLink      // those of Homes that have another name too
	OwnDirs   []string        // of nobox's configuration, state and running boxes, there or not, not resolved
	RunDirs   []string        // those of running boxes, which the last of them removes
	OwnFile   string          // nobox's configuration, there or not: it may be a link
	Mounts    Mounts
	Unseen    Unseen        // the first of what could not be looked at, for no reason that says what is there
	NoAttrs   bool          // the answer to Keep: its file system has no user.* attributes
	KeepErr   error         // and why the caller cannot make anything in it
	Secrets   FileFact      // the caller's list; an Err of ENOENT is none
	SecretsAt string        // where it is looked for
	Exe       plan.HostPath // nobox's own binary
	Env       []string
	NetStack  bool // this nobox carries the program of the network's process
	RealRoot  bool // uid 0 of the host itself, not of a user namespace
	Umask     uint32

	NetHelper    Tool // the answer to Program
	IPv6Loopback bool // ::1 is there

	Streams     terminal.Streams
	StreamFiles [3]StreamFile

	// What the caller handed over; package caller.
	SignalsIgnored, SignalsBlocked uint64
	NoFile                         [2]uint64
	TimerSlack                     uint64 // ns, 0 to leave it

	Places  map[Place]PlaceFact
	Sources map[string]SourceFact
	Files   map[Place]FileFact
	FDs     map[int]error // why a descriptor cannot be handed on, nil if it can
	Globs   map[Glob]GlobFact
	Lists   map[plan.HostPath]ListFact

	Cgroups *Cgroups // nil if not asked for
	Disks   map[string]Disk

	// Refused holds the facts that a start found untrue, and how; that of a tun
	// may be known before.
	Refused map[plan.Fact]string
}

// Has says whether the machine is believed to offer f.
func (f *Facts) Has(fact plan.Fact) bool { _, no := f.Refused[fact]; return !no }
