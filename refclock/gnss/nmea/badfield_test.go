package nmea

import (
	"testing"

	"noonmark/refclock/gnss"
)

// A sentence with a bad field costs itself, not the burst: the ZDA behind it stays
// valid by the fix of another sentence.
func TestABadFieldCostsOneSentence(t *testing.T) {
	t.Parallel()
	const (
		rmc = "GNRMC,120000.00,A,4807.038,N,01131.000,E,0.0,0.0,010524,,,A"
		zda = "GNZDA,120000.00,01,05,2024,00,00"
	)
	for _, c := range []struct {
		name  string
		burst []string
		valid bool // the ZDA
	}{
		{"a quality that nobody sends, and no other fix", []string{"GNGGA,120000.00,4807.0,N,01131.0,E,X,08,1,1,M,1,M,,"}, false},
		{"a status that nobody sends, and no other fix", []string{"GNRMC,120000.00,Q,4807.038,N,01131.000,E,0.0,0.0,010524,,,A"}, false},
		{"no fix", []string{rmc, "GNGGA,120000.00,4807.0,N,01131.0,E,0,08,1,1,M,1,M,,"}, false},
		{"a quality that nobody sends", []string{rmc, "GNGGA,120000.00,4807.0,N,01131.0,E,X,08,1,1,M,1,M,,"}, true},
		{"a status that nobody sends", []string{rmc, "GNRMC,120000.00,Q,4807.038,N,01131.000,E,0.0,0.0,010524,,,A"}, true},
		{"a status that nobody sends, without a date", []string{rmc, "GNRMC,120000.00,Q,,,,,,,,,,"}, true},
		{"a GLL status that nobody sends", []string{rmc, "GNGLL,4807.0,N,01131.0,E,120000.00,7,A"}, true},
		{"no time of day", []string{rmc, "GNGGA,999999.00,4807.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, true},
		{"no date", []string{rmc, "GNRMC,120000.00,A,4807.038,N,01131.000,E,0.0,0.0,990524,,,A"}, true},
		{"no number of satellites", []string{rmc, "GNGGA,120000.00,4807.0,N,01131.0,E,1,x8,1,1,M,1,M,,"}, true},
		{"no position", []string{rmc, "GNGGA,120000.00,9907.0,N,01131.0,E,1,08,1,1,M,1,M,,"}, true},
		{"no satellite", []string{rmc, "GPGSV,x,1,11,14,25,170,00"}, true},
	} {
		d := newDecoder(gnss.Config{})
		var in []byte
		for _, s := range append(c.burst, zda) {
			in = Append(in, s)
		}
		var last *gnss.Message
		d.Feed(in, 0, func(m *gnss.Message) { last = m })
		if last == nil || last.Source != "ZDA" || last.Valid != c.valid {
			t.Errorf("%s: %+v, want a ZDA with valid %v", c.name, last, c.valid)
		}
	}
}
