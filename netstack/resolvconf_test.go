package netstack

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestTheServersOfAResolvConf(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "[127.0.0.1:53]",
		"# none\nsearch example.com\n": "[127.0.0.1:53]",
		"nameserver 192.0.2.1\n":       "[192.0.2.1:53]",
		" nameserver\t192.0.2.1 # here\nnameserver 2001:db8::1":                              "[192.0.2.1:53 [2001:db8::1]:53]",
		"nameserver fe80::1%eth0\n":                                                          "[[fe80::1%eth0]:53]",
		"nameserver nonsense\nnameserver\nnameservers 192.0.2.9\nnameserver 192.0.2.2\r\n":   "[192.0.2.2:53]",
		"nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n":   "[1.1.1.1:53 2.2.2.2:53 3.3.3.3:53]",
		";nameserver 1.1.1.1\n#nameserver 2.2.2.2\nnameserver 127.0.0.53\noptions edns0 x\n": "[127.0.0.53:53]",
	} {
		if have := fmt.Sprint(parseResolvConf(text)); have != want {
			t.Errorf("%q: %s, want %s", text, have, want)
		}
	}
}

func TestAResolvConfThatChangesIsFollowed(t *testing.T) {
	dir := t.TempDir()
	r := &resolvConf{path: filepath.Join(dir, "resolv.conf")}
	is := func(want string) {
		t.Helper()
		if have := fmt.Sprint(r.Servers()); have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
	is("[127.0.0.1:53]")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "nameserver 192.0.2.1\n")
	if err := os.Symlink("a", r.path); err != nil {
		t.Fatal(err)
	}
	is("[192.0.2.1:53]")
	is("[192.0.2.1:53]")
	write("a", "nameserver 192.0.2.22\n")
	is("[192.0.2.22:53]")
	// What a VPN does: another file under the same name.
	write("b", "nameserver 192.0.2.33\n")
	if err := os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	is("[192.0.2.33:53]")
	// What this process may not read, it knew before.
	write("c", "nameserver 192.0.2.44\n")
	if err := os.Chmod(filepath.Join(dir, "c"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "c"), filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		is("[192.0.2.33:53]")
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	is("[127.0.0.1:53]")
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions ndots:2\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(parseResolvConf(text)); n < 1 || n > maxServers {
			t.Errorf("%d servers", n)
		}
	})
}
