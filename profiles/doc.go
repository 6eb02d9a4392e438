// Package profiles reads settings from files: nobox's configuration, the
// profiles in it and those that nobox comes with, and a project's .nobox.toml.
// It knows TOML and how profiles extend one another, and nothing of flags: a
// setting is a key, its values, and the line it stands on. What the keys mean,
// and what a project may set, is cli's.
//
// It does not look at the machine: host reads the files. Nothing is parsed
// where no file is there and no profile is named. Start with load.go.
package profiles
