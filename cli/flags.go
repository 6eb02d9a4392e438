package cli

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"nobox/boxes"
	"nobox/doctor"
	"nobox/egress"
	"nobox/plan"
	"nobox/sandbox"
)

// A flag is one row of the table. To add a flag is to add a row: pflag's
// registration, the help, the man page, the completions and the tests follow.
type flag struct {
	name    string   // the long spelling, without dashes
	short   string   // one letter, "" if there is none
	aliases []string // spellings that work but are not advertised; one letter is a short one
	arg     string   // the argument's name, "" for a switch
	values  []string // the words the argument may be, nil if any
	second  string   // the second argument's name, of a flag that takes two
	bare    string   // the argument of the flag when given without one, "" if it needs one
	group   group
	what    string // what fails when the flag is wrong, behind "cannot"
	help    string // one line, without a full stop
	long    string // paragraphs; an indented line stands as it is
	repeat  bool   // every one counts, else the last
	hidden  bool   // works, but neither help nor completions tell
	takes   takes  // what a shell completes the argument with
	set     func(value string, o *Invocation) error
}

// A group is the task that flags are listed under.
type group uint8

const (
	groupBox group = iota
	groupFiles
	groupIdentity
	groupProcess
	groupHardening
	groupNetwork
	groupLimits
	groupSee
	groups
)

func (g group) String() string {
	return [groups]string{"Box", "Files", "Identity", "Process", "Hardening", "Network", "Limits", "See through"}[g]
}

// does is a group in a sentence's place, above its flags.
func (g group) does() string {
	return [groups]string{
		"The box as a whole",
		"What the box sees of the host's files",
		"Who one is inside",
		"The command: its directory, environment, terminal and limits of its own",
		"What the command may do",
		"What the box reaches",
		"What the box may use of the machine",
		"See what nobox does",
	}[g]
}

// takes is the kind of an argument, as far as completing it goes.
type takes uint8

const (
	takesAny takes = iota
	takesDir
	takesFile
	takesBind // SRC:DST[:ro]
	takesVariable
	takesUser
	takesUlimit // NAME=SOFT
	takesProfile
	takesCap
	takesSecurity // seccomp=FILE
)

// The words of the flags that have a closed set of them.
var (
	cwdWords     = []string{"rw", "ro", "overlay", "hidden"}
	homeWords    = []string{"hidden", "ro", "overlay", "rw"}
	usernsWords  = []string{"auto", "keep-id"}
	netWords     = []string{"user", "none", "host", "pasta", "slirp4netns"}
	explainWords = []string{"words", "syscalls", "json"}
	tierWords    = []string{"namespaces", "landlock"}
	boolWords    = []string{"true", "false"}
)

// overlayInMemory is what --overlay without a directory stands for. A directory
// of that name is written ./memory.
const overlayInMemory = "memory"

// defaultNet is what --net is where it is not given.
const defaultNet = "user"

// reportToStderr is the argument of a --report without one.
const reportToStderr = "-"

