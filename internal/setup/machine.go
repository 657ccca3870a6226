package setup

import "time"

// Machine is what a machine has that matters to a time server. Its JSON keys are a
// contract.
type Machine struct {
	Name     string   `json:"name"`
	Names    []string `json:"names"` // and addresses, by which clients may know it
	Board    string   `json:"board"`
	Pi       bool     `json:"raspberry_pi"`
	Kernel   string   `json:"kernel"`
	IPv6     bool     `json:"ipv6"`
	Ports    []Port   `json:"ports"`
	Pulses   []Pulse  `json:"pulses"`
	Cards    []Card   `json:"cards"`
	Rivals   []Rival  `json:"rivals"`
	NTPUsers []string `json:"ntp_port_users"` // programs but ntsserve that listen on UDP 123
	Boot     Boot     `json:"boot"`
	Units    Units    `json:"units"`

	Refclockd bool     `json:"refclockd_uses_devices"` // it runs, whatever it has open now, or systemd will start it
	Unseen    []string `json:"unseen"`                 // programs that may use devices, which this user cannot see: nothing is opened
	Clock     string   `json:"configured_clock"`       // Source.ID of what refclockd serves by its configuration; empty: unknown
}

// Port is a serial port.
type Port struct {
	Device  string   `json:"device"` // the name that lasts, /dev/serial/by-id/... if there is one
	Node    string   `json:"node"`   // /dev/ttyACM0
	Driver  string   `json:"driver"`
	USB     bool     `json:"usb"`
	Users   []string `json:"users"`   // programs that use it
	Console bool     `json:"console"` // the kernel's console or a login prompt is one of them
	Heard   *Heard   `json:"heard"`   // nil: not listened to
}

// Heard is what came from a port.
type Heard struct {
	Error    string   `json:"error,omitempty"`
	Octets   int      `json:"octets"`
	Baud     int      `json:"baud"`               // at which frames were valid; 0: at none
	Receiver string   `json:"receiver,omitempty"` // model and firmware, as it reports them
	Messages []string `json:"messages"`
	Dated    bool     `json:"dated"` // it names the date
	Fix      bool     `json:"fix"`   // a time was valid
	Looks    string   `json:"looks_like,omitempty"`
	Earlier  bool     `json:"earlier,omitempty"` // refclockd uses the port; heard at the last setup

	Configured bool `json:"configured,omitempty"` // refclockd uses the port; not heard. A Baud of 0 is "auto"
}

// usable reports whether there is a receiver that names date and time.
func (h *Heard) usable() bool { return h != nil && (h.Configured || h.Baud > 0 && h.Dated) }

// Pulse is a PPS device of the kernel.
type Pulse struct {
	Device string `json:"device"`
	Name   string `json:"name"` // the source's, such as pps-gpio or serial0
	Unfit  string `json:"unfit,omitempty"`
	Count  *int   `json:"pulses_in_3s"` // nil: not listened to
	Error  string `json:"error,omitempty"`
}

// Card is a PTP hardware clock.
type Card struct {
	Device    string   `json:"device"`    // /dev/ptp0
	Interface string   `json:"interface"` // empty: none
	Name      string   `json:"name"`      // the driver's
	Driver    string   `json:"driver"`
	Channels  int      `json:"channels"`   // of external timestamps
	StampsAll bool     `json:"stamps_all"` // received packets, so also those of NTP
	Carrier   bool     `json:"carrier"`
	Users     []string `json:"users"`             // programs but refclockd that have it open
	Held      bool     `json:"held_by_refclockd"` // refclockd has it open
	Unfit     string   `json:"unfit,omitempty"`
	Quirk     string   `json:"quirk,omitempty"`
	Pins      []Pin    `json:"pins"`
}

// clockName is the name that lasts.
func (c *Card) clockName() string {
	if c.Interface != "" {
		return c.Interface
	}
	return c.Device
}

// Pin is an input for a pulse: a pin of a card, or a fixed input.
type Pin struct {
	Index   int    `json:"index"` // -1: the channel's input is fixed
	Name    string `json:"name"`
	Channel int    `json:"channel"`
	Use     string `json:"use"` // none, extts, perout or physync

	Stamps int           `json:"stamps_in_3s"`
	Both   bool          `json:"both_edges"` // the card stamps both
	Width  time.Duration `json:"width_ns"`   // how long the pulse is active, if both edges were stamped
	Heard  bool          `json:"heard"`      // it was listened to
	Error  string        `json:"error,omitempty"`

	Configured bool `json:"configured,omitempty"` // refclockd uses it; not listened to
}

// Rival is a unit of systemd that steers the system clock, or reads receivers.
type Rival struct {
	Unit    string `json:"unit"`
	Running bool   `json:"running"`
	Enabled bool   `json:"enabled"`
	Clock   bool   `json:"steers_clock"`
}

// Boot is what is configured for the next boot of a Raspberry Pi.
type Boot struct {
	Config  string `json:"config,omitempty"`  // path of config.txt; empty: none
	CmdLine string `json:"cmdline,omitempty"` // path of cmdline.txt

	config, cmdLine string // their texts
}

// Units are the installed units.
type Units struct {
	Refclockd string `json:"refclockd"` // path of the unit's file; empty: not installed
	Ntsserve  string `json:"ntsserve"`
	Web       string `json:"refclockweb"`

	ntsserve string // its text
}
