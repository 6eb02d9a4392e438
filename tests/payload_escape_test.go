package tests

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"nobox/tests/rawcall"
)

// The payload "escape" tries to get out, or to reach what it must not, each way
// under a name, and says of each whether it is shut or open, and by what:
//
//	NAME shut|open WHAT
//
// Nothing it tries does harm where it is open.

// A bait is what the test lays out for the payload: NAME=VALUE arguments.
type bait map[string]string

type probe struct {
	name string
	// tried where nothing is closed it is open: the control. Else it says why
	// the control cannot show that.
	control string
	try     func(bait) (open bool, what string)
}

const shown = "" // the control shows it open

func escape(args []string) {
	b := bait{}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		b[name] = value
	}
	for _, p := range probes() {
		open, what := p.try(b)
		verdict := "shut"
		if open {
			verdict = "open"
		}
		fmt.Printf("%s %s %s\n", p.name, verdict, strings.ReplaceAll(what, "\n", " "))
	}
	os.Exit(0)
}

// refused are the errnos by which a filter says no. Every other result, an
// error too, comes from the call itself.
func refused(e syscall.Errno) bool {
	return e == unix.EPERM || e == unix.ENOSYS || e == unix.EAFNOSUPPORT || e == unix.EPROTONOSUPPORT
}

func native(nr uintptr, args ...uintptr) func(bait) (bool, string) {
	return func(bait) (bool, string) {
		var a [6]uintptr
		copy(a[:], args)
		r, _, e := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e == 0 {
			return true, fmt.Sprint(r)
		}
		return !refused(e), e.Error()
	}
}

// high is what stands in the half of an argument that the kernel ignores.
const high = 0x1234567800000000

const privileged = "the kernel asks for a capability as well"

