package pps

import (
	"context"
	"errors"
	"math/rand/v2"
	"noonmark/phc"
	"noonmark/phc/tai"
	"testing"
	"testing/synctest"
	"time"
)

// pulseEvery makes an edge each second of the bubble's time.
type pulseEvery struct {
	stamp func(k int) int64
	k     int
	fail  error // at the tenth
}

func (p *pulseEvery) Next(ctx context.Context) (Edge, error) {
	now := time.Now()
	t := time.NewTimer(now.Truncate(time.Second).Add(time.Second + time.Millisecond).Sub(now))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return Edge{}, ctx.Err()
	case <-t.C:
	}
	if p.k++; p.fail != nil && p.k == 10 {
		return Edge{}, p.fail
	}
	return Edge{Stamp: p.stamp(p.k)}, nil
}

func (p *pulseEvery) Close() error   { return nil }
func (p *pulseEvery) String() string { return "pulse" }

func TestMeasureFindsTheBias(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for _, c := range []struct {
		name string
		fail error
	}{{"a source fails", gone}, {"well", nil}} {
		t.Log("seed 3, 4")
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			unix := func() int64 { return time.Now().UnixNano() }
			clock := func(ns int64) int64 { return ns + 37e9 - ns/100000 } // 10 ppm slow
			second := func() int64 { return time.Now().Truncate(time.Second).UnixNano() }
			b := Bench{
				Kernel: &pulseEvery{stamp: func(int) int64 { return second() + 1300 + int64(r.NormFloat64()*60) }, fail: c.fail},
				Card:   &pulseEvery{stamp: func(int) int64 { return clock(second()) }},
				Cross: func() (phc.Cross, error) {
					return phc.Cross{Clock: tai.Time(clock(unix())), Real: unix(), Mono: unix()}, nil
				},
				Every: 100 * time.Millisecond,
			}
			bias, err := b.Measure(t.Context(), 60)
			if c.fail != nil {
				if !errors.Is(err, gone) {
					t.Errorf("%s: %v", c.name, err)
				}
				return
			}
			if err != nil || (bias.Median-1300).Abs() > 30 || bias.Pairs < 59 {
				t.Errorf("%s: %+v, %v", c.name, bias, err)
			}
		})
	}
}
