package ntske

import (
	"slices"

	"noonmark/server/nts/aead"
)

// request is the content of a client's message.
type request struct {
	protocols []uint16
	aeads     []aead.ID
	compliant bool   // RecordCompliantGCMSIV was there
	server    string // the NTP server that the client wants; empty: none
}

// parseRequest checks a request's records (RFC 8915, sections 4 and 4.1). The
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
			var ids []uint16
			ids, ok = uint16s(r.Body)
			ok = ok && len(ids) > 0
			for _, id := range ids {
				q.aeads = append(q.aeads, aead.ID(id))
			}
		case RecordError, RecordWarning, RecordCookie: // only servers send these
			ok = false
		case RecordServer: // a request that the server may ignore (section 4.1.7)
			q.server = string(r.Body)
			ok = ValidServer(q.server)
		case RecordPort: // the same (section 4.1.8)
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
	if slices.Contains(q.protocols, protocolNTPv4) && !seen[RecordAEAD] {
		return q, BadRequest
	}
	return q, Served
}

// choose selects the AEAD, by the client's order (optional in RFC 8915, section
// 4.1.5; chrony and ntpd-rs do it too) or, with serverOrder, by that of ours. The
// reason is Served, NoCommonProtocol or NoCommonAEAD.
func (q *request) choose(ours []aead.ID, serverOrder bool) (aead.ID, Reason) {
	if !slices.Contains(q.protocols, protocolNTPv4) {
		return 0, NoCommonProtocol
	}
	first, second := q.aeads, ours
	if serverOrder {
		first, second = ours, q.aeads
	}
	for _, id := range first {
		if slices.Contains(second, id) {
			return id, Served
		}
	}
	return 0, NoCommonAEAD
}
