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
		now            unix.HwTstampConfig
		filter, tx     int32
		all            bool
	}{
		{"nothing", 0, 0, unix.HwTstampConfig{}, none, off, false},
		{"PTP packets only, transmits", bits(none, ptp), bits(off, on), unix.HwTstampConfig{}, none, on, false},
		{"PTP packets only, in use", bits(none, ptp), bits(off, on), unix.HwTstampConfig{Tx_type: on, Rx_filter: ptp}, ptp, on, false},
		{"all", bits(none, all, ptp), bits(off, on), unix.HwTstampConfig{}, all, on, true},
		{"NTP and all", bits(none, all, ntp), bits(off, on), unix.HwTstampConfig{}, ntp, on, true},
		{"all in use by another", bits(none, all, ntp), bits(off, on), unix.HwTstampConfig{Tx_type: on, Rx_filter: all}, all, on, true},
		{"receives only", bits(none, ntp), bits(off), unix.HwTstampConfig{}, ntp, off, true},
		{"PTP in use, could do more", bits(none, all, ptp), bits(off, on), unix.HwTstampConfig{Rx_filter: ptp}, all, on, true},
	} {
		want, got := wantedStamps(c.filters, c.types, c.now)
		if want.Rx_filter != c.filter || want.Tx_type != c.tx || got != c.all {
			t.Errorf("%s: filter %d, type %d, all %v; want %d, %d, %v", c.name, want.Rx_filter, want.Tx_type, got, c.filter, c.tx, c.all)
		}
	}
}
