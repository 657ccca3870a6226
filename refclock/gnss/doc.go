// Package gnss turns the byte stream of a satellite receiver into messages:
// NMEA 0183 of any talker and u-blox UBX, mixed in any way, with other
// protocols between them stepped over. It starts no goroutine, logs nothing
// and reads no clock.
//
// Nothing is believed that a checksum does not vouch for, every field that
// matters is checked against its range, and whatever is refused is counted
// under a Reason.
package gnss
