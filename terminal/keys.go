package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// keys finds a word among what is typed.
type keys struct {
	word []byte
	held int // how much of it was typed last, and is held back until more is
}

// filter is given a buffer with room for what is held back, from there on n bytes
// that were typed. What of both is to go on stands in front when it returns; all
// says that the word was typed, and what came behind it is dropped.
func (k *keys) filter(b []byte, held, n int) (out int, all bool) {
	if len(k.word) == 0 {
		return n, false
	}
	copy(b, k.word[:held])
	typed := b[:held+n]
	if i := bytes.Index(typed, k.word); i >= 0 {
		k.held = 0
		return i, true
	}
	for k.held = min(len(k.word)-1, len(typed)); !bytes.HasSuffix(typed, k.word[:k.held]); k.held-- {
	}
	return len(typed) - k.held, false
}

// mostKeys is more than anybody types, and less than a read.
const mostKeys = 16

// ParseKeys reads keys as docker and podman write them: "ctrl-p,ctrl-q", "a,b",
// "ctrl-[". Without any there are none.
func ParseKeys(s string) (word []byte, err error) {
	if s == "" {
		return nil, nil
	}
	for _, key := range strings.Split(s, ",") {
		c, control := strings.CutPrefix(strings.ToLower(key), "ctrl-")
		switch {
		case !control && len(key) == 1:
			word = append(word, key[0])
		case control && len(c) == 1 && (c[0] >= 'a' && c[0] <= 'z' || strings.IndexByte(`@[\]^_`, c[0]) >= 0):
			word = append(word, c[0]&0x1f)
		default:
			return nil, fmt.Errorf(`%q is no key: one is a character, or "ctrl-" and a letter or one of @ [ \ ] ^ _`, key)
		}
	}
	if len(word) > mostKeys {
		return nil, errors.New("they are too many")
	}
	return word, nil
}
