package ntsclient

import (
	"math"
	"net/netip"
	"time"

	"noonmark/phc/tai"
	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

// Reading is one answer of a server, measured against the local clock.
type Reading struct {
	Server        netip.AddrPort // that answered
	Authenticated bool           // by NTS
	AEAD          aead.ID        // 0 without NTS
	Cookies       int            // in the jar after this answer
	Interleaved   bool           // the transmit timestamp is the precise one of the earlier answer (RFC 9769)

	// The four timestamps of the measurement (RFC 5905, figure 15). Sent and
	// Received are CLOCK_REALTIME in ns since the POSIX epoch.
	Sent, Received     Stamp
	ServerRx, ServerTx ntp.Timestamp
	Offset             time.Duration // local clock - server, + = the local clock is fast (theta of RFC 5905 has the opposite sign)
	Delay              time.Duration // round trip without the time in the server; absolute value, if inexact timestamps make it negative
	RootDelay          time.Duration // from the server to its reference
	RootDispersion     time.Duration // of the server
	Stratum            uint8
	Leap               uint8 // 0 none, 1 insert, 2 delete, 3 unknown (RFC 5905, figure 9)
	RefID              [4]byte
	RefTime            ntp.Timestamp // when the server's clock was last set; 0 = unknown
	Poll, Precision    int8          // log2 s
	Version            uint8
}

// RootDistance returns the bound of the error of Offset, if the server's own values
// are correct: half of both delays, the server's dispersion, and the resolution of
// its clock (RFC 5905, appendix A.5.5.2, without the local dispersion).
func (r *Reading) RootDistance() time.Duration {
	return (r.Delay+r.RootDelay)/2 + r.RootDispersion + precision(r.Precision)
}

// ReferenceTime returns RefTime as UTC, in the NTP era nearest to the local clock,
// or the zero time if the server sent none.
func (r *Reading) ReferenceTime() time.Time {
	if r.RefTime == 0 {
		return time.Time{}
	}
	return r.RefTime.TAI(tai.Time(r.Received.Real), 0).UTC(0)
}

// RefIDText returns the reference identifier as text: up to four characters at
// stratum 0, 1 and 16 (no reference), else a dotted quad, an IPv4 address or the
// hash of another address (RFC 5905, section 7.3). A server that smears a leap
// second has 254.x.y.z at any stratum.
func (r *Reading) RefIDText() string {
	if (r.Stratum <= 1 || r.Stratum > 15) && r.RefID[0] != 254 {
		return printable(r.RefID)
	}
	return netip.AddrFrom4(r.RefID).String()
}

// Best returns the index of the reading with the least delay, which queues affected
// least (RFC 5905, section 10), or -1 if there is none.
func Best(rs []Reading) int {
	best := -1
	for i := range rs {
		if best < 0 || rs[i].Delay < rs[best].Delay {
			best = i
		}
	}
	return best
}

// Jitter returns the root mean square of the differences between the offsets and
// that of reading i (RFC 5905, section 10), 0 for fewer than two readings.
func Jitter(rs []Reading, i int) time.Duration {
	if len(rs) < 2 {
		return 0
	}
	var sum float64
	for j := range rs {
		d := float64(rs[j].Offset - rs[i].Offset)
		sum += d * d
	}
	return time.Duration(math.Sqrt(sum / float64(len(rs)-1)))
}

// measure computes offset (local - server) and round-trip delay from the four
// timestamps. All differences wrap with the era, so they are correct for clocks
// less than 68 years apart.
func measure(t1 int64, t2, t3 ntp.Timestamp, t4 int64) (offset, delay time.Duration) {
	out := t2.Sub(local(t1)) // server - local, plus the delay of the request
	back := t3.Sub(local(t4))
	return -(out + back) / 2, out - back
}

// local returns CLOCK_REALTIME as an NTP timestamp. Both count UTC without leap
// seconds.
func local(real int64) ntp.Timestamp { return ntp.FromTAI(tai.Time(real), 0) }

// precision returns 2^p s, limited to 1 ns to 1 s.
func precision(p int8) time.Duration {
	return max(1, time.Duration(math.Ldexp(1e9, int(max(-30, min(p, 0))))))
}

// printable returns the characters of a reference identifier, with ? for others.
func printable(id [4]byte) string {
	n := 4
	for n > 0 && id[n-1] == 0 {
		n--
	}
	b := make([]byte, n)
	for i, c := range id[:n] {
		if b[i] = c; c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
