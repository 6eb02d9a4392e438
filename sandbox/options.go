package sandbox

import (
	"net/netip"
	"time"

	"nobox/plan"
)

// Options is what was asked for: a description of the box, free of any
// command line's order and spelling. The zero value of a field is "not asked".
type Options struct {
	Command []string // empty: a shell

	Tier Tier // --tier

	// Root directory. "" is the host's own tree, read-only.
	Rootfs   plan.HostPath
	ReadOnly bool // --read-only
	Overlay  bool // --overlay: what is written to the root goes elsewhere

	OverlayDir     string // --overlay-dir: where what is written to overlays is kept, "" is memory
	OverlayDirFrom string // the flag as given

	Cwd Share // --cwd; ShareDefault is rw, or nothing where that would share the home
	// CwdAtMost is what is shared where the working directory is shared by
	// itself: a project's settings may lessen that, and not share it.
	CwdAtMost     Share
	CwdAtMostFrom string

	Home    Share // --home; ShareDefault is hidden
	Binds   []Bind
	Tmpfs   []Tmpfs
	Masks   []Mask
	Devices []Device

	Workdir  string // -w, "" is the default
	Hostname string // --hostname, "" is nobox
	Net      Net    // --net
	NetNS    string // --net=ns:PATH
	NetFrom  string // --net as given, "" is the default
	Publish  []Publish

	ConnectTCP []uint16 // --connect-tcp
	BindTCP    []uint16 // --bind-tcp; 0 is any that is free

	MTU        int       // --mtu, 0 is the default
	HostPorts  []uint16  // --host-port
	Clients    bool      // --client-address
	AddHosts   []AddHost // --add-host
	DNS        []string  // --dns, addresses
	DNSSearch  []string  // --dns-search
	AllowHosts []string  // --allow-host, as egress.Parse reads it
	DenyHosts  []string  // --deny-host
	NetLog     string    // --net-log, a path as the caller wrote it

	Env      []EnvVar // -e and --env-file, in order
	EnvHost  bool     // --env-host
	EnvClear bool     // --clearenv: nothing of the caller's by itself

	Userns     Userns       // --userns, -r, -c
	UsernsFrom string       // which of them, as given; "" is the default or --uidmap
	UIDMap     []MapRequest // --uidmap
	GIDMap     []MapRequest // --gidmap
	User       string       // -u, "" is root, or with keep-id the caller

	PreserveFDs     []FD         // --preserve-fd
	Shown           bool         // others are told of the box: --json-status-fd, --name
	CapAdd, CapDrop []CapRequest // --cap-add, --cap-drop
	AllowUserns     bool         // --allow-userns
	Seccomp         Seccomp      // --security-opt seccomp=
	Unmask          string       // --security-opt systempaths=unconfined, as given; "" if not asked for

	AsPid1        bool     // --as-pid-1
	EndWithParent bool     // --die-with-parent
	Terminal      Tristate // -t
	Detached      bool     // with Terminal: it is nobody's, until somebody attaches
	Ulimits       []Ulimit
	Limits        Limits
	Timeout       time.Duration // 0 is none
	StopTimeout   time.Duration // from TERM to KILL; 0 is at once
}

// Limits are what a box may use of the machine, by cgroup v2.
type Limits struct {
	Memory            Amount // bytes
	MemorySwap        Amount // bytes of memory and swap together; Unlimited
	MemoryReservation Amount // bytes above which the box is slowed down
	CPUs              Amount // hundred-thousandths of a CPU
	CPUWeight         Amount // 1 to 10000
	CPUSet            string // a list such as 0-3,7
	CPUSetFrom        string
	Pids              Amount // processes and threads
	IOWeight          Amount // 1 to 10000
	Devices           []DeviceLimit

	Cgroup     string // "" and auto, systemd, off, or a path
	CgroupFrom string
	Writable   string // the flag by which the box manages cgroups below its own; "" for none
	BestEffort bool   // limits that cannot be enforced are said, and no error
	Report     bool   // the kernel's counts are wanted where there are any
}

