package ubx

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/nmea"
)

// zda is the text of a valid sentence.
const zda = "GPZDA,120000.00,01,05,2024,00,00"

// newDecoder returns a decoder of what a u-blox receiver sends.
func newDecoder(cfg gnss.Config) *gnss.Decoder {
	return gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{nmea.New(), New()}}, cfg)
}

// m8Systems is the CFG-GNSS of a NEO-M8T as it comes: GPS, SBAS, QZSS and GLONASS
// on, Galileo, BeiDou and IMES off.
var m8Systems = []byte{0, 32, 32, 7,
	0, 8, 16, 0, 1, 0, 1, 1,
	1, 1, 3, 0, 1, 0, 1, 1,
	2, 4, 8, 0, 0, 0, 1, 1,
	3, 8, 16, 0, 0, 0, 1, 1,
	4, 0, 8, 0, 0, 0, 1, 1,
	5, 0, 3, 0, 1, 0, 1, 1,
	6, 8, 14, 0, 1, 0, 1, 1}

// wire is a u-blox receiver as seen from its serial port.
type wire struct {
	baud    int // 0: any rate is understood
	protver string
	keys    map[uint32]uint64
	lacks   func(key uint32) bool
	lies    uint32 // key that is acknowledged and not set
	old     map[int][]byte
	nakOld  int     // message refused; negative: also when it is asked for
	lose    float64 // fraction of the answers that are lost
	deafTo  int     // rate that is accepted and does not work
	dead    bool
	r       *rand.Rand
	layers  []byte
	decoder *gnss.Decoder // of what the host sends
	out     []byte
}

// tap hands the raw frames of the protocol to a function.
type tap struct {
	Protocol
	frame func([]byte)
}

func (t tap) Decode(_ *gnss.Stream, _ *gnss.Message, frame []byte) bool {
	t.frame(frame)
	return false
}

func newWire(baud int, protver string, seed uint64) *wire {
	w := &wire{baud: baud, protver: protver, keys: make(map[uint32]uint64), old: make(map[int][]byte), r: rand.New(rand.NewPCG(seed, 1))}
	w.decoder = gnss.NewDecoder(gnss.Protocols{Decoded: []gnss.Protocol{tap{frame: func(f []byte) { w.frame(f) }}}}, gnss.Config{})
	return w
}

// write takes what the host sends at a rate and returns what it hears.
func (w *wire) write(b []byte, baud int) []byte {
	w.out = nmea.Append(nil, zda) // other traffic goes on
	if w.dead || w.baud != 0 && baud != 0 && baud != w.baud {
		return []byte{0x00, 0xFE, 0x80} // framing errors
	}
	w.decoder.Feed(b, 0, func(*gnss.Message) {})
	if w.r.Float64() < w.lose {
		return nil
	}
	if w.deafTo != 0 && w.baud == w.deafTo {
		return nil
	}
	return w.out
}

func (w *wire) ack(f payload, ok bool) {
	id := ackNak
	if ok {
		id = ackAck
	}
	w.out = Append(w.out, id, []byte{f[2], f[3]})
}

func (w *wire) frame(f payload) {
	id, p := int(f[2])<<8|int(f[3]), f[6:len(f)-2]
	switch {
	case id == monVER:
		v := make([]byte, 40, 100)
		copy(v, "EXT CORE")
		if w.protver != "" {
			x := make([]byte, 30)
			copy(x, "PROTVER="+w.protver)
			v = append(v, x...)
		}
		w.out = Append(w.out, monVER, v)
	case w.protver >= "27" && id == cfgVALSET:
		w.valset(f, p)
	case w.protver >= "27" && id == cfgVALGET:
		w.valget(f, p)
	case id == cfgGNSS && len(p) == 0 && w.nakOld != -cfgGNSS:
		w.out = Append(w.out, cfgGNSS, m8Systems)
		w.ack(f, true)
	case id>>8 == 6:
		w.set(f, id, p)
	}
}

