package nmea

import (
	"os"
	"slices"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/gnsstest"
)

// Sentences of real receivers that are unusual or wrong. Each message with a date is
// void, stated to be valid by the receiver, or used.
func TestOddSentences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, why string
		defects   map[gnss.Defect]uint64
		want      []string
	}{
		{"a9g-prefix", "a prefix before the sentence", map[gnss.Defect]uint64{gnss.NoDate: 1, gnss.Noise: 16}, []string{
			"2026-08-25T17:23:56.000 GPRMC used",
			"2026-08-25T17:23:57.000 GPGGA used",
			"2026-08-25T17:23:57.000 GPRMC used",
		}},
		{"adafruit-128", "a sentence that is cut", map[gnss.Defect]uint64{gnss.TooFewFields: 1}, []string{
			"2026-08-27T18:15:35.000 GPRMC used",
			"2026-08-27T18:15:36.000 GPGGA used",
			"2026-08-27T18:15:37.000 GPRMC used",
		}},
		{"cold-allystar", "empty fields before the fix", map[gnss.Defect]uint64{gnss.VoidStatus: 3, gnss.NoDate: 4}, []string{
			"2026-07-05T09:46:45.790 GNRMC void",
			"2026-07-05T09:46:45.790 GNZDA stated",
			"2026-07-05T09:46:47.000 GNRMC used",
			"2026-07-05T09:46:47.000 GNZDA used",
		}},
		{"gps-js-30", "a sentence that runs into the next", map[gnss.Defect]uint64{gnss.BadChecksum: 1}, []string{
			"2026-03-17T13:24:51.000 GNRMC used",
			"2026-03-17T13:24:53.000 GNRMC used",
		}},
		{"leap60", "a second 60, and one where there was none", map[gnss.Defect]uint64{gnss.BadTime: 1}, []string{
			"2016-12-31T23:59:59.000 GNRMC used",
			"2016-12-31T23:59:60.000 GNRMC used",
			"2016-12-31T23:59:60.000 GNZDA used",
			"2017-01-01T00:00:00.000 GNRMC used",
		}},
		{"lower-sum-cr-only", "checksums in small letters, CR alone", map[gnss.Defect]uint64{}, []string{
			"2026-10-31T06:05:12.000 GNRMC used",
			"2026-10-31T06:05:13.000 GNRMC used",
		}},
		{"modes", "each mode", map[gnss.Defect]uint64{}, []string{
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:22.000 GNRMC stated",
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:22.000 GNRMC stated",
			"2026-11-20T11:07:22.000 GNRMC stated",
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:22.000 GNRMC used",
			"2026-11-20T11:07:23.000 GNRMC used",
			"2026-11-20T11:07:23.000 GNRMC used",
			"2026-11-20T11:07:23.000 GNRMC used",
			"2026-11-20T11:07:23.000 GNRMC used",
		}},
		{"mtk-050180", "the default date of MediaTek", map[gnss.Defect]uint64{gnss.VoidStatus: 4, gnss.NoDate: 5}, []string{
			"1980-01-05T23:59:58.800 GPRMC void",
			"1980-01-05T23:59:59.800 GPRMC void",
			"1980-01-06T00:00:00.800 GPRMC void",
			"1980-01-06T00:00:01.800 GPRMC void",
			"2026-09-27T14:29:16.000 GPRMC used",
		}},
		{"nmea41-rmc", "fields of NMEA 4.1", map[gnss.Defect]uint64{}, []string{
			"2026-10-31T06:05:12.000 GNRMC used",
			"2026-10-31T06:05:13.500 GNRMC used",
		}},
		{"no-frac", "no fraction of the second", map[gnss.Defect]uint64{}, []string{
			"2026-04-20T13:27:34.000 GPRMC used",
			"2026-04-20T13:27:35.000 GPRMC used",
		}},
		{"no-sum", "no checksum", map[gnss.Defect]uint64{gnss.MissingChecksum: 2}, []string{}},
		{"talkers", "each talker", map[gnss.Defect]uint64{gnss.UnknownSentence: 1}, []string{
			"2026-10-31T06:05:00.000 GPRMC used",
			"2026-10-31T06:05:01.000 GNRMC used",
			"2026-10-31T06:05:02.000 GLRMC used",
			"2026-10-31T06:05:03.000 GARMC used",
			"2026-10-31T06:05:04.000 GBRMC used",
			"2026-10-31T06:05:05.000 BDRMC used",
			"2026-10-31T06:05:06.000 GQRMC used",
			"2026-10-31T06:05:07.000 QZRMC used",
			"2026-10-31T06:05:08.000 GIRMC used",
			"2026-10-31T06:05:10.000 BNRMC used",
			"2026-10-31T06:05:11.000 INRMC used",
			"2026-10-31T06:05:12.000 IIRMC used",
		}},
		{"zda-odd", "years and days of other lengths", map[gnss.Defect]uint64{gnss.BadDate: 3}, []string{
			"2026-10-31T06:05:13.000 GPZDA used",
			"2026-10-31T06:05:14.000 GPZDA used",
		}},
	} {
		b, err := os.ReadFile("testdata/" + c.file + ".nmea")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		d := newDecoder(gnss.Config{})
		d.Feed(b, 1, func(m *gnss.Message) {
			gnsstest.CheckMessage(t, m)
			use := "void"
			switch {
			case !m.HasDate:
				return
			case m.Valid:
				use = "used"
			case m.Stated:
				use = "stated"
			}
			got = append(got, gnsstest.Stamp(m)+" "+m.Talker+m.Source+" "+use)
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %s:\n%q, want\n%q", c.file, c.why, got, c.want)
		}
		counters := d.Counters()
		for defect, n := range c.defects {
			if counters.Of(defect) != n {
				t.Errorf("%s, %s: %d of defect %v, want %d", c.file, c.why, counters.Of(defect), defect, n)
			}
		}
	}
}
