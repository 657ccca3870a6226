package summary

import (
	"errors"
	"strings"
	"testing"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/observe"
	"noonmark/refclock/report"
)

func ptr[T any](v T) *T { return &v }

// Each state is one sentence, with what clients see and what to do.
func TestStatesAsSentences(t *testing.T) {
	t.Parallel()
	limit := int64(100_000)
	locked := &report.Status{State: "locked", Usable: true, Stratum: 1, RefID: "GPS"}
	open := []observe.ServingEndpoint{{Name: "a:123", Workers: 1}}
	const startServer = "start ntsserve (systemctl start ntsserve); its log says why it ended, or what it lacks (journalctl -u ntsserve)"
	for _, c := range []struct {
		name string
		in   Input
		want Summary
	}{
		{"nothing is published", Input{View: observe.View{Why: errors.New("no file")}}, Summary{"bad", "absent", "refclockd publishes nothing.", "Clients see a server that is not synchronised.",
			[]Advice{{"no file", "start refclockd; refclockctl doctor shows what it lacks"}}}},
		{"a server without refclockd, and without ntsserve", Input{View: observe.View{Alone: true}}, Summary{"bad", "absent", "This machine has no refclockd: ntsserve serves the clock that another program keeps.", "ntsserve publishes nothing, so clients may get no answer.",
			[]Advice{{"ntsserve publishes no counters", startServer}}}},
		{"a server without refclockd, and without time", Input{View: observe.View{Alone: true, Serving: &observe.Serving{Endpoints: open}}}, Summary{"bad", "absent", "This machine has no refclockd: ntsserve serves the clock that another program keeps.", "Clients see a server that is not synchronised (stratum 16).",
			[]Advice{{"the clock that ntsserve serves is not synchronised", "look at the program that keeps it (chronyc tracking, timedatectl); refclockctl doctor shows what ntsserve lacks"}}}},
		{"a server without refclockd", Input{View: observe.View{Alone: true, Serving: &observe.Serving{Synchronised: true, Endpoints: open}}, Rate: ptr(12.)}, Summary{"good", "absent", "This machine has no refclockd: ntsserve serves the clock that another program keeps.", "Clients get a synchronised clock. ntsserve gets 12.0 requests a second.", []Advice{}}},
		{"locked", Input{View: observe.View{Status: &report.Status{State: "locked", Usable: true, BoundNS: ptr(int64(145)), StateForS: ptr(720.), Stratum: 1, RefID: "GPS"}}},
			Summary{"good", "locked", "Locked for 12 min, within 145 ns of true time.", "Clients get stratum 1 with reference GPS.", []Advice{}}},
		{"holdover", Input{View: observe.View{Status: &report.Status{State: "holdover", Reason: "no_pulses", Usable: true, BoundNS: ptr(int64(1500)), LimitNS: &limit, LimitInS: ptr(3700.), Stratum: 1, RefID: "GPS", Remedy: "look at the pulse"}}},
			Summary{"warn", "holdover", "Holdover (no pulses), within 1.5 µs of true time. At the present rate the limit of 100 µs is reached in 1 h 1 min.", "Clients get stratum 1 with reference GPS.",
				[]Advice{{"no pulses", "look at the pulse"}}}},
		{"holdover with a forecast", Input{View: observe.View{Status: &report.Status{State: "holdover", Reason: "no_pulses", Usable: true, BoundNS: ptr(int64(1500)), LimitNS: &limit, LimitInS: ptr(3700.), Forecast: &report.ForecastDetails{LimitInS: ptr(7500.)}, Stratum: 1, RefID: "GPS", Remedy: "look at the pulse"}}},
			Summary{"warn", "holdover", "Holdover (no pulses), within 1.5 µs of true time. The limit of 100 µs is predicted in 2 h 5 min.", "Clients get stratum 1 with reference GPS.",
				[]Advice{{"no pulses", "look at the pulse"}}}},
		{"holdover that does not reach its limit", Input{View: observe.View{Status: &report.Status{State: "holdover", Reason: "no_pulses", Usable: true, BoundNS: ptr(int64(1500)), LimitNS: &limit, LimitInS: ptr(3700.), Forecast: &report.ForecastDetails{}, Stratum: 1, RefID: "GPS"}}},
			Summary{"warn", "holdover", "Holdover (no pulses), within 1.5 µs of true time.", "Clients get stratum 1 with reference GPS.", []Advice{}}},
		{"holdover beyond the limit", Input{View: observe.View{Status: &report.Status{State: "holdover", Reason: "no_pulses", BoundNS: ptr(int64(150_000)), LimitNS: &limit, Stratum: 16}}},
			Summary{"bad", "holdover", "Holdover (no pulses), within 150 µs of true time. That is beyond the limit of 100 µs.", "Clients see a server that is not synchronised (stratum 16).", []Advice{}}},
		{"unlocked", Input{View: observe.View{Status: &report.Status{State: "unlocked", Reason: "no_messages", StateForS: ptr(5.), Stratum: 16}}},
			Summary{"bad", "unlocked", "Unlocked for 5 s (no messages).", "Clients see a server that is not synchronised (stratum 16).", []Advice{}}},
		{"refclockd is dead", Input{View: observe.View{Status: &report.Status{State: "locked", Usable: true, AgeS: 60, Stratum: 1, RefID: "GPS"}}},
			Summary{"bad", "locked", "refclockd has published nothing for 1 min. It was locked.", "Clients get stratum 1 with reference GPS.",
				[]Advice{{"refclockd does not publish any more", "look at its log (journalctl -u refclockd), and restart it"}}}},
		{"an endpoint waits", Input{View: observe.View{Status: locked, Serving: &observe.Serving{Synchronised: true, Endpoints: append([]observe.ServingEndpoint{{Name: "b:123"}}, open...)}}, Rate: ptr(12.)},
			Summary{"warn", "locked", "Locked, there is no error bound.", "Clients get stratum 1 with reference GPS. ntsserve gets 12.0 requests a second.",
				[]Advice{{"ntsserve waits for the address b:123", "see the log of ntsserve (journalctl -u ntsserve)"}}}},
		{"ntsserve has ended", Input{View: observe.View{Status: locked, Serves: true}},
			Summary{"bad", "locked", "Locked, there is no error bound.", "ntsserve publishes nothing, so clients may get no answer.", []Advice{{"ntsserve publishes no counters", startServer}}}},
		{"ntsserve has ended, and there is no clock either", Input{View: observe.View{Status: &report.Status{State: "unlocked", Reason: "no_messages", Stratum: 16}, Serves: true}},
			Summary{"bad", "unlocked", "Unlocked (no messages).", "ntsserve publishes nothing, so clients may get no answer.", []Advice{{"ntsserve publishes no counters", startServer}}}},
		{"the only endpoint waits", Input{View: observe.View{Status: locked, Serving: &observe.Serving{Synchronised: true, Endpoints: []observe.ServingEndpoint{{Name: "a:123"}}}}},
			Summary{"bad", "locked", "Locked, there is no error bound.", "ntsserve has no open address, so clients get no answer.",
				[]Advice{{"ntsserve waits for all of its addresses", "see the log of ntsserve (journalctl -u ntsserve)"}, {}}}},
	} {
		got := Of(&c.in)
		if got.Level != c.want.Level || got.State != c.want.State || got.Clock != c.want.Clock || got.Clients != c.want.Clients || len(got.Todo) != len(c.want.Todo) || len(got.Todo) > 0 && got.Todo[0] != c.want.Todo[0] {
			t.Errorf("%s:\n%+v\nwant\n%+v", c.name, got, c.want)
		}
	}
	x := Summary{Level: "good"}
	if x.Add([]doctor.Finding{{Level: doctor.OK}, {Level: doctor.Warn, What: "a"}}); x.Level != "good" || len(x.Todo) != 1 {
		t.Errorf("a warning: %+v", x)
	}
	if x.Add([]doctor.Finding{{Level: doctor.Fail, Check: "snapshot"}, {Level: doctor.Fail, What: "b"}}); x.Level != "bad" || len(x.Todo) != 2 || !strings.Contains(x.Todo[1].What, "b") {
		t.Errorf("a failure: %+v", x)
	}
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]string{0: "0 s", 59.9: "59 s", 60: "1 min", 61: "1 min 1 s", 3600: "1 h", 3660: "1 h 1 min", 90061: "1 d 1 h"} {
		if got := Span(in); got != want {
			t.Errorf("Span(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{0: "0 ns", 999: "999 ns", 1500: "1.5 µs", 12345: "12.3 µs", 123456: "123 µs", 2 * time.Millisecond: "2 ms", 3 * time.Second: "3 s"} {
		if got := About(in); got != want {
			t.Errorf("About(%v) = %q, want %q", int64(in), got, want)
		}
	}
}
