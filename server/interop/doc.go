// Package interop holds no code but tests: ntsserve and ntsquery against the
// programs of others (chrony, NTPsec, ntpd-rs, ntpdig, beevik/nts,
// facebook/time), over a virtual link between two network namespaces.
//
// The namespaces belong to a user namespace of the test's own, so that neither
// root is needed nor anything in them can touch the machine's clock, ports or
// files. Where user namespaces are not allowed root does it without one, and
// gives up the right to set the clock; anybody else is told what is skipped.
//
// Programs are looked for in PATH, in /usr/sbin, and under usr/sbin and usr/bin
// of the directories named in NOONMARK_PEERS (separated by colons); every version
// found is tried. The script beside this file unpacks those of two Debian
// releases without installing anything:
//
//	NOONMARK_PEERS=$(server/interop/peers) go test -v ./server/interop
//
// ntpd-rs refuses to run where it cannot set the clock; strace answers for the
// kernel there.
//
// ntsserve and ntsquery are built for the occasion, unless NOONMARK_BIN names a
// directory that has them.
package interop
