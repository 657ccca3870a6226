// Package gnss turns the octet stream of a satellite receiver into messages. It
// finds the frames of several protocols mixed in any way, lets each protocol
// decode its own, and supplies what receivers leave out: dates, centuries,
// weeks lost to a rollover. It starts no goroutine, logs nothing and reads no
// clock.
//
// Each protocol lives in a package below this one and is listed in package
// registry; docs/adding-a-receiver.md says how to add one.
//
// Only frames with a valid checksum are decoded, every field that matters is
// checked against its range, and all that is refused is counted by Defect.
package gnss
