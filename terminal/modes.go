package terminal

import (
	"time"

	"golang.org/x/sys/unix"
)

// raw is t with nothing interpreted on the way in or out; cfmakeraw(3).
func raw(t unix.Termios) unix.Termios {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return t
}

// sane is t with the flags of a new terminal, and with those control
// characters it has none for; tty_std_termios and INIT_C_CC of the kernel's
// tty_io.c and termios.h. The line, the encoding and the user's own control
// characters stay.
func sane(t unix.Termios) unix.Termios {
	t.Iflag = unix.ICRNL | unix.IXON | t.Iflag&unix.IUTF8
	t.Oflag = unix.OPOST | unix.ONLCR
	t.Lflag = unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.IEXTEN
	for _, c := range [...]struct {
		index int
		char  byte
	}{
		{unix.VINTR, 'C' & 0x1f}, {unix.VQUIT, '\\' & 0x1f}, {unix.VERASE, 0x7f}, {unix.VKILL, 'U' & 0x1f},
		{unix.VEOF, 'D' & 0x1f}, {unix.VSTART, 'Q' & 0x1f}, {unix.VSTOP, 'S' & 0x1f}, {unix.VSUSP, 'Z' & 0x1f},
		{unix.VREPRINT, 'R' & 0x1f}, {unix.VDISCARD, 'O' & 0x1f}, {unix.VWERASE, 'W' & 0x1f}, {unix.VLNEXT, 'V' & 0x1f},
	} {
		if t.Cc[c.index] == 0 {
			t.Cc[c.index] = c.char
		}
	}
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return t
}

// foreground says whether job control lets this process read the terminal and
// set its modes: its group is the foreground one, or the terminal is not its
// controlling one (ENOTTY). A group outside of this pid namespace reads as 0
// on both sides of the comparison; tcgetpgrp(3), pid_namespaces(7).
func foreground(tty int) bool {
	group, err := unix.IoctlGetUint32(tty, unix.TIOCGPGRP)
	return err != nil || int(group) == unix.Getpgrp()
}

// settle waits until the line has taken what was written, as TCSETSW would,
// but not for ever: a line stopped by flow control never takes it. A pty
// reports nothing queued.
func settle(tty int, limit time.Duration) {
	const pause = 10 * time.Millisecond
	for ; limit > 0; limit -= pause {
		if n, err := unix.IoctlGetUint32(tty, unix.TIOCOUTQ); err != nil || n == 0 {
			return
		}
		poll(nil, pause)
	}
}
