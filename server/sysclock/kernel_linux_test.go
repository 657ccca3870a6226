package sysclock

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestKernelQuality(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 31, 13, 0, 0, 0, time.UTC).UnixNano()
	k := &kernel{cfg: Config{Stratum: 7, RefID: DefaultRefID}, slept: func() time.Duration { return 0 }}
	for _, c := range []struct {
		name  string
		state int
		tx    syscall.Timex
		err   error
		want  Reason
		leap  int8
	}{
		{"not allowed", -1, syscall.Timex{}, syscall.EPERM, Unavailable, 0},
		{"error state", timeError, syscall.Timex{}, nil, NotSynced, 0},
		{"unsynchronised", 0, syscall.Timex{Status: staUnsync}, nil, NotSynced, 0},
		{"error at its limit", 0, syscall.Timex{Maxerror: 16_000_000}, nil, NotSynced, 0},
		{"good", 0, syscall.Timex{Maxerror: 2500, Tai: 37}, nil, Good, 0},
		{"insert", timeIns, syscall.Timex{Maxerror: 3000, Tai: 37}, nil, Good, 1},
		{"delete", timeDel, syscall.Timex{Maxerror: 3500}, nil, Good, -1},
	} {
		k.adjtimex = func(tx *syscall.Timex) (int, error) { *tx = c.tx; return c.state, c.err }
		q, err := k.probe(t.Context(), now)
		var e *Error
		if got := errors.As(err, &e); got != (c.want != Good) || got && e.Reason != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		if c.want != Good {
			continue
		}
		if q.dispersion != time.Duration(c.tx.Maxerror)*time.Microsecond || q.stratum != 7 || q.refID != DefaultRefID || q.tai != int(c.tx.Tai) || q.leapSign != c.leap || q.refTime != now {
			t.Errorf("%s: %+v", c.name, q)
		}
		if c.leap != 0 && q.leapAt != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
			t.Errorf("%s: leap at %v", c.name, time.Unix(q.leapAt, 0).UTC())
		}
	}
	// The maximum error grows until the next report, which is the reference time.
	k.adjtimex = func(tx *syscall.Timex) (int, error) { *tx = syscall.Timex{Maxerror: 1000}; return 0, nil }
	if q, err := k.probe(t.Context(), now+5e9); err != nil || q.refTime != now+5e9 {
		t.Errorf("reported again: %+v, %v", q, err)
	}
}

// The kernel keeps its maximum error over a sleep of the machine, in which it did not
// keep the time. It counts again after the next report of what steers the clock.
func TestKernelQualityFromBeforeASleepIsRefused(t *testing.T) {
	t.Parallel()
	slept := 3 * time.Second // before this program began
	var tx syscall.Timex
	k := &kernel{slept: func() time.Duration { return slept }, adjtimex: func(x *syscall.Timex) (int, error) { *x = tx; return 0, nil }}
	k.asOf = slept
	for i, c := range []struct {
		slept time.Duration // since the step before
		tx    syscall.Timex
		want  Reason
	}{
		{0, syscall.Timex{Maxerror: 1000}, Good},
		{time.Hour, syscall.Timex{Maxerror: 1000}, MachineSlept},
		{0, syscall.Timex{Maxerror: 1500}, MachineSlept},  // it only grows
		{0, syscall.Timex{Maxerror: 1499}, Good},          // a report
		{0, syscall.Timex{Maxerror: 2000}, Good},          // it grows
		{time.Second, syscall.Timex{Maxerror: 300}, Good}, // the report came before this program looked
		{time.Second, syscall.Timex{Maxerror: 5000}, MachineSlept},
		{0, syscall.Timex{Maxerror: 5000, Status: staUnsync}, NotSynced}, // what steers it knows
		{0, syscall.Timex{Maxerror: 900_000}, Good},                      // and has synchronised it again
	} {
		slept += c.slept
		tx = c.tx
		_, err := k.probe(t.Context(), int64(i+1)*1e9)
		got := Good
		if e := (*Error)(nil); errors.As(err, &e) {
			got = e.Reason
		}
		if got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
}

func TestKernelQualityOfThisMachine(t *testing.T) {
	t.Parallel()
	p, err := newKernel(Config{Stratum: DefaultStratum, RefID: DefaultRefID})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	q, err := p.probe(t.Context(), time.Now().UnixNano())
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("adjtimex is not allowed here: %v", err)
	}
	if err == nil && (q.dispersion < 0 || q.stratum != DefaultStratum) || err != nil && (!errors.As(err, &e) || e.Reason != NotSynced) {
		t.Errorf("%+v, %v", q, err)
	}
}
