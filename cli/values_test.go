package cli

import (
	"math"
	"testing"
	"time"
)

func TestIdsAreReadStrictly(t *testing.T) {
	for _, s := range []string{"0", "7", "1000", "65536", "2147483648", "4294967294", "007",
		"root", "_apt", "www-data", "systemd-network", "a1", "Debian-exim", "svc$", "me@corp.example", `CORP\me`, "müller", "x.y", "x+y"} {
		for _, v := range []string{s, s + ":0", "0:" + s, s + ":" + s} {
			if err := user(v); err != nil {
				t.Errorf("%q: %v", v, err)
			}
		}
	}
	// CVE-2026-30892, and what else a lenient reading would let through.
	for _, s := range []string{"", " ", " 0", "0 ", "0x0", "0X1", "0b1", "0o7", "1e3", "1_000", "1.0", "-1", "-0", "+0", "+1", "--", "4294967295", "4294967296",
		"18446744073709551616", "99999999999999999999999", "0\n", "\t0", "٣", "0root", "1000abc", "-x", ".x", "$x", "@x", "a b", "a\n", "a\x00", "a/b", "a,b", "a=b", "a*", "a\x1b"} {
		for _, v := range []string{s, s + ":0", "0:" + s} {
			// A digit of another script is a letter to nobox, as any byte above 0x7f: a
			// name to be looked up, and never an id.
			if err := user(v); (err == nil) != (s == "٣") {
				t.Errorf("%q: %v", v, err)
			}
		}
	}
}

func TestNumbersAreReadStrictly(t *testing.T) {
	odd := []string{"", " ", " 1", "1 ", "+1", "-1", "0x1", "0b1", "0o1", "1_0", "1e1", "1.", ".1", "one", "٣", "1\n", "1\x00", "99999999999999999999"}
	for _, s := range odd {
		if n, err := descriptor(s); err == nil {
			t.Errorf("descriptor %q: %d", s, n)
		}
		if n, err := size(s); err == nil {
			t.Errorf("size %q: %d", s, n)
		}
		if n, err := fileMode(s); err == nil {
			t.Errorf("mode %q: %o", s, n)
		}
		if n, err := limitValue(s); err == nil && s != "-1" {
			t.Errorf("limit %q: %d", s, n)
		}
	}
	for _, s := range []string{"0", "2147483648", "4294967297", "18446744073709551616"} {
		if n, err := descriptor(s); err == nil {
			t.Errorf("descriptor %q: %d", s, n)
		}
	}
	if n, err := descriptor("2147483647"); err != nil || n != math.MaxInt32 {
		t.Error(n, err)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		s    string
		want uint64
	}{
		{"1", 1}, {"512", 512}, {"512b", 512}, {"64k", 64 << 10}, {"64K", 64 << 10}, {"64kb", 64 << 10}, {"64KiB", 64 << 10},
		{"10m", 10 << 20}, {"2g", 2 << 30}, {"2GB", 2 << 30}, {"3t", 3 << 40}, {"1p", 1 << 50}, {"16383p", 16383 << 50},
		{"1.5g", 3 << 29}, {"0.5k", 512}, {"0.000001m", 1}, {"1.25k", 1280}, {"0.999999p", 1125898780942717},
		{"18446744073709551615", math.MaxUint64},
	} {
		if got, err := size(c.s); err != nil || got != c.want {
			t.Errorf("%q: %d, %v, want %d", c.s, got, err, c.want)
		}
	}
	for _, s := range []string{"0", "0k", "0.0m", "0.0000001k", "1.5", "1.5b", "1.", "1.k", ".5k", "1.5.5k", "-1k", "+1k", "1.-5k", "1.+5k", "1 k", "k", "b", "1kk", "1bb",
		"1ki", "1i", "1ib", "1e", "16384p", "18446744073709551616", "1,5k", "50%", "0x10", "1_000"} {
		if n, err := size(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestModes(t *testing.T) {
	for s, want := range map[string]uint32{"1777": 0o1777, "0700": 0o700, "00700": 0o700, "7777": 0o7777, "1": 1} {
		if got, err := fileMode(s); err != nil || got != want {
			t.Errorf("%q: %o, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "000", "10000", "8", "0o700", "u+x", "rwx"} {
		if n, err := fileMode(s); err == nil {
			t.Errorf("%q: %o", s, n)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		s    string
		want time.Duration
	}{
		{"0", 0}, {"0s", 0}, {"90", 90 * time.Second}, {"1.5", 1500 * time.Millisecond}, {"90s", 90 * time.Second},
		{"1h30m", 90 * time.Minute}, {"250ms", 250 * time.Millisecond}, {"0.001", time.Millisecond}, {"00", 0},
	} {
		if got, err := duration(c.s); err != nil || got != c.want {
			t.Errorf("%q: %v, %v", c.s, got, err)
		}
	}
	for _, s := range []string{"", " ", "-1", "+1", "-1s", "+1s", "1 s", " 1s", "1h30", "5d", "1e3", "0x10", "1_0", "s", ".", "1..5", "inf", "nan",
		"9999999999999", "0.0000000001", "10000000h"} {
		if d, err := duration(s); err == nil {
			t.Errorf("%q: %v", s, d)
		}
	}
}

func TestLimitsHaveDockersNames(t *testing.T) {
	for _, n := range limitNames() {
		u, err := ulimit(n + "=1:2")
		if err != nil || u.Name != n || u.Soft != 1 || u.Hard != 2 || u.Resource < 0 || u.Resource > 15 {
			t.Errorf("%s: %+v, %v", n, u, err)
		}
	}
	if n := len(limits); n != 16 { // RLIM_NLIMITS, asm-generic/resource.h
		t.Errorf("the kernel has 16 limits, the table %d", n)
	}
	for _, s := range []string{"18446744073709551615", "18446744073709551616", "-2", "infinity", "UNLIMITED", "1:"} {
		if u, err := ulimit("nofile=" + s); err == nil {
			t.Errorf("%q: %+v", s, u)
		}
	}
	if u, err := ulimit("cpu=18446744073709551614:unlimited"); err != nil || u.Soft != math.MaxUint64-1 || u.Hard != math.MaxUint64 {
		t.Errorf("%+v, %v", u, err)
	}
}
