package gnss_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/gnss/ubx"
)

// checkHeld fails if a Decoder holds more than it ever may.
func checkHeld(t *testing.T, d *gnss.Decoder) {
	octets, octetRoom, marks, markRoom := d.Held()
	if octets > gnss.MaxFrame || octetRoom != 2*gnss.MaxFrame || marks > 2*gnss.MaxFrame+1 || markRoom > 4*gnss.MaxFrame {
		t.Fatalf("holds %d of %d octets, %d of %d marks", octets, octetRoom, marks, markRoom)
	}
}

// FuzzStream feeds any octets in two ways and appends a valid sentence, which
// must come out. It looks at each octet a few times only, and finds what a plain
// framer finds.
func FuzzStream(f *testing.F) {
	f.Add([]byte("$GPRMC,120000.00,A,4807.038,N,01131.000,E,0,0,010524,,,A*5C\r\n"), uint8(3))
	f.Add(ubx.Append(nil, navTimeGPS, timeGPS(302418000)), uint8(1))
	f.Add([]byte{0xB5, 0x62, 1, 7, 0, 16, '$', 'G', 0xA0, 0xA2, 0, 9, 0xD3, 0, 0}, uint8(2))
	for _, b := range fragments() {
		f.Add(repeat(400, b, []byte{'$'}), uint8(4))
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		compare(t, in, rand.New(rand.NewPCG(uint64(chunk), 0)))
		var n [2]gnss.Counters
		for k, step := range [2]int{int(chunk) + 1, len(in) + 1} {
			d := registry.NewDecoder(gnss.Config{})
			emit := func(m *gnss.Message) { gnsstest.CheckMessage(t, m) }
			for rest := in; len(rest) > 0; {
				c := rest[:min(step, len(rest))]
				rest = rest[len(c):]
				d.Feed(c, 0, emit)
				checkHeld(t, d)
			}
			if x := d.Examined(); x > 2*maxExamined*uint64(len(in))+100 {
				t.Fatalf("%d looks at %d octets", x, len(in))
			}
			d.Flush(emit)
			n[k] = d.Counters()
			got := false
			d.Feed(nmea.Append(nil, zda), 5, func(m *gnss.Message) { got = m.Source == "ZDA" && m.Stated && m.Mono == 5 })
			if !got {
				t.Fatal("the sentence behind it is lost")
			}
		}
		if !reflect.DeepEqual(n[0], n[1]) {
			t.Fatalf("in pieces %v, whole %v", n[0], n[1])
		}
	})
}
