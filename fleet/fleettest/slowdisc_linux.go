package fleettest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

// throttle is where the kernel takes limits of a disc, for processes of no group: the
// controller blkio of version 1.
const throttle = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"

// SlowDisc is a file system on a loop device, whose writes the kernel can limit. An fsync
// on it waits as on a worn card.
type SlowDisc struct {
	Dir    string
	device string // MAJOR:MINOR
}

// NewSlowDisc makes one until the test ends, or skips the test. What writes to it must end
// before.
func NewSlowDisc(t testing.TB) *SlowDisc {
	t.Helper()
	proctest.RequireRoot(t, "it mounts a loop device and limits its writes")
	if _, err := os.Stat(throttle); err != nil {
		t.Skip("the kernel limits no disc here, it needs the controller blkio of cgroup version 1: ", err)
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	Must(t, os.WriteFile(image, nil, 0o600))
	Must(t, os.Truncate(image, 512<<20)) // etcd reserves two logs of 64 MB
	command(t, "mkfs.ext4", "-q", "-F", image)
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { command(t, "losetup", "--detach", device) })
	number, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(device), "dev"))
	Must(t, err)
	d := &SlowDisc{Dir: filepath.Join(dir, "disc"), device: strings.TrimSpace(string(number))}
	Must(t, os.Mkdir(d.Dir, 0o700))
	command(t, "mount", device, d.Dir)
	t.Cleanup(func() { command(t, "umount", d.Dir) })
	t.Cleanup(func() { d.Limit(t, 0) })
	return d
}

// Limit lets so many octets a second be written; 0: all.
func (d *SlowDisc) Limit(t testing.TB, octets int) {
	t.Helper()
	Must(t, os.WriteFile(throttle, fmt.Appendf(nil, "%s %d", d.device, octets), 0o200))
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
