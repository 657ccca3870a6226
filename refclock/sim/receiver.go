// Package sim is a virtual appliance in a closed loop: a receiver that writes
// NMEA (and UBX-TIM-TP) as real ones do, its pulses, and the oscillator they
// discipline. The same events drive it in real time (the demo, over a real
// pseudo-terminal) and in virtual time (tests, refclockctl simulate).
package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"noonmark/phc/tai"
)

// FaultKind is a way in which a receiver or its pulse misbehaves.
type FaultKind uint8

// The kinds of fault. Amount means what the comment says.
const (
	Silence         FaultKind = iota // no bytes at all
	Void                             // sentences say "no fix"
	LateSecond                       // each burst comes one second late
	SecondOff                        // labels are wrong by Amount seconds
	WeekOff                          // labels are wrong by Amount weeks (rollover: -1024)
	Garbage                          // random bytes instead of sentences
	BadChecksum                      // every checksum is wrong
	NoPulse                          // no pulses
	PulseJump                        // pulses displaced by Amount ns, + = late
	PulseDrift                       // pulses drift by Amount ns per second from the start of the fault
	BothEdges                        // the falling edge is delivered too
	ReplayPulse                      // the last edge is delivered again, three times a second
	LostMessages                     // sentences are lost with probability Amount
	DoubledMessages                  // each burst is sent twice
	PositionJump                     // the position is Amount metres north of where it was
	Jamming                          // UBX-MON-RF says "critical" (ReceiverConfig.Status)
	Spoofing                         // UBX-SEC-SIG says "spoofing indicated" (ReceiverConfig.Status)
	AntennaOpen                      // UBX-MON-RF says "open" (ReceiverConfig.Status)
	WildPulse                        // pulses come anywhere in the second with probability Amount
	AntennaShort                     // UBX-MON-RF says "short" (ReceiverConfig.Status)
	LateSentences                    // NMEA names the second before the one that UBX-TIM-TP goes by
)

var faultNames = [...]string{"silence", "void", "late_second", "second_off", "week_off", "garbage", "bad_checksum",
	"no_pulse", "pulse_jump", "pulse_drift", "both_edges", "replay_pulse", "lost_messages", "doubled_messages", "position_jump",
	"jamming", "spoofing", "antenna_open", "wild_pulse", "antenna_short", "late_sentences"}

// String returns the fault's word in scenario files.
func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return "invalid"
}

// FaultNames are the words of all faults.
func FaultNames() []string { return faultNames[:] }

