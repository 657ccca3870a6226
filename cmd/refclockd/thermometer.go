package main

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

// thermometer is a task that reads a temperature sensor of Linux once a second:
// a hwmon input or a thermal zone, millidegrees Celsius as text. A file that is
// missing, unreadable or holds something else is said once, counted, and tried
// again; the oscillator is disciplined without it. A nil thermometer is none.
type thermometer struct {
	path string
	mono func() int64
	log  *slog.Logger

	last atomic.Pointer[reading]
	bad  [numSensorReasons]atomic.Uint64
	said sensorReason // what was wrong last, sensorGood for nothing
}

type reading struct {
	celsius float64
	mono    int64
}

// sensorReason says why there is no reading; its String is the metric's label.
type sensorReason uint8

const (
	sensorGood sensorReason = iota
	sensorMissing
	sensorUnreadable
	sensorMalformed
	numSensorReasons
)

func (r sensorReason) String() string {
	return [...]string{"good", "sensor_missing", "sensor_unreadable", "sensor_malformed"}[r]
}

const (
	sensorEvery = time.Second
	// sensorLong is what such a file holds at most, octets: a sign, digits and a
	// newline.
	sensorLong = 32
)

func newThermometer(path string, mono func() int64, log *slog.Logger) *thermometer {
	if path == "" {
		return nil
	}
	return &thermometer{path: path, mono: mono, log: log}
}

// celsius is the latest reading and the instant of CLOCK_MONOTONIC_RAW at which it
// was taken, 0 before the first.
func (t *thermometer) celsius() (celsius float64, mono int64) {
	if t == nil {
		return 0, 0
	}
	if r := t.last.Load(); r != nil {
		return r.celsius, r.mono
	}
	return 0, 0
}

// Run reads until ctx ends. A driver that hangs holds up nobody else.
func (t *thermometer) Run(ctx context.Context) error {
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
func (t *thermometer) read() {
	c, why, err := readSensor(t.path)
	if why == sensorGood {
		t.last.Store(&reading{c, t.mono()})
	} else {
		t.bad[why].Add(1)
	}
	if why != t.said {
		if err != nil {
			t.log.Warn("temperature sensor gives nothing: the oscillator is disciplined without", "reason", why.String(), "error", err)
		} else {
			t.log.Info("temperature sensor reads", "file", t.path, "celsius", c)
		}
	}
	t.said = why
}

// readSensor reads one file. It does not wait for a pipe's writer, and reads no
// more than a sensor has to say.
func readSensor(path string) (celsius float64, why sensorReason, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, sensorMissing, err
	case err != nil:
		return 0, sensorUnreadable, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		if err == nil {
			err = fmt.Errorf("%s is no file of a sensor", path)
		}
		return 0, sensorUnreadable, err
	}
	b := make([]byte, sensorLong)
	n, err := f.Read(b)
	if err != nil {
		return 0, sensorUnreadable, fmt.Errorf("read %s: %w", path, err)
	}
	text := strings.TrimSpace(string(b[:n]))
	milli, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n == len(b) {
		return 0, sensorMalformed, fmt.Errorf("%s holds %q, not millidegrees such as 41250", path, text)
	}
	return float64(milli) / 1000, sensorGood, nil
}

// Ready says that it is ready at once: nobody waits for a temperature.
func (t *thermometer) Ready() <-chan struct{} { return nil }

// String names the task.
func (t *thermometer) String() string { return "thermometer" }
