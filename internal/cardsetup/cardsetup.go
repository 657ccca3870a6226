// Package cardsetup is two processes of their own that set up the timestamps of network
// cards. ntsserve answers strangers, so it gives up CAP_NET_ADMIN, with which it could
// change addresses, routes and packet filters. The card may come back, or another
// program may change its filters. Then ntsserve asks ntsserve-cards, which keeps that
// capability, and does only what sockets.Widen does: it can switch timestamps on.
//
// ntsserve cannot give that capability to a process again. So its child is
// ntsserve-keeper, which has the capability too, reads nothing, and starts
// ntsserve-cards again whenever that has ended.
package cardsetup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"noonmark/server/transport/sockets"
)

// Argument is the first argument of both processes.
const Argument = "set-up-cards"

// Errors of Widen and of the task.
var (
	// ErrLost: nothing can bring the process back but a restart of ntsserve.
	ErrLost = errors.New("cards are not set up again until ntsserve is restarted: restart it at a good moment")
	// ErrAlone: the process still works, but would not be started again.
	ErrAlone = errors.New("ntsserve-keeper has ended, so ntsserve-cards would not be started again: restart ntsserve at a good moment")
	// ErrEnded: the process has ended and is started again.
	ErrEnded = errors.New("ntsserve-cards has ended, and is started again")
	// ErrNoAnswer: the process did not answer in time.
	ErrNoAnswer = errors.New("ntsserve-cards does not answer; the driver of a card may hang, see the kernel's log")
)

const (
	maxName   = 15 // octets of the name of an interface (IFNAMSIZ)
	numberLen = 4  // of a question, which its answer repeats
	answerLen = numberLen + 12
)

// validName reports whether the kernel accepts a name for an interface
// (dev_valid_name, net/core/dev.c).
func validName(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00")
}

// appendQuestion writes a question.
func appendQuestion(b []byte, number uint32, name string) []byte {
	return append(binary.NativeEndian.AppendUint32(b, number), name...)
}

// parseQuestion reads a question. ok is false for what has no number.
func parseQuestion(b []byte) (number uint32, name string, ok bool) {
	if len(b) < numberLen {
		return 0, "", false
	}
	return binary.NativeEndian.Uint32(b), string(b[numberLen:]), true
}

// appendAnswer writes an answer: errno 0 is success.
func appendAnswer(b []byte, number uint32, s sockets.Setting, errno uint32) []byte {
	ne := binary.NativeEndian
	return ne.AppendUint32(ne.AppendUint32(ne.AppendUint32(ne.AppendUint32(b, number), uint32(s.Receive)), uint32(s.Transmit)), errno)
}

// parseAnswer reads an answer.
func parseAnswer(b []byte) (number uint32, s sockets.Setting, errno uint32, err error) {
	if len(b) != answerLen {
		return 0, s, 0, fmt.Errorf("an answer of %d octets", len(b))
	}
	ne := binary.NativeEndian
	return ne.Uint32(b), sockets.Setting{Receive: int32(ne.Uint32(b[4:])), Transmit: int32(ne.Uint32(b[8:]))}, ne.Uint32(b[12:]), nil
}
