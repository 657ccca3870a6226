package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	receiverport "noonmark/refclock/receiver"
	"noonmark/refclock/status"
)

// doctor looks at one machine.
type doctor struct {
	host
	user   string // refclockd's
	listen time.Duration

	who     account
	open    open
	running bool // refclockd publishes
	index   int  // of the PTP clock, -1 none
	found   []Finding
}

func (d *doctor) add(f ...Finding) { d.found = append(d.found, f...) }

// addIf adds a finding there is.
func (d *doctor) addIf(f Finding, ok bool) {
	if ok {
		d.add(f)
	}
}

// examine looks at everything, in the order in which one thing needs another.
func (d *doctor) examine(ctx context.Context, ref string, refNamed bool, srv string, srvNamed bool) []Finding {
	d.who, d.open, d.index = whoami(d.user), d.descriptors(), -1
	c := defaultRef()
	usable, f := readConfig("config", "refclockd", ref, refNamed, &c)
	d.add(f)
	if !usable && refNamed {
		return d.found
	}
	snap := d.snapshot(filepath.Join(c.RuntimeDir, "status"))
	if c.Clock.Source == "phc" {
		d.clock(&c)
	}
	for _, p := range c.PHC {
		d.follower(p.Device)
	}
	d.inputs(ctx, &c, snap)
	t, err := d.kernel()
	d.add(systemFindings(c.steersSystem(), d.rivals(), t, err)...)
	d.add(leapFinding(c.Leap.File, c.Leap.Zone, d.now()))

	var s srvConfig
	usable, f = readConfig("config", "ntsserve", srv, srvNamed, &s)
	d.add(f)
	if usable {
		d.server(&c, &s)
	}
	return d.found
}

// snapshot looks at what refclockd publishes and returns its reader while it
// runs.
func (d *doctor) snapshot(path string) *status.Reader {
	r, err := status.Open(path)
	var s status.Snapshot
	if err == nil {
		err = r.LoadAll(&s)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, status.ErrNone), errors.Is(err, status.ErrOldBoot):
		d.add(warn("snapshot", "systemctl start refclockd; journalctl -u refclockd tells why it ended", "refclockd is not running: %v", err))
		return nil
	case err != nil:
		f := bad("snapshot", "let this user read the file and its directory", "%v", err)
		if errors.Is(err, fs.ErrPermission) {
			f = f.as(exitcode.Permission)
		}
		d.add(f)
		return nil
	}
	_, err = os.Stat(filepath.Join(d.proc, strconv.Itoa(int(s.PID))))
	now := d.mono()
	d.add(snapshotFindings(&s, now, err == nil)...)
	if d.running = now-s.Mono < int64(fresh) && err == nil; !d.running {
		r.Close()
		return nil
	}
	return r
}

// clock looks at the PTP clock.
func (d *doctor) clock(c *refConfig) {
	k, err := phc.Open(c.Clock.Device)
	if err != nil {
		f := bad("clock", "name the card's interface or clock as clock.device; ls /sys/class/ptp shows the clocks", "%v", err)
		switch {
		case errors.Is(err, phc.ErrNoClock):
			f.Mend = `this card cannot be steered: use one with a clock (i210, i226), or set clock.source = "system"`
		case errors.Is(err, fs.ErrPermission):
			f = f.as(exitcode.Permission)
		}
		d.add(f)
		return
	}
	defer k.Close()
	d.index = k.Index()
	if f, ok := device("clock", k.Path(), d.who, "", "install systemd/60-noonmark.rules, then udevadm trigger; or run refclockd as a user of the device's group"); !ok {
		d.add(f)
	}
	f, _ := d.open.held("clock", k.Path(), "two programs that steer one clock swing it about: stop ptp4l -s, phc2sys or ts2phc on it (one that only reads does no harm)", true)
	d.add(f)
	facts := clockFacts{path: k.Path(), caps: k.Caps(), running: d.running}
	if facts.pins, err = k.Pins(); err != nil {
		d.add(warn("pin", "", "%v", err))
	}
	x, err := k.Cross()
	if err != nil {
		d.add(bad("clock", "does the driver have its hardware? see dmesg", "%v", err))
		return
	}
	facts.method, facts.width = k.CrossMethod(), x.Width
	d.add(clockFindings(c, facts)...)
	name := c.Clock.Device
	if strings.Contains(name, "/") {
		name = d.interfaceOf(d.index)
	}
	d.addIf(d.carrier(name))
}