// valset obeys a CFG-VALSET.
func (w *wire) valset(f, p payload) {
	set, ok := parseSettings(p)
	for _, s := range set {
		ok = ok && (w.lacks == nil || !w.lacks(s.Key))
	}
	w.ack(f, ok)
	if !ok {
		return
	}
	w.layers = append(w.layers, p[1])
	for _, s := range set {
		if s.Key == keyBaudUART1 {
			w.baud = int(s.Value)
		}
		if s.Key != w.lies {
			w.keys[s.Key] = s.Value
		}
	}
}

// valget answers a CFG-VALGET.
func (w *wire) valget(f, p payload) {
	q := []byte{1, 0, 0, 0}
	for p = p[4:]; len(p) >= 4; p = p[4:] {
		k := uint32(p.u32(0))
		s := setting{k, w.keys[k]}
		q = le.AppendUint32(q, k)
		for i := range s.size() {
			q = append(q, byte(s.Value>>(8*i)))
		}
	}
	w.out = Append(w.out, cfgVALGET, q)
	w.ack(f, true)
}

// set obeys a message of class CFG before generation 9.
func (w *wire) set(f payload, id int, p payload) {
	ok := id != w.nakOld && id != -w.nakOld && id != cfgVALSET
	w.ack(f, ok)
	if !ok {
		return
	}
	k := id
	if id == cfgMSG {
		k = id<<16 | int(p[0])<<8 | int(p[1])
	}
	w.old[k] = slices.Clone(p)
	if id == cfgPRT {
		w.baud = int(p.u32(8))
	}
}

// run drives a Configurator over the wire in virtual time and returns the
// time it took in s.
func run(t *testing.T, c *Configurator, w *wire) float64 {
	t.Helper()
	d := newDecoder(gnss.Config{})
	mono, baud := int64(0), 38400
	for range 2000 {
		s, ok := c.Next(mono)
		if c.Done() {
			return float64(mono) / 1e9
		}
		if !ok {
			mono = s.Deadline
			continue
		}
		if s.Baud != 0 {
			baud = s.Baud
		}
		mono += 20e6
		d.Feed(w.write(s.Send, baud), mono, c.Message)
	}
	t.Fatal("never done")
	return 0
}

var fullSetup = Setup{
	Pulse:   &Pulse{LengthUS: 100000, CableNS: -50, UserNS: 12},
	Systems: []gnss.System{gnss.GPS, gnss.Galileo},
	Fixed:   &gnss.Position{Lat: 48.123456789, Lon: -11.987654321, Height: 512.3456, Acc: 0.5},
}

