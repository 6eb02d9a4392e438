// The runtime would ask each second how many threads it may have: nobox itself
// needs one. What it reads at its start to find out it cannot: package caller.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command nobox runs a command in a box: its own namespaces, root, ids and
// network, for an ordinary user, with no daemon and nothing setuid of its own.
package main

import (
	"os"

	"nobox/cli"
	"nobox/ports"
)

// The kernel kills the box when the thread that made it ends (prctl(2),
// PR_SET_PDEATHSIG): all is done on the main thread, which lives as long as
// the process. The runtime keeps the main goroutine on it while init functions
// run; runtime.LockOSThread would do the same for main, and start one more
// thread for it.
func init() {
	if code := cli.CheckPrivileges(); code != 0 {
		os.Exit(code)
	}
	if len(os.Args) > 0 && os.Args[0] == ports.Name { // nobox started it so
		cli.ConfineForwarder()
		os.Exit(ports.Main(os.Args[1:]))
	}
	os.Exit(cli.Main(os.Args[1:]))
}

func main() {}
