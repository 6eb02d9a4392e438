package cli

import (
	"slices"
	"strings"
)

// An other is what docker and podman run, bwrap(1) and unshare(1) have that
// nobox has by another name, or not at all. What every box has anyway, and what
// maps exactly, is a hidden row of the table of flags instead.
type other struct {
	// names are spellings without dashes, parted by spaces. NAME=VALUE is a value
	// that nobox's flag of the name does not take, and the name of one that takes
	// a value stands here for it without.
	names   string
	whose   string
	instead string
}

const (
	docker  = "docker's"
	podman  = "podman's"
	bwrap   = "bwrap's"
	unshare = "unshare's"
)

var others = [...]other{
	// bwrap
	{"dev-bind dev-bind-try", bwrap, "--device PATH shares a device, --bind SRC DST what is none"},
	{"dir", bwrap, "--tmpfs DST is an empty directory"},
	{"symlink", bwrap, "the host view has the host's links, --rootfs DIR those of DIR"},
	{"file bind-data ro-bind-data bind-fd ro-bind-fd", bwrap, "-v FILE:DST:ro shares a file by its path"},
	{"perms size chmod", bwrap, "--tmpfs DST:mode=0700,size=64m has both"},
	{"remount-ro", bwrap, "--read-only is for the root, ro in -v SRC:DST:ro for a share"},
	{"overlay-src tmp-overlay ro-overlay", bwrap, "-v SRC:DST:O is an overlay of SRC; --overlay-dir DIR keeps what is written to it"},
	{"uid gid", bwrap, "-c keeps the caller's ids, -u UID:GID has others of the box; --uidmap and --gidmap choose who they are"},
	{"userns2 pidns", bwrap, "nobox exec NAME runs a command in the namespaces of a box"},
	{"seccomp add-seccomp-fd", bwrap, "--security-opt seccomp=FILE takes a profile in docker's JSON"},
	{"info-fd sync-fd block-fd userns-block-fd lock-file", bwrap, "--json-status-fd FD tells when the command has started and when it has ended"},
	{"args", bwrap, "--profile NAME has settings of a file"},
	{"argv0", bwrap, "bash -c 'exec -a NAME COMMAND' as the command sets it"},

	// unshare
	{"mount user cgroup m p u", unshare, "as unshare's flag it holds in every box: leave it out"},
	{"net network", unshare, "--net=none is what unshare's --net is: lo alone"},
	{"time T boottime monotonic", unshare, "a box has the host's clocks, and no time namespace"},
	{"map-auto map-users map-groups map-subids", unshare, "the caller's ranges are mapped without a flag, and without -r; --uidmap and --gidmap choose among them"},
	{"map-user map-group", unshare, "-r is root inside, -c the caller, -u UID:GID another of the box"},
	{"setuid S setgid G", unshare, "-u UID:GID is who runs the command"},
	{"setgroups", unshare, "nobox drops supplementary groups wherever the kernel lets it: leave it out"},
	{"propagation", unshare, "no mount goes from a box to the host, nor from the host to a box: leave it out"},
	{"keep-caps", unshare, "--cap-add CAP adds a capability to those of the command"},

	// docker and podman
	{"privileged", docker, "--cap-add, --device, --allow-userns and --security-opt each open one thing, of what the caller has"},
	{"net=bridge net=default net=private", docker, "--net=user, the default, is a network of the box's own with a way out"},
	{"userns=host userns=nomap userns=private", docker, "every box has a user namespace: -r and -c choose who one is in it"},
	{"entrypoint", docker, `the command stands behind "--"`},
	{"pull platform quiet q image-volume", docker, "nobox has no images: --rootfs DIR takes a tree that is unpacked"},
	{"restart", docker, "a box runs once: a loop of the shell's, or a service of systemd's, starts it again"},
	{"gpus", docker, "--device PATH shares a device, such as /dev/dri or /dev/nvidia0"},
	{"group-add", docker, "-u NAME has the groups that the box's /etc/group gives that user"},
	{"volumes-from", docker, "-v SRC:DST for each"},
	{"volume-driver", docker, "-v SRC:DST shares a directory of the host"},
	{"link", docker, "boxes do not share a network: -p publishes a port of the one, --host-port opens it to the other"},
	{"ip ip6 mac-address network-alias", docker, "the addresses of a box mean nothing outside of it: -p publishes its ports"},
	{"publish-all P", docker, "-p BOX publishes the port BOX of the box at a free one"},
	{"expose", docker, "-p publishes a port; nothing else has to be said of it"},
	{"shm-size", docker, "--tmpfs /dev/shm:size=SIZE"},
	{"cpu-shares", docker, "--cpu-weight N, of which 100 is the default"},
	{"cpu-quota cpu-period", docker, "--cpus N, such as 0.5"},
	{"cgroup-parent", docker, "--cgroup PATH is the cgroup in which the box's own is made"},
	{"log-driver log-opt", docker, "with -d the last 16 MiB of what the box writes are kept for nobox logs"},
	{"label l label-file annotation", docker, "--name NAME is what a box is found by"},
	{"cidfile pidfile", docker, "nobox inspect NAME tells about a box, --json-status-fd FD when it starts"},
	{"stop-signal", docker, "a box is told to end by TERM"},
	{"sysctl", docker, "the sysctls of a box's namespaces cannot be set"},
	{"domainname", docker, "--hostname NAME.DOMAIN"},
	{"dns-option dns-opt", docker, "--dns and --dns-search are what there is of resolv.conf"},
	{"oom-score-adj", docker, "choom -n N nobox ... sets it for what is in the box too"},
	{"sig-proxy", docker, "signals that end nobox go on to the command in any case"},
	{"attach", docker, "stdin, stdout and stderr are the caller's; with -d nobox attach has those of the box"},
	{"preserve-fds", podman, "--preserve-fd 3,4 names each descriptor"},
	{"umask", podman, "the umask of the caller holds in the box"},
	{"secret", podman, "-v FILE:/tmp/NAME:ro shares a file"},
	{"tz", podman, "-e TZ=ZONE"},
	{"http-proxy", podman, "-e http_proxy -e https_proxy -e no_proxy pass them on"},
	{"unsetenv-all", podman, "--clearenv keeps all of the caller's variables out"},
}

