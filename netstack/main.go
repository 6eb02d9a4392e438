package netstack

import (
	"os"

	"golang.org/x/sys/unix"
)

// controlFD leads to nobox; userns.NetworkFD.
const controlFD = 3

// Main runs the network until nobox is gone, and returns the exit code.
func Main(args []string) int {
	var buf [16]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(controlFD, buf[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return 0
		}
		cs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(cs) != 1 {
			continue
		}
		fds, err := unix.ParseUnixRights(&cs[0])
		if err != nil {
			continue
		}
		go drain(os.NewFile(uintptr(fds[0]), "device"))
	}
}

func drain(f *os.File) {
	buf := make([]byte, 1<<16)
	for {
		if _, err := f.Read(buf); err != nil {
			return
		}
	}
}
