package userns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nobox/plan"
)

// slotControl is where Start puts the inside's end of the control socket.
const slotControl = 1

// slotNet is nobox's end of the socket to the network's process, where the
// plan has one.
const slotNet = 2

// slotBase is added to a plan's slot numbers.
const slotBase = slotNet

// linux/mount.h
const (
	fsopenCloexec        = 1
	fsmountCloexec       = 1
	fsconfigSetFlag      = 0
	fsconfigSetString    = 1
	fsconfigCmdCreate    = 6
	openTreeClone        = 1
	atRecursive          = 0x8000
	moveMountFEmpty      = 0x4
	moveMountTEmpty      = 0x40
	mountAttrRdonly      = 0x1
	mountAttrNosuid      = 0x2
	mountAttrNodev       = 0x4
	mountAttrNoexec      = 0x8
	mountAttrNosymfollow = 0x200000 // since Linux 5.14
	closeRangeCloexec    = 4
	linuxCapabilityV3    = 0x20080522
	sigBlock             = 0
	sigSetmask           = 2
	sizeofOpenHow        = 24 // flags, mode, resolve; linux/openat2.h
	sizeofMountAttr      = 32 // set, clr, propagation, userns_fd
	sizeofSigset         = 8
	sizeofIfreq          = 40
	sizeofRtentry        = 120 // linux/route.h
	sizeofIn6Rtmsg       = 80  // linux/ipv6_route.h
	iffUp                = 1
	rtfUp                = 0x1
	rtfGateway           = 0x2
	addrGenNone          = 1 // linux/if_link.h
	ip6RtPrioUser        = 1024
	sizeofMessage        = 16
	resolveInRoot        = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	resolveStrictly      = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	oPath                = unix.O_PATH | unix.O_CLOEXEC
	ambientClearAll      = unix.PR_CAP_AMBIENT_CLEAR_ALL
)

// lower turns the inside steps of a plan into system calls. It decides
// nothing: each action has one translation. A slot is closed after the last
// step that uses it. ops and arena are empty buffers to be filled, nil if there
// are none.
func lower(p *plan.Plan, ops []op, arena []byte) (*program, error) {
	l := &lowerer{next: uint32(p.Slots + slotBase), ops: ops, arena: append(arena, make([]byte, 8)...)} // offset 0 is NULL
	lastUse := make([]int32, p.Slots)
	for i, s := range p.Steps {
		if s.Side != plan.Host {
			for _, slot := range plan.Uses(s.Do) {
				lastUse[slot] = int32(i)
			}
		}
	}
	for i, s := range p.Steps {
		if s.Side == plan.Host {
			continue
		}
		l.step = uint32(i)
		l.side(s.Side)
		if err := l.action(s.Do); err != nil {
			return nil, fmt.Errorf("step %d: %w", i+1, err)
		}
		for _, slot := range plan.Uses(s.Do) {
			if lastUse[slot] == int32(i) {
				l.close(l.slot(slot))
				lastUse[slot] = -1
			}
		}
		if i == p.Init.After && p.Init.Reaper {
			l.ops = append(l.ops, op{kind: opFork, step: l.step, want: anyResult})
		}
	}
	return &program{ops: l.ops, arena: l.arena, relocs: l.relocs, slots: int(l.next)}, nil
}

type lowerer struct {
	ops    []op
	arena  []byte
	relocs []int
	step   uint32
	next   uint32   // the next slot that was never used
	spare  []uint32 // slots of lowerings that are closed again

	beside int      // the index of opBeside and 1, 0 if nothing has been done beside
	there  bool     // the steps are those beside
	kept   []uint32 // spare of the inside meanwhile: the two processes share the slots
}

// side begins and ends what is done beside: steps that stand together.
func (l *lowerer) side(s plan.Side) {
	switch there := s == plan.Beside; {
	case there && !l.there:
		l.ops = append(l.ops, op{kind: opBeside, step: l.step, want: anyResult, into: l.next})
		l.beside = len(l.ops)
		l.next++
		l.kept, l.spare = l.spare, nil
		l.there = true
	case l.there && !there:
		b := &l.ops[l.beside-1]
		b.arg[0], b.how[0] = uint32(len(l.ops)-l.beside), argNum
		l.spare, l.there = l.kept, false
	}
}

// an arg is an argument of a call before it is placed.
type arg struct {
	v   uint32
	how argKind
}

func num[T ~int | ~int32 | ~uint32 | ~uint8](v T) arg { return arg{v: uint32(v), how: argNum} }
func hex[T ~int | ~uint32 | ~uint64](v T) arg         { return arg{v: uint32(v), how: argHex} }
func null() arg                                       { return arg{how: argNull} }
func control() arg                                    { return arg{v: slotControl, how: argSlot} }
func network() arg                                    { return arg{v: slotNet, how: argSlot} }
func cwd() arg {
	fd := int32(unix.AT_FDCWD)
	return arg{v: uint32(fd), how: argFD}
}

func (l *lowerer) slot(s plan.Slot) arg { return arg{v: uint32(s) + slotBase, how: argSlot} }

// temp is a slot of the lowering's own; close gives it back.
func (l *lowerer) temp() arg {
	if n := len(l.spare); n > 0 {
		v := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return arg{v: v, how: argSlot}
	}
	l.next++
	return arg{v: l.next - 1, how: argSlot}
}

// str places s in the arena; a NUL in it is an error of whoever made the plan
// and was refused by Plan.Check.
func (l *lowerer) str(s string) arg {
	off := len(l.arena)
	l.arena = append(append(l.arena, s...), 0)
	return arg{v: uint32(off), how: argStr}
}

