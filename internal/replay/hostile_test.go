package replay

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"noonmark/refclock/recording"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// records reads all records of a recording.
func records(t *testing.T, path string) (all []recording.Record) {
	t.Helper()
	r, err := recording.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

// Clock, port and pulses were opened in a stretch that is missing: the disc was slow at
// the start of the machine. What comes afterwards still plays.
func TestDevicesThatWereOpenedInAMissingStretch(t *testing.T) {
	t.Parallel()
	s, err := sim.Find("cm4-f9t")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = 10 * time.Minute
	dir, want := record(t, s, 2)
	all := records(t, dir)
	h := all[0].(*recording.Header)
	states := 0
	for i, r := range all {
		if _, ok := r.(*recording.State); ok {
			states++
		}
		if states == 2 {
			all = all[i:]
			break
		}
	}
	var last status.Snapshot
	p, err := NewPlayer(h, Options{Publish: func(s *status.Snapshot) { last = *s }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append([]recording.Record{
		&recording.State{Mono: h.Mono},
		&recording.Step{Mono: h.Mono + 1, Calls: []recording.Call{{Kind: recording.CallOpen, After: h.Mono + 2, Err: os.ErrNotExist}}},
		&recording.Stamp{}, // of a card that was not enabled
		&recording.Gap{},
	}, all...) {
		p.Play(r)
	}
	if end := want[len(want)-1]; last.State != end.State || last.Mono != end.Mono {
		t.Errorf("at the end %v (%s), want %v", last.State, last.Reason, end.State)
	}
}
