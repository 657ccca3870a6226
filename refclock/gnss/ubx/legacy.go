package ubx

import (
	"encoding/binary"
	"math"
	"slices"

	"noonmark/refclock/gnss"
)

// oldOutputs replace, before generation 9, messages that only later ones have.
var oldOutputs = [...]output{{0, monHW, 5}, {0, timSVIN, 10}}

// legacy returns the frames for receivers before generation 9. Each of them is
// acknowledged by itself (u-blox 8 / M8 Receiver Description Including
// Protocol Specification, UBX-13003221, section 32.10). Systems is the payload
// of the CFG-GNSS to send, nil for none.
func (s *Setup) legacy(systems []byte) []command {
	var cs []command
	add := func(what string, id int, frame []byte) { cs = append(cs, command{what: what, id: id, frame: frame}) }
	rate := binary.LittleEndian.AppendUint16(nil, 1000)
	add("CFG-RATE", cfgRATE, Append(nil, cfgRATE, append(rate, 1, 0, 1, 0)))
	for _, list := range [][]output{outputs[:], oldOutputs[:]} {
		for _, o := range list {
			if o.id != monRF && o.id != secSIG {
				add("CFG-MSG "+decoders[o.id].name, cfgMSG, appendMsgRate(nil, o.id, o.rate))
			}
		}
	}
	for _, o := range sentences {
		add("CFG-MSG NMEA", cfgMSG, appendMsgRate(nil, o.id, int(flag(o.keep && s.NMEA))))
	}
	add("CFG-ITFM", cfgITFM, Append(nil, cfgITFM, itfmOn[:]))
	if s.Pulse != nil {
		add("CFG-TP5", cfgTP5, appendTP5(nil, *s.Pulse))
	}
	if s.Fixed != nil || s.SurveySeconds > 0 {
		add("CFG-NAV5", cfgNAV5, Append(nil, cfgNAV5, stationary()))
		add("CFG-TMODE2", cfgTMODE2, s.appendTMode2(nil))
	}
	if systems != nil {
		cs = append(cs, command{what: "CFG-GNSS", id: cfgGNSS, frame: Append(nil, cfgGNSS, systems), restarts: true})
	}
	if dev := byte(s.Layers>>1) & 3; dev != 0 {
		// CFG-CFG: save all sections; battery-backed memory 1, flash 2.
		p := []byte{0, 0, 0, 0, 0x1F, 0x1F, 0, 0, 0, 0, 0, 0, dev}
		add("CFG-CFG", cfgCFG, Append(nil, cfgCFG, p))
	}
	return cs
}

// itfmOn is CFG-ITFM with the interference monitor enabled, at the factory
// thresholds (3 dB broadband, 15 dB continuous wave), for an unknown antenna.
var itfmOn = [8]byte{0xF3, 0xAC, 0x62, 0xAD, 0x1E, 0x43, 0, 0}

// stationary is a CFG-NAV5 that sets the dynamic model alone: 2 = stationary.
func stationary() []byte {
	p := make([]byte, 36)
	p[0], p[2] = 1, 2 // mask: only the model applies
	return p
}

// chooseSystems takes the payload of a CFG-GNSS as the receiver sent it: version,
// channels in hardware, channels to use, number of blocks; a block is system,
// reserved channels, maximum of channels, a reserved octet and flags (4), of which
// bit 0 enables. It returns a payload that enables just the systems wanted, with
// channels and signals as they are, and the systems that the receiver lacks. It
// returns nil if p is no such payload.
func chooseSystems(p []byte, want []gnss.System) (set []byte, lacks []gnss.System) {
	if len(p) < 4 || len(p) < 4+8*int(p[3]) || p[3] == 0 {
		return nil, nil
	}
	set = slices.Clone(p[:4+8*int(p[3])])
	var have []gnss.System
	for b := set[4:]; len(b) > 0; b = b[8:] {
		sys := gnss.System(b[0])
		have = append(have, sys)
		b[4] &^= 1
		if slices.Contains(want, sys) {
			b[4] |= 1
			// An enabled system needs four channels at least, and a signal.
			b[2] = max(b[2], 4)
			if b[6] == 0 {
				b[6] = 1
			}
		}
	}
	for _, sys := range want {
		if !slices.Contains(have, sys) {
			lacks = append(lacks, sys)
		}
	}
	return set, lacks
}

// enabled reports whether a CFG-GNSS has a system enabled.
func enabled(p []byte, sys gnss.System) bool {
	for i := 4; i+8 <= len(p); i += 8 {
		if gnss.System(p[i]) == sys {
			return p[i+4]&1 != 0
		}
	}
	return false
}

// appendPort appends a CFG-PRT of generation 8 and before that sets UART 1 to a
// rate, 8 bits, no parity, one stop bit; UBX and NMEA in, UBX out, and NMEA out if
// asked for.
func appendPort(dst []byte, baud int, nmea bool) []byte {
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
	return Append(dst, cfgPRT, append(p, 0, 0, 0, 0))
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
	return Append(dst, cfgTMODE2, p)
}
