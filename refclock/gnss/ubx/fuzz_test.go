package ubx

import (
	"bytes"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
)

// FuzzFrame gives any payload of any message a valid checksum.
func FuzzFrame(f *testing.F) {
	f.Add(uint16(navPVT), pvt(0, -5, 7, 3, 1))
	f.Add(uint16(navTimeGPS), timeGPS(2312, 302418000, 0, 18, 7))
	f.Add(uint16(navSOL), sol(3, 13))
	f.Add(uint16(navTimeUTC), timeUTC(7))
	f.Add(uint16(navTimeLS), timeLS(17, 2, 1, 100, 1929, 7, 3)[6:30])
	f.Add(uint16(navSAT), make([]byte, 32))
	f.Add(uint16(monVER), bytes.Repeat([]byte{'x'}, 100))
	for id := range decoders {
		f.Add(uint16(id), make([]byte, 100))
	}
	f.Fuzz(func(t *testing.T, id uint16, p []byte) {
		if len(p) > maxPayload || !classKnown(byte(id>>8)) {
			return
		}
		d := gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{New()}}, gnss.Config{})
		d.Feed(Append(nil, int(id), p), 0, func(m *gnss.Message) { gnsstest.CheckMessage(t, m) })
		if n := d.Counters(); n.AllFrames() != 1 {
			t.Fatalf("a valid frame was refused: %+v", n)
		}
		if set, ok := parseSettings(p); ok && len(set) > 0 && len(p) < 9 {
			t.Fatal("settings from nothing")
		}
	})
}
