package daemon

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// StateFileName is the name of the file of states in a daemon's runtime folder.
const StateFileName = "tasks.json"

// MaxReport is the largest file of states that is read, in octets: a daemon has some tens of
// tasks.
const MaxReport = 256 << 10

// ReadReport reads a file of states. The file is input: what is damaged or too large is an
// error.
func ReadReport(path string) (*Report, error) {
	b, _, err := durable.ReadFile(path, MaxReport)
	if err != nil {
		return nil, err
	}
	return ParseReport(b)
}

// RuntimeFile is where a daemon writes a file for other programs: in the folder that the
// service manager makes for it (RuntimeDirectory=). Empty: there is no such folder.
func RuntimeFile(name string) string {
	dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// stateFile writes the states of the tasks on a goroutine of its own: a file
// system that hangs does not hold up the daemon.
type stateFile struct {
	path  string
	log   *slog.Logger
	next  chan []byte // the latest content that is not written yet
	ended chan struct{}
}

func newStateFile(path string, log *slog.Logger) *stateFile {
	f := &stateFile{path: path, log: log, next: make(chan []byte, 1), ended: make(chan struct{})}
	go f.run()
	return f
}

// write replaces the content. It does not wait.
func (f *stateFile) write(tasks []Status) {
	b, err := json.Marshal(Report{os.Getpid(), tasks})
	if err != nil {
		return // it has no such values
	}
	select {
	case <-f.next: // never written
	default:
	}
	f.next <- append(b, '\n')
}

// run writes until the file is closed. The first of several failures is logged.
func (f *stateFile) run() {
	defer close(f.ended)
	failed := false
	for b := range f.next {
		err := durable.Publish(f.path, b, 0o644)
		if err != nil && !failed {
			f.log.Warn("states of tasks cannot be written for other programs", "error", err)
		}
		failed = err != nil
	}
	os.Remove(f.path) // an error if it was never written
}

// close removes the file. It does not wait long for a file system that hangs.
func (f *stateFile) close() {
	close(f.next)
	select {
	case <-f.ended:
	case <-time.After(time.Second):
	}
}
