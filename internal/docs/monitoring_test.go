package docs

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

// monitoring is the folder of what other programs show and alert.
const monitoring = "configs/monitoring"

// promtool runs promtool in the folder of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(proctest.Require(t, "promtool"), args...)
	cmd.Dir = filepath.Join(root, filepath.FromSlash(monitoring))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRulesFireAndDoNotFire(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "noonmark.rules.yml")
	promtool(t, "test", "rules", "noonmark.rules.test.yml")
	rules, tests := read(t, monitoring+"/noonmark.rules.yml"), read(t, monitoring+"/noonmark.rules.test.yml")
	for line := range strings.Lines(rules) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- alert: "); ok && !strings.Contains(tests, name) {
			t.Errorf("no test of %s", name)
		}
	}
}

func TestDashboardOfGrafana(t *testing.T) {
	t.Parallel()
	var d struct {
		UID    string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, monitoring+"/grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || len(d.Panels) < 10 {
		t.Fatalf("uid %q, %d panels", d.UID, len(d.Panels))
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	rules := "groups:\n- name: dashboard\n  rules:\n"
	n := 0
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %d is there twice", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%s lies on %s, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, x := range p.Targets {
			n++
			expr, _ := json.Marshal(strings.NewReplacer("$job", ".*", "$instance", ".*").Replace(x.Expr))
			rules += fmt.Sprintf("  - record: panel:%d:value\n    expr: %s\n", n, expr)
		}
	}
	// Expressions are checked as rules.
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

func TestServicesOfAvahi(t *testing.T) {
	t.Parallel()
	var g struct {
		Services []struct {
			Type string `xml:"type"`
			Port int    `xml:"port"`
		} `xml:"service"`
	}
	if err := xml.Unmarshal([]byte(read(t, "configs/avahi/noonmark.service")), &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Services) != 2 || g.Services[0].Type != "_ntp._udp" || g.Services[0].Port != 123 || g.Services[1].Type != "_ntske._tcp" || g.Services[1].Port != 4460 {
		t.Errorf("%+v", g.Services)
	}
}
