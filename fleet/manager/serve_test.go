package manager

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
)

// rsaRequest is a PKCS #10 with an RSA key of so many bits. Its signature is wrong.
func rsaRequest(t *testing.T, bits int) []byte {
	t.Helper()
	random := func() *big.Int {
		n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
		must(t, err)
		return n
	}
	encoded := func(v any) []byte {
		der, err := asn1.Marshal(v)
		must(t, err)
		return der
	}
	algorithm := func(last int) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, last}, Parameters: asn1.NullRawValue}
	}
	n := random()
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	key := encoded(struct {
		N *big.Int
		E int
	}{n, 1<<31 - 1})
	type public struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	type information struct {
		Version    int
		Subject    asn1.RawValue
		Public     public
		Attributes asn1.RawValue
	}
	return encoded(struct {
		Information information
		Algorithm   pkix.AlgorithmIdentifier
		Signature   asn1.BitString
	}{
		information{
			Subject:    asn1.RawValue{FullBytes: encoded(pkix.Name{CommonName: "x"}.ToRDNSequence())},
			Public:     public{algorithm(1), asn1.BitString{Bytes: key, BitLength: 8 * len(key)}},
			Attributes: asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true},
		},
		algorithm(11), asn1.BitString{Bytes: random().FillBytes(make([]byte, bits/8)), BitLength: bits},
	})
}

// A key whose signatures take long to verify is refused before: strangers without a token
// choose it.
func TestKeysOfStrangersAreBounded(t *testing.T) {
	t.Parallel()
	for bits, want := range map[int]string{40000: "an RSA key of 40000 bits", maxRSA + 8: "an RSA key of 4104 bits", maxRSA: "verification error"} {
		_, err := certificateRequest(rsaRequest(t, bits))
		var f *failure
		if !errors.As(err, &f) || f.refusal != malformed || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bits: %v, want %s", bits, err, want)
		}
	}
}

// While etcd is away, strangers cause a bounded number of lines in the log; each request is
// counted.
func TestStrangersCauseFewLines(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	d := &handler{counts: new(Counts), log: log, limited: daemon.NewLimited(log, time.Hour, 5)}
	for range 100 {
		w := httptest.NewRecorder()
		d.answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/join", strings.NewReader("{}")), func(context.Context, *http.Request, []byte) (any, string, error) {
			return nil, "", errors.New("etcd is away")
		})
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "etcd") {
			t.Fatalf("%d, %q", w.Code, w.Body)
		}
	}
	if n := strings.Count(lines.String(), "etcd is away"); n != 5 || d.counts.Refused()["unavailable"] != 100 {
		t.Errorf("%d lines of 100 requests; counted: %v", n, d.counts.Refused())
	}
	w := httptest.NewRecorder()
	d.answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/join", strings.NewReader(strings.Repeat(" ", maxRequest+1))), nil)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a body that is too long: %d", w.Code)
	}
}
