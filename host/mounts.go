package host

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// A Mount is one line of /proc/self/mountinfo; proc_pid_mountinfo(5).
type Mount struct {
	Device string        // major:minor of the file system
	Root   string        // the directory of that file system that is mounted
	Point  plan.HostPath // where
	Type   string        // "ntfs3, nocase" where names are mounted so
}

// Mounts are the host's, in the order in which they were made.
type Mounts []Mount

const mountinfoFile = "/proc/self/mountinfo"

// probeMounts reads what is mounted.
func (f *Facts) probeMounts() {
	text, err := readMounts()
	f.unseen(mountinfoFile, err)
	f.Mounts = parseMounts(text)
}

func readMounts() (string, error) {
	fd, err := unix.Open(mountinfoFile, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	buf := make([]byte, 0, 16<<10)
	for {
		if cap(buf)-len(buf) < 4096 {
			buf = append(make([]byte, 0, 4*cap(buf)), buf...)
		}
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", err
		}
		if n == 0 {
			return string(buf), nil
		}
		buf = buf[:len(buf)+n]
	}
}

// parseMounts reads lines of mountinfo, and leaves out what is none.
func parseMounts(s string) Mounts {
	out := make(Mounts, 0, strings.Count(s, "\n"))
	for line := range strings.Lines(s) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		var f [5]string
		rest, ok := line, true
		for i := range f {
			if f[i], rest, ok = strings.Cut(rest, " "); !ok {
				break
			}
		}
		_, typ, has := strings.Cut(rest, " - ")
		if !ok || !has || !strings.HasPrefix(f[4], "/") {
			continue
		}
		typ, more, _ := strings.Cut(typ, " ")
		// Whether an overlay can have it for a layer is a matter of that.
		if typ == "ntfs3" && strings.Contains(strings.TrimSpace(more)+",", ",nocase,") {
			typ = "ntfs3, nocase"
		}
		out = append(out, Mount{Device: f[2], Root: unescape(f[3]), Point: plan.HostPath(unescape(f[4])), Type: strings.TrimSpace(typ)})
	}
	return out
}

// unescape takes back the kernel's octal escapes of space, tab, newline and
// backslash; fs/proc_namespace.c.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// of is the mount that shows a path: the last made of those nearest above it.
func (ms Mounts) of(p plan.HostPath) (best int) {
	best = -1
	for i := range ms {
		if within(string(ms[i].Point), string(p)) && (best < 0 || len(ms[i].Point) >= len(ms[best].Point)) {
			best = i
		}
	}
	return best
}

// within says whether p is dir or below it.
func within(dir, p string) bool {
	return dir == "/" || p == dir || len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// join appends a path that starts with "/", or is empty, to a directory.
func join(dir, rel string) string {
	if dir == "/" && rel != "" {
		return rel
	}
	return dir + rel
}

// Names are all paths of the host that show what p shows, p first: a file
// system may be mounted more than once, and parts of it elsewhere (bind
// mounts).
//
// Preconditions: p is resolved.
func (ms Mounts) Names(p plan.HostPath) []plan.HostPath {
	names := []plan.HostPath{p}
	own := ms.of(p)
	if own < 0 {
		return names
	}
	m := &ms[own]
	rel := strings.TrimPrefix(string(p), strings.TrimSuffix(string(m.Point), "/"))
	inside := join(m.Root, rel) // where in its file system
	for i := range ms {
		o := &ms[i]
		if i == own || o.Device != m.Device || !within(o.Root, inside) {
			continue
		}
		name := plan.HostPath(join(string(o.Point), strings.TrimPrefix(inside, strings.TrimSuffix(o.Root, "/"))))
		if name != p && ms.of(name) == i { // not covered by another
			names = append(names, name)
		}
	}
	return names
}

// TypeOf is the type of the file system that a path lies on, "" if that is not
// known.
func (ms Mounts) TypeOf(p plan.HostPath) string {
	if i := ms.of(p); i >= 0 {
		return ms[i].Type
	}
	return ""
}

// Below are the mount points strictly below a directory, each once.
func (ms Mounts) Below(dir plan.HostPath) (out []plan.HostPath) {
	seen := map[plan.HostPath]bool{}
	for i := range ms {
		p := ms[i].Point
		if p != dir && within(string(dir), string(p)) && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}
