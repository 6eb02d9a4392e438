package cli

import (
	"errors"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nobox/idmap"
	"nobox/plan"
	"nobox/sandbox"
)

// onOff reads what stands behind the "=" of a switch; pflag fills in "true".
func onOff(v string, on *bool) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return notOneOf(v, boolWords)
	}
	*on = b
	return nil
}

// always is the switch of another program for what holds of every box: it can
// only be on.
func (o *Invocation) always(v string, on *bool) error {
	if err := onOff(v, on); err != nil {
		return err
	}
	if !*on {
		return alwaysSo()
	}
	return nil
}

// netSwitch chooses a network by a flag of its own.
func (o *Invocation) netSwitch(v string, net sandbox.Net) error {
	var on bool
	if err := o.always(v, &on); err != nil {
		return err
	}
	o.Options.Net, o.Options.NetNS, o.Options.NetFrom = net, "", o.given
	return nil
}

func share(v string, words []string, s *sandbox.Share) error {
	switch v {
	case "rw":
		*s = sandbox.ShareRW
	case "ro":
		*s = sandbox.ShareRO
	case "overlay":
		*s = sandbox.ShareOverlay
	case "hidden":
		*s = sandbox.ShareHidden
	default:
		return notOneOf(v, words)
	}
	return nil
}

// hostPath checks a path of the host. It stays as it was given: what it means
// depends on the directory nobox was started in, which is Probe's to read.
func hostPath(v string) error {
	if v == "" {
		return emptyPath()
	}
	// A shell leaves the ~ of --rootfs=~/x alone.
	if v == "~" || strings.HasPrefix(v, "~/") {
		return tilde(v)
	}
	return nil
}

// boxPath checks and cleans an absolute path inside.
func boxPath(v string) (string, error) {
	if v == "" {
		return "", emptyPath()
	}
	if v[0] != '/' {
		return "", notAbsolute(v)
	}
	return path.Clean(v), nil
}

// mountPoint is a boxPath that something else than the root can be mounted at.
func mountPoint(v string) (string, error) {
	p, err := boxPath(v)
	if err != nil {
		return "", err
	}
	if p == "/" {
		return "", mountAtRoot()
	}
	return p, nil
}

// bind reads SRC:DST[:OPTION,...]. Docker has no way to write a ":" of a path
// either.
func bind(v string) (sandbox.Bind, error) {
	var b sandbox.Bind
	part := strings.Split(v, ":")
	switch {
	case len(part) == 1:
		return b, noDestination(v)
	case len(part) > 3, len(part) == 3 && strings.Contains(part[2], "/"):
		return b, colonInPath()
	}
	src := part[0]
	if err := hostPath(src); err != nil {
		return b, err
	}
	if src != "." && src != ".." && !strings.Contains(src, "/") {
		return b, namedVolume(src)
	}
	dst, err := mountPoint(part[1])
	if err != nil {
		return b, rootAtRoot(src, part[1], err)
	}
	b.Source, b.Target = src, dst
	if len(part) == 2 {
		return b, nil
	}
	err = bindOptions(&b, part[2])
	return b, err
}

// bindOptions reads the options of a bind.
func bindOptions(b *sandbox.Bind, opts string) error {
	var seen [3]string
	for o := range strings.SplitSeq(opts, ",") {
		which := 0
		switch o {
		case "ro", "rw":
			b.ReadOnly = o == "ro"
		case "noexec", "exec":
			which, b.NoExec = 1, o == "noexec"
		case "bind", "rbind":
			which, b.Flat = 2, o == "bind"
		case "nosuid", "nodev", "private", "rprivate": // so it is in any case
			continue
		case "cached", "delegated", "consistent": // of Docker Desktop's; nothing with docker on Linux
			continue
		case "suid", "dev":
			return alwaysHolds("no" + o)
		case "shared", "rshared", "slave", "rslave":
			return noPropagation(o)
		case "z", "Z":
			return noRelabelling(o)
		case "U":
			return noChown(o)
		case "O":
			b.Overlay = true
		default:
			return notOneOf(o, []string{"ro", "rw", "O", "noexec", "exec", "bind", "rbind", "nosuid", "nodev"})
		}
		if seen[which] != "" && seen[which] != o {
			return contradiction(seen[which], o)
		}
		seen[which] = o
	}
	return nil
}

