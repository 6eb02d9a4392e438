package userns

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's fork hooks: BeforeFork blocks all signals, so that no handler
// of the runtime runs in the child. The runtime keeps them reachable for
// gVisor, and says so in runtime/proc.go; docs/adr holds the retreat should
// that end.

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// cloneOnto clones a process that calls entry(mem) on a stack of its own.
func cloneOnto(flags, stack uintptr, pidfd *int32, entry, mem uintptr) (pid uintptr)

// playPC, accompanyPC and watchPC are the entries of the processes nobox clones.
func playPC() uintptr
func accompanyPC() uintptr
func watchPC() uintptr

// childStack is room for the player, which is nosplit: the linker holds it
// below 800 bytes.
const childStack = 16 << 10

// A region is the memory that a cloned process works on, apart from the heap,
// which it does not get: the child has no use for it, copying it costs a start
// time, and what nobox knows is not for the box's pid 1 to hold.
type region struct {
	mem  []byte
	used uintptr
}

func newRegion(size uintptr) (*region, error) {
	mem, err := unix.Mmap(-1, 0, int(size+childStack+64), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	return &region{mem: mem, used: childStack}, nil
}

// stack is the initial stack pointer; stacks grow down.
func (r *region) stack() uintptr { return uintptr(unsafe.Pointer(&r.mem[0])) + childStack }

// take hands out n bytes, zero and aligned to 16.
func (r *region) take(n uintptr) unsafe.Pointer {
	p := unsafe.Pointer(&r.mem[r.used])
	r.used += (n + 15) &^ 15
	return p
}

// unused is the memory apart from the program's image, the region and what
// lies above the argument area; nothing if they do not lie in that order.
func (r *region) unused(image uintptr, argv *byte) (u unused) {
	const page = 4095 // the smallest: a partly used page is kept, a larger one refused by munmap(2)
	low := uintptr(unsafe.Pointer(unsafe.SliceData(r.mem)))
	high := low + uintptr(len(r.mem))
	top := uintptr(unsafe.Pointer(argv)) &^ page
	image, high = (image+page)&^page, (high+page)&^page
	if argv != nil && image != 0 && image < low && high < top {
		u = unused{{image, low}, {high, top}}
	}
	return u
}

// imageEnd is where the program's image ends in memory, by its own program
// headers; getauxval(3), elf(5). Zero if that cannot be told.
func imageEnd() (end uintptr) {
	auxv, err := unix.Auxv()
	if err != nil {
		return 0
	}
	var phdr, size, n uintptr
	for _, a := range auxv {
		switch a[0] {
		case 3: // AT_PHDR
			phdr = a[1]
		case 4: // AT_PHENT
			size = a[1]
		case 5: // AT_PHNUM
			n = a[1]
		}
	}
	if phdr == 0 || size != 56 { // sizeof(Elf64_Phdr)
		return 0
	}
	base := uintptr(0)
	for i := uintptr(0); i < n; i++ {
		h := *(**[7]uint64)(unsafe.Pointer(&phdr))
		phdr += size
		switch vaddr, memsz := uintptr(h[2]), uintptr(h[5]); uint32(h[0]) {
		case 6: // PT_PHDR
			base = phdr - size - i*size - vaddr
		case 1: // PT_LOAD
			end = max(end, base+vaddr+memsz)
		}
	}
	return end
}

func (r *region) free() { unix.Munmap(r.mem) }

// keep keeps the memory that a cloned process has no use for out of it: page
// tables to copy, and pages that nobox would then have to copy before it writes
// to them, cost a start time. What the kernel does not keep out the process
// gets a copy of, and does not use.
func (u *unused) keep() {
	for _, r := range u {
		if r[1] > r[0] {
			// ENOMEM says that there are holes, and nothing of the rest; madvise(2).
			syscall.RawSyscall(unix.SYS_MADVISE, r[0], r[1]-r[0], unix.MADV_DONTFORK)
		}
	}
}

// buffers are empty buffers of the region for lower to fill, large enough for
// a plan of so many steps unless it writes much. What is not used costs
// nothing: pages come when they are touched.
func (r *region) buffers(steps int) ([]op, []byte) {
	nops, narena := 16*steps+256, 256*steps+64<<10
	ops := unsafe.Slice((*op)(r.take(uintptr(nops)*unsafe.Sizeof(op{}))), nops)
	arena := unsafe.Slice((*byte)(r.take(uintptr(narena))), narena)
	return ops[:0], arena[:0]
}

// regionFor makes a region for a plan of so many steps.
func regionFor(steps int) (*region, error) {
	return newRegion((16*uintptr(steps)+256)*unsafe.Sizeof(op{}) + 256*uintptr(steps) + 64<<10 + 1<<16)
}

// holds says whether p points into the region.
func (r *region) holds(p unsafe.Pointer) bool {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(r.mem)))
	return uintptr(p) >= base && uintptr(p) < base+uintptr(len(r.mem))
}

