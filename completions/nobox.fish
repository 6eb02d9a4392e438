# Completion of nobox for fish. Made by "nobox completion fish".

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
    not __nobox_behind; and not contains -- (commandline -opc)[2] help doctor profiles exec attach port ps stop wait logs rm inspect version completion diff apply discard rm-owned
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
complete -c nobox -n __nobox_first -a help -d 'one page, or all about one'
complete -c nobox -n __nobox_first -a doctor -d 'what a box lacks here, and remedies'
complete -c nobox -n __nobox_first -a profiles -d 'the profiles, or what one sets'
complete -c nobox -n __nobox_first -a exec -d 'one more command in a box that runs'
complete -c nobox -n __nobox_first -a attach -d 'the terminal of a box started with -d'
complete -c nobox -n __nobox_first -a port -d 'published ports of a box that runs'
complete -c nobox -n __nobox_first -a ps -d 'the boxes that have a name and run'
complete -c nobox -n __nobox_first -a stop -d 'end a box that runs'
complete -c nobox -n __nobox_first -a wait -d 'wait until a box has ended'
complete -c nobox -n __nobox_first -a logs -d 'what a box started with -d wrote'
complete -c nobox -n __nobox_first -a rm -d 'forget a box that has ended'
complete -c nobox -n __nobox_first -a inspect -d 'all there is to know of a box, as JSON'
complete -c nobox -n __nobox_first -a version -d 'the version'
complete -c nobox -n __nobox_first -a completion -d 'completions for a shell'
complete -c nobox -n __nobox_first -a diff -d 'what boxes changed'
complete -c nobox -n __nobox_first -a apply -d 'write changes back to the host'
complete -c nobox -n __nobox_first -a discard -d 'forget changes'
complete -c nobox -n __nobox_first -a rm-owned -d 'remove files of mapped ids'
complete -c nobox -n '__nobox_verb help' -a 'help doctor profiles exec attach port ps stop wait logs rm inspect version completion diff apply discard rm-owned box files identity process hardening network limits see all --rootfs --read-only --overlay --review --overlay-dir --name --detach --hostname --cwd --home --volume --bind --ro-bind --mount --mask --device --tmpfs --userns --map-root-user --map-current-user --uidmap --gidmap --user --workdir --env --env-file --env-host --tty --interactive --as-pid-1 --die-with-parent --timeout --stop-timeout --ulimit --preserve-fd --cap-add --cap-drop --tier --allow-userns --security-opt --net --publish --allow-host --deny-host --client-address --host-port --add-host --dns --dns-search --mtu --net-log --connect-tcp --bind-tcp --memory --memory-swap --memory-reservation --cpus --cpu-weight --cpuset-cpus --pids-limit --io-weight --device-read-bps --device-write-bps --device-read-iops --device-write-iops --cgroup --cgroup-writable --best-effort --report --profile --explain --json-status-fd --verbose --help'
complete -c nobox -n '__nobox_verb doctor' -a '--json --apparmor-profile box kernel user-namespaces namespaces apparmor newuidmap newgidmap subuid subgid proc overlay tun veth ipv6 network pasta slirp4netns bus linger cgroup limits seccomp landlock container'
complete -c nobox -n '__nobox_verb completion' -a 'bash zsh fish'
complete -c nobox -n '__nobox_verb profiles' -a '(__nobox_profiles)'
complete -c nobox -n '__nobox_is exec' -s t
complete -c nobox -n '__nobox_is exec' -l tty
complete -c nobox -n '__nobox_is exec' -s u
complete -c nobox -n '__nobox_is exec' -l user
complete -c nobox -n '__nobox_is exec' -s w
complete -c nobox -n '__nobox_is exec' -l workdir
complete -c nobox -n '__nobox_is exec' -s e
complete -c nobox -n '__nobox_is exec' -l env
complete -c nobox -n '__nobox_is exec' -l env-file
complete -c nobox -n '__nobox_is exec' -l env-host
complete -c nobox -n '__nobox_is exec' -l ulimit
complete -c nobox -n '__nobox_is exec' -l timeout
complete -c nobox -n '__nobox_is exec' -l stop-timeout
complete -c nobox -n '__nobox_is exec' -l explain
complete -c nobox -n '__nobox_is exec' -l verbose
complete -c nobox -n '__nobox_is exec' -a '(nobox ps 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is attach' -l detach-keys
complete -c nobox -n '__nobox_is attach' -l no-stdin
complete -c nobox -n '__nobox_is attach' -l sig-proxy
complete -c nobox -n '__nobox_is attach' -a '(nobox ps 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is port' -s p
complete -c nobox -n '__nobox_is port' -l close
complete -c nobox -n '__nobox_is port' -a '(nobox ps 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is ps' -l all
complete -c nobox -n '__nobox_is ps' -l json
complete -c nobox -n '__nobox_is stop' -l time
complete -c nobox -n '__nobox_is stop' -a '(nobox ps 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is wait' -a '(nobox ps --all 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is logs' -l follow
complete -c nobox -n '__nobox_is logs' -a '(nobox ps --all 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is rm' -a '(nobox ps --all 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is inspect' -a '(nobox ps --all 2>/dev/null | string match -r "^\\S+" | string match -v NAME)'
complete -c nobox -n '__nobox_is diff' -l json
complete -c nobox -n '__nobox_is diff' -a '(__fish_complete_directories)'
complete -c nobox -n '__nobox_is apply' -l force
complete -c nobox -n '__nobox_is apply' -a '(__fish_complete_directories)'
complete -c nobox -n '__nobox_is discard' -a '(__fish_complete_directories)'
complete -c nobox -n '__nobox_is rm-owned' -l hand-back
complete -c nobox -n '__nobox_is rm-owned' -l yes
complete -c nobox -n '__nobox_is rm-owned' -a '(__fish_complete_directories)'

