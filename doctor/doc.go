// Package doctor says of each thing that a box may need whether this machine
// has it, and where it does not the cause and what to type. Look has host try
// all of it; Lines makes the lines of what came of it, and is pure.
//
// It must not look at the machine itself, nor print. Start with lines.go.
package doctor
