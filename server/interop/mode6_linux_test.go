package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// association is one of ntpd's peers, from its control messages.
type association struct {
	id     uint16
	status uint16            // RFC 9327, section 3.2
	vars   map[string]string // srcadr, stratum, refid, reach, offset, ...
}

// Bits of the peer status word.
const (
	statusAuthEnabled = 0x4000
	statusAuthentic   = 0x2000
	statusReachable   = 0x1000
	statusSelection   = 0x0700
	selectedSystem    = 0x0600 // the system peer
)

func (a association) String() string {
	return fmt.Sprintf("association %d, status %04x: srcadr %s, stratum %s, refid %s, reach %s, delay %s, offset %s",
		a.id, a.status, a.vars["srcadr"], a.vars["stratum"], a.vars["refid"], a.vars["reach"], a.vars["delay"], a.vars["offset"])
}

// controlAddr is the source of control messages: ntpd answers them only for addresses
// with a restrict line of their own, and limits the rate by address.
const controlAddr = addrVersion3

// control sends ntpd at addr a control message (RFC 9327; opcode 1 reads status, 2
// variables) and returns the data of all fragments. It replaces ntpq, which is not
// available in every version.
func control(addr string, opcode byte, assoc uint16, names string) (string, error) {
	d := net.Dialer{Timeout: time.Second, LocalAddr: &net.UDPAddr{IP: net.ParseIP(controlAddr)}}
	c, err := d.Dial("udp", addr+":123")
	if err != nil {
		return "", err
	}
	defer c.Close()
	req := make([]byte, 12, 512)
	req[0], req[1], req[3] = 2<<3|6, opcode, 1
	binary.BigEndian.PutUint16(req[6:], assoc)
	binary.BigEndian.PutUint16(req[10:], uint16(len(names)))
	req = append(req, names...)
	for len(req)%4 != 0 {
		req = append(req, 0)
	}
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(req); err != nil {
		return "", err
	}
	var data []byte
	for end, got := -1, 0; end < 0 || got < end; {
		var b [1024]byte
		n, err := c.Read(b[:])
		if err != nil {
			return "", err
		}
		off, count := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
		if n < 12 || b[1]&0x9f != 0x80|opcode || count > n-12 || off > 1<<14 {
			return "", errors.New("malformed control message")
		}
		if need := off + count; need > len(data) {
			data = append(data, make([]byte, need-len(data))...)
		}
		copy(data[off:], b[12:12+count])
		if got += count; b[1]&0x20 == 0 {
			end = off + count
		}
	}
	return string(data), nil
}

// variables reads variables of an association, 0 for the system.
func variables(addr string, assoc uint16, names string) (map[string]string, error) {
	text, err := control(addr, 2, assoc, names)
	if err != nil {
		return nil, err
	}
	vars := map[string]string{}
	for f := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		vars[k] = v
	}
	return vars, nil
}

// associations returns all peers of ntpd.
func associations(addr string) ([]association, error) {
	text, err := control(addr, 1, 0, "")
	if err != nil {
		return nil, err
	}
	var as []association
	for b := []byte(text); len(b) >= 4; b = b[4:] {
		a := association{id: binary.BigEndian.Uint16(b), status: binary.BigEndian.Uint16(b[2:])}
		if a.vars, err = variables(addr, a.id, ""); err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	return as, nil
}
