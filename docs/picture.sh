#!/bin/sh
# Makes docs/picture.svg: a real session of nobox in a terminal (tmux), typed
# line by line, drawn as it stood at the end. Run it as an ordinary user who has
# nobox in PATH: sh docs/picture.sh >docs/picture.svg
set -eu
columns=84 rows=24
dir=$(mktemp -d)
work=$HOME/project
[ ! -e "$work" ] || { echo "picture: $work is there already" >&2; exit 1; }
tm="tmux -L nobox-picture-$$ -f /dev/null"
trap '$tm kill-server 2>/dev/null; rm -rf "$dir" "$work"' EXIT
mkdir "$work"

# screen is what stands on the terminal, with its colours.
screen() { $tm capture-pane -p -e -t 0; }
# ready waits for the prompt with nothing behind it, for ten seconds at most.
ready() {
	n=0
	until screen | sed 's/\x1b\[[0-9;]*m//g' | grep -v '^$' | tail -1 | grep -q '[#$] *$'; do
		n=$((n + 1))
		[ $n -lt 100 ] || { echo "picture: no prompt" >&2; screen >&2; exit 1; }
		sleep 0.1
	done
}
type_line() {
	$tm send-keys -t 0 -l "$1"
	$tm send-keys -t 0 Enter
	sleep 0.3 # the prompt of before is no answer
	ready
}

cat >"$dir/rc" <<'RC'
PS1='\[\e[32m\]\w\[\e[0m\] $ '
cd ~/project
RC
$tm new-session -d -x $columns -y $rows "bash --noprofile --rcfile $dir/rc"
ready
type_line "nobox"
type_line "ls -A ~"
type_line "touch /etc/x"
type_line "ps -o pid,args -e"
type_line "ip -brief addr"
type_line "touch here && exit"
type_line "ls"
screen >"$dir/screen"

# Each line of the terminal is a line of text; of the colours, bold and green.
awk -v columns=$columns '
function esc(s) { gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s); gsub(/>/, "\\&gt;", s); return s }
{ line[NR] = $0; if ($0 ~ /[^ ]/) last = NR }
END {
	w = columns * 8.4 + 32; h = last * 18 + 28
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", w, h, w, h
	print "<title>A session of nobox in a terminal; made by docs/picture.sh</title>"
	printf "<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#1e1e2e\"/>\n", w, h
	print "<g font-family=\"ui-monospace,DejaVu Sans Mono,Menlo,monospace\" font-size=\"14\" fill=\"#cdd6f4\" xml:space=\"preserve\">"
	for (i = 1; i <= last; i++) {
		s = line[i]; out = ""; style = ""
		while (match(s, /\033\[[0-9;]*m/)) {
			part = substr(s, 1, RSTART - 1)
			if (part != "") out = out (style == "" ? esc(part) : "<tspan " style ">" esc(part) "</tspan>")
			code = substr(s, RSTART + 2, RLENGTH - 3)
			style = code == "32" || code ~ /(^|;)32(;|$)/ ? "fill=\"#a6e3a1\"" : code ~ /(^|;)1(;|$)/ ? "font-weight=\"bold\"" : ""
			s = substr(s, RSTART + RLENGTH)
		}
		if (s != "") out = out (style == "" ? esc(s) : "<tspan " style ">" esc(s) "</tspan>")
		if (out != "") printf "<text x=\"16\" y=\"%d\">%s</text>\n", i * 18 + 10, out
	}
	print "</g>\n</svg>"
}' "$dir/screen"