// follower looks at a further PTP clock that is to follow.
func (d *doctor) follower(name string) {
	k, err := phc.Open(name)
	if err != nil {
		d.add(bad("phc", "name an interface or a clock under [[phc]]; ls /sys/class/ptp shows the clocks", "%v", err))
		return
	}
	defer k.Close()
	f, ok := device("phc", k.Path(), d.who, "", "install systemd/60-noonmark.rules, then udevadm trigger")
	if d.add(f); ok {
		f, _ := d.open.held("phc", k.Path(), "stop ptp4l -s, phc2sys or ts2phc on it: refclockd makes it follow", true)
		d.add(f)
	}
}

// inputs looks at pulse and receiver, and listens.
func (d *doctor) inputs(ctx context.Context, c *refConfig, snap *status.Reader) {
	if c.Clock.Source == "sim" {
		d.add(good("devices", "the appliance is a virtual one: no devices to look at"))
		return
	}
	const dialout = "add refclockd's user to the group that owns the port (dialout), or install systemd/60-noonmark.rules"
	pulse, port := c.Pulse.Source == "extts" && d.index >= 0, false
	if c.Pulse.Source == "kernel" {
		f, ok := device("pulse", c.Pulse.Device, d.who,
			"load the driver: dtoverlay=pps-gpio,gpiopin=18 on a Raspberry Pi, or pps-ldisc for a serial port's DCD (ldattach 18 /dev/ttyS0)",
			"install systemd/60-noonmark.rules, then udevadm trigger")
		d.add(f)
		if pulse = ok; ok {
			f, _ := d.open.held("pulse", c.Pulse.Device, "readers of kernel pulses do not disturb each other, but chronyd or ntpd may be steering by it", true)
			d.add(f)
		}
	}
	f, ok := device("receiver", c.Receiver.Device, d.who, "is the receiver connected, its overlay or driver loaded? ls -l /dev/serial/by-id shows those on USB", dialout)
	d.add(f)
	if ok {
		f, free := d.open.held("receiver", c.Receiver.Device, "stop it (gpsd: systemctl disable --now gpsd.socket gpsd; a login: systemctl disable --now serial-getty@...): two readers share the messages between them", false)
		d.add(f)
		port = free
		d.addIf(d.console(c.Receiver.Device))
	}
	if snap != nil {
		defer snap.Close()
		d.progress(ctx, c, snap)
		return
	}
	var h heard
	var s spoken
	var serr error
	done := make(chan struct{})
	if pulse {
		go func() { defer close(done); h = d.pulses(ctx, c) }()
	} else {
		close(done)
	}
	baud := c.baud()
	opener := func(baud int) (io.ReadCloser, error) { return receiverport.OpenSerial(c.Receiver.Device, baud) }
	if port {
		if baud == 0 {
			baud = findRate(ctx, opener, d.mono, 0)
		}
		if baud == 0 { // none: what is heard at any will tell
			baud = receiverport.Rates()[0]
		}
		s, serr = d.receive(ctx, opener, baud)
	}
	<-done
	if pulse {
		d.add(pulseFindings(h, d.listen)...)
	}
	switch {
	case !port:
		return
	case serr != nil:
		f := bad("receiver", "", "%v", serr)
		if errors.Is(serr, fs.ErrPermission) {
			f = f.as(exitcode.Permission)
		}
		d.add(f)
		return
	}
	rate := 0
	if s.bytes > 0 && !s.framed() && c.baud() != 0 {
		rate = findRate(ctx, opener, d.mono, baud)
	}
	d.add(messageFindings(s, baud, rate, d.listen)...)
	d.addIf(latencyFinding(h.edges, s.firsts))
}

