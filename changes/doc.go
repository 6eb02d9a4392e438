// Package changes reads what boxes wrote to overlays that are kept in a
// directory (--overlay-dir): it lists the changes, writes them back to the
// trees that they are of, or forgets them.
//
// It runs outside, later, with what a box left: names, links, modes and sizes
// are whatever the box made them. It must not follow a symbolic link, on either
// side, nor hide a change from the list.
//
// Start with list.go; apply.go writes, batch.go says in which order.
package changes
