// Package vm runs the transcripts of ../testdata/vm in a virtual machine: a
// Debian with systemd, cgroup v2 and a kernel of its own, which the machine
// that the tests run on need not have. image makes the machine, guest is what
// it runs, vm_test.go boots it, once for all transcripts, and reports each as a
// test. "make test-vm" is all of it.
package vm