func probes() []probe {
	const (
		newuser = unix.CLONE_NEWUSER
		minus1  = ^uintptr(0)
	)
	ps := []probe{
		// With a flag that makes it fail where the filter lets it pass.
		{"sys_unshare_user", shown, native(unix.SYS_UNSHARE, newuser)}, // EINVAL: the process has threads
		{"sys_unshare_time", privileged, native(unix.SYS_UNSHARE, 0x80)},
		{"sys_clone_user", shown, native(unix.SYS_CLONE, newuser|unix.CLONE_FS)},
		{"sys_clone_user_hibits", shown, native(unix.SYS_CLONE, high|newuser|unix.CLONE_FS)},
		{"sys_clone_net", shown, native(unix.SYS_CLONE, unix.CLONE_NEWNS|unix.CLONE_FS)},
		{"sys_clone3_user", shown, native(unix.SYS_CLONE3, 0, 0)},
		{"sys_setns", shown, native(unix.SYS_SETNS, minus1, 0)},
		{"sys_ioctl_tiocsti", shown, native(unix.SYS_IOCTL, minus1, unix.TIOCSTI)},
		{"sys_ioctl_tioclinux", shown, native(unix.SYS_IOCTL, minus1, 0x541c)},
		{"sys_ioctl_tiocsetd", shown, native(unix.SYS_IOCTL, minus1, unix.TIOCSETD)},
		{"sys_ioctl_hibits", shown, native(unix.SYS_IOCTL, minus1, high|unix.TIOCSTI)},
		{"sys_keyctl", shown, native(unix.SYS_KEYCTL, 0, minus1-2, 0)},
		{"sys_add_key", shown, native(unix.SYS_ADD_KEY, 0, 0, 0, 0, 0)},
		{"sys_request_key", shown, native(unix.SYS_REQUEST_KEY, 0, 0, 0, 0)},
		{"sys_userfaultfd", shown, native(unix.SYS_USERFAULTFD, 1)}, // UFFD_USER_MODE_ONLY
		{"sys_io_uring_setup", shown, native(unix.SYS_IO_URING_SETUP, 0, 0)},
		{"sys_io_uring_enter", shown, native(unix.SYS_IO_URING_ENTER, minus1)},
		{"sys_io_uring_register", shown, native(unix.SYS_IO_URING_REGISTER, minus1)},
		{"sys_perf_event_open", shown, native(unix.SYS_PERF_EVENT_OPEN, 0, 0, minus1, minus1)},
		{"sys_bpf", privileged, native(unix.SYS_BPF, 0, 0, 0)},
		{"sys_open_by_handle_at", shown, native(unix.SYS_OPEN_BY_HANDLE_AT, minus1, 0, 0)},
		{"sys_mount", privileged, native(unix.SYS_MOUNT, 0, 0, 0, 0, 0)},
		{"sys_umount2", privileged, native(unix.SYS_UMOUNT2, 0, 0)},
		{"sys_pivot_root", privileged, native(unix.SYS_PIVOT_ROOT, 0, 0)},
		{"sys_fsopen", privileged, native(unix.SYS_FSOPEN, 0, 0)},
		{"sys_fsmount", privileged, native(unix.SYS_FSMOUNT, minus1, 0, 0)},
		{"sys_fspick", privileged, native(unix.SYS_FSPICK, minus1, 0, 0)},
		{"sys_open_tree", shown, native(unix.SYS_OPEN_TREE, minus1, 0, 0)},
		{"sys_move_mount", privileged, native(unix.SYS_MOVE_MOUNT, minus1, 0, minus1, 0, 0)},
		{"sys_mount_setattr", shown, native(unix.SYS_MOUNT_SETATTR, minus1, 0, 0, 0, 0)},
		{"sys_init_module", privileged, native(unix.SYS_INIT_MODULE, 0, 0, 0)},
		{"sys_kexec_load", privileged, native(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)},
		{"sys_reboot", privileged, native(unix.SYS_REBOOT, 0, 0, 0)},
		{"sys_swapon", privileged, native(unix.SYS_SWAPON, 0, 0)},
		{"sys_settimeofday", privileged, native(unix.SYS_SETTIMEOFDAY, 0, 0)},
		{"sys_acct", privileged, native(unix.SYS_ACCT, 0)},
		{"sys_quotactl", shown, native(unix.SYS_QUOTACTL, 0, 0, 0, 0)},
		{"sys_fanotify_init", privileged, native(unix.SYS_FANOTIFY_INIT, 0xffffffff, 0)},
		{"sys_syslog", privileged, native(unix.SYS_SYSLOG, 1000, 0, 0)},
		{"sys_personality", shown, native(unix.SYS_PERSONALITY, 0x0040000)}, // ADDR_NO_RANDOMIZE

		{"sys_socket_alg", "the kernel may have no AF_ALG", native(unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{"sys_socket_vsock", "the kernel may have no AF_VSOCK", native(unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"sys_socket_vsock_hibits", "the kernel may have no AF_VSOCK", native(unix.SYS_SOCKET, high|unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"sys_socket_packet", privileged, native(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"sys_socket_packet_as_inet", privileged, native(unix.SYS_SOCKET, unix.AF_INET, 10, 0)},
		{"sys_socket_netlink_xfrm", "the kernel may have no xfrm", native(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM)},
		{"sys_socket_netlink_netfilter", "the kernel may have no netfilter", native(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, high|unix.NETLINK_NETFILTER)},
		{"sys_socket_sctp", "the kernel may have no SCTP", native(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)},
	}
	// Families that hardly anything uses.
	ps = append(ps, probe{"sys_rare_sockets", "the kernel may have none of them", func(bait) (bool, string) {
		for f := uintptr(0); f < 64; f++ {
			switch f {
			case unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK:
				continue
			}
			for _, kind := range []uintptr{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
				if _, _, e := syscall.RawSyscall(unix.SYS_SOCKET, f, kind, 0); e != unix.EAFNOSUPPORT {
					return true, fmt.Sprintf("family %d: %v", f, e)
				}
			}
		}
		return false, "all are unknown"
	}})
	// x32 has the numbers of amd64 with a bit set. A kernel without x32 has no
	// such calls, the filter must have none whatever the kernel is.
	ps = append(ps, probe{"sys_x32", "the kernel may have no x32", func(bait) (bool, string) {
		for _, nr := range []uintptr{unix.SYS_GETPID, unix.SYS_UNSHARE, unix.SYS_KEYCTL, unix.SYS_SOCKET, unix.SYS_CLONE3, 512, 520, 545} {
			if _, _, e := syscall.RawSyscall(nr|0x40000000, 0, 0, 0); e != unix.ENOSYS {
				return true, fmt.Sprintf("call %d: %v", nr, e)
			}
		}
		return false, "no such call"
	}})
	return append(places(), ps...) // the calls leave descriptors behind
}

// places are probes that are not about single system calls.
func places() []probe {
	status := func(file, field string) string {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, field+":"); ok {
				return strings.TrimSpace(v)
			}
		}
		return "?"
	}
	reads := func(file string) (bool, string) {
		b, err := os.ReadFile(file)
		if err != nil {
			return false, err.Error()
		}
		return len(bytes.Trim(b, "\x00")) > 0, fmt.Sprintf("%d bytes", len(b))
	}
	dials := func(network, where string) (bool, string) {
		c, err := net.DialTimeout(network, where, 2*time.Second)
		if err != nil {
			return false, err.Error()
		}
		defer c.Close()
		if network == "udp" {
			c.Write([]byte("?"))
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		var buf [5]byte
		n, _ := c.Read(buf[:])
		return string(buf[:n]) == "bait!", "connected, " + string(buf[:n])
	}
	return []probe{
		{"caps", "the caller has none either", func(bait) (bool, string) {
			const docker = 0xa80425fb
			for _, f := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				v, err := strconv.ParseUint(status("/proc/self/status", f), 16, 64)
				if err != nil || v&^docker != 0 || (f == "CapInh" || f == "CapAmb") && v != 0 {
					return true, f + " " + status("/proc/self/status", f)
				}
			}
			return false, "docker's at most"
		}},
		{"nonewprivs", shown, func(bait) (bool, string) {
			v := status("/proc/self/status", "NoNewPrivs")
			return v != "1", v
		}},
		{"seccomp", shown, func(bait) (bool, string) {
			v := status("/proc/self/status", "Seccomp") + status("/proc/1/status", "Seccomp")
			return v != "22", v
		}},
		{"securebits", shown, func(bait) (bool, string) {
			v, _, _ := syscall.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_SECUREBITS, 0, 0)
			return v&0x8a != 0x8a, fmt.Sprintf("%#x", v)
		}},
		{"fd_leak", shown, func(bait) (bool, string) {
			// The runtime's own are anonymous or of the kernel's file systems.
			var host []string
			for fd := 3; fd < 1024; fd++ {
				if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/") && !strings.HasPrefix(to, "/proc/") {
					host = append(host, fmt.Sprintf("%d %s", fd, to))
				}
			}
			return len(host) > 0, strings.Join(host, ", ")
		}},
		{"stdin_write", shown, func(bait) (bool, string) {
			// The file that is stdin, opened for reading alone, is on a mount of the caller's.
			fd, err := unix.Open("/proc/self/fd/0", unix.O_WRONLY, 0)
			if err != nil {
				return false, err.Error()
			}
			unix.Close(fd)
			return true, "opens for writing"
		}},
		{"fd_names", "a descriptor of the caller's names its file", func(b bait) (bool, string) {
			for fd := range 3 {
				if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.HasPrefix(to, "/") && to != "/dev/null" && to != b["stdin"] && !strings.HasPrefix(to, "/dev/pts/") && !strings.HasPrefix(to, "/dev/console") {
					return true, to
				}
			}
			return false, "pipes, terminals, /dev/null"
		}},
		{"cwd_inside", "the caller's is one", func(bait) (bool, string) {
			var buf [4096]byte
			n, err := unix.Getcwd(buf[:])
			return err != nil || buf[0] != '/', string(buf[:max(n-1, 0)])
		}},
		{"env_secret", shown, func(b bait) (bool, string) {
			for _, kv := range os.Environ() {
				if strings.Contains(kv, b["secret"]) {
					return true, kv
				}
			}
			return false, "not in the environment"
		}},
		{"proc_environ", "pid 1 is another user's", func(b bait) (bool, string) {
			return reads("/proc/1/environ")
		}},
		{"init_exe", "pid 1 is another user's", func(bait) (bool, string) {
			for _, f := range []string{"exe", "root", "cwd", "fd", "fd/0", "fd/3", "map_files", "ns/user"} {
				if fd, err := unix.Open("/proc/1/"+f, unix.O_RDONLY, 0); err == nil {
					return true, fmt.Sprintf("/proc/1/%s opens: %d", f, fd)
				}
				if to, err := os.Readlink("/proc/1/" + f); err == nil {
					return true, "/proc/1/" + f + " is " + to
				}
			}
			return false, "closed"
		}},
		{"init_mem", "pid 1 is another user's", func(bait) (bool, string) {
			for _, f := range []string{"mem", "maps", "smaps", "auxv", "syscall", "stack", "personality", "io"} {
				if b, err := os.ReadFile("/proc/1/" + f); err == nil && len(b) > 0 {
					return true, "/proc/1/" + f
				}
			}
			var word [8]byte
			if _, _, e := syscall.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1, 0, 0, 0, 0); e == 0 {
				return true, "ptrace"
			}
			local := unix.Iovec{Base: &word[0], Len: 8}
			remote := unix.RemoteIovec{Base: 0x400000, Len: 8}
			if _, err := unix.ProcessVMReadv(1, []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0); err == nil {
				return true, "process_vm_readv"
			}
			if fd, err := unix.PidfdOpen(1, 0); err == nil {
				if _, err := unix.PidfdGetfd(fd, 0, 0); err == nil {
					return true, "pidfd_getfd"
				}
			}
			return false, "closed"
		}},
		{"proc_exe_overwrite", "the test does not overwrite its own binary", func(b bait) (bool, string) {
			for _, f := range []string{"/proc/1/exe", b["nobox"]} {
				if f == "" {
					continue
				}
				if fd, err := unix.Open(f, unix.O_WRONLY, 0); err == nil {
					unix.Close(fd)
					return true, f + " opens for writing"
				}
				if err := os.Rename(f, f+".moved"); err == nil {
					return true, f + " can be renamed"
				}
				if err := os.Remove(f); err == nil {
					return true, f + " can be removed"
				}
			}
			return false, "neither written nor moved"
		}},
		{"proc_dangerous_write", privileged, func(bait) (bool, string) {
			for _, f := range []string{
				"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/hostname",
				"/proc/sys/user/max_user_namespaces", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/default_smp_affinity", "/proc/bus/pci/devices",
				"/sys/kernel/uevent_helper", "/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/cgroup.subtree_control",
				"/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/module/kernel/parameters/crash_kexec_post_notifiers",
			} {
				if fd, err := unix.Open(f, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
					return true, f
				} else if err == unix.EINTR {
					return true, f + ": " + err.Error()
				} else {
					unix.Close(fd)
				}
			}
			return false, "none opens"
		}},
		{"proc_masked", "users may not read all of it", func(bait) (bool, string) {
			for _, f := range []string{"kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "interrupts"} {
				if open, what := reads("/proc/" + f); open {
					return true, f + ": " + what
				}
			}
			for _, d := range []string{"/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/devices/virtual/powercap"} {
				if es, err := os.ReadDir(d); err == nil && len(es) > 0 {
					return true, d
				}
			}
			return false, "empty"
		}},
		{"write_outside", "the caller may not write there either", func(bait) (bool, string) {
			for _, d := range []string{"/", "/etc", "/usr", "/usr/bin", "/var", "/opt", "/sys", "/proc", "/boot", "/lib"} {
				name := filepath.Join(d, ".escape")
				if fd, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY, 0o600); err == nil {
					unix.Close(fd)
					os.Remove(name)
					return true, name
				}
			}
			return false, "nowhere"
		}},
		{"nosuid", "the host's tree has no such flag", func(bait) (bool, string) {
			b, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				return true, err.Error()
			}
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) > 5 && !slices.Contains(strings.Split(f[5], ","), "nosuid") {
					return true, line
				}
			}
			return false, "every mount"
		}},
		{"mount_oldroot", "there was none", func(bait) (bool, string) {
			b, _ := os.ReadFile("/proc/self/mountinfo")
			roots := 0
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) > 5 && f[4] == "/" {
					roots++
				}
			}
			return roots != 1, fmt.Sprintf("%d mounts at /", roots)
		}},
		{"mknod_dev", privileged, func(bait) (bool, string) {
			for _, kind := range []uint32{unix.S_IFBLK, unix.S_IFCHR} {
				name := fmt.Sprintf("/tmp/dev-%d", os.Getpid())
				dev := int(unix.Mkdev(8, 0))
				if kind == unix.S_IFCHR {
					dev = int(unix.Mkdev(1, 1)) // /dev/mem
				}
				err := unix.Mknod(name, kind|0o666, dev)
				if err == nil {
					fd, err := unix.Open(name, unix.O_RDONLY, 0)
					os.Remove(name)
					if err == nil {
						unix.Close(fd)
						return true, "a device opens"
					}
				}
			}
			return false, "none can be made, or opened"
		}},
		{"dev_raw", "the caller may not open them", func(bait) (bool, string) {
			es, err := os.ReadDir("/dev")
			if err != nil {
				return false, err.Error()
			}
			for _, e := range es {
				if !slices.Contains(strings.Fields("null zero full random urandom tty pts ptmx shm mqueue fd stdin stdout stderr console core"), e.Name()) {
					return true, "/dev/" + e.Name()
				}
			}
			return false, "the few"
		}},
		{"devpts_host", "another user's terminals are closed to the caller", func(bait) (bool, string) {
			es, _ := os.ReadDir("/dev/pts")
			for _, e := range es {
				if e.Name() != "ptmx" && e.Name() != "0" {
					return true, e.Name()
				}
			}
			return false, "the box's own"
		}},
		{"pid_host", shown, func(b bait) (bool, string) {
			pid, _ := strconv.Atoi(b["pid"])
			comm, err := os.ReadFile("/proc/" + b["pid"] + "/comm")
			if err == nil && strings.TrimSpace(string(comm)) == b["comm"] {
				return true, "it is seen"
			}
			return false, fmt.Sprintf("signal 0: %v", unix.Kill(pid, 0))
		}},
		{"memory_host", shown, func(b bait) (bool, string) {
			id, _ := strconv.Atoi(b["shm"])
			mem, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
			if err != nil {
				return false, err.Error()
			}
			return string(mem[:5]) == "bait!", "attached"
		}},
		{"limits_host", shown, func(b bait) (bool, string) {
			// Of the test itself, or of whoever has its number here: as they are.
			pid, _ := strconv.Atoi(b["pid"])
			comm, _ := os.ReadFile("/proc/" + b["pid"] + "/comm")
			if strings.TrimSpace(string(comm)) != b["comm"] {
				return false, "it is not seen"
			}
			var own unix.Rlimit
			if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &own); err != nil {
				return false, err.Error()
			}
			return unix.Prlimit(pid, unix.RLIMIT_CORE, &own, nil) == nil, "set to what it was"
		}},
		{"priority_host", shown, func(b bait) (bool, string) {
			pid, _ := strconv.Atoi(b["pid"])
			comm, _ := os.ReadFile("/proc/" + b["pid"] + "/comm")
			if strings.TrimSpace(string(comm)) != b["comm"] {
				return false, "it is not seen"
			}
			nice, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
			if err != nil {
				return false, err.Error()
			}
			err = unix.Setpriority(unix.PRIO_PROCESS, pid, 20-nice)
			return err == nil, fmt.Sprint("nice ", 20-nice, " ", err)
		}},
		{"udp_host", shown, func(b bait) (bool, string) { return dials("udp", b["udp"]) }},
		{"ns", shown, func(b bait) (bool, string) {
			var same []string
			for _, n := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
				if to, err := os.Readlink("/proc/self/ns/" + n); err != nil || to == b["ns_"+n] {
					same = append(same, n)
				}
			}
			return len(same) > 0, strings.Join(same, " ")
		}},
		{"abstract_host", shown, func(b bait) (bool, string) { return dials("unix", "@"+b["abstract"]) }},
		{"unix_path_home", shown, func(b bait) (bool, string) { return dials("unix", b["socket"]) }},
		{"peer_pidfd", "before Linux 6.5 there is none", func(b bait) (bool, string) {
			// A pidfd of who listens at a socket that the box is shown (SO_PEERPIDFD).
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return false, err.Error()
			}
			defer unix.Close(fd)
			if err := unix.Connect(fd, &unix.SockaddrUnix{Name: b["socket"]}); err != nil {
				return false, err.Error()
			}
			peer, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
			if err != nil {
				return false, err.Error()
			}
			defer unix.Close(peer)
			if err := unix.PidfdSendSignal(peer, 0, nil, 0); err == nil {
				return true, "takes signals"
			}
			if _, err := unix.PidfdGetfd(peer, 0, 0); err == nil {
				return true, "hands descriptors out"
			}
			for nr := uint(0xff01); nr <= 0xff0a; nr++ { // PIDFD_GET_*_NAMESPACE; linux/pidfd.h
				if _, err := unix.IoctlRetInt(peer, nr); err == nil {
					return true, "hands namespaces out"
				}
			}
			return false, "it can do nothing"
		}},
		{"loopback_host", shown, func(b bait) (bool, string) { return dials("tcp", b["tcp"]) }},
		{"loopback_gateway", "outside those addresses are somebody else's", func(b bait) (bool, string) {
			_, port, _ := net.SplitHostPort(b["tcp"])
			for _, host := range []string{"10.0.2.2", "10.0.2.3", "[fd6e:6f62:6f78::2]", "169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0"} {
				if b["net"] != "user" {
					break
				}
				if open, what := dials("tcp", host+":"+port); open {
					return true, host + ": " + what
				}
			}
			return false, "none answers"
		}},
		{"home_secret", shown, func(b bait) (bool, string) { return reads(b["file"]) }},
		{"keyring", shown, func(bait) (bool, string) {
			name := []byte(keyName + "\x00")
			kind := []byte("user\x00")
			id, _, e := syscall.RawSyscall6(unix.SYS_KEYCTL, unix.KEYCTL_SEARCH, ^uintptr(2), uintptr(unsafe.Pointer(&kind[0])), uintptr(unsafe.Pointer(&name[0])), 0, 0)
			return e == 0, fmt.Sprintf("%d %v", id, e)
		}},
		{"setgroups_dropped", "the caller has his own", func(b bait) (bool, string) {
			gs, err := unix.Getgroups()
			if err != nil {
				return true, err.Error()
			}
			for _, g := range gs {
				if g != 65534 && g != os.Getgid() && g != 0 {
					return true, fmt.Sprint(gs)
				}
			}
			return false, fmt.Sprint(gs)
		}},
		{"chroot_escape", "the caller may not chroot", func(bait) (bool, string) {
			// chroot(2) with a directory kept open, then up: as root with
			// CAP_SYS_CHROOT. In a process of its own.
			out, err := exec.Command("/proc/self/exe", "payload:chroot-escape").CombinedOutput()
			return strings.Contains(string(out), "out"), fmt.Sprint(strings.TrimSpace(string(out)), err)
		}},
	}
}

