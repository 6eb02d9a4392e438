package netstack

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"sync"
)

// resolvConf follows the servers that the host asks, as its resolv.conf(5) has
// them. That file may be a link into what systemd-resolved, NetworkManager or a
// VPN writes, and be replaced: it is looked at before each question.
type resolvConf struct {
	path string

	mu      sync.Mutex
	was     os.FileInfo
	servers []netip.AddrPort
}

// Servers are those in force, the first to be asked first.
func (r *resolvConf) Servers() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	st, err := os.Stat(r.path)
	if err != nil {
		r.servers = nil
		return defaultServers()
	}
	if r.servers != nil && os.SameFile(st, r.was) && st.ModTime().Equal(r.was.ModTime()) && st.Size() == r.was.Size() {
		return r.servers
	}
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrPermission) && r.servers != nil {
		// A link that leads elsewhere by now, where Landlock lets this process read
		// nothing.
		return r.servers
	}
	if err != nil || len(text) > 1<<20 {
		return defaultServers()
	}
	r.was, r.servers = st, parseResolvConf(string(text))
	return r.servers
}

// defaultServers is what resolv.conf(5) says where it names none.
func defaultServers() []netip.AddrPort {
	return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
}

// maxServers is MAXNS; resolv.conf(5).
const maxServers = 3

func parseResolvConf(text string) (servers []netip.AddrPort) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	if len(servers) == 0 {
		return defaultServers()
	}
	return servers
}
