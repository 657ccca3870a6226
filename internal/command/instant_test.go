package command

import (
	"testing"
	"time"
)

func TestInstants(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-11-27": now.Add(-36 * time.Hour), "2026-11-28T13:00:00+01:00": now, "36h": now.Add(-36 * time.Hour), "1.5d": now.Add(-36 * time.Hour), "90s": now.Add(-90 * time.Second),
		"2026-11-28T11:58": now.Add(-2 * time.Minute),
	} {
		i := NewInstant(func() time.Time { return now })
		if err := i.Set(text); err != nil || !i.Equal(want) {
			t.Errorf("%s is %v, want %v (%v)", text, i.Time, want, err)
		}
	}
	for _, text := range []string{"", "d", "-1h", "2026-13-01", "1e99d", "7days", "NaNd"} {
		i := NewInstant(func() time.Time { return now })
		if err := i.Set(text); err == nil {
			t.Errorf("%q is %v", text, i.Time)
		}
	}
}