// flags is the table. It is data in the binary, laid out by the linker: a set
// function made by a call would run at every start, so they are literals.
var flags = [...]flag{
	{
		name: "rootfs", aliases: []string{"root", "R"}, arg: "DIR", takes: takesDir, group: groupBox,
		what: "use the root directory",
		help: "take DIR for the root, not the host's tree",
		long: `Takes DIR for the root directory of the box, entered with pivot_root(2). Without it the box sees the host's own tree, read-only.

DIR is read-write, as chroot(1) would have it. What it lacks of proc, sys, dev, tmp, run and var/tmp is made there as an empty directory; with --read-only DIR is not touched at all. The box has its own /etc/hosts, /etc/resolv.conf and /etc/hostname where DIR has a file to mount them on; with --read-only and --overlay it needs none. Where it lacks one by which names are resolved, a line says what to create. The caller's working directory, home and environment are not there: the box starts in / with the default PATH and HOME=/root.`,
		set: func(v string, o *Invocation) error {
			if err := hostPath(v); err != nil {
				return err
			}
			o.Options.Rootfs = plan.HostPath(v)
			return nil
		},
	},
	{
		name: "read-only", group: groupBox,
		what: "make the root read-only",
		help: "make the root read-only",
		long: `Makes the root directory read-only, what is mounted below it too, and leaves the DIR of --rootfs untouched. The host's own tree is read-only in any case. What -v, --tmpfs and --cwd share, /tmp, /var/tmp and /run stay as they are. The box's own /etc/hosts, resolv.conf and hostname are read-only as well.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Options.ReadOnly) },
	},
	{
		name: "overlay", arg: "DIR", bare: overlayInMemory, takes: takesDir, group: groupBox,
		what: "overlay the root",
		help: "write to memory or DIR, not to the root",
		long: `Has the box write to an overlay of the root directory, the host's tree or the DIR of --rootfs, which stays as it is. What is written goes to memory and is gone with the box; with --overlay=DIR it is kept in DIR, as --overlay-dir has it. File permissions hold as ever: what belongs to the host's root cannot be changed in the overlay either.

A tree in which something is mounted becomes one overlay for each part without, in which files right next to a mount are read-only. What -v, --tmpfs and --cwd share, the homes, /tmp, /var/tmp and /run are what they are without it.`,
		set: func(v string, o *Invocation) error {
			o.Options.Overlay = true
			if v == overlayInMemory {
				return nil
			}
			return o.overlayDir(v)
		},
	},
	{
		name: "review", group: groupFiles,
		what: "review the changes",
		help: "show the changes at the end, and ask",
		long: `Shows at the end of the run what the box changed in its overlays, and asks on the terminal whether to apply, discard or keep it. If nothing else is an overlay, the working directory is. Without a terminal, or with one whose input ended before the command ran, the changes are kept, and one line says where; so they are when nobox is killed. What is typed while the command runs is the command's and no answer, but with -t=false. The exit code is the command's.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Review) },
	},
	{
		name: "overlay-dir", arg: "DIR", takes: takesDir, group: groupFiles,
		what: "keep the changes",
		help: "keep what is written to overlays in DIR",
		long: `Keeps in DIR what the box writes to its overlays, those of --overlay, --cwd=overlay, --home=overlay and -v SRC:DST:O. The next box with the same DIR goes on from there. nobox diff DIR lists the changes, apply writes them back, discard forgets them. The box does not see DIR, which must lie on a local disk and outside of what is overlaid.

  nobox --cwd=overlay --overlay-dir ~/changes -- make`,
		set: func(v string, o *Invocation) error { return o.overlayDir(v) },
	},
	{
		name: "name", arg: "NAME", group: groupBox,
		what: "name the box",
		help: "a name for nobox exec, ps and stop",
		long: `Gives the box a name, by which "nobox exec", "nobox stop" and the others find it while it runs, and which "nobox ps" lists. No two boxes of a user that run have the same. Letters and digits may be in it and, not first, "-", "_" and ".", 64 at most.

What is known of the box is kept in a directory of the caller's, below XDG_RUNTIME_DIR or in /tmp, and removed when the box ends.`,
		set: func(v string, o *Invocation) error {
			if err := boxes.Valid(v); err != nil {
				return err
			}
			o.Name = v
			return nil
		},
	},
	{
		name: "detach", short: "d", group: groupBox,
		what: "detach the box",
		help: "start it and return; nobox logs, wait, stop",
		long: `Starts the box in the background, in a session of its own, prints its name, which is one made up without --name, and returns once its command runs, or with the error why it cannot. Its stdin is empty, or with -i open for "nobox attach"; with -t it has a terminal, for "nobox attach" as well. The last 16 MiB of what it writes are kept, in memory, for "nobox logs". When it has ended, that and its exit code are kept until "nobox rm", or until the name is taken again: "nobox ps --all" lists it, and "nobox wait" returns its exit code.

  nobox -d --name web -- ./server
  nobox logs -f web
  nobox -d -t --name work -- bash
  nobox attach work`,
		set: func(v string, o *Invocation) error { return onOff(v, &o.Detach) },
	},
	{
		name: "detached", arg: "NAME", group: groupBox, hidden: true,
		what: "run a detached box",
		help: "is what --detach starts",
		long: `Is a part of --detach: the nobox that runs the box, with descriptors of the one that was called.`,
		set: func(v string, o *Invocation) error {
			if err := boxes.Valid(v); err != nil {
				return err
			}
			o.Name, o.Detached, o.Options.Terminal = v, true, sandbox.No
			return nil
		},
	},
	{
		name: "hostname", arg: "NAME", group: groupBox,
		what: "set the host name",
		help: "host name inside (default nobox)",
		long: `Sets the host name of the box, which also stands in its /etc/hostname and /etc/hosts. Letters, digits, "-", "_" and "." may be in it, 64 at most.`,
		set: func(v string, o *Invocation) error {
			if err := hostname(v); err != nil {
				return err
			}
			o.Options.Hostname = v
			return nil
		},
	},

	{
		name: "cwd", arg: "rw|ro|overlay|hidden", values: cwdWords, group: groupFiles,
		what: "share the working directory",
		help: "the working directory (default rw)",
		long: `How much the box gets of the directory nobox is started in, at the same path: read-write (rw), read-only (ro), to be changed in an overlay and left as it is (overlay), or no more than of the rest of the host's tree (hidden); then the box starts in the empty home.

A working directory that is the home itself, or /, or a parent of the home is not shared: the box starts in the empty home and one line says so. --cwd=rw, ro and overlay insist.`,
		set: func(v string, o *Invocation) error { return share(v, cwdWords, &o.Options.Cwd) },
	},
	{
		name: "home", arg: "HOW", values: homeWords, group: groupFiles,
		what: "share the home",
		help: "the homes: hidden (default), ro, overlay, rw",
		long: `How much the box gets of the home directories: nothing (hidden), read-only (ro), read-write (rw), or to be changed in an overlay and left as it is (overlay). Hidden means an empty tmpfs over /home, /root and $HOME, wherever it is.

With ro and overlay the usual secrets stay masked: .ssh, .gnupg, .aws, .azure, .kube, .docker, .config/gcloud, .netrc, .git-credentials, .npmrc, .pypirc, browser profiles and shell histories. They are masked by whatever name the box could see them. A file ~/.config/nobox/secrets adds to the list: a path or a pattern of --mask a line, of the home unless it is absolute.`,
		set: func(v string, o *Invocation) error { return share(v, homeWords, &o.Options.Home) },
	},
	{
		name: "volume", short: "v", arg: "SRC:DST[:OPTIONS]", repeat: true, takes: takesBind, group: groupFiles,
		what: "bind",
		help: "share SRC of the host at DST",
		long: `Shares the file or directory SRC of the host with the box, at DST. Its options are separated by commas: "rw", the default, or "ro", which holds for what is mounted below SRC too; "noexec" or "exec"; "O" for an overlay, in which the box may write and SRC stays as it is; "rbind", the default, or "bind", with which an empty directory stands for what is mounted below SRC. nosuid and nodev always hold: set-user-ID bits and device files have no effect.

SRC is a path of the host; a relative one starts with "." or has a "/" in it. DST is an absolute path inside. The most specific DST wins whatever the order of the flags; the same DST twice is an error. A DST that does not exist below a writable directory of the host is an error too: nobox leaves nothing behind on the host.

  nobox -v ~/data:/mnt:ro -- ls /mnt`,
		set: func(v string, o *Invocation) error {
			b, err := bind(v)
			if err != nil {
				return err
			}
			b.From = o.given
			o.Options.Binds = append(o.Options.Binds, b)
			return nil
		},
	},
	{
		name: "bind", arg: "SRC", second: "DST", repeat: true, takes: takesFile, group: groupFiles,
		what: "bind",
		help: "share SRC at DST, as bwrap spells it",
		long: `Shares SRC of the host with the box at DST, read-write, as -v SRC:DST does; with two arguments, as in bwrap(1), either may have a ":" in it.`,
		set:  func(v string, o *Invocation) error { return o.bindTwo(v, false, false) },
	},
	{
		name: "ro-bind", arg: "SRC", second: "DST", repeat: true, takes: takesFile, group: groupFiles,
		what: "bind",
		help: "the same, read-only",
		long: `Shares SRC of the host with the box at DST, read-only, as -v SRC:DST:ro does; with two arguments, as in bwrap(1).`,
		set:  func(v string, o *Invocation) error { return o.bindTwo(v, true, false) },
	},
	{
		name: "mount", arg: "KEY=VALUE,...", repeat: true, group: groupFiles,
		what: "mount",
		help: "type=bind|tmpfs|overlay,source=,target=",
		long: `Mounts as docker(1) and podman(1) spell it, pairs separated by commas. A field in double quotes may have commas in it.

For type=bind, the default, and type=overlay, as with -v SRC:DST:O: source or src, target, dst or destination, readonly or ro, rw, noexec, bind-recursive=enabled|disabled|readonly, bind-nonrecursive, bind-propagation=private|rprivate, which is so in any case. For type=tmpfs: target, tmpfs-size or size, tmpfs-mode or mode, readonly, noexec. nosuid and nodev always hold.

  nobox --mount type=bind,source=$PWD/data,target=/mnt,readonly -- ls /mnt
  nobox --mount type=tmpfs,target=/mnt,tmpfs-size=64m -- df /mnt`,
		set: func(v string, o *Invocation) error { return o.mount(v) },
	},
	{
		name: "mask", arg: "PATH|GLOB", repeat: true, takes: takesFile, group: groupFiles,
		what: "mask",
		help: "put something empty over what is at PATH",
		long: `Puts an empty, read-only file or directory over what the box has at PATH, by whatever name it could see it: where a link leads, and in other shares of it. PATH is a path inside; one without "/" at its front counts from the working directory. What is not there cannot be masked: that is an error. In an overlay it can: the name stays free, it is not listed, and making it fails; where a directory on the way is missing too, that is what cannot be made. With --allow-userns or --cap-add SYS_ADMIN the box could get around that, and it is an error as well. A flag that names a place below a masked directory still shows it. The directories above it cannot be renamed inside, so that nothing else comes to its path.

In a GLOB "*", "?" and "[...]" stand for part of a name, dot files included, and "**" for any number of directories. It is looked up once, before the box starts: what is made later is not masked, and one that matches nothing masks nothing. One that fits the working directory while the box shares it, or nothing but places that flags share, would mask nothing either, and is an error. Quote it, or the shell expands it.

  nobox --mask '**/.env' --mask /etc/machine-id -- bash`,
		set: func(v string, o *Invocation) error {
			if v == "" {
				return emptyPath()
			}
			o.Options.Masks = append(o.Options.Masks, sandbox.Mask{Path: v, From: o.given})
			return nil
		},
	},
	{
		name: "device", arg: "PATH[:DST]", repeat: true, takes: takesFile, group: groupFiles,
		what: "share the device",
		help: "share a device, such as /dev/kvm",
		long: `Shares the device PATH of the host with the box, or a directory of /dev, at the same place or at DST. Who may open it is what the host's permissions say of the caller.

  nobox --device /dev/kvm -- qemu-system-x86_64 -accel kvm`,
		set: func(v string, o *Invocation) error {
			src, dst, two := strings.Cut(v, ":")
			switch {
			case !two:
				dst = src
			case dst != "" && strings.Trim(dst, "rwm") == "": // PATH:rwm
				dst = src + ":" + dst
			}
			if rest, may, three := strings.Cut(dst, ":"); three {
				// What docker's last part would take away the caller's own
				// permissions do not.
				if dst = rest; strings.Trim(may, "rwm") != "" || may == "" {
					return colonInDevice()
				}
				if !strings.Contains(may, "r") || !strings.Contains(may, "w") {
					return deviceAccess(may)
				}
			}
			if err := hostPath(src); err != nil {
				return err
			}
			at, err := mountPoint(dst)
			if err != nil {
				return err
			}
			o.Options.Devices = append(o.Options.Devices, sandbox.Device{Source: src, Target: at, From: o.given})
			return nil
		},
	},
	{
		name: "tmpfs", arg: "DST[:OPTIONS]", repeat: true, group: groupFiles,
		what: "mount a tmpfs",
		help: "mount an empty tmpfs: size=, mode=, ro, noexec",
		long: `Mounts an empty file system in memory at DST. Its options are separated by commas: "size=" with a number of bytes or with k, m, g or t behind it (half of the memory by default), "mode=" in octal (1777 by default), "ro" or "rw", "noexec" or "exec". nosuid and nodev always hold.

  nobox --tmpfs /mnt:size=64m,mode=0700,noexec -- df /mnt`,
		set: func(v string, o *Invocation) error {
			t, err := tmpfs(v)
			if err != nil {
				return err
			}
			t.From = o.given
			o.Options.Tmpfs = append(o.Options.Tmpfs, t)
			return nil
		},
	},

	{
		name: "userns", arg: "auto|keep-id", values: usernsWords, group: groupIdentity,
		what: "map the ids",
		help: "how ids are mapped (default auto)",
		long: `How the ids inside belong to those of the host.

With auto, root inside is the caller, and the ids from 1 up are the ranges that /etc/subuid and /etc/subgid give the caller, mapped by newuidmap(1) and newgidmap(1). Where there is no range, or no newuidmap, root inside is the only id, and one line on stderr says so. With keep-id the caller keeps uid and gid; it is -c.

--userns, -r, -c and --uidmap exclude one another.`,
		set: func(v string, o *Invocation) error {
			mode := sandbox.UsernsAuto
			switch v {
			case "auto":
			case "keep-id":
				mode = sandbox.UsernsKeepID
			default:
				return notOneOf(v, usernsWords)
			}
			return o.chooseIDs("--userns", mode)
		},
	},
	{
		name: "map-root-user", short: "r", group: groupIdentity,
		what: "map the ids",
		help: "root inside is you, and there is no other id",
		long: `Root inside is the caller, and no other id is mapped. newuidmap(1) is not called, which makes this the fastest start. What else the host has of owners shows as nobody.`,
		set: func(v string, o *Invocation) error {
			return o.switchIDs(v, "-r", sandbox.UsernsRoot)
		},
	},
	{
		name: "map-current-user", short: "c", group: groupIdentity,
		what: "map the ids",
		help: "you keep uid and gid, without any capability",
		long: `The caller keeps uid and gid inside, with the caller's ranges around them where there are any. The command has no capability. It is --userns=keep-id.`,
		set: func(v string, o *Invocation) error {
			return o.switchIDs(v, "-c", sandbox.UsernsKeepID)
		},
	},
	{
		name: "uidmap", arg: "C:H:N", repeat: true, group: groupIdentity,
		what: "map the uids",
		help: "map N uids from C to H: 0 is you, 1 your range",
		long: `Maps the N uids from C inside to H on the host, as podman(1) counts: an H of 0 is the caller, 1 and up are the caller's range of /etc/subuid in order. With "@" before it H is a uid of the host itself. Without :N it is one id. What is asked for is checked for overlap, holes and right before anything starts.

Without --gidmap the gids are mapped by the same numbers. --userns, -r, -c and --uidmap exclude one another.

  nobox --uidmap 0:1:1000 --uidmap 1000:0:1 -u 1000 -- id`,
		set: func(v string, o *Invocation) error {
			return o.mapIDs(v, &o.Options.UIDMap)
		},
	},
	{
		name: "gidmap", arg: "C:H:N", repeat: true, group: groupIdentity,
		what: "map the gids",
		help: "the same for gids",
		long: `Maps the N gids from C inside to H on the host, as --uidmap does uids, by /etc/subgid. Without --uidmap the uids are mapped by the same numbers.`,
		set: func(v string, o *Invocation) error {
			return o.mapIDs(v, &o.Options.GIDMap)
		},
	},
	{
		name: "user", short: "u", arg: "USER[:GROUP]", takes: takesUser, group: groupIdentity,
		what: "run as that user",
		help: "who runs the command: an id, or a name inside",
		long: `Runs the command as a user of the box: a uid, or a name that the box's own /etc/passwd has. Behind ":" stands a gid, or a name of its /etc/group; without it the gid is the one of /etc/passwd, or 0, and the command is also in the groups that /etc/group has that user in, as far as they are mapped. By default the command runs as root, and with -c as the caller. The caller's supplementary groups are dropped.`,
		set: func(v string, o *Invocation) error {
			if err := user(v); err != nil {
				return err
			}
			o.Options.User = v
			return nil
		},
	},

	{
		name: "workdir", short: "w", aliases: []string{"chdir", "wd"}, arg: "DIR", takes: takesDir, group: groupProcess,
		what: "start in that directory",
		help: "start the command in DIR of the box",
		long: `Starts the command in the directory DIR, an absolute path inside. By default that is the working directory if it is shared, and / with --rootfs.`,
		set: func(v string, o *Invocation) error {
			dir, err := boxPath(v)
			if err != nil {
				return err
			}
			o.Options.Workdir = dir
			return nil
		},
	},
	{
		name: "env", short: "e", arg: "K[=V]", repeat: true, takes: takesVariable, group: groupProcess,
		what: "set a variable",
		help: "set a variable, or pass yours on",
		long: `Sets the variable K to V in the environment of the command. Without "=" it gets the value that K has outside, if it has one.

From outside come only PATH, HOME, SHELL, TERM, COLORTERM, LANG, LC_*, TZ and NO_COLOR, with --rootfs without PATH and HOME. The rest of the environment stays outside, and cannot be read through /proc either.`,
		set: func(v string, o *Invocation) error {
			e, err := variable(v)
			if err != nil {
				return err
			}
			e.From = o.spelled + " " + show(e.Name)
			o.env = append(o.env, e)
			return nil
		},
	},
	{
		name: "env-file", arg: "FILE", repeat: true, takes: takesFile, group: groupProcess,
		what: "read the variables",
		help: "set the variables of FILE, a line K=V each",
		long: `Sets the variables that FILE lists, a line each: K=V, or K alone to pass on the caller's. Empty lines, and lines that start with "#", do not count. There are no quotes and no escapes: what stands behind "=" is the value. -e wins over it.

FILE may be a pipe as well, such as /dev/stdin or a shell's <(...), but not with -d, where it is read once more; nor is there nobox exec then. For a fifo to be opened by somebody who writes to it nobox waits 5 seconds.`,
		set: func(v string, o *Invocation) error {
			if v == "" {
				return emptyPath()
			}
			data, err := o.readFile(v)
			if err != nil {
				return err
			}
			vars, err := envFile(v, o.spelled, data)
			if err != nil {
				return err
			}
			o.fileEnv = append(o.fileEnv, vars...)
			return nil
		},
	},
	{
		name: "env-host", group: groupProcess,
		what: "pass the environment on",
		help: "pass all of your environment on",
		long: `Passes the whole environment of the caller on to the command, with every token and secret in it. -e and --env-file win over it.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Options.EnvHost) },
	},
	{
		name: "tty", short: "t", bare: "true", values: boolWords, group: groupProcess,
		what: "give the box a terminal",
		help: "a terminal of its own (default if stdin is one)",
		long: `Gives the box a terminal of its own, with job control, of the size of the caller's. That is the default when stdin is a terminal; when it is none, --tty is an error. The caller's terminal cannot be written into, and gets its modes back whatever happens.

--tty=false passes stdin, stdout and stderr through as they are.`,
		set: func(v string, o *Invocation) error {
			var on bool
			if err := onOff(v, &on); err != nil {
				return err
			}
			o.Options.Terminal = sandbox.No
			if on {
				o.Options.Terminal = sandbox.Yes
			}
			return nil
		},
	},
	{
		name: "interactive", short: "i", group: groupProcess,
		what: "keep stdin open",
		help: "with -d: a stdin for nobox attach",
		long: `With -d and no -t the command's stdin stays open, and takes what is written to "nobox attach". Without -d it does nothing, for stdin is the caller's then: it is taken for the sake of "docker run -it".`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Interactive) },
	},
	{
		name: "as-pid-1", group: groupProcess,
		what: "run the command as pid 1",
		help: "the command is pid 1, with no reaper above it",
		long: `Makes the command pid 1 of the box, as in "unshare --pid --fork". By default pid 1 is nobox's reaper and the command its child. As pid 1 a command that handles no signals ignores them, and has to reap what is orphaned.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Options.AsPid1) },
	},
	{
		name: "die-with-parent", group: groupProcess,
		what: "end with the parent",
		help: "end when what started nobox ends",
		long: `Has the kernel kill nobox, and so everything in the box, when the process that started nobox ends, or the thread of it that did. Without it a box whose starter is killed goes on. With -d it is an error: such a box is there to stay.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Options.EndWithParent) },
	},
	{
		name: "timeout", arg: "DUR", group: groupProcess,
		what: "set the time limit",
		help: "end the box after DUR: 90, 90s, 1h30m",
		long: `Ends the box after DUR, by TERM and, --stop-timeout later, by KILL; nobox then exits with 124. DUR is a number of seconds, or numbers with h, m, s or ms behind them, as in 1h30m. 0 is no limit.`,
		set: func(v string, o *Invocation) error {
			d, err := duration(v)
			if err != nil {
				return err
			}
			o.Options.Timeout = d
			return nil
		},
	},
	{
		name: "stop-timeout", arg: "DUR", group: groupProcess,
		what: "set the time from TERM to KILL",
		help: "how long from TERM to KILL (default 10s)",
		long: `How long a command that was told to end (TERM) may take before it is killed (KILL). 0 kills at once.`,
		set: func(v string, o *Invocation) error {
			d, err := duration(v)
			if err != nil {
				return err
			}
			o.Options.StopTimeout = d
			return nil
		},
	},
	{
		name: "ulimit", arg: "NAME=SOFT[:HARD]", repeat: true, takes: takesUlimit, group: groupProcess,
		what: "set the limit",
		help: "a resource limit, such as nofile=1024",
		long: `Sets a resource limit of the command, see getrlimit(2): as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending or stack. The numbers are the kernel's: bytes, seconds, files. "unlimited" and -1 are no limit. Without HARD, SOFT is both; no limit can be above the caller's own.

  nobox --ulimit nofile=1024 --ulimit core=0 -- bash -c 'ulimit -a'`,
		set: func(v string, o *Invocation) error {
			u, err := ulimit(v)
			if err != nil {
				return err
			}
			u.From = o.given
			o.setUlimit(u)
			return nil
		},
	},

	{
		name: "preserve-fd", arg: "N", repeat: true, group: groupHardening,
		what: "hand on the descriptor",
		help: "an open descriptor that the command gets",
		long: `Hands the open descriptor N, 3 or more, on to the command, as the same number; several are separated by commas. By default every descriptor above 2 is closed. What it leads to the command can use whatever the mounts say: by a directory the host's whole tree can be read.

  nobox --preserve-fd 3 -- sh -c 'read line <&3' 3<file`,
		set: func(v string, o *Invocation) error { return o.preserve(v) },
	},
	{
		name: "cap-add", arg: "CAP", repeat: true, takes: takesCap, group: groupHardening,
		what: "add the capability",
		help: "a capability the command holds, or ALL",
		long: `Adds a capability to those that the command holds: a name as capabilities(7) has it, with or without CAP_ and in any case, or ALL; several are separated by commas. Each has power over what belongs to the box alone, its mounts and its network for example, but some open a great deal of the kernel's code. SYS_ADMIN also lets the command take off what covers parts of /proc and /sys.

Root inside holds by default what docker gives: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE and SETFCAP. Who is not root inside, with -c or -u, holds none, and what is added comes as ambient capabilities. The filter of system calls opens what docker opens for a capability.

  nobox --cap-drop ALL --cap-add NET_BIND_SERVICE -- ./server`,
		set: func(v string, o *Invocation) error { return o.caps(v, &o.Options.CapAdd) },
	},
	{
		name: "cap-drop", arg: "CAP", repeat: true, takes: takesCap, group: groupHardening,
		what: "drop the capability",
		help: "a capability the command does not hold, or ALL",
		long: `Takes a capability away from those that the command holds by default, or from --cap-add ALL; ALL takes all of them, but for those that --cap-add names. No program in the box can get it back.`,
		set:  func(v string, o *Invocation) error { return o.caps(v, &o.Options.CapDrop) },
	},
	{
		name: "tier", arg: "TIER", values: tierWords, group: groupHardening,
		what: "choose what holds the box",
		help: "what holds it: namespaces, or landlock alone",
		long: `What holds the box: namespaces, with Landlock and all else behind them, or Landlock alone, for machines where no user namespace can be had. It is never chosen by itself, and takes Linux 6.12.

By Landlock alone the box sees the host's tree where it is, read-only, without the homes, /run, /tmp, /var/tmp and all devices but null, zero, full, random, urandom and tty, and writes to the working directory and to what -v DIR:DIR shares. It has no network unless --net=host gives it the host's or --connect-tcp and --bind-tcp TCP ports of it, no unix sockets but pairs, and no System V or POSIX queues and memory. No signal leaves it; all in it ends with it. The environment, the filter of system calls, no_new_privs, limits, --timeout and the terminal are as ever.

What it lacks: processes, mounts and a /tmp of its own (-v "$HOME/tmp:$HOME/tmp" -e TMPDIR="$HOME/tmp" gives one). The host's processes and their command lines can be seen; so can names, sizes and modes of files, hidden ones too; modes, owners, times and attributes of the caller's files can be changed, not their contents. What such a box cannot be, as with --rootfs, --overlay, --net=user, -p or -u, is an error.

  nobox --tier=landlock --connect-tcp 443,53 -- make`,
		set: func(v string, o *Invocation) error {
			switch v {
			case tierWords[0]:
				o.Options.Tier = sandbox.TierNamespaces
			case tierWords[1]:
				o.Options.Tier = sandbox.TierLandlock
			default:
				return notOneOf(v, tierWords)
			}
			return nil
		},
	},
	{
		name: "allow-userns", group: groupHardening,
		what: "allow user namespaces",
		help: "let the command make namespaces of its own",
		long: `Lets the command make user namespaces, and with them namespaces of every other kind: for unshare(1), for the sandbox of a browser. In a user namespace of its own the command holds every capability over what it makes there, and so reaches code of the kernel in which many holes were found. By default the filter of system calls refuses it, and the kernel's limit user.max_user_namespaces is 0 inside.

  nobox --allow-userns -- unshare -Urm sh`,
		set: func(v string, o *Invocation) error { return onOff(v, &o.Options.AllowUserns) },
	},
	{
		name: "security-opt", arg: "OPT", repeat: true, takes: takesSecurity, group: groupHardening,
		what: "set the security option",
		help: "seccomp=FILE|unconfined, systempaths=unconfined",
		long: `Takes another filter of system calls, seccomp(2), than the default one, which refuses what docker refuses, every family of sockets but UNIX, INET, INET6 and NETLINK, and the kernel's 32-bit entries. seccomp=FILE takes a profile in docker's JSON; a member that docker does not know, or a refused call that no kernel has, is an error. Where FILE refuses what it does not name, calls newer than all that it names are answered by ENOSYS, as in docker. With it pid 1, which is nobox's own, runs without a filter. seccomp=unconfined takes none at all.

systempaths=unconfined, or podman's unmask=ALL, leaves /proc and /sys without the masks and read-only places that OCI runtimes give them. With --allow-userns it lets programs inside make boxes of their own, nobox, bwrap(1) and unshare(1) with a new /proc, for the kernel mounts no second /proc where part of the first one is covered. What the masks kept back, keys and timers of the machine among it, is readable then as it is to the caller outside.

no-new-privileges is accepted, since it always holds, and so are label=disable and apparmor=unconfined: nobox gives a box neither.

  nobox --allow-userns --security-opt unmask=ALL -- nobox -r -- id`,
		set: func(v string, o *Invocation) error { return o.securityOpt(v) },
	},

	{
		name: "net", aliases: []string{"network"}, arg: "MODE", values: netWords, group: groupNetwork,
		what: "set up the network",
		help: "user, none, host, pasta, slirp4netns or ns:PATH",
		long: `The network of the box: one in user space, of nobox's own, which takes nothing from the host's interfaces and comes up on a VPN and offline (user), a namespace where only lo is up (none), the host's own (host), one by a program of the host's (pasta, slirp4netns), or one that is there already (ns:PATH).

user is the default: TCP, UDP and ping, IPv4 and IPv6, and names from the host's resolvers, whichever they are at the time. What the box sends goes on by sockets of the caller's. The host's loopback, link-local addresses and others where clouds hand out credentials, groups and broadcasts are out of reach. Without /dev/net/tun one of a pair of devices takes its place, as --explain says; where that cannot be made either the box has lo alone, and a line says so; asked for by flag, that is an error.

With ns:PATH the box shares the network namespace PATH, such as /proc/PID/ns/net of a process in another box, or in an unshare -Urn. It has to belong to a user namespace that the caller made and that knows the caller by an id, or the caller has to be root there: what root made by ip netns add takes root. The box is made below that user namespace, so that its ids are those which that one has: mostly one.

With host there is no boundary: what listens on the host's loopback is within reach, and before Linux 6.12 its abstract sockets are.

pasta and slirp4netns are programs of the host's, passt and slirp4netns by their packages' names. They run confined, with the host's loopback closed: by their own switches, by routes that keep 127.0.0.0/8, ::1 and 169.254.0.0/16 in the box, and by the lack of CAP_NET_RAW, for packets made by hand would get through. What listens at the host's other addresses is within reach.`,
		set: func(v string, o *Invocation) error {
			o.Options.NetFrom = o.given
			switch v {
			case "none":
				o.Options.Net = sandbox.NetNone
			case "host":
				o.Options.Net = sandbox.NetHost
			case "user":
				o.Options.Net = sandbox.NetUser
			case "pasta":
				o.Options.Net = sandbox.NetPasta
			case "slirp4netns":
				o.Options.Net = sandbox.NetSlirp4netns
			default:
				path, ok := strings.CutPrefix(v, "ns:")
				if !ok {
					return notOneOf(v, append(slices.Clip(netWords), "ns:PATH"))
				}
				if err := hostPath(path); err != nil {
					return err
				}
				o.Options.Net, o.Options.NetNS = sandbox.NetNS, path
			}
			return nil
		},
	},
	{
		name: "publish", short: "p", arg: "[IP:][HOST:]BOX", repeat: true, group: groupNetwork,
		what: "publish",
		help: "make a port of the box reachable on the host",
		long: `Makes the port BOX of the box reachable at the port HOST of the host, at 127.0.0.1 and [::1], or at the address IP. Docker's forms hold: ranges (8000-8009:80-89), a range of which the first free port is taken (8000-8009:80), any free port (0:80, or 80 alone), which is then printed, "/udp" behind it, an IPv6 address in brackets. A port that is taken is an error before anything starts.

On 127.0.0.1 every user of this machine can connect. In the place of [IP:]HOST may stand the path of a socket, with a "/" in it: only the caller can connect to that one, and it is removed in the end.

What comes in is connected to 127.0.0.1 inside, or to [::1] where nothing listens there, from an address of the box's own. It works with every network but host, --net=none included, and is quicker than what passes the box's device.

  nobox -p 8080:80 -p 5353:53/udp -- ./server
  nobox -p 0.0.0.0:8080:80 -- ./server      # for other machines as well
  nobox -p ./app.sock:80 -- ./server`,
		set: func(v string, o *Invocation) error {
			ps, err := publish(v)
			if err != nil {
				return err
			}
			for _, p := range ps {
				p.From = o.given
				o.Options.Publish = append(o.Options.Publish, p)
			}
			return nil
		},
	},

	{
		name: "allow-host", arg: "WHAT", repeat: true, group: groupNetwork,
		what: "allow the host",
		help: "reach NAME, *.NAME or CIDR[:PORT] alone",
		long: `Makes the network an allow-list: the box reaches what a --allow-host names, and nothing else. WHAT is a name, *.NAME for all that is below it, an address or a CIDR prefix, with :PORT or :PORT-PORT behind it; an IPv6 address with a port stands in brackets.

Names are resolved by nobox alone, and only those that are allowed: a connection goes through if its address came in the answer for an allowed name, for as long as that answer is good. All else is reset at once, whatever the program knows of proxies, and a line says so once for each name and port. Other resolvers (ports 53 and 853) are refused unless an address with that port is allowed. A name whose address is private opens it only together with that address. What names share an address with an allowed one, as on a CDN, is reached too.

  nobox --allow-host github.com:443 --allow-host '*.debian.org' -- make`,
		set: func(v string, o *Invocation) error {
			if _, err := egress.Parse(v); err != nil {
				return err
			}
			o.Options.AllowHosts = append(o.Options.AllowHosts, v)
			return nil
		},
	},
	{
		name: "deny-host", arg: "WHAT", repeat: true, group: groupNetwork,
		what: "deny the host",
		help: "do not reach NAME, *.NAME or CIDR[:PORT]",
		long: `Keeps the box from what WHAT names, which is written as for --allow-host, and comes before it. An address is not kept from the box because a denied name has it, unless the box asked for that name.

  nobox --deny-host 10.0.0.0/8 --deny-host 192.168.0.0/16 -- npm install`,
		set: func(v string, o *Invocation) error {
			if _, err := egress.Parse(v); err != nil {
				return err
			}
			o.Options.DenyHosts = append(o.Options.DenyHosts, v)
			return nil
		},
	},
	{
		name: "client-address", group: groupNetwork,
		what: "show servers their clients",
		help: "behind -p servers see who connects",
		long: `Lets servers behind published ports see the address and port of whoever connects, as they would on the host, for logs and rules of their own: without it all of them connect from 127.0.0.1 or ::1. It needs a server that listens on 127.0.0.1, or at all addresses, for clients by IPv4, and on ::1 likewise for those by IPv6; others are seen as before. The forwarder keeps CAP_NET_RAW in the box's network for it. It goes with -p at the start, since it needs routes that are made then, and holds for what nobox port publishes later.

  nobox -p 0.0.0.0:8080:80 --client-address -- ./server`,
		set: func(v string, o *Invocation) error { return onOff(v, &o.Options.Clients) },
	},
	{
		name: "host-port", arg: "PORT", repeat: true, group: groupNetwork,
		what: "open the host's port",
		help: "open a port of the host's loopback to the box",
		long: `Opens a TCP or UDP port of the host's loopback to the box, which reaches it as host.nobox.internal:PORT. What listens there often trusts whoever can reach it.

  nobox --host-port 5432 -- psql -h host.nobox.internal`,
		set: func(v string, o *Invocation) error {
			p, err := strconv.ParseUint(v, 10, 16)
			if err != nil || p == 0 {
				return errors.New("a port is a number from 1 to 65535")
			}
			o.Options.HostPorts = append(o.Options.HostPorts, uint16(p))
			return nil
		},
	},
	{
		name: "add-host", arg: "NAME:IP", repeat: true, group: groupNetwork,
		what: "add the host",
		help: "a line of the box's /etc/hosts",
		long: `Adds a name with its address to the box's /etc/hosts. host-gateway in the place of an address is what the box calls the host by, for --host-port. NAME=IP is the same.`,
		set: func(v string, o *Invocation) error {
			i := strings.IndexAny(v, ":=") // docker takes either
			if i < 0 {
				return errors.New("write NAME:IP")
			}
			name, address := v[:i], v[i+1:]
			if name == "" || strings.ContainsAny(name, " \t\n\r#") {
				return errors.New("write NAME:IP")
			}
			address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
			if _, err := netip.ParseAddr(address); err != nil && address != sandbox.HostGateway {
				return notIP(address)
			}
			o.Options.AddHosts = append(o.Options.AddHosts, sandbox.AddHost{Name: name, Address: address})
			return nil
		},
	},
	{
		name: "dns", arg: "IP", repeat: true, group: groupNetwork,
		what: "ask the resolver",
		help: "ask this resolver, not the host's",
		long: `Asks these servers for the box's names, in the place of those that the host's resolv.conf has at the time.`,
		set: func(v string, o *Invocation) error {
			if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" {
				return notIP(v)
			}
			o.Options.DNS = append(o.Options.DNS, v)
			return nil
		},
	},
	{
		name: "dns-search", arg: "DOMAIN", repeat: true, group: groupNetwork,
		what: "search the domain",
		help: "complete short names by this domain; . is none",
		long: `Sets the search list of the box's resolv.conf, which is otherwise the host's; without a domain to search under --allow-host.`,
		set: func(v string, o *Invocation) error {
			if v == "" || strings.ContainsAny(v, " \t\n\r#;,") {
				return errors.New("it is no domain")
			}
			o.Options.DNSSearch = append(o.Options.DNSSearch, v)
			return nil
		},
	},
	{
		name: "mtu", arg: "BYTES", group: groupNetwork,
		what: "set the MTU",
		help: "the MTU of the box's device (default 1500)",
		long: `Sets the largest packet of the box's device, from 1280 to 65520. Segments of 64 KiB cross it at any MTU, so that a larger one gains little.`,
		set: func(v string, o *Invocation) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1280 || n > 65520 {
				return errors.New("an MTU is a number from 1280 to 65520")
			}
			o.Options.MTU = n
			return nil
		},
	},
	{
		name: "net-log", arg: "FILE", takes: takesFile, group: groupNetwork,
		what: "log the network",
		help: "a line of JSON for each connection in FILE",
		long: `Appends a JSON object a line to FILE, on the host, when a connection or a flow of datagrams ends, which is with the box at the latest, and when one is refused: time, proto, name (as the box asked for it), address, port, sent, received and verdict (allowed or refused). Below the working directory FILE leads through no symbolic link: a box may have left it.`,
		set: func(v string, o *Invocation) error {
			if err := hostPath(v); err != nil {
				return err
			}
			o.Options.NetLog = v
			return nil
		},
	},
	{
		name: "connect-tcp", arg: "PORT,...", repeat: true, group: groupNetwork,
		what: "open TCP ports",
		help: "with --tier=landlock: ports to connect to",
		long: `Gives a box of --tier=landlock TCP connections to these ports, on any host, this one included: Landlock knows ports, not addresses. UDP stays closed; names are looked up by TCP where 53 is among the ports and the C library is glibc, for which RES_OPTIONS=use-vc is set.`,
		set:  func(v string, o *Invocation) error { return tcpPorts(v, 1, &o.Options.ConnectTCP) },
	},
	{
		name: "bind-tcp", arg: "PORT,...", repeat: true, group: groupNetwork,
		what: "open TCP ports",
		help: "with --tier=landlock: ports to listen at",
		long: `Lets a box of --tier=landlock listen at these TCP ports of the host, at any address of it. 0 is one that the kernel chooses.`,
		set:  func(v string, o *Invocation) error { return tcpPorts(v, 0, &o.Options.BindTCP) },
	},

	{
		name: "memory", short: "m", arg: "SIZE", group: groupLimits,
		what: "limit the memory",
		help: "at most SIZE of memory, such as 512m",
		long: `Limits the memory of everything inside together, the kernel's for it and cached files included. SIZE is bytes, or a number with k, m, g or t behind it, powers of 1024. Beyond the limit the kernel ends the box, all of it at once, and nobox says so. Nothing of it is swapped out unless --memory-swap allows that.

Limits are enforced by a cgroup of version 2, which your own systemd gives nobox (a transient scope, Delegate=yes) also where the environment names no bus, as after ssh, su or cron; see --cgroup. A limit that cannot be enforced is an error, unless --best-effort is given.

  nobox -m 512m --cpus 1.5 --pids-limit 200 -- make -j4`,
		set: func(v string, o *Invocation) error {
			n, err := memorySize(v)
			return o.amount(&o.Options.Limits.Memory, n, err)
		},
	},
	{
		name: "memory-swap", arg: "SIZE", group: groupLimits,
		what: "limit the swap",
		help: "memory and swap together (default: no swap)",
		long: `Limits memory and swap together, as docker run counts: with -m 512m, --memory-swap 1g allows 512 MiB of swap. -1 is no limit of swap. 0 is the default, no swap at all. It goes with -m.`,
		set: func(v string, o *Invocation) error {
			if v == "-1" {
				return o.amount(&o.Options.Limits.MemorySwap, sandbox.Unlimited, nil)
			}
			if v == "0" {
				o.Options.Limits.MemorySwap = sandbox.Amount{}
				return nil
			}
			n, err := memorySize(v)
			return o.amount(&o.Options.Limits.MemorySwap, n, err)
		},
	},
	{
		name: "memory-reservation", arg: "SIZE", group: groupLimits,
		what: "reserve memory",
		help: "slow the box down above SIZE of memory",
		long: `A soft limit of memory: above it the box is slowed down and its memory taken back, but it is not ended (memory.high). With -m it is at most that.`,
		set: func(v string, o *Invocation) error {
			n, err := memorySize(v)
			return o.amount(&o.Options.Limits.MemoryReservation, n, err)
		},
	},
	{
		name: "cpus", arg: "N", group: groupLimits,
		what: "limit the CPU time",
		help: "at most the time of N CPUs, such as 1.5",
		long: `Limits the CPU time of everything inside together to that of N CPUs, from 0.01 up to as many as there are. It may be spent on any of them, and nothing of it on making the box.`,
		set: func(v string, o *Invocation) error {
			n, err := cpus(v)
			return o.amount(&o.Options.Limits.CPUs, n, err)
		},
	},
	{
		name: "cpu-weight", arg: "N", group: groupLimits,
		what: "weigh the CPU time",
		help: "share of the CPUs against others: 1 to 10000",
		long: `How much CPU time the box gets when others want it too: against one of weight 100, the default, a box of weight 200 gets twice as much. From 1 to 10000.`,
		set: func(v string, o *Invocation) error {
			n, err := within(v, 1, 10000)
			return o.amount(&o.Options.Limits.CPUWeight, n, err)
		},
	},
	{
		name: "cpuset-cpus", arg: "LIST", group: groupLimits,
		what: "choose the CPUs",
		help: "run on these CPUs alone, such as 0-3,7",
		long: `Has everything inside run on these CPUs alone: numbers and ranges, parted by commas. It takes the cpuset controller, which systemd delegates only where an administrator said so.`,
		set: func(v string, o *Invocation) error {
			if err := cpuList(v); err != nil {
				return err
			}
			o.Options.Limits.CPUSet, o.Options.Limits.CPUSetFrom = v, o.given
			return nil
		},
	},
	{
		name: "pids-limit", arg: "N", group: groupLimits,
		what: "limit the processes",
		help: "at most N processes and threads; -1 is any",
		long: `Limits the processes and threads inside to N. The box's pid 1 counts as one. Where no more can be made, fork(2) says EAGAIN, and nobox tells how often that was. -1 and 0 are no limit.`,
		set: func(v string, o *Invocation) error {
			if v == "-1" || v == "0" {
				o.Options.Limits.Pids = sandbox.Amount{}
				return nil
			}
			n, err := within(v, 1, 4194304) // PID_MAX_LIMIT, linux/threads.h
			return o.amount(&o.Options.Limits.Pids, n, err)
		},
	},
	{
		name: "io-weight", aliases: []string{"blkio-weight"}, arg: "N", group: groupLimits,
		what: "weigh reads and writes",
		help: "share of the disks against others: 1 to 10000",
		long: `How much of a disk's time the box gets when others want it too, against the default of 100. From 1 to 10000. It takes the io controller, which systemd delegates only where an administrator said so, and a kernel with iocost or BFQ.`,
		set: func(v string, o *Invocation) error {
			n, err := within(v, 1, 10000)
			return o.amount(&o.Options.Limits.IOWeight, n, err)
		},
	},
	{
		name: "device-read-bps", arg: "P:RATE", repeat: true, takes: takesFile, group: groupLimits,
		what: "limit reads and writes",
		help: "at most RATE bytes read a second, on P's disk",
		long: `Limits how many bytes a second everything inside may read from a disk: the one that P is, such as /dev/sda, or the one that holds the file system of P. RATE takes the suffixes of sizes. What is in memory already does not count. It takes the io controller, which systemd delegates only where an administrator said so.`,
		set:  func(v string, o *Invocation) error { return o.device(v, "rbps") },
	},
	{
		name: "device-write-bps", arg: "P:RATE", repeat: true, takes: takesFile, group: groupLimits,
		what: "limit reads and writes",
		help: "at most RATE bytes written a second, P's disk",
		long: `Limits how many bytes a second everything inside may write to a disk, as --device-read-bps does reads. What is written to a file counts when the kernel writes it to the disk.`,
		set:  func(v string, o *Invocation) error { return o.device(v, "wbps") },
	},
	{
		name: "device-read-iops", arg: "P:RATE", repeat: true, takes: takesFile, group: groupLimits,
		what: "limit reads and writes",
		help: "at most RATE reads a second, on P's disk",
		long: `Limits how many reads a second everything inside may have from a disk, as --device-read-bps does bytes.`,
		set:  func(v string, o *Invocation) error { return o.device(v, "riops") },
	},
	{
		name: "device-write-iops", arg: "P:RATE", repeat: true, takes: takesFile, group: groupLimits,
		what: "limit reads and writes",
		help: "at most RATE writes a second, on P's disk",
		long: `Limits how many writes a second everything inside may have to a disk, as --device-read-bps does bytes.`,
		set:  func(v string, o *Invocation) error { return o.device(v, "wiops") },
	},
	{
		name: "cgroup", arg: "WHERE", takes: takesAny, group: groupLimits,
		what: "choose the cgroup",
		help: "its cgroup: auto, systemd, off, or a path",
		long: `Where the cgroup comes from that limits take. With auto it is asked of your own systemd, as a scope that systemd removes when it is empty, and without one made in the cgroup that nobox stands in, if that was delegated: in a container, by a batch system, by an administrator's chown. Who stands in that one is moved to a cgroup named nobox within it, since the kernel wants that, and back when the last box has ended. systemd is the first of the two alone, a path that cgroup, off none.

Where no flag asks for a limit there is no cgroup and none is asked for. Inside, /sys/fs/cgroup shows the box's own cgroup, read-only, and nothing above it. memory.max, cpu.max and pids.max are seen there, for programs that size themselves by them; the limits that hold stand above.`,
		set: func(v string, o *Invocation) error {
			if err := cgroupPlace(v); err != nil {
				return err
			}
			o.Options.Limits.Cgroup, o.Options.Limits.CgroupFrom = v, o.given
			return nil
		},
	},
	{
		name: "cgroup-writable", group: groupLimits,
		what: "let the box manage cgroups",
		help: "let the box make cgroups below its own",
		long: `Lets the box make cgroups below its own, move its processes to them and limit them, as podman, systemd or nobox inside want to. Its own limits stand above, out of its reach. They go with the box, whoever made them: a process of nobox's with the rights of root inside removes them.`,
		set: func(v string, o *Invocation) error {
			var on bool
			if err := onOff(v, &on); err != nil {
				return err
			}
			o.Options.Limits.Writable = ""
			if on {
				o.Options.Limits.Writable = o.given
			}
			return nil
		},
	},
	{
		name: "best-effort", group: groupLimits,
		what: "do what can be done",
		help: "drop limits that cannot be enforced, and say so",
		long: `Goes on where a limit cannot be enforced, and says which was dropped and why. Without it that is an error.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Options.Limits.BestEffort) },
	},
	{
		name: "report", arg: "FILE", bare: reportToStderr, takes: takesFile, group: groupLimits,
		what: "report",
		help: "tell what the box took: on stderr, or in FILE",
		long: `Tells when the box has ended what it took: time, CPU time, the peak of memory, swap and processes, what was read from disks and written to them, how long it was throttled, how often the kernel killed a process for want of memory, how it ended, and what the policy of its network refused. It goes to stderr, or to FILE, as JSON if that ends in .json. Below the working directory FILE leads through no symbolic link: a box may have left it.

The numbers are those of the box's cgroup, which counts everything inside. Where none can be had they are those that the kernel keeps for processes that were waited for, and the report says so.`,
		set: func(v string, o *Invocation) error {
			if v == "" {
				return emptyPath()
			}
			o.Report = v
			o.Options.Limits.Report = true
			return nil
		},
	},

	{
		name: "profile", arg: "NAME", takes: takesProfile, group: groupSee,
		what: "use the profile",
		help: "settings by name: dev, agent, ci, strict, demo",
		long: `Takes the settings of a profile: one of ~/.config/nobox/config.toml, or of those that nobox comes with: dev, agent, ci, strict and demo. What else the command line has counts more. "nobox profiles" lists them, and with a name what one sets. With none neither the configuration nor the project's .nobox.toml is read.

The configuration is TOML. Its keys are the long names of the flags; those above the first profile are for every box, and profile = "NAME" there is the profile of a box that names none. A profile may say about, and extends with another's name, whose settings stand below its own. In a path "~/" is the home. volume-try is volume for what may not be there.

  [profile.work]
  extends = "dev"
  mask = ["**/*.pem"]
  timeout = "2h"

A file .nobox.toml in the working directory has settings of a project, without profiles. It may only tighten, since a box may have written it: cwd and home to less, net to less, mask, cap-drop, read-only, -c or -r, shorter times, lower limits, deny-host, allow-host where there is no list, hostname and workdir. What would loosen is an error that names it. --explain shows the file and the line of each setting.`,
		set: func(v string, o *Invocation) error {
			if v == "" {
				return emptyName()
			}
			o.Profile = v
			return nil
		},
	},
	{
		name: "setenv", arg: "K", second: "V", repeat: true, hidden: true, takes: takesVariable, group: groupProcess,
		what: "set a variable",
		help: "set the variable K to V, as bwrap spells it",
		long: `Sets the variable K to V, as -e K=V does; with two arguments, as in bwrap(1).`,
		set: func(v string, o *Invocation) error {
			if err := variableName(v); err != nil {
				return err
			}
			o.env = append(o.env, sandbox.EnvVar{Name: v, Value: o.second, From: o.spelled + " " + show(v)})
			return nil
		},
	},
	{
		name: "unsetenv", arg: "K", repeat: true, hidden: true, takes: takesVariable, group: groupProcess,
		what: "leave a variable out",
		help: "keep the variable K from the command, as bwrap spells it",
		long: `Takes the variable K out of the command's environment, as bwrap(1) and podman(1) do. A later -e or --setenv sets it again.`,
		set: func(v string, o *Invocation) error {
			if err := variableName(v); err != nil {
				return err
			}
			o.env = append(o.env, sandbox.EnvVar{Name: v, Unset: true, From: o.given})
			return nil
		},
	},
	{
		name: "clearenv", hidden: true, group: groupProcess,
		what: "clear the environment",
		help: "keep all of your variables out, as bwrap spells it",
		long: `Leaves out what the command gets of the caller's environment without a flag, PATH and HOME too, and the variables of -e and --setenv before it, as in bwrap(1). Those behind it, and those of --env-file, are set.`,
		set: func(v string, o *Invocation) error {
			if err := o.holds(v); err != nil {
				return err
			}
			o.Options.EnvClear, o.env = true, nil
			return nil
		},
	},
	{
		name: "bind-try", aliases: []string{"ro-bind-try"}, arg: "SRC", second: "DST", repeat: true, hidden: true, takes: takesFile, group: groupFiles,
		what: "bind",
		help: "--bind and --ro-bind of what may not be there",
		long: `Is --bind, or --ro-bind, where there is a SRC, and else nothing, as in bwrap(1).`,
		set:  func(v string, o *Invocation) error { return o.bindTwo(v, o.spelled == "--ro-bind-try", true) },
	},
	{
		name: "proc", arg: "/proc", hidden: true, group: groupFiles,
		what: "mount",
		help: "as in every box, it is there",
		long: `Is taken for the sake of bwrap(1): every box has the processes of the box at /proc, and nowhere else.`,
		set:  func(v string, o *Invocation) error { return o.standsAt(v, "/proc") },
	},
	{
		name: "dev", arg: "/dev", hidden: true, group: groupFiles,
		what: "mount",
		help: "as in every box, it is there",
		long: `Is taken for the sake of bwrap(1): every box has the few devices that bwrap gives as well at /dev, and nowhere else.`,
		set:  func(v string, o *Invocation) error { return o.standsAt(v, "/dev") },
	},
	{
		name: "mqueue", arg: "/dev/mqueue", hidden: true, group: groupFiles,
		what: "mount",
		help: "as in every box, it is there",
		long: `Is taken for the sake of bwrap(1): every box has message queues of the box's own at /dev/mqueue, and nowhere else.`,
		set:  func(v string, o *Invocation) error { return o.standsAt(v, "/dev/mqueue") },
	},
	{
		name: "new-session", aliases: []string{"fork", "f"}, hidden: true, group: groupProcess,
		what: "start the command",
		help: "as in every box, in a process and a session of its own",
		long: `Is taken for the sake of unshare(1), --fork, and bwrap(1), --new-session: the command is a process of its own, in a session without the caller's terminal.`,
		set:  func(v string, o *Invocation) error { return o.holds(v) },
	},
	{
		name: "kill-child", hidden: true, group: groupProcess,
		what: "end the command",
		help: "as in every box, all in it is killed with nobox",
		long: `Is taken for the sake of unshare(1): when nobox ends, by SIGKILL too, everything in the box is killed.`,
		set:  func(v string, o *Invocation) error { return o.holds(v, "KILL", "SIGKILL", "9") },
	},
	{
		name: "mount-proc", hidden: true, group: groupFiles,
		what: "mount",
		help: "as in every box, /proc is its own",
		long: `Is taken for the sake of unshare(1): every box has a /proc of its own.`,
		set:  func(v string, o *Invocation) error { return o.holdsApart(v, "/proc") },
	},
	{
		name: "ipc", aliases: []string{"pid", "uts", "cgroupns"}, hidden: true, group: groupBox,
		what: "make the namespace",
		help: "as in every box, the namespaces are its own",
		long: `Is taken for the sake of unshare(1) and, with =private, of docker(1): every box has user, mount, pid, uts, ipc and cgroup namespaces of its own.`,
		set:  func(v string, o *Invocation) error { return o.holdsApart(v, "private") },
	},
	{
		name: "disable-userns", aliases: []string{"assert-userns-disabled"}, hidden: true, group: groupHardening,
		what: "forbid user namespaces",
		help: "as in every box without --allow-userns, none can be made",
		long: `Is taken for the sake of bwrap(1): no user namespace can be made in a box, unless --allow-userns says otherwise.`,
		set: func(v string, o *Invocation) error {
			o.noUserns = o.given
			return o.holdsApart(v)
		},
	},
	{
		name: "unshare-net", aliases: []string{"unshare-all", "n"}, group: groupNetwork, hidden: true,
		what: "set up the network",
		help: "the same as --net=none, as bwrap spells it",
		long: `Is --net=none under the name that bwrap(1) has for it, or unshare(1), -n. Every other namespace is the box's own in any case.`,
		set: func(v string, o *Invocation) error {
			o.apart = o.given
			return o.netSwitch(v, sandbox.NetNone)
		},
	},
	{
		name: "share-net", group: groupNetwork, hidden: true,
		what: "set up the network",
		help: "the same as --net=host, as bwrap spells it",
		long: `Is --net=host under the name that bwrap(1) has for it.`,
		set:  func(v string, o *Invocation) error { return o.netSwitch(v, sandbox.NetHost) },
	},
	{
		name: "rm", group: groupBox, hidden: true,
		what: "remove the box",
		help: "as in every box without -d, nothing is left of it",
		long: `Is taken for the sake of "docker run --rm": nothing is left of a box that has ended. With -d it is an error, since how such a box ended is kept until "nobox rm".`,
		set:  func(v string, o *Invocation) error { return o.always(v, &o.removed) },
	},
	{
		name: "init", group: groupProcess, hidden: true,
		what: "run a reaper as pid 1",
		help: "as in every box without --as-pid-1, pid 1 reaps",
		long: `Is taken for the sake of "docker run --init": pid 1 of a box is nobox's reaper, unless --as-pid-1 says otherwise.`,
		set:  func(v string, o *Invocation) error { return o.always(v, &o.reaped) },
	},
	{
		name: "unshare-user", aliases: []string{"unshare-user-try", "unshare-pid", "unshare-ipc", "unshare-uts", "unshare-cgroup", "unshare-cgroup-try", "U", "C"}, group: groupBox, hidden: true,
		what: "make the namespace",
		help: "as in every box, the namespaces are its own",
		long: `Is taken for the sake of bwrap(1): every box has user, mount, pid, uts, ipc and cgroup namespaces of its own.`,
		set:  func(v string, o *Invocation) error { return o.holdsApart(v) },
	},
	{
		name: "explain", arg: "HOW", values: explainWords, bare: "words", group: groupSee,
		what: "explain",
		help: "print the plan: in words, syscalls, json",
		long: `Prints what nobox would do, step by step, on the host side and inside, each step with the flag it comes from, and does nothing. What is printed is the very plan that a run executes. HOW is words, the default, syscalls, for the system calls it comes down to, or json, for tools.`,
		set: func(v string, o *Invocation) error {
			for _, w := range explainWords {
				if v == w {
					o.Explain = v
					return nil
				}
			}
			return notOneOf(v, explainWords)
		},
	},
	{
		name: "json-status-fd", arg: "FD", group: groupSee,
		what: "write the status",
		help: "write child-pid and exit-code to FD, like bwrap",
		long: `Writes to the open descriptor FD, a JSON object a line, what bwrap(1) does under this name: child-pid and the ids of the namespaces when the command starts, exit-code when it has ended.`,
		set: func(v string, o *Invocation) error {
			fd, err := descriptor(v)
			if err != nil {
				return err
			}
			o.StatusFD = fd
			return nil
		},
	},
	{
		name: "verbose", group: groupSee,
		what: "be verbose",
		help: "say how long the parts of a start took",
		long: `Says on stderr how long the parts of a start took.`,
		set:  func(v string, o *Invocation) error { return onOff(v, &o.Verbose) },
	},
	{
		name: "help", short: "h", group: groupSee,
		what: "help",
		help: "the help; nobox help FLAG tells about one",
		long: `Prints the help, or with a flag or a verb behind "nobox help" what there is to say about that one.`,
		set: func(v string, o *Invocation) error {
			on := false
			if err := onOff(v, &on); err != nil {
				return err
			}
			if on {
				return errHelp
			}
			return nil
		},
	},
	{
		name: "version", group: groupSee, hidden: true,
		what: "tell the version",
		help: "the same as nobox version",
		long: `Prints the version, as "nobox version" does.`,
		set: func(v string, o *Invocation) error {
			on := false
			if err := onOff(v, &on); err != nil {
				return err
			}
			if on {
				return errVersion
			}
			return nil
		},
	},
}