// progress compares two snapshots of a running refclockd.
func (d *doctor) progress(ctx context.Context, c *refConfig, r *status.Reader) {
	var a, b status.Snapshot
	err := r.LoadAll(&a)
	if err == nil {
		t := time.NewTimer(d.listen)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err = r.LoadAll(&b)
	}
	if err != nil {
		d.add(bad("snapshot", "", "%v", err))
		return
	}
	d.add(progressFindings(&a, &b, d.listen, c.Pulse.Source != "none")...)
}

// pulses listens to the pulse itself.
func (d *doctor) pulses(ctx context.Context, c *refConfig) heard {
	if c.Pulse.Source == "kernel" {
		var edge pps.KernelEdge
		if err := edge.UnmarshalText([]byte(c.Pulse.Edge)); err != nil {
			return heard{err: err}
		}
		k, err := pps.OpenKernel(c.Pulse.Device, pps.KernelOptions{Edge: edge})
		if err != nil {
			return heard{err: err}
		}
		defer k.Close()
		sys, err := phc.OpenSystem(func(real int64) int { return tai.Builtin().OffsetUTC(real / 1e9) })
		if err != nil {
			return heard{err: err}
		}
		return listenPulses(ctx, k, edgeTime(sys.Cross), d.listen)
	}
	dev, err := phc.Open(c.Clock.Device)
	if err != nil {
		return heard{err: err}
	}
	defer dev.Close()
	edge := phc.Rising
	if c.Pulse.Edge == "falling" || c.Pulse.Edge == "clear" {
		edge = phc.Falling
	}
	x, err := pps.NewExtTS(dev, pps.ExtTSOptions{Channel: c.Pulse.Channel, Pin: c.Pulse.Pin, Edge: edge, Width: c.width()})
	if err != nil {
		return heard{err: err}
	}
	defer x.Close()
	h := listenPulses(ctx, x, edgeTime(dev.Cross), d.listen)
	g := x.Grant()
	h.note = fmt.Sprintf(" (the driver stamps %v, version %d)", g.Edges, g.Version)
	return h
}

// receive listens to the port.
func (d *doctor) receive(ctx context.Context, opener func(int) (io.ReadCloser, error), baud int) (spoken, error) {
	p, err := opener(baud)
	if err != nil {
		return spoken{}, err
	}
	defer p.Close()
	return listenPort(ctx, p, d.mono, d.listen)
}

// server looks at what ntsserve needs.
func (d *doctor) server(c *refConfig, s *srvConfig) {
	seen := map[string]bool{}
	names := []string{d.interfaceOf(d.index)}
	if c.Clock.Source == "phc" && !strings.Contains(c.Clock.Device, "/") {
		names[0] = c.Clock.Device
	}
	for _, e := range s.Endpoint {
		names = append(names, e.Interface)
	}
	for _, n := range names {
		if n == "" || seen[n] {
			continue
		}
		seen[n] = true
		st, err := stampsOf(n)
		if err != nil {
			d.add(warn("stamps", "ethtool -T "+n+" tells more", "%s: what it can stamp cannot be asked: %v", n, err))
			continue
		}
		d.add(stampFindings(st, d.index)...)
	}
	for _, p := range s.pairs() {
		d.add(certFindings(p[0], p[1], d.names(), d.now())...)
	}
	if s.nts() {
		file := s.Keys.File
		if file == "" {
			file = "/var/lib/ntsserve/keys"
		}
		d.add(keysFinding(file))
	}
	who, taken := d.listener(d.open, "udp", 123)
	d.add(portFindings("udp", 123, who, taken))
	if len(s.pairs()) > 0 || s.ACME != nil {
		who, taken := d.listener(d.open, "tcp", 4460)
		d.add(portFindings("tcp", 4460, who, taken))
	}
	d.add(d.firewall(s.nts())...)
}