// place puts the player's memory and the slots into the region with the
// program that lower made in its buffers, and relocates the arena: offsets
// become addresses. The heap then keeps nothing that the child needs. A program
// that outgrew the buffers gets a region of its size.
func place(r *region, p *program, control uintptr, mem childMem) (*region, *childMem, error) {
	slots := uintptr(p.slots+1) * 8
	moved := !r.holds(unsafe.Pointer(unsafe.SliceData(p.ops))) || !r.holds(unsafe.Pointer(unsafe.SliceData(p.arena)))
	if moved || r.used+slots+2*unsafe.Sizeof(mem)+64 > uintptr(len(r.mem)) {
		large, err := newRegion(slots + 2*unsafe.Sizeof(mem) + uintptr(len(p.ops))*unsafe.Sizeof(op{}) + uintptr(len(p.arena)) + 128)
		if err != nil {
			return r, nil, err
		}
		ops := unsafe.Slice((*op)(large.take(uintptr(len(p.ops))*unsafe.Sizeof(op{}))), len(p.ops))
		copy(ops, p.ops)
		arena := unsafe.Slice((*byte)(large.take(uintptr(len(p.arena)))), len(p.arena))
		copy(arena, p.arena)
		p.ops, p.arena = ops, arena
		r.free()
		r = large
	}
	m := (*childMem)(r.take(unsafe.Sizeof(mem)))
	*m = mem
	m.all = ^uint64(0)
	m.unused = r.unused(imageEnd(), mem.argv)
	m.slots = (*uintptr)(r.take(slots))
	m.fill(slotControl, control)
	m.ops, m.nops = unsafe.SliceData(p.ops), uintptr(len(p.ops))
	m.arena = uintptr(unsafe.Pointer(unsafe.SliceData(p.arena)))
	for i := range p.ops {
		if o := &p.ops[i]; o.kind == opBeside {
			m.beside = (*childMem)(r.take(unsafe.Sizeof(mem)))
			*m.beside = childMem{ops: &p.ops[i+1], nops: uintptr(o.arg[0]), first: uintptr(i + 1), slots: m.slots, arena: m.arena}
			m.besideStack, m.besidePC = uintptr(unsafe.Pointer(&r.mem[0]))+childStack/2, accompanyPC()
			break
		}
	}
	for _, at := range p.relocs {
		w := (*uintptr)(unsafe.Pointer(&p.arena[at]))
		if *w != 0 {
			*w += m.arena
		}
	}
	return r, m, nil
}

// fill gives a slot its value before the clone.
func (m *childMem) fill(slot uint32, v uintptr) {
	*(*uintptr)(unsafe.Add(unsafe.Pointer(m.slots), 8*uintptr(slot))) = v
}

// addressOf is where a string that is part of the program lies in memory, also
// in a process cloned from this one.
func addressOf(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }

// argvArea is the process's argument area as the kernel laid it out: os.Args
// alias it (runtime.goargs).
func argvArea(args []string) (*byte, uintptr) {
	if len(args) == 0 || len(args[0]) == 0 {
		return nil, 0
	}
	first := unsafe.StringData(args[0])
	end := uintptr(unsafe.Pointer(first))
	for _, a := range args {
		// Only a contiguous area is the kernel's: NUL after each string.
		if len(a) > 0 && uintptr(unsafe.Pointer(unsafe.StringData(a))) != end {
			return nil, 0
		}
		end += uintptr(len(a)) + 1
	}
	return first, end - uintptr(unsafe.Pointer(first))
}

// cloneOnto3 is cloneOnto by clone3(2), which takes what clone(2) cannot.
func cloneOnto3(args *cloneArgs, size, entry, mem uintptr) (pid uintptr)

