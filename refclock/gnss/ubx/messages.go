package ubx

import "noonmark/refclock/gnss"

// Messages, class in the high byte.
const (
	navStatus  = 0x0103
	navSOL     = 0x0106
	navPVT     = 0x0107
	navTimeGPS = 0x0120
	navTimeUTC = 0x0121
	navClock   = 0x0122
	navTimeLS  = 0x0126
	navSVInfo  = 0x0130
	navSAT     = 0x0135
	navSVIN    = 0x013B
	navEOE     = 0x0161
	ackNak     = 0x0500
	ackAck     = 0x0501
	cfgPRT     = 0x0600
	cfgMSG     = 0x0601
	cfgRATE    = 0x0608
	cfgCFG     = 0x0609
	cfgNAV5    = 0x0624
	cfgTP5     = 0x0631
	cfgITFM    = 0x0639
	cfgTMODE2  = 0x063D
	cfgGNSS    = 0x063E
	cfgVALSET  = 0x068A
	cfgVALGET  = 0x068B
	monVER     = 0x0A04
	monHW      = 0x0A09
	monRF      = 0x0A38
	timTP      = 0x0D01
	timSVIN    = 0x0D04
	secSIG     = 0x2709
	infClass   = 0x04 // class of INF messages; the number is the severity
)

// decoders lists the messages that are decoded, with their shortest payload.
// u-blox lengthens messages at the end; a shorter payload is another message.
var decoders = map[int]struct {
	name   string
	min    int
	decode func(*gnss.Stream, *gnss.Message, payload) bool
}{
	navStatus:  {"NAV-STATUS", 16, decodeStatus},
	navSOL:     {"NAV-SOL", 52, decodeSOL},
	navPVT:     {"NAV-PVT", 84, decodePVT},
	navTimeGPS: {"NAV-TIMEGPS", 16, decodeTimeGPS},
	navTimeUTC: {"NAV-TIMEUTC", 20, decodeTimeUTC},
	navClock:   {"NAV-CLOCK", 20, decodeClock},
	navTimeLS:  {"NAV-TIMELS", 24, decodeTimeLS},
	navSVInfo:  {"NAV-SVINFO", 8, decodeSVInfo},
	navSAT:     {"NAV-SAT", 8, decodeSAT},
	navSVIN:    {"NAV-SVIN", 40, decodeNavSVIN},
	navEOE:     {"NAV-EOE", 4, func(*gnss.Stream, *gnss.Message, payload) bool { return true }},
	ackNak:     {"ACK-NAK", 2, decodeAck},
	ackAck:     {"ACK-ACK", 2, decodeAck},
	cfgGNSS:    {"CFG-GNSS", 4, decodePayload},
	cfgVALGET:  {"CFG-VALGET", 4, decodePayload},
	monVER:     {"MON-VER", 40, decodeVER},
	monHW:      {"MON-HW", 60, decodeHW},
	monRF:      {"MON-RF", 4, decodeRF},
	timTP:      {"TIM-TP", 16, decodeTP},
	timSVIN:    {"TIM-SVIN", 28, decodeTimSVIN},
	secSIG:     {"SEC-SIG", 4, decodeSIG},
}
