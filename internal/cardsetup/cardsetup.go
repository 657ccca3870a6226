// Package cardsetup is a process of its own that sets up the timestamps of network
// cards. ntsserve answers strangers, so it gives up CAP_NET_ADMIN, with which it could
// change addresses, routes and packet filters. The card may come back, or another
// program may change its filters. Then ntsserve asks this process, which keeps that
// capability, and does only what sockets.Widen does: it can switch timestamps on.
package cardsetup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"noonmark/server/transport/sockets"
)

// Argument is the first argument of the process.
const Argument = "set-up-cards"

// ErrEnded is wrapped by the errors of Widen once the process has ended.
var ErrEnded = errors.New("the process that sets up cards has ended; restart ntsserve")

const (
	maxName   = 15 // octets of the name of an interface (IFNAMSIZ)
	answerLen = 12 // receive filter, transmit type, error number
)

// validName reports whether the kernel accepts a name for an interface
// (dev_valid_name, net/core/dev.c).
func validName(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00")
}

// appendAnswer writes an answer: errno 0 is success.
func appendAnswer(b []byte, s sockets.Setting, errno uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Receive))
	b = binary.NativeEndian.AppendUint32(b, uint32(s.Transmit))
	return binary.NativeEndian.AppendUint32(b, errno)
}

// parseAnswer reads an answer.
func parseAnswer(b []byte) (s sockets.Setting, errno uint32, err error) {
	if len(b) != answerLen {
		return s, 0, fmt.Errorf("an answer of %d octets", len(b))
	}
	ne := binary.NativeEndian
	return sockets.Setting{Receive: int32(ne.Uint32(b)), Transmit: int32(ne.Uint32(b[4:]))}, ne.Uint32(b[8:]), nil
}
