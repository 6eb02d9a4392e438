package cgroups

import "testing"

func TestABoxsCgroupIsTheFirstThatNoboxMade(t *testing.T) {
	for text, want := range map[string]string{
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/nobox-12-abc.scope/box/inside\n": "/user.slice/user-1000.slice/user@1000.service/app.slice/nobox-12-abc.scope/box/inside",
		"12:memory:/x/box/inside\n1:name=systemd:/\n0::/a/nobox-12-abc/inside\n":                     "/a/nobox-12-abc/inside",
		"0::/a/nobox-1-x.scope/box/inside/made/box/inside\n":                                         "/a/nobox-1-x.scope/box/inside",
		"0::/a/nobox-1-x.scope/box/inside/sub\n":                                                     "/a/nobox-1-x.scope/box/inside",
		"0::/\n":                                                                                     "", "0::/inside\n": "", "0::/user.slice/session-1.scope\n": "", "12:memory:/box/inside\n": "", "": "", "0::/../../box\n": "",
	} {
		if _, got, err := insideOf(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
