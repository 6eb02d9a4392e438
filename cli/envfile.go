package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"nobox/sandbox"
)

// envFileMax is what the variables of a file may come to. The kernel itself
// takes a quarter of the stack limit for arguments and environment, execve(2).
const envFileMax = 16 << 20

// readEnvFile reads a regular file, a pipe (/dev/stdin, a shell's <(...)), or
// such a device as /dev/null and a terminal.
func readEnvFile(name string) ([]byte, error) {
	// Looked at before it is opened: to open a device may do something.
	st, err := os.Stat(name)
	if err != nil {
		return nil, bare(err)
	}
	if !readable(st) {
		return nil, notAFile(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		return nil, bare(err)
	}
	if !readable(st) {
		return nil, notAFile(name)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, envFileMax+1)); err != nil {
		return nil, bare(err)
	}
	if b.Len() > envFileMax {
		return nil, bigFile(envFileMax)
	}
	return b.Bytes(), nil
}

func readable(st fs.FileInfo) bool {
	t := st.Mode().Type()
	return t == 0 || t == fs.ModeNamedPipe || t == fs.ModeDevice|fs.ModeCharDevice
}

// bare is the errno of an error of package os, whose words repeat the path.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// envFile reads the lines of a file as docker does: space before a name does
// not count, one "\r" at the end and a byte order mark neither, everything
// behind "=" is the value. name and flag are the file and the flag's spelling.
func envFile(name, flag string, data []byte) ([]sandbox.EnvVar, error) {
	var vars []sandbox.EnvVar
	text := strings.TrimPrefix(string(data), "\ufeff")
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t\v\f\r")
		if line == "" || line[0] == '#' {
			continue
		}
		key, val, set := strings.Cut(line, "=")
		at := fmt.Sprintf("%s:%d", name, n)
		switch {
		case strings.IndexByte(line, 0) >= 0:
			return nil, nulInFile(at)
		case key == "":
			return nil, noNameInFile(at)
		case strings.ContainsAny(key, " \t\v\f\r"):
			return nil, spaceInName(at, strings.HasPrefix(line, "export"))
		}
		vars = append(vars, sandbox.EnvVar{Name: key, Value: val, FromCaller: !set, From: flag + " " + show(at)})
	}
	return vars, nil
}
