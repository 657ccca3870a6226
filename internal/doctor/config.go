package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"noonmark/internal/exitcode"
	"noonmark/refclock/status"
)

// refConfig is what doctor asks of refclockd.toml. Whether the file is right in
// all else, the daemon itself is asked with -check.
type refConfig struct {
	RuntimeDir string `toml:"runtime_dir"`
	Receiver   struct {
		Device string `toml:"device"`
		Baud   any    `toml:"baud"` // a number, or "auto"
	} `toml:"receiver"`
	Pulse struct {
		Source  string `toml:"source"`
		Device  string `toml:"device"`
		Edge    string `toml:"edge"`
		Pin     int    `toml:"pin"`
		Channel int    `toml:"channel"`
		Width   string `toml:"width"`
	} `toml:"pulse"`
	Clock struct {
		Source string `toml:"source"`
		Device string `toml:"device"`
	} `toml:"clock"`
	Leap struct {
		File string `toml:"file"`
		Zone string `toml:"zone"`
	} `toml:"leap"`
	SystemClock struct {
		Mode string `toml:"mode"`
	} `toml:"system_clock"`
	PHC []struct {
		Device string `toml:"device"`
	} `toml:"phc"`
}

// baud returns the receiver's rate, 0 where it is to be found.
func (c *refConfig) baud() int {
	n, _ := c.Receiver.Baud.(int64)
	return int(n)
}

// steersSystem reports whether refclockd is to steer the system clock.
func (c *refConfig) steersSystem() bool {
	return c.Clock.Source == "system" || c.SystemClock.Mode == "discipline"
}

func (c *refConfig) width() time.Duration {
	d, _ := time.ParseDuration(c.Pulse.Width) // the daemon's -check complains
	return d
}

func defaultRef() (c refConfig) {
	c.RuntimeDir = filepath.Dir(status.DefaultPath)
	c.Receiver.Device, c.Receiver.Baud = "/dev/ttyAMA0", int64(9600)
	c.Pulse.Source, c.Pulse.Device, c.Pulse.Edge = "kernel", "/dev/pps0", "rising"
	c.Clock.Source, c.Clock.Device = "phc", "eth0"
	c.Leap.File = "/usr/share/zoneinfo/leap-seconds.list"
	c.Leap.Zone = "/usr/share/zoneinfo/right/UTC"
	return c
}

// srvConfig is what doctor asks of ntsserve.toml.
type srvConfig struct {
	Endpoint []struct {
		Address   string `toml:"address"`
		Interface string `toml:"interface"`
	} `toml:"endpoint"`
	KE struct {
		Listen      string `toml:"listen"`
		Certificate string `toml:"certificate"`
		Key         string `toml:"key"`
	} `toml:"ke"`
	Certificate []struct {
		File string `toml:"file"`
		Key  string `toml:"key"`
	} `toml:"certificate"`
	ACME *struct {
		Names []string `toml:"names"`
	} `toml:"acme"`
	Keys struct {
		File string `toml:"file"`
	} `toml:"keys"`
}

// pairs returns the certificate and key files.
func (c *srvConfig) pairs() (p [][2]string) {
	if c.KE.Certificate != "" || c.KE.Key != "" {
		p = append(p, [2]string{c.KE.Certificate, c.KE.Key})
	}
	for _, x := range c.Certificate {
		p = append(p, [2]string{x.File, x.Key})
	}
	return p
}

func (c *srvConfig) nts() bool { return len(c.pairs()) > 0 || c.ACME != nil || c.Keys.File != "" }

// readConfig reads a daemon's file into dst and has the daemon itself check it
// where its program is at hand. named: the user gave the path.
func readConfig(check, daemon, path string, named bool, dst any) (usable bool, f Finding) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return false, warn(check, "install an example of configs/ as this file, or name another with an option (-h shows them)", "%s is missing; %s has not been set up", path, daemon)
	case errors.Is(err, fs.ErrPermission):
		return false, bad(check, "run doctor as root, or let this user read the file", "%v", err).as(exitcode.Permission)
	case err != nil:
		return false, bad(check, "name a readable file", "%v", err).as(exitcode.Config)
	}
	if err := toml.Unmarshal(b, dst); err != nil {
		return false, bad(check, fmt.Sprintf("%s -check -config %s tells the line", daemon, path), "%s cannot be read: %v", path, err).as(exitcode.Config)
	}
	prog, err := sibling(daemon)
	if err != nil {
		return true, good(check, "%s is readable (%s is not at hand to check it)", path, daemon)
	}
	out, err := exec.Command(prog, "-check", "-config", path).CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err != nil {
		return true, bad(check, "correct the file; "+daemon+" -check tells when it is right", "%s", said).as(exitcode.Config)
	}
	if w := warnings(said); w != "" {
		return true, warn(check, "see configs/"+daemon+".toml", "%s: %s", path, w)
	}
	return true, good(check, "%s is right", path)
}

// warnings gathers what -check only warns of.
func warnings(said string) string {
	var w []string
	for _, l := range strings.Split(said, "\n") {
		if s, ok := strings.CutPrefix(l, "warning: "); ok {
			w = append(w, s)
		}
	}
	return strings.Join(w, "; ")
}

// sibling finds another program of the project: beside this one, or in the PATH.
func sibling(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		for _, dir := range []string{filepath.Dir(self), filepath.Join(filepath.Dir(self), "../sbin")} {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return p, nil
			}
		}
	}
	return exec.LookPath(name)
}