func TestConfigureByGeneration(t *testing.T) {
	t.Parallel()
	const seed = 7
	rates := []int{9600, 38400, 115200}
	with := func(f func(*Setup)) Setup { s := fullSetup; f(&s); return s }
	for _, c := range []struct {
		name    string
		setup   Setup
		bauds   []int
		wire    func(*wire)
		protver string
		err     error
		refused string  // part of each refusal; "" for none
		within  float64 // s; 60 if 0
		check   func(*wire, *Configurator) bool
	}{
		{name: "silent at every rate", setup: fullSetup, bauds: rates, protver: "29.25", err: ErrSilent,
			wire: func(w *wire) { w.dead = true }},
		{name: "rate not in the list", setup: fullSetup, bauds: []int{9600, 19200}, protver: "29.25", err: ErrSilent},
		{name: "one key unknown", setup: fullSetup, bauds: rates, protver: "34.10", refused: "key 0x2091017e",
			wire:  func(w *wire) { w.lacks = func(k uint32) bool { return k == 0x2091017E } },
			check: func(w *wire, c *Configurator) bool { return w.keys[0x20910007] == 1 }},
		{name: "no time mode", setup: fullSetup, bauds: rates, protver: "34.10", refused: "key 0x",
			wire: func(w *wire) { w.lacks = func(k uint32) bool { return k>>16&0xFFF == 0x003 } },
			check: func(w *wire, c *Configurator) bool {
				return len(c.refused) == 9 && w.keys[keyTPLenLk] == 100000
			}},
		{name: "acknowledged and not set", setup: fullSetup, bauds: rates, protver: "29.25", refused: "reads 0",
			wire: func(w *wire) { w.lies = keyTPGrid }},
		{name: "old receiver without CFG-TP5", setup: with(func(s *Setup) { s.Systems = nil }), bauds: rates, protver: "18.00", refused: "CFG-TP5",
			wire: func(w *wire) { w.nakOld = cfgTP5 }},
		{name: "a system it lacks", setup: Setup{Systems: []gnss.System{gnss.GPS, gnss.NavIC}}, bauds: rates, protver: "22.00", refused: "system NavIC",
			check: func(w *wire, c *Configurator) bool { return w.old[cfgGNSS][8] == 1 && w.old[cfgGNSS][16] == 0 }},
		{name: "systems that exclude each other", setup: Setup{Systems: []gnss.System{gnss.GLONASS, gnss.BeiDou}}, bauds: rates, protver: "22.00", refused: "CFG-GNSS",
			wire: func(w *wire) { w.nakOld = cfgGNSS }},
		{name: "sixth generation without CFG-GNSS", setup: Setup{Systems: []gnss.System{gnss.GPS}}, bauds: rates, protver: "13.00", refused: "satellite systems", within: 6,
			wire: func(w *wire) { w.nakOld = -cfgGNSS }},
		{name: "old receiver, new rate does not work", setup: Setup{Baud: 460800}, bauds: rates, protver: "18.00", err: ErrLost, refused: "rate 460800",
			wire: func(w *wire) { w.deafTo = 460800 }},
		{name: "new rate does not work", setup: with(func(s *Setup) { s.Baud = 460800 }), bauds: rates, protver: "29.25", err: ErrLost, refused: "rate 460800",
			wire: func(w *wire) { w.deafTo = 460800 }},

		{name: "ninth generation", setup: fullSetup, bauds: rates, protver: "29.25",
			check: func(w *wire, c *Configurator) bool {
				return w.keys[keyTModeLat] == 481234567 && w.keys[keyTModeLatHP] == 89 &&
					int32(w.keys[keyTModeLon]) == -119876543 && int8(w.keys[keyTModeLonHP]) == -21 &&
					w.keys[keyTModeH] == 51234 && w.keys[keyTModeHHP] == 56 && w.keys[keyTModeAcc] == 5000 &&
					int16(w.keys[keyTPCable]) == -50 && w.keys[keyTPUser] == 12 && w.keys[keyTPLen] == 0 &&
					w.keys[0x1031001F] == 1 && w.keys[0x10310025] == 0 && w.keys[0x2091017E] == 1 &&
					w.keys[keyOutNMEA] == 0 && !slices.ContainsFunc(w.layers, func(l byte) bool { return l != byte(LayerRAM) }) &&
					c.rate() == 38400
			}},
		{name: "messages, and the pulse is left as it is", setup: with(func(s *Setup) { s.Pulse = nil }), bauds: rates, protver: "29.25",
			check: func(w *wire, c *Configurator) bool {
				for key := range w.keys {
					if key>>16&0xFF == 0x05 { // CFG-TP
						return false
					}
				}
				return w.keys[0x20910007] == 1
			}},
		{name: "flash on request", setup: with(func(s *Setup) { s.Layers = LayerRAM | LayerFlash }), bauds: rates, protver: "29.25",
			check: func(w *wire, c *Configurator) bool { return w.layers[0] == 5 }},
		{name: "USB", setup: with(func(s *Setup) { s.USB, s.NMEA = true, true }), protver: "29.25",
			wire: func(w *wire) { w.baud = 0 },
			check: func(w *wire, c *Configurator) bool {
				return w.keys[0x20910009] == 1 && w.keys[0x10780001] == 1 && w.keys[0x209100AE] == 1 && w.keys[0x209100C7] == 0
			}},
		{name: "survey-in", setup: Setup{SurveySeconds: 3600, SurveyAcc: 2}, bauds: rates, protver: "27.11",
			check: func(w *wire, c *Configurator) bool {
				return w.keys[keyTModeMode] == 1 && w.keys[keySvinDur] == 3600 && w.keys[keySvinAcc] == 20000
			}},
		{name: "change of rate", setup: with(func(s *Setup) { s.Baud = 115200 }), bauds: rates, protver: "29.25",
			check: func(w *wire, c *Configurator) bool { return w.baud == 115200 && c.rate() == 115200 }},
		{name: "a third of the answers lost", setup: with(func(s *Setup) { s.Baud = 115200 }), bauds: rates, protver: "29.25",
			wire: func(w *wire) { w.lose = 0.33 }},
		{name: "eighth generation", setup: Setup{Pulse: fullSetup.Pulse, Fixed: fullSetup.Fixed, Layers: LayerRAM | LayerBBR}, bauds: rates, protver: "18.00",
			check: func(w *wire, c *Configurator) bool {
				tp, tm := w.old[cfgTP5], w.old[cfgTMODE2]
				return len(tp) == 32 && payload(tp).i16(4) == -50 && payload(tp).u32(20) == 100000 && len(tm) == 28 && tm[0] == 2 &&
					payload(tm).i32(8) == -119876543 && w.old[cfgMSG<<16|navPVT][2] == 1 && w.old[cfgMSG<<16|0xF003][2] == 0 &&
					w.old[cfgCFG][12] == 1
			}},
		{name: "eighth generation, messages, and the pulse is left as it is", setup: Setup{Fixed: fullSetup.Fixed}, bauds: rates, protver: "18.00",
			check: func(w *wire, c *Configurator) bool { return w.old[cfgTP5] == nil && w.old[cfgMSG<<16|navPVT][2] == 1 }},
		{name: "eighth generation, satellite systems", setup: Setup{Systems: []gnss.System{gnss.GPS, gnss.Galileo}, SurveySeconds: 600, SurveyAcc: 2.5}, bauds: rates, protver: "22.00",
			refused: "Galileo, before",
			check: func(w *wire, c *Configurator) bool {
				g, n := w.old[cfgGNSS], w.old[cfgNAV5]
				return len(g) == len(m8Systems) && g[8] == 1 && g[16] == 0 && g[24] == 1 && g[32] == 0 && g[48] == 0 && g[56] == 0 && g[6] == 16 &&
					g[26] == 1 && len(n) == 36 && n[0] == 1 && n[2] == 2 && payload(w.old[cfgTMODE2]).u32(20) == 600 &&
					payload(w.old[cfgTMODE2]).u32(24) == 2500 && w.old[cfgMSG<<16|timSVIN][2] == 10 && w.old[cfgITFM][3] == 0xAD && w.old[cfgCFG] == nil
			}},
		{name: "eighth generation, change of rate", setup: Setup{Baud: 115200, NMEA: true}, bauds: rates, protver: "22.00",
			check: func(w *wire, c *Configurator) bool {
				p := payload(w.old[cfgPRT])
				return w.baud == 115200 && c.rate() == 115200 && len(p) == 20 && p[0] == 1 && p.u32(4) == 0x8D0 && p.u16(12) == 3 && p.u16(14) == 3
			}},
		{name: "eighth generation, a third of the answers lost", setup: Setup{Systems: []gnss.System{gnss.GPS}, Baud: 115200, Pulse: fullSetup.Pulse}, bauds: rates, protver: "22.00",
			wire:  func(w *wire) { w.lose = 0.33 },
			check: func(w *wire, c *Configurator) bool { return w.old[cfgGNSS][48] == 0 && w.baud == 115200 }},
		{name: "no protocol version", setup: Setup{SurveySeconds: 60}, bauds: rates,
			check: func(w *wire, c *Configurator) bool { return w.old[cfgTMODE2][0] == 1 && w.old[cfgCFG] == nil }},
	} {
		w := newWire(38400, c.protver, seed)
		if c.wire != nil {
			c.wire(w)
		}
		conf := NewConfigurator(c.setup, c.bauds)
		took := run(t, conf, w)
		end := conf.Result()
		if !errors.Is(end.Err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, end.Err, c.err)
		}
		if c.refused == "" && len(end.Refused) > 0 {
			t.Errorf("%s: refused %q", c.name, end.Refused)
		}
		if c.refused != "" && len(end.Refused) == 0 {
			t.Errorf("%s: nothing was refused", c.name)
		}
		for _, r := range end.Refused {
			if !strings.Contains(r, c.refused) {
				t.Errorf("%s: refused %q", c.name, r)
			}
		}
		if c.check != nil && !c.check(w, conf) {
			t.Errorf("%s: receiver is left with %#x %x", c.name, w.keys, w.old)
		}
		if c.within == 0 {
			c.within = 60
		}
		if took > c.within {
			t.Errorf("%s: took %.1f s", c.name, took)
		}
	}
}