// UnmarshalText reads the word of a scenario file.
func (k *FaultKind) UnmarshalText(b []byte) error {
	for i, n := range faultNames {
		if n == string(b) {
			*k = FaultKind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown fault %q; one of %q", b, faultNames)
}

// Fault is one misbehaviour in a stretch of time, counted from the start.
type Fault struct {
	Kind   FaultKind
	At     time.Duration
	For    time.Duration // 0 = to the end
	Amount float64
}

func (f Fault) active(since time.Duration) bool {
	return since >= f.At && (f.For == 0 || since < f.At+f.For)
}

// find returns the first active fault of a kind.
func find(fs []Fault, k FaultKind, since time.Duration) (Fault, bool) {
	for _, f := range fs {
		if f.Kind == k && f.active(since) {
			return f, true
		}
	}
	return Fault{}, false
}

// ReceiverConfig describes a virtual receiver.
type ReceiverConfig struct {
	Seed     uint64
	Baud     int           // pace of the bytes; 0 = all at once
	Latency  time.Duration // from the second to the first byte, default 120 ms
	Jitter   time.Duration // standard deviation of that, default 10 ms
	Sats     int           // satellites in use, default 9
	TIMTP    bool          // announce the sawtooth of the next pulse with UBX-TIM-TP
	Table    *tai.Table    // leap seconds it knows, default tai.Builtin
	LeapWarn bool          // announce the table's next leap second with UBX-NAV-TIMELS
	Status   bool          // tell antenna, jamming and spoofing with UBX-MON-RF and UBX-SEC-SIG
	InView   int           // satellites listed with GSV, between GGA and ZDA: bytes that take their time
	Sky      bool          // list the satellites in view with UBX-NAV-SAT
	Version  bool          // name itself with UBX-MON-VER when it starts
	Faults   []Fault
}

// Receiver makes the byte stream of a receiver. It is for one goroutine.
type Receiver struct {
	cfg   ReceiverConfig
	start tai.Time
	rng   *rand.Rand
	qerr  func(sec tai.Time) (ns float64, ok bool)
	buf   []byte
	free  tai.Time // when the port has sent what it was given
}

// Chunk is a piece of the stream and the true time at which its first byte
// has left the receiver.
type Chunk struct {
	At   tai.Time
	Data []byte
	Baud int // at which it is sent; 0: at what the port has
}

// NewReceiver returns a receiver whose faults count from start.
func NewReceiver(cfg ReceiverConfig, start tai.Time) *Receiver {
	if cfg.Latency == 0 {
		cfg.Latency = 120 * time.Millisecond
	}
	if cfg.Jitter == 0 {
		cfg.Jitter = 10 * time.Millisecond
	}
	if cfg.Sats == 0 {
		cfg.Sats = 9
	}
	if cfg.Table == nil {
		cfg.Table = tai.Builtin()
	}
	return &Receiver{cfg: cfg, start: start, rng: rand.New(rand.NewPCG(cfg.Seed, 0x676e7373))}
}

// Burst returns what the receiver sends about a full second, in order. The
// data stay valid; nothing is sent before the second itself.
func (r *Receiver) Burst(sec tai.Time) []Chunk {
	since := sec.Sub(r.start)
	delay := r.cfg.Latency + time.Duration(r.rng.NormFloat64()*float64(r.cfg.Jitter))
	delay = min(max(delay, 20*time.Millisecond), 850*time.Millisecond)
	fs := r.cfg.Faults
	if _, ok := find(fs, Silence, since); ok {
		return nil
	}
	if _, ok := find(fs, LateSecond, since); ok {
		delay += time.Second
	}
	r.buf = make([]byte, 0, 512)
	if _, ok := find(fs, Garbage, since); ok {
		for range 200 {
			r.buf = append(r.buf, byte(r.rng.Uint32()))
		}
		return r.pace(sec.Add(delay), r.buf)
	}
	label := sec
	if f, ok := find(fs, SecondOff, since); ok {
		label += tai.Time(f.Amount) * tai.Second
	}
	weeks := 0
	if f, ok := find(fs, WeekOff, since); ok {
		weeks = int(f.Amount)
	}
	_, void := find(fs, Void, since)
	north := 0.0
	if f, ok := find(fs, PositionJump, since); ok {
		north = f.Amount
	}
	said := label
	if _, ok := find(fs, LateSentences, since); ok {
		said -= tai.Second
	}
	r.sentences(said, weeks, !void, north)
	if _, ok := find(fs, BadChecksum, since); ok {
		for i := range r.buf {
			if r.buf[i] == '*' {
				r.buf[i+1] = "0123456789ABCDEF"[(hexval(r.buf[i+1])+1)%16]
			}
		}
	}
	if f, ok := find(fs, LostMessages, since); ok {
		r.lose(f.Amount)
	}
	if _, ok := find(fs, DoubledMessages, since); ok {
		r.buf = append(r.buf, r.buf...)
	}
	r.version(since)
	if r.cfg.Status {
		_, jam := find(fs, Jamming, since)
		_, spoof := find(fs, Spoofing, since)
		antenna := byte(2) // in order
		if _, ok := find(fs, AntennaShort, since); ok {
			antenna = 3
		}
		if _, ok := find(fs, AntennaOpen, since); ok {
			antenna = 4
		}
		r.status(jam, spoof, antenna)
	}
	if r.cfg.Sky {
		r.navSAT(label, void)
	}
	if r.cfg.TIMTP && r.qerr != nil && !void {
		if q, ok := r.qerr(sec + tai.Second); ok {
			r.timTP(label+tai.Second, q)
		}
	}
	if r.cfg.LeapWarn && !void {
		r.timeLS(label)
	}
	return r.pace(sec.Add(delay), r.buf)
}

// lose takes sentences out of the burst with probability p.
func (r *Receiver) lose(p float64) {
	kept := make([]byte, 0, len(r.buf))
	for line := range bytes.Lines(r.buf) {
		if r.rng.Float64() >= p {
			kept = append(kept, line...)
		}
	}
	r.buf = kept
}

// sentences appends RMC, GGA, GSV and ZDA for a second, whose date is off by weeks:
// the leap seconds known today are applied to it all the same.
func (r *Receiver) sentences(label tai.Time, weeks int, fix bool, north float64) {
	t := label.UTC(r.cfg.Table.Offset(label))
	ss := t.Second()
	if l, sign, ok := r.cfg.Table.Next(label); ok && sign == 1 && l.At()-label == tai.Second {
		// POSIX calls the inserted second the first of the next day; NMEA
		// calls it 60.
		t, ss = t.Add(-time.Second), 60
	}
	hms := fmt.Sprintf("%02d%02d%02d.00", t.Hour(), t.Minute(), ss)
	t = t.AddDate(0, 0, 7*weeks)
	status, q, sats, mode := "A", 1, r.cfg.Sats, "A"
	if !fix {
		status, q, sats, mode = "V", 0, 0, "N"
	}
	const minute = 1852.0 // m along the meridian
	lat, lon := fmt.Sprintf("47%07.4f,N", 23.0012+north/minute), "00832.4412,E"
	r.nmea(fmt.Sprintf("GNRMC,%s,%s,%s,%s,0.004,,%s,,,%s", hms, status, lat, lon, t.Format("020106"), mode))
	r.nmea(fmt.Sprintf("GNGGA,%s,%s,%s,%d,%02d,0.9,408.1,M,47.3,M,,", hms, lat, lon, q, sats))
	for i := 0; i < r.cfg.InView; i += 4 {
		g := fmt.Sprintf("GPGSV,%d,%d,%02d", (r.cfg.InView+3)/4, i/4+1, r.cfg.InView)
		for k := i; k < min(i+4, r.cfg.InView); k++ {
			g += fmt.Sprintf(",%02d,%02d,%03d,%02d", k+1, 10+2*k, 11*k%360, 30+k%18)
		}
		r.nmea(g)
	}
	r.nmea(fmt.Sprintf("GNZDA,%s,%s,00,00", hms, t.Format("02,01,2006")))
}

// version appends UBX-MON-VER for as long as the receiver is starting: who listens may
// be a little late.
func (r *Receiver) version(since time.Duration) {
	if r.cfg.Version && since < 3*time.Second {
		r.ubx(0x0a, 0x04, monVER("EXT CORE 1.00 (sim)", "simulated", "FWVER=SIM 1.00", "PROTVER=27.31", "MOD=SIM-9T"))
	}
}

// monVER returns the payload of UBX-MON-VER: software in 30 octets, hardware in 10,
// each extension in 30.
func monVER(software, hardware string, more ...string) []byte {
	v := make([]byte, 40+30*len(more))
	copy(v[:30], software)
	copy(v[30:40], hardware)
	for i, x := range more {
		copy(v[40+30*i:][:30], x)
	}
	return v
}

// status appends UBX-MON-RF and UBX-SEC-SIG version 2.
func (r *Receiver) status(jammed, spoofed bool, antenna byte) {
	var rf [28]byte
	rf[1], rf[5], rf[6], rf[7] = 1, 1, antenna, 1 // one block: no jamming, antenna fed
	if jammed {
		rf[5], rf[20] = 3, 200
	}
	r.ubx(0x0a, 0x38, rf[:])
	sig := [4]byte{2, 1<<1 | 1 | 8 | 1<<4} // both detectors on, nothing seen
	if jammed {
		sig[1] |= 3 << 1
	}
	if spoofed {
		sig[1] = sig[1]&^(7<<4) | 2<<4
	}
	r.ubx(0x27, 0x09, sig[:])
}

// nmea appends one sentence with its checksum (NMEA 0183, 5.3.3.6).
func (r *Receiver) nmea(s string) {
	var x byte
	for i := range len(s) {
		x ^= s[i]
	}
	r.buf = fmt.Appendf(r.buf, "$%s*%02X\r\n", s, x)
}

// ubx appends one UBX frame with its checksum (u-blox protocol, 3.4).
func (r *Receiver) ubx(class, id byte, payload []byte) {
	r.buf = append(r.buf, 0xb5, 0x62)
	n := len(r.buf)
	r.buf = append(r.buf, class, id)
	r.buf = binary.LittleEndian.AppendUint16(r.buf, uint16(len(payload)))
	r.buf = append(r.buf, payload...)
	var a, b byte
	for _, c := range r.buf[n:] {
		a += c
		b += a
	}
	r.buf = append(r.buf, a, b)
}

// gpsEpoch is 1980-01-06 00:00:00 UTC, when TAI - UTC was 19 s.
const gpsEpoch = tai.Time(315964800+19) * tai.Second

const weekNS = 7 * 86400 * tai.Second

// timTP appends UBX-TIM-TP for the pulse at a second: qErr in ps is what is to
// be added to the pulse's time to get the second.
func (r *Receiver) timTP(pulse tai.Time, qerrNS float64) {
	var p [16]byte
	gps := pulse - gpsEpoch
	binary.LittleEndian.PutUint32(p[0:], uint32(gps%weekNS/1e6))
	binary.LittleEndian.PutUint32(p[8:], uint32(int32(qerrNS*1000)))
	binary.LittleEndian.PutUint16(p[12:], uint16(gps/weekNS))
	p[14] = 0x02 // GNSS time base, UTC available
	r.ubx(0x0d, 0x01, p[:])
}

// timeLS appends UBX-NAV-TIMELS: the leap second now and the next one.
func (r *Receiver) timeLS(label tai.Time) {
	var p [24]byte
	gps := label - gpsEpoch
	binary.LittleEndian.PutUint32(p[0:], uint32(gps%weekNS/1e6))
	p[8] = 2 // source: GPS
	p[9] = byte(r.cfg.Table.Offset(label) - 19)
	p[10] = 2
	p[23] = 1 // current offset valid
	if l, sign, ok := r.cfg.Table.Next(label); ok {
		p[11] = byte(int8(sign))
		binary.LittleEndian.PutUint32(p[12:], uint32(int32((l.At()-label)/tai.Second)))
		at := l.At() - gpsEpoch
		binary.LittleEndian.PutUint16(p[16:], uint16(at/weekNS))
		binary.LittleEndian.PutUint16(p[18:], uint16(at%weekNS/(86400*tai.Second)))
		p[23] = 3
	}
	r.ubx(0x01, 0x26, p[:])
}

// portBuffer is how far behind a port may be before the receiver drops what it
// has no room for: u-blox receivers drop whole messages.
const portBuffer = 1500 * time.Millisecond

// pace cuts data into pieces as they leave a UART: 10 bits a byte. What the
// port is still busy with comes first; at too slow a rate messages are lost.
func (r *Receiver) pace(at tai.Time, data []byte) []Chunk {
	if r.cfg.Baud <= 0 {
		return []Chunk{{At: at, Data: data}}
	}
	const piece = 16 // half the FIFO of a 16550, which is when its reader wakes
	var out []Chunk
	given := at
	at = max(at, r.free)
	for len(data) > 0 && at.Sub(given) <= portBuffer {
		n := min(piece, len(data))
		at += tai.Time(n) * 10 * tai.Second / tai.Time(r.cfg.Baud)
		out = append(out, Chunk{At: at, Data: data[:n]})
		data = data[n:]
	}
	r.free = at
	return out
}

func hexval(c byte) int {
	if c >= 'A' {
		return int(c-'A') + 10
	}
	return int(c - '0')
}