func (l *lowerer) align() int {
	for len(l.arena)%8 != 0 {
		l.arena = append(l.arena, 0)
	}
	return len(l.arena)
}

// data places 8-aligned bytes in the arena.
func (l *lowerer) data(b []byte) arg {
	off := l.align()
	l.arena = append(l.arena, b...)
	return arg{v: uint32(off), how: argPtr}
}

func (l *lowerer) words(w ...uint64) arg {
	off := l.align()
	for _, v := range w {
		l.arena = binary.NativeEndian.AppendUint64(l.arena, v)
	}
	return arg{v: uint32(off), how: argPtr}
}

// vector places a NULL-terminated vector of strings in the arena.
func (l *lowerer) vector(ss []string) arg {
	offs := make([]uint64, 0, len(ss)+1)
	for _, s := range ss {
		offs = append(offs, uint64(l.str(s).v))
	}
	off := l.align()
	for i := range offs {
		l.relocs = append(l.relocs, off+8*i)
	}
	a := l.words(append(offs, 0)...)
	a.how = argVec
	return a
}

// call appends a system call whose result is not an error.
func (l *lowerer) call(nr uint16, args ...arg) *op {
	l.ops = append(l.ops, op{nr: nr, step: l.step, want: anyResult})
	o := &l.ops[len(l.ops)-1]
	for i, a := range args {
		o.arg[i], o.how[i] = a.v, a.how
	}
	return o
}

// make appends a system call whose result goes to a.
func (l *lowerer) make(a arg, nr uint16, args ...arg) *op {
	o := l.call(nr, args...)
	o.into = a.v
	return o
}

// poke writes the value of a slot, an int, to an address of the arena.
func (l *lowerer) poke(at arg, offset uint32, value arg) {
	l.ops = append(l.ops, op{kind: opPoke, step: l.step, want: anyResult})
	o := &l.ops[len(l.ops)-1]
	o.arg[0], o.how[0] = at.v+offset, argPtr
	o.arg[1], o.how[1] = value.v, value.how
}

func (l *lowerer) close(a arg) { l.call(unix.SYS_CLOSE, a) }

// done closes a temp and gives its slot back.
func (l *lowerer) done(a arg) {
	l.close(a)
	l.spare = append(l.spare, a.v)
}

func (l *lowerer) how(flags, mode, resolve uint64) arg { return l.words(flags, mode, resolve) }

// openIn opens a path below root and never outside of it.
func (l *lowerer) openIn(root arg, path string, flags, mode, resolve uint64) arg {
	t := l.temp()
	l.make(t, unix.SYS_OPENAT2, root, l.str(path), l.how(flags, mode, resolve), num(sizeofOpenHow))
	return t
}

// noFollow is the flag of open(2) by which a symbolic link itself is opened.
func noFollow(link bool) uint64 {
	if link {
		return unix.O_NOFOLLOW
	}
	return 0
}

// parent opens the directory that holds path below root, and closes it behind
// f; a single component needs no opening.
func (l *lowerer) parent(root arg, path string, f func(dir arg, name string)) {
	path = strings.TrimPrefix(path, "/")
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		f(root, path)
		return
	}
	dir := l.openIn(root, path[:i], oPath, 0, resolveInRoot)
	f(dir, path[i+1:])
	l.done(dir)
}

func attrFlags(a plan.Attr) uint64 {
	var f uint64
	for _, x := range []struct {
		on  bool
		bit uint64
	}{{a.ReadOnly, mountAttrRdonly}, {a.NoSuid, mountAttrNosuid}, {a.NoDev, mountAttrNodev}, {a.NoExec, mountAttrNoexec}, {a.NoLinks, mountAttrNosymfollow}} {
		if x.on {
			f |= x.bit
		}
	}
	return f
}

func (l *lowerer) setattr(tree arg, a plan.Attr, recursive bool) {
	f := attrFlags(a)
	if f == 0 {
		return
	}
	flags := unix.AT_EMPTY_PATH
	if recursive {
		flags |= atRecursive
	}
	l.call(unix.SYS_MOUNT_SETATTR, tree, l.str(""), hex(flags), l.words(f, 0, 0, 0), num(sizeofMountAttr))
}

func (l *lowerer) writeFile(path, content string) { l.writeFileIn(cwd(), path, content) }

func (l *lowerer) writeFileIn(dir arg, path, content string) {
	t := l.temp()
	l.make(t, unix.SYS_OPENAT, dir, l.str(path), hex(unix.O_WRONLY|unix.O_CLOEXEC))
	l.call(unix.SYS_WRITE, t, l.str(content), num(len(content))).want = int32(len(content))
	l.done(t)
}

func treeFlags(recursive bool) int {
	f := openTreeClone | unix.O_CLOEXEC
	if recursive {
		f |= atRecursive
	}
	return f
}