// cloneArgs is struct clone_args up to version 2; linux/sched.h.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal uint64
	stack, stackSize, tls, setTID, setTIDSize     uint64
	cgroup                                        uint64
}

// cloneInside clones the process that plays the program placed in r, into a
// cgroup unless that is -1.
//
// Preconditions: syscall.ForkLock is held; the thread outlives the child
// (PR_SET_PDEATHSIG follows the thread).
//
//go:noinline
//go:norace
func cloneInside(flags uintptr, r *region, m *childMem, pidfd *int32, cgroup int) (pid uintptr, errno syscall.Errno) {
	if cgroup >= 0 {
		// At the far end of the stack, which the player does not reach: what
		// the kernel gets the address of must not move, as a stack of Go's may.
		args := (*cloneArgs)(unsafe.Pointer(&r.mem[0]))
		fd := (*int32)(unsafe.Pointer(&r.mem[unsafe.Sizeof(*args)]))
		*args = cloneArgs{
			flags: uint64(flags) | unix.CLONE_PIDFD | unix.CLONE_INTO_CGROUP, exitSignal: uint64(unix.SIGCHLD),
			pidfd: uint64(uintptr(unsafe.Pointer(fd))), cgroup: uint64(cgroup),
			stack: uint64(uintptr(unsafe.Pointer(&r.mem[0]))), stackSize: childStack,
		}
		runtimeBeforeFork()
		v := cloneOnto3(args, unsafe.Sizeof(*args), playPC(), uintptr(unsafe.Pointer(m)))
		runtimeAfterFork()
		if e := -int(v); e > 0 && e < 4096 {
			return 0, syscall.Errno(e)
		}
		*pidfd = *fd
		return v, 0
	}
	return cloneProcess(flags|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), r.stack(), pidfd, playPC(), uintptr(unsafe.Pointer(m)))
}

// cloneProgram clones a process, in no new namespace, that plays p. It has
// control, and lets go of hostEnd, the other end of that. Fill gives slots their
// values, nil if there are none. Preconditions: as cloneInside, but for the lock.
func cloneProgram(p *program, control, hostEnd int, fill func(*childMem)) (pid int, pidfd int32, err error) {
	r, err := newRegion(0) // place makes one that is large enough
	if err != nil {
		return -1, -1, err
	}
	defer func() { r.free() }()
	r, m, err := place(r, p, uintptr(control), childMem{hostEnd: uintptr(hostEnd)})
	if err != nil {
		return -1, -1, err
	}
	if fill != nil {
		fill(m)
	}
	pidfd = -1
	syscall.ForkLock.Lock()
	v, errno := cloneInside(0, r, m, &pidfd, -1)
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return -1, -1, errno
	}
	return int(v), pidfd, nil
}

// cloneHelper clones the process that becomes newuidmap or newgidmap and until
// then shares nobox's memory; r must stay until it has ended. Preconditions: as
// cloneInside, but for the lock.
func cloneHelper(r *region, m *childMem) (int, error) {
	syscall.ForkLock.Lock()
	pid, errno := cloneProcess(uintptr(unix.CLONE_VM|unix.SIGCHLD), r.stack(), nil, playPC(), uintptr(unsafe.Pointer(m)))
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

// cloneWatcher clones the watcher, which shares nobox's memory: it writes only
// to its own region, which stays for as long as nobox, and a copy would
// cost both sides time. Preconditions: as cloneInside.
func cloneWatcher(wm watchMem) (pid uintptr, m *watchMem, err error) {
	r, err := newRegion(unsafe.Sizeof(wm))
	if err != nil {
		return 0, nil, err
	}
	m = (*watchMem)(r.take(unsafe.Sizeof(wm)))
	*m = wm
	pid, errno := cloneProcess(uintptr(unix.CLONE_VM|unix.SIGCHLD), r.stack(), nil, watchPC(), uintptr(unsafe.Pointer(m)))
	if errno != 0 {
		r.free()
		return 0, nil, errno
	}
	return pid, m, nil
}

//go:noinline
//go:norace
func cloneProcess(flags, stack uintptr, pidfd *int32, entry, mem uintptr) (pid uintptr, errno syscall.Errno) {
	runtimeBeforeFork()
	r := cloneOnto(flags, stack, pidfd, entry, mem)
	runtimeAfterFork()
	if e := -int(r); e > 0 && e < 4096 {
		return 0, syscall.Errno(e)
	}
	return r, 0
}
