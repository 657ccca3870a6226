package sim

import (
	"encoding/binary"
	"math"

	"noonmark/phc/tai"
)

// orbit is the simplified path of a satellite across the sky: it rises, culminates
// and sets once a period.
type orbit struct {
	system, id byte    // as UBX numbers them
	top        float64 // elevation at culmination, degrees
	azimuth    float64 // at culmination, degrees from north
	period     float64 // s
	phase      float64 // part of the period
}

// orbits are satellites of GPS, Galileo, BeiDou and GLONASS, of which about half are
// above the horizon at a time.
func orbits() (all []orbit) {
	for i, c := range [...]struct {
		system byte
		n      int
		period float64
	}{{0, 16, 43082}, {2, 12, 50684}, {3, 10, 46404}, {6, 10, 40544}} {
		for k := range c.n {
			n := float64(i*7 + k)
			all = append(all, orbit{
				system: c.system, id: byte(1 + 2*k + i%2), period: c.period,
				top: 20 + 68*math.Mod(n*0.618, 1), azimuth: math.Mod(n*137.5, 360), phase: math.Mod(n*0.381, 1),
			})
		}
	}
	return all
}

// at returns where the satellite is; below the horizon the elevation is negative.
func (o *orbit) at(s float64) (elevation, azimuth float64) {
	x := 2 * math.Pi * (math.Mod(s/o.period, 1) + o.phase)
	elevation = (o.top+30)*math.Cos(x) - 30
	return elevation, math.Mod(o.azimuth+110*math.Sin(x)+360, 360)
}

// navSAT appends UBX-NAV-SAT: the satellites in view. Without a signal all are
// known and none is tracked.
func (r *Receiver) navSAT(label tai.Time, silent bool) {
	p := make([]byte, 8)
	gps := label - gpsEpoch
	binary.LittleEndian.PutUint32(p, uint32(gps%weekNS/1e6))
	p[4] = 1
	for _, o := range orbits() {
		elevation, azimuth := o.at(float64(label-gpsEpoch) * 1e-9)
		if elevation < 2 {
			continue
		}
		p[5]++
		var x [12]byte
		x[0], x[1], x[3] = o.system, o.id, byte(int8(elevation))
		binary.LittleEndian.PutUint16(x[4:], uint16(azimuth))
		if !silent {
			x[2] = byte(28 + 22*math.Sin(elevation*math.Pi/180) + r.rng.NormFloat64())
			if elevation > 10 {
				x[8] = 8 // used
			}
		}
		p = append(p, x[:]...)
	}
	r.ubx(0x01, 0x35, p)
}
