package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"noonmark/refclock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/witness"
)

// maxHeld is how many records wait for the rest of a message of the receiver at most.
const maxHeld = 1 << 14

// anonymiser removes from records, of which the first is a Header, what shows whose
// they are: positions are moved, all by the same distance; names of devices, files
// and servers become numbers; texts, serial numbers and all messages of the receiver
// whose content is not known to be harmless are masked. Lengths and instants stay,
// and checksums are made anew. learn comes first, with all octets.
type anonymiser struct {
	emit func(Record) error // takes what is done

	names    map[string]string
	moved    bool // lat and lon are known
	lat, lon int64
	searched []byte // for the first position: what may begin a message

	held   []Record // octets of which the end is not known, and what came after them
	stream []byte   // all octets of held
	masked int      // so many of them are done
}

func newAnonymiser() *anonymiser { return &anonymiser{names: map[string]string{}} }

// add takes a record.
func (a *anonymiser) add(r Record) error {
	switch x := r.(type) {
	case *Header:
		if err := errors.Join(a.end(), a.header(x)); err != nil {
			return err
		}
	case *PortStarted, *Gap: // what comes is no rest of what came
		if err := a.end(); err != nil {
			return err
		}
	case *State:
		for i := range x.Witnesses {
			x.Witnesses[i].Name = a.name(x.Witnesses[i].Name)
		}
	case *witness.Reading:
		if x.Name = a.name(x.Name); x.Err != nil {
			x.Err = errNoAnswer
		}
	case *Step:
		a.step(x)
	case *Octets:
		a.stream = append(a.stream, x.Data...)
	}
	a.held = append(a.held, r)
	return a.release(len(a.held) > maxHeld)
}

// end masks what is held as it is.
func (a *anonymiser) end() error { return a.release(true) }

// release masks the messages that are complete, with all also the others, and emits the
// records before the rest.
func (a *anonymiser) release(all bool) error {
	a.masked += a.octets(a.stream[a.masked:], all)
	i := 0
	for ; i < len(a.held); i++ {
		if o, ok := a.held[i].(*Octets); ok {
			n := len(o.Data)
			if n > a.masked {
				break
			}
			copy(o.Data, a.stream)
			a.stream, a.masked = a.stream[n:], a.masked-n
		}
		if err := a.emit(a.held[i]); err != nil {
			return err
		}
	}
	a.held = a.held[i:]
	return nil
}

// errNoAnswer is in the place of the error of a witness, which may name it.
var errNoAnswer = errors.New("no answer")

// The place to which the first position is moved, in units of 1e-9 degrees.
const placeLat, placeLon = 30e9, 30e9

// from sets the move by the first position, in 1e-9 degrees.
func (a *anonymiser) from(lat, lon int64) {
	if !a.moved {
		a.moved, a.lat, a.lon = true, placeLat-lat, placeLon-lon
	}
}

// move moves a position, in 1e-9 degrees.
func (a *anonymiser) move(lat, lon int64) (int64, int64) {
	a.from(lat, lon)
	const half, whole = 180e9, 360e9
	lat, lon = min(max(lat+a.lat, -90e9), 90e9), lon+a.lon
	switch {
	case lon > half:
		lon -= whole
	case lon < -half:
		lon += whole
	}
	return lat, lon
}

// name returns what replaces a name.
func (a *anonymiser) name(s string) string {
	if s == "" {
		return ""
	}
	n, ok := a.names[s]
	if !ok {
		n = fmt.Sprintf("name-%d", len(a.names)+1)
		a.names[s] = n
	}
	return n
}

// named are keys of the configuration whose texts name something of the machine. All
// other texts are words of ours, and dates.
var named = map[string]bool{"ClockName": true, "Pulse": true, "Receiver": true, "ClockDev": true, "Name": true, "Source": true, "Detail": true, "Reason": true}

// header replaces names and moves positions in the configuration.
func (a *anonymiser) header(h *Header) error {
	d := json.NewDecoder(bytes.NewReader(h.Site))
	d.UseNumber() // a float64 has not the digits of an instant
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("configuration in the recording: %w", err)
	}
	b, err := json.Marshal(a.value("", v))
	h.Site = b
	return err
}

// value replaces in a value of a key.
func (a *anonymiser) value(key string, v any) any {
	switch v := v.(type) {
	case string:
		if named[key] {
			return a.name(v)
		}
	case []any:
		for i := range v {
			v[i] = a.value(key, v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = a.value(k, v[k])
		}
		a.position(v)
	}
	return v
}

// position moves a gnss.Position.
func (a *anonymiser) position(m map[string]any) {
	lat, ok1 := m["Lat"].(json.Number)
	lon, ok2 := m["Lon"].(json.Number)
	if !ok1 || !ok2 {
		return
	}
	x, _ := lat.Float64()
	y, _ := lon.Float64()
	p, q := a.move(int64(x*1e9), int64(y*1e9))
	m["Lat"], m["Lon"], m["Height"] = float64(p)*1e-9, float64(q)*1e-9, 0
}

// step replaces names in orders and errors.
func (a *anonymiser) step(s *Step) {
	if x := s.Input.Alarm; x != nil {
		s.Input.Alarm = &integrity.Alarm{Code: x.Code, Detail: a.name(x.Detail)}
	}
	if x := s.Input.Settings; x != nil {
		y := *x
		a.tables(&y)
		s.Input.Settings = &y
	}
	for i := range s.Calls {
		if c := &s.Calls[i]; c.Err != nil {
			class := classes[classOf(c.Err)]
			c.Err = &recordedError{class.Error(), class}
		}
	}
}

func (a *anonymiser) tables(s *refclock.Settings) {
	if s.Table != nil {
		t := *s.Table
		t.Source = a.name(t.Source)
		s.Table = &t
	}
	for i := range s.Tables {
		t := *s.Tables[i]
		t.Source = a.name(t.Source)
		s.Tables[i] = &t
	}
}

// learn looks for the first position in the next octets of a stream.
func (a *anonymiser) learn(b []byte) {
	if a.moved {
		return
	}
	a.searched = append(a.searched, b...)
	n := each(a.searched, false, func(f []byte, ubx bool) {
		if ubx {
			if f[2] == 0x01 && f[3] == 0x07 && len(f) >= 8+92 && f[6+21]&1 != 0 { // NAV-PVT with a fix
				a.from(int64(i32(f[6+28:]))*100, int64(i32(f[6+24:]))*100)
			}
			return
		}
		text := strings.Split(string(f[1:len(f)-3]), ",")
		if at := positionOf(text); at > 0 && at+3 < len(text) {
			lat, _, ok1 := degrees(text[at], text[at+1])
			lon, _, ok2 := degrees(text[at+2], text[at+3])
			if ok1 && ok2 {
				a.from(lat, lon)
			}
		}
	}, func([]byte) {})
	a.searched = append(a.searched[:0], a.searched[n:]...)
}

// octets masks a stream in place, with all to its end, else as far as messages are
// complete, and returns how far that is.
func (a *anonymiser) octets(b []byte, all bool) int {
	return each(b, all, func(f []byte, ubx bool) {
		if ubx {
			a.ubx(f)
			return
		}
		a.nmea(f)
	}, mask)
}

// mask masks what is no frame that we know.
func mask(b []byte) {
	for i, c := range b {
		switch {
		case c == '\r', c == '\n':
		case c >= ' ' && c <= '~':
			b[i] = 'x'
		default:
			b[i] = 0
		}
	}
}