// send sends a message of a kind, and a descriptor, to a socket.
func (l *lowerer) send(to arg, kind uint32, fd arg) {
	msg := make([]byte, sizeofMessage)
	binary.NativeEndian.PutUint32(msg, kind)
	payload := l.data(msg)
	oob := make([]byte, unix.CmsgSpace(4))
	binary.NativeEndian.PutUint64(oob, uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(oob[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(oob[12:], unix.SCM_RIGHTS)
	cmsg := l.data(oob)
	hdr := l.msghdr(payload, cmsg, len(oob))
	l.poke(cmsg, 16, fd)
	l.call(unix.SYS_SENDMSG, to, hdr, hex(unix.MSG_NOSIGNAL)).want = sizeofMessage
}

// msghdr is a struct msghdr for one message and what comes with it; sendmsg(2).
func (l *lowerer) msghdr(message, control arg, controlLen int) arg {
	iov := l.words(uint64(message.v), sizeofMessage)
	// name, namelen, iov, iovlen, control, controllen, flags
	hdr := l.words(0, 0, uint64(iov.v), 1, uint64(control.v), uint64(controlLen), 0)
	l.relocs = append(l.relocs, int(iov.v), int(hdr.v)+16, int(hdr.v)+32)
	return hdr
}

// ifreq is a struct ifreq of a device, with nothing asked yet; netdevice(7).
func ifreq(name string) []byte {
	b := make([]byte, sizeofIfreq)
	copy(b[:unix.IFNAMSIZ-1], name)
	return b
}

// device sets up a network device by ioctl, which says what is wrong by errno,
// where netlink says it in a message that would have to be read.
//
// Preconditions: the addresses passed Check.
func (l *lowerer) device(a plan.Device) {
	address, gateway := netip.MustParsePrefix(a.Address), netip.MustParseAddr(a.Gateway)
	s := l.temp()
	l.make(s, unix.SYS_SOCKET, num(unix.AF_INET), num(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC))
	set := func(what int, value []byte) {
		ifr := ifreq(a.Name)
		copy(ifr[16:], value)
		l.call(unix.SYS_IOCTL, s, hex(what), l.data(ifr))
	}
	var mask [4]byte
	binary.BigEndian.PutUint32(mask[:], ^uint32(0)<<(32-address.Bits()))
	set(unix.SIOCSIFMTU, binary.NativeEndian.AppendUint32(nil, uint32(a.MTU)))
	set(unix.SIOCSIFADDR, sockaddr4(address.Addr().As4()))
	set(unix.SIOCSIFNETMASK, sockaddr4(mask))
	// No groups, and nobody to ask for a link address or to share one with: the
	// IPv6 address is good at once.
	set(unix.SIOCSIFFLAGS, binary.NativeEndian.AppendUint16(nil, iffUp|unix.IFF_NOARP))

	rt := make([]byte, sizeofRtentry)
	copy(rt[8:], sockaddr4([4]byte{}))      // destination
	copy(rt[24:], sockaddr4(gateway.As4())) // gateway
	copy(rt[40:], sockaddr4([4]byte{}))     // mask
	binary.NativeEndian.PutUint16(rt[56:], rtfUp|rtfGateway)
	name := l.str(a.Name)
	binary.NativeEndian.PutUint64(rt[88:], uint64(name.v)) // device
	route := l.data(rt)
	l.relocs = append(l.relocs, int(route.v)+88)
	l.call(unix.SYS_IOCTL, s, hex(unix.SIOCADDRT), route)
	l.done(s)
}

// deviceIPv6 is device for IPv6. Preconditions: as device.
func (l *lowerer) deviceIPv6(a plan.DeviceIPv6) {
	address, gateway := netip.MustParsePrefix(a.Address), netip.MustParseAddr(a.Gateway).As16()
	s := l.temp()
	l.make(s, unix.SYS_SOCKET, num(unix.AF_INET6), num(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC))
	// struct in6_ifreq: address, length of the prefix, index; linux/ipv6.h
	own := address.Addr().As16()
	req := append(own[:], make([]byte, 8)...)
	binary.NativeEndian.PutUint32(req[16:], uint32(address.Bits()))
	binary.NativeEndian.PutUint32(req[20:], a.Index)
	l.call(unix.SYS_IOCTL, s, hex(unix.SIOCSIFADDR), l.data(req))

	rt := make([]byte, sizeofIn6Rtmsg)
	copy(rt[32:], gateway[:])
	binary.NativeEndian.PutUint32(rt[56:], ip6RtPrioUser)
	binary.NativeEndian.PutUint32(rt[72:], rtfUp|rtfGateway)
	binary.NativeEndian.PutUint32(rt[76:], a.Index)
	l.call(unix.SYS_IOCTL, s, hex(unix.SIOCADDRT), l.data(rt))
	l.done(s)
}

// nlattr is an attribute of a netlink message; netlink(7).
func nlattr(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(make([]byte, 0, 8+len(value)), uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// linkMessage is a request about a device; rtnetlink(7).
func linkMessage(kind, flags uint16, info []byte, attrs ...[]byte) []byte {
	msg := make([]byte, unix.SizeofNlMsghdr, 256)
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|flags)
	msg = append(msg, info...)
	for _, a := range attrs {
		msg = append(msg, a...)
	}
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	return msg
}

// ifinfo is a struct ifinfomsg that sets flags of a device and takes others.
func ifinfo(index, set, clear uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], index)
	binary.NativeEndian.PutUint32(b[8:], set)
	binary.NativeEndian.PutUint32(b[12:], set|clear)
	return b
}

// quietIPv6 is an attribute that keeps a device from getting an IPv6 address by
// itself, with which the kernel would ask for routers; linux/if_link.h.
func quietIPv6() []byte {
	mode := nlattr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{addrGenNone})
	return nlattr(unix.IFLA_AF_SPEC, nlattr(unix.AF_INET6, mode))
}

// packetBuffer is as much as a packet socket asks to keep that nobody has read
// yet, and to have on its way; net.core.rmem_max and wmem_max say what it gets.
// A segment of 64 KiB counts for more than it is.
const packetBuffer = 4 << 20

// veth makes a pair of devices. Both sockets are of the namespace that is left,
// which they keep in being; the process is number 1 of its pid namespace, and
// names by that the namespace for the box's device. What went wrong is in an
// answer that nobody reads: then there is nothing to bind to, ENODEV.
//
// Preconditions: the address passed Check.
func (l *lowerer) veth(a plan.MakeVeth) {
	const vethInfoPeer = 1 // linux/veth.h
	u32 := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	name := func(s string) []byte { return append([]byte(s), 0) }
	own, _ := plan.LinkAddress(a.Address)
	// Without a number there are as many queues as processors, of which the driver
	// takes all but one away again, and waits for a grace period of RCU each time.
	queues := append(nlattr(unix.IFLA_NUM_TX_QUEUES, u32(1)), nlattr(unix.IFLA_NUM_RX_QUEUES, u32(1))...)
	var peer []byte
	for _, b := range [][]byte{
		ifinfo(a.Index, 0, 0), nlattr(unix.IFLA_IFNAME, name(a.Name)), nlattr(unix.IFLA_ADDRESS, own[:]),
		nlattr(unix.IFLA_MTU, u32(uint32(a.MTU))), nlattr(unix.IFLA_NET_NS_PID, u32(1)), queues,
	} {
		peer = append(peer, b...)
	}
	info := append(nlattr(unix.IFLA_INFO_KIND, name("veth")), nlattr(unix.IFLA_INFO_DATA, nlattr(vethInfoPeer, peer))...)
	create := linkMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ifinfo(a.Index, 0, 0),
		nlattr(unix.IFLA_IFNAME, name(a.Name)), nlattr(unix.IFLA_MTU, u32(uint32(a.MTU))), queues, nlattr(unix.IFLA_LINKINFO, info))
	// Nothing but the packet socket is to say anything on the other device: no
	// address, no groups, no ARP.
	up := linkMessage(unix.RTM_NEWLINK, 0, ifinfo(a.Index, iffUp|unix.IFF_NOARP, unix.IFF_MULTICAST), quietIPv6())

	packets, s := l.slot(a.Into), l.temp()
	l.make(packets, unix.SYS_SOCKET, num(unix.AF_PACKET), num(unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC), num(0))
	l.make(s, unix.SYS_SOCKET, num(unix.AF_NETLINK), num(unix.SOCK_RAW|unix.SOCK_CLOEXEC), num(unix.NETLINK_ROUTE))
	l.call(unix.SYS_UNSHARE, hex(unix.CLONE_NEWNET))
	for _, msg := range [][]byte{create, up} {
		l.call(unix.SYS_SENDTO, s, l.data(msg), num(len(msg)), num(0), null(), num(0)).want = int32(len(msg))
	}
	l.done(s)
	option := func(level, option, value int) {
		l.call(unix.SYS_SETSOCKOPT, packets, num(level), num(option), l.data(u32(uint32(value))), num(4))
	}
	option(unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	option(unix.SOL_SOCKET, unix.SO_RCVBUF, packetBuffer)
	option(unix.SOL_SOCKET, unix.SO_SNDBUF, packetBuffer)
	// struct sockaddr_ll; packet(7)
	at := make([]byte, unix.SizeofSockaddrLinklayer)
	binary.NativeEndian.PutUint16(at, unix.AF_PACKET)
	binary.BigEndian.PutUint16(at[2:], unix.ETH_P_ALL)
	binary.NativeEndian.PutUint32(at[4:], a.Index)
	l.call(unix.SYS_BIND, packets, l.data(at), num(len(at)))
	l.noLinkLocal(a.Index)
}

// noLinkLocal keeps a device from getting an IPv6 address by itself, with which
// the kernel would ask for routers: there are none, and the box's first packet
// is to be one of its own. A kernel without IPv6 says so in an answer that
// nobody reads. rtnetlink(7), linux/if_link.h.
func (l *lowerer) noLinkLocal(index uint32) {
	msg := linkMessage(unix.RTM_SETLINK, 0, ifinfo(index, 0, 0), quietIPv6())
	s := l.temp()
	l.make(s, unix.SYS_SOCKET, num(unix.AF_NETLINK), num(unix.SOCK_RAW|unix.SOCK_CLOEXEC), num(unix.NETLINK_ROUTE))
	l.call(unix.SYS_SENDTO, s, l.data(msg), num(len(msg)), num(0), null(), num(0)).want = int32(len(msg))
	l.done(s)
}

// sockaddr4 is a struct sockaddr_in without a port; ip(7).
func sockaddr4(a [4]byte) []byte {
	return append(binary.NativeEndian.AppendUint16(nil, unix.AF_INET), 0, 0, a[0], a[1], a[2], a[3])
}

func (l *lowerer) dieWithParent() {
	l.call(unix.SYS_PRCTL, num(unix.PR_SET_PDEATHSIG), num(int(unix.SIGKILL)))
	// The signal is only sent to who asked before nobox died; the closed
	// control socket says whether it had. No event asked for: POLLHUP
	// alone is reported.
	pfd := l.data(make([]byte, 8))
	l.poke(pfd, 0, control())
	l.call(unix.SYS_PPOLL, pfd, num(1), l.words(0, 0), null(), num(sizeofSigset)).want = 0
}

// capset sets the permitted and effective sets, and the inheritable one.
func (l *lowerer) capset(keep, inherit uint64) {
	lo, hi := keep&0xffffffff, keep>>32
	// struct __user_cap_data_struct[2]: effective, permitted, inheritable
	var data []byte
	for _, v := range []uint64{lo, lo, inherit & 0xffffffff, hi, hi, inherit >> 32} {
		data = binary.NativeEndian.AppendUint32(data, uint32(v))
	}
	var hdr []byte
	hdr = binary.NativeEndian.AppendUint32(hdr, linuxCapabilityV3)
	hdr = binary.NativeEndian.AppendUint32(hdr, 0)
	l.call(unix.SYS_CAPSET, l.data(hdr), l.data(data))
}

// action lowers one inside step.
func (l *lowerer) action(a plan.Action) error {
	switch a := a.(type) {
	case plan.DieWithParent:
		l.dieWithParent()

	case plan.Await:
		l.call(unix.SYS_READ, control(), l.words(0), num(1)).want = 1

	case plan.MapSelf:
		l.writeFile("/proc/self/setgroups", "deny")
		l.writeFile("/proc/self/uid_map", mapLine(a.UID))
		l.writeFile("/proc/self/gid_map", mapLine(a.GID))

	case plan.SetIDs:
		if a.Groups != nil {
			var b []byte
			for _, g := range a.Groups {
				b = binary.NativeEndian.AppendUint32(b, g)
			}
			l.call(unix.SYS_SETGROUPS, num(len(a.Groups)), l.data(append(b, 0, 0, 0, 0)))
		}
		l.call(unix.SYS_SETRESGID, num(a.GID), num(a.GID), num(a.GID))
		l.call(unix.SYS_SETRESUID, num(a.UID), num(a.UID), num(a.UID))

	case plan.Unshare:
		l.call(unix.SYS_UNSHARE, hex(int(a.Flags)))

	case plan.HoldNet:
		l.make(l.slot(a.Into), unix.SYS_OPENAT, cwd(), l.str("/proc/self/ns/net"), hex(unix.O_RDONLY|unix.O_CLOEXEC))

	case plan.EnterNet:
		if l.beside == 0 {
			return errors.New("nothing is done beside")
		}
		l.ops = append(l.ops, op{kind: opMeet, step: l.step, want: anyResult})
		o := &l.ops[len(l.ops)-1]
		o.arg[0], o.how[0] = l.ops[l.beside-1].into, argSlot
		l.call(unix.SYS_SETNS, l.slot(a.Net), hex(unix.CLONE_NEWNET))

	case plan.FirstPID:
		f := l.openIn(l.slot(a.Proc), "sys/kernel/ns_last_pid", unix.O_WRONLY|unix.O_CLOEXEC, 0, resolveInRoot|unix.RESOLVE_NO_SYMLINKS)
		last := strconv.Itoa(a.PID - 1)
		l.call(unix.SYS_WRITE, f, l.str(last), num(len(last))).want = int32(len(last))
		l.done(f)

	case plan.Join:
		l.call(unix.SYS_SETNS, num(a.FD), hex(a.Flags))

	case plan.OpenDevpts:
		l.make(l.slot(a.Into), unix.SYS_OPENAT2, cwd(), l.str("/dev/pts"),
			l.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0, unix.RESOLVE_NO_SYMLINKS), num(sizeofOpenHow))

	case plan.Hostname:
		l.call(unix.SYS_SETHOSTNAME, l.str(a.Name), num(len(a.Name)))

	case plan.LoopbackUp:
		t := l.temp()
		l.make(t, unix.SYS_SOCKET, num(unix.AF_INET), num(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC))
		ifr := ifreq("lo")
		binary.NativeEndian.PutUint16(ifr[16:], iffUp)
		l.call(unix.SYS_IOCTL, t, hex(unix.SIOCSIFFLAGS), l.data(ifr))
		l.done(t)

	case plan.SendNamespaces:
		for _, ns := range [...]struct {
			file string
			kind uint32
		}{{"/proc/self/ns/user", msgUserNS}, {"/proc/self/ns/net", msgNetNS}} {
			t := l.temp()
			l.make(t, unix.SYS_OPENAT, cwd(), l.str(ns.file), hex(unix.O_RDONLY|unix.O_CLOEXEC))
			l.send(control(), ns.kind, t)
			l.done(t)
		}

	case plan.ShowNamespaces:
		for _, ns := range plan.ShownNamespaces {
			t := l.temp()
			l.make(t, unix.SYS_OPENAT, cwd(), l.str("/proc/self/ns/"+ns), hex(unix.O_RDONLY|unix.O_CLOEXEC))
			l.send(control(), msgShown, t)
			l.done(t)
		}

	case plan.PingGroups:
		dir, path := cwd(), "/proc/sys/net/ipv4/ping_group_range"
		if a.Sys != 0 {
			dir, path = l.slot(a.Sys), "net/ipv4/ping_group_range"
		}
		l.writeFileIn(dir, path, fmt.Sprintf("%d %d\n", a.First, a.Last))

	case plan.LocalRoutes:
		l.localRoutes(a)

	case plan.PrivateMounts:
		l.call(unix.SYS_MOUNT, l.str("none"), l.str("/"), null(), hex(unix.MS_REC|unix.MS_PRIVATE), null())

	case plan.OpenTree:
		into := l.slot(a.Into)
		if a.Source == plan.WorkingDirectory {
			l.make(into, unix.SYS_OPEN_TREE, cwd(), l.str("."), hex(treeFlags(a.Recursive)))
			l.setattr(into, a.Attr, a.Recursive)
			return nil
		}
		src := l.openIn(cwd(), string(a.Source), oPath, 0, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
		l.make(into, unix.SYS_OPEN_TREE, src, l.str(""), hex(treeFlags(a.Recursive)|unix.AT_EMPTY_PATH))
		l.setattr(into, a.Attr, a.Recursive)
		l.done(src)

	case plan.CopyTree:
		into := l.slot(a.Into)
		l.make(into, unix.SYS_OPEN_TREE, l.slot(a.Of), l.str(a.Path), hex(treeFlags(false)|unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW))
		if a.Attr != nil {
			l.setattr(into, *a.Attr, false)
		}

	case plan.CopyBoxTree:
		into := l.slot(a.Into)
		src := l.openIn(l.slot(a.Root), string(a.Path), oPath|noFollow(a.Link), 0, resolveInRoot)
		l.make(into, unix.SYS_OPEN_TREE, src, l.str(""), hex(treeFlags(true)|unix.AT_EMPTY_PATH))
		l.setattr(into, a.Attr, true)
		l.done(src)

	case plan.NewFS:
		t := l.temp()
		l.make(t, unix.SYS_FSOPEN, l.str(a.Type), num(fsopenCloexec))
		l.call(unix.SYS_FSCONFIG, t, num(fsconfigSetString), l.str("source"), l.str(a.Type), num(0)) // what df shows
		for _, o := range a.Options {
			if o.Value == "" {
				l.call(unix.SYS_FSCONFIG, t, num(fsconfigSetFlag), l.str(o.Key), null(), num(0))
			} else {
				l.call(unix.SYS_FSCONFIG, t, num(fsconfigSetString), l.str(o.Key), l.str(o.Value), num(0))
			}
		}
		l.call(unix.SYS_FSCONFIG, t, num(fsconfigCmdCreate), null(), null(), num(0))
		l.make(l.slot(a.Into), unix.SYS_FSMOUNT, t, num(fsmountCloexec), hex(attrFlags(a.Attr)))
		l.done(t)

	case plan.AttachRoot:
		l.call(unix.SYS_MOVE_MOUNT, l.slot(a.Tree), l.str(""), cwd(), l.str("/"), hex(moveMountFEmpty))

	case plan.EnterTree:
		l.call(unix.SYS_FCHDIR, l.slot(a.Tree))

	case plan.Detach:
		l.call(unix.SYS_FCHDIR, l.slot(a.Tree))
		l.call(unix.SYS_UMOUNT2, l.str("."), hex(unix.MNT_DETACH))
		l.call(unix.SYS_CHDIR, l.str("/"))

	case plan.Attach:
		if name := strings.TrimPrefix(string(a.At), "/"); name != "" && !strings.Contains(name, "/") && name != ".." && name != "." {
			// One component can be reached without a look-up of its own: where
			// the last one is a symbolic link, move_mount(2) does not follow it.
			l.call(unix.SYS_MOVE_MOUNT, l.slot(a.Tree), l.str(""), l.slot(a.Root), l.str(name), hex(moveMountFEmpty))
			return nil
		}
		resolve := uint64(resolveInRoot)
		if a.NoSymlinks {
			resolve |= unix.RESOLVE_NO_SYMLINKS
		}
		at := l.openIn(l.slot(a.Root), string(a.At), oPath|noFollow(a.Link), 0, resolve)
		l.call(unix.SYS_MOVE_MOUNT, l.slot(a.Tree), l.str(""), at, l.str(""), hex(moveMountFEmpty|moveMountTEmpty))
		l.done(at)

	case plan.AttachIn:
		l.call(unix.SYS_MOVE_MOUNT, l.slot(a.Tree), l.str(""), l.slot(a.In), l.str(a.Name), hex(moveMountFEmpty))

	case plan.SetAttr:
		l.setattr(l.slot(a.Tree), a.Attr, a.Recursive)

	case plan.Mkdir:
		l.parent(l.slot(a.In), a.Path, func(dir arg, name string) {
			o := l.call(unix.SYS_MKDIRAT, dir, l.str(name), num(a.Mode))
			if a.MayExist {
				o.ignore[0] = uint8(unix.EEXIST)
			}
		})

	case plan.File:
		t := l.openIn(l.slot(a.In), a.Path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint64(a.Mode), resolveInRoot)
		if a.Content != "" {
			l.call(unix.SYS_WRITE, t, l.str(a.Content), num(len(a.Content))).want = int32(len(a.Content))
		}
		l.done(t)

	case plan.CopyUp:
		// chown(2) of no ids changes nothing; an overlay copies up first
		// (fs/overlayfs/inode.c, ovl_setattr).
		t := l.openIn(l.slot(a.In), a.Path, oPath|unix.O_DIRECTORY, 0, resolveStrictly)
		l.call(unix.SYS_FCHOWNAT, t, l.str(""), num(^uint32(0)), num(^uint32(0)), hex(unix.AT_EMPTY_PATH))
		l.done(t)

	case plan.Whiteout:
		mknod := func(dir arg, name string) {
			l.call(unix.SYS_MKNODAT, dir, l.str(name), hex(unix.S_IFCHR|0o444), num(0))
		}
		i := strings.LastIndexByte(a.Path, '/')
		if i < 0 {
			mknod(l.slot(a.In), a.Path)
			return nil
		}
		dir := l.openIn(l.slot(a.In), a.Path[:i], oPath|unix.O_DIRECTORY, 0, resolveStrictly)
		mknod(dir, a.Path[i+1:])
		l.done(dir)

	case plan.Symlink:
		l.call(unix.SYS_SYMLINKAT, l.str(a.Target), l.slot(a.In), l.str(a.Name))

	case plan.Chown:
		flags := unix.AT_SYMLINK_NOFOLLOW
		if a.Path == "" {
			flags = unix.AT_EMPTY_PATH
		}
		l.call(unix.SYS_FCHOWNAT, l.slot(a.In), l.str(a.Path), num(a.UID), num(a.GID), hex(flags))

	case plan.Pivot:
		// pivot_root(2), "pivot_root(".", ".")": the old root lands on top of
		// the new one, from where it is detached.
		l.call(unix.SYS_FCHDIR, l.slot(a.Root))
		l.call(unix.SYS_PIVOT_ROOT, l.str("."), l.str("."))
		l.call(unix.SYS_UMOUNT2, l.str("."), hex(unix.MNT_DETACH))
		l.call(unix.SYS_CHDIR, l.str("/"))

	case plan.OpenPTY:
		master, peer := l.slot(a.Master), l.slot(a.Peer)
		l.make(master, unix.SYS_OPENAT, l.slot(a.Devpts), l.str("ptmx"), hex(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
		l.call(unix.SYS_IOCTL, master, hex(unix.TIOCSPTLCK), l.words(0))
		l.make(peer, unix.SYS_IOCTL, master, hex(unix.TIOCGPTPEER), hex(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
		l.call(unix.SYS_IOCTL, peer, hex(unix.TCSETS), l.data(termiosBytes(&a.Termios)))
		var ws []byte
		for _, v := range []uint16{a.Size.Row, a.Size.Col, a.Size.Xpixel, a.Size.Ypixel} {
			ws = binary.NativeEndian.AppendUint16(ws, v)
		}
		l.call(unix.SYS_IOCTL, master, hex(unix.TIOCSWINSZ), l.data(ws))

	case plan.SendPTY:
		l.send(control(), msgPTY, l.slot(a.Master))

	case plan.MakeTun:
		tun := l.slot(a.Into)
		dir, path := cwd(), "/dev/net/tun"
		if a.Dev != 0 {
			dir, path = l.slot(a.Dev), "net/tun"
		}
		l.make(tun, unix.SYS_OPENAT, dir, l.str(path), hex(unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC))
		// In a new namespace the next number is mostly, not always, 2: some
		// modules make devices in each.
		l.call(unix.SYS_IOCTL, tun, hex(unix.TUNSETIFINDEX), l.data(binary.NativeEndian.AppendUint32(nil, a.Index)))
		ifr := ifreq(a.Name)
		binary.NativeEndian.PutUint16(ifr[16:], unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		l.call(unix.SYS_IOCTL, tun, hex(unix.TUNSETIFF), l.data(ifr))
		l.call(unix.SYS_IOCTL, tun, hex(unix.TUNSETOFFLOAD), hex(unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6))
		l.noLinkLocal(a.Index)
		// Else the last close of the descriptor removes the device, and waits
		// some 20 ms for that. Persistent, it goes with its namespace.
		l.call(unix.SYS_IOCTL, tun, hex(unix.TUNSETPERSIST), num(1))

	case plan.MakeVeth:
		l.veth(a)

	case plan.ClientRoutes:
		l.clientRoutes(a)

	case plan.SendSwitch:
		t := l.temp()
		l.make(t, unix.SYS_SOCKET, num(unix.AF_NETLINK), num(unix.SOCK_RAW|unix.SOCK_CLOEXEC), num(unix.NETLINK_SOCK_DIAG))
		l.send(control(), msgSwitch, t)
		l.done(t)

	case plan.Device:
		l.device(a)

	case plan.DeviceIPv6:
		l.deviceIPv6(a)

	case plan.SendNet:
		l.send(network(), msgPTY, l.slot(a.Device))

	case plan.NewSession:
		l.call(unix.SYS_SETSID)

	case plan.TakeTTY:
		l.call(unix.SYS_IOCTL, l.slot(a.Peer), hex(unix.TIOCSCTTY), num(0))
		for fd, on := range a.Streams {
			if on {
				l.call(unix.SYS_DUP3, l.slot(a.Peer), num(fd), num(0))
			}
		}

	case plan.Foreground:
		l.call(unix.SYS_SETPGID, num(0), num(0))
		if a.Terminal {
			// SIGTTOU is blocked, as all signals are up to RestoreSignals.
			pid := l.temp()
			l.make(pid, unix.SYS_GETPID)
			where := l.words(0)
			l.poke(where, 0, pid)
			l.call(unix.SYS_IOCTL, num(0), hex(unix.TIOCSPGRP), where)
		}

	case plan.DropBounding:
		for c := 0; c <= a.Last; c++ {
			if a.Keep&(1<<c) == 0 {
				l.call(unix.SYS_PRCTL, num(unix.PR_CAPBSET_DROP), num(c))
			}
		}
		l.call(unix.SYS_PRCTL, num(unix.PR_CAP_AMBIENT), num(ambientClearAll))

	case plan.SetCaps:
		inherit := uint64(0)
		if a.Ambient {
			inherit = a.Keep
		}
		l.capset(a.Keep, inherit)
		for c := range 64 {
			if inherit&(1<<c) != 0 {
				l.call(unix.SYS_PRCTL, num(unix.PR_CAP_AMBIENT), num(unix.PR_CAP_AMBIENT_RAISE), num(c))
			}
		}

	case plan.NoNewPrivs:
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_NO_NEW_PRIVS), num(1))

	case plan.Securebits:
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_SECUREBITS), hex(a.Bits))

	case plan.SessionKeyring:
		o := l.call(unix.SYS_KEYCTL, num(unix.KEYCTL_JOIN_SESSION_KEYRING), null())
		// A kernel without keys, and a filter around nobox that closes the
		// calls on them, close them to the box as well.
		o.ignore = [3]uint8{uint8(unix.ENOSYS), uint8(unix.EPERM)}
		if a.Closed {
			o.ignore[2] = uint8(unix.EDQUOT)
		}

	case plan.LimitNamespaces:
		for _, t := range a.Types {
			f := l.openIn(l.slot(a.Proc), "sys/user/max_"+t+"_namespaces", unix.O_WRONLY|unix.O_CLOEXEC, 0, resolveInRoot|unix.RESOLVE_NO_SYMLINKS)
			text := strconv.Itoa(a.Left)
			l.call(unix.SYS_WRITE, f, l.str(text), num(len(text))).want = int32(len(text))
			l.done(f)
		}

	case plan.Landlock:
		l.landlock(a)

	case plan.Filter:
		if a.Program == "" {
			return nil
		}
		l.filter(a.Program)

	case plan.OpenHost:
		l.make(l.slot(a.Into), unix.SYS_OPENAT2, cwd(), l.str(string(a.Path)),
			l.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0, 0), num(sizeofOpenHow))

	case plan.Nest:
		outer := l.temp()
		l.make(outer, unix.SYS_OPENAT, cwd(), l.str("/proc/self/ns/user"), hex(unix.O_RDONLY|unix.O_CLOEXEC))
		l.call(unix.SYS_UNSHARE, hex(int(a.Flags)))
		l.send(control(), msgUserNS, outer)
		l.done(outer)

	case plan.AdoptOrphans:
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_CHILD_SUBREAPER), num(1))

	case plan.NotDumpable:
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_DUMPABLE), num(0))

	case plan.Chdir:
		dir := l.openIn(cwd(), string(a.Path), oPath|unix.O_DIRECTORY, 0, unix.RESOLVE_NO_MAGICLINKS)
		l.call(unix.SYS_FCHDIR, dir)
		l.done(dir)

	case plan.SetUmask:
		l.call(unix.SYS_UMASK, num(a.Mask))

	case plan.Rlimit:
		l.call(unix.SYS_PRLIMIT64, num(0), num(a.Resource), l.words(a.Soft, a.Hard))

	case plan.TimerSlack:
		l.call(unix.SYS_PRCTL, num(unix.PR_SET_TIMERSLACK), num(uint32(min(a.Nanoseconds, 1<<31-1))))

	case plan.RestoreSignals:
		for sig := 1; sig <= 64; sig++ {
			if a.Ignored&(1<<(sig-1)) != 0 {
				// struct sigaction of the kernel: handler, flags, restorer, mask
				l.call(unix.SYS_RT_SIGACTION, num(sig), l.words(1, 0, 0, 0), null(), num(sizeofSigset))
			}
		}
		l.call(unix.SYS_RT_SIGPROCMASK, num(sigSetmask), l.words(a.Mask), null(), num(sizeofSigset))

	case plan.WriteLimit:
		for _, f := range a.Of {
			l.call(unix.SYS_WRITE, l.slot(f), l.str(a.Value), num(len(a.Value))).want = int32(len(a.Value))
		}

	case plan.CloseFiles:
		// Not at execve(2), which looks its file up before it closes any: the
		// command may be a link to /proc/self/fd/N/.. (CVE-2024-21626). The
		// control socket alone stays until then, for what execve says, and leads
		// nowhere. It moves to where nothing else is kept.
		at := 3
		for slices.Contains(a.Keep, at) {
			at++
		}
		l.make(control(), unix.SYS_DUP3, control(), num(at), hex(unix.O_CLOEXEC)).ignore[0] = uint8(unix.EINVAL) // it is there
		next := 3
		for _, fd := range slices.Sorted(slices.Values(append([]int{at}, a.Keep...))) {
			if fd > next {
				l.call(unix.SYS_CLOSE_RANGE, num(next), num(fd-1), num(0))
			}
			if fd != at {
				l.call(unix.SYS_FCNTL, num(fd), num(unix.F_SETFD), num(0))
			}
			next = fd + 1
		}
		l.call(unix.SYS_CLOSE_RANGE, num(next), hex(uint32(0xffffffff)), num(0))

	case plan.Exec:
		argv, envp := l.vector(a.Args), l.vector(a.Env)
		for i, f := range a.Files {
			o := l.call(unix.SYS_EXECVE, l.str(string(f)), argv, envp)
			if i < len(a.Files)-1 {
				// execvp(3): these go on to the next directory.
				o.ignore = [3]uint8{uint8(unix.ENOENT), uint8(unix.ENOTDIR), uint8(unix.EACCES)}
			}
		}

	default:
		return fmt.Errorf("%T has no lowering", a)
	}
	return nil
}

func mapLine(m plan.IDMap) string {
	return fmt.Sprintf("%d %d %d\n", m.Box, m.Host, m.Count)
}

// termiosBytes is struct termios of the kernel: four flag words, the line
// discipline and 19 control characters; asm-generic/termbits.h.
func termiosBytes(t *unix.Termios) []byte {
	var b []byte
	for _, v := range []uint32{t.Iflag, t.Oflag, t.Cflag, t.Lflag} {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	b = append(b, t.Line)
	return append(b, t.Cc[:19]...)
}
