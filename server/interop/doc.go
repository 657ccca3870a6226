// Package interop contains only tests: ntsserve and ntsquery with the programs of
// others (chrony, NTPsec, ntpd-rs, ntpdig, beevik/nts, facebook/time), over a virtual
// link between two network namespaces.
//
// The namespaces belong to the test's own user namespace. The tests therefore need no
// root, and cannot change the machine's clock, ports or files. Where user namespaces
// are not allowed, root runs the tests without one and without the capability to set
// the clock; for other users the tests are skipped, with the reason.
//
// Programs are searched in PATH, in /usr/sbin, and in usr/sbin and usr/bin of the
// directories in NOONMARK_PEERS (separated by colons); the tests use every version
// that is found. The script peers unpacks those of two Debian releases without
// installing anything:
//
//	NOONMARK_PEERS=$(server/interop/peers) go test -v ./server/interop
//
// ntpd-rs does not run without the permission to set the clock; strace answers those
// system calls instead of the kernel.
//
// The tests build ntsserve and ntsquery, unless NOONMARK_BIN names a directory that
// has them.
package interop
