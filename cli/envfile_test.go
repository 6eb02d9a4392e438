package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nobox/sandbox"
)

func TestEnvFileIsReadAsDockerDoes(t *testing.T) {
	type vars = []sandbox.EnvVar
	kv := func(n, v, at string) sandbox.EnvVar {
		return sandbox.EnvVar{Name: n, Value: v, From: "--env-file f:" + at}
	}
	for _, c := range []struct {
		text string
		want vars
	}{
		{"", nil},
		{"\n\n# A=B\n  # C\n", nil},
		{"A=B", vars{kv("A", "B", "1")}},
		{"A=B\n", vars{kv("A", "B", "1")}},
		{"\ufeffA=B\r\nC=D\r\n", vars{kv("A", "B", "1"), kv("C", "D", "2")}},
		{"\n \tA= x y \t\n", vars{kv("A", " x y \t", "2")}},
		{`A="x" # y`, vars{kv("A", `"x" # y`, "1")}},
		{"A=\nA==\nA=B=C", vars{kv("A", "", "1"), kv("A", "=", "2"), kv("A", "B=C", "3")}},
		{"A\xff=\xfe", vars{kv("A\xff", "\xfe", "1")}},
		{"PASSED\nA.b-c=1", vars{{Name: "PASSED", FromCaller: true, From: "--env-file f:1"}, kv("A.b-c", "1", "2")}},
	} {
		got, err := envFile("f", "--env-file", []byte(c.text))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q:\ngot  %+v, %v\nwant %+v", c.text, got, err, c.want)
		}
	}
}

func TestEnvFileMistakesNameTheLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"A=B\n\n=C", "f:3: the name of the variable is missing: K=V"},
		{"A=B\nsecret word", "f:2: there is a space in the name of the variable"},
		{"A =B", "f:1: there is a space in the name of the variable"},
		{"# x\nexport A=B", `f:2: there is a space in the name of the variable; the file is no shell script: leave "export" and the quotes out`},
		{"A=B\nC=\x00", "f:2: there is a NUL byte in the line; the file must not be UTF-16"},
	} {
		got, err := envFile("f", "--env-file", []byte(c.text))
		if got != nil || err == nil {
			t.Errorf("%q: %+v, %v", c.text, got, err)
			continue
		}
		text := err.Error()
		if h := err.(cause).hint; h != "" {
			text += "; " + h
		}
		if text != c.want {
			t.Errorf("%q: %s", c.text, text)
		}
	}
}

func TestEnvFileYieldsToEnv(t *testing.T) {
	files := map[string]string{"f": "A=1\nB=1\n", "g": "B=2\n"}
	read := func(n string) ([]byte, error) { return []byte(files[n]), nil }
	o, err := parse(line("-e A=3 --env-file f --env-file=g -e C=3"), read)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range o.Options.Env {
		got = append(got, e.Name+"="+e.Value+" "+e.From)
	}
	want := []string{"A=1 --env-file f:1", "B=1 --env-file f:2", "B=2 --env-file g:1", "A=3 -e A", "C=3 -e C"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEnvFilesAreFilesAndPipes(t *testing.T) {
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	if err := os.WriteFile(name("file"), []byte("A=B\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(name("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(name("fifo"), []byte("A=B\n"), 0)
	if o, err := Parse([]string{"--env-file", name("file")}); err != nil || len(o.Options.Env) != 1 || o.Options.Env[0].Value != "B" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, n := range []string{"file", "fifo"} {
		b, once, err := readEnvFile(name(n), false)
		if err != nil || string(b) != "A=B\n" || once != (n == "fifo") {
			t.Errorf("%s: %q, %v, %v", n, b, once, err)
		}
	}
	if b, once, err := readEnvFile("/dev/null", true); err != nil || once || len(b) != 0 {
		t.Errorf("/dev/null: %q, %v, %v", b, once, err)
	}
	if err := os.Truncate(name("file"), envFileMax+1); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]string{
		dir:            dir + " is neither a file nor a pipe",
		name("nosuch"): "no such file or directory",
		name("file"):   "the file is over 16 MiB",
	} {
		if b, _, err := readEnvFile(n, false); err == nil || err.Error() != want {
			t.Errorf("%s: %d bytes, %v, want %s", n, len(b), err, want)
		}
	}
}

// A command line is parsed once more over the settings of files.
func TestAPipeIsReadOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(name, []byte("A=B\n"), 0)
	files := envFiles{}
	for range 2 {
		if b, err := files.file(name); err != nil || string(b) != "A=B\n" || files.once != name {
			t.Fatalf("%q, %v", b, err)
		}
	}
	again := envFiles{again: true}
	if b, err := again.file(name); err == nil || again.once != name {
		t.Errorf("a box that was started before: %q, %v", b, err)
	}
	if _, err := ParseAgain([]string{"--env-file", name, "--", "true"}); err == nil || !strings.Contains(err.Error(), "is no regular file") {
		t.Error(err)
	}
	go os.WriteFile(name, []byte("A=B\n"), 0)
	if _, err := Parse([]string{"-d", "--env-file", name, "--", "true"}); err == nil || !strings.Contains(err.Error(), "with -d the nobox that stays reads them again") {
		t.Error(err)
	}
}

// What is written in pieces is read to its end, and an end without a word is one.
func TestAPipeIsReadToItsEnd(t *testing.T) {
	for _, pieces := range [][]string{{}, {"A=B\n", "C=", "D\n"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		next := make(chan bool)
		go func() {
			for _, p := range pieces {
				io.WriteString(w, p)
				<-next
			}
			w.Close()
		}()
		done := make(chan string)
		go func() {
			b, _, err := readEnvFile(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), false)
			done <- fmt.Sprintf("%s%v", b, err)
		}()
		for range pieces {
			next <- true
		}
		if got, want := <-done, strings.Join(pieces, "")+"<nil>"; got != want {
			t.Errorf("%q: %q", pieces, got)
		}
		r.Close()
	}
}

func TestEnvFileMayBeAsLongAsItSays(t *testing.T) {
	long := "A=" + strings.Repeat("x", 1<<20)
	got, err := envFile("f", "--env-file", []byte(long))
	if err != nil || len(got) != 1 || len(got[0].Value) != 1<<20 {
		t.Error(err)
	}
}