// chrootEscape says "out" if it stands in another root than it was given.
func chrootEscape() {
	runtime.LockOSThread()
	var before, after unix.Stat_t
	must(unix.Stat("/", &before))
	dir, err := os.MkdirTemp("/tmp", "c")
	must(err)
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(err)
	if err := unix.Chroot(dir); err != nil {
		os.Remove(dir)
		fmt.Println("in:", err)
		os.Exit(0)
	}
	must(unix.Fchdir(fd))
	for range 64 {
		must(unix.Chdir(".."))
	}
	must(unix.Chroot("."))
	must(unix.Stat("/", &after))
	unix.Unlinkat(fd, strings.TrimPrefix(dir, "/"), unix.AT_REMOVEDIR)
	if before.Dev != after.Dev || before.Ino != after.Ino {
		fmt.Println("out")
		os.Exit(0)
	}
	fmt.Println("in")
	os.Exit(0)
}

func must(err error) {
	if err != nil {
		fail(err)
	}
}

// keyName is a key in the session keyring of who starts the box.
const keyName = "nobox-test-bait"

// withKey runs a program in a session keyring that holds a key:
// PROGRAM ARG...
func withKey(args []string) {
	runtime.LockOSThread()
	if _, _, e := syscall.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); e != 0 {
		fail(e)
	}
	kind, name, value := []byte("user\x00"), []byte(keyName+"\x00"), []byte("secret")
	if _, _, e := syscall.RawSyscall6(unix.SYS_ADD_KEY, uintptr(unsafe.Pointer(&kind[0])), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&value[0])), 6, ^uintptr(2), 0); e != 0 {
		fail(e)
	}
	// Descriptors that a careless caller leaves open: a file, and a directory.
	for fd, file := range map[int]string{9: "/etc/passwd", 10: "/"} {
		n, err := unix.Open(file, unix.O_RDONLY, 0)
		must(err)
		if n != fd {
			must(unix.Dup3(n, fd, 0))
			unix.Close(n)
		}
	}
	fail(syscall.Exec(args[0], args, os.Environ()))
}

