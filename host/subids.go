package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

const (
	// maxID is the highest id there is: 2^32-1 is (uid_t)-1, "no id".
	maxID = math.MaxUint32 - 1
	// firstFree is where useradd(8) starts to hand out ranges; SUB_UID_MIN of
	// login.defs(5).
	firstFree = 100000
)

// subordinates fills SubUID and SubGID. Names are the caller's in passwd(5).
func (m machine) subordinates(ids *IDs, names []string) {
	uids := readGrants(m.subuid, "uid", m.uid)
	gids := readGrants(m.subgid, "gid", m.gid)
	who := append(names, strconv.FormatUint(uint64(m.uid), 10)) // subgid(5) too goes by the user
	uids.parse(who)
	gids.parse(who)
	if !uids.listed || !gids.listed {
		m.askDatabase(ids, &uids, &gids)
	}
	ids.SubUID, ids.SubGID = uids.Subordinate, gids.Subordinate
}

// grants is Subordinate in the making.
type grants struct {
	Subordinate
	kind    string // uid or gid
	own     uint32 // the caller's
	content []byte
	listed  bool // some line is the caller's, valid or not
}

func readGrants(path, kind string, own uint32) grants {
	g := grants{Subordinate: Subordinate{File: path}, kind: kind, own: own}
	var err error
	if g.content, err = ReadFile(path); err != nil {
		g.Err, g.Missing = err.Error(), err == unix.ENOENT
	}
	return g
}

// ReadFile is os.ReadFile without the runtime's poller, which a start would
// set up for nothing else.
func ReadFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == unix.EINTR { // the runtime's preemption signals, on a slow file system
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	b := make([]byte, 0, max(st.Size, 0)+512) // one read more than the size finds the end
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return b, nil
		}
		b = slices.Grow(b[:len(b)+max(n, 0)], 512)
	}
}

// parse reads the lines of the content that belong to one of who.
func (g *grants) parse(who []string) {
	g.Ranges, g.Problems, g.listed = parseSubIDs(g.content, who, g.kind, g.own)
	g.Free = 0
	if len(g.Ranges) == 0 {
		g.Free = freeID(g.content)
	}
}

// A subLine is a line of subuid(5) that is the caller's.
type subLine struct {
	number int
	text   string
}

func (l subLine) problem(cause string) string {
	return fmt.Sprintf("line %d, %q: %s", l.number, l.text, cause)
}

// parseSubIDs reads the lines of subuid(5) that belong to one of who, names or
// decimal uids; listed says that there is one. Kind is uid or gid, and own the
// caller's id of that kind. The ranges are valid and do not overlap.
//
// user.ParseSubID makes 0 of what is not a number and takes any number, and a
// line too long for it ends it. So it is shown only lines that are the
// caller's and well-formed, and what it returns is checked.
func parseSubIDs(content []byte, who []string, kind string, own uint32) (ranges []Range, problems []string, listed bool) {
	var lines []subLine
	var wellFormed bytes.Buffer
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSuffix(line, []byte{'\n'})
		name, _, _ := bytes.Cut(line, []byte{':'})
		if !slices.Contains(who, string(bytes.TrimSpace(name))) {
			continue
		}
		listed = true
		l := subLine{number, string(line)}
		if cause := malformed(line); cause != "" {
			problems = append(problems, l.problem(cause))
			continue
		}
		lines = append(lines, l)
		wellFormed.Write(line)
		wellFormed.WriteByte('\n')
	}
	if len(lines) == 0 {
		return nil, problems, listed
	}
	parsed, err := user.ParseSubID(&wellFormed)
	if err != nil || len(parsed) != len(lines) {
		// not seen for what malformed lets through
		return nil, append(problems, fmt.Sprintf("the lines of the user cannot be read: %v", err)), listed
	}
	type counted struct {
		Range
		number int
	}
	var earlier []counted
	for i, p := range parsed {
		if cause := notARange(p.SubID, p.Count, kind, own); cause != "" {
			problems = append(problems, lines[i].problem(cause))
			continue
		}
		r := Range{Start: uint32(p.SubID), Count: uint32(p.Count)}
		if slices.ContainsFunc(earlier, func(e counted) bool { return e.Range == r }) {
			continue
		}
		rest := []Range{r}
		for _, e := range earlier {
			cut := subtract(rest, e.Range)
			if !slices.Equal(cut, rest) {
				problems = append(problems, lines[i].problem(fmt.Sprintf("overlaps line %d; what both have is counted once", e.number)))
			}
			rest = cut
		}
		earlier = append(earlier, counted{r, lines[i].number})
		ranges = append(ranges, rest...)
	}
	return ranges, problems, listed
}

// malformed says what keeps a line from being NAME:START:COUNT, "" if nothing
// does. newuidmap(1) does not trim blanks either.
func malformed(line []byte) string {
	fields := bytes.Split(line, []byte{':'})
	switch {
	case len(fields) != 3:
		return "NAME:START:COUNT has three fields"
	case !bytes.Equal(bytes.TrimSpace(fields[0]), fields[0]):
		return "there is a blank around the name"
	case !isNumber(fields[1]):
		return "the start is not a number"
	case !isNumber(fields[2]):
		return "the count is not a number"
	}
	return ""
}

// isNumber says whether b is decimal digits, few enough that a scanner's
// buffer holds them; their value may be too large still.
func isNumber(b []byte) bool {
	return len(b) > 0 && len(b) <= 64 && !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
}

