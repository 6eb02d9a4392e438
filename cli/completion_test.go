package cli

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nobox/internal/nstest"
)

// runShell writes the completion of a shell to a file and runs the shell with
// it as $1, or skips where there is no such shell.
func runShell(t *testing.T, shell string, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath(shell)
	if err != nil {
		nstest.Lacks(t, shell, err)
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "nobox."+shell)
	if err := os.WriteFile(script, []byte(Completion(shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "SCRIPT", script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = dir
	// Of a user who has set nothing up.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", shell, err, out)
	}
	return string(out)
}

func TestCompletionsAreScripts(t *testing.T) {
	for _, s := range shells {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			if out := runShell(t, s, "-n", "SCRIPT"); out != "" {
				t.Error(out)
			}
		})
	}
	if Completion("tcsh") != "" {
		t.Error("a completion for a shell that is not known")
	}
}

// What a completion proposes for a line, the last word of which is being typed.
var completed = []struct {
	words []string // as bash has them in COMP_WORDS
	want  []string
}{
	{[]string{"--ho"}, []string{"--home=", "--host-port", "--hostname"}},
	{[]string{"--net", "=", "h"}, []string{"host"}},
	{[]string{"--net", "="}, []string{"user", "none", "host", "pasta", "slirp4netns"}},
	{[]string{"--net", ""}, []string{"user", "none", "host", "pasta", "slirp4netns"}},
	{[]string{"-r", "--cwd", "r"}, []string{"rw", "ro"}},
	{[]string{"--explain", "=", "s"}, []string{"syscalls"}},
	{[]string{"--explain", "--verb"}, []string{"--verbose"}},
	{[]string{"--tty", "=", "f"}, []string{"false"}},
	{[]string{"--ulimit", "no"}, []string{"nofile="}},
	{[]string{"-v", "/a", ":", "/b", ":", "r"}, []string{"ro", "rw"}},
	{[]string{"--volume", "=", "/a", ":", "/b", ":"}, []string{"ro", "rw"}},
	{[]string{"--hostname", "x"}, nil},
	{[]string{"ver"}, []string{"version"}},
	{[]string{"help", "--read"}, []string{"--read-only"}},
	{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
	{[]string{"version", ""}, nil},
	{[]string{"-c", "--", "mkfif"}, []string{"mkfifo"}},
	{[]string{"-e", "HOM"}, []string{"HOME"}},
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(". SCRIPT\n")
	for _, c := range completed {
		b.WriteString("COMP_WORDS=(nobox")
		for _, w := range c.words {
			b.WriteString(" " + single(w))
		}
		b.WriteString("); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _nobox 2>/dev/null; echo \"${COMPREPLY[*]}\"\n")
	}
	got := strings.Split(runShell(t, "bash", "--norc", "-c", b.String()), "\n")
	for i, c := range completed {
		c.want = slices.Clone(c.want)
		found := strings.Fields(got[i])
		slices.Sort(found)
		slices.Sort(c.want)
		if !slices.Equal(slices.Compact(found), c.want) {
			t.Errorf("%q: %q, want %q", c.words, found, c.want)
		}
	}
}

func TestFishCompletes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("source SCRIPT\n")
	for _, c := range completed {
		b.WriteString("complete -C " + fishQuote("nobox "+fishLine(c.words)) + "; echo .\n")
	}
	got := strings.Split(runShell(t, "fish", "--no-config", "-c", b.String()), ".\n")
	for i, c := range completed {
		var found []string
		for l := range strings.Lines(got[i]) {
			w, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			found = append(found, w)
		}
		for _, w := range c.want {
			// fish proposes the whole word, "=" where there is one apart.
			ok := slices.ContainsFunc(found, func(f string) bool {
				return strings.TrimSuffix(f, "=") == strings.TrimSuffix(w, "=") || strings.HasSuffix(f, w)
			})
			if !ok {
				t.Errorf("%q: %q, want %q", c.words, found, c.want)
			}
		}
		if c.want == nil && len(found) > 0 {
			t.Errorf("%q: %q, want nothing", c.words, found)
		}
	}
}

// fishLine puts the pieces together that bash takes words apart to.
func fishLine(words []string) string {
	s := strings.Join(words, " ")
	return strings.NewReplacer(" = ", "=", " =", "=", " : ", ":", " :", ":").Replace(s)
}

// zsh completes on a terminal only: zsh/zpty gives it one. Each line is typed,
// then TAB, and what must appear is awaited.
const zshLive = `
zmodload zsh/zpty zsh/zselect
zpty -b live zsh -f -i
fd=$REPLY
await() {
    local more all=
    until [[ $all == *$1* ]]; do
        zselect -r $fd -t 1000 || { print -r -- "no $1 in ${(V)all}"; exit 1 }
        zpty -r live more && all+=$more
    done
}
zpty -w live "PS1=; autoload -U compinit; compinit -D -u; source $1; echo READ''Y"
await READY
for line in "${@:2}"; do
    zpty -n -w live $'\x15'"${line%>*}"$'\t'
    await "${line##*>}"
done
zpty -d live
`

func TestZshCompletes(t *testing.T) {
	t.Parallel()
	out := runShell(t, "zsh", "-f", "-c", zshLive, "zsh", "SCRIPT",
		"nobox --hostn>ame", "nobox --net=h>ost", "nobox --cwd h>idden", "nobox --explain=s>yscalls", "nobox -v /a:/b:r>ro",
		"nobox vers>ion", "nobox completion f>ish", "nobox help --read>-only", "nobox -c -- mkfif>o", "nobox --ulimit nof>ile=")
	if out != "" {
		t.Error(out)
	}
}
