package slirp

import (
	"errors"
	"strings"
	"testing"

	"nobox/host"
)

const (
	slirpHelp = "-c, --configure          bring up\n-e, --exit-fd=FD\n-r, --ready-fd=FD\n-m, --mtu=MTU\n--disable-host-loopback  p\n--enable-ipv6  6\n--enable-sandbox  x\n--enable-seccomp  x\n"
	slirpSays = "slirp4netns version 1.2.0\ncommit: 656041d\nlibslirp: 4.7.0\nlibseccomp: 2.5.4\n"
)

func TestVersionsOfSlirp4netns(t *testing.T) {
	for s, want := range map[string][2]int{
		slirpSays: {1, 2}, "slirp4netns version 0.4.9": {0, 4}, "slirp4netns version 1.3.1+dev\n": {1, 3}, "x\nslirp4netns version 10.20.30": {10, 20},
	} {
		if v, ok := slirpVersion(s); !ok || v != want {
			t.Errorf("%q: %v, %v", s, v, ok)
		}
	}
	for _, s := range []string{"", "slirp4netns", "slirp4netns version ", "slirp4netns version x1.2", "slirp4netns version 1", "slirp4netns version 99999999999999999999.1"} {
		if v, ok := slirpVersion(s); ok {
			t.Errorf("%q: %v", s, v)
		}
	}
}

func TestVersionsOfPasta(t *testing.T) {
	for s, want := range map[string]string{
		"pasta 2023_03_09.7c7625d\nCopyright": "2023_03_09", "pasta 0.0~git20230309.7c7625d-1": "2023_03_09", "pasta 0.0~git20250503.587980c-2": "2025_05_03",
		"pasta 2026_01_20.386b5f5-1.fc43": "2026_01_20", "pasta unknown version\nCopyright 2020_11_11": "", "": "", "pasta 20": "",
	} {
		if v := pastaVersion(s); v != want {
			t.Errorf("%q: %q, want %q", s, v, want)
		}
	}
}

func TestAProgramThatCannotServeIsRefused(t *testing.T) {
	fit := host.Tool{Path: "/usr/bin/slirp4netns", Version: slirpSays, Help: slirpHelp}
	if _, cause := Slirp4netns.Unfit(fit); cause != nil {
		t.Error(cause)
	}
	for want, change := range map[string]func(*host.Tool){
		"there is no slirp4netns":           func(t *host.Tool) { t.Path = "" },
		"says nothing of itself: it sleeps": func(t *host.Tool) { t.Err = errors.New("it sleeps") },
		"is version 0.9":                    func(t *host.Tool) { t.Version = strings.Replace(slirpSays, "1.2.0", "0.9.1", 1) },
		"does not say its version":          func(t *host.Tool) { t.Version = "busybox" },
		"without libseccomp":                func(t *host.Tool) { t.Version = "slirp4netns version 1.2.0\n" },
		"does not know --enable-sandbox":    func(t *host.Tool) { t.Help = strings.Replace(slirpHelp, "--enable-sandbox", "--enable-sandboxes", 1) },
	} {
		tool := fit
		change(&tool)
		if _, cause := Slirp4netns.Unfit(tool); cause == nil || !strings.Contains(cause.Error(), want) {
			t.Errorf("%v, want %s", cause, want)
		}
	}
	pasta := host.Tool{Path: "/usr/bin/pasta", Version: "pasta unknown version", Help: strings.Join(pastaNeeds, "\n") + "\n"}
	if _, cause := Pasta.Unfit(pasta); cause != nil {
		t.Error(cause)
	}
	pasta.Version = "pasta 2022_11_16.ace074c"
	if _, cause := Pasta.Unfit(pasta); cause == nil || !strings.Contains(cause.Error(), "2022_11_16") {
		t.Error(cause)
	}
	if _, cause := User.Unfit(host.Tool{}); cause != nil {
		t.Error("the stack of nobox's own needs no program:", cause)
	}
}
