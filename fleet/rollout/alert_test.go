package rollout

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/fleetview"
	"noonmark/internal/proctest"
)

// TestConditionsOfAlertsReachTheirProcess: a real refclockctl alert, whose own file the agent
// never reads, says what it takes. What switches an alert off is refused before it is written.
func TestConditionsOfAlertsReachTheirProcess(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	a := s.nodes[0]
	dir := filepath.Join(a.dir, "cache")
	must(t, os.Mkdir(dir, 0o755))
	f := File{Program: Alert, Path: filepath.Join(dir, fleetview.AlertFragment), Fragment: true, Published: filepath.Join(a.dir, fleetview.AlertName)}
	a.keeper.cfg.Files = []File{a.files[0], f}
	s.round()
	if got := fmt.Sprint(a.last.Report.Managed); got != "[ntsserve]" {
		t.Errorf("kept, although the process does not run: %s", got)
	}
	own := proctest.Write(t, filepath.Join(a.dir, "own.toml"), fmt.Sprintf("fleet = %q\nruntime_dir = %q\nstate = %q\ndiscs = []\n[conditions]\nholdover = \"3m\"\n[[alert]]\nname = \"x\"\ntype = \"command\"\ncommand = [\"/bin/true\"]\n",
		f.Path, a.dir, filepath.Join(a.dir, "state.json")))
	cmd := exec.Command(s.programs[Alert], "alert", "-config", own)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+a.dir)
	p := proctest.StartCmd(t, cmd)
	proctest.Until(t, "the process says what it takes", func() bool { _, err := f.Settings(); return err == nil }, p)
	s.round()
	if got := fmt.Sprint(a.last.Report.Managed); got != "[ntsserve alert]" {
		t.Errorf("kept: %s", got)
	}

	s.apply("[alert.conditions]\nnot_locked = \"30s\"\nholdover = \"1m\"\n", quick)
	s.during(5 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Done {
		t.Fatalf("rollout %+v", st.Rollout)
	}
	proctest.Until(t, "it has them in force", func() bool {
		text, err := os.ReadFile(f.Path)
		of, err2 := f.Settings()
		return err == nil && err2 == nil && of.Fleet.Content == config.FragmentContent(string(text)) && strings.Contains(string(text), "30s")
	}, p)
	s.round()
	if got := sprint(a.last.Report.Overrides); !strings.Contains(got, "{alert conditions.holdover local}") {
		t.Errorf("overrides %s", got)
	}

	s.apply("[alert.conditions]\nnot_locked = \"0s\"\n", quick)
	s.during(3 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "alert would refuse the file") || !strings.Contains(st.Rollout.Why, "switches the condition off") {
		t.Errorf("rollout %+v", st.Rollout)
	}
	p.Kill()
	must(t, os.Chtimes(f.Published, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
	if _, err := f.Settings(); err == nil {
		t.Error("a process that is gone still takes what the fleet sets")
	}
}
