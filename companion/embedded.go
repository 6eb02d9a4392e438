//go:build companion

package companion

import _ "embed"

// Network is the program of the network's process, nobox-net, an ELF file.
//
//go:embed nobox-net
var Network string
