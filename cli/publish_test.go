package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nobox/sandbox"
)

// shown is a published port as these tests write it.
func shown(p sandbox.Publish) string {
	s := "*"
	if p.Addr.IsValid() {
		s = p.Addr.String()
	}
	if p.Path != "" {
		s = p.Path
	} else if p.First != p.Last {
		s += fmt.Sprintf(" %d-%d", p.First, p.Last)
	} else {
		s += fmt.Sprintf(" %d", p.First)
	}
	s += fmt.Sprintf(" %d", p.Box)
	if p.UDP {
		s += " udp"
	}
	return s
}

func TestPublishTakesTheFormsOfDocker(t *testing.T) {
	for v, want := range map[string]string{
		"80":                             "* 0 80",
		"8080:80":                        "* 8080 80",
		"8080:80/tcp":                    "* 8080 80",
		"8080:80/TCP":                    "* 8080 80",
		"53:5353/udp":                    "* 53 5353 udp",
		"0:80":                           "* 0 80",
		":80":                            "* 0 80",
		"127.0.0.1:8080:80":              "127.0.0.1 8080 80",
		"127.0.0.1::80":                  "127.0.0.1 0 80",
		"127.0.0.1:0:80/udp":             "127.0.0.1 0 80 udp",
		"0.0.0.0:8080:80":                "0.0.0.0 8080 80",
		":8080:80":                       "* 8080 80",
		"[::1]:8080:80":                  "::1 8080 80",
		"[::]:8080:80/udp":               ":: 8080 80 udp",
		"::1:8080:80":                    "::1 8080 80",
		"[::ffff:192.0.2.1]:8080:80":     "192.0.2.1 8080 80",
		"[fe80:0:0:0:0:0:0:1]:1:65535":   "fe80::1 1 65535",
		"8000-8002:9000-9002":            "* 8000 9000, * 8001 9001, * 8002 9002",
		"3000-3001":                      "* 0 3000, * 0 3001",
		"127.0.0.1:8000-8001:90-91/udp":  "127.0.0.1 8000 90 udp, 127.0.0.1 8001 91 udp",
		"8000-8010:80":                   "* 8000-8010 80",
		"127.0.0.1::3000-3001":           "127.0.0.1 0 3000, 127.0.0.1 0 3001",
		"7-7:8":                          "* 7 8",
		"08080:00080":                    "* 8080 80",
		"./a:b/sock:80":                  "./a:b/sock 80",
		"/run/user/1000/app.sock:80/tcp": "/run/user/1000/app.sock 80",
	} {
		got, err := publish(v)
		if err != nil {
			t.Errorf("%q: %v", v, err)
			continue
		}
		var s []string
		for _, p := range got {
			s = append(s, shown(p))
		}
		if strings.Join(s, ", ") != want {
			t.Errorf("%q: %s, want %s", v, strings.Join(s, ", "), want)
		}
	}
}

func TestPublishIsReadStrictly(t *testing.T) {
	for _, v := range []string{"", ":", "::", "a", "0", "0-3", "80:0", "80:", "8080:80:", "65536", "-1", "+80", " 80", "80 ", "0x50", "8e1", "1_0", "٣",
		"http", "80/", "80/sctp", "80/icmp", "80/tcp/udp", "8080:80/tcp:", "90-80", "1-", "-5", "1-2-3", "1-300", "1-2:1-3", "0-1:5-6",
		"localhost:80:80", "example.com:80:80", "127.1:80:80", "0177.0.0.1:80:80", "256.0.0.1:80:80", "[127.0.0.1]:80:80", "[::1:80:80",
		"::1]:80:80", "[]:80:80", "[fe80::1%lo]:80:80", "[::1]", "[::1]:80", "1.2.3.4:5:6:7", "\x00", "80\x00", "80\n",
		"/a", "/a:", "/a:0", "/a:80/udp", "~/a:80", "/" + strings.Repeat("a", 107) + ":80", "./" + strings.Repeat("a", 89) + ":80"} {
		if got, err := publish(v); err == nil {
			t.Errorf("%q: %v", v, got)
		}
	}
}

// FuzzPublish reads any value: what it means is a port each, or an error.
func FuzzPublish(f *testing.F) {
	for _, v := range []string{"80", "8080:80/udp", "[::1]:1-3:4-6", "127.0.0.1::80", "8000-8010:80", "./s:80", "::1:0:1", "1.2.3.4:5:6"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		got, err := publish(v)
		if (len(got) == 0) == (err == nil) || len(got) > maxPublished {
			t.Fatalf("%q: %v, %v", v, got, err)
		}
		for i, p := range got {
			switch {
			case p.Box == 0, p.Last < p.First, p.First == 0 && p.Last != 0:
				t.Fatalf("%q: %+v", v, p)
			case p.Path != "" && (p.Addr.IsValid() || p.First != 0 || p.UDP || len(p.Path) > maxSocketPath):
				t.Fatalf("%q: %+v", v, p)
			case p.Addr.IsValid() && (p.Addr.Is4In6() || p.Addr.Zone() != ""):
				t.Fatalf("%q: %+v", v, p)
			case i > 0 && p.Box != got[i-1].Box+1:
				t.Fatalf("%q: %+v", v, got)
			}
		}
	})
}

func TestWhatIsToBeClosedIsNamedByItsPlaceOnTheHost(t *testing.T) {
	tcp := sandbox.PublishedPort{Proto: "tcp", Box: 80, Where: "127.0.0.1:8080"}
	six := sandbox.PublishedPort{Proto: "tcp", Box: 80, Where: "[::1]:8080"}
	udp := sandbox.PublishedPort{Proto: "udp", Box: 53, Where: "0.0.0.0:8080"}
	sock := sandbox.PublishedPort{Proto: "unix", Box: 80, Where: "/run/a:b"}
	all := []sandbox.PublishedPort{tcp, six, udp, sock}
	for in, want := range map[string][]sandbox.PublishedPort{
		"8080": {tcp, six}, "8080/tcp": {tcp, six}, "8080/UDP": {udp}, "127.0.0.1:8080": {tcp}, "[::1]:8080": {six}, "::1:8080": {six},
		"0.0.0.0:8080/udp": {udp}, "0.0.0.0:8080": nil, "8081": nil, "/run/a:b": {sock}, "/run/a": nil,
	} {
		c, err := parseClosing(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		var got []sandbox.PublishedPort
		for _, l := range all {
			if c.matches(l, c.path) {
				got = append(got, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
	for _, in := range []string{"", "0", "80-90", "http", "80/", "80/sctp", "localhost:80", "1.2.3:80", ":80", "127.0.0.1:", "99999", "fe80::1%eth0:80"} {
		if c, err := parseClosing(in); err == nil {
			t.Errorf("%q is %+v", in, c)
		}
	}
}

func FuzzClosing(f *testing.F) {
	f.Add("127.0.0.1:8080/udp")
	f.Add("[::1]:1")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseClosing(s); err == nil && c.path == "" && c.port == 0 {
			t.Errorf("%q names no port", s)
		}
	})
}
