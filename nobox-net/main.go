// Command nobox-net is the process of a box's network: the stack that the box's
// packets come to. nobox carries it and starts it (userns/network.go); it is of
// no use by itself.
package main

import (
	"os"

	"nobox/netstack"
)

func main() { os.Exit(netstack.Main(os.Args[1:])) }
