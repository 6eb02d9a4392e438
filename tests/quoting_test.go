package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// hostile is a name that drives a terminal, begins a line of its own, is not
// UTF-8, and turns the direction of what follows.
const hostile = "h\x1b]0;owned\x07\x1b[31m\x9b2J\r\nINJECTED: yes\u202e\u0085\u009b\xff\x7fx"

// drives says what of an output could drive a terminal, or be taken for a line of
// nobox's own; "" if nothing.
func drives(out string) string {
	if !utf8.ValidString(out) {
		return "it is not UTF-8"
	}
	for _, r := range out {
		if r != '\n' && !unicode.IsPrint(r) {
			return fmt.Sprintf("it holds U+%04X", r)
		}
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimSpace(line), "INJECTED") {
			return "a name begins a line"
		}
	}
	return ""
}

// Whatever nobox prints of a name that it did not make up is quoted: in errors and
// hints, notes, explanations, lists and reports.
func TestNoNameReachesTheTerminalAsItIs(t *testing.T) {
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	at := func(name string) string { return filepath.Join(p.work, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at(hostile+"/sub"), 0o755))
	must(os.WriteFile(at("file-"+hostile), []byte("K="+hostile+"\n"+hostile+"=1\n=2\n"), 0o644))
	must(os.WriteFile(at("profile.json"), []byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["\u001b[31m\u009bINJECTED"],"action":"SCMP_ACT_\u001b[2J"}]}`), 0o644))
	must(os.WriteFile(at("script"), []byte("#!/"+hostile+"\n"), 0o755))
	must(os.MkdirAll(filepath.Join(p.home, ".config/nobox/profiles.d"), 0o700))
	must(os.MkdirAll(at("project"), 0o755))
	must(os.WriteFile(at("project/.nobox.toml"), []byte("hostname = \"\\u001b[31mINJECTED\"\n\"\\u001b]0;x\" = \"y\"\n"), 0o644))
	must(os.MkdirAll(at("broken"), 0o755))
	must(os.WriteFile(at("broken/.nobox.toml"), []byte("a"+hostile), 0o644))
	must(os.MkdirAll(at("layer"), 0o755))
	must(os.MkdirAll(at("kept"), 0o700))

	// A box that runs, under a command line of such names, and changes of such.
	running := p.command(nobox, box([]string{"--name", "web", "-e", "K=" + hostile}, "sh", "-c", "sleep 600", hostile)[1:]...)
	must(running.Start())
	t.Cleanup(func() { running.Process.Kill(); running.Wait() })
	for limit := time.Now().Add(patience); ; {
		if out, _ := p.command(nobox, "ps").Output(); strings.Contains(string(out), "web") {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("no box is listed")
		}
	}
	if out, err := p.command(nobox, box([]string{"--overlay-dir", at("kept"), "-v", at("layer") + ":" + at("layer") + ":O", "-r"},
		"sh", "-c", `echo x >"$1/$2"; mkdir "$1/d$2"; ln -s "$2" "$1/l$2"`, "sh", at("layer"), strings.ReplaceAll(hostile, "/", "_"))[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	h := hostile
	for _, args := range [][]string{
		{h}, {"--" + h}, {"-" + h}, {"--net=" + h, "--", "true"}, {"--hostname", h, "--", "true"}, {"--cwd=" + h}, {"--name", h, "--", "true"},
		{"-r", "--", h}, {"-r", "--", "/" + h}, {"-r", "--", "./" + h}, {"-r", "--", "./script"}, {"-r", "--", "./file-" + h},
		{"-r", "-v", "./" + h + "x:/mnt", "--", "true"}, {"-r", "-v", "./" + h + "/sub:/" + h, "--", "true"}, {"-r", "--bind", h, "/" + h, "--", "true"},
		{"--mount", "type=bind,source=" + h + ",target=" + h}, {"--mount", h}, {"--tmpfs", h}, {"--tmpfs", "/x:" + h}, {"-r", "--device", "/dev/" + h, "--", "true"},
		{"-r", "--mask", h, "--", "true"}, {"-r", "--mask", "[" + h, "--", "true"}, {"--rootfs", h, "--", "true"}, {"--rootfs", "file-" + h, "--", "true"},
		{"-r", "-w", "/" + h, "--", "true"}, {"-r", "-w", h, "--", "true"}, {"-u", h, "--", "true"}, {"--uidmap", h}, {"-e", h + "=1", "--env-file", h, "--", "true"},
		{"--env-file", "file-" + h, "--", "true"}, {"--ulimit", h}, {"-m", h}, {"--cpuset-cpus", h}, {"--device-read-bps", h + ":1m", "--", "true"}, {"--cgroup", h, "-m", "1g", "--", "true"},
		{"--cap-add", h}, {"--security-opt", h}, {"--security-opt", "seccomp=" + h, "--", "true"}, {"--security-opt", "seccomp=profile.json", "--", "true"},
		{"-p", h}, {"-p", "./no/" + h + ":80", "--", "true"}, {"--allow-host", h, "--", "true"}, {"--dns", h}, {"--add-host", h}, {"--net-log", "no/" + h, "--net=user", "--", "true"},
		{"--timeout", h}, {"--tier=" + h}, {"--connect-tcp", h}, {"--profile", h, "--", "true"}, {"--overlay-dir", h + "x", "--cwd=overlay", "--", "true"}, {"--report=no/" + h, "--", "true"},
		{"--json-status-fd", h}, {"--explain=" + h}, {"--preserve-fd", h},
		{"-r", "--explain", "-e", h + "=1", "-v", "./" + h + ":/" + h, "--mask", "/" + h, "--", "./" + h, h}, {"-r", "--explain=syscalls", "-v", "./" + h + ":/mnt", "--", h, h},
		{"-r", "--explain=json", "-v", "./" + h + ":/mnt", "-e", "K=" + h, "--", h, h}, {"--tier=landlock", "--explain", "-v", "./" + h + ":" + at(h), "--", h},
		{"exec", h, "--", "true"}, {"logs", h}, {"wait", h}, {"stop", h}, {"rm", h}, {"attach", h}, {"inspect", h}, {"help", h}, {"doctor", h}, {"completion", h}, {"profiles", h},
		{"diff", h}, {"apply", h}, {"discard", h}, {"diff", at("kept"), h}, {"rm-owned", h},
		{"ps"}, {"ps", "--json"}, {"inspect", "web"}, {"exec", "web", "--", h}, {"exec", "-w", "/" + h, "web", "--", "true"}, {"exec", "--explain", "web", "--", h},
		{"diff", at("kept")}, {"diff", "--json", at("kept")}, {"apply", "--dry-run", at("kept")}, {"apply", at("kept")},
	} {
		c := p.command(nobox, args...)
		out, err := c.CombinedOutput()
		if why := drives(string(out)); why != "" {
			t.Errorf("%q: %s:\n%q", args, why, out)
		}
		if len(out) == 0 && err != nil {
			t.Errorf("%q says nothing: %v", args, err)
		}
	}
	// What comes by the environment and by where one stands.
	for _, x := range []struct {
		dir string
		env []string
		sub []string
	}{
		{at(h), nil, []string{"-r", "--explain", "--", "true"}},
		{at(h + "/sub"), []string{"HOME=" + at(h)}, []string{"-r", "--explain", "--", "true"}},
		{at(h), []string{"HOME=" + at(h)}, []string{"-r", "--", "true"}},
		{p.work, []string{"HOME=/" + h, "XDG_CONFIG_HOME=/" + h, "XDG_RUNTIME_DIR=/" + h, "TERM=" + h, "PATH=/" + h + ":/bin"}, []string{"-r", "--explain", "--home=ro", "--", "true"}},
		{p.work, []string{"PATH=/" + h}, []string{"-r", "--", "no-such-program"}},
		{p.work, []string{"SHELL=/" + h}, []string{"-r", "--explain"}},
		{p.work, []string{"HOME=/" + h, "XDG_RUNTIME_DIR=/" + h, "DBUS_SESSION_BUS_ADDRESS=" + h, "PATH=/" + h}, []string{"doctor"}},
		{p.work, []string{"HOME=/" + h, "XDG_RUNTIME_DIR=/" + h}, []string{"doctor", "--json"}},
		{at("project"), nil, []string{"-r", "--", "true"}},
		{at("project"), nil, []string{"profiles"}},
		{at("broken"), nil, []string{"-r", "--", "true"}},
		{p.work, nil, []string{"-r", "--report", "--", "sh", "-c", "exit 3", h}},
	} {
		c := exec.Command(nobox, x.sub...)
		c.Dir, c.Env = x.dir, append(p.env(), x.env...)
		out, _ := c.CombinedOutput()
		if why := drives(string(out)); why != "" {
			t.Errorf("in %q with %q, %q: %s:\n%q", x.dir, x.env, x.sub, why, out)
		}
	}
}

// A test that let such names through would hold nothing.
func TestWhatDrivesATerminalIsFound(t *testing.T) {
	for _, bad := range []string{"a\x1b[31mb", "a\rb", "a\x7f", "\u009b2J", "\u202e", "\xff", "x\nINJECTED: yes\n", "\ta"} {
		if drives(bad) == "" {
			t.Errorf("%q passes", bad)
		}
	}
	if why := drives("nobox: cannot run \"h\\x1b[31m\": größer → 1\n"); why != "" {
		t.Error(why)
	}
}
