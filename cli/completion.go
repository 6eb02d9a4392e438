package cli

import (
	"slices"
	"strings"

	"nobox/doctor"
	"nobox/plan"
)

// Completion is the script that completes nobox's command line in a shell:
// bash, zsh or fish; "" for another.
func Completion(shell string) string {
	var b strings.Builder
	switch shell {
	case "bash":
		bashCompletion(&b)
	case "zsh":
		zshCompletion(&b)
	case "fish":
		fishCompletion(&b)
	}
	return b.String()
}

// visible are the flags that a completion proposes.
func visible() []*flag {
	var fs []*flag
	for i := range flags {
		if !flags[i].hidden {
			fs = append(fs, &flags[i])
		}
	}
	return fs
}

// shown are the spellings a completion proposes.
func (f *flag) shown() []string {
	if f.short == "" {
		return []string{"--" + f.name}
	}
	return []string{"-" + f.short, "--" + f.name}
}

// verbNames are the verbs that a completion proposes.
func verbNames() []string {
	var s []string
	for i := range verbs {
		if !verbs[i].hidden {
			s = append(s, verbs[i].name)
		}
	}
	return s
}

// topics are the words behind "nobox help".
func topics() []string {
	s := append(verbNames(), helpTopics()...)
	for _, f := range visible() {
		s = append(s, "--"+f.name)
	}
	return s
}

// doctorWords are the words behind "nobox doctor".
func doctorWords() []string { return append(slices.Clone(doctorFlags), doctor.Names()...) }

// verbFlags are the flags of a verb about boxes or directories, as a completion
// proposes them.
func (v *verb) verbFlags() []string {
	if v.name != "exec" {
		return v.flags
	}
	var s []string
	for _, name := range execFlags {
		s = append(s, lookup("--"+name).shown()...)
	}
	return s
}

// dashes is the "--" of a verb that has a command behind it.
func (v *verb) dashes() []string {
	if v.name == "exec" {
		return []string{"--"}
	}
	return nil
}

// names is the command that prints the names of the boxes that go with a verb.
func (v *verb) names() string {
	if v.boxes == allBoxes {
		return "nobox ps --all"
	}
	return "nobox ps"
}

// ulimits are the words that NAME=SOFT starts with.
func ulimits() []string {
	s := limitNames()
	for i := range s {
		s[i] += "="
	}
	return s
}

// ---- bash

// bash splits a line at "=" and ":", too, and replaces the last piece alone
// (COMP_WORDBREAKS, which may be set otherwise). The script puts the words
// together again, finds whole words, and leaves out what will not be replaced.
// Paths are left to readline, which knows about quotes and "~".
const bashHead = `# Completion of nobox for bash. Made by "nobox completion bash".

_nobox() {
    local i word full flag value lead kind glue=
    local -a words=() found=()
    COMPREPLY=()

    for (( i = 1; i <= COMP_CWORD; i++ )); do
        word=${COMP_WORDS[i]}
        if [[ -z $glue && $word == -- ]] && (( i < COMP_CWORD )); then
            _nobox_command $(( i + 1 ))
            return
        fi
        if [[ $word == [=:]* ]] && (( ${#words[@]} )); then
            words[${#words[@]}-1]+=$word
            glue=1
        elif [[ $glue ]]; then
            words[${#words[@]}-1]+=$word
            glue=
        else
            words+=("$word")
        fi
    done
    full=${words[${#words[@]}-1]}
    word=${COMP_WORDS[COMP_CWORD]}
    [[ $word == [=:]* ]] && word=
    lead=${full%"$word"}

    flag= value=$full kind=
    if [[ $full == --*=* ]]; then
        flag=${full%%=*}= value=${full#*=}
    elif (( ${#words[@]} > 1 )); then
        flag=${words[${#words[@]}-2]}
    fi
    case $flag in
`

const bashTail = `    esac

    case $kind in
        dir)  compopt -o dirnames 2>/dev/null; return ;;
        file) compopt -o default 2>/dev/null; return ;;
        bind)
            case $value in
                *:*:*) found=("${value%:*}:ro" "${value%:*}:rw") ;;
                *) compopt -o default -o nospace 2>/dev/null; return ;;
            esac ;;
        variable) found=($(compgen -e)) ;;
        user) found=($(compgen -u)) ;;
        profile) found=($(nobox profiles 2>/dev/null | awk '{ print $1 }') none) ;;
        none) return ;;
        "") _nobox_words "${words[@]}" ;;
        *) found=($kind) ;;
    esac
    if [[ $kind ]]; then
        found=("${found[@]/#/"${full%"$value"}"}")
    fi

    for word in "${found[@]}"; do
        [[ $word == "$full"* ]] && COMPREPLY+=("${word#"$lead"}")
    done
    if (( ${#COMPREPLY[@]} == 1 )) && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# _nobox_command completes the command behind "--", word $1 of the line.
_nobox_command() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    else
        (( COMP_CWORD == $1 )) && COMPREPLY=($(compgen -c -- "${COMP_WORDS[COMP_CWORD]}"))
        compopt -o default 2>/dev/null
    fi
}

complete -F _nobox nobox
`

