package netstack

import (
	"errors"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
	gvisor "gvisor.dev/gvisor/pkg/log"
)

// What this process starts with: a socket that leads to nobox, and the box's
// device; userns.NetworkFD, DeviceFD and LogFD.
const (
	controlFD = 3
	deviceFD  = 4
	logFD     = 5 // of --net-log, if there is one
)

// memory is what the runtime is told to keep below. The limit of what a box
// can make this process take is held by the bounds on what the stack keeps.
const memory = 40 << 20

// Main runs the network until nobox is gone, and returns the exit code.
func Main(args []string) int {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	debug.SetMemoryLimit(memory)
	if runtime.NumCPU() > 4 {
		runtime.GOMAXPROCS(4)
	}
	hush()
	c, err := ParseConfig(args)
	if err != nil {
		say(err.Error())
		return 1
	}
	l, n, err := start(c, deviceFD)
	if err != nil {
		say("cannot run the network: " + err.Error())
		return 1
	}
	code := make(chan int, 2)
	go func() {
		say("cannot read what the box sends: " + l.read().Error())
		code <- 1
	}()
	go func() {
		for {
			_, fd, err := receive()
			if err != nil {
				break // nobox is gone, and with it the box
			}
			unix.Close(fd) // no message is known
		}
		n.drain()
		n.tcp.logEnds()
		n.udp.logEnds()
		code <- 0
	}()
	return <-code
}

func start(c Config, fd int) (*link, *network, error) {
	l, err := newLink(fd, uint32(c.MTU))
	if err != nil {
		return nil, nil, err
	}
	if c.Pair {
		l.pair(c.Ethernet)
	}
	n, err := newNetwork(c, l, say)
	return l, n, err
}

// drainAtMost is how long a box's end may take for what the host does not take;
// it is less than nobox waits.
const drainAtMost = 250 * time.Millisecond

// drain returns when what the box sent last has gone on, or soon.
func (n *network) drain() {
	quiet := 0
	for end := time.Now().Add(drainAtMost); quiet < 2 && time.Now().Before(end); {
		if n.link.idle() && n.tcp.idle() {
			quiet++
		} else {
			quiet = 0
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// receive waits for a message, and the descriptor that came with it or -1.
func receive() (kind uint32, fd int, err error) {
	var buf [16]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(controlFD, buf[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, -1, err
		}
		if n == 0 {
			return 0, -1, errors.New("closed")
		}
		if n != len(buf) {
			continue
		}
		fd = -1
		if cs, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(cs) == 1 {
			if fds, err := unix.ParseUnixRights(&cs[0]); err == nil && len(fds) == 1 {
				fd = fds[0]
			}
		}
		return uint32(buf[0]) | uint32(buf[1])<<8 | uint32(buf[2])<<16 | uint32(buf[3])<<24, fd, nil
	}
}

// hush silences gVisor's own log, which tells of packets. What its packages made
// at init, to tell of some only now and then, keeps the logger of then.
func hush() {
	gvisor.Log().Emitter = nothing{}
	gvisor.SetTarget(nothing{})
}

// nothing is where gVisor's log goes.
type nothing struct{}

func (nothing) Emit(int, gvisor.Level, time.Time, string, ...any) {}

// say gives a line to nobox, for the user. One that nobody reads is lost.
func say(line string) {
	unix.SendmsgN(controlFD, []byte(line), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}
