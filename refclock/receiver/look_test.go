package receiver

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestLookNamesWhatOctetsAre(t *testing.T) {
	t.Parallel()
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	// packets are ten packets of a protocol that begin, or end, in these octets.
	packets := func(begin, end string) (b []byte) {
		for range 10 {
			b = append(append(append(b, begin...), random(90)...), end...)
		}
		return b
	}
	for _, c := range []struct {
		name  string
		in    []byte
		known string
		want  string
	}{
		{"nothing", nil, "", "0 octets/s, 0 % printable"},
		{"noise", random(20000), "", "binary protocol, or like another baud rate"},
		{"SiRF", packets("\xA0\xA2", "\xB0\xB3"), "SiRF binary", "looks like SiRF binary"},
		{"RTCM", packets("\xD3\x01\x12", ""), "RTCM 3", "looks like RTCM 3"},
		{"SBF", packets("$@", ""), "Septentrio binary (SBF)", "92 octets/s"},
		{"TSIP", packets("\x10\x8f", "\x10\x03"), "Trimble TSIP", ""},
		{"NovAtel", packets("\xAA\x44\x12\x1C", ""), "NovAtel binary", ""},
		{"UBX with octets missing", packets("\xB5\x62\x01\x07\x5C\x00", ""), "damaged UBX", ""},
		{"NMEA with octets missing", bytes.Repeat([]byte("$GPRMC,120000.00,A,48*0\r\n"), 9), "damaged NMEA", "100 % printable"},
		{"a login prompt", bytes.Repeat([]byte("\r\nraspberrypi login: "), 9), "a login prompt", ""},
		{"gpsd", bytes.Repeat([]byte(`{"class":"TPV","mode":3}`+"\n"), 9), "JSON of gpsd", ""},
		{"text", bytes.Repeat([]byte("#TIMEA,COM1,0,90.0,FINESTEERING\r\n"), 9), "", `text of no known protocol, such as "#TIMEA"`},
	} {
		for _, chunk := range []int{1, 7, 4096} {
			var l Look
			for i := 0; i < len(c.in); i += chunk {
				l.Add(c.in[i:min(i+chunk, len(c.in))])
			}
			if got := l.Known(); got != c.known {
				t.Errorf("seed %d: %s by %d looks like %q, want %q", seed, c.name, chunk, got, c.known)
			}
			if got := l.Describe(10 * time.Second); !strings.Contains(got, c.want) {
				t.Errorf("%s by %d: %s, want %s", c.name, chunk, got, c.want)
			}
		}
	}
}