func bashCompletion(b *strings.Builder) {
	b.WriteString(bashHead)
	for _, f := range visible() {
		kind := ""
		switch {
		case f.isSwitch() && f.bare == "":
			continue
		case f.values != nil:
			kind = strings.Join(f.values, " ")
		default:
			kind = [...]string{takesAny: "none", takesDir: "dir", takesFile: "file", takesBind: "bind",
				takesVariable: "variable", takesUser: "user", takesUlimit: strings.Join(ulimits(), " "),
				takesCap: capWords(), takesSecurity: securityWords, takesProfile: "profile"}[f.takes]
		}
		patterns := "--" + f.name + "="
		if f.needsValue() {
			patterns = strings.Join(f.shown(), "|") + "|" + patterns
		}
		b.WriteString("        " + patterns + ") kind='" + kind + "' ;;\n")
	}
	b.WriteString(bashTail)
	b.WriteString("\n# _nobox_words finds flags, verbs and what goes with a verb.\n_nobox_words() {\n")
	b.WriteString("    case $1 in\n")
	b.WriteString("        help) (( $# == 2 )) && found=(" + strings.Join(topics(), " ") + "); return ;;\n")
	b.WriteString("        completion) (( $# == 2 )) && found=(" + strings.Join(shells, " ") + "); return ;;\n")
	b.WriteString("        doctor) (( $# > 1 )) && { found=(" + strings.Join(doctorWords(), " ") + "); return; } ;;\n")
	b.WriteString("        profiles) (( $# == 2 )) && found=($(nobox profiles 2>/dev/null | awk '{ print $1 }')); (( $# > 1 )) && return ;;\n")
	for i := range verbs {
		switch v := &verbs[i]; {
		case v.hidden || v.boxes == noBoxes && !v.takesDir && v.name != "ps":
		case v.boxes != noBoxes:
			b.WriteString("        " + v.name + ") (( $# > 1 )) && { found=($(" + v.names() + " 2>/dev/null | awk 'NR > 1 { print $1 }'))\n" +
				"            [[ ${!#} == -* ]] && found+=(" + strings.Join(append(v.dashes(), v.verbFlags()...), " ") + "); return; } ;;\n")
		case v.takesDir:
			b.WriteString("        " + v.name + ") (( $# > 1 )) && { [[ ${!#} == -* ]] && found=(" + strings.Join(v.flags, " ") + ") || compopt -o dirnames 2>/dev/null; return; } ;;\n")
		default:
			b.WriteString("        " + v.name + ") (( $# > 1 )) && { found=(" + strings.Join(v.flags, " ") + "); return; } ;;\n")
		}
	}
	b.WriteString("        version) (( $# > 1 )) && return ;;\n")
	b.WriteString("    esac\n")
	b.WriteString("    found=(--)\n")
	b.WriteString("    (( $# == 1 )) && found+=(" + strings.Join(verbNames(), " ") + ")\n")
	b.WriteString("    [[ ${!#} == -* ]] && found+=(\n")
	for _, f := range visible() {
		w := f.shown()
		if f.needsValue() && f.values != nil {
			w[len(w)-1] += "="
		}
		b.WriteString("        " + strings.Join(w, " ") + "\n")
	}
	b.WriteString("    )\n}\n")
}

// ---- zsh

const zshHead = `#compdef nobox
# Completion of nobox for zsh. Made by "nobox completion zsh".

_nobox() {
    # Behind "--" stands another command.
    integer dashes=${words[(i)--]}
    if (( dashes < CURRENT )); then
        shift dashes words
        (( CURRENT -= dashes ))
        _normal
        return
    fi
    if (( CURRENT > 2 )); then
        case $words[2] in
`

