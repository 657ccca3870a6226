package gnss

import (
	"encoding/binary"
	"math"
	"slices"
)

// oldOutputs stand in, before generation 9, for what only later ones have.
var oldOutputs = [...]output{{0, monHW, 5}, {0, timSVIN, 10}}

// legacy returns the frames for receivers before generation 9, each of which
// is acknowledged by itself (u-blox 8 / M8 Receiver Description Including
// Protocol Specification, UBX-13003221, section 32.10). Systems is the payload
// of the CFG-GNSS to send, nil for none.
func (s *Setup) legacy(systems []byte) []command {
	var cs []command
	add := func(what string, id int, frame []byte) { cs = append(cs, command{what: what, id: id, frame: frame}) }
	rate := binary.LittleEndian.AppendUint16(nil, 1000)
	add("CFG-RATE", cfgRATE, AppendUBX(nil, cfgRATE, append(rate, 1, 0, 1, 0)))
	for _, list := range [][]output{outputs[:], oldOutputs[:]} {
		for _, o := range list {
			if o.id != monRF && o.id != secSIG {
				add("CFG-MSG "+ubxDecoders[o.id].name, cfgMSG, AppendMsgRate(nil, o.id, o.rate))
			}
		}
	}
	for _, o := range sentences {
		add("CFG-MSG NMEA", cfgMSG, AppendMsgRate(nil, o.id, int(flag(o.keep && s.NMEA))))
	}
	add("CFG-ITFM", cfgITFM, AppendUBX(nil, cfgITFM, itfmOn[:]))
	if s.Pulse != nil {
		add("CFG-TP5", cfgTP5, AppendTP5(nil, *s.Pulse))
	}
	if s.Fixed != nil || s.SurveySeconds > 0 {
		add("CFG-NAV5", cfgNAV5, AppendUBX(nil, cfgNAV5, stationary()))
		add("CFG-TMODE2", cfgTMODE2, s.appendTMode2(nil))
	}
	if systems != nil {
		cs = append(cs, command{what: "CFG-GNSS", id: cfgGNSS, frame: AppendUBX(nil, cfgGNSS, systems), restarts: true})
	}
	if dev := byte(s.Layers>>1) & 3; dev != 0 {
		// CFG-CFG: save everything that was set; battery-backed memory 1, flash 2.
		p := []byte{0, 0, 0, 0, 0x1F, 0x1F, 0, 0, 0, 0, 0, 0, dev}
		add("CFG-CFG", cfgCFG, AppendUBX(nil, cfgCFG, p))
	}
	return cs
}

// itfmOn is CFG-ITFM with the interference monitor enabled and its thresholds
// as from the factory (3 dB broadband, 15 dB continuous wave). The antenna is
// left unknown.
var itfmOn = [8]byte{0xF3, 0xAC, 0x62, 0xAD, 0x1E, 0x43, 0, 0}

// stationary is a CFG-NAV5 that sets the dynamic model alone: 2 = stationary.
func stationary() []byte {
	p := make([]byte, 36)
	p[0], p[2] = 1, 2 // mask: only the model applies
	return p
}

// chooseSystems takes the payload of a CFG-GNSS as the receiver gave it: version,
// channels in hardware, channels to use, blocks; a block is system, reserved
// channels, largest number of channels, a reserved octet and flags (4), of which
// bit 0 enables. It returns one that enables just those systems, leaving channels
// and signals as they are, and the systems that the receiver lacks; nil when the
// payload is none.
func chooseSystems(p []byte, want []System) (set []byte, lacks []System) {
	if len(p) < 4 || len(p) < 4+8*int(p[3]) || p[3] == 0 {
		return nil, nil
	}
	set = slices.Clone(p[:4+8*int(p[3])])
	var have []System
	for b := set[4:]; len(b) > 0; b = b[8:] {
		sys := System(b[0])
		have = append(have, sys)
		b[4] &^= 1
		if has(want, sys) {
			b[4] |= 1
			// An enabled system needs four channels at least, and a signal.
			b[2] = max(b[2], 4)
			if b[6] == 0 {
				b[6] = 1
			}
		}
	}
	for _, sys := range want {
		if !has(have, sys) {
			lacks = append(lacks, sys)
		}
	}
	return set, lacks
}

// enabled tells whether a CFG-GNSS has a system enabled.
func enabled(p []byte, sys System) bool {
	for i := 4; i+8 <= len(p); i += 8 {
		if System(p[i]) == sys {
			return p[i+4]&1 != 0
		}
	}
	return false
}

// AppendPort appends a CFG-PRT of generation 8 and before that sets UART 1 to a
// rate, 8 bits, no parity, one stop bit; UBX and NMEA in, UBX out, and NMEA too
// where that is asked for.
func AppendPort(dst []byte, baud int, nmea bool) []byte {
	const (
		uart1    = 1
		mode8N1  = 0x8D0
		ubx, asc = 1, 2
	)
	le := binary.LittleEndian
	p := []byte{uart1, 0, 0, 0}
	p = le.AppendUint32(p, mode8N1)
	p = le.AppendUint32(p, uint32(baud))
	p = le.AppendUint16(p, ubx|asc)
	out := uint16(ubx)
	if nmea {
		out |= asc
	}
	p = le.AppendUint16(p, out)
	return AppendUBX(dst, cfgPRT, append(p, 0, 0, 0, 0))
}

// appendTMode2 appends CFG-TMODE2: mode, flags (1 = latitude, longitude,
// height), three coordinates (1e-7 degrees, cm), accuracy in mm, survey-in
// duration in s and limit in mm.
func (s *Setup) appendTMode2(dst []byte) []byte {
	le := binary.LittleEndian
	p := make([]byte, 28)
	if f := s.Fixed; f != nil {
		p[0] = 2
		le.PutUint16(p[2:], 1)
		le.PutUint32(p[4:], uint32(int32(math.Round(f.Lat*1e7))))
		le.PutUint32(p[8:], uint32(int32(math.Round(f.Lon*1e7))))
		le.PutUint32(p[12:], uint32(int32(math.Round(f.Height*100))))
		le.PutUint32(p[16:], uint32(tenthMM(f.Acc)/10))
	} else {
		p[0] = 1
		le.PutUint32(p[20:], uint32(s.SurveySeconds))
		le.PutUint32(p[24:], uint32(tenthMM(s.SurveyAcc)/10))
	}
	return AppendUBX(dst, cfgTMODE2, p)
}
