package config

import "testing"

func TestLogTableRefusesUnknownWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"[log]\nlevel = \"inof\"\n":              `f.toml:2: log.level: "inof" is not known; did you mean "info"? want "debug", "info", "warn" or "error"`,
		"[log]\n\nformat = \"xml\"\n":            `f.toml:3: log.format: "xml" is not known; want "text" or "json"`,
		"[log]\nlevel=\"warn\"\nformat=\"json\"": "",
		"[log]\nlevel=\"\"\n":                    "",
		"":                                       "",
	} {
		var file struct {
			Log Log `toml:"log"`
		}
		f, err := Parse("f.toml", []byte(in), &file)
		if err != nil {
			t.Fatal(err)
		}
		c := NewChecker(f)
		file.Log.Check(c)
		if err := c.Err(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func TestMetricsAreExposedOffTheLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"0.0.0.0:9123": true, "192.0.2.1:1": true, "": false, "127.0.0.1:9123": false, "[::1]:1": false} {
		var m Metrics
		if err := m.Listen.UnmarshalText([]byte(addr)); err != nil || m.Exposed() != want {
			t.Errorf("%q: exposed %v, %v; want %v", addr, m.Exposed(), err, want)
		}
	}
}
