package alert

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/config"
	"noonmark/internal/daemon"
	"noonmark/internal/fleetview"
	"noonmark/internal/proctest"
	"noonmark/refclock/report"
)

// TestTheFilesOfAFleetChangeConditionsOnly: the real process takes conditions over without a
// restart, and reports by them. It refuses a target, and says so; the conditions of its own file
// count then.
func TestTheFilesOfAFleetChangeConditionsOnly(t *testing.T) {
	t.Parallel()
	ctl, dir := proctest.Program(t, "refclockctl"), proctest.ShortDir(t)
	fired := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n Notice
		if json.NewDecoder(r.Body).Decode(&n) == nil {
			fired <- n.Status + " " + n.Condition
		}
	}))
	defer srv.Close()
	path := filepath.Join(dir, "fleet.toml")
	conf := proctest.Write(t, filepath.Join(dir, "a.toml"), fmt.Sprintf(
		"fleet = %q\nruntime_dir = %q\nstate = %q\nhost = \"clock1\"\ndiscs = []\n[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n", path, dir, filepath.Join(dir, "state.json"), srv.URL))
	cmd := exec.Command(ctl, "alert", "-config", conf)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+dir)
	p := proctest.StartCmd(t, cmd)
	until := func(what string, ok func(d report.FragmentDetail) bool) {
		t.Helper()
		proctest.UntilState(t, what, func() (bool, string) {
			var d report.FragmentDetail
			b, err := os.ReadFile(filepath.Join(dir, fleetview.AlertName))
			if err == nil {
				err = json.Unmarshal(b, &d)
			}
			return err == nil && ok(d), fmt.Sprint(d, err)
		}, p)
	}
	waits := func() string {
		r, err := daemon.ReadReport(filepath.Join(dir, daemon.StateFileName))
		if err != nil {
			return err.Error()
		}
		for _, x := range r.Tasks {
			if x.Task == "fleet" {
				return x.State + " " + x.Why
			}
		}
		return ""
	}
	until("no file yet", func(d report.FragmentDetail) bool { return d.Path == path && d.Content == "" && d.Refused == "" })

	victim := filepath.Join(dir, "victim")
	proctest.Write(t, path, fmt.Sprintf("[[alert]]\nname = \"x\"\ntype = \"command\"\ncommand = [\"/bin/touch\", %q]\n[conditions]\nnot_locked = \"1s\"\n", victim))
	until("a target is refused", func(d report.FragmentDetail) bool {
		return strings.Contains(d.Refused, "alert: is not known") && d.Refusals == 1 && strings.HasPrefix(waits(), "waiting ")
	})

	const good = "[conditions]\nnot_locked = \"1s\"\n"
	proctest.Write(t, path, good)
	until("good conditions are in force", func(d report.FragmentDetail) bool {
		return d.Refused == "" && d.Content == config.FragmentContent(good) && strings.HasPrefix(waits(), "serving")
	})
	// Nothing publishes in dir. By the operator's file that is reported after two minutes.
	if got := <-fired; got != "firing not_locked" {
		t.Errorf("the first notice is %s", got)
	}
	if _, err := os.Stat(victim); err == nil {
		t.Error("a command of the fleet was run")
	}
}
