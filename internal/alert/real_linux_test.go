package alert

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// refclockctl alert beside a refclockd that is killed and started again.
func TestARealDaemonThatIsKilled(t *testing.T) {
	t.Parallel()
	refclockd, ctl := proctest.Program(t, "refclockd"), proctest.Program(t, "refclockctl")
	dir := proctest.ShortDir(t)
	var mu sync.Mutex
	var got []Notice
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n Notice
		if json.NewDecoder(r.Body).Decode(&n) == nil {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n)
		}
	}))
	defer srv.Close()
	arrived := func(status, condition string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(got, func(n Notice) bool { return n.Status == status && n.Condition == condition })
		}
	}
	daemon := proctest.Write(t, filepath.Join(dir, "r.toml"), fmt.Sprintf("runtime_dir = %q\nstate_dir = %q\n[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n", dir, dir))
	conf := proctest.Write(t, filepath.Join(dir, "a.toml"), fmt.Sprintf(
		"runtime_dir = %q\nstate = %q\nhost = \"clock1\"\ndiscs = []\n[conditions]\nnot_locked = \"1s\"\nclear = \"1s\"\n[[alert]]\nname = \"w\"\ntype = \"webhook\"\nurl = %q\n", dir, filepath.Join(dir, "state.json"), srv.URL))
	if out, errs, code := proctest.Run(t, ctl, "alert", "-config", conf, "-test"); code != 0 || out != "w: delivered\n" || !arrived(Test, Test)() {
		t.Fatalf("-test ends with %d: %s%s", code, out, errs)
	}
	proctest.Start(t, ctl, "alert", "-config", conf)
	proctest.Until(t, "it is reported that nothing runs", arrived(Firing, "not_locked"))
	d := proctest.Start(t, refclockd, "-config", daemon)
	proctest.Until(t, "the lock ends the alert", arrived(Resolved, "not_locked"), d)
	d.Kill()
	mu.Lock()
	first := got
	got = nil
	mu.Unlock()
	proctest.Until(t, "it is reported that refclockd has stopped", arrived(Firing, "not_locked"))
	proctest.Start(t, refclockd, "-config", daemon)
	proctest.Until(t, "the lock ends the alert again", arrived(Resolved, "not_locked"))
	proctest.Until(t, "the restart is reported", arrived(Firing, "restarted"))
	mu.Lock()
	defer mu.Unlock()
	for _, n := range append(first, got...) {
		t.Logf("%s: %s; %s", n.Title(), n.Summary, n.Remedy)
		if n.Host != "clock1" || n.Status == Firing && n.Remedy == "" {
			t.Errorf("%+v", n)
		}
	}
}
