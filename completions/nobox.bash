# Completion of nobox for bash. Made by "nobox completion bash".

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
        --rootfs|--rootfs=) kind='dir' ;;
        --overlay=) kind='dir' ;;
        --overlay-dir|--overlay-dir=) kind='dir' ;;
        --name|--name=) kind='none' ;;
        --hostname|--hostname=) kind='none' ;;
        --cwd|--cwd=) kind='rw ro overlay hidden' ;;
        --home|--home=) kind='hidden ro overlay rw' ;;
        -v|--volume|--volume=) kind='bind' ;;
        --bind|--bind=) kind='file' ;;
        --ro-bind|--ro-bind=) kind='file' ;;
        --mount|--mount=) kind='none' ;;
        --mask|--mask=) kind='file' ;;
        --device|--device=) kind='file' ;;
        --tmpfs|--tmpfs=) kind='none' ;;
        --userns|--userns=) kind='auto keep-id' ;;
        --uidmap|--uidmap=) kind='none' ;;
        --gidmap|--gidmap=) kind='none' ;;
        -u|--user|--user=) kind='user' ;;
        -w|--workdir|--workdir=) kind='dir' ;;
        -e|--env|--env=) kind='variable' ;;
        --env-file|--env-file=) kind='file' ;;
        --tty=) kind='true false' ;;
        --timeout|--timeout=) kind='none' ;;
        --stop-timeout|--stop-timeout=) kind='none' ;;
        --ulimit|--ulimit=) kind='as= core= cpu= data= fsize= locks= memlock= msgqueue= nice= nofile= nproc= rss= rtprio= rttime= sigpending= stack=' ;;
        --preserve-fd|--preserve-fd=) kind='none' ;;
        --cap-add|--cap-add=) kind='ALL CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE' ;;
        --cap-drop|--cap-drop=) kind='ALL CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE' ;;
        --tier|--tier=) kind='namespaces landlock' ;;
        --security-opt|--security-opt=) kind='seccomp= seccomp=unconfined no-new-privileges' ;;
        --net|--net=) kind='user none host pasta slirp4netns' ;;
        -p|--publish|--publish=) kind='none' ;;
        --allow-host|--allow-host=) kind='none' ;;
        --deny-host|--deny-host=) kind='none' ;;
        --host-port|--host-port=) kind='none' ;;
        --add-host|--add-host=) kind='none' ;;
        --dns|--dns=) kind='none' ;;
        --dns-search|--dns-search=) kind='none' ;;
        --mtu|--mtu=) kind='none' ;;
        --net-log|--net-log=) kind='file' ;;
        --connect-tcp|--connect-tcp=) kind='none' ;;
        --bind-tcp|--bind-tcp=) kind='none' ;;
        -m|--memory|--memory=) kind='none' ;;
        --memory-swap|--memory-swap=) kind='none' ;;
        --memory-reservation|--memory-reservation=) kind='none' ;;
        --cpus|--cpus=) kind='none' ;;
        --cpu-weight|--cpu-weight=) kind='none' ;;
        --cpuset-cpus|--cpuset-cpus=) kind='none' ;;
        --pids-limit|--pids-limit=) kind='none' ;;
        --io-weight|--io-weight=) kind='none' ;;
        --device-read-bps|--device-read-bps=) kind='file' ;;
        --device-write-bps|--device-write-bps=) kind='file' ;;
        --device-read-iops|--device-read-iops=) kind='file' ;;
        --device-write-iops|--device-write-iops=) kind='file' ;;
        --cgroup|--cgroup=) kind='none' ;;
        --report=) kind='file' ;;
        --profile|--profile=) kind='profile' ;;
        --explain=) kind='words syscalls json' ;;
        --json-status-fd|--json-status-fd=) kind='none' ;;
    esac

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

