package ntske

import (
	"encoding/binary"
	"fmt"
	"slices"

	"noonmark/server/nts/aead"
)

// response is what a client has read of a server's message.
type response struct {
	offered   []aead.ID // by the client
	Session             // of Keys only AEAD is set
	compliant bool      // RecordCompliantGCMSIV was there
	seen      [RecordPort + 1]bool
}

// parseResponse checks a server's records (RFC 8915, section 4.1).
func parseResponse(recs []Record, offered []aead.ID) (*response, error) {
	p := &response{offered: offered, Session: Session{Port: ntpPort}}
	for _, r := range recs {
		if int(r.Type) < len(p.seen) && r.Type != RecordCookie {
			if p.seen[r.Type] {
				return nil, badResponse("a record occurs twice")
			}
			p.seen[r.Type] = true
		}
		if err := p.add(r); err != nil {
			return nil, err
		}
	}
	switch {
	case !p.seen[RecordNextProtocol]:
		return nil, badResponse("no protocol record")
	case !p.seen[RecordAEAD]:
		return nil, badResponse("no AEAD record")
	case len(p.Session.Cookies) == 0:
		return nil, badResponse("no cookie that can be used")
	}
	return p, nil
}

func badResponse(why string) error { return fmt.Errorf("%w: %s", ErrResponse, why) }

// add reads one record.
func (p *response) add(r Record) error {
	switch r.Type {
	case RecordNextProtocol:
		return p.addProtocol(r)
	case RecordError:
		if len(r.Body) != 2 {
			return badResponse("malformed error record")
		}
		return RemoteError(binary.BigEndian.Uint16(r.Body))
	case RecordWarning: // no code is assigned that a client could handle
		return badResponse("a warning of unknown meaning")
	case RecordAEAD:
		return p.addAEAD(r)
	case RecordCookie:
		p.addCookie(r)
	case RecordServer:
		if !ValidServer(string(r.Body)) {
			return badResponse("an invalid server name")
		}
		p.Session.Server = fqdn(string(r.Body))
	case RecordPort:
		if len(r.Body) != 2 || binary.BigEndian.Uint16(r.Body) == 0 {
			return badResponse("an invalid port")
		}
		p.Session.Port = int(binary.BigEndian.Uint16(r.Body))
	case RecordCompliantGCMSIV:
		if len(r.Body) != 0 {
			return badResponse("malformed record 1024")
		}
		p.compliant = true
	default:
		if r.Critical {
			return badResponse(fmt.Sprintf("unknown critical record %d", r.Type))
		}
	}
	return nil
}

func (p *response) addProtocol(r Record) error {
	v, ok := uint16s(r.Body)
	switch {
	case !ok || !r.Critical || len(v) > 1:
		return badResponse("malformed protocol record")
	case len(v) == 0:
		return badResponse("the server does not support NTPv4")
	case v[0] != protocolNTPv4:
		return badResponse("a protocol that was not offered")
	}
	return nil
}

func (p *response) addAEAD(r Record) error {
	v, ok := uint16s(r.Body)
	switch {
	case !ok || len(v) > 1:
		return badResponse("malformed AEAD record")
	case len(v) == 0:
		return badResponse("no AEAD in common")
	case !slices.Contains(p.offered, aead.ID(v[0])):
		return badResponse("an AEAD that was not offered")
	}
	p.Session.Keys.AEAD = aead.ID(v[0])
	return nil
}

// addCookie keeps the first maxCookies that can be used. The length of one is a
// multiple of 4, because it is sent in an extension field without padding. Others
// are skipped: the good ones are enough.
func (p *response) addCookie(r Record) {
	if n := len(r.Body); n == 0 || n > maxCookieLen || n%4 != 0 {
		return
	}
	if len(p.Session.Cookies) < maxCookies {
		p.Session.Cookies = append(p.Session.Cookies, r.Body)
	}
}
