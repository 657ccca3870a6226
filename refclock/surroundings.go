package refclock

import (
	"sync/atomic"
	"time"

	"noonmark/phc"
	"noonmark/refclock/clock"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
)

// Input is what reaches the engine at once. At most one field is set. Without any,
// nothing but time passed.
type Input struct {
	Message   *gnss.Message
	Edge      *pps.Edge
	Compared  *pps.ComparedEdge
	Settings  *Settings
	Alarm     *integrity.Alarm    // from outside; the zero value ends it
	Confirmed *time.Duration      // Confirm
	Port      *[]reason.Condition // PortConditions
	Relock    bool                // Relock
}

// Recorder sees each input of an engine. What the engine does between Begin and End
// depends only on the inputs so far, on the readings of Config.Mono, Slept,
// SystemDisciplined and Temperature, and on the results of its calls to the clock,
// in their order. So a Recorder that also sees those can repeat a run exactly. Its
// methods are called by the engine's goroutine and must not wait.
type Recorder interface {
	Begin(in *Input) // before the first reading
	End()
}

// surroundings are what the engine sees around itself while it handles one input.
// CLOCK_MONOTONIC_RAW stands still for that time, but for calls to the clock, which
// may take long.
type surroundings struct {
	read        func() int64
	openDevice  clock.Opener
	disciplined func() bool
	recorder    Recorder // may be nil

	now   atomic.Int64 // CLOCK_MONOTONIC_RAW, ns
	asked bool         // is answers disciplined for this input
	is    bool
}

// begin begins an input.
func (s *surroundings) begin(in *Input) {
	if s.recorder != nil {
		s.recorder.Begin(in)
	}
	s.advance()
	s.asked = false
}

// end ends the input.
func (s *surroundings) end() {
	if s.recorder != nil {
		s.recorder.End()
	}
}

func (s *surroundings) advance() { s.now.Store(s.read()) }

// mono is CLOCK_MONOTONIC_RAW, ns, as of the last advance. It is for any goroutine.
func (s *surroundings) mono() int64 { return s.now.Load() }

// systemDisciplined is Config.SystemDisciplined, asked once an input.
func (s *surroundings) systemDisciplined() bool {
	if !s.asked {
		s.asked, s.is = true, s.disciplined()
	}
	return s.is
}

// open opens the clock. After each call to it time has passed.
func (s *surroundings) open() (clock.Device, error) {
	d, err := s.openDevice()
	s.advance()
	if err != nil {
		return nil, err
	}
	return &device{d, s}, nil
}

// device is a clock whose calls take time.
type device struct {
	clock.Device
	around *surroundings
}

func (d *device) Cross() (phc.Cross, error) {
	defer d.around.advance()
	return d.Device.Cross()
}

func (d *device) Step(delta time.Duration) error {
	defer d.around.advance()
	return d.Device.Step(delta)
}

func (d *device) AdjFreq(ppb float64) error {
	defer d.around.advance()
	return d.Device.AdjFreq(ppb)
}

func (d *device) FreqPPB() (float64, error) {
	defer d.around.advance()
	return d.Device.FreqPPB()
}

// Index returns N of /dev/ptpN, or -1.
func (d *device) Index() int { return clock.Index(d.Device) }

// Close closes the clock.
func (d *device) Close() error { return clock.Close(d.Device) }
