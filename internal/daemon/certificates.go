package daemon

import (
	"log/slog"
	"time"

	"noonmark/server/certs"
)

// CertificateEvents returns what logs the events of certificates. Strangers cannot
// cause them. lapsed is what follows once the certificate has expired; remedy says
// what to do about one that cannot be used, and may be nil.
func CertificateEvents(log *slog.Logger, lapsed string, remedy func(error) string) func(certs.Event) {
	return func(e certs.Event) {
		expires := e.NotAfter.UTC().Format(time.RFC3339)
		switch e.Kind {
		case certs.Loaded:
			log.Info("certificate in use", "certificate", e.From, "names", e.Names, "expires", expires)
		case certs.Refused:
			fields := []any{"certificate", e.From, "reason", e.Reason.String(), "error", e.Err}
			if remedy != nil {
				fields = append(fields, "remedy", remedy(e.Err))
			}
			log.Error("certificate refused, the previous one stays in use if there is one", fields...)
		case certs.Doubtful:
			log.Warn("clients may refuse the certificate", "certificate", e.From, "concern", e.Concern.String(), "what", e.What, "remedy", e.Remedy)
		case certs.Exposed:
			log.Warn("every user of this machine can read the key of the certificate: chmod 600", "key", e.From)
		case certs.Expiring:
			log.Warn("certificate expires soon", "certificate", e.From, "expires", expires)
		case certs.Lapsed:
			log.Error("certificate has expired, "+lapsed, "certificate", e.From, "expired", expires)
		case certs.Registered:
			log.Info("acme account created, terms of service accepted as configured", "directory", e.From, "terms", e.Terms)
		case certs.NotStored:
			log.Error("acme certificate is in use but only in memory: a restart before it is written orders another one", "directory", e.From, "reason", e.Reason.String(), "error", e.Err, "next", e.Next.UTC().Format(time.RFC3339))
		case certs.Stored:
			log.Info("acme certificate written", "directory", e.From)
		case certs.OrderFailed:
			log.Error("acme order failed", "directory", e.From, "names", e.Names, "reason", e.Reason.String(), "error", e.Err, "next", e.Next.UTC().Format(time.RFC3339))
		}
	}
}