# _nobox_words finds flags, verbs and what goes with a verb.
_nobox_words() {
    case $1 in
        help) (( $# == 2 )) && found=(help doctor profiles exec attach port ps stop wait logs rm inspect version completion diff apply discard rm-owned box files identity process hardening network limits see all --rootfs --read-only --overlay --review --overlay-dir --name --detach --hostname --cwd --home --volume --bind --ro-bind --mount --mask --device --tmpfs --userns --map-root-user --map-current-user --uidmap --gidmap --user --workdir --env --env-file --env-host --tty --interactive --as-pid-1 --die-with-parent --timeout --stop-timeout --ulimit --preserve-fd --cap-add --cap-drop --tier --allow-userns --security-opt --net --publish --allow-host --deny-host --client-address --host-port --add-host --dns --dns-search --mtu --net-log --connect-tcp --bind-tcp --memory --memory-swap --memory-reservation --cpus --cpu-weight --cpuset-cpus --pids-limit --io-weight --device-read-bps --device-write-bps --device-read-iops --device-write-iops --cgroup --cgroup-writable --best-effort --report --profile --explain --json-status-fd --verbose --help); return ;;
        completion) (( $# == 2 )) && found=(bash zsh fish); return ;;
        doctor) (( $# > 1 )) && { found=(--json --apparmor-profile box kernel user-namespaces namespaces apparmor newuidmap newgidmap subuid subgid proc overlay tun veth ipv6 network pasta slirp4netns bus linger cgroup limits seccomp landlock container); return; } ;;
        profiles) (( $# == 2 )) && found=($(nobox profiles 2>/dev/null | awk '{ print $1 }')); (( $# > 1 )) && return ;;
        exec) (( $# > 1 )) && { found=($(nobox ps 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(-- -t --tty -u --user -w --workdir -e --env --env-file --env-host --ulimit --timeout --stop-timeout --explain --verbose); return; } ;;
        attach) (( $# > 1 )) && { found=($(nobox ps 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(--detach-keys --no-stdin --sig-proxy); return; } ;;
        port) (( $# > 1 )) && { found=($(nobox ps 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(-p --close); return; } ;;
        ps) (( $# > 1 )) && { found=(--all --json); return; } ;;
        stop) (( $# > 1 )) && { found=($(nobox ps 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(--time); return; } ;;
        wait) (( $# > 1 )) && { found=($(nobox ps --all 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(); return; } ;;
        logs) (( $# > 1 )) && { found=($(nobox ps --all 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(--follow); return; } ;;
        rm) (( $# > 1 )) && { found=($(nobox ps --all 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(); return; } ;;
        inspect) (( $# > 1 )) && { found=($(nobox ps --all 2>/dev/null | awk 'NR > 1 { print $1 }'))
            [[ ${!#} == -* ]] && found+=(); return; } ;;
        diff) (( $# > 1 )) && { [[ ${!#} == -* ]] && found=(--json) || compopt -o dirnames 2>/dev/null; return; } ;;
        apply) (( $# > 1 )) && { [[ ${!#} == -* ]] && found=(--force) || compopt -o dirnames 2>/dev/null; return; } ;;
        discard) (( $# > 1 )) && { [[ ${!#} == -* ]] && found=() || compopt -o dirnames 2>/dev/null; return; } ;;
        rm-owned) (( $# > 1 )) && { [[ ${!#} == -* ]] && found=(--hand-back --yes) || compopt -o dirnames 2>/dev/null; return; } ;;
        version) (( $# > 1 )) && return ;;
    esac
    found=(--)
    (( $# == 1 )) && found+=(help doctor profiles exec attach port ps stop wait logs rm inspect version completion diff apply discard rm-owned)
    [[ ${!#} == -* ]] && found+=(
        --rootfs
        --read-only
        --overlay
        --review
        --overlay-dir
        --name
        -d --detach
        --hostname
        --cwd=
        --home=
        -v --volume
        --bind
        --ro-bind
        --mount
        --mask
        --device
        --tmpfs
        --userns=
        -r --map-root-user
        -c --map-current-user
        --uidmap
        --gidmap
        -u --user
        -w --workdir
        -e --env
        --env-file
        --env-host
        -t --tty
        -i --interactive
        --as-pid-1
        --die-with-parent
        --timeout
        --stop-timeout
        --ulimit
        --preserve-fd
        --cap-add
        --cap-drop
        --tier=
        --allow-userns
        --security-opt
        --net=
        -p --publish
        --allow-host
        --deny-host
        --client-address
        --host-port
        --add-host
        --dns
        --dns-search
        --mtu
        --net-log
        --connect-tcp
        --bind-tcp
        -m --memory
        --memory-swap
        --memory-reservation
        --cpus
        --cpu-weight
        --cpuset-cpus
        --pids-limit
        --io-weight
        --device-read-bps
        --device-write-bps
        --device-read-iops
        --device-write-iops
        --cgroup
        --cgroup-writable
        --best-effort
        --report
        --profile
        --explain
        --json-status-fd
        --verbose
        -h --help
    )
}
