package nmea

import (
	"bytes"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
)

// FuzzSentence gives any body a valid checksum.
func FuzzSentence(f *testing.F) {
	for _, s := range []string{"GPZDA,120000.00,01,05,2024,00,00", "$$000,", "GNRMC,120000.00,A,4807.0,N,01131.0,E,0,0,010524,,,A,V", "GPGGA,120000,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,",
		"GNGNS,120000,4807.0,N,01131.0,E,NA,08,1,1,1,,", "GPGLL,4807.0,N,01131.0,E,120000,A,A", "GPGSV,3,2,11,14,25,170,00,16,57,,39",
		"GNGSA,A,3,80,71,73,79,69,,,,,,,,1.83,1.09,1.47,2", "GPGST,223745.00,2,2.5,2.4,126,3,4,3.1", "GPTXT,01,01,02,ANTSTATUS=OK",
		"GPVTG,1,T,,M,2,N,3,K,A", "PUBX,04,073731.00,091202,113851.00,1196,15D,1930035,-2660.664,43"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := newDecoder(gnss.Config{})
		d.Feed(Append(nil, "GPZDA,235959.00,31,12,2016,00,00"), 0, func(*gnss.Message) {})
		d.Feed(Append(nil, s), 0, func(m *gnss.Message) { gnsstest.CheckMessage(t, m) })
		n := d.Counters()
		// What follows the last $ may be a valid sentence with the same sum.
		inner := s[strings.LastIndexByte(s, '$')+1:]
		whole := bytes.HasSuffix(Append(nil, s), Append(nil, inner))
		if n.AllFrames() == 2 && (!whole || strings.ContainsAny(inner, "\r\n") || len(inner) > maxSentence) {
			t.Fatalf("%q was taken for a sentence", s)
		}
	})
}
