package observe

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
)

func TestReadStatusWaitsForTheWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w, err := status.Create(path)
	if err != nil {
		t.Skipf("no file to publish in: %v", err)
	}
	defer w.Close()
	s := &status.Snapshot{State: status.Unlocked, PID: 1, Mono: phc.MonoRaw(), Bound: 1, Limit: time.Second, Stratum: 16, Reason: "starting"}
	if err := w.Write(s); err != nil {
		t.Fatal(err)
	}
	if x, err := ReadStatus(path, phc.MonoRaw); err != nil || x.State != "unlocked" {
		t.Fatalf("%+v, %v", x, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seq := make([]byte, 8)
	if _, err := f.ReadAt(seq, 16); err != nil { // word 2, FORMAT.md
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(seq)
	if n%2 != 0 {
		t.Fatalf("the sequence of a snapshot that is not being written is %d", n)
	}
	put := func(n uint64) {
		binary.LittleEndian.PutUint64(seq, n)
		if _, err := f.WriteAt(seq, 16); err != nil {
			t.Error(err)
		}
	}
	put(n + 1)
	if _, err := ReadStatus(path, phc.MonoRaw); !errors.Is(err, status.ErrBusy) {
		t.Errorf("a writer that died in the middle: %v", err)
	}
	put(n)
	if x, err := ReadStatus(path, phc.MonoRaw); err != nil || x.State != "unlocked" {
		t.Errorf("the writer is done: %+v, %v", x, err)
	}
}
