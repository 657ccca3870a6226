package calibrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"noonmark/internal/doctor"
	"noonmark/phc"
	"noonmark/refclock/pps"
	"noonmark/refclock/status"
)

func TestBiasIsPrinted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := pps.Bias{Pairs: 120, Median: 11700, Low: 11650, High: 11745, Spread: 500}
	if err := newReport(&b, nil).Write(&out, false); err != nil || !strings.Contains(out.String(), "\nbias = \"11.7µs\"\n") {
		t.Errorf("%v: %s", err, &out)
	}
	for _, unsure := range []error{nil, pps.ErrUncertain} {
		out.Reset()
		var r Report
		if err := errors.Join(newReport(&b, unsure).Write(&out, true), json.Unmarshal(out.Bytes(), &r)); err != nil || r.Sure != (unsure == nil) || (r.ConfigLine == "") != (unsure != nil) || r.BiasNS != 11700 {
			t.Errorf("%v: %+v", err, r)
		}
	}
}

func TestDevicesInUseAreNotMeasured(t *testing.T) {
	t.Parallel()
	root, none := t.TempDir(), filepath.Join(t.TempDir(), "status")
	h := &doctor.Host{Root: root, Mono: phc.MonoRaw}
	fd := filepath.Join(root, "proc", "77", "fd")
	if err := errors.Join(os.MkdirAll(fd, 0o755), os.Symlink("/dev/pps0", filepath.Join(fd, "5")),
		os.WriteFile(filepath.Join(root, "proc", "77", "comm"), []byte("chronyd\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := unused(h, none, "/dev/ptp0", "/dev/pps0"); err == nil || !strings.Contains(err.Error(), "chronyd (pid 77) has /dev/pps0 open") {
		t.Error(err)
	}
	if err := unused(h, none, "/dev/pps1"); err != nil {
		t.Error(err)
	}
	w, err := status.Create(none)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write(&status.Snapshot{Mono: phc.MonoRaw()})
	if err := unused(h, none); err != nil {
		t.Errorf("a daemon that has ended: %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc", strconv.Itoa(os.Getpid())), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unused(h, none); err == nil || !strings.Contains(err.Error(), "refclockd (pid ") {
		t.Errorf("a daemon that runs: %v", err)
	}
}
