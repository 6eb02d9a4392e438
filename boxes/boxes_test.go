package boxes

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var me = uint32(os.Getuid())

func dir(t *testing.T) Dir { return Dir(filepath.Join(t.TempDir(), "nobox")) }

func entry(t *testing.T, name string) Entry {
	t.Helper()
	p, err := ProcessOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return Entry{Name: name, Nobox: p, Init: p, Since: time.Unix(1, 0).UTC(), Args: []Text{"--", "a\xff", "base64:x"}, Command: []Text{"a\xff"}, Cwd: "/srv"}
}

func TestANameIsHadByOneAndFreeAgainAfterwards(t *testing.T) {
	d := dir(t)
	c, err := d.Claim("one", me)
	if err != nil {
		t.Fatal(err)
	}
	want := entry(t, "one")
	if err := c.Say(want); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Claim("one", me); !errors.Is(err, ErrTaken) {
		t.Errorf("a second claim: %v", err)
	}
	if got, err := d.Find("one", me); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, %v, want %+v", got, err, want)
	}
	other, err := d.Claim("two", me)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := d.List(me, false); err != nil || len(all) != 1 { // two has not said what it is
		t.Errorf("listed %+v, %v", all, err)
	}
	other.Release()
	c.Release()
	if _, err := d.Find("one", me); !errors.Is(err, ErrNone) {
		t.Errorf("found after its end: %v", err)
	}
	if _, err := os.Stat(string(d)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %s, %v", d, err)
	}
}

func TestWhatAKilledOneLeftIsRemoved(t *testing.T) {
	d := dir(t)
	leave := func() {
		c, err := d.Claim("one", me)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Say(entry(t, "one")); err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(c.lock), "lock") // as the end of its process would
		f.Close()
	}
	leave()
	if all, err := d.List(me, false); err != nil || len(all) != 0 {
		t.Errorf("listed %+v, %v", all, err)
	}
	if _, err := os.Stat(string(d)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %s, %v", d, err)
	}
	leave()
	c, err := d.Claim("one", me)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(c.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the new one has what the old one said: %v", err)
	}
	c.Release()
}

func TestADirectoryThatOthersHaveAccessToIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o755, 0o770, 0o701} {
		d := dir(t)
		if err := os.Mkdir(string(d), 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chmod(string(d), mode)
		if _, err := d.Claim("one", me); err == nil {
			t.Errorf("%o: taken", mode)
		}
		if _, err := d.Find("one", me); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%o: looked into: %v", mode, err)
		}
	}
	d := dir(t)
	if err := os.Symlink(t.TempDir(), string(d)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Claim("one", me); err == nil {
		t.Error("a link: taken")
	}
	if got := Of(t.TempDir()+"/not-there", 0, 4294967294); got != "/tmp/nobox-4294967294" {
		t.Errorf("without a directory of the session: %s", got)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "web-1.x_y": true, "0": true, "": false, ".": false, "..": false, "-a": false, "a/b": false,
		"a b": false, "a\n": false, "é": false, "lock": true, string(make([]byte, 65)): false,
	} {
		if err := Valid(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAProcessIsKnownByMoreThanItsNumber(t *testing.T) {
	p, err := ProcessOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if fd, err := p.Open(); err != nil {
		t.Error(err)
	} else {
		os.NewFile(uintptr(fd), "").Close()
	}
	p.Started++
	if _, err := p.Open(); err == nil {
		t.Error("another process with the same number was opened")
	}
}

func FuzzATextIsTheSameAfterJSON(f *testing.F) {
	for _, s := range []string{"", "a", "a\xff\x00", "base64:", "base64:!", "\u2028\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal([]Text{Text(s)})
		if err != nil {
			t.Fatal(err)
		}
		var got []Text
		if err := json.Unmarshal(b, &got); err != nil || got[0] != Text(s) {
			t.Errorf("%q became %q by %s, %v", s, got, b, err)
		}
	})
}

// FuzzState reads any state of a box: it is one, and says the same again, or an error.
func FuzzState(f *testing.F) {
	for _, s := range []string{"", "{}", `{"name":"web","nobox":{"pid":1,"started":2},"args":["base64:/w=="],"ended":{"code":-1}}`, `{"args":["base64:!"]}`, "[", `{"since":"x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/state", text, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := read(dir)
		if err != nil {
			return
		}
		again, err := e.text()
		if err != nil {
			return // a time that JSON does not have
		}
		if err := os.WriteFile(dir+"/state", again, 0o600); err != nil {
			t.Fatal(err)
		}
		if other, err := read(dir); err != nil || !reflect.DeepEqual(e.Args, other.Args) || e.Nobox != other.Nobox || e.Cwd != other.Cwd {
			t.Fatalf("%+v, then %+v, %v", e, other, err)
		}
	})
}
