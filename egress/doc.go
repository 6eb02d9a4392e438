// Package egress is what --allow-host and --deny-host mean: a rule, and whether
// it matches. It is shared by nobox, which refuses a rule that says nothing,
// and by the network's process, which applies them; it imports nothing of the
// repository.
package egress
