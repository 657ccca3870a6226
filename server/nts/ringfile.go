package nts

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"noonmark/internal/durable"
)

// The key file is JSON:
//
//	{"format": "noonmark-keys-1", "roots": [{"since": "2026-11-23T00:00:00Z", "secret": "<64 hex digits>"}]}
//
// It is only replaced by rename, so that a reader, also after a crash, sees the old
// file or the new one.
const ringFormat = "noonmark-keys-1"

// maxRingFile limits what is read of a key file, octets; maxRoots roots have 2 kB.
const maxRingFile = 64 << 10

// ErrRingFile is wrapped by errors about the content or the permissions of a key
// file. Errors of the file system do not wrap it.
var ErrRingFile = errors.New("key file is not usable")

type ringFile struct {
	Format string     `json:"format"`
	Roots  []rootFile `json:"roots"`
}

type rootFile struct {
	Since  time.Time `json:"since"`
	Secret string    `json:"secret"`
}

// OpenRing opens the ring in the file at path. If there is no file, it creates one
// (mode 0600) with a new root secret. It refuses a file that others than its owner
// may read or write, and a damaged one, and never overwrites them.
func OpenRing(path string, cfg RingConfig, now time.Time) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Ring{cfg: cfg, path: path}
	r.roots, err = readRoots(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = writeRoots(path, []root{newRoot(now)}, false)
		if err == nil || errors.Is(err, fs.ErrExist) { // another process has created it
			r.roots, err = readRoots(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open key ring: %w", err)
	}
	r.publish(now)
	return r, nil
}

// Reload reads the file again after an operator or another program has changed it.
// On an error the ring stays as it was.
func (r *Ring) Reload(now time.Time) error {
	if r.path == "" {
		return nil
	}
	roots, err := readRoots(r.path)
	if err != nil {
		return fmt.Errorf("reload key ring: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roots = roots
	r.publish(now)
	return nil
}

// Revoke replaces all roots by a new one. All cookies become invalid, and their
// holders get an NTS NAK.
func (r *Ring) Revoke(now time.Time) error {
	return r.change(now, func([]root) ([]root, error) { return []root{newRoot(now)}, nil })
}

// change rewrites the file and then the ring. An edit that returns no roots changes
// nothing in the file. If the file cannot be written, the ring stays as it was.
func (r *Ring) change(now time.Time, edit func([]root) ([]root, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.roots
	if r.path != "" {
		var err error
		if old, err = readRoots(r.path); err != nil {
			return fmt.Errorf("change key ring: %w", err)
		}
	}
	roots, err := edit(old)
	if err != nil {
		return fmt.Errorf("change key ring: %w", err)
	}
	if roots == nil {
		roots = old
	} else if r.path != "" {
		if err := writeRoots(r.path, roots, true); err != nil {
			return fmt.Errorf("change key ring: %w", err)
		}
	}
	r.roots = roots
	r.publish(now)
	return nil
}

func readRoots(path string) ([]root, error) {
	f, st, err := durable.Open(path)
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", ErrRingFile, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if p := st.Mode().Perm(); p&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: mode %04o gives others access; run: chmod 600 %[1]s", path, ErrRingFile, p)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRingFile+1))
	if err != nil {
		return nil, err
	}
	roots, err := parseRoots(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrRingFile, err)
	}
	return roots, nil
}

// parseRoots does not quote the file in its errors, because it contains secrets.
func parseRoots(b []byte) ([]root, error) {
	if len(b) > maxRingFile {
		return nil, fmt.Errorf("longer than %d octets", maxRingFile)
	}
	var rf ringFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&rf); err != nil {
		var syn *json.SyntaxError
		if errors.As(err, &syn) {
			return nil, fmt.Errorf("invalid JSON at octet %d", syn.Offset)
		}
		return nil, errors.New("JSON with other keys or types than expected")
	}
	if d.More() {
		return nil, errors.New("data after the JSON object")
	}
	if rf.Format != ringFormat {
		return nil, fmt.Errorf("the format is not %q", ringFormat)
	}
	if len(rf.Roots) == 0 || len(rf.Roots) > maxRoots {
		return nil, fmt.Errorf("%d roots, want 1 to %d", len(rf.Roots), maxRoots)
	}
	roots := make([]root, len(rf.Roots))
	for i, x := range rf.Roots {
		n, err := hex.Decode(roots[i].secret[:], []byte(x.Secret[:min(len(x.Secret), 2*secretLen)]))
		if err != nil || n != secretLen || len(x.Secret) != 2*secretLen {
			return nil, fmt.Errorf("the secret of root %d is not %d hexadecimal digits", i+1, 2*secretLen)
		}
		if roots[i].secret == [secretLen]byte{} {
			return nil, fmt.Errorf("the secret of root %d is all zeros", i+1)
		}
		roots[i].since = x.Since.Unix()
		if i > 0 && roots[i].since <= roots[i-1].since {
			return nil, errors.New("roots are not in ascending order of since")
		}
	}
	return roots, nil
}

// writeRoots writes the file. Without replace an existing file stays, and the error
// is fs.ErrExist.
func writeRoots(path string, roots []root, replace bool) error {
	b, err := formatRoots(roots)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(b, '\n'), 0o600, replace)
}

func formatRoots(roots []root) ([]byte, error) {
	rf := ringFile{Format: ringFormat}
	for _, rt := range roots {
		rf.Roots = append(rf.Roots, rootFile{time.Unix(rt.since, 0).UTC(), hex.EncodeToString(rt.secret[:])})
	}
	return json.MarshalIndent(rf, "", "  ")
}

// RootSecret is a root secret of a key file.
type RootSecret struct {
	Since  time.Time // it seals from then on; whole seconds
	Secret [secretLen]byte
}

// FormatKeyFile returns the content of a key file, for a program that distributes
// secrets. The list is in ascending order of Since. The error wraps ErrRingFile if
// OpenRing would refuse the file.
func FormatKeyFile(list []RootSecret) ([]byte, error) {
	roots := make([]root, len(list))
	for i, s := range list {
		roots[i] = root{secret: s.Secret, since: s.Since.Unix()}
	}
	b, err := formatRoots(roots)
	if err == nil {
		_, err = parseRoots(b)
	}
	if err != nil {
		return nil, fmt.Errorf("format key file: %w: %w", ErrRingFile, err)
	}
	return append(b, '\n'), nil
}

// ReadKeyFile returns the secrets of a key file, for a program that takes them over. The
// list is in ascending order of Since. The error wraps ErrRingFile for a file that
// OpenRing would refuse.
func ReadKeyFile(path string) ([]RootSecret, error) {
	roots, err := readRoots(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	list := make([]RootSecret, len(roots))
	for i, r := range roots {
		list[i] = RootSecret{Since: time.Unix(r.since, 0), Secret: r.secret}
	}
	return list, nil
}

// Export returns the secrets of the ring in the format of the key file, for another
// process that makes cookies for this one.
func (r *Ring) Export() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := formatRoots(r.roots)
	return string(b), err
}

// ImportRing makes a ring of the secrets of another one, in memory only.
func ImportRing(secrets string, cfg RingConfig, now time.Time) (*Ring, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Ring{cfg: cfg}
	return r, r.Import(secrets, now)
}

// Import replaces the secrets by those of another ring. On an error the ring stays as
// it was.
func (r *Ring) Import(secrets string, now time.Time) error {
	roots, err := parseRoots([]byte(secrets))
	if err != nil {
		return fmt.Errorf("import key ring: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roots = roots
	r.publish(now)
	return nil
}
