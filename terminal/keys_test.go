package terminal

import (
	"bytes"
	"testing"
)

func TestKeysAreReadAsDockerWritesThem(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"a", "a"}, {"ctrl-p,ctrl-q", "\x10\x11"}, {"CTRL-P,x", "\x10x"}, {"ctrl-[", "\x1b"}, {"ctrl-@", "\x00"}, {"ctrl-_,ctrl-\\", "\x1f\x1c"},
	} {
		if got, err := ParseKeys(c.text); err != nil || string(got) != c.want {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	for _, text := range []string{",", "a,", "ab", "ctrl-", "ctrl-1", "ctrl-ab", "alt-a", "é", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"} {
		if got, err := ParseKeys(text); err == nil {
			t.Errorf("%q was taken: %q", text, got)
		}
	}
}

// However what is typed comes apart, what stands before the keys goes on and
// nothing else does.
func FuzzKeysAreFoundWhereverReadsEnd(f *testing.F) {
	f.Add([]byte("a\x10b\x10\x11c"), []byte("\x10\x11"), byte(3))
	f.Add([]byte("aab"), []byte("ab"), byte(1))
	f.Add([]byte("aaab"), []byte("aab"), byte(1))
	f.Fuzz(func(t *testing.T, typed, word []byte, piece byte) {
		if len(word) > mostKeys {
			return
		}
		want, found := typed, false
		if i := bytes.Index(typed, word); i >= 0 && len(word) > 0 {
			want, found = typed[:i], true
		}
		k := keys{word: word}
		var got []byte
		all := false
		for rest := typed; len(rest) > 0 && !all; {
			n := min(int(piece)%7+1, len(rest))
			held := k.held
			b := make([]byte, held+n)
			copy(b[held:], rest[:n])
			rest = rest[n:]
			var out int
			out, all = k.filter(b, held, n)
			got = append(got, b[:out]...)
		}
		if !all {
			got = append(got, word[:k.held]...)
		}
		if all != found || !bytes.Equal(got, want) {
			t.Errorf("%q with %q: %q, %v", typed, word, got, all)
		}
	})
}
