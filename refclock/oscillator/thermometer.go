package oscillator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Thermometer is a task that reads a temperature sensor of Linux once a second:
// a hwmon input or a thermal zone, millidegrees Celsius as text. A file that is
// missing, unreadable or malformed is logged once, counted, and tried again;
// meanwhile the oscillator is disciplined without it. A nil Thermometer has no
// sensor.
type Thermometer struct {
	path string
	mono func() int64 // CLOCK_MONOTONIC_RAW, ns
	log  *slog.Logger

	last atomic.Pointer[reading]
	bad  [numSensorReasons]atomic.Uint64
	said SensorReason // what was logged last, SensorGood for nothing
}

type reading struct {
	celsius float64
	mono    int64
}

// SensorReason says why there is no reading; its String is the metric's label.
type SensorReason uint8

// The reasons.
const (
	SensorGood       SensorReason = iota
	SensorMissing                 // there is no such file
	SensorUnreadable              // it cannot be read, or is no regular file
	SensorMalformed               // it does not hold a whole number
	numSensorReasons
)

// NumSensorReasons is the number of reasons, SensorGood included.
const NumSensorReasons = int(numSensorReasons)

// String returns the reason's word in logs and metrics.
func (r SensorReason) String() string {
	return [...]string{"good", "sensor_missing", "sensor_unreadable", "sensor_malformed"}[r]
}

const (
	sensorEvery = time.Second
	// sensorOctets is more than such a file holds: a sign, digits and a newline.
	sensorOctets = 32
)

// NewThermometer returns a Thermometer that reads the file at path, nil for an
// empty path. mono returns CLOCK_MONOTONIC_RAW in ns.
func NewThermometer(path string, mono func() int64, log *slog.Logger) *Thermometer {
	if path == "" {
		return nil
	}
	return &Thermometer{path: path, mono: mono, log: log}
}

// Celsius returns the latest reading and the instant of CLOCK_MONOTONIC_RAW (ns)
// at which it was taken, 0 before the first. It does not wait.
func (t *Thermometer) Celsius() (celsius float64, mono int64) {
	if t == nil {
		return 0, 0
	}
	if r := t.last.Load(); r != nil {
		return r.celsius, r.mono
	}
	return 0, 0
}

// Failed returns how often there was no reading for reason r.
func (t *Thermometer) Failed(r SensorReason) uint64 { return t.bad[r].Load() }

// Run reads until ctx ends. A driver that hangs blocks nobody else.
func (t *Thermometer) Run(ctx context.Context) error {
	tick := time.NewTicker(sensorEvery)
	defer tick.Stop()
	for {
		t.read()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// read takes one reading.
func (t *Thermometer) read() {
	c, why, err := readSensor(t.path)
	if why == SensorGood {
		t.last.Store(&reading{c, t.mono()})
	} else {
		t.bad[why].Add(1)
	}
	if why != t.said {
		if err != nil {
			t.log.Warn("temperature sensor failed; the oscillator is disciplined without it", "reason", why.String(), "error", err)
		} else {
			t.log.Info("temperature sensor works", "file", t.path, "celsius", c)
		}
	}
	t.said = why
}

// readSensor reads one file. It does not wait for the writer of a pipe, and
// reads no more than sensorOctets.
func readSensor(path string) (celsius float64, why SensorReason, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, SensorMissing, err
	case err != nil:
		return 0, SensorUnreadable, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		if err == nil {
			err = fmt.Errorf("%s is not a regular file", path)
		}
		return 0, SensorUnreadable, err
	}
	b := make([]byte, sensorOctets)
	n, err := f.Read(b)
	if err != nil {
		return 0, SensorUnreadable, fmt.Errorf("read %s: %w", path, err)
	}
	text := strings.TrimSpace(string(b[:n]))
	milli, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n == len(b) {
		return 0, SensorMalformed, fmt.Errorf("%s holds %q, want millidegrees such as 41250", path, text)
	}
	return float64(milli) / 1000, SensorGood, nil
}

// String names the task in logs.
func (t *Thermometer) String() string { return "thermometer" }
