package ntsclient

import "testing"

func TestRefIDText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stratum uint8
		id      [4]byte
		want    string
	}{
		{1, [4]byte{'G', 'P', 'S'}, "GPS"},
		{0, [4]byte{'R', 'A', 'T', 'E'}, "RATE"},
		{16, [4]byte{'I', 'N', 'I', 'T'}, "INIT"},
		{2, [4]byte{192, 0, 2, 1}, "192.0.2.1"},
		{1, [4]byte{254, 239, 254, 196}, "254.239.254.196"}, // a smeared leap second
	} {
		if got := (&Reading{Stratum: c.stratum, RefID: c.id}).RefIDText(); got != c.want {
			t.Errorf("stratum %d, %v: %q, want %q", c.stratum, c.id, got, c.want)
		}
	}
}