// notARange says why the numbers are no ids that the caller may be granted,
// "" if they are. The parser caps what does not fit an int64.
func notARange(start, count int64, kind string, own uint32) string {
	switch {
	case start == 0:
		return kind + " 0 is root's"
	case start > maxID:
		return fmt.Sprintf("the start is above %d, the highest id", uint32(maxID))
	case count == 0:
		return "the count is 0"
	case count > maxID-start+1:
		return fmt.Sprintf("it ends above %d, the highest id", uint32(maxID))
	case (Range{uint32(start), uint32(count)}).Contains(own):
		// The kernel takes no map with an id twice outside; user_namespaces(7).
		return fmt.Sprintf("it contains %s %d, the caller's own", kind, own)
	}
	return ""
}

// subtract takes what lies in x out of the ranges.
func subtract(ranges []Range, x Range) []Range {
	var rest []Range
	for _, r := range ranges {
		if r.Last() < x.Start || x.Last() < r.Start {
			rest = append(rest, r)
			continue
		}
		if r.Start < x.Start {
			rest = append(rest, Range{r.Start, x.Start - r.Start})
		}
		if x.Last() < r.Last() {
			rest = append(rest, Range{x.Last() + 1, r.Last() - x.Last()})
		}
	}
	return rest
}

// freeID is the first id from firstFree up that lies above everyone's ranges,
// 0 if there is none.
func freeID(content []byte) uint32 {
	free := uint64(firstFree)
	for line := range bytes.Lines(content) {
		_, numbers, _ := bytes.Cut(bytes.TrimSpace(line), []byte{':'})
		start, count, _ := bytes.Cut(numbers, []byte{':'})
		s, err1 := strconv.ParseUint(string(start), 10, 32)
		c, err2 := strconv.ParseUint(string(count), 10, 32)
		if err1 == nil && err2 == nil {
			free = max(free, s+c)
		}
	}
	if free > maxID {
		return 0
	}
	return uint32(free)
}

// askDatabase asks the programs that read nsswitch.conf(5), which takes
// milliseconds: id(1) for the name of a caller who is not in passwd(5), then
// the files again by that name, then getsubids(1).
func (m machine) askDatabase(ids *IDs, uids, gids *grants) {
	ctx, cancel := context.WithTimeout(context.Background(), m.patience)
	defer cancel()
	getsubids := m.find("getsubids")
	if ids.User == "" && (getsubids != "" || len(uids.content)+len(gids.content) > 0) {
		out, err := ask(ctx, m.find("id"), "-un")
		if err != nil {
			for _, g := range []*grants{uids, gids} {
				if !g.listed && !saidNo(err) {
					g.Problems = append(g.Problems, "id -un: "+err.Error())
				}
			}
			return
		}
		name := strings.TrimSuffix(out, "\n")
		if !isUserName(name) {
			return
		}
		ids.User, ids.FromDirectory = name, true
		who := []string{name, strconv.FormatUint(uint64(m.uid), 10)}
		uids.parse(who)
		gids.parse(who)
	}
	if ids.User == "" || getsubids == "" {
		return
	}
	var both sync.WaitGroup
	for _, q := range []struct {
		g    *grants
		args []string
	}{{uids, []string{ids.User}}, {gids, []string{"-g", ids.User}}} {
		if !q.g.listed {
			both.Go(func() { q.g.askGetsubids(ctx, getsubids, ids.User, q.args) })
		}
	}
	both.Wait()
}

// askGetsubids replaces what the file had, which is nothing, by the answer of
// getsubids(1), if there is one.
func (g *grants) askGetsubids(ctx context.Context, path, name string, args []string) {
	source := "getsubids " + strings.Join(args, " ")
	out, err := ask(ctx, path, args...)
	if err != nil {
		if !saidNo(err) {
			g.Problems = append(g.Problems, source+": "+err.Error())
		}
		return
	}
	ranges, problems, listed := parseSubIDs(subuidLines(out, name), []string{name}, g.kind, g.own)
	if listed {
		g.File, g.Ranges, g.Problems = source, ranges, problems
		g.Err, g.Missing = "", false
		if len(ranges) > 0 {
			g.Free = 0
		}
		g.listed = true
	}
}

// subuidLines turns the output of getsubids(1), lines of "0: NAME START
// COUNT", into lines as in subuid(5), with the name that was asked for: some
// versions print the uid. What is no such line does not become one.
func subuidLines(out, name string) []byte {
	var b []byte
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && strings.HasSuffix(f[0], ":"):
			b = append(b, name+":"+f[2]+":"+f[3]...)
		case len(f) > 0:
			b = append(b, name+":::"+strings.Join(f, " ")...)
		}
		b = append(b, '\n')
	}
	return b
}

// isUserName refuses what would not survive as a field of subuid(5), or would
// be read as a flag.
func isUserName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f })
}

// saidNo says whether the program is not there, or answered by its exit code:
// id(1) that the uid has no name, getsubids(1) that the user has no ranges.
func saidNo(err error) bool {
	var exit *exec.ExitError
	return errors.Is(err, fs.ErrNotExist) || errors.As(err, &exit) && exit.Exited()
}

var errNoAnswer = errors.New("no answer in time")

// ask returns what a program of the host's prints.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	if path == "" {
		return "", fs.ErrNotExist
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = 100 * time.Millisecond // for what it may have left behind with its stdout
	out, err := cmd.Output()
	if ctx.Err() != nil {
		err = errNoAnswer
	}
	return string(out), err
}
