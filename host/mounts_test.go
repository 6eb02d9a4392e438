package host

import (
	"slices"
	"testing"

	"nobox/plan"
)

const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
24 22 254:1 / /srv rw shared:1 - xfs /dev/vdb rw
25 22 254:0 /home/u/bin /mnt/alias rw - ext4 /dev/vda rw
26 22 254:0 /home /opt/a\040b rw - ext4 /dev/vda rw
27 26 0:30 / /opt/a\040b/u/bin rw - tmpfs tmpfs rw
28 22 254:0 /home/u/bin/nobox /usr/bin/file rw - ext4 /dev/vda rw
`

func TestAThingIsKnownByEveryNameThatAMountGivesIt(t *testing.T) {
	ms := parseMounts(mountinfo)
	tests := []struct {
		path plan.HostPath
		want []plan.HostPath
	}{
		{"/home/u/bin/nobox", []plan.HostPath{"/home/u/bin/nobox", "/mnt/alias/nobox", "/usr/bin/file"}}, // the fifth is covered by a tmpfs
		{"/home/u/notes", []plan.HostPath{"/home/u/notes", "/opt/a b/u/notes"}},
		{"/mnt/alias/x", []plan.HostPath{"/mnt/alias/x", "/home/u/bin/x"}},
		{"/srv/x", []plan.HostPath{"/srv/x"}},
		{"/usr/bin/file", []plan.HostPath{"/usr/bin/file", "/home/u/bin/nobox", "/mnt/alias/nobox"}},
		{"/opt/a b/u/bin/x", []plan.HostPath{"/opt/a b/u/bin/x"}},
	}
	for _, tt := range tests {
		if got := ms.Names(tt.path); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.path, got, tt.want)
		}
	}
	if got := Mounts(nil).Names("/x"); !slices.Equal(got, []plan.HostPath{"/x"}) {
		t.Errorf("without a list: %q", got)
	}
}

func TestWhatIsMountedBelowADirectoryIsListedOnce(t *testing.T) {
	ms := parseMounts(mountinfo + "29 26 0:31 / /opt/a\\040b/u/bin rw - tmpfs tmpfs rw\n")
	if got, want := ms.Below("/opt"), []plan.HostPath{"/opt/a b", "/opt/a b/u/bin"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := len(ms.Below("/")); got != 6 {
		t.Errorf("%d below /", got)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(mountinfo)
	f.Add(`1 2 3 \ /\ - x`)
	f.Add(" - ")
	f.Fuzz(func(t *testing.T, s string) {
		ms := parseMounts(s)
		for _, m := range ms {
			if m.Point == "" || m.Point[0] != '/' {
				t.Fatalf("%q", m)
			}
			ms.Names(m.Point)
			ms.Below(m.Point)
		}
	})
}

func TestATypeSaysWhetherNamesFoldCase(t *testing.T) {
	const line = "30 22 8:1 / /mnt rw,nocase - "
	for rest, want := range map[string]string{
		"ntfs3 /dev/sda1 rw,uid=1000,nocase,iocharset=utf8": "ntfs3, nocase", "ntfs3 /dev/sda1 rw,uid=1000,nocase": "ntfs3, nocase",
		"ntfs3 /dev/sda1 rw,uid=1000,iocharset=utf8": "ntfs3", "ext4 /dev/sda1 rw,nocase": "ext4", "tmpfs tmpfs": "tmpfs",
	} {
		if got := parseMounts(line + rest + "\n").TypeOf("/mnt/x"); got != want {
			t.Errorf("%s: %q, want %q", rest, got, want)
		}
	}
}
