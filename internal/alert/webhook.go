package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	config "noonmark/internal/config/alert"
	"noonmark/server/certs/cafile"
)

// webhook posts to a URL.
type webhook struct {
	url, token, format string
	client             http.Client
}

func newWebhook(t *config.Target) (*webhook, error) {
	w := &webhook{format: t.Format}
	var err error
	if w.url, w.token, _, err = t.Secrets(); err != nil {
		return nil, err
	}
	roots, err := cafile.Read(t.CA)
	if err != nil {
		return nil, err
	}
	w.client.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	// A token is for the host that was named.
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w, nil
}

func (w *webhook) send(ctx context.Context, n *Notice) error {
	target, body, header, err := w.message(n)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return hideURL(err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "noonmark")
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return hideURL(err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 300))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("webhook answers %s: %s", res.Status, strings.TrimSpace(string(answer)))
	}
	return nil
}

// hideURL removes the URL, which may be a secret, from an error.
func hideURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return fmt.Errorf("post to webhook: %w", ue.Err)
	}
	return errors.New("webhook's URL is malformed")
}

// alertmanagerOpen is how long Alertmanager keeps an alert that is not sent again.
const alertmanagerOpen = 30 * 24 * time.Hour

// message makes the request of a format.
func (w *webhook) message(n *Notice) (target string, body []byte, header http.Header, err error) {
	header, target = http.Header{"Content-Type": {"application/json"}}, w.url
	switch w.format {
	case "slack":
		body, err = json.Marshal(map[string]string{"text": slackText.Replace(n.Title() + "\n" + n.Text())})
	case "ntfy":
		header = http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Title": {ascii(n.Title())}, "Priority": {"high"}, "Tags": {"warning"}}
		if n.Status != Firing {
			header["Priority"], header["Tags"] = []string{"default"}, []string{"white_check_mark"}
		}
		body = []byte(n.Text())
	case "alertmanager":
		if !strings.Contains(strings.TrimPrefix(strings.TrimPrefix(target, "https://"), "http://"), "/api/") {
			target = strings.TrimRight(target, "/") + "/api/v2/alerts"
		}
		ends := n.Time
		if n.Status == Firing {
			ends = n.Time.Add(alertmanagerOpen)
		}
		body, err = json.Marshal([]any{map[string]any{
			"labels":      map[string]string{"alertname": "noonmark_" + n.Condition, "instance": n.Host, "what": n.Instance, "id": n.ID},
			"annotations": map[string]string{"summary": n.Summary, "description": n.Text()},
			"startsAt":    n.Since.Format(time.RFC3339), "endsAt": ends.Format(time.RFC3339),
		}})
	default:
		body, err = json.Marshal(n)
	}
	return target, body, header, err
}

// slackText escapes what Slack would read as markup.
var slackText = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// ascii replaces what is no printable ASCII character: for headers and syslog.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == 'µ' || r == 'μ':
			return 'u'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
}
