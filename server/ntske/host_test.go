package ntske

import "testing"

func TestFQDN(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, want string }{
		{"localhost", "localhost"}, // in the hosts file without final dot
		{"ntp", "ntp"},
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"localhost.", "localhost."},
		{"time.example.", "time.example."},
		{"time.example", "time.example."},
		{"a.b.example", "a.b.example."},
	} {
		if got := fqdn(c.name); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
