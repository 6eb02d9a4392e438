// Package nstest is what tests share: a machine made of data, so that what is
// compiled from facts is the same wherever the tests run. Nothing but tests
// may import it.
package nstest
