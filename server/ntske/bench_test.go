package ntske

import "testing"

// A whole exchange over loopback, client included, sequentially.
func BenchmarkExchange(b *testing.B) {
	a := newAuthority(b)
	host, port := loopback(b, newServer(b, a, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Exchange(b.Context(), ClientConfig{Host: host, Port: port, RootCAs: a.pool}); err != nil {
			b.Fatal(err)
		}
	}
}
