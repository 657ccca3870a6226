package status

import (
	"path/filepath"
	"testing"
)

// BenchmarkLoad is what a batch of answers costs for reading the snapshot.
func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "status")
	w := create(b, path)
	r := open(b, path)
	s := full()
	publish(b, w, &s)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.LoadAt(&s, 18e17, 1e15); err != nil {
			b.Fatal(err)
		}
	}
}
