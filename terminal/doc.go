// Package terminal owns the caller's terminal while a box uses it, and the
// relay between it and the box's own pty. The command never holds a descriptor
// of the caller's terminal; this package is the only thing that does.
//
// It must not start processes, send or catch signals, or decide whether a box
// has a terminal. It must not change what outlives nobox: the file status
// flags of inherited descriptors, which belong to an open file description
// shared with the caller's shell, and the terminal's modes, which it gives
// back on every way out.
//
// The terminal of a detached box is a Share's instead (share.go), and the relay of
// who attaches to it is in another process.
//
// Start with the theory below, then relay.go (the calls), loop.go (the thread),
// streams.go (what is probed), modes.go, open.go.
//
// # Theory of operation
//
//	keyboard ─► caller's terminal ─► input  ─► master ═ peer ─► the command
//	screen   ◄─ caller's terminal ◄─ output ◄─ master ═ peer ◄─ the command
//
// The caller's terminal is raw, so that every byte typed reaches the box's pty
// as it is, and the line discipline there echoes, edits, makes Ctrl-C a signal
// of the box's foreground group and "\n" a "\r\n". One thread does everything:
// it copies both ways, changes modes, and carries out the calls of the API,
// which queue a request, wake it through an eventfd and wait until it is done.
// So no two things ever happen to the terminal at once, and when Close returns
// nothing is left that could take a byte meant for the shell.
//
// The thread waits in poll(2) only, where a request always reaches it. For
// that it opens non-blocking descriptions of its own of the terminal: the
// inherited one may not be made non-blocking, and blocks for as long as the
// screen's reader likes. Where that is refused (open.go says when) it uses the
// inherited one in a way that cannot block unless someone else reads or writes
// the same terminal between the poll and the call.
//
// Each direction has one buffer. A side is only read while the buffer it fills
// has room, so a box that does not read stops the keyboard and nothing else,
// and a terminal that is not read stops the box's output and nothing else.
//
// Job control is the kernel's: a process whose group is not the terminal's
// foreground group gets SIGTTIN for a read and SIGTTOU for a change of modes,
// each of which would stop nobox. The thread looks before it does either. As
// the shell may take the terminal between the look and the read, it also
// blocks SIGTTIN: the kernel then fails the read with EIO and stops nobody.
// It leaves SIGTTOU alone, so that losing the same race over the modes stops
// nobox, as it would any program, and never makes another's terminal raw; and
// so that "stty tostop" means for the box what it means for any job. A
// terminal that is not the process's controlling one has no job control and
// counts as foreground.
//
// The states:
//
//	            reads the terminal   modes      output         leaves by
//	foreground  yes                  raw        written        Suspend, Close; the shell takes the terminal
//	background  no                   untouched  written        the group becomes foreground (looked at every
//	                                                           250 ms and on Resume); Suspend, Close
//	suspended   no                   saved      left in        Resume, Close
//	                                            the box's pty
//	hung up     no (gone)            –          discarded      Close
//	ended       no                   as before  none           Close
//
// What must not be done in each:
//
//   - foreground: no read without a look at the foreground group just before.
//   - background: no read and no change of modes, not even to give back the
//     saved ones: whoever is in the foreground has set its own.
//   - suspended: no byte to or from the terminal. The command is stopped, the
//     shell about to draw its prompt. What was typed before and the box has not
//     taken is kept, and goes to it on Resume.
//   - hung up: no poll of the terminal, which would report POLLHUP for ever. The
//     master is closed at once, with nothing more written to it: that is what
//     makes the kernel send SIGHUP inside.
//   - ended (the master read EIO: no process has the peer open): no read of
//     the terminal, nobody could receive it. This is final, so something inside
//     has to hold the peer as long as the box lives; the reaper does. Before
//     the first open of the peer the kernel reports no EIO, so Start need not
//     wait for it.
//
// The saved modes are those of Probe. If that ran in the background they were
// another program's (a shell's line editor, mostly), and are taken instead
// when the group first becomes foreground, just before the terminal is made
// raw. They are never taken again: what is found later may be this package's
// own raw mode.
package terminal
