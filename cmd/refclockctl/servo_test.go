package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestServoUsage(t *testing.T) {
	for _, c := range []struct {
		args  []string
		input string
		want  int
	}{
		{nil, "", 64},
		{[]string{"-stdio", "more"}, "", 64},
		{[]string{"-stdio", "-servo", "magic"}, "", 64},
		{[]string{"-nonsense"}, "", 64},
		{[]string{"-stdio"}, "0\n", 65},
		{[]string{"-stdio"}, "0 x\n", 65},
		{[]string{"-stdio"}, "-1 5\n", 65},
		{[]string{"-stdio"}, "0 inf\n", 65},
		{[]string{"-stdio"}, "", 0},
		{[]string{"-stdio"}, "0 nan\n1 5\n", 0},
	} {
		var out, errs bytes.Buffer
		if got := runServo(c.args, strings.NewReader(c.input), &out, &errs); got != c.want {
			t.Errorf("%q with %q: exit %d, want %d (%s)", c.args, c.input, got, c.want, &errs)
		}
		if c.want != 0 && errs.Len() == 0 {
			t.Errorf("%q with %q: says nothing", c.args, c.input)
		}
	}
}

// TestServoLockStep closes the loop over the pipes: every line is answered
// before the next is written, and the clock is held.
func TestServoLockStep(t *testing.T) {
	for _, c := range []struct {
		kind  string
		x0    float64 // ns
		limit float64 // ns rms
	}{{"kalman", 250e3, 33}, {"kalman", -3.7e9, 33}, {"pi", 250e3, 70}} {
		t.Run(fmt.Sprint(c.kind, c.x0), func(t *testing.T) {
			inR, inW := io.Pipe()
			outR, outW := io.Pipe()
			done := make(chan int)
			go func() {
				n := runServo([]string{"-stdio", "-servo", c.kind}, inR, outW, io.Discard)
				outW.Close()
				done <- n
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
			if got := <-done; got != 0 {
				t.Errorf("exit %d", got)
			}
			if rms := math.Sqrt(sum / float64(n)); rms > c.limit {
				t.Errorf("true offset rms %.1f ns, limit %.0f", rms, c.limit)
			}
		})
	}
}

func TestServoBench(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"-bench", "-stdio"}, 64}, {[]string{"-bench", "-seeds", "x"}, 64}, {[]string{"-bench", "-scenario", "none"}, 64}, {[]string{"-bench", "more"}, 64},
	} {
		var out, errs bytes.Buffer
		if got := runServo(c.args, nil, &out, &errs); got != c.want || errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d: %s", c.args, got, c.want, &errs)
		}
	}
	var out, errs bytes.Buffer
	if got := runServo([]string{"-bench", "-scenario", "ocxo-5", "-seeds", "1", "-servo", "pi"}, nil, &out, &errs); got != 0 || strings.Count(out.String(), "\n") != 4 || !strings.Contains(out.String(), "ocxo-5     pi ") {
		t.Errorf("exit %d: %s%s", got, &out, &errs)
	}
}