// Whatever is lost, the Configurator ends, and what it calls accepted is set.
func TestConfigureEndsWhateverIsLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWire(38400, "29.25", seed)
		w.lose = 0.5
		c := NewConfigurator(fullSetup, []int{9600, 38400})
		run(t, c, w)
		if err := c.Result().Err; err != nil {
			if !errors.Is(err, ErrLost) && !errors.Is(err, ErrSilent) {
				t.Errorf("seed %d: %v", seed, err)
			}
			continue
		}
		for _, s := range c.accepted {
			if w.keys[s.Key] != s.Value {
				t.Errorf("seed %d: key %#x is %d, not %d", seed, s.Key, w.keys[s.Key], s.Value)
			}
		}
	}
}

func TestProtocolVersionOfMonVer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"": 0, "FWVER=TIM 2.25": 0, "PROTVER=x": 0, "PROTVER=-1": 0, "PROTVER=29.25": 2925, "PROTVER 14.00": 1400, "PROTVER=18.00": 1800} {
		if got := protocolVersion(&gnss.Message{Reply: gnss.Reply{Modules: []string{"x", in}}}); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// After a change of satellite systems nothing is sent for half a second.
func TestConfigureWaitsForTheRestartOfReception(t *testing.T) {
	t.Parallel()
	for _, protver := range []string{"22.00", "29.25"} {
		w := newWire(9600, protver, 1)
		c := NewConfigurator(Setup{Systems: []gnss.System{gnss.GPS}, Layers: LayerRAM | LayerFlash, Baud: 115200}, []int{9600})
		d := newDecoder(gnss.Config{})
		mono, acked, waited := int64(0), int64(0), int64(-1)
		for !c.Done() {
			s, ok := c.Next(mono)
			if !ok {
				mono = max(mono+1e6, s.Deadline)
				continue
			}
			if acked != 0 && waited < 0 {
				waited = mono - acked
			}
			mono += 20e6
			systems := s.Send != nil && (s.Send[3] == cfgGNSS&0xFF || len(s.Send) > 15 && s.Send[3] == cfgVALSET&0xFF && le.Uint32(s.Send[10:])>>16 == signalGroup) && len(s.Send) > 8
			d.Feed(w.write(s.Send, 9600), mono, c.Message)
			if systems {
				acked = mono
			}
			if s.Baud == 115200 {
				break // the change of rate is another test's
			}
		}
		if waited < int64(restartWait) {
			t.Errorf("protocol %s: next frame %d ms after the systems were changed, want %v", protver, waited/1e6, restartWait)
		}
	}
}

func TestChooseSystemsKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]byte{nil, {0, 32, 32}, {0, 32, 32, 0}, {0, 32, 32, 2, 0, 8, 16, 0, 1, 0, 1, 1}} {
		if set, _ := chooseSystems(bad, []gnss.System{gnss.GPS}); set != nil {
			t.Errorf("% x gives % x", bad, set)
		}
	}
	// A system that was off may have no channels and no signal.
	set, lacks := chooseSystems([]byte{0, 32, 32, 1, 2, 0, 0, 0, 0, 0, 0, 0}, []gnss.System{gnss.Galileo, gnss.QZSS})
	if want := []byte{0, 32, 32, 1, 2, 0, 4, 0, 1, 0, 1, 0}; !slices.Equal(set, want) || !slices.Equal(lacks, []gnss.System{gnss.QZSS}) {
		t.Errorf("% x, lacks %v", set, lacks)
	}
}
