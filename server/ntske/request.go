package ntske

import (
	"noonmark/server/nts/aead"
)

// request is what a client asked for.
type request struct {
	protocols []uint16
	aeads     []uint16
	compliant bool   // RecordCompliantGCMSIV was there
	server    string // the NTP server it wishes for, or none
}

// parseRequest checks a request's records (RFC 8915 sections 4 and 4.1). The
// reason is Served, BadRequest or UnknownCritical.
func parseRequest(recs []Record) (request, Reason) {
	var q request
	var seen [RecordPort + 1]bool
	for _, r := range recs {
		if int(r.Type) < len(seen) {
			if seen[r.Type] {
				return q, BadRequest
			}
			seen[r.Type] = true
		}
		ok := true
		switch r.Type {
		case RecordNextProtocol: // section 4.1.2: critical, at least one protocol
			q.protocols, ok = uint16s(r.Body)
			ok = ok && r.Critical && len(q.protocols) > 0
		case RecordAEAD: // section 4.1.5: at least one
			q.aeads, ok = uint16s(r.Body)
			ok = ok && len(q.aeads) > 0
		case RecordError, RecordWarning, RecordCookie: // only servers send these
			ok = false
		case RecordServer: // a wish, which we need not grant (section 4.1.7)
			q.server = string(r.Body)
			ok = ValidServer(q.server)
		case RecordPort: // likewise (section 4.1.8)
			ok = len(r.Body) == 2
		case RecordCompliantGCMSIV:
			ok = len(r.Body) == 0
			q.compliant = true
		default:
			if r.Critical {
				return q, UnknownCritical
			}
		}
		if !ok {
			return q, BadRequest
		}
	}
	if !seen[RecordNextProtocol] {
		return q, BadRequest
	}
	for _, p := range q.protocols {
		if p == protocolNTPv4 && !seen[RecordAEAD] {
			return q, BadRequest
		}
	}
	return q, Served
}

// choose picks the protocol and the AEAD. By default the client's order counts,
// as with chrony and ntpd-rs: honouring it is optional (RFC 8915 section
// 4.1.5), and a client has its reasons. The reason is Served, NoCommonProtocol
// or NoCommonAEAD.
func (q *request) choose(ours []aead.ID, serverOrder bool) (aead.ID, Reason) {
	common := NoCommonProtocol
	for _, p := range q.protocols {
		if p == protocolNTPv4 {
			common = NoCommonAEAD
		}
	}
	if common == NoCommonProtocol {
		return 0, common
	}
	if serverOrder {
		for _, id := range ours {
			for _, theirs := range q.aeads {
				if aead.ID(theirs) == id {
					return id, Served
				}
			}
		}
		return 0, common
	}
	for _, theirs := range q.aeads {
		for _, id := range ours {
			if aead.ID(theirs) == id {
				return id, Served
			}
		}
	}
	return 0, common
}
