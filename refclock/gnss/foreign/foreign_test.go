package foreign

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Frames of the protocols: SiRF message 41, a SkyTraq acknowledgement, and the
// example of message 1005 in RTCM 10403.
const (
	sirf    = "A0A2 0003 290001 002A B0B3"
	skytraq = "A0A1 0003 8300FE 7D 0D0A"
	rtcm    = "D300133ED7D30202980EDEEF34B4BD62AC0941986F33360B98"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		p    gnss.Framing
		in   string
		want gnss.Match
	}{
		{"SiRF, SkyTraq's second octet", SiRF{}, skytraq, gnss.NoFrame(1)},
		{"SiRF of no length", SiRF{}, "A0A2 0000 0000 B0B3", gnss.NoFrame(2)},
		{"SiRF, too long", SiRF{}, "A0A2 0800", gnss.NoFrame(2)},
		{"SiRF, wrong sum", SiRF{}, "A0A2 0003 290001 002B B0B3", gnss.NoFrame(2)},
		{"SiRF, wrong end", SiRF{}, "A0A2 0003 290001 002A B0B4", gnss.NoFrame(2)},
		{"SiRF, cut after an octet", SiRF{}, "A0", gnss.Incomplete(2, gnss.Noise)},
		{"SiRF, cut", SiRF{}, "A0A2 0003 2900", gnss.Incomplete(11, gnss.Noise)},
		{"SiRF", SiRF{}, sirf, gnss.Complete(11)},
		{"SkyTraq, SiRF's second octet", SkyTraq{}, sirf, gnss.NoFrame(1)},
		{"SkyTraq, wrong sum", SkyTraq{}, "A0A1 0003 8300FE 7C 0D0A", gnss.NoFrame(2)},
		{"SkyTraq, cut", SkyTraq{}, "A0A1 0003 8300FE 7D 0D", gnss.Incomplete(10, gnss.Noise)},
		{"SkyTraq", SkyTraq{}, skytraq, gnss.Complete(10)},
		{"RTCM, reserved bits", RTCM{}, "D3FC", gnss.NoFrame(1)},
		{"RTCM, wrong sum", RTCM{}, "D300 00 000000", gnss.NoFrame(1)},
		{"RTCM, cut", RTCM{}, "D3", gnss.Incomplete(2, gnss.Noise)},
		{"RTCM, empty", RTCM{}, "D300 00 47EA4B", gnss.Complete(6)},
		{"RTCM", RTCM{}, rtcm, gnss.Complete(25)},
	} {
		for _, rest := range [][]byte{nil, []byte("\r\n")} {
			if strings.Contains(c.name, "cut") && rest != nil {
				continue
			}
			if got := c.p.Match(gnss.NewWindow(append(unhex(t, c.in), rest...))); got != c.want {
				t.Errorf("%s, then %q: %+v, want %+v", c.name, rest, got, c.want)
			}
		}
	}
}

// FuzzMatch feeds any octets and then a valid frame of each protocol, which must
// be counted.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{sirf, skytraq, rtcm, "A0A207FF", "D303FF"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, s := range []string{sirf, skytraq, rtcm} {
			d := gnss.NewDecoder(gnss.Protocols{Skipped: []gnss.Framing{SiRF{}, SkyTraq{}, RTCM{}}}, gnss.Config{})
			none := func(m *gnss.Message) { t.Fatalf("decoded %+v", m) }
			d.Feed(bytes.Clone(in), 0, none)
			d.Flush(none)
			before := d.Counters()
			d.Feed(unhex(t, s), 0, none)
			if after := d.Counters(); after.Of(gnss.ForeignFrame) != before.Of(gnss.ForeignFrame)+1 {
				t.Fatalf("the frame after % x is lost: %+v", in, after)
			}
		}
	})
}
