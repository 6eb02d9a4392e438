package plan

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// LayerName names the directory of a layer's changes, by its source; SourceOf
// is its inverse. It is one component of a path.
func LayerName(source HostPath) string {
	var b strings.Builder
	b.WriteString("layer")
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '/':
			b.WriteByte('+')
		case c == '+' || c == '%':
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// SourceOf is what a directory of kept changes holds the changes of; false if nobox
// made no such name.
func SourceOf(name string) (HostPath, bool) {
	s, ok := strings.CutPrefix(name, "layer+")
	if !ok {
		return "", false
	}
	b := []byte{'/'}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, '/')
		case s[i] == '%' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b = append(b, byte(n))
			i += 2
		case s[i] == '%':
			return "", false
		default:
			b = append(b, s[i])
		}
	}
	p := HostPath(b)
	if path.Clean(string(p)) != string(p) || LayerName(p) != name {
		return "", false
	}
	return p, true
}