func zshCompletion(b *strings.Builder) {
	b.WriteString(zshHead)
	b.WriteString("            help) (( CURRENT == 3 )) && compadd -- " + strings.Join(topics(), " ") + "; return ;;\n")
	b.WriteString("            completion) (( CURRENT == 3 )) && compadd -- " + strings.Join(shells, " ") + "; return ;;\n")
	b.WriteString("            doctor) compadd -- " + strings.Join(doctorWords(), " ") + "; return ;;\n")
	b.WriteString("            profiles) (( CURRENT == 3 )) && _nobox_profiles; return ;;\n")
	for i := range verbs {
		v := &verbs[i]
		flags := "[[ $PREFIX == -* ]] && compadd -- " + strings.Join(v.verbFlags(), " ") + "; return ;;\n"
		switch {
		case v.hidden || v.boxes == noBoxes && !v.takesDir && v.name != "ps":
		case v.boxes != noBoxes:
			// The value of one of exec's flags is _arguments' matter.
			value := ""
			if v.name == "exec" {
				value = "[[ $words[CURRENT-1] == -* ]] || { "
				flags = "[[ $PREFIX == -* ]] && compadd -- -- " + strings.Join(v.verbFlags(), " ") + "; return } ;;\n"
			}
			b.WriteString("            " + v.name + ") " + value + "compadd -- ${${(f)\"$(" + v.names() + " 2>/dev/null | awk 'NR > 1 { print $1 }')\"}}; " + flags)
		case v.takesDir:
			b.WriteString("            " + v.name + ") _directories; " + flags)
		default:
			b.WriteString("            " + v.name + ") " + flags)
		}
	}
	b.WriteString("            version) return 1 ;;\n        esac\n    fi\n")
	b.WriteString("    _arguments -s : \\\n")
	for _, f := range visible() {
		b.WriteString("        " + zshSpec(f) + " \\\n")
	}
	b.WriteString("        '*: :_nobox_words'\n}\n\n")

	b.WriteString("_nobox_words() {\n    local -a found=('--:the command stands behind it')\n")
	b.WriteString("    (( CURRENT == 2 )) && found+=(\n")
	for _, v := range verbs {
		if !v.hidden {
			b.WriteString("        " + single(v.name+":"+v.help) + "\n")
		}
	}
	b.WriteString("    )\n    _describe -t words word found\n}\n\n")
	b.WriteString("_nobox_profiles() {\n    compadd -- ${${(f)\"$(nobox profiles 2>/dev/null | awk '{ print $1 }')\"}} none\n}\n\n")
	b.WriteString("_nobox_bind() {\n    if compset -P '*:*:'; then\n        compadd -- ro rw\n")
	b.WriteString("    else\n        compset -P '*:'\n        _files\n    fi\n}\n\n")
	b.WriteString("if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _nobox \"$@\"\nelse\n    compdef _nobox nobox\nfi\n")
}

