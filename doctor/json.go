package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSON is the lines for tools: {"works": …, "lines": [{"name", "state", "what",
// "cause", "remedy"}]}. A state is works, less or cannot. No encoding/json,
// which nobox itself does without.
func JSON(mainJob bool, ls []Line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\"works\":%v,\"lines\":[", mainJob)
	for i, l := range ls {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n{\"name\":" + quote(l.Name) + ",\"state\":" + quote([...]string{"works", "less", "cannot"}[l.State]) +
			",\"what\":" + quote(l.What) + ",\"cause\":" + quote(l.Cause) + ",\"remedy\":[")
		for j, r := range l.Remedy {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(r))
		}
		b.WriteString("]}")
	}
	b.WriteString("\n]}\n")
	return b.String()
}

// quote makes a JSON string; RFC 8259.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			b.WriteString(`\u00` + strconv.FormatInt(int64(r)>>4, 16) + strconv.FormatInt(int64(r)&15, 16))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
