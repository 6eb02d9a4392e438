package nstest_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers is the table of docs/design.md, "Tree": each package, its duty in a
// line, the packages of the repository that it may import, and those from
// elsewhere beyond the standard library. A package that is not here has no
// place yet. (The test is not in the root: a test binary of package main would
// run main's init function, which is nobox itself.)
var layers = map[string]struct {
	duty    string
	own     string
	outside string
}{
	"nobox":           {"parse, dispatch, exit code; no mechanism", "cli ports", ""},
	"cli":             {"the flag table, and every word said to the user", "egress sandbox changes userns idmap plan doctor profiles boxes", "github.com/spf13/pflag golang.org/x/sys"},
	"sandbox":         {"options and facts to a plan, and its run", "plan host userns signals caller terminal companion egress ports mounts changes idmap slirp seccomp landlock cgroups", "golang.org/x/sys github.com/moby/sys/user"},
	"plan":            {"the steps, and what each promises", "", "golang.org/x/sys"},
	"host":            {"looks at the machine; nothing else does", "plan caller terminal", "golang.org/x/sys github.com/moby/sys/user"},
	"userns":          {"clone, play the plan, exec, wait", "plan", "golang.org/x/sys"},
	"idmap":           {"subordinate ids: choose, check, newuidmap", "plan host", ""},
	"changes":         {"what boxes wrote to kept overlays: list, write back, forget", "plan", "golang.org/x/sys"},
	"mounts":          {"the file system view as steps", "plan host", "golang.org/x/sys"},
	"slirp":           {"user-mode networks", "plan host", "golang.org/x/sys"},
	"egress":          {"what --allow-host and --deny-host mean", "", ""},
	"companion":       {"the programs that nobox carries and runs as processes of their own", "", ""},
	"nobox-net":       {"the network's process: a program of its own", "netstack", ""},
	"netstack":        {"the network in user space, never part of nobox itself", "egress", "gvisor.dev/gvisor golang.org/x/sys golang.org/x/net"},
	"cgroups":         {"delegated cgroup v2", "plan host", "golang.org/x/sys"},
	"landlock":        {"the second wall, from the steps before it, and rules that hold a box alone", "plan host", ""},
	"seccomp":         {"the filter of system calls, compiled at build time", "", "golang.org/x/sys"},
	"seccomp/gen":     {"writes seccomp's tables; no part of nobox", "seccomp", "github.com/moby/profiles github.com/opencontainers/runtime-spec golang.org/x/sys"},
	"doctor":          {"what a box may need, and whether the machine has it", "host idmap plan sandbox", "golang.org/x/sys"},
	"profiles":        {"settings from files, without knowing the flags", "host", "github.com/pelletier/go-toml/v2/unstable"},
	"ports":           {"the forwarder of published ports, a process of its own", "", "golang.org/x/sys"},
	"terminal":        {"the pty and its relay", "plan", "golang.org/x/sys"},
	"caller":          {"what the caller handed over, before the runtime changes it", "", ""},
	"boxes":           {"what is known of running boxes that have a name", "host", "golang.org/x/sys"},
	"signals":         {"signals from a descriptor", "", "golang.org/x/sys"},
	"internal/nstest": {"what tests share; nothing else may import it", "plan host terminal", "golang.org/x/sys"},
	"tests":           {"end to end", "*", "*"},
	"tests/vm":        {"runs what needs systemd in a virtual machine", "*", "*"},
	"tests/rawcall":   {"system calls by the kernel's other entries", "", ""},
	"tests/bench":     {"measures against the peers", "*", "*"},
}

const module = "nobox"

// A listed is a package as go list has it.
type listed struct {
	ImportPath, Dir, Name, Doc           string
	GoFiles, TestGoFiles, XTestGoFiles   []string
	Imports, TestImports, XTestImports   []string
	CgoFiles, IgnoredGoFiles, EmbedFiles []string
}

func packages(t *testing.T) map[string]listed {
	t.Helper()
	c := exec.Command("go", "list", "-json", "./...")
	c.Dir = "../.."
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]listed{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[short(p.ImportPath)] = p
	}
}

func short(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	for name, p := range packages(t) {
		l, known := layers[name]
		if !known {
			t.Errorf("package %s has no place in the table", name)
			continue
		}
		if l.duty == "" {
			t.Errorf("package %s has no duty", name)
		}
		if l.own == "*" {
			continue
		}
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			switch {
			case i == module || first == module:
				if !slices.Contains(strings.Fields(l.own), short(i)) {
					t.Errorf("%s imports %s", name, i)
				}
			case i == "C":
				t.Errorf("%s uses cgo", name)
			case strings.Contains(first, "."):
				if !slices.ContainsFunc(strings.Fields(l.outside), func(o string) bool { return i == o || strings.HasPrefix(i, o+"/") }) {
					t.Errorf("%s imports %s", name, i)
				}
			}
		}
	}
}

