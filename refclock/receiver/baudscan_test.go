package receiver

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
)

// zda is the text of a valid sentence.
const zda = "GPZDA,120000.00,01,05,2024,00,00"

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A receiver sends once a second at one rate. At any other its octets are noise.
func TestScanFollowsTheReceiver(t *testing.T) {
	const seed = 3
	t.Parallel()
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
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
		scan, d := newBaudScan(c.rates), registry.NewDecoder(gnss.Config{})
		for s := 0.0; s < c.until; s += 0.1 {
			mono := int64(s * 1e9)
			if n := int(s*10 + 0.5); n%10 < 3 {
				switch c.right(s) {
				case 0:
				case scan.Rate():
					d.Feed(nmea.Append(nil, zda), mono, func(*gnss.Message) {})
				default:
					b := make([]byte, 60)
					for i := range b {
						b[i] = byte(r.Uint32())
					}
					d.Feed(b, mono, func(*gnss.Message) {})
				}
			}
			n := d.Counters()
			if scan.Next(&n, mono) {
				d.Reset()
			}
		}
		if scan.Found() != c.found || c.want != 0 && scan.Rate() != c.want {
			t.Errorf("%s: %d, found %v; want %d, %v", c.name, scan.Rate(), scan.Found(), c.want, c.found)
		}
	}
}

// NMEA, UBX, and both with RTCM 3 between them. At a wrong rate the UART delivers
// noise in which no two frames are found.
func TestScanFindsEveryRateInEveryProtocol(t *testing.T) {
	const seed = 9
	t.Parallel()
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	want := []int{4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600}
	timeGPS := ubx.Append(nil, 0x0120, unhex(t, "50880612000000000809120700000000"))
	rtcm := unhex(t, "D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98")
	for _, c := range []struct {
		name  string
		burst []byte
	}{
		{"NMEA, one sentence", nmea.Append(nil, zda)},
		{"UBX, one message", timeGPS},
		{"mixed, with RTCM", append(append(nmea.Append(nil, zda), rtcm...), ubx.Append(rtcm, 0x0107, make([]byte, 92))...)},
	} {
		for _, right := range want {
			scan, d := newBaudScan(Rates()), registry.NewDecoder(gnss.Config{})
			tried := map[int]bool{}
			s := 0.0
			for ; s < 40 && !scan.Found(); s += 0.1 {
				mono := int64(s * 1e9)
				tried[scan.Rate()] = true
				if i := int(s*10 + 0.5); i%10 == 2 {
					b := c.burst
					if scan.Rate() != right { // about as many octets as the ratio of the rates makes
						b = make([]byte, min(max(len(b)*scan.Rate()/right, 1), 2000))
						for i := range b {
							b[i] = byte(r.Uint32())
						}
					}
					d.Feed(b, mono, func(*gnss.Message) {})
				}
				n := d.Counters()
				if scan.Next(&n, mono) {
					d.Reset()
				}
			}
			if !scan.Found() || scan.Rate() != right {
				t.Errorf("%s at %d: at %d after %.1f s, tried %v", c.name, right, scan.Rate(), s, tried)
			}
		}
	}
}
