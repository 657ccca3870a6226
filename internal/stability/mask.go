package stability

import (
	"math"
)

// Mask is the limit of a class of clocks in locked mode: ITU-T G.8272, section 6.
type Mask struct {
	Name string  // as users write it
	TE   float64 // largest |time error|, ns
	mtie []piece
	tdev []piece
}

// piece is a part of a limit: constant + slope * tau, ns, up to a tau, s.
type piece struct{ constant, slope, upTo float64 }

// shortest is the tau from which all limits hold, s.
const shortest = 0.1

// Masks returns those of primary reference time clocks: PRTC-A and PRTC-B. The figures
// are those of ITU-T G.8272, tables 1 and 2 (MTIE), 3 and 4 (TDEV), and section 6.1
// (time error). The Recommendation itself was not at hand. They were compared with three
// transcriptions by others, which agree in every figure that they have:
//
//   - allantools, allantools/mask.py (A. Wallin), of the edition 11/2018;
//   - kshana, module telecom_timing, of the edition 07/2025, with the ends of the
//     ranges, and checked there against the figures that the Recommendation's figures 1
//     and 2 print: 40 ns at 54.5 s, 30 ns at 1000 s, 5 ns at 500 s;
//   - vse-sync-pp, tests/vse_sync_pp/test_requirements.py (Red Hat): values at 100,
//     150, 300 and 550 s.
func Masks() []Mask {
	return []Mask{
		{"prtc-a", 100,
			[]piece{{25, 0.275, 273}, {100, 0, math.Inf(1)}},
			[]piece{{3, 0, 100}, {0, 0.03, 1000}, {30, 0, below(10_000)}}},
		{"prtc-b", 40,
			[]piece{{25, 0.275, 54.5}, {40, 0, math.Inf(1)}},
			[]piece{{1, 0, 100}, {0, 0.01, 500}, {5, 0, below(100_000)}}},
	}
}

// MaskNamed returns a mask by its name, nil if there is none of that name.
func MaskNamed(name string) *Mask {
	for _, m := range Masks() {
		if m.Name == name {
			return &m
		}
	}
	return nil
}

// below is the end of a range that does not contain it.
func below(tau float64) float64 { return math.Nextafter(tau, 0) }

// MTIE returns the limit at tau, ns; NaN where there is none.
func (m *Mask) MTIE(tau float64) float64 { return limit(m.mtie, tau) }

// TDEV returns the limit at tau, ns; NaN where there is none.
func (m *Mask) TDEV(tau float64) float64 { return limit(m.tdev, tau) }

func limit(pieces []piece, tau float64) float64 {
	if tau > shortest {
		for _, p := range pieces {
			if tau <= p.upTo {
				return p.constant + p.slope*tau
			}
		}
	}
	return math.NaN()
}

// Verdict is how data compare with a mask.
type Verdict struct {
	Mask string
	// MTIE and TDEV are the largest ratio of a point to its limit: up to 1 is within
	// the mask. NaN: no point has a limit.
	MTIE, TDEV       float64
	MTIETau, TDEVTau float64 // where, s
	// TE is the largest |phase| in units of its limit.
	TE float64
}

// Within reports whether everything that was measured is within the mask.
func (v *Verdict) Within() bool { return v.MTIE <= 1 && v.TDEV <= 1 && v.TE <= 1 }

// Compare compares phase data, ns, and their stability with a mask.
func (m *Mask) Compare(phase []float64, points []Point) Verdict {
	v := Verdict{Mask: m.Name, MTIE: math.NaN(), TDEV: math.NaN(), TE: math.NaN()}
	for _, x := range phase {
		if r := math.Abs(x) / m.TE; !math.IsNaN(r) && !(r <= v.TE) {
			v.TE = r
		}
	}
	for _, p := range points {
		if r := p.MTIE / m.MTIE(p.Tau); !math.IsNaN(r) && !(r <= v.MTIE) {
			v.MTIE, v.MTIETau = r, p.Tau
		}
		if r := p.TDEV / m.TDEV(p.Tau); !math.IsNaN(r) && !(r <= v.TDEV) {
			v.TDEV, v.TDEVTau = r, p.Tau
		}
	}
	return v
}