// isSwitch says that the flag takes no argument but true and false.
func (f *flag) isSwitch() bool { return f.arg == "" }

// needsValue says that the flag takes the next word if no "=" follows it.
func (f *flag) needsValue() bool { return f.arg != "" && f.bare == "" }

// spellings are all the ways to write the flag, dashes and all, the long one
// first.
func (f *flag) spellings() []string {
	s := []string{"--" + f.name}
	if f.short != "" {
		s = append(s, "-"+f.short)
	}
	for _, a := range f.aliases {
		s = append(s, dashed(a))
	}
	return s
}

// dashed puts the dashes before a name.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// lookup finds the row that a spelling with its dashes belongs to.
func lookup(spelling string) *flag {
	for i := range flags {
		f := &flags[i]
		switch {
		case len(spelling) == 2 && f.short != "" && spelling == "-"+f.short:
			return f
		case len(spelling) > 2 && spelling[2:] == f.name && spelling[:2] == "--":
			return f
		}
		for _, a := range f.aliases {
			if spelling == dashed(a) {
				return f
			}
		}
	}
	return nil
}

// A verb is a first word that is not a flag.
type verb struct {
	name   string
	args   string // as usage writes them
	help   string
	long   string
	hidden bool

	takesDir bool     // the first word behind it is a directory
	more     bool     // and others may follow
	flags    []string // what it has of flags
	boxes    boxKind  // which names of boxes stand behind it
}

