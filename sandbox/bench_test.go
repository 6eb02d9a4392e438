package sandbox

import (
	"testing"

	"nobox/host"
)

func BenchmarkProbe(b *testing.B) {
	for b.Loop() {
		host.Probe(QuestionsOf(Options{Userns: UsernsRoot, Command: []string{"/bin/true"}}))
	}
}

func BenchmarkLook(b *testing.B) {
	o := Options{Userns: UsernsRoot, Command: []string{"/bin/true"}}
	f := host.Probe(QuestionsOf(o))
	for b.Loop() {
		f.Places = make(map[host.Place]host.PlaceFact, 48)
		f.Look(MoreQuestions(o, &f))
	}
}

func BenchmarkCompile(b *testing.B) {
	o := Options{Userns: UsernsRoot, Command: []string{"/bin/true"}}
	f := host.Probe(QuestionsOf(o))
	f.Look(MoreQuestions(o, &f))
	for b.Loop() {
		if _, err := Compile(o, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	o := Options{Userns: UsernsRoot, Command: []string{"/bin/true"}}
	f := host.Probe(QuestionsOf(o))
	f.Look(MoreQuestions(o, &f))
	p, err := Compile(o, &f)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Check()
	}
}
