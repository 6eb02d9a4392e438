// Package idmap chooses which ids of the host the ids inside are, and says it
// in steps of the plan.
//
// It decides from host.IDs alone: package host reads the machine, package
// userns writes the maps. Where only one id can be mapped although more were
// to be, Choose finds the cause and the remedy, or fails if the map was asked
// for by hand.
//
// Read choose.go first, then manual.go for --uidmap and --gidmap; causes.go
// has every word about what stands in the way, map.go the result.
package idmap
