package tests

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVM runs the transcripts that need a system of their own. It is run in the
// virtual machine; tests/vm/guest says as whom.
func TestVM(t *testing.T) {
	dir := os.Getenv("NOBOX_VM")
	if dir == "" {
		t.Skip("for the virtual machine: make test-vm")
	}
	runScripts(t, filepath.Join("testdata", "vm", dir))
}
