// Package registry lists the protocols that are decoded and those that are
// skipped. It is the only place that knows them all.
package registry

import (
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/foreign"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/ubx"
)

// Protocols returns all protocols. The order is that of the counters.
func Protocols() gnss.Protocols {
	return gnss.Protocols{
		Decoded: []gnss.Protocol{
			nmea.New(),
			ubx.New(),
		},
		Skipped: []gnss.Framing{
			foreign.SiRF{},
			foreign.SkyTraq{},
			foreign.RTCM{},
		},
	}
}

// NewDecoder returns a decoder of all protocols.
func NewDecoder(cfg gnss.Config) *gnss.Decoder { return gnss.NewDecoder(Protocols(), cfg) }

// Names returns the names of the protocols that are decoded.
func Names() (names []string) {
	for _, p := range Protocols().Decoded {
		names = append(names, p.Name())
	}
	return names
}
