package gnss

import (
	"math/rand/v2"
	"testing"
)

// A receiver speaks once a second at one rate; at any other its bytes are noise.
func TestHunt(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	for _, c := range []struct {
		name  string
		right func(s float64) int // rate of the receiver at that time; 0 = silent
		rates []int
		until float64
		want  int
		found bool
	}{
		{"silent", func(float64) int { return 0 }, Rates(), 60, 0, false},
		{"one rate, wrong", func(float64) int { return 9600 }, []int{4800}, 60, 4800, false},
		{"at once", func(float64) int { return 9600 }, Rates(), 5, 9600, true},
		{"the last", func(float64) int { return 921600 }, Rates(), 30, 921600, true},
		{"changed on the way", func(s float64) int {
			if s < 30 {
				return 9600
			}
			return 115200
		}, Rates(), 60, 115200, true},
		{"silent after a while", func(s float64) int {
			if s < 30 {
				return 38400
			}
			return 0
		}, Rates(), 200, 38400, true},
	} {
		h, d := NewHunt(c.rates), NewDecoder(Config{})
		for s := 0.0; s < c.until; s += 0.1 {
			mono := int64(s * 1e9)
			if n := int(s*10 + 0.5); n%10 < 3 {
				switch c.right(s) {
				case 0:
				case h.Rate():
					d.Feed(AppendNMEA(nil, zda), mono, func(*Message) {})
				default:
					b := make([]byte, 60)
					for i := range b {
						b[i] = byte(r.Uint32())
					}
					d.Feed(b, mono, func(*Message) {})
				}
			}
			n := d.Counters()
			if h.Next(&n, mono) {
				d.Reset()
			}
		}
		if h.Found() != c.found || c.want != 0 && h.Rate() != c.want {
			t.Errorf("%s: %d, found %v; want %d, %v", c.name, h.Rate(), h.Found(), c.want, c.found)
		}
	}
}

// Every rate from 4800 to 921600 is found, whatever is spoken there: NMEA, UBX,
// both with RTCM 3 between them. At a wrong rate comes what a UART makes of it:
// noise in which no two frames are found.
func TestHuntEveryRate(t *testing.T) {
	const seed = 9
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	want := []int{4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}
	rtcm := unhex(t, "D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98")
	for _, c := range []struct {
		name  string
		burst []byte
	}{
		{"NMEA, one sentence", AppendNMEA(nil, zda)},
		{"UBX, one message", AppendUBX(nil, navTimeGPS, timeGPS(2312, 302418000, 0, 18, 7))},
		{"mixed, with RTCM", append(append(AppendNMEA(nil, zda), rtcm...), AppendUBX(rtcm, navPVT, pvt(0, 0, 7, 3, 1))...)},
	} {
		for _, right := range want {
			h, d := NewHunt(Rates()), NewDecoder(Config{})
			tried := map[int]bool{}
			s := 0.0
			for ; s < 40 && !h.Found(); s += 0.1 {
				mono := int64(s * 1e9)
				tried[h.Rate()] = true
				if i := int(s*10 + 0.5); i%10 == 2 {
					b := c.burst
					if h.Rate() != right { // about as many octets as the ratio of the rates makes
						b = make([]byte, min(max(len(b)*h.Rate()/right, 1), 2000))
						for i := range b {
							b[i] = byte(r.Uint32())
						}
					}
					d.Feed(b, mono, func(*Message) {})
				}
				n := d.Counters()
				if h.Next(&n, mono) {
					d.Reset()
				}
			}
			if !h.Found() || h.Rate() != right {
				t.Errorf("%s at %d: at %d after %.1f s, tried %v", c.name, right, h.Rate(), s, tried)
			}
		}
	}
}