// An Amount is a number that was asked for by a flag.
type Amount struct {
	Value uint64
	From  string // the flag as given; "" if it was not asked for
}

// Unlimited is more than there is of anything.
const Unlimited = ^uint64(0)

// A DeviceLimit is how much may be read or written a second on the disk that
// holds a path, or that the path is.
type DeviceLimit struct {
	Path string
	Key  string // rbps, wbps, riops or wiops of io.max
	Rate uint64
	From string
}

// Share is how much of a directory of the host a box gets.
type Share uint8

const (
	ShareDefault Share = iota
	ShareRW
	ShareRO
	ShareHidden
	ShareOverlay
)

// Tristate is a flag that may also be absent.
type Tristate uint8

const (
	Unset Tristate = iota
	Yes
	No
)

// Net is the network of a box.
type Net uint8

const (
	NetDefault     Net = iota
	NetNone            // an own network namespace with lo alone
	NetHost            // the host's network namespace
	NetUser            // a stack in user space, nobox's own
	NetPasta           // one of pasta's
	NetSlirp4netns     // one of slirp4netns's
	NetNS              // the network namespace at Options.NetNS
)

// AddHost is a line of the box's /etc/hosts. HostGateway in the place of an
// address is what the box calls the host by.
type AddHost struct{ Name, Address string }

// HostGateway is docker's word.
const HostGateway = "host-gateway"

// Publish makes a port of the box reachable from the host.
type Publish struct {
	Addr netip.Addr // to listen at; the zero one is loopback, IPv4 and IPv6
	// First and Last are the ports of the host to choose from; 0 and 0 is any
	// that is free.
	First, Last uint16
	Path        string // of a socket on the host, in place of the three above
	Box         uint16 // the port inside
	UDP         bool
	From        string // the flag as given
}

// Userns is how the caller's ids are mapped.
type Userns uint8

const (
	UsernsAuto   Userns = iota // root inside is the caller, and the subordinate ids from 1 up
	UsernsRoot                 // root inside is the caller, nothing else
	UsernsKeepID               // the caller keeps uid and gid
)

// MapRequest is one C:H:N of --uidmap or --gidmap. Host counts from the ids
// the caller owns (0 is the caller, 1 and up the subordinate ids), as podman
// counts, or is an id of the host with Absolute (@H).
type MapRequest struct {
	Box, Host, Count uint32
	Absolute         bool
	From             string // the flag as given
}

// CapRequest is a capability to be added or dropped, by its number, or all.
type CapRequest struct {
	Cap  int
	All  bool
	From string // the flag as given
}

// FD is a descriptor of the caller's that the command gets.
type FD struct {
	FD   int // 3 or more
	From string
}

// Seccomp is which system calls are filtered; the zero value is the default.
type Seccomp struct {
	Unconfined bool
	Profile    []byte // docker's JSON, nil if not asked for
	From       string // the flag as given
}

// Bind shares a path of the host with the box.
type Bind struct {
	Source   string // as given, "" never
	Target   string // absolute, cleaned
	ReadOnly bool
	NoExec   bool
	Overlay  bool   // what is written goes elsewhere
	Try      bool   // nothing where there is no Source
	Flat     bool   // without what is mounted below
	From     string // the flag as given
}

// Tmpfs is an empty file system in memory.
type Tmpfs struct {
	Target  string
	Size    uint64 // bytes, 0 is the kernel's default
	Mode    uint32 // 0 is 1777
	Options struct{ ReadOnly, NoExec bool }
	From    string
}

// Mask puts something empty over what the box has.
type Mask struct {
	Path string // of the box, or a pattern; relative to the working directory
	From string
}

// Device shares a device of the host.
type Device struct {
	Source string // as given
	Target string // absolute, cleaned
	From   string
}

// EnvVar sets a variable, with FromCaller takes the caller's value, or with
// Unset takes it away.
type EnvVar struct {
	Name, Value string
	FromCaller  bool
	Unset       bool
	From        string
}

// Ulimit is a resource limit; ^0 is unlimited.
type Ulimit struct {
	Name       string
	Resource   int
	Soft, Hard uint64
	From       string
}
