package plan

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// longestName is NAME_MAX; limits.h.
const longestName = 255

// LayerName names the directory of a layer's changes, by its source; SourceOf
// is its inverse. It is one component of a path, "layer+home+ana"; of a long
// source it is several, of which all but the last begin with PartOfName.
func LayerName(source HostPath) string {
	var b strings.Builder
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
	name, rest := "", b.String()
	for len(layerPrefix)+len(rest) > longestName {
		cut := longestName - len(PartOfName)
		name, rest = name+PartOfName+rest[:cut]+"/", rest[cut:]
	}
	return name + layerPrefix + rest
}

const layerPrefix = "layer"

// PartOfName begins the name of a directory that holds layers of sources whose
// names begin with the rest of it.
const PartOfName = "part"

// SourceOf is what a directory of kept changes holds the changes of; false if nobox
// made no such name.
func SourceOf(name string) (HostPath, bool) {
	s, last := "", false
	for part := range strings.SplitSeq(name, "/") {
		if last {
			return "", false
		}
		rest, ok := strings.CutPrefix(part, PartOfName)
		if !ok {
			rest, last = strings.CutPrefix(part, layerPrefix)
		}
		s += rest
	}
	if s, ok := strings.CutPrefix(s, "+"); ok && last {
		return sourceOf(name, s)
	}
	return "", false
}

// sourceOf takes the escapes of LayerName back.
func sourceOf(name, s string) (HostPath, bool) {
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
