package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// refusal is why a request is refused. Its String is the metric's label.
type refusal uint8

const (
	badHost   refusal = iota // the name is not one of this machine's: DNS rebinding
	badMethod                // not GET or HEAD
	crossSite                // another site's page asks
	noToken                  // a token is needed and none was given
	badToken                 // it is wrong
	notFound                 // no such path
	badQuery                 // a parameter is not known, or out of range
	noStream                 // max_streams is reached
	numRefusals
)

var refusalNames = [numRefusals]string{"bad_host", "bad_method", "cross_site", "no_token", "bad_token", "not_found", "bad_query", "too_many_streams"}

var refusalStatus = [numRefusals]int{
	http.StatusMisdirectedRequest, http.StatusMethodNotAllowed, http.StatusForbidden, http.StatusUnauthorized, http.StatusUnauthorized, http.StatusNotFound,
	http.StatusBadRequest, http.StatusServiceUnavailable,
}

var refusalText = [numRefusals]string{
	"this name is not one of this machine's; use its address, or add the name to names in refclockweb.toml",
	"only GET and HEAD are answered",
	"another site's page may not read this",
	"a token is needed: Authorization: Bearer TOKEN, with the token of token_file",
	"the token is wrong; it is in the file that token_file names",
	"there is nothing at this path; /api/v1/openapi.json lists all",
	"a parameter is not known or out of range; /api/v1/openapi.json lists all",
	"too many pages show live data; close one, or raise max_streams",
}

// String returns the word for the refusal.
func (r refusal) String() string { return refusalNames[r] }

// problem is the body of an answer that is an error. Its JSON keys only grow.
type problem struct {
	Reason string `json:"reason"`
	Error  string `json:"error"`
}

// refuse answers with an error and counts it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, why refusal) {
	s.counts.refused[why].Add(1)
	s.limited.Log(slog.LevelDebug, why.String(), "request refused", "from", r.RemoteAddr, "reason", why.String())
	switch why {
	case noToken, badToken:
		w.Header().Set("WWW-Authenticate", `Bearer realm="noonmark"`)
	case badMethod:
		w.Header().Set("Allow", "GET, HEAD")
	case noStream:
		w.Header().Set("Retry-After", "10")
	}
	writeJSON(w, refusalStatus[why], problem{why.String(), refusalText[why]})
}

// writeJSON answers with one JSON value.
func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(code)
	// No value that is written has parts without a form, and the client may have gone.
	// The encoder makes no copy of the text, which may have a megabyte.
	_ = json.NewEncoder(w).Encode(v)
}

// securityHeaders are on every answer. The page loads nothing from elsewhere, is
// shown in no frame, and runs no script but its own.
var securityHeaders = [...][2]string{
	{"Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cache-Control", "no-store"},
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.counts.requests.Add(1)
	for _, h := range securityHeaders {
		w.Header().Set(h[0], h[1])
	}
	if s.cfg.TLS != nil {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	if why, ok := s.check(r); !ok {
		s.refuse(w, r, why)
		return
	}
	if a, ok := s.files[r.URL.Path]; ok {
		a.serve(w, r)
		return
	}
	i := slices.IndexFunc(s.routes, func(x route) bool { return x.path == r.URL.Path })
	if i < 0 {
		s.refuse(w, r, notFound)
		return
	}
	x := &s.routes[i]
	if !x.open {
		if why, ok := s.authorised(r); !ok {
			s.refuse(w, r, why)
			return
		}
	}
	query := r.URL.Query()
	for name, values := range query {
		if len(values) != 1 || !slices.ContainsFunc(x.query, func(p parameter) bool { return p.name == name }) {
			s.refuse(w, r, badQuery)
			return
		}
	}
	x.serve(w, r)
}

// check looks at what every request must have.
func (s *Server) check(r *http.Request) (refusal, bool) {
	switch {
	case !s.ourName(r.Host):
		return badHost, false
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return badMethod, false
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
		return crossSite, false
	}
	return 0, true
}

// ourName reports whether the name that a browser used is one of this machine's: an
// address, localhost or a configured name. A hostile page whose name points to this
// machine has another one.
func (s *Server) ourName(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || slices.ContainsFunc(s.cfg.Names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && (!s.cfg.Listen.Addr().IsLoopback() || a.IsLoopback())
}

// authorised reports whether a request has the token.
func (s *Server) authorised(r *http.Request) (refusal, bool) {
	if s.token == nil {
		return 0, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return noToken, false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 {
		return badToken, false
	}
	return 0, true
}
