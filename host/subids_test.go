package host

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSubidLinesAreCheckedOneByOne(t *testing.T) {
	for _, c := range []struct {
		name     string
		content  string
		want     []Range
		problems []string
		unlisted bool
	}{
		{name: "an empty file", unlisted: true},
		{name: "only others", content: "other:100000:65536\nboxer2:1:1\n#boxer:5:5\n", unlisted: true},
		{name: "one line", content: "boxer:100000:65536\n", want: []Range{{100000, 65536}}},
		{name: "no newline at the end", content: "boxer:100000:65536", want: []Range{{100000, 65536}}},
		{name: "several lines, in order", content: "boxer:200000:10\n\n1001:100000:20\n", want: []Range{{200000, 10}, {100000, 20}}},
		{name: "malformed lines of others", content: "other:x\n:::\nother\n\x00\xff\nboxer:100000:65536\n", want: []Range{{100000, 65536}}},
		{name: "malformed lines do not lose the good ones",
			content:  "boxer:x:65536\nboxer:100000\nboxer:100000:65536\nboxer:1:2:3\nboxer::5\nboxer:5:\n",
			want:     []Range{{100000, 65536}},
			problems: []string{`line 1, "boxer:x:65536": the start is not a number`, `line 2, "boxer:100000": NAME:START:COUNT has three fields`, `line 4, "boxer:1:2:3": NAME:START:COUNT has three fields`, `line 5, "boxer::5": the start is not a number`, `line 6, "boxer:5:": the count is not a number`}},
		{name: "signs, blanks and hexadecimals",
			content:  "boxer:-5:10\nboxer:+5:10\nboxer: 5:10\nboxer:5:10 \n boxer:5:10\nboxer:0x5:1\nboxer:5:10\r\n",
			problems: []string{`line 1, "boxer:-5:10": the start is not a number`, `line 2, "boxer:+5:10": the start is not a number`, `line 3, "boxer: 5:10": the start is not a number`, `line 4, "boxer:5:10 ": the count is not a number`, `line 5, " boxer:5:10": there is a blank around the name`, `line 6, "boxer:0x5:1": the start is not a number`, `line 7, "boxer:5:10\r": the count is not a number`}},
		{name: "zeros",
			content:  "boxer:0:10\nboxer:5:0\nboxer:007:010\n",
			want:     []Range{{7, 10}},
			problems: []string{`line 1, "boxer:0:10": uid 0 is root's`, `line 2, "boxer:5:0": the count is 0`}},
		{name: "the highest ids",
			content:  "boxer:4294967294:1\nboxer:4294967295:1\nboxer:4294967293:3\nboxer:4294967296:1\nboxer:99999999999999999999:1\nboxer:5:99999999999999999999\nboxer:1:4294967295\n",
			want:     []Range{{4294967294, 1}},
			problems: []string{`line 2, "boxer:4294967295:1": the start is above 4294967294, the highest id`, `line 3, "boxer:4294967293:3": it ends above 4294967294, the highest id`, `line 4, "boxer:4294967296:1": the start is above 4294967294, the highest id`, `line 5, "boxer:99999999999999999999:1": the start is above 4294967294, the highest id`, `line 6, "boxer:5:99999999999999999999": it ends above 4294967294, the highest id`, `line 7, "boxer:1:4294967295": it ends above 4294967294, the highest id`}},
		{name: "the caller's own uid",
			content:  "boxer:1000:10\nboxer:1001:1\nboxer:1002:10\nboxer:991:10\n",
			want:     []Range{{1002, 10}, {991, 10}},
			problems: []string{`line 1, "boxer:1000:10": it contains uid 1001, the caller's own`, `line 2, "boxer:1001:1": it contains uid 1001, the caller's own`}},
		{name: "identical lines count once", content: "boxer:100000:65536\n1001:100000:65536\nboxer:100000:65536\n", want: []Range{{100000, 65536}}},
		{name: "overlapping lines",
			content:  "boxer:2000:10\nboxer:2005:10\nboxer:1995:30\nboxer:2001:2\n",
			want:     []Range{{2000, 10}, {2010, 5}, {1995, 5}, {2015, 10}},
			problems: []string{`line 2, "boxer:2005:10": overlaps line 1; what both have is counted once`, `line 3, "boxer:1995:30": overlaps line 1; what both have is counted once`, `line 3, "boxer:1995:30": overlaps line 2; what both have is counted once`, `line 4, "boxer:2001:2": overlaps line 1; what both have is counted once`}},
		{name: "neighbours do not overlap", content: "boxer:2000:10\nboxer:2010:10\nboxer:1990:10\n", want: []Range{{2000, 10}, {2010, 10}, {1990, 10}}},
		{name: "control characters do not reach the terminal", content: "boxer:\x1b[31m:5\n", problems: []string{`line 1, "boxer:\x1b[31m:5": the start is not a number`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems, listed := parseSubIDs([]byte(c.content), []string{"boxer", "1001"}, "uid", 1001)
			if !slices.Equal(got, c.want) {
				t.Errorf("ranges %v, want %v", got, c.want)
			}
			if !slices.Equal(problems, c.problems) {
				t.Errorf("problems\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(c.problems, "\n"))
			}
			if listed == c.unlisted {
				t.Errorf("listed %v", listed)
			}
		})
	}
}

func TestTheFreeRangeLiesAboveAllOthers(t *testing.T) {
	for content, want := range map[string]uint32{
		"":                         100000,
		"a:100000:65536":           165536,
		"a:165536:65536\nb:100:5":  231072,
		"a:x:65536\nb:5:y\nc::\n:": 100000,
		"a:4294967294:1":           0,
		"a:4294967290:4":           4294967294,
		"a:4294967295:4294967295":  0,
	} {
		if got := freeID([]byte(content)); got != want {
			t.Errorf("freeID(%q) = %d, want %d", content, got, want)
		}
	}
}

func TestSubtractTakesIdsAway(t *testing.T) {
	for _, c := range []struct {
		from []Range
		take Range
		want []Range
	}{
		{[]Range{{10, 10}}, Range{20, 5}, []Range{{10, 10}}},
		{[]Range{{10, 10}}, Range{5, 5}, []Range{{10, 10}}},
		{[]Range{{10, 10}}, Range{10, 10}, nil},
		{[]Range{{10, 10}}, Range{5, 50}, nil},
		{[]Range{{10, 10}}, Range{12, 3}, []Range{{10, 2}, {15, 5}}},
		{[]Range{{10, 10}, {30, 10}}, Range{15, 20}, []Range{{10, 5}, {35, 5}}},
		{[]Range{{4294967290, 5}}, Range{4294967294, 1}, []Range{{4294967290, 4}}},
	} {
		if got := subtract(c.from, c.take); !reflect.DeepEqual(got, c.want) {
			t.Errorf("subtract(%v, %v) = %v, want %v", c.from, c.take, got, c.want)
		}
	}
}

// FuzzSubids: what is returned is valid, overlaps nothing, and stands in a
// line of the caller's.
func FuzzSubids(f *testing.F) {
	f.Add("boxer:100000:65536\n1001:165536:65536\n", uint32(1001))
	f.Add("boxer:x:1\nother:5:5\nboxer:99999999999999999999:1\nboxer:2000:10\nboxer:2005:10", uint32(1001))
	f.Add("boxer:0:4294967295\nboxer:1:4294967294\nboxer:4294967294:1\r\n", uint32(4294967294))
	f.Add("1001:1:5\n1001:3:9\n1001:2:1\n1001:1:5", uint32(4))
	f.Fuzz(func(t *testing.T, content string, own uint32) {
		who := []string{"boxer", "1001"}
		ranges, problems, listed := parseSubIDs([]byte(content), who, "uid", own)
		freeID([]byte(content))
		if !listed && len(ranges)+len(problems) > 0 {
			t.Fatalf("ranges %v and problems %q of nobody", ranges, problems)
		}
		var granted [][2]uint64
		for _, line := range strings.Split(content, "\n") {
			f := strings.Split(line, ":")
			if len(f) == 3 && slices.Contains(who, f[0]) {
				start, err1 := strconv.ParseUint(f[1], 10, 32)
				count, err2 := strconv.ParseUint(f[2], 10, 32)
				if err1 == nil && err2 == nil {
					granted = append(granted, [2]uint64{start, start + count})
				}
			}
		}
		for i, r := range ranges {
			start, end := uint64(r.Start), uint64(r.Start)+uint64(r.Count)
			switch {
			case r.Count == 0, start == 0, end > 1<<32-1, r.Contains(own):
				t.Fatalf("range %v for a caller with %d", r, own)
			case !slices.ContainsFunc(granted, func(g [2]uint64) bool { return g[0] <= start && end <= g[1] }):
				t.Fatalf("range %v is granted by no line", r)
			}
			for _, o := range ranges[:i] {
				if start < uint64(o.Start)+uint64(o.Count) && uint64(o.Start) < end {
					t.Fatalf("%v and %v overlap", o, r)
				}
			}
		}
		for _, p := range problems {
			if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("control characters in %q", p)
			}
		}
		// what was found can be written down and found again
		var again strings.Builder
		for _, r := range ranges {
			fmt.Fprintf(&again, "boxer:%d:%d\n", r.Start, r.Count)
		}
		back, problems, _ := parseSubIDs([]byte(again.String()), who, "uid", own)
		if !slices.Equal(back, ranges) || len(problems) > 0 {
			t.Fatalf("%v became %v, %q", ranges, back, problems)
		}
	})
}
