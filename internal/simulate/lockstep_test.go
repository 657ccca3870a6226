package simulate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"noonmark/refclock/discipline"
)

func lockStepConfig(servo string) discipline.Config {
	return discipline.Config{Servo: servo, GivenSecond: true, Confirm: 2}
}

func TestLockStepRefusesMalformedLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		input   string
		answers int
		bad     bool
	}{
		{"0\n", 0, true},
		{"0 x\n", 0, true},
		{"-1 5\n", 0, true},
		{"0 inf\n", 0, true},
		{"0 5\n1\n", 1, true},
		{"", 0, false},
		{"0 nan\n1 5\n", 2, false},
	} {
		var out bytes.Buffer
		err := ServeLockStep(lockStepConfig("kalman"), strings.NewReader(c.input), &out)
		if errors.Is(err, ErrStep) != c.bad || !c.bad && err != nil || strings.Count(out.String(), "\n") != c.answers {
			t.Errorf("%q: %v, answers %q", c.input, err, &out)
		}
	}
	if err := ServeLockStep(lockStepConfig("kalman"), strings.NewReader("0 5\n"), failing{}); !errors.Is(err, errFull) {
		t.Errorf("output that fails: %v", err)
	}
}

// The loop is closed over pipes: every line is answered before the next is
// written, and the clock is held.
func TestLockStepHoldsTheClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		servo string
		x0    float64 // ns
		limit float64 // ns rms
	}{{"kalman", 250e3, 33}, {"kalman", -3.7e9, 33}, {"pi", 250e3, 70}} {
		t.Run(fmt.Sprint(c.servo, c.x0), func(t *testing.T) {
			t.Parallel()
			inR, inW := io.Pipe()
			outR, outW := io.Pipe()
			done := make(chan error, 1)
			go func() {
				err := ServeLockStep(lockStepConfig(c.servo), inR, outW)
				outW.Close()
				done <- err
			}()
			r := rand.New(rand.NewPCG(1, 2))
			answers := bufio.NewReader(outR)
			x, y, sum, n := c.x0, 10e3, 0.0, 0
			for k := range 2000 {
				z := fmt.Sprintf("%.3f", x+50*r.NormFloat64())
				if k%100 == 99 {
					z = "nan"
				}
				if k%371 == 370 {
					z = fmt.Sprintf("%.3f", 50e6*(2*r.Float64()-1))
				}
				if k > 200 {
					sum += x * x
					n++
				}
				fmt.Fprintf(inW, "%d %s\n", k, z)
				var freq, step float64
				if _, err := fmt.Fscanln(answers, &freq, &step); err != nil {
					t.Fatal(k, err)
				}
				if step != 0 && k > 10 {
					t.Errorf("second %d: step of %v ns", k, step)
				}
				x += step + freq + y + r.NormFloat64()
				y += r.NormFloat64()
			}
			inW.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if rms := math.Sqrt(sum / float64(n)); rms > c.limit {
				t.Errorf("seed 1, 2: true offset rms %.1f ns, limit %.0f", rms, c.limit)
			}
		})
	}
}