// otherVerbs are verbs that docker and podman have: a command may be called so
// as well. VERB/FLAG is a flag of a verb that nobox has too.
var otherVerbs = [...]other{
	{"run create start restart", docker, "a box is started without a verb: nobox [FLAGS] -- COMMAND"},
	{"kill", docker, "nobox stop --time 0 NAME"},
	{"top", docker, "nobox exec NAME -- ps aux"},
	{"images pull build load import", docker, "nobox has no images: --rootfs DIR takes a tree that is unpacked"},
	{"cp", docker, "-v SRC:DST shares files with a box"},
	{"rm/-f rm/--force", docker, "nobox stop --time 0 NAME ends it first"},
	{"ps/-q ps/-aq ps/-qa ps/--quiet ps/--format ps/--filter ps/-f inspect/-f inspect/--format", docker, "--json is for programs, such as jq"},
	{"logs/--tail logs/-n logs/--since logs/--timestamps logs/-t", docker, "nobox logs NAME | tail -n 10 has the last ten lines"},
}

// ofOthers finds what a name, or NAME=VALUE, is to others, nil for nothing.
func ofOthers(name string) *other { return among(others[:], name) }

func among(others []other, name string) *other {
	for i := range others {
		if slices.Contains(strings.Fields(others[i].names), name) {
			return &others[i]
		}
	}
	return nil
}

// meant gives an error of a flag the hint of what the same spelling is to
// others.
func meant(err error, name string) error {
	o := ofOthers(name)
	if c, ok := err.(cause); ok && o != nil && c.hint == "" {
		c.hint = o.instead
		return c
	}
	return err
}

// holds is the flag of another program's for what holds in every box: it can be
// given, and not be switched off. words are what it may be besides.
func (o *Invocation) holds(v string, words ...string) error {
	if slices.Contains(words, v) {
		return nil
	}
	var on bool
	if onOff(v, &on) != nil {
		return noOther(v)
	}
	return o.always(v, &on)
}

// holdsApart is holds of what the box has by its namespaces.
func (o *Invocation) holdsApart(v string, words ...string) error {
	o.apart = o.given
	return o.holds(v, words...)
}

// standsAt is the flag of another program's for a mount that every box has.
func (o *Invocation) standsAt(v, at string) error {
	dst, err := boxPath(v)
	if err != nil {
		return err
	}
	if dst != at {
		return elsewhere(at)
	}
	o.apart = o.given
	return nil
}
