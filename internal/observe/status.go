package observe

import (
	"errors"
	"time"

	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// A writer that loses its processor in the middle of a snapshot gets it back within
// some milliseconds.
const (
	busyTries = 10
	busyPause = 5 * time.Millisecond
)

// ReadStatus is report.Read for those who show a status and are in no hurry: while the
// snapshot is being written, it waits up to 50 ms.
func ReadStatus(path string, mono func() int64) (s report.Status, err error) {
	for range busyTries {
		if s, err = report.Read(path, mono); !errors.Is(err, status.ErrBusy) {
			return s, err
		}
		time.Sleep(busyPause)
	}
	return s, err
}
