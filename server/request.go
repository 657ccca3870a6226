package server

import "noonmark/server/ntp"

// fields are the extension fields of a request.
type fields struct {
	uid, cookie, auth ntp.Field // End == 0: not present
	mac               int       // position of a MAC of symmetric keys; 0: not present
	placeholders      int
	unequal           bool // a placeholder has another length than the cookie
}

// checkMode returns NTP for requests that are answered, else why they are not.
// They are those that chronyd answers: client mode; symmetric active mode, which
// Windows uses without its flag 0x8 and which is answered without an association;
// and mode 0 of version 1 (RFC 1059), where the port tells clients and servers
// apart.
func checkMode(q *ntp.Header, port uint16) Reason {
	if q.Version < 1 || q.Version > 4 {
		return BadVersion
	}
	switch q.Mode {
	case ntp.ModeClient, ntp.ModeSymmetricActive:
		return NTP
	case ntp.ModeReserved:
		if q.Version == 1 && port != ntp.Port {
			return NTP
		}
	case ntp.ModeSymmetricPassive:
		return ModeSymmetric
	case ntp.ModeServer:
		return ModeServer
	case ntp.ModeBroadcast:
		return ModeBroadcast
	case ntp.ModeControl:
		return ModeControl
	case ntp.ModePrivate:
		return ModePrivate
	}
	return ModeReserved
}

// answerMode returns the mode of the answer to a request of checkMode.
func answerMode(q *ntp.Header) uint8 {
	if q.Mode == ntp.ModeSymmetricActive {
		return ntp.ModeSymmetricPassive
	}
	return ntp.ModeServer
}

// scan finds the fields of a request up to its authenticator, and ignores what
// follows that (RFC 8915, section 5.7). It reports whether any of them belongs to
// NTS; why is NTP unless the request gets no answer.
func (f *fields) scan(req []byte) (isNTS bool, why Reason) {
	off := ntp.HeaderLen
	var first int // length of the first placeholder
	for {
		x, ok, err := ntp.NextField(req, off)
		if err != nil {
			return isNTS, BadField
		}
		if !ok {
			break
		}
		switch x.Type {
		case ntp.ExtUniqueID:
			if f.uid.End != 0 {
				return isNTS, DuplicateField
			}
			f.uid = x
		case ntp.ExtCookie:
			if isNTS = true; f.cookie.End != 0 {
				return isNTS, DuplicateField
			}
			f.cookie = x
		case ntp.ExtPlaceholder:
			isNTS = true
			if first == 0 {
				first = len(x.Body)
			}
			f.unequal = f.unequal || len(x.Body) != first
			f.placeholders++
		case ntp.ExtAuthenticator:
			f.auth = x
			f.unequal = f.unequal || f.placeholders > 0 && first != len(f.cookie.Body)
			return true, NTP
		}
		off = x.End
	}
	if off != len(req) {
		if f.mac = off; isNTS {
			return isNTS, LegacyMAC
		}
	}
	return isNTS, NTP
}

// check returns NTP if an NTS request has what it must have (RFC 8915, section
// 5.7).
func (f *fields) check() Reason {
	switch {
	case f.auth.End == 0:
		return NoAuthenticator
	case f.uid.End == 0:
		return NoUniqueID
	case len(f.uid.Body) < minUniqueID:
		return ShortUniqueID
	case f.cookie.End == 0:
		return NoCookie
	case f.unequal:
		return PlaceholderLength
	}
	return NTP
}

// scanInner reads the encrypted part of a request's authenticator. It counts
// placeholders, which may be there (RFC 8915, section 5.7), and ignores other
// fields.
func (f *fields) scanInner(plain []byte) Reason {
	for off := 0; ; {
		x, ok, err := ntp.NextInner(plain, off)
		if err != nil {
			return BadField
		}
		if !ok {
			return NTP
		}
		if x.Type == ntp.ExtPlaceholder {
			if len(x.Body) != len(f.cookie.Body) {
				return PlaceholderLength
			}
			f.placeholders++
		}
		off = x.End
	}
}
