package server

import (
	"errors"
	"net/netip"
	"syscall"

	"noonmark/server/network"
	"noonmark/server/transport/sockets"
)

// Lack is what an endpoint lacks. Its String is the metric's label.
type Lack uint8

// What an endpoint can lack. With NoAddress, LinkDown, NoCarrier and NoStamps it is
// open, and serves when the lack ends, or serves with less.
const (
	Nothing      Lack = iota // it serves
	NoInterface              // its interface does not exist
	LinkDown                 // its interface is switched off
	NoCarrier                // its interface has no carrier
	NoAddress                // its address is on no interface of this machine
	AddressInUse             // another program uses its address and port
	NoFamily                 // IPv6 (or IPv4) is off on this machine
	NotPermitted             // a privilege is missing, or its unit forbids the port
	NoStamps                 // hardware timestamps are demanded, and no card has them
	Failed                   // the system refuses its socket for another reason
	numLacks
)

var lackText = [numLacks]string{
	Nothing: "serving", NoInterface: "no_interface", LinkDown: "link_down", NoCarrier: "no_carrier", NoAddress: "no_address",
	AddressInUse: "address_in_use", NoFamily: "no_family", NotPermitted: "not_permitted", NoStamps: "no_hardware_timestamps", Failed: "failed",
}

// String returns the word for what is lacking.
func (l Lack) String() string {
	if int(l) < len(lackText) {
		return lackText[l]
	}
	return "unknown"
}

// errRemade is why the sockets of an endpoint are opened again.
var errRemade = errors.New("its interface was removed, renamed or made anew")

// lackOf returns what an error of opening an endpoint is about.
func lackOf(err error) Lack {
	switch {
	case err == nil:
		return Nothing
	case errors.Is(err, sockets.ErrNoHardware):
		return NoStamps
	case errors.Is(err, syscall.ENODEV), errors.Is(err, sockets.ErrNoZone), errors.Is(err, errRemade):
		return NoInterface
	case errors.Is(err, syscall.EADDRINUSE):
		return AddressInUse
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return NoAddress
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return NoFamily
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return NotPermitted
	}
	return Failed
}

// outside is what an open endpoint depends on.
type outside struct {
	bound     int    // index of the only interface that it receives from; 0: all
	name      string // of that interface, as configured; empty: by its index alone
	addr      netip.Addr
	addressed bool  // the machine has the address
	stamps    error // why demanded hardware timestamps are missing
}

// judge compares an open endpoint with the network: what it lacks, why, and whether
// its sockets must be opened again.
func (o outside) judge(links network.Links) (lack Lack, why error, again bool) {
	at, ok := links.Indexed(o.bound)
	switch {
	case o.bound != 0 && (!ok || o.name != "" && at.Name != o.name):
		return NoInterface, errRemade, true
	case o.bound != 0 && !at.Up:
		return LinkDown, errors.New("its interface " + at.Name + " is switched off: ip link set " + at.Name + " up"), false
	case o.bound != 0 && !at.Carrier:
		return NoCarrier, errors.New("its interface " + at.Name + " has no carrier: check cable and switch"), false
	case !o.addressed:
		return NoAddress, errors.New("no interface of this machine has the address " + o.addr.String() + "; it is served when it comes"), false
	case o.stamps != nil:
		return NoStamps, o.stamps, false
	}
	return Nothing, nil, false
}
