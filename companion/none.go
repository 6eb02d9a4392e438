//go:build !companion

package companion

// Network is empty: this nobox carries no network's process.
const Network = ""
