package sysclock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/facebook/time/ntp/chrony"
)

// chronyTimeout is how long chronyd may take to answer.
const chronyTimeout = 500 * time.Millisecond

// maxClockError is chrony's allowance for changes of the frequency, ns/s
// (chrony.conf, maxclockerror: 1 ppm).
const maxClockError = 1e3

// chronyd asks a chronyd on this machine for its tracking report, over UDP, where
// it answers all users of the machine, or over its socket.
type chronyd struct {
	addr       string // as configured
	host, port string // of addr; empty for a path
	at         string // address and port in use; empty: they are to be looked up
	lookup     func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// CheckChrony returns an error if addr cannot be the address of a chronyd on this
// machine. Names are not looked up: that may fail now and work later.
func CheckChrony(addr string) error {
	_, err := newChrony(addr)
	return err
}

func newChrony(addr string) (*chronyd, error) {
	if strings.HasPrefix(addr, "/") {
		return &chronyd{addr: addr}, nil
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, fmt.Errorf("chronyd's address: %w", err)
	case host == "" || port == "":
		return nil, fmt.Errorf("chronyd's address %q has no host or no port", addr)
	}
	if a, err := netip.ParseAddr(host); err == nil && !a.Unmap().IsLoopback() {
		return nil, notHere(addr)
	}
	return &chronyd{addr: addr, host: host, port: port, lookup: net.DefaultResolver.LookupNetIP}, nil
}

func notHere(addr string) error {
	return fmt.Errorf("chronyd's address %s is not on this machine, so its clock is another one", addr)
}

func (c *chronyd) String() string       { return "chronyd" }
func (c *chronyd) every() time.Duration { return time.Second }

// probe asks once, from a new socket: an answer that comes too late cannot be
// confused with that to the next request.
func (c *chronyd) probe(ctx context.Context, now int64) (q quality, err error) {
	defer func() {
		if e := (*Error)(nil); errors.As(err, &e) && e.Reason == NoAnswer {
			c.at = "" // the name may have another address now
		}
	}()
	conn, done, err := c.dial(ctx)
	if err != nil {
		return quality{}, &Error{NoAnswer, err}
	}
	defer done()
	if err := conn.SetDeadline(time.Now().Add(chronyTimeout)); err != nil {
		return quality{}, &Error{NoAnswer, err}
	}
	cl := &chrony.Client{Connection: conn}
	r, err := cl.Communicate(chrony.NewTrackingPacket())
	if err != nil {
		var ne net.Error
		switch {
		case errors.As(err, &ne):
			return quality{}, &Error{NoAnswer, err}
		case strings.HasPrefix(err.Error(), "got status"): // the package has no error value for it
			return quality{}, &Error{Refused, err}
		}
		return quality{}, &Error{BadAnswer, err}
	}
	t, ok := r.(*chrony.ReplyTracking)
	if !ok || t.Sequence != cl.Sequence {
		return quality{}, &Error{BadAnswer, errors.New("it is not the answer to this request")}
	}
	return trackingQuality(&t.Tracking, now)
}

// dial connects. A Unix datagram socket needs a path of its own for the answer.
func (c *chronyd) dial(ctx context.Context) (net.Conn, func(), error) {
	if !strings.HasPrefix(c.addr, "/") {
		if err := c.resolve(ctx); err != nil {
			return nil, nil, err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", c.at)
		if err != nil {
			return nil, nil, err
		}
		return conn, func() { conn.Close() }, nil
	}
	// Beside chronyd's socket, where it can write, with the process ID, as chronyc does.
	own := filepath.Join(filepath.Dir(c.addr), fmt.Sprintf("ntsserve.%d.sock", os.Getpid()))
	os.Remove(own) // of an earlier process with the same ID
	conn, err := net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: c.addr, Net: "unixgram"})
	if err != nil {
		os.Remove(own)
		return nil, nil, err
	}
	done := func() { conn.Close(); os.Remove(own) }
	if err := os.Chmod(own, 0o666); err != nil { // chronyd runs as another user
		done()
		return nil, nil, err
	}
	return conn, done, nil
}

// resolve looks the name up, if it has to be. Of its addresses the first on this machine
// is used.
func (c *chronyd) resolve(ctx context.Context) error {
	if c.at != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, chronyTimeout)
	defer cancel()
	list, err := c.lookup(ctx, "ip", c.host) // an address is its own name
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(a netip.Addr) bool { return a.Unmap().IsLoopback() })
	if i < 0 {
		return notHere(c.addr)
	}
	c.at = net.JoinHostPort(list[i].Unmap().String(), c.port)
	return nil
}

// trackingQuality returns the quality in a tracking report. chronyd's own clock
// is CLOCK_REALTIME with the remaining correction, and it serves that clock with
// this stratum and reference ID.
func trackingQuality(t *chrony.Tracking, now int64) (quality, error) {
	if t.LeapStatus >= 3 || t.Stratum == 0 || t.Stratum >= 16 {
		return quality{}, &Error{Reason: NotSynced}
	}
	for _, x := range [...]float64{t.RootDelay, t.RootDispersion, t.SkewPPM, math.Abs(t.CurrentCorrection), math.Abs(t.ResidFreqPPM)} {
		if !(x >= 0 && x < 1e7) { // also NaN; a skew of 1e6 ppm means that it is not yet known
			return quality{}, &Error{BadAnswer, errors.New("a number is out of range")}
		}
	}
	q := quality{
		stratum:    uint8(t.Stratum),
		refTime:    t.RefTime.UnixNano(),
		rootDelay:  seconds(t.RootDelay),
		dispersion: seconds(t.RootDispersion),
		rate:       (t.SkewPPM+math.Abs(t.ResidFreqPPM))*1e3 + maxClockError,
		correction: time.Duration(math.Round(t.CurrentCorrection * 1e9)),
	}
	// chrony's floating-point format has a coefficient of 25 bits.
	q.dispersion += time.Duration(math.Ceil(math.Abs(t.CurrentCorrection)*1e9/(1<<24))) + time.Nanosecond
	if q.refTime <= 0 || t.RefTime.Year() > 2261 {
		q.refTime = now
	}
	binary.BigEndian.PutUint32(q.refID[:], t.RefID)
	switch t.LeapStatus {
	case 1:
		q.leapSign = 1
	case 2:
		q.leapSign = -1
	}
	if q.leapSign != 0 { // for chronyd, leap seconds are at the end of the month
		u := time.Unix(0, now).UTC()
		q.leapAt = time.Date(u.Year(), u.Month()+1, 1, 0, 0, 0, 0, time.UTC).Unix()
	}
	return q, nil
}

// seconds rounds up to the nanosecond.
func seconds(s float64) time.Duration { return time.Duration(math.Ceil(s * 1e9)) }
