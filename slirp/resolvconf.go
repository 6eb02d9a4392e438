package slirp

import "strings"

// HostName is what a box with a network in user space calls the host by.
const HostName = "host.nobox.internal"

// ResolvConf is the box's resolv.conf(5): the network's process is the one
// server, which asks those of the host, whichever they are at the time. The
// search list and the options are the host's, as they are now, unless there is
// a list of the box's own; "." is none.
func ResolvConf(host []byte, own []string) string {
	s := "nameserver " + DNSIPv4 + "\n"
	search, options := "", ""
	for line := range strings.Lines(string(host)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "search", "domain": // the last of them counts
			search = line
		case "options":
			options += line
		}
	}
	if len(own) > 0 {
		search = "search " + strings.Join(own, " ")
	}
	for _, line := range []string{search, options} {
		if line != "" && !strings.HasSuffix(line, "\n") {
			line += "\n"
		}
		s += line
	}
	return s
}
