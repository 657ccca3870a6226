package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Survey looks at a machine for what doctor does not judge: who uses what.
type Survey struct{ host *Host }

// NewSurvey returns a survey of a machine.
func NewSurvey(h *Host) *Survey { return &Survey{h} }

// Receiver listens to a serial port for d at the rate at which frames are valid,
// which it looks for first: up to twelve seconds. Nothing else may have the port
// open.
func (s *Survey) Receiver(ctx context.Context, port string, rates []int, d time.Duration) *MessageFacts {
	return s.host.messages(ctx, port, rates, d)
}

// PortUsers returns who uses a receiver's port, as the function PortUsers.
func (s *Survey) PortUsers(device string) (programs []string, console bool) {
	return portUsers(s.host, device)
}

// Listener returns the programs that listen on a port of proto, "udp" or "tcp". taken:
// somebody does, seen or not.
func (s *Survey) Listener(proto string, port int) (who []Process, taken bool) {
	o := s.host.openFiles()
	return s.host.listeners(&o, proto, port)
}

// Unit returns the systemd unit that a process belongs to, "" if it is unknown.
func (s *Survey) Unit(pid int) string {
	b, err := os.ReadFile(s.host.path("proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "" // it has ended
	}
	for line := range strings.Lines(string(b)) {
		group := path.Base(strings.TrimSpace(line))
		if strings.HasSuffix(group, ".service") || strings.HasSuffix(group, ".socket") {
			return group
		}
	}
	return ""
}

// Link reports the carrier of a network interface.
func (s *Survey) Link(ifname string) Carrier { return s.host.carrier(ifname) }

// Unseen returns the running programs of these names whose open files this user may not see.
func (s *Survey) Unseen(names ...string) (found []Process) {
	for _, p := range s.Processes(names...) {
		if _, err := os.ReadDir(s.host.path("proc", strconv.Itoa(p.PID), "fd")); errors.Is(err, fs.ErrPermission) {
			found = append(found, p)
		}
	}
	return found
}

// Processes returns the running programs of these names, as /proc shows them: at
// most 15 characters.
func (s *Survey) Processes(names ...string) (found []Process) {
	dirs, _ := filepath.Glob(s.host.path("proc/[0-9]*")) // none: nothing is known
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if name := processName(dir); err == nil && slices.Contains(names, name) {
			found = append(found, Process{pid, name})
		}
	}
	return found
}
