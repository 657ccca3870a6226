package gnss_test

import (
	"bytes"
	"slices"
	"testing"

	"noonmark/refclock/gnss"
)

// toy is a protocol of the test: Match is what it says of a stream.
type toy struct {
	name   string
	starts string
	match  func(*gnss.Window) gnss.Match
}

func (p toy) Name() string                    { return p.name }
func (p toy) Starts() string                  { return p.starts }
func (p toy) Match(w *gnss.Window) gnss.Match { return p.match(w) }
func (p toy) Decode(_ *gnss.Stream, m *gnss.Message, frame []byte) bool {
	m.Source, m.Text = p.name, string(frame)
	return true
}

// always matches the same way.
func always(m gnss.Match) func(*gnss.Window) gnss.Match {
	return func(*gnss.Window) gnss.Match { return m }
}

// Two protocols begin with the same octet. The input "$ab" is flushed, so that all
// of it is decided.
func TestProtocolsWithTheSameFirstOctet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		first, second gnss.Match
		want          []string // protocol and frame
		noise         uint64
		damaged       uint64
	}{
		{"noise for both", gnss.NoFrame(3), gnss.NoFrame(2), nil, 3, 0},
		{"noise and damaged", gnss.NoFrame(1), gnss.Damaged(3, gnss.BadChecksum), nil, 0, 1},
		{"incomplete and damaged", gnss.Incomplete(2, gnss.Truncated), gnss.Damaged(3, gnss.BadChecksum), nil, 2, 0},
		{"damaged and complete", gnss.Damaged(3, gnss.BadChecksum), gnss.Complete(2), []string{"second $a"}, 1, 0},
		{"incomplete and complete", gnss.Incomplete(2, gnss.Truncated), gnss.Complete(2), []string{"second $a"}, 1, 0},
		{"complete for both", gnss.Complete(3), gnss.Complete(2), []string{"first $ab"}, 0, 0},
	} {
		d := gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{
			toy{"first", "$", always(c.first)},
			toy{"second", "$%", always(c.second)},
		}}, gnss.Config{})
		var got []string
		emit := func(m *gnss.Message) {
			if m.Protocol != m.Source {
				t.Errorf("%s: message of %s is marked %s", c.name, m.Source, m.Protocol)
			}
			got = append(got, m.Source+" "+m.Text)
		}
		d.Feed([]byte("$ab"), 0, emit)
		d.Flush(emit)
		n := d.Counters()
		if !slices.Equal(got, c.want) || n.Of(gnss.Noise) != c.noise || n.Of(gnss.BadChecksum) != c.damaged {
			t.Errorf("%s: %q, %d noise, %d damaged; want %q, %d, %d", c.name, got, n.Of(gnss.Noise), n.Of(gnss.BadChecksum), c.want, c.noise, c.damaged)
		}
	}
}

// A protocol that asks for more than a frame can hold does not stop the stream.
func TestEndlessFrameIsGivenUp(t *testing.T) {
	t.Parallel()
	d := gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{
		toy{"endless", "\x01", always(gnss.Incomplete(2, gnss.Truncated))},
		toy{"short", "s", always(gnss.Complete(1))},
	}}, gnss.Config{})
	n := 0
	d.Feed(append([]byte{1}, bytes.Repeat([]byte{'s'}, 2*gnss.MaxFrame)...), 0, func(*gnss.Message) { n++ })
	if c := d.Counters(); n != 2*gnss.MaxFrame || c.Of(gnss.Truncated) != 1 || c.FramesOf("short") != uint64(n) {
		t.Errorf("%d messages, %+v", n, c)
	}
	checkHeld(t, d)
}

// Frames that are skipped are counted, not decoded, and hide what is inside them.
func TestSkippedFrames(t *testing.T) {
	t.Parallel()
	d := gnss.NewDecoder(gnss.Protocols{
		Decoded: []gnss.Protocol{toy{"short", "s", always(gnss.Complete(1))}},
		Skipped: []gnss.Framing{toy{"foreign", "f", always(gnss.Complete(3))}},
	}, gnss.Config{})
	n := 0
	d.Feed([]byte("fsss"), 0, func(*gnss.Message) { n++ })
	if c := d.Counters(); n != 1 || c.Of(gnss.ForeignFrame) != 1 || c.AllFrames() != 1 || len(c.Frames) != 1 {
		t.Errorf("%d messages, %+v", n, c)
	}
}
