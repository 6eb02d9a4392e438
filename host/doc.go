// Package host reads the machine. Probe answers Questions with Facts, which
// are plain data; nothing else in nobox looks at the machine to decide
// anything.
//
// It must not decide: a fact says what is there, sandbox.Compile what follows.
// Start with facts.go; each other file answers one question.
package host
