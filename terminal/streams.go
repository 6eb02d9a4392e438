package terminal

import "golang.org/x/sys/unix"

// Streams is what the caller's three standard streams are. Size and Termios
// are zero if FD is -1.
type Streams struct {
	TTY     [3]bool      // which of stdin, stdout and stderr are terminals
	FD      int          // 0 if stdin is a terminal, else -1
	Size    unix.Winsize // of the terminal on stdin
	Termios unix.Termios // of the terminal on stdin: what to restore, and what the box's pty starts with

	// Background says that nobox was not in the terminal's foreground, so
	// that its modes were someone else's. Termios then is what a shell would
	// give a job that it brings to the foreground.
	Background bool
}

// Probe looks at the descriptors 0, 1 and 2.
func Probe() Streams {
	s := Streams{FD: -1}
	for fd := range s.TTY {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			continue
		}
		s.TTY[fd] = true
		if fd != 0 {
			continue
		}
		s.FD, s.Termios = 0, *t
		if ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
			s.Size = *ws
		}
		if s.Background = !foreground(0); s.Background {
			s.Termios = sane(s.Termios)
		}
	}
	return s
}
