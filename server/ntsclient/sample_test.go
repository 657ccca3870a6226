package ntsclient

import (
	"context"
	"errors"
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

func TestSampleCountsReadings(t *testing.T) {
	t.Parallel()
	// fate is what happens to the request with this number, from 1 on.
	none := func(int, *fake, []byte) [][]byte { return nil }
	for _, c := range []struct {
		name                     string
		aead                     aead.ID
		cfg                      Config
		count                    int
		fate                     func(request int, f *fake, answer []byte) [][]byte
		readings, lost, requests int
		err                      error
	}{
		{"no answer at all", 0, Config{}, 2, none, 0, 4, 4, ErrNoAnswer},
		{"denied", 0, Config{}, 3, func(_ int, _ *fake, answer []byte) [][]byte { return [][]byte{kiss(answer, "DENY")} }, 0, 1, 1, ErrDenied},
		{"not synchronised", aead.AESSIVCMAC256, Config{}, 3, func(_ int, f *fake, answer []byte) [][]byte {
			f.h.Leap = ntp.LeapUnknown // from the second request on
			return [][]byte{answer}
		}, 1, 1, 2, nil},
		{"one lost", aead.AESSIVCMAC256, Config{}, 3, func(request int, f *fake, answer []byte) [][]byte {
			if request == 2 {
				return nil
			}
			return [][]byte{answer}
		}, 3, 1, 4, nil},
		{"all", aead.AESSIVCMAC256, Config{}, 3, nil, 3, 0, 3, nil},
		{"interleaved after one that does not count", aead.AESSIVCMAC256, Config{Interleaved: true}, 2, nil, 2, 0, 3, nil},
	} {
		f := newFake(t, c.aead)
		if c.fate != nil {
			f.mangle = func(_, answer []byte) [][]byte { return c.fate(f.requests, f, answer) }
		}
		s, err := TakeSample(context.Background(), f.config(c.cfg), c.count, 0)
		if err != nil {
			t.Fatal(err)
		}
		if s.Readings != c.readings || s.Lost != c.lost || f.requests != c.requests || !errors.Is(s.Err, c.err) || (s.Err == nil) != (c.err == nil) {
			t.Errorf("%s: %d readings, %d lost, %d requests, %v; want %d, %d, %d, %v", c.name, s.Readings, s.Lost, f.requests, s.Err, c.readings, c.lost, c.requests, c.err)
		}
		if s.Shown != (c.readings > 0) || c.cfg.Interleaved && !s.Best.Interleaved {
			t.Errorf("%s: shown %v, interleaved %v", c.name, s.Shown, s.Best.Interleaved)
		}
		r := s.Report("a host")
		if r.Host != "a host" || r.Valid != (c.err == nil) || (r.Measured != nil) != s.Shown || (r.Error == "") != (c.err == nil) {
			t.Errorf("%s: report %+v", c.name, r)
		}
	}
}

// The reading with the least delay is shown, and the jitter is against it.
func TestSampleShowsTheLeastDelay(t *testing.T) {
	t.Parallel()
	f := newFake(t, aead.AES128GCMSIV)
	f.mangle = func(_, answer []byte) [][]byte {
		if f.there += time.Millisecond; f.requests == 2 {
			f.there = time.Millisecond // of the third request
		}
		return [][]byte{answer}
	}
	s, err := TakeSample(context.Background(), f.config(Config{}), 3, 0)
	if err != nil || s.Err != nil {
		t.Fatal(err, s.Err)
	}
	if d := s.Best.Delay - 4*time.Millisecond; d.Abs() > time.Microsecond {
		t.Errorf("delay %v, want 4 ms", s.Best.Delay)
	}
	if s.Jitter == 0 {
		t.Error("no jitter of readings with different offsets")
	}
}

func TestSampleEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f := newFake(t, 0)
	if s, err := TakeSample(ctx, f.config(Config{}), 3, time.Hour); err != nil || !errors.Is(s.Err, context.Canceled) || f.requests != 0 {
		t.Errorf("%v, %v after %d requests", err, s.Err, f.requests)
	}
	if _, err := TakeSample(context.Background(), Config{}, 1, 0); err == nil {
		t.Error("a configuration without host is accepted")
	}
}
