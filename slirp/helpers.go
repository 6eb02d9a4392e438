package slirp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/host"
	"nobox/plan"
)

// helperDevice is the box's device where a helper makes it.
const helperDevice = "tap0"

// helperMTU is what both programs are fast with: they have no segments larger
// than a packet.
const helperMTU = 65520

// What a box must not reach by a helper, and would: what the helper is asked to
// send to these addresses it sends to the host's own. Within a program's reach
// is that by SO_BINDTODEVICE alone, without a privilege; docs/adr/0015.
var (
	keptIPv4 = []string{"127.0.0.0/8", "169.254.0.0/16"}
	keptIPv6 = []string{"::1/128"}
)

// HelperName is the program that a mode needs, "" if none.
func (m Mode) HelperName() string {
	switch m {
	case Pasta:
		return "pasta"
	case Slirp4netns:
		return "slirp4netns"
	}
	return ""
}

// slirpFloor is the first version whose sandbox and seccomp filter were no
// longer being built.
var slirpFloor = [2]int{1, 0}

// pastaFloor is the oldest pasta that this was tried with, by the date it has
// for a version.
const pastaFloor = "2023_03_09"

// what the arguments below need a program to know.
var (
	slirpNeeds = []string{"--configure", "--mtu", "--disable-host-loopback", "--enable-ipv6", "--enable-sandbox", "--enable-seccomp", "--ready-fd", "--exit-fd"}
	pastaNeeds = []string{"--foreground", "--quiet", "--config-net", "--ns-ifname", "--pid", "--mtu", "--tcp-ports", "--udp-ports",
		"--tcp-ns", "--udp-ns", "--no-map-gw", "--dns-forward"}
)

// Unfit is why the program that a mode needs cannot serve, nil if it can. The
// hint is what to do.
func (m Mode) Unfit(t host.Tool) (hint string, cause error) {
	name := m.HelperName()
	pkg := name
	if m == Pasta {
		pkg = "passt"
	}
	switch {
	case name == "":
		return "", nil
	case t.Path == "":
		return "sudo apt-get install " + pkg + ", or the package of that name elsewhere; --net=user needs no program", fmt.Errorf("there is no %s on this machine", name)
	case t.Err != nil:
		return "", fmt.Errorf("%s says nothing of itself: %w", plan.Quote(string(t.Path)), t.Err)
	}
	needs := slirpNeeds
	if m == Pasta {
		needs = pastaNeeds
		if v := pastaVersion(t.Version); v != "" && v < pastaFloor {
			return "", fmt.Errorf("%s is of %s, and nobox needs one of %s or later", plan.Quote(string(t.Path)), v, pastaFloor)
		}
	} else {
		v, ok := slirpVersion(t.Version)
		if !ok {
			return "", fmt.Errorf("%s does not say its version", plan.Quote(string(t.Path)))
		}
		if v[0] < slirpFloor[0] || v[0] == slirpFloor[0] && v[1] < slirpFloor[1] {
			return "", fmt.Errorf("%s is version %d.%d, and nobox needs %d.%d or later", plan.Quote(string(t.Path)), v[0], v[1], slirpFloor[0], slirpFloor[1])
		}
		if !strings.Contains(t.Version, "libseccomp") {
			return "", errors.New(plan.Quote(string(t.Path)) + " was built without libseccomp, and would run unconfined")
		}
	}
	var missing []string
	for _, n := range needs {
		if !hasOption(t.Help, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("%s does not know %s", plan.Quote(string(t.Path)), strings.Join(missing, ", "))
	}
	return "", nil
}

// hasOption says whether a program's help lists an option.
func hasOption(help, option string) bool {
	for rest := help; ; {
		i := strings.Index(rest, option)
		if i < 0 {
			return false
		}
		rest = rest[i+len(option):]
		if rest == "" || strings.IndexByte(" =,\t\n[", rest[0]) >= 0 {
			return true
		}
	}
}

// slirpVersion reads "slirp4netns version 1.2.0".
func slirpVersion(s string) (v [2]int, ok bool) {
	_, rest, found := strings.Cut(s, "slirp4netns version ")
	if !found {
		return v, false
	}
	f := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if len(f) < 2 || rest[0] < '0' || rest[0] > '9' {
		return v, false
	}
	var err [2]error
	v[0], err[0] = strconv.Atoi(f[0])
	v[1], err[1] = strconv.Atoi(f[1])
	return v, err[0] == nil && err[1] == nil
}

// pastaVersion reads the date out of "pasta 2023_03_09.7c7625d" and "pasta
// 0.0~git20230309.7c7625d-1", as YYYY_MM_DD. Debian 12's says "unknown version":
// then it is "", and the options decide.
func pastaVersion(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	digits := strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, line)
	for i := 0; i+8 <= len(digits); i++ {
		d := digits[i : i+8]
		if strings.HasPrefix(d, "20") && strings.Trim(d, "0123456789") == "" {
			return d[:4] + "_" + d[4:6] + "_" + d[6:]
		}
	}
	return ""
}

// helperArgs are the arguments of the mode's program.
func (m Mode) helperArgs() []string {
	mtu := strconv.Itoa(helperMTU)
	if m == Slirp4netns {
		return []string{"--configure", "--mtu=" + mtu, "--enable-ipv6", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp",
			"--ready-fd=" + strconv.Itoa(plan.HelperReady), "--exit-fd=" + strconv.Itoa(plan.HelperExit), plan.BoxPID, helperDevice}
	}
	// pasta is always confined; in the foreground it is a child that can be
	// waited for. Its pid file is how it says that it is ready: stdout, since
	// later ones close every descriptor above 2 first.
	return []string{"--foreground", "--quiet", "--config-net", "--ns-ifname", helperDevice, "--mtu", mtu,
		"--pid", "/dev/fd/" + strconv.Itoa(unix.Stdout), "--no-map-gw", "--tcp-ports", "none", "--udp-ports", "none",
		"--tcp-ns", "none", "--udp-ns", "none", "--dns-forward", DNSIPv4, plan.BoxPID}
}

func (m Mode) helperReady() int {
	if m == Pasta {
		return unix.Stdout
	}
	return plan.HelperReady
}

// helper has a program of the host's make the box's network. What it takes and
// what the forwarder takes are the same: the namespaces.
func (n Network) helper(b *plan.Builder, f *host.Facts) {
	b.Inside(n.From, "", plan.LoopbackUp{})
	b.Inside(n.From, "root inside has no CAP_NET_RAW in this network", plan.PingGroups(n.Pingers))
}

// Ready appends what is left to do inside once the host side is ready, while the
// inside still may.
func (n Network) Ready(b *plan.Builder, f *host.Facts) {
	if n.Mode.HelperName() == "" {
		return
	}
	why := "they would be the host's own"
	b.Inside(n.From, why, plan.LocalRoutes{Device: helperDevice, Prefixes: keptIPv4})
	if f.Has(plan.FactIPv6) {
		b.Inside(n.From, why, plan.LocalRoutes{Device: helperDevice, Prefixes: keptIPv6}).Needs = plan.FactIPv6
	}
}
