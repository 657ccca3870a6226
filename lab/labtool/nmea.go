package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/sim"
)

// nmea simulates a receiver with a rate of 1 Hz. It sends RMC, GGA and ZDA for each
// second of labclock's true time, delay after the second began. The position is
// Greenwich.
func nmea(ctx context.Context, args []string, _ io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	f := newFlags()
	delay := f.Duration("delay", 150*time.Millisecond, "delay from the second to its first sentence")
	lie := f.Duration("lie", 0, "added to the time in the sentences")
	leap := f.Int64("leap", math.MaxInt64, "POSIX time of a leap second")
	sign := f.Int64("sign", 1, "1: a second is inserted; -1: the second before is deleted")
	timtp := f.Int("timtp", 0, "1: send UBX-TIM-TP with the sawtooth error of the next pulse; -1: with the wrong sign")
	void := f.Bool("void", false, "no fix: mark every sentence as void")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 {
		return errUsage
	}
	p, err := sim.OpenPTY()
	if err != nil {
		return err
	}
	defer p.Close()
	os.Remove(args[0])
	if err := os.Symlink(p.Name(), args[0]); err != nil {
		return err
	}
	defer os.Remove(args[0])
	// Read once: the simulated receiver counts leap seconds itself.
	off, err := readNS("tai_offset_s")
	if err != nil {
		return err
	}
	for {
		now, err := readNS("true_ns")
		if err != nil {
			return err
		}
		sec := now/1e9 + 1
		if now%1e9 < int64(*delay) {
			sec--
		}
		t := time.NewTimer(time.Duration(sec*1e9 + int64(*delay) - now))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		b := sentences(sec-off, *leap, *sign, *lie)
		if *void {
			b = voided(b)
		}
		if *timtp != 0 {
			saw, err := nextSaw(ctx, sec)
			if err != nil {
				return err
			}
			b = appendTimTP(b, sec+1, -saw*int64(*timtp))
		}
		if _, err := p.Write(b); err != nil {
			return err
		}
	}
}

// nextSaw returns the sawtooth error of the pulse after the second sec (TAI), in
// ns, + = late. labclock draws it when the previous pulse ends.
func nextSaw(ctx context.Context, sec int64) (int64, error) {
	for {
		b, err := os.ReadFile(sysfs + "saw")
		if err != nil {
			return 0, err
		}
		var at, saw int64
		if _, err := fmt.Sscanf(string(b), "second=%d saw_ns=%d", &at, &saw); err != nil {
			return 0, err
		}
		if at > sec*1e9 {
			return saw, nil
		}
		t := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return 0, ctx.Err()
		case <-t.C:
		}
	}
}

// appendTimTP appends UBX-TIM-TP for the pulse at a TAI second. qerr, in ns, is the
// correction to add to the time of the pulse.
func appendTimTP(b []byte, sec, qerr int64) []byte {
	const gps = 315964800 + 19 // 1980-01-06 in TAI seconds
	const week = 7 * 86400
	var p [16]byte
	binary.LittleEndian.PutUint32(p[0:], uint32((sec-gps)%week*1000))
	binary.LittleEndian.PutUint32(p[8:], uint32(int32(qerr*1000)))
	binary.LittleEndian.PutUint16(p[12:], uint16((sec-gps)/week))
	p[14] = 0x02 // GNSS time base, UTC available
	return ubx.Append(b, 0x0d01, p[:])
}

// sentences returns the receiver's sentences for the second that would be sec
// without a leap second. The leap second before the POSIX time leap is inserted
// (sign 1) or deleted (sign -1).
func sentences(sec, leap, sign int64, lie time.Duration) []byte {
	switch {
	case sign < 0 && sec >= leap-1:
		sec++
	case sign > 0 && sec >= leap:
		sec--
		if sec == leap-1 { // 23:59:59 again, with the label 60
			return burst(time.Unix(sec, 0).Add(lie), 60)
		}
	}
	t := time.Unix(sec, 0).Add(lie)
	return burst(t, t.Second())
}

// burst returns the sentences for t, with the given value of the seconds field.
func burst(t time.Time, second int) []byte {
	t = t.UTC()
	hms, ns := fmt.Sprintf("%s%02d.00", t.Format("1504"), second), "5128.6740,N,00000.0900,W"
	return fmt.Append(nil,
		sentence("GNRMC,"+hms+",A,"+ns+",0.00,,"+t.Format("020106")+",,,A"),
		sentence("GNGGA,"+hms+","+ns+",1,12,0.60,46.0,M,47.0,M,,"),
		sentence("GNZDA,"+hms+","+t.Format("02,01,2006")+",00,00"))
}

// voided changes a burst into that of a receiver without a fix.
func voided(b []byte) []byte {
	var out []byte
	for _, l := range strings.Fields(string(b)) {
		body, _, _ := strings.Cut(l[1:], "*")
		f := strings.Split(body, ",")
		switch f[0] {
		case "GNRMC":
			f[2], f[12] = "V", "N"
		case "GNGGA":
			f[6], f[7] = "0", "00"
		}
		out = append(out, sentence(strings.Join(f, ","))...)
	}
	return out
}

func sentence(body string) string {
	var sum byte
	for i := range len(body) {
		sum ^= body[i]
	}
	return fmt.Sprintf("$%s*%02X\r\n", body, sum)
}