// The rules that the table must keep, whoever changes it.
func TestTheTableKeepsTheDirections(t *testing.T) {
	mechanisms := strings.Fields("mounts changes idmap slirp cgroups seccomp landlock terminal")
	for name, l := range layers {
		own := strings.Fields(l.own)
		not := func(rule string, others ...string) {
			for _, o := range others {
				if o != name && slices.Contains(own, o) {
					t.Errorf("%s: %s may import %s", rule, name, o)
				}
			}
		}
		if l.own == "*" {
			continue
		}
		not("tests only", "internal/nstest")
		not("nothing imports main", "nobox", "nobox-net")
		if name != "nobox-net" {
			not("what is heavy stays in a program of its own", "netstack")
		}
		if name != "nobox" {
			not("cli is on top", "cli")
		}
		switch {
		case name == "plan" || name == "caller" || name == "signals" || name == "companion" || name == "egress" || name == "ports":
			if len(own) > 0 {
				t.Errorf("%s is a leaf", name)
			}
		case name == "userns":
			not("the executor knows the plan alone", append(mechanisms, "sandbox", "host")...)
		case slices.Contains(mechanisms, name):
			not("mechanisms know plan and host alone", append(mechanisms, "userns", "sandbox", "signals", "caller")...)
		case name == "host":
			// The streams' facts are terminal's own type.
			not("facts know no mechanism", "mounts", "idmap", "slirp", "cgroups", "seccomp", "userns", "sandbox")
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for name, p := range packages(t) {
		if p.Doc == "" && p.Name != "main" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", name)
		}
	}
}

// each calls f with the syntax of each file of the product.
func each(t *testing.T, f func(pkg, file string, set *token.FileSet, syntax *ast.File)) {
	t.Helper()
	for name, p := range packages(t) {
		if name == "tests" || strings.HasPrefix(name, "tests/") {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			set := token.NewFileSet()
			syntax, err := parser.ParseFile(set, filepath.Join(p.Dir, file), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			f(name, file, set, syntax)
		}
	}
}

func TestOnlyUnsafeFilesImportUnsafe(t *testing.T) {
	each(t, func(pkg, file string, _ *token.FileSet, syntax *ast.File) {
		for _, i := range syntax.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); p == "unsafe" && !strings.HasSuffix(file, "_unsafe.go") {
				t.Errorf("%s imports unsafe", path.Join(pkg, file))
			}
		}
		for _, g := range syntax.Comments {
			for _, c := range g.List {
				if strings.HasPrefix(c.Text, "//go:linkname") && !strings.HasSuffix(file, "_unsafe.go") {
					t.Errorf("%s uses linkname", path.Join(pkg, file))
				}
			}
		}
	})
}

func TestOnlyCliPrintsAndOnlyMainExits(t *testing.T) {
	each(t, func(pkg, file string, set *token.FileSet, syntax *ast.File) {
		ast.Inspect(syntax, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if id, ok := c.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") && id.Obj == nil {
					t.Errorf("%s prints", set.Position(n.Pos()))
				}
			}
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			switch what := x.Name + "." + s.Sel.Name; {
			case what == "os.Exit" || what == "syscall.Exit" || what == "unix.Exit" || what == "runtime.Goexit":
				if pkg != "nobox" && pkg != "nobox-net" {
					t.Errorf("%s: %s: only main ends the process", set.Position(n.Pos()), what)
				}
			case what == "os.Stdout" || what == "os.Stderr" || strings.HasPrefix(what, "fmt.Print") || strings.HasPrefix(what, "log."):
				if pkg != "cli" && pkg != "nobox" {
					t.Errorf("%s: %s: only cli prints", set.Position(n.Pos()), what)
				}
			}
			return true
		})
	})
}

// No environment variable is a protocol between stages, and facts are host's
// to find: nobody else reads the environment, but what only tests import.
func TestOnlyHostReadsTheEnvironment(t *testing.T) {
	each(t, func(pkg, file string, set *token.FileSet, syntax *ast.File) {
		ast.Inspect(syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && (strings.HasSuffix(s.Sel.Name, "env") || strings.HasSuffix(s.Sel.Name, "Env") || s.Sel.Name == "Environ") && pkg != "host" && pkg != "internal/nstest" {
					t.Errorf("%s: os.%s", set.Position(n.Pos()), s.Sel.Name)
				}
			}
			return true
		})
	})
}
