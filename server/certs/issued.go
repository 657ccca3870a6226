package certs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"noonmark/internal/durable"
)

// IssuedFile is the list of what an authority has issued, in its directory: one
// JSON object a line, the newest last.
const IssuedFile = "issued.jsonl"

// maxIssued is the size in octets of the largest list that is read: at some 300 octets a
// line, a fleet of a hundred servers with a certificate a month fills it in 180 years.
const maxIssued = 64 << 20

// wantList is the remedy for something else in the place of the list.
const wantList = "want the list that refclockctl ca issue writes: put back its last copy, or move away what is there"

// Issued is an entry of the list. Its JSON keys are a contract.
type Issued struct {
	Serial    string    `json:"serial"` // hexadecimal
	Names     []string  `json:"names"`  // DNS names, then addresses
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Out       string    `json:"out"` // absolute path of the directory with the certificate
}

// RecordIssued appends a certificate, saved in the directory out, to the list of
// the authority in dir.
func RecordIssued(dir string, l *Leaf, out string) (Issued, error) {
	abs, err := filepath.Abs(out)
	if err != nil {
		return Issued{}, err
	}
	r := Issued{Serial: fmt.Sprintf("%x", l.Cert.SerialNumber), Names: namesOf(l.Cert), NotBefore: l.Cert.NotBefore.UTC(), NotAfter: l.Cert.NotAfter.UTC(), Out: abs}
	line, err := json.Marshal(r)
	if err != nil {
		return r, err
	}
	list := filepath.Join(dir, IssuedFile)
	if fi, err := os.Stat(list); err == nil { // to open a named pipe would wait for a reader
		if err := durable.CheckRegular(fi.Mode()); err != nil {
			return r, fmt.Errorf("record certificate in %s: %w; %s", list, err, wantList)
		}
	}
	f, err := os.OpenFile(list, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return r, err
	}
	_, err = f.Write(append(line, '\n'))
	return r, errors.Join(err, f.Sync(), f.Close())
}

// Deliver saves a new certificate with its key in the directory out, and records it in the
// list of the authority in dir. It overwrites nothing: if there is a certificate, the error
// is fs.ErrExist.
func Deliver(dir string, l *Leaf, out string) (Issued, error) {
	if err := l.Save(out); err != nil {
		return Issued{}, err
	}
	return RecordIssued(dir, l, out)
}

// ReadIssued returns what the authority in dir has issued, for each directory
// only the newest certificate. A line that a crash has cut off is left out.
func ReadIssued(dir string) ([]Issued, error) {
	b, _, err := durable.ReadFile(filepath.Join(dir, IssuedFile), maxIssued)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; %s", err, wantList)
	}
	var all []Issued
	at := map[string]int{}
	for line := range bytes.Lines(b) {
		var r Issued
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		if i, ok := at[r.Out]; ok {
			all[i] = r
			continue
		}
		at[r.Out] = len(all)
		all = append(all, r)
	}
	return all, nil
}
