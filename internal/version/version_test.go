package version

import (
	"regexp"
	"runtime/debug"
	"testing"
)

func TestTextNamesProgramVersionAndBuild(t *testing.T) {
	t.Parallel()
	if got := Text("refclockd"); !regexp.MustCompile(`^refclockd \d+\.\d+\.\d+ \(.+, go\d+\.\d+.*\)$`).MatchString(got) {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, "revision unknown, go1.26.0"},
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}, "0123456789ab, go1.26.0"},
		{[]debug.BuildSetting{{Key: "vcs.revision", Value: "0123"}, {Key: "vcs.modified", Value: "true"}}, "0123 modified, go1.26.0"},
	} {
		if got := build(&debug.BuildInfo{GoVersion: "go1.26.0", Settings: c.settings}, true); got != c.want {
			t.Errorf("%v: %q, want %q", c.settings, got, c.want)
		}
	}
	if got := build(nil, false); got != "build unknown" {
		t.Errorf("without build information: %q", got)
	}
}
