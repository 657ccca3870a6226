package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
)

// A reload names what came into force and what needs a restart, and refuses a file
// with an error as a whole.
func TestReloadNamesTheChangedKeys(t *testing.T) {
	t.Parallel()
	dir := proctest.ShortDir(t)
	conf := write(t, virtual(dir))
	d := proctest.StartCmd(t, proctest.Self(t, "-config", conf))
	out := d.WaitFor(t, "msg=ready")
	for _, c := range []struct {
		more      string
		want, not []string
	}{
		{"[discipline]\nholdover_limit = \"5\"\n[oscillator]\nsensor = \"x\"\n", []string{"reload failed", conf + ":8: discipline.holdover_limit: ", conf + ":10: oscillator.sensor: is not known"}, []string{"changed settings"}},
		{"[log]\nlevel = \"debug\"\n[ntp]\nrefid = \"TEST\"\n", []string{`in force" keys=log.level`, `restart, the old ones stay in force" keys=ntp.refid`}, []string{"reload failed"}},
		{"[log]\nlevel = \"debug\"\n[ntp]\nrefid = \"TEST\"\n", []string{`restart, the old ones stay in force" keys=ntp.refid`}, []string{"keys=log.level", "reload failed"}},
		{"", []string{`in force" keys=log.level`}, []string{"need a restart", "reload failed"}},
	} {
		if err := os.WriteFile(conf, []byte(virtual(dir)+c.more), 0o600); err != nil {
			t.Fatal(err)
		}
		seen := len(out)
		d.Signal(t, syscall.SIGHUP)
		for _, w := range append(c.want, "reload") {
			out = d.WaitForAfter(t, seen, w)
		}
		for _, n := range c.not {
			if strings.Contains(out[seen:], n) {
				t.Errorf("%q: the log has %q:\n%s", c.more, n, out[seen:])
			}
		}
	}
}
