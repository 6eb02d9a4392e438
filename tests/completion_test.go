package tests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completes is what the completions propose where something is to be looked up:
// a line whose last word is being typed, and what must be among the proposals,
// or behind a "!" must not.
var completes = []struct{ line, want string }{
	{"exec w", "web"}, {"exec w", "!old"}, {"exec ", "web"}, {"exec --en", "--env-host"}, {"exec --roo", "!--rootfs"},
	{"stop ", "web"}, {"stop ", "!old"}, {"wait o", "old"}, {"logs o", "old"}, {"logs --f", "--follow"}, {"rm ", "old"},
	{"inspect ", "web"}, {"attach ", "web"}, {"attach --de", "--detach-keys"}, {"ps --a", "--all"}, {"ps --a", "!--add-host"},
	{"--profile wo", "work"}, {"--profile st", "strict"}, {"profiles wo", "work"},
	{"diff sub", "subdir/"}, {"--rootfs sub", "subdir/"}, {"--env-file fi", "file"}, {"sto", "stop"}, {"help at", "attach"}, {"--read-o", "--read-only"},
	{"--net=", "slirp4netns"}, {"-r -- mkfif", "mkfifo"},
}

func completionPlace(t *testing.T) (place, []string) {
	t.Helper()
	asUser(t)
	need(t, "userns")
	p := newPlace(t)
	detached(t, p, "web", nil, "sleep", "600")
	detached(t, p, "old", nil, "true")
	run(t, p.command(nobox, "wait", "old"), "")
	t.Cleanup(func() { p.command(nobox, "rm", "old").Run() })
	for name, text := range map[string]string{p.home + "/.config/nobox/config.toml": "[profile.work]\nhostname = \"worker\"\n", p.work + "/file": "", p.work + "/subdir/x": ""} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := p.tmp + "/bin"
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(nobox, bin+"/nobox"); err != nil {
		t.Fatal(err)
	}
	return p, append(p.env(), "PATH="+bin+":/usr/local/bin:/usr/bin:/bin")
}

func expectProposals(t *testing.T, line string, found []string, want string) {
	t.Helper()
	w, not := strings.CutPrefix(want, "!")
	has := slices.ContainsFunc(found, func(f string) bool {
		return f == w || f == w+"=" || strings.TrimSuffix(f, "/") == strings.TrimSuffix(w, "/") || strings.HasSuffix(f, "="+w)
	})
	if has == not {
		t.Errorf("nobox %s: %q, want %s", line, found, want)
	}
}

func TestBashCompletesWhatIsLookedUp(t *testing.T) {
	need(t, "bash")
	p, env := completionPlace(t)
	for _, c := range completes {
		// As readline does it where the function says "-o dirnames" or "-o default".
		script := `eval "$(nobox completion bash)"
compopt() { [[ $1 != -o ]] || case $2 in dirnames) dirs=1 ;; default) files=1 ;; esac; }
COMP_WORDS=(nobox "$@") COMP_CWORD=$#
_nobox
(( ${#COMPREPLY[@]} )) && printf '%s\n' "${COMPREPLY[@]}"
[[ $dirs ]] && compgen -d -S / -- "${COMP_WORDS[COMP_CWORD]}"
[[ $files ]] && compgen -f -- "${COMP_WORDS[COMP_CWORD]}"
true`
		words := strings.Split(strings.ReplaceAll(c.line, "=", " = "), " ")
		if strings.HasSuffix(c.line, "=") {
			words = words[:len(words)-1]
		}
		cmd := p.command("bash", append([]string{"--norc", "-c", script, "bash"}, words...)...)
		cmd.Env = env
		out, stderr, code := run(t, cmd, "")
		if code != 0 {
			t.Fatalf("%s: %s", c.line, stderr)
		}
		expectProposals(t, c.line, strings.Fields(out), c.want)
	}
}

func TestFishCompletesWhatIsLookedUp(t *testing.T) {
	need(t, "fish")
	p, env := completionPlace(t)
	for _, c := range completes {
		cmd := p.command("fish", "--no-config", "-c", "nobox completion fish | source; complete -C $argv[1]", "nobox "+c.line)
		cmd.Env = env
		out, stderr, code := run(t, cmd, "")
		if code != 0 {
			t.Fatalf("%s: %s", c.line, stderr)
		}
		var found []string
		for l := range strings.Lines(out) {
			w, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			found = append(found, w)
		}
		expectProposals(t, c.line, found, c.want)
	}
}

// zsh completes on a terminal only. All that is proposed is listed there.
const zshLists = `
PS1='READY> '; LISTMAX=0
zstyle ':completion:*' list-colors
autoload -U compinit; compinit -D -u
nobox completion zsh >$TMPDIR/_nobox; source $TMPDIR/_nobox
unsetopt auto_list bash_auto_list list_ambiguous auto_menu list_types
list() { compstate[insert]=; compstate[list]='list force'; compadd() { builtin compadd -O got "$@"; print -rl -- $got >>$TMPDIR/found; builtin compadd "$@" }; _main_complete; unfunction compadd; : >>$TMPDIR/found; mv $TMPDIR/found $TMPDIR/done }
zle -C list list-choices list
bindkey '^X' list
`

func TestZshCompletesWhatIsLookedUp(t *testing.T) {
	need(t, "zsh")
	p, env := completionPlace(t)
	s := newScreen(t)
	s.resize(100, 200)
	if err := os.WriteFile(p.home+"/.zshrc", []byte(zshLists), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := p.command("zsh", "-i")
	cmd.Env = append(env, "ZDOTDIR="+p.home)
	s.on(cmd)
	start(t, cmd)
	s.expect("READY> ")
	for _, c := range completes {
		s.send("\x15nobox " + c.line + "\x18")
		var found []string
		until(t, "the proposals for "+c.line, func() bool {
			b, err := os.ReadFile(p.tmp + "/done")
			found = strings.Fields(string(b))
			return err == nil
		})
		os.Remove(p.tmp + "/done")
		expectProposals(t, c.line, found, c.want)
	}
}
