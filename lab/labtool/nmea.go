package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"noonmark/refclock/sim"
)

// nmea plays a receiver of 1 Hz: RMC, GGA and ZDA for each second of labclock's
// truth, sent delay after the second began. The position is Greenwich's.
func nmea(ctx context.Context, args []string, _ io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	f := newFlags()
	delay := f.Duration("delay", 150*time.Millisecond, "from the second to its first sentence")
	lie := f.Duration("lie", 0, "added to the time that the sentences say")
	leap := f.Int64("leap", math.MaxInt64, "POSIX time before which a leap second is inserted")
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
	// Read once: a leap second is the receiver's own affair.
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
		if _, err := p.Write(said(sec-off, *leap, *lie)); err != nil {
			return err
		}
	}
}

// said is what the receiver says of a second that would be sec without the leap
// second inserted before leap.
func said(sec, leap int64, lie time.Duration) []byte {
	if sec >= leap {
		sec--
		if sec == leap-1 { // 23:59:59 again, called 60
			return burst(time.Unix(sec, 0).Add(lie), 60)
		}
	}
	t := time.Unix(sec, 0).Add(lie)
	return burst(t, t.Second())
}

// burst is what a receiver says of the second t, calling it second.
func burst(t time.Time, second int) []byte {
	t = t.UTC()
	hms, ns := fmt.Sprintf("%s%02d.00", t.Format("1504"), second), "5128.6740,N,00000.0900,W"
	return fmt.Append(nil,
		sentence("GNRMC,"+hms+",A,"+ns+",0.00,,"+t.Format("020106")+",,,A"),
		sentence("GNGGA,"+hms+","+ns+",1,12,0.60,46.0,M,47.0,M,,"),
		sentence("GNZDA,"+hms+","+t.Format("02,01,2006")+",00,00"))
}

func sentence(body string) string {
	var sum byte
	for i := range len(body) {
		sum ^= body[i]
	}
	return fmt.Sprintf("$%s*%02X\r\n", body, sum)
}