// overlayDir has the changes kept in a directory.
func (o *Invocation) overlayDir(v string) error {
	if err := hostPath(v); err != nil {
		return err
	}
	if old := o.Options.OverlayDir; old != "" && old != v {
		return contradiction(o.Options.OverlayDirFrom, o.given)
	}
	o.Options.OverlayDir, o.Options.OverlayDirFrom = v, o.given
	return nil
}

// bindTwo is a bind of two arguments.
func (o *Invocation) bindTwo(src string, readOnly, try bool) error {
	if err := hostPath(src); err != nil {
		return err
	}
	dst, err := mountPoint(o.second)
	if err != nil {
		return rootAtRoot(src, o.second, err)
	}
	o.Options.Binds = append(o.Options.Binds, sandbox.Bind{Source: src, Target: dst, ReadOnly: readOnly, Try: try, From: o.given})
	return nil
}

// mountKeys are the keys of --mount, with what they mean to nobox.
var mountKeys = [...]struct{ key, as string }{
	{"type", "type"}, {"source", "source"}, {"src", "source"}, {"target", "target"}, {"dst", "target"}, {"destination", "target"},
	{"readonly", "ro"}, {"ro", "ro"}, {"noexec", "noexec"}, {"nosuid", "nosuid"}, {"nodev", "nodev"}, {"bind-recursive", "bind-recursive"},
	{"rw", "ro"}, {"bind-nonrecursive", "bind-recursive"}, {"bind-propagation", "bind-propagation"}, {"consistency", "consistency"},
	{"tmpfs-size", "size"}, {"size", "size"}, {"tmpfs-mode", "mode"}, {"mode", "mode"},
}

// mount reads KEY=VALUE,... as docker and podman have it: one line of CSV.
func (o *Invocation) mount(v string) error {
	fields, err := splitFields(v)
	if err != nil {
		return err
	}
	m := map[string]string{}
	for _, field := range fields {
		key, val, pair := strings.Cut(field, "=")
		key = strings.ToLower(key)
		as := ""
		for _, k := range mountKeys {
			if k.key == key {
				as = k.as
			}
		}
		switch {
		case key == "relabel":
			return noRelabelling(field)
		case key == "chown" || key == "u":
			return noChown(field)
		case as == "":
			var keys []string
			for _, k := range mountKeys {
				keys = append(keys, k.key)
			}
			return unknownKey(key, keys)
		case as == "ro" || as == "noexec" || as == "nosuid" || as == "nodev":
			on := true
			if pair {
				if err := onOff(val, &on); err != nil {
					return err
				}
			}
			if !on && (as == "nosuid" || as == "nodev") {
				return alwaysHolds(as)
			}
			val = strconv.FormatBool(on != (key == "rw"))
		case key == "bind-nonrecursive":
			on := true
			if pair {
				if err := onOff(val, &on); err != nil {
					return err
				}
			}
			if val = "enabled"; on {
				val = "disabled"
			}
		case !pair || val == "":
			return notPair(field)
		}
		if old, twice := m[as]; twice && old != val {
			return contradiction(as+"="+old, field)
		}
		m[as] = val
	}
	typ := m["type"]
	if typ == "" {
		typ = "bind"
	}
	for _, k := range mountKeys {
		key := k.as
		if m[key] == "" {
			continue
		}
		fits := key == "type" || key == "target" || key == "consistency" || key == "ro" || key == "noexec" || key == "nosuid" || key == "nodev" ||
			(typ == "bind" || typ == "overlay") && (key == "source" || key == "bind-recursive" || key == "bind-propagation") || typ == "tmpfs" && (key == "size" || key == "mode")
		if (typ == "bind" || typ == "overlay" || typ == "tmpfs") && !fits {
			return notForType(key, typ)
		}
	}
	switch m["consistency"] {
	case "", "consistent", "cached", "delegated", "default": // nothing with docker on Linux
	default:
		return notOneOf(m["consistency"], []string{"consistent", "cached", "delegated", "default"})
	}
	switch m["bind-propagation"] {
	case "", "private", "rprivate": // so it is in any case
	case "shared", "rshared", "slave", "rslave":
		return noPropagation(m["bind-propagation"])
	default:
		return notOneOf(m["bind-propagation"], []string{"private", "rprivate"})
	}
	if typ == "volume" {
		return noVolumeType()
	}
	if m["target"] == "" {
		return missingKey("target")
	}
	dst, err := mountPoint(m["target"])
	if err != nil {
		return err
	}
	switch typ {
	case "bind", "overlay":
		if m["source"] == "" {
			return missingKey("source")
		}
		if err := hostPath(m["source"]); err != nil {
			return err
		}
		b := sandbox.Bind{Source: m["source"], Target: dst, ReadOnly: m["ro"] == "true", NoExec: m["noexec"] == "true", Overlay: typ == "overlay", From: o.given}
		if b.Overlay && b.ReadOnly {
			return contradiction("type=overlay", "readonly")
		}
		switch m["bind-recursive"] {
		case "", "enabled":
		case "disabled":
			b.Flat = true
		case "readonly": // what readonly says here in any case
			if !b.ReadOnly {
				return needsReadOnly()
			}
		case "writable":
			if b.ReadOnly {
				return noWritableBelow()
			}
		default:
			return notOneOf(m["bind-recursive"], []string{"enabled", "disabled", "readonly"})
		}
		o.Options.Binds = append(o.Options.Binds, b)
	case "tmpfs":
		t := sandbox.Tmpfs{Target: dst, From: o.given}
		t.Options.ReadOnly, t.Options.NoExec = m["ro"] == "true", m["noexec"] == "true"
		if m["size"] != "" {
			if t.Size, err = size(m["size"]); err != nil {
				return err
			}
		}
		if m["mode"] != "" {
			if t.Mode, err = fileMode(m["mode"]); err != nil {
				return err
			}
		}
		o.Options.Tmpfs = append(o.Options.Tmpfs, t)
	default:
		return notOneOf(typ, []string{"bind", "tmpfs", "overlay"})
	}
	return nil
}

