package recording

import (
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

// A real file system that was full for a while gets no new file with each attempt.
func TestRecordingGoesOnAfterTheDiscWasFull(t *testing.T) {
	small := proctest.NewSmallDisc(t, 256<<10)
	dir := filepath.Join(small.Dir, "rec")
	s := NewStore(Options{Dir: dir, Limit: MinLimit, Immediate: true})
	s.begin(Header{Version: FormatVersion, Run: "r"}, nil)
	s.put(frame{0, content(1e9)})
	small.Fill()
	for i := range uint64(100) {
		s.again = time.Time{}
		s.put(frame{1 + i, content(int64(2+i) * 1e9)})
	}
	lost := s.Lost()
	small.Free()
	s.again = time.Time{}
	s.put(frame{101, content(200e9)})
	s.Close()
	all, err := list(dir)
	if err != nil || lost == 0 || len(all) > 3 {
		t.Errorf("%d lost, %d files, %v", lost, len(all), err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	newest := int64(0)
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		if x, ok := rec.(*Step); ok {
			newest = x.Mono
		}
	}
	if newest < 200e9 {
		t.Errorf("the newest record is of %d", newest)
	}
}
