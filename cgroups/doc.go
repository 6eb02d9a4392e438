// Package cgroups limits a box by cgroup v2: which limits there are and what
// they take (limits.go, the steps), how the steps of the host side are played
// (tree.go; scope.go and dbus.go, for a scope of systemd's), and what the kernel
// counted (report.go).
//
// It must not decide anything while it plays, nor look at the machine to
// decide: that is limits.go's, from facts. Start reading there.
package cgroups
