package agent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"noonmark/fleet/roots"
	"noonmark/internal/durable"
)

// copyFormat names the format of the copy.
const copyFormat = "noonmark-fleet-copy-1"

// maxCopy limits what is read of the copy, octets; 32 roots have 8 kB.
const maxCopy = 128 << 10

// ErrCopy is wrapped by errors about the content or the permissions of the copy.
var ErrCopy = errors.New("copy of the fleet's secrets is not usable")

type secret = [roots.SecretLen]byte

// kept is what a node has on its disc: the plan that it applies, and the secrets that
// it may show as held. It is a value; secrets is never changed once it is shared.
type kept struct {
	plan    roots.Plan
	secrets map[roots.ID]secret
	drained bool // a node that was drained serves no more after a restart without etcd
}

type copyFile struct {
	Format  string               `json:"format"`
	Plan    json.RawMessage      `json:"plan"`
	Secrets map[roots.ID]hexText `json:"secrets"`
	Drained bool                 `json:"drained,omitempty"`
}

type hexText string

// readCopy reads the copy. Without a file the result is empty. Its errors do not quote
// the file, because it contains secrets.
func readCopy(path string) (kept, error) {
	b, mode, err := durable.ReadFile(path, maxCopy)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kept{}, nil
	case err != nil:
		return kept{}, err
	case mode.Perm()&0o077 != 0:
		return kept{}, fmt.Errorf("%s: %w: mode %04o gives others access; run: chmod 600 %[1]s", path, ErrCopy, mode.Perm())
	}
	k, err := parseCopy(b)
	if err != nil {
		return kept{}, fmt.Errorf("%s: %w: %w; remove it, and the agent gets the secrets from etcd", path, ErrCopy, err)
	}
	return k, nil
}

func parseCopy(b []byte) (kept, error) {
	var f copyFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&f) != nil || d.More() {
		return kept{}, errors.New("invalid JSON, or other keys or types than expected")
	}
	if f.Format != copyFormat {
		return kept{}, fmt.Errorf("the format is not %q", copyFormat)
	}
	p, err := roots.Parse(f.Plan)
	if err != nil {
		return kept{}, err
	}
	k := kept{plan: p, secrets: map[roots.ID]secret{}, drained: f.Drained}
	for id, text := range f.Secrets {
		var s secret
		if n, err := hex.Decode(s[:], []byte(text[:min(len(text), 2*len(s))])); err != nil || n != len(s) || len(text) != 2*len(s) || roots.Fingerprint(&s) != id {
			return kept{}, fmt.Errorf("the secret of root %v is damaged", id)
		}
		k.secrets[id] = s
	}
	return k, nil
}

func (k kept) write(path string) error {
	plan, err := k.plan.Encode()
	if err != nil {
		return err
	}
	f := copyFile{Format: copyFormat, Plan: plan, Secrets: map[roots.ID]hexText{}, Drained: k.drained}
	for id, s := range k.secrets {
		f.Secrets[id] = hexText(hex.EncodeToString(s[:]))
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o600, true)
}
