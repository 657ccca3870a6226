package sockets

import (
	"testing"

	"golang.org/x/sys/unix"
)

// The widest receive filter and transmit timestamps are asked for, and nothing
// that others have set becomes narrower.
func TestWantedStampsAreTheWidest(t *testing.T) {
	t.Parallel()
	const (
		none, all, ntp, ptp = unix.HWTSTAMP_FILTER_NONE, unix.HWTSTAMP_FILTER_ALL, unix.HWTSTAMP_FILTER_NTP_ALL, unix.HWTSTAMP_FILTER_PTP_V2_EVENT
		off, on             = unix.HWTSTAMP_TX_OFF, unix.HWTSTAMP_TX_ON
	)
	bits := func(v ...int) (m uint32) {
		for _, b := range v {
			m |= 1 << b
		}
		return m
	}
	for _, c := range []struct {
		name           string
		filters, types uint32
		now            Setting
		filter, tx     int32
		all            bool
	}{
		{"nothing", 0, 0, Setting{}, none, off, false},
		{"PTP packets only, transmits", bits(none, ptp), bits(off, on), Setting{}, none, on, false},
		{"PTP packets only, in use", bits(none, ptp), bits(off, on), Setting{ptp, on}, ptp, on, false},
		{"all", bits(none, all, ptp), bits(off, on), Setting{}, all, on, true},
		{"NTP and all", bits(none, all, ntp), bits(off, on), Setting{}, ntp, on, true},
		{"all in use by another", bits(none, all, ntp), bits(off, on), Setting{all, on}, all, on, true},
		{"receives only", bits(none, ntp), bits(off), Setting{}, ntp, off, true},
		{"PTP in use, could do more", bits(none, all, ptp), bits(off, on), Setting{Receive: ptp}, all, on, true},
	} {
		want, got := wantedStamps(c.filters, c.types, c.now)
		if want.Receive != c.filter || want.Transmit != c.tx || got != c.all {
			t.Errorf("%s: filter %d, type %d, all %v; want %d, %d, %v", c.name, want.Receive, want.Transmit, got, c.filter, c.tx, c.all)
		}
	}
}
