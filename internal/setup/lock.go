package setup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"noonmark/internal/durable"
)

// lockFile is locked while setup may change the machine: two would overwrite each other's record.
// It has the process that locked it.
const lockFile = "/run/noonmark-setup.lock"

// ErrBusy means that another setup is at work.
var ErrBusy = errors.New("another setup is at work")

// lock locks a file, or says who has it locked. The lock ends with the file's Close, or this
// process. The file stays: whoever removes it could remove a lock of another process.
func lock(path string) (io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = fmt.Fprintln(f, os.Getpid())
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	holder, _, _ := durable.ReadFile(path, 64) // none: it has not written its number yet
	return nil, fmt.Errorf("%w: process %s; wait until it has ended", ErrBusy, strings.TrimSpace(string(holder)))
}
