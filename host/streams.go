package host

import "golang.org/x/sys/unix"

// Streams is what the caller's three standard streams are.
type Streams struct {
	TTY     [3]bool
	Size    unix.Winsize // of the terminal on stdin
	Termios unix.Termios // of the terminal on stdin
}

func probeStreams() (s Streams) {
	for fd := range s.TTY {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if s.TTY[fd] = err == nil; s.TTY[fd] && fd == 0 {
			s.Termios = *t
			if ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
				s.Size = *ws
			}
		}
	}
	return s
}