complete -c nobox -n __nobox_flag -l rootfs -x -a '(__fish_complete_directories)' -d 'take DIR for the root, not the host\'s tree'
complete -c nobox -n __nobox_flag -l read-only -d 'make the root read-only'
complete -c nobox -n __nobox_flag -l overlay -x -a '(__fish_complete_directories)' -d 'write to memory or DIR, not to the root'
complete -c nobox -n __nobox_flag -l review -d 'show the changes at the end, and ask'
complete -c nobox -n __nobox_flag -l overlay-dir -x -a '(__fish_complete_directories)' -d 'keep what is written to overlays in DIR'
complete -c nobox -n __nobox_flag -l name -x -d 'a name for nobox exec, ps and stop'
complete -c nobox -n __nobox_flag -s d -l detach -d 'start it and return; nobox logs, wait, stop'
complete -c nobox -n __nobox_flag -l hostname -x -d 'host name inside (default nobox)'
complete -c nobox -n __nobox_flag -l cwd -x -a 'rw ro overlay hidden' -d 'the working directory (default rw)'
complete -c nobox -n __nobox_flag -l home -x -a 'hidden ro overlay rw' -d 'the homes: hidden (default), ro, overlay, rw'
complete -c nobox -n __nobox_flag -s v -l volume -r -F -a '(__nobox_bind)' -d 'share SRC of the host at DST'
complete -c nobox -n __nobox_flag -l bind -r -F -d 'share SRC at DST, as bwrap spells it'
complete -c nobox -n __nobox_flag -l ro-bind -r -F -d 'the same, read-only'
complete -c nobox -n __nobox_flag -l mount -x -d 'type=bind|tmpfs|overlay,source=,target='
complete -c nobox -n __nobox_flag -l mask -r -F -d 'put something empty over what is at PATH'
complete -c nobox -n __nobox_flag -l device -r -F -d 'share a device, such as /dev/kvm'
complete -c nobox -n __nobox_flag -l tmpfs -x -d 'mount an empty tmpfs: size=, mode=, ro, noexec'
complete -c nobox -n __nobox_flag -l userns -x -a 'auto keep-id' -d 'how ids are mapped (default auto)'
complete -c nobox -n __nobox_flag -s r -l map-root-user -d 'root inside is you, and there is no other id'
complete -c nobox -n __nobox_flag -s c -l map-current-user -d 'you keep uid and gid, without any capability'
complete -c nobox -n __nobox_flag -l uidmap -x -d 'map N uids from C to H: 0 is you, 1 your range'
complete -c nobox -n __nobox_flag -l gidmap -x -d 'the same for gids'
complete -c nobox -n __nobox_flag -s u -l user -x -a '(__fish_complete_users)' -d 'who runs the command: an id, or a name inside'
complete -c nobox -n __nobox_flag -s w -l workdir -x -a '(__fish_complete_directories)' -d 'start the command in DIR of the box'
complete -c nobox -n __nobox_flag -s e -l env -x -a '(set -xn)=' -d 'set a variable, or pass yours on'
complete -c nobox -n __nobox_flag -l env-file -r -F -d 'set the variables of FILE, a line K=V each'
complete -c nobox -n __nobox_flag -l env-host -d 'pass all of your environment on'
complete -c nobox -n __nobox_flag -s t -l tty -a 'true false' -d 'a terminal of its own (default if stdin is one)'
complete -c nobox -n __nobox_flag -s i -l interactive -d 'with -d: a stdin for nobox attach'
complete -c nobox -n __nobox_flag -l as-pid-1 -d 'the command is pid 1, with no reaper above it'
complete -c nobox -n __nobox_flag -l die-with-parent -d 'end when what started nobox ends'
complete -c nobox -n __nobox_flag -l timeout -x -d 'end the box after DUR: 90, 90s, 1h30m'
complete -c nobox -n __nobox_flag -l stop-timeout -x -d 'how long from TERM to KILL (default 10s)'
complete -c nobox -n __nobox_flag -l ulimit -x -a 'as= core= cpu= data= fsize= locks= memlock= msgqueue= nice= nofile= nproc= rss= rtprio= rttime= sigpending= stack=' -d 'a resource limit, such as nofile=1024'
complete -c nobox -n __nobox_flag -l preserve-fd -x -d 'an open descriptor that the command gets'
complete -c nobox -n __nobox_flag -l cap-add -x -a 'ALL CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE' -d 'a capability the command holds, or ALL'
complete -c nobox -n __nobox_flag -l cap-drop -x -a 'ALL CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE' -d 'a capability the command does not hold, or ALL'
complete -c nobox -n __nobox_flag -l tier -x -a 'namespaces landlock' -d 'what holds it: namespaces, or landlock alone'
complete -c nobox -n __nobox_flag -l allow-userns -d 'let the command make namespaces of its own'
complete -c nobox -n __nobox_flag -l security-opt -x -a 'seccomp= seccomp=unconfined no-new-privileges' -d 'seccomp=FILE|unconfined, systempaths=unconfined'
complete -c nobox -n __nobox_flag -l net -x -a 'user none host pasta slirp4netns' -d 'user, none, host, pasta, slirp4netns or ns:PATH'
complete -c nobox -n __nobox_flag -s p -l publish -x -d 'make a port of the box reachable on the host'
complete -c nobox -n __nobox_flag -l allow-host -x -d 'reach NAME, *.NAME or CIDR[:PORT] alone'
complete -c nobox -n __nobox_flag -l deny-host -x -d 'do not reach NAME, *.NAME or CIDR[:PORT]'
complete -c nobox -n __nobox_flag -l client-address -d 'behind -p servers see who connects'
complete -c nobox -n __nobox_flag -l host-port -x -d 'open a port of the host\'s loopback to the box'
complete -c nobox -n __nobox_flag -l add-host -x -d 'a line of the box\'s /etc/hosts'
complete -c nobox -n __nobox_flag -l dns -x -d 'ask this resolver, not the host\'s'
complete -c nobox -n __nobox_flag -l dns-search -x -d 'complete short names by this domain; . is none'
complete -c nobox -n __nobox_flag -l mtu -x -d 'the MTU of the box\'s device (default 1500)'
complete -c nobox -n __nobox_flag -l net-log -r -F -d 'a line of JSON for each connection in FILE'
complete -c nobox -n __nobox_flag -l connect-tcp -x -d 'with --tier=landlock: ports to connect to'
complete -c nobox -n __nobox_flag -l bind-tcp -x -d 'with --tier=landlock: ports to listen at'
complete -c nobox -n __nobox_flag -s m -l memory -x -d 'at most SIZE of memory, such as 512m'
complete -c nobox -n __nobox_flag -l memory-swap -x -d 'memory and swap together (default: no swap)'
complete -c nobox -n __nobox_flag -l memory-reservation -x -d 'slow the box down above SIZE of memory'
complete -c nobox -n __nobox_flag -l cpus -x -d 'at most the time of N CPUs, such as 1.5'
complete -c nobox -n __nobox_flag -l cpu-weight -x -d 'share of the CPUs against others: 1 to 10000'
complete -c nobox -n __nobox_flag -l cpuset-cpus -x -d 'run on these CPUs alone, such as 0-3,7'
complete -c nobox -n __nobox_flag -l pids-limit -x -d 'at most N processes and threads; -1 is any'
complete -c nobox -n __nobox_flag -l io-weight -x -d 'share of the disks against others: 1 to 10000'
complete -c nobox -n __nobox_flag -l device-read-bps -r -F -d 'at most RATE bytes read a second, on P\'s disk'
complete -c nobox -n __nobox_flag -l device-write-bps -r -F -d 'at most RATE bytes written a second, P\'s disk'
complete -c nobox -n __nobox_flag -l device-read-iops -r -F -d 'at most RATE reads a second, on P\'s disk'
complete -c nobox -n __nobox_flag -l device-write-iops -r -F -d 'at most RATE writes a second, on P\'s disk'
complete -c nobox -n __nobox_flag -l cgroup -x -d 'its cgroup: auto, systemd, off, or a path'
complete -c nobox -n __nobox_flag -l cgroup-writable -d 'let the box make cgroups below its own'
complete -c nobox -n __nobox_flag -l best-effort -d 'drop limits that cannot be enforced, and say so'
complete -c nobox -n __nobox_flag -l report -r -F -d 'tell what the box took: on stderr, or in FILE'
complete -c nobox -n __nobox_flag -l profile -x -a '(__nobox_profiles) none' -d 'settings by name: dev, agent, ci, strict, demo'
complete -c nobox -n __nobox_flag -l explain -a 'words syscalls json' -d 'print the plan: in words, syscalls, json'
complete -c nobox -n __nobox_flag -l json-status-fd -x -d 'write child-pid and exit-code to FD, like bwrap'
complete -c nobox -n __nobox_flag -l verbose -d 'say how long the parts of a start took'
complete -c nobox -n __nobox_flag -s h -l help -d 'the help; nobox help FLAG tells about one'
