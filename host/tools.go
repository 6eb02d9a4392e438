package host

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"time"

	"nobox/plan"
)

// A Tool is a program of the host's that a box needs, and what it says of
// itself.
type Tool struct {
	Path    plan.HostPath // "" if there is none
	Version string        // what --version prints
	Help    string        // what --help prints
	Err     error         // why it says nothing
}

// toolPatience is how long a program may take to say what it is.
const toolPatience = 5 * time.Second

// tool finds a program and asks it, both questions at a time. The exit code
// says nothing: of some --help is a usage error.
func tool(name string) Tool {
	m := machine{path: os.Getenv("PATH"), places: usualPlaces}
	path := m.find(name)
	if path == "" {
		return Tool{}
	}
	t := Tool{Path: plan.HostPath(path)}
	ctx, cancel := context.WithTimeout(context.Background(), toolPatience)
	defer cancel()
	ask := func(arg string) *exec.Cmd {
		c := exec.CommandContext(ctx, path, arg)
		c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		c.Dir = "/"
		c.WaitDelay = 100 * time.Millisecond
		c.Stdout = &bytes.Buffer{}
		c.Stderr = c.Stdout
		return c
	}
	version, help := ask("--version"), ask("--help")
	if t.Err = version.Start(); t.Err != nil {
		return t
	}
	if t.Err = help.Start(); t.Err == nil {
		help.Wait()
	}
	version.Wait()
	if ctx.Err() != nil {
		t.Err = errNoAnswer
	}
	t.Version = version.Stdout.(*bytes.Buffer).String()
	t.Help = help.Stdout.(*bytes.Buffer).String()
	return t
}

// ipv6Loopback says whether ::1 is an address of this machine.
func ipv6Loopback() bool {
	b, _ := ReadFile("/proc/net/if_inet6")
	return bytes.Contains(b, []byte("00000000000000000000000000000001"))
}