// A boxKind is which boxes a verb takes the names of.
type boxKind uint8

const (
	noBoxes boxKind = iota
	runningBoxes
	allBoxes // those that have ended too
)

var verbs = [...]verb{
	{name: "help", args: "[FLAG|VERB|TASK]", help: "one page, or all about one",
		long: `Prints the help on one screen, or with a flag or a verb what there is to say about that one: "nobox help -v", "nobox help volume". With a task, such as files, it lists the flags that are for it, and with all every flag.`},
	{name: "doctor", args: "[--json] [LINE]", help: "what a box lacks here, and remedies",
		long: `Tries, in processes that are gone when it ends, all that a box may need, and prints a line each: whether it works, works with less, or cannot, and then the cause and what to type. With a LINE, such as newuidmap, it prints that one. The exit code is 0 if the main job works, which is to start a box, and else 1.

--json prints the same for programs. --apparmor-profile prints an AppArmor profile that lets this very binary make user namespaces where AppArmor restricts them, as Ubuntu does:

  nobox doctor --apparmor-profile | sudo tee /etc/apparmor.d/nobox
  sudo apparmor_parser -r /etc/apparmor.d/nobox`},
	{name: "profiles", args: "[NAME]", help: "the profiles, or what one sets",
		long: `Lists the profiles that --profile takes, those of ~/.config/nobox/config.toml first, or with a name the settings of that one and where they stand.`},
	{name: doctor.InsideVerb, hidden: true, help: "a part of nobox doctor",
		long: `Is what nobox doctor starts in new namespaces, to try what can be done there.`},
	{name: "exec", args: "[FLAGS] NAME [-- COMMAND...]", help: "one more command in a box that runs", boxes: runningBoxes,
		long: `Runs a command, or a shell, in a box that has a name and runs: in all its namespaces, with its root, its ids and its environment, with no capability and no system call more than the box's own command has. Of the flags of a run it has -t, -u, -w, -e, --env-file, --env-host, --ulimit, --timeout, --stop-timeout and --explain.

The command ends with this nobox, and with the box. It is under the box's limits.

  nobox --name web -- ./server &
  nobox exec web -- ps aux`},
	{name: "attach", args: "[--detach-keys KEYS] NAME", help: "the terminal of a box started with -d", boxes: runningBoxes, flags: []string{"--detach-keys", "--no-stdin", "--sig-proxy"},
		long: `Joins this terminal and that of a box that was started with -d -t, until the box ends, whose exit code it returns, or ctrl-p ctrl-q is typed: then the box runs on. Any number may be attached at once, see the same and type into the same. A terminal that takes nothing for ten seconds, while the box writes, is let go of.

--detach-keys has other keys: single characters, or "ctrl-" and a letter or one of @ [ \ ] ^ _, with commas between; none are "". TERM, INT, HUP and QUIT sent to nobox attach detach as well.

Of a box without a terminal, or where stdin here is none, or with --no-stdin, it prints what the box writes from now on. To a box without a terminal signals go on (--sig-proxy=false: they end nobox attach) and, if it was started with -i, what can be read from stdin does.`},
	{name: "port", args: "[-p PORT] [--close PORT] NAME", help: "published ports of a box that runs", boxes: runningBoxes, flags: []string{"-p", "--close"},
		long: `Lists the ports of a box that are published, with where on the host they are. -p publishes more of them while the box runs, in all forms that -p of a run has; --close publishes one no more, by its port on the host, [IP:]PORT[/udp], at that address or at all, or by the path of its socket; --json lists for programs. Both may be given more than once; what is to be closed is closed first. A port that is taken is an error, and then none is published. Servers see the clients of all of them where the box was started with --client-address and -p, else of none.

Connections that are there when a port is closed go on. All of it ends with the box.

  nobox --name web -- ./server &
  nobox port web -p 8080:80
  nobox port web --close 8080`},
	{name: "ps", args: "[--all] [--json]", help: "the boxes that have a name and run", flags: []string{"--all", "--json"},
		long: `Lists the boxes of the caller that have a name (--name) and run, and with --all those that were started with -d and have ended: the name, the host's number of its pid 1 or how it ended, for how long, and the command. What else a nobox that was killed left behind is removed.

--json prints an array of what nobox inspect prints of each.`},
	{name: "stop", args: "[--time SEC] NAME...", help: "end a box that runs", boxes: runningBoxes, flags: []string{"--time"},
		long: `Asks the command of a box to end, by TERM, and kills all that is in the box after the box's own --stop-timeout (10 seconds), or after --time. With --time 0 it is killed at once. Returns when the box has ended.`},
	{name: "wait", args: "NAME...", help: "wait until a box has ended", boxes: allBoxes,
		long: `Returns when the boxes have ended, with the exit code of the last one if that was started with -d.`},
	{name: "logs", args: "[-f] NAME", help: "what a box started with -d wrote", boxes: allBoxes, flags: []string{"--follow"},
		long: `Prints what a box that was started with -d has written to stdout and stderr; with -f, --follow, all it will write until it ends. The last 16 MiB are kept; a line on stderr says how much is not.`},
	{name: "rm", args: "NAME...", help: "forget a box that has ended", boxes: allBoxes,
		long: `Removes what is kept of boxes that were started with -d and have ended.`},
	{name: "inspect", args: "NAME...", help: "all there is to know of a box, as JSON", boxes: allBoxes,
		long: `Prints an object for each box: name; nobox and init, the nobox that runs it and its pid 1, each with pid and started, in clock ticks since the machine was (proc_pid_stat(5)); reaper, whether pid 1 is nobox's; since; args, nobox's own, command and cwd; detached; and of one that has ended ended, with at and code, which is -1 where its nobox was killed. Bytes that are not UTF-8 stand as "base64:" and their base64. "nobox --explain" with the same arguments says what the box is made of.`},
	{name: "version", help: "the version",
		long: `Prints the version.`},
	{name: "completion", args: "bash|zsh|fish", help: "completions for a shell",
		long: `Prints the completions for a shell. To have them in every new one:

  nobox completion bash > ~/.local/share/bash-completion/completions/nobox
  nobox completion zsh  > ~/.zfunc/_nobox     # a directory of $fpath
  nobox completion fish > ~/.config/fish/completions/nobox.fish`},
	{name: "diff", args: "DIR [--json]", help: "what boxes changed", takesDir: true, flags: []string{"--json"},
		long: `Lists what boxes changed in the overlays that are kept in DIR (--overlay-dir): what was added, modified, deleted, has another mode or owner, is of another type now, or has other extended attributes or another access list (xattr), with sizes, a path of the host a line. Each path below a directory that was deleted or replaced is listed too. With --json it is an array of objects.`},
	{name: "apply", args: "DIR [PATH...] [--force]", help: "write changes back to the host", takesDir: true, more: true, flags: []string{"--force"},
		long: `Writes the changes in DIR back to the trees that they are of; with PATHs those at or below them. Each file is replaced at once. What is written is taken out of DIR, so that an apply that was interrupted goes on where it stopped when it is called again.

A path that was changed outside since the changes began is not overwritten, and then nothing is written: --force overwrites it. Set-user-ID and set-group-ID bits of files are not written back, nor is an owner that the caller may not give, and a line says so; nor are sockets: those stay, and all else is applied. Where something in DIR cannot be read nothing is written, but for PATHs that lie elsewhere; nobox rm-owned --hand-back DIR makes it readable. A file that has several names on the host keeps its old content under the others, and what the box gave several names becomes a file for each.`},
	{name: "discard", args: "DIR", help: "forget changes", takesDir: true,
		long: `Removes the changes in DIR. The trees that they are of stay as they are.`},
	{name: "rm-owned", args: "DIR [--hand-back] [--yes]", help: "remove files of mapped ids", takesDir: true, flags: []string{"--hand-back", "--yes"},
		long: `Removes DIR and all that is below it, also what mapped ids own and the caller cannot remove, from inside a box with the same map. The directory that one stands in, or one that holds it, is not removed. With --hand-back nothing is removed: all of it becomes the caller's. It asks first; --yes is the answer.`},
	{name: "owned-inside", args: "DIR", help: "rm-owned, inside", hidden: true, takesDir: true, flags: []string{"--hand-back"},
		long: `What rm-owned runs inside the box.`},
	{name: sandbox.RestoreVerb, help: "a part of nobox attach", hidden: true,
		long: `Is what nobox attach starts, to give the terminal its modes back should it be killed.`},
	{name: "sweep-cgroup", args: "DIR", help: "remove a box's cgroup", hidden: true,
		long: `Removes the cgroup of a box when the nobox that started it is gone; nobox starts this itself.`},
	{name: sandbox.RemoveVerb, args: "DIR...", help: "remove directories that a box needed", hidden: true,
		long: `Removes those of nobox's own directories that were made for the time of a box, when the nobox that made them is gone; nobox starts this itself.`},
	{name: "man", help: "the manual page", hidden: true,
		long: `Prints the manual page in roff: "nobox man | man -l -".`},
}

// laterVerbs are verbs of nobox's contract that this version does not have.
var laterVerbs = []string{
	"image", "oci", "bwrap",
}

var shells = []string{"bash", "zsh", "fish"}

func lookupVerb(name string) *verb {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i]
		}
	}
	return nil
}