// entry32 tries system calls by int 0x80: NR says, a line each. getpid first,
// which every kernel with that entry answers.
func entry32() {
	if !rawcall.Has32 {
		fail(errors.New("this processor has no int 0x80"))
	}
	for _, c := range []struct {
		name        string
		nr, a, b, c uintptr
	}{
		{"getpid", 20, 0, 0, 0}, {"keyctl", 288, 0, ^uintptr(2), 0}, {"add_key", 286, 0, 0, 0}, {"request_key", 287, 0, 0, 0},
		{"unshare", 310, unix.CLONE_NEWUSER, 0, 0}, {"clone", 120, unix.CLONE_NEWUSER | unix.CLONE_FS, 0, 0}, {"clone3", 435, 0, 0, 0},
		{"setns", 346, ^uintptr(0), 0, 0}, {"ptrace", 26, 0, 0, 0}, {"mount", 21, 0, 0, 0}, {"bpf", 357, 0, 0, 0}, {"userfaultfd", 374, 0, 0, 0},
		{"socketcall", 102, 1, 0, 0}, {"socket vsock", 359, unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {"socket alg", 359, unix.AF_ALG, unix.SOCK_SEQPACKET, 0},
		{"ioctl tiocsti", 54, ^uintptr(0), unix.TIOCSTI, 0}, {"settimeofday", 79, 0, 0, 0}, {"io_uring_setup", 425, 0, 0, 0},
		{"open_by_handle_at", 342, ^uintptr(0), 0, 0}, {"perf_event_open", 336, 0, 0, 0}, {"vm86", 166, 0, 0, 0}, {"modify_ldt", 123, 0, 0, 0},
	} {
		fmt.Printf("%s %d\n", c.name, rawcall.Int80(c.nr, c.a, c.b, c.c))
	}
	os.Exit(0)
}

// grabExe waits for a process in the box that runs nobox, and changes its file's
// mode by /proc/PID/exe. It says which file that was.
func grabExe() {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		procs, err := os.ReadDir("/proc")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for _, p := range procs {
			exe := "/proc/" + p.Name() + "/exe"
			if to, err := os.Readlink(exe); err == nil && strings.Contains(filepath.Base(to), "nobox") {
				if err := os.Chmod(exe, 0o777); err == nil {
					fmt.Println("changed", to)
					os.Exit(0)
				}
			}
		}
	}
	fmt.Println("none")
	os.Exit(1)
}
