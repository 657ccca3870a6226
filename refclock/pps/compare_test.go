package pps

import (
	"math"
	"testing"
	"time"
)

func TestComparatorAlarm(t *testing.T) {
	t.Parallel()
	const limit, uncertain = 1000, 200
	repeat := func(n int, v float64) (s []float64) {
		for range n {
			s = append(s, v)
		}
		return s
	}
	join := func(parts ...[]float64) (s []float64) {
		for _, p := range parts {
			s = append(s, p...)
		}
		return s
	}
	for _, c := range []struct {
		name    string
		limit   time.Duration
		offsets []float64
		changes []int // indices at which the alarm is raised or cleared
		alarm   bool  // at the end
	}{
		{"beyond, without a limit", 0, repeat(50, 1e9), nil, false},
		{"beyond the limit, within the uncertainty", limit, repeat(50, 1199), nil, false},
		{"two in a row", limit, join(repeat(2, 5000), repeat(1, 0), repeat(2, -5000), repeat(1, 0)), nil, false},
		{"every other", limit, join(repeat(1, 5000), repeat(1, 0), repeat(1, 5000), repeat(1, 0), repeat(1, 5000)), nil, false},
		{"three in a row, either side", limit, []float64{5000, -5000, 5000, 5000}, []int{2}, true},
		{"nine within do not clear it", limit, join(repeat(3, 5000), repeat(9, 0), repeat(1, 5000)), []int{2}, true},
		{"ten within clear it", limit, join(repeat(3, 5000), repeat(10, 0)), []int{2, 12}, false},
		{"raised again", limit, join(repeat(3, 5000), repeat(10, 0), repeat(3, 5000)), []int{2, 12, 15}, true},
	} {
		p := NewComparator(CompareConfig{Name: "pps1", Limit: c.limit})
		var changes []int
		for i, v := range c.offsets {
			if p.Add(v, int64(i+1)*second, uncertain) {
				changes = append(changes, i)
			}
		}
		s := p.State()
		if len(changes) != len(c.changes) || s.Alarm != c.alarm {
			t.Errorf("%s: changes at %v, alarm %v; want %v, %v", c.name, changes, s.Alarm, c.changes, c.alarm)
			continue
		}
		for i := range changes {
			if changes[i] != c.changes[i] {
				t.Errorf("%s: changes at %v, want %v", c.name, changes, c.changes)
			}
		}
	}
}

func TestComparatorStatistics(t *testing.T) {
	t.Parallel()
	p := NewComparator(CompareConfig{Name: "pps1", Bias: 11700, Cable: 250})
	if d := p.Delay(); d != 11950 {
		t.Errorf("delay %v", d)
	}
	p.Skip()
	for i := range 1000 {
		p.Add(100+30*float64(i%2*2-1), int64(i), 0)
	}
	s := p.State()
	if s.Name != "pps1" || s.Skipped != 1 || s.Count != 1000 || s.Mono != 999 || s.OffsetNS != 130 || math.Abs(s.MeanNS-100) > 2 || math.Abs(s.NoiseNS-30) > 2 {
		t.Errorf("%+v", s)
	}
}