// splitFields splits a line of comma-separated fields; one in double quotes
// may have commas in it, and "" in such a one is a double quote; RFC 4180.
func splitFields(v string) (fields []string, err error) {
	for {
		if !strings.HasPrefix(v, `"`) {
			field, rest, more := strings.Cut(v, ",")
			fields = append(fields, field)
			if !more {
				return fields, nil
			}
			v = rest
			continue
		}
		var b strings.Builder
		v = v[1:]
		for {
			part, rest, closed := strings.Cut(v, `"`)
			if !closed {
				return nil, causef("a double quote is not closed")
			}
			b.WriteString(part)
			if v = rest; !strings.HasPrefix(v, `"`) {
				break
			}
			b.WriteByte('"')
			v = v[1:]
		}
		fields = append(fields, b.String())
		if v == "" {
			return fields, nil
		}
		if v[0] != ',' {
			return nil, causef("behind a double quote there is no comma")
		}
		v = v[1:]
	}
}

// tmpfs reads DST[:OPTION,...].
func tmpfs(v string) (sandbox.Tmpfs, error) {
	var t sandbox.Tmpfs
	dst, opts, more := strings.Cut(v, ":")
	var err error
	if t.Target, err = mountPoint(dst); err != nil {
		return t, err
	}
	if !more {
		return t, nil
	}
	var seen [4]string // the option each of the four settings came from
	once := func(i int, o string) error {
		if seen[i] != "" && seen[i] != o {
			return contradiction(seen[i], o)
		}
		seen[i] = o
		return nil
	}
	for o := range strings.SplitSeq(opts, ",") {
		key, val, hasVal := strings.Cut(o, "=")
		switch {
		case o == "ro", o == "rw":
			err = once(0, o)
			t.Options.ReadOnly = o == "ro"
		case o == "noexec", o == "exec":
			err = once(1, o)
			t.Options.NoExec = o == "noexec"
		case key == "size" && hasVal:
			if err = once(2, o); err == nil {
				t.Size, err = size(val)
			}
		case key == "mode" && hasVal:
			if err = once(3, o); err == nil {
				t.Mode, err = fileMode(val)
			}
		case o == "nosuid", o == "nodev": // so it is in any case
		default:
			err = notOneOf(o, []string{"size=", "mode=", "ro", "rw", "noexec", "exec", "nosuid", "nodev"})
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// size reads a number of bytes with docker's suffixes, powers of 1024: 512,
// 64k, 1.5g, 10MiB. 0 is refused, for tmpfs(5) takes it for "no limit".
func size(v string) (uint64, error) {
	num := strings.TrimRight(v, "bBiIkKmMgGtTpP")
	shift := 0
	switch unit := strings.ToLower(v[len(num):]); unit {
	case "", "b":
	case "k", "kb", "kib":
		shift = 10
	case "m", "mb", "mib":
		shift = 20
	case "g", "gb", "gib":
		shift = 30
	case "t", "tb", "tib":
		shift = 40
	case "p", "pb", "pib":
		shift = 50
	default:
		return 0, notSize(v)
	}
	whole, frac, dot := strings.Cut(num, ".")
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > math.MaxUint64>>shift || dot && (frac == "" || shift == 0 || len(frac) > 6) {
		return 0, notSize(v)
	}
	n <<= shift
	if dot {
		f, err := strconv.ParseUint(frac, 10, 32)
		if err != nil {
			return 0, notSize(v)
		}
		pow := uint64(1)
		for range len(frac) {
			pow *= 10
		}
		// f < 10^6 and shift ≤ 50: split the product so that it cannot overflow.
		unit := uint64(1) << shift
		n += f*(unit/pow) + f*(unit%pow)/pow
	}
	if n == 0 {
		return 0, &zero{zeroSize()}
	}
	return n, nil
}

// zero is the error of a size of 0, which means something else elsewhere.
type zero struct{ error }

func (z *zero) Unwrap() error { return z.error }

// memorySize is a size that a cgroup's memory can be limited to.
func memorySize(v string) (uint64, error) {
	n, err := size(v)
	switch {
	case errors.As(err, new(*zero)):
		return 0, zeroMemory()
	case err != nil:
		return 0, err
	case n < leastMemory:
		return 0, littleMemory(v)
	case n > math.MaxInt64:
		return 0, notSize(v)
	}
	return n, nil
}

// leastMemory is docker's: with less nothing runs.
const leastMemory = 6 << 20

// cpus reads a number of CPUs, in hundred-thousandths. The least is what the
// kernel takes, 1 ms in 100 ms; cgroup-v2.rst, cpu.max.
func cpus(v string) (uint64, error) {
	whole, frac, dot := strings.Cut(v, ".")
	if whole == "" {
		whole = "0"
	}
	n, err := strconv.ParseUint(whole, 10, 16)
	if err != nil || v == "" || v == "." || dot && frac == "" || len(frac) > 5 || strings.Trim(frac, "0123456789") != "" {
		return 0, notCPUs(v)
	}
	f, _ := strconv.ParseUint((frac + "00000")[:5], 10, 32)
	n = n*100000 + f
	if n < 1000 {
		return 0, notCPUs(v)
	}
	return n, nil
}

// within reads a number from least to most.
func within(v string, least, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n < least || n > most {
		return 0, notWithin(v, least, most)
	}
	return n, nil
}

// cpuList checks a list of CPUs.
func cpuList(v string) error {
	if _, err := sandbox.ParseCPUs(v); err != nil {
		return notCPUList(v)
	}
	return nil
}

// deviceLimit reads PATH:RATE. A path may hold ":", a rate does not.
func deviceLimit(v, key string) (sandbox.DeviceLimit, error) {
	i := strings.LastIndexByte(v, ':')
	if i <= 0 || i == len(v)-1 {
		return sandbox.DeviceLimit{}, noRate(key)
	}
	d := sandbox.DeviceLimit{Path: v[:i], Key: key}
	if err := hostPath(d.Path); err != nil {
		return d, err
	}
	var err error
	if strings.HasSuffix(key, "iops") {
		d.Rate, err = within(v[i+1:], 1, math.MaxUint32)
	} else if d.Rate, err = size(v[i+1:]); errors.As(err, new(*zero)) {
		err = notWithin(v[i+1:], 1, math.MaxInt64)
	}
	return d, err
}

// cgroupPlace checks where a cgroup is to come from.
func cgroupPlace(v string) error {
	switch {
	case v == "auto" || v == "systemd" || v == "off":
		return nil
	case len(v) > 1 && v[0] == '/' && path.Clean(v) == v:
		return nil
	}
	return notCgroup(v)
}

// fileMode reads an octal mode. 0 is refused: Options take it for the default.
func fileMode(v string) (uint32, error) {
	m, err := strconv.ParseUint(v, 8, 32)
	if err != nil || m == 0 || m > 0o7777 {
		return 0, notMode(v)
	}
	return uint32(m), nil
}

// variableName checks the name of a variable whose value is not behind it.
func variableName(v string) error {
	switch {
	case v == "":
		return noName()
	case strings.Contains(v, "="):
		return equalsInName()
	}
	return nil
}

// variable reads K=V, or K for the caller's.
func variable(v string) (sandbox.EnvVar, error) {
	name, val, set := strings.Cut(v, "=")
	if name == "" {
		return sandbox.EnvVar{}, noName()
	}
	return sandbox.EnvVar{Name: name, Value: val, FromCaller: !set}, nil
}

// hostname checks a host name as sethostname(2) and /etc/hosts can hold it.
func hostname(v string) error {
	if v == "" {
		return emptyName()
	}
	if len(v) > 64 { // HOST_NAME_MAX, linux/utsname.h
		return longHostname(len(v))
	}
	for i := range len(v) {
		c := v[i]
		edge := i == 0 || i == len(v)-1
		if !isAlnum(c) && (edge || c != '-' && c != '.') && c != '_' {
			return badHostname(v)
		}
	}
	return nil
}

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// duration reads seconds, as podman's --timeout has them, or Go's durations.
func duration(v string) (time.Duration, error) {
	s := v
	if strings.Trim(v, "0123456789.") == "" {
		s += "s"
	}
	// time.ParseDuration takes a sign, and what rounds to nothing.
	if v == "" || v[0] == '+' || v[0] == '-' {
		return 0, notDuration(v)
	}
	d, err := time.ParseDuration(s)
	if err != nil || d == 0 && strings.ContainsAny(v, "123456789") {
		return 0, notDuration(v)
	}
	return d, nil
}

// limits are the resource limits under docker's names; getrlimit(2).
var limits = [...]struct {
	name     string
	resource int
}{
	{"as", unix.RLIMIT_AS}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU},
	{"data", unix.RLIMIT_DATA}, {"fsize", unix.RLIMIT_FSIZE}, {"locks", unix.RLIMIT_LOCKS},
	{"memlock", unix.RLIMIT_MEMLOCK}, {"msgqueue", unix.RLIMIT_MSGQUEUE},
	{"nice", unix.RLIMIT_NICE}, {"nofile", unix.RLIMIT_NOFILE}, {"nproc", unix.RLIMIT_NPROC},
	{"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO}, {"rttime", unix.RLIMIT_RTTIME},
	{"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK},
}

// limitNames are the names alone.
func limitNames() []string {
	s := make([]string, len(limits))
	for i, l := range limits {
		s[i] = l.name
	}
	return s
}

// ulimit reads NAME=SOFT[:HARD].
func ulimit(v string) (sandbox.Ulimit, error) {
	u := sandbox.Ulimit{Resource: -1}
	var lim string
	var has bool
	u.Name, lim, has = strings.Cut(v, "=")
	for _, l := range limits {
		if l.name == u.Name {
			u.Resource = l.resource
		}
	}
	if u.Resource < 0 {
		return u, notLimit(u.Name)
	}
	if !has {
		return u, noLimitValue(u.Name)
	}
	soft, hard, two := strings.Cut(lim, ":")
	if !two {
		hard = soft
	}
	var err error
	if u.Soft, err = limitValue(soft); err != nil {
		return u, err
	}
	if u.Hard, err = limitValue(hard); err != nil {
		return u, err
	}
	if u.Soft > u.Hard {
		return u, softAboveHard(soft, hard)
	}
	return u, nil
}

// limitValue reads one limit. RLIM_INFINITY, 2^64-1, is spelled "unlimited".
func limitValue(v string) (uint64, error) {
	if v == "unlimited" || v == "-1" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n == math.MaxUint64 {
		return 0, notLimitValue(v)
	}
	return n, nil
}

// user checks UID|NAME[:GID|GROUP]. Names are looked up later, in the box.
func user(v string) error {
	u, g, has := strings.Cut(v, ":")
	if err := idOrName(u, "uid", "user"); err != nil {
		return err
	}
	if has {
		return idOrName(g, "gid", "group")
	}
	return nil
}

// idOrName checks one id or name. What starts with a digit is an id and
// nothing else: a lenient reading of it has run commands as another user
// (CVE-2026-30892). 2^32-1 is "no id" to the kernel; setresuid(2).
func idOrName(v, id, name string) error {
	if v == "" {
		return noUser(id, name)
	}
	if isDigit(v[0]) {
		if n, err := strconv.ParseUint(v, 10, 32); err != nil || n == math.MaxUint32 {
			return notID(v, id)
		}
		return nil
	}
	for i := range len(v) {
		c := v[i]
		if isLetter(c) || c == '_' || c >= 0x80 ||
			i > 0 && (isDigit(c) || strings.IndexByte("-.$@+\\", c) >= 0) {
			continue
		}
		return notUser(v, id, name)
	}
	return nil
}

// mapRequest reads C:H[:N].
func mapRequest(flag, v string) (sandbox.MapRequest, error) {
	m, err := idmap.ParseManual(flag, v)
	if err != nil {
		var e *idmap.Error
		if errors.As(err, &e) {
			err = cause{text: e.Cause, hint: e.Remedy}
		}
		return sandbox.MapRequest{}, err
	}
	return sandbox.MapRequest{Box: m.Box, Host: m.Host, Count: m.Count, Absolute: m.Absolute, From: m.From}, nil
}

// descriptor reads the number of an open file. 0 is the command's stdin.
func descriptor(v string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n == 0 {
		return 0, notDescriptor(v)
	}
	return int(n), nil
}

// caps reads capabilities, separated by commas.
func (o *Invocation) caps(v string, to *[]sandbox.CapRequest) error {
	for name := range strings.SplitSeq(v, ",") {
		r := sandbox.CapRequest{From: o.given}
		if strings.EqualFold(name, "all") {
			r.All = true
		} else if n, ok := plan.CapNumber(name); ok {
			r.Cap = n
		} else {
			return notCapability(name)
		}
		*to = append(*to, r)
	}
	return nil
}

// preserve reads descriptors, separated by commas.
func (o *Invocation) preserve(v string) error {
	for n := range strings.SplitSeq(v, ",") {
		fd, err := strconv.ParseUint(n, 10, 31)
		if err != nil || fd < 3 {
			return notPreservable(n)
		}
		o.Options.PreserveFDs = append(o.Options.PreserveFDs, sandbox.FD{FD: int(fd), From: o.given})
	}
	return nil
}

// securityOpt reads what docker's flag of the name takes, as far as nobox has
// it.
func (o *Invocation) securityOpt(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if i := strings.IndexByte(name, ':'); i >= 0 {
		name, value, ok = v[:i], v[i+1:], true // docker's older spelling
	}
	switch name {
	case "no-new-privileges":
		on := true
		if ok {
			if err := onOff(value, &on); err != nil {
				return err
			}
		}
		if !on {
			return alwaysHolds(name)
		}
		return nil
	case "systempaths", "unmask": // docker's word, and podman's
		switch {
		case name == "systempaths" && value == "unconfined", name == "unmask" && strings.EqualFold(value, "all"):
			o.Options.Unmask = o.given
			return nil
		}
		return notUnmask(name)
	case "label", "apparmor": // nobox has neither for a box
		if v := name + "=" + value; v == "label=disable" || v == "apparmor=unconfined" {
			return nil
		}
	case "seccomp":
		s := sandbox.Seccomp{From: o.given}
		switch value {
		case "":
			return noSeccompFile()
		case "unconfined":
			s.Unconfined = true
		case "default", "builtin":
			s = sandbox.Seccomp{}
		default:
			text, err := o.readFile(value)
			if err != nil {
				return err
			}
			if text == nil {
				text = []byte{}
			}
			s.Profile = text
		}
		o.Options.Seccomp = s
		return nil
	}
	return notSecurityOpt(name)
}

// tcpPorts appends the ports of a list.
func tcpPorts(v string, least uint64, to *[]uint16) error {
	for _, s := range strings.Split(v, ",") {
		p, err := strconv.ParseUint(s, 10, 16)
		if err != nil || p < least {
			return errors.New("a port is a number from " + strconv.FormatUint(least, 10) + " to 65535")
		}
		*to = append(*to, uint16(p))
	}
	return nil
}
