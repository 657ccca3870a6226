package laws

import (
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// waits are calls that open a path as it is: a named pipe in the place of a file keeps them
// waiting, a device floods the process. durable.ReadFile and durable.Open do not.
var waits = []string{"os.ReadFile", "os.Open", "os.OpenFile", "os.DirFS", "tls.LoadX509KeyPair", "unix.Open", "syscall.Open"}

// opens are the places of such calls, as "FILE FUNCTION", each with its reason. What an
// operator, a package or another program puts in place is none.
var opens = map[string]string{
	"internal/durable/durable.go SyncDir":      "opens a folder",
	"internal/durable/owner_unix.go openNow":   "is durable.Open, with O_NONBLOCK",
	"internal/durable/owner_unix.go openOwn":   "is durable.ReadOwned, with O_NONBLOCK",
	"internal/durable/owner_others.go openNow": "for systems without named pipes in folders",
	"internal/durable/owner_others.go openOwn": "for systems without named pipes in folders",

	"internal/daemon/memory.go MemoryLimit":                       "/proc and /sys",
	"internal/doctor/processes.go processName":                    "/proc",
	"internal/doctor/processes.go isConsole":                      "/proc",
	"internal/doctor/processes.go carrier":                        "/sys",
	"internal/doctor/processes.go listeners":                      "/proc",
	"internal/doctor/processes.go named":                          "/proc",
	"internal/doctor/survey.go Unit":                              "/proc",
	"internal/machine/machine.go Describe":                        "/proc",
	"internal/machine/machine.go Load":                            "/proc",
	"internal/machine/machine.go processor":                       "/proc",
	"internal/privileges/privileges_linux.go PortNeedsCapability": "/proc",
	"refclock/clock/rivals.go rivals":                             "/proc",
	"refclock/status/clockid_linux.go shiftOf":                    "/proc",
	"refclock/status/file.go bootID":                              "/proc",
	"server/transport/sockets/link_linux.go refresh":              "/sys",

	"phc/device_linux.go Open":                      "a device, with O_NONBLOCK",
	"refclock/pps/kernel_linux.go OpenKernel":       "a device, with O_NONBLOCK",
	"refclock/receiver/serial.go OpenSerial":        "a device, with O_NONBLOCK",
	"refclock/oscillator/thermometer.go readSensor": "with O_NONBLOCK, then regular and bounded; the reason of a failure is one of its own",
	"refclock/status/file_linux.go openReader":      "with O_NONBLOCK and O_NOFOLLOW, then regular",
	"refclock/status/file_linux.go openWriter":      "with O_NONBLOCK and O_NOFOLLOW, then regular",
	"refclock/status/file_others.go openReader":     "for systems without named pipes in folders",
	"refclock/status/file_others.go openWriter":     "for systems without named pipes in folders",

	"internal/setup/lock.go lock":               "for reading and writing, which waits for nobody",
	"internal/events/log.go open":               "for reading and writing, which waits for nobody; then regular",
	"internal/history/writer.go openAppend":     "for writing, after a look at what is there",
	"server/certs/issued.go RecordIssued":       "for writing, after a look at what is there",
	"refclock/recording/store.go create":        "makes the file, with O_EXCL",
	"refclock/recording/extract.go ExtractFile": "makes the file, with O_EXCL",

	"internal/command/console.go Open":       "an argument of refclockctl, which may be a pipe; the user can interrupt it",
	"internal/simulate/series.go ReadSeries": "an argument of refclockctl, which may be a pipe; the user can interrupt it",
	"internal/setup/setup.go Run":            "/proc, /sys and the boot partition of the machine that is set up; the user can interrupt it",
}

// developers are folders of programs and helpers that only developers and tests run.
var developers = []string{".ci", "lab", "packaging", "server/bench", "internal/appliance", "internal/campaign", "internal/demo", "internal/docs", "internal/proctest",
	"refclock/gnss/gnsstest", "refclock/sim", "fleet/fleettest", "fleet/site"}

// TestFilesOfOthersAreOpenedWithoutWaiting finds each place that opens a path as it is. Programs that
// only developers run may do so.
func TestFilesOfOthersAreOpenedWithoutWaiting(t *testing.T) {
	used := map[string]bool{}
	for _, s := range append(tree(t), below(t, filepath.Join(root, "fleet"))...) {
		if s.test || slices.ContainsFunc(developers, func(d string) bool { return s.dir == d || strings.HasPrefix(s.dir, d+"/") }) {
			continue
		}
		for _, d := range s.file.Decls {
			name := ""
			if f, ok := d.(*ast.FuncDecl); ok {
				name = f.Name.Name
			}
			place := s.path + " " + name
			ast.Inspect(d, func(n ast.Node) bool {
				x, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				p, ok := x.X.(*ast.Ident)
				if !ok || !slices.Contains(waits, p.Name+"."+x.Sel.Name) {
					return true
				}
				used[place] = true
				if opens[place] == "" {
					t.Errorf("%s: %s opens whatever is there, and may wait for ever; want durable.ReadFile or durable.Open, or a reason in opens for %q",
						s.at(x.Pos()), p.Name+"."+x.Sel.Name, place)
				}
				return true
			})
		}
	}
	for place := range opens {
		if !used[place] {
			t.Errorf("%s opens nothing as it is any more; remove its reason", place)
		}
	}
}