// zshSpec is a flag as _arguments takes it; zshcompsys(1).
func zshSpec(f *flag) string {
	esc := strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`)
	help := "[" + esc.Replace(f.help) + "]"
	action := ""
	switch {
	case f.values != nil:
		action = "(" + strings.Join(f.values, " ") + ")"
	case f.arg != "":
		action = [...]string{takesAny: " ", takesDir: "_directories", takesFile: "_files", takesBind: "_nobox_bind",
			takesVariable: "_parameters -g \"*export*\" -qS =", takesUser: "_users",
			takesUlimit: "{compadd -S \"\" -- " + strings.Join(ulimits(), " ") + "}",
			takesCap:    "(" + capWords() + ")", takesSecurity: "{compadd -S \"\" -- " + securityWords + "}", takesProfile: "_nobox_profiles"}[f.takes]
	}
	arg := f.arg
	if arg == "" {
		arg = "switch"
	}
	arg = ":" + esc.Replace(arg) + ":" + action
	var long, short, rest string
	switch {
	case f.isSwitch() && f.bare == "":
		long, short, rest = "--"+f.name, "-"+f.short, help
	case f.needsValue():
		// "=": the value in the same word or in the next; "+" the same for a letter.
		long, short, rest = "--"+f.name+"=", "-"+f.short+"+", help+arg
	default:
		long, short, rest = "--"+f.name+"=-", "-"+f.short, help+":"+arg
	}
	lead := ""
	if f.repeat {
		lead = "*"
	}
	if f.short == "" {
		return single(lead + long + rest)
	}
	if f.bare != "" { // the letter goes without a value, to stand together with others
		return single(lead+long+rest) + " " + single(lead+short+help)
	}
	if !f.repeat {
		lead = "(-" + f.short + " --" + f.name + ")"
	}
	return single(lead+short+rest) + " " + single(lead+long+rest)
}

// single quotes a word for a shell script.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// ---- fish

const fishHead = `# Completion of nobox for fish. Made by "nobox completion fish".

# Whether the cursor is behind "--", where another command stands.
function __nobox_behind
    contains -- -- (commandline -opc)
end

function __nobox_command
    set -l words (commandline -opc)
    set -e words[1..(contains -i -- -- $words)]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end

# Whether the line is "nobox VERB" and one more word.
function __nobox_verb
    set -l words (commandline -opc)
    test (count $words) -eq 2; and test "$words[2]" = $argv[1]
end

# Whether the line is of that verb.
function __nobox_is
    set -l words (commandline -opc)
    not __nobox_behind; and test (count $words) -ge 2; and test "$words[2]" = $argv[1]
end

function __nobox_first
    test (count (commandline -opc)) -eq 1
end

# Whether a flag may stand here.
function __nobox_flag
    not __nobox_behind; and not contains -- (commandline -opc)[2] VERBS
end

function __nobox_bind
    set -l part (string replace -r '^(--volume=|-v)' '' -- (commandline -ct) | string split :)
    test (count $part) -eq 3; and printf '%s\n' "$part[1]:$part[2]:"{ro,rw}
end

function __nobox_profiles
    nobox profiles 2>/dev/null | string match -r '\\S+'
end

complete -c nobox -f
complete -c nobox -n __nobox_behind -a '(__nobox_command)'
complete -c nobox -n __nobox_flag -a -- -d 'the command stands behind it'
`

func fishCompletion(b *strings.Builder) {
	b.WriteString(strings.ReplaceAll(fishHead, "VERBS", strings.Join(verbNames(), " ")))
	for i := range verbs {
		if v := &verbs[i]; !v.hidden {
			b.WriteString("complete -c nobox -n __nobox_first -a " + v.name + " -d " + fishQuote(v.help) + "\n")
		}
	}
	b.WriteString("complete -c nobox -n '__nobox_verb help' -a '" + strings.Join(topics(), " ") + "'\n")
	b.WriteString("complete -c nobox -n '__nobox_verb doctor' -a '" + strings.Join(doctorWords(), " ") + "'\n")
	b.WriteString("complete -c nobox -n '__nobox_verb completion' -a '" + strings.Join(shells, " ") + "'\n")
	b.WriteString("complete -c nobox -n '__nobox_verb profiles' -a '(__nobox_profiles)'\n")
	for i := range verbs {
		v := &verbs[i]
		if v.hidden {
			continue
		}
		for _, f := range v.verbFlags() {
			kind := " -l "
			if len(f) == 2 {
				kind = " -s "
			}
			b.WriteString("complete -c nobox -n '__nobox_is " + v.name + "'" + kind + strings.TrimLeft(f, "-") + "\n")
		}
		switch {
		case v.boxes != noBoxes:
			b.WriteString("complete -c nobox -n '__nobox_is " + v.name + "' -a '(" + v.names() + " 2>/dev/null | string match -r \"^\\\\S+\" | string match -v NAME)'\n")
		case v.takesDir:
			b.WriteString("complete -c nobox -n '__nobox_is " + v.name + "' -a '(__fish_complete_directories)'\n")
		}
	}
	b.WriteByte('\n')
	for _, f := range visible() {
		b.WriteString("complete -c nobox -n __nobox_flag")
		if f.short != "" {
			b.WriteString(" -s " + f.short)
		}
		b.WriteString(" -l " + f.name)
		switch {
		case f.isSwitch() && f.bare == "":
		case f.values != nil && f.needsValue():
			b.WriteString(" -x -a '" + strings.Join(f.values, " ") + "'")
		case f.values != nil:
			b.WriteString(" -a '" + strings.Join(f.values, " ") + "'")
		default:
			b.WriteString([...]string{takesAny: " -x", takesDir: " -x -a '(__fish_complete_directories)'", takesFile: " -r -F", takesBind: " -r -F -a '(__nobox_bind)'",
				takesVariable: " -x -a '(set -xn)='", takesUser: " -x -a '(__fish_complete_users)'",
				takesUlimit: " -x -a '" + strings.Join(ulimits(), " ") + "'",
				takesCap:    " -x -a '" + capWords() + "'", takesSecurity: " -x -a '" + securityWords + "'", takesProfile: " -x -a '(__nobox_profiles) none'"}[f.takes])
		}
		b.WriteString(" -d " + fishQuote(f.help) + "\n")
	}
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// securityWords are what --security-opt begins with.
const securityWords = "seccomp= seccomp=unconfined no-new-privileges"

// capWords are what --cap-add and --cap-drop take.
func capWords() string { return "ALL " + plan.CapNames(^uint64(0)) }
