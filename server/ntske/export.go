package ntske

import (
	"crypto/tls"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// exporter is tls.ConnectionState.ExportKeyingMaterial.
type exporter func(label string, context []byte, length int) ([]byte, error)

// exportKeys derives the session keys for id from the TLS session (RFC 8915,
// section 5.1). named is the AEAD number in the context (contextAEAD).
func exportKeys(export exporter, id, named aead.ID) (nts.SessionKeys, error) {
	s := nts.SessionKeys{AEAD: id}
	for i, dst := range [2][]byte{s.C2S[:], s.S2C[:]} {
		context := append(put16(protocolNTPv4, uint16(named)), byte(i))
		k, err := export(exporterLabel, context, id.KeyLen())
		if err != nil {
			return nts.SessionKeys{}, err
		}
		copy(dst, k)
	}
	return s, nil
}

// contextAEAD returns the AEAD number in the exporter's context: id, except with
// chrony's AES-128-GCM-SIV (see RecordCompliantGCMSIV).
func contextAEAD(id aead.ID, compliant bool) aead.ID {
	if id == aead.AES128GCMSIV && !compliant {
		return aead.AESSIVCMAC256
	}
	return id
}

// secure returns a copy of c with what NTS-KE requires: TLS 1.3, the ALPN name,
// and no session tickets, hence no early data (RFC 8915, section 3).
func secure(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, 0
	c.NextProtos = []string{ALPN}
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	if choose := c.GetConfigForClient; choose != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil || chosen == nil {
				return nil, err
			}
			return secure(chosen), nil
		}
	}
	return c
}
