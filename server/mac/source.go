package mac

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Source is where the keys of a program come from.
type Source struct {
	Keys  []*Key    // given directly
	Files []KeyFile // each with one key
	List  string    // a file of keys (ReadFile); empty: none
}

// KeyFile is a key whose secret is in a file (ReadSecret).
type KeyFile struct {
	ID   uint32
	Type Type
	Path string
}

// Paths returns the files of the source.
func (s *Source) Paths() (paths []string) {
	for _, f := range s.Files {
		paths = append(paths, f.Path)
	}
	if s.List != "" {
		paths = append(paths, s.List)
	}
	return paths
}

// Loaded is what Load has read.
type Loaded struct {
	Keys  *Keys
	files map[string][]*Key // by path
}

// Load reads all keys. A file with an error has the keys that it had in before,
// which is nil at first, and if that has none, those of its good lines. The error
// joins those of all files.
func (s *Source) Load(before *Loaded) (*Loaded, error) {
	l := &Loaded{files: map[string][]*Key{}}
	keys := slices.Clone(s.Keys)
	var errs []error
	add := func(path string, read []*Key, err error) {
		if err != nil {
			errs = append(errs, err)
			if before != nil && len(before.files[path]) > 0 {
				read = before.files[path]
			}
		}
		l.files[path] = read
		keys = append(keys, read...)
	}
	for _, f := range s.Files {
		read, err := f.read()
		add(f.Path, read, err)
	}
	if s.List != "" {
		more, err := ReadFile(s.List)
		add(s.List, more, err)
	}
	var err error
	l.Keys, err = NewKeys(keys...)
	return l, errors.Join(append(errs, err)...)
}

// read reads the key.
func (f *KeyFile) read() ([]*Key, error) {
	secret, err := ReadSecret(f.Path)
	if err != nil {
		return nil, err
	}
	k, err := NewKey(f.ID, f.Type, secret)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path, err)
	}
	return []*Key{k}, nil
}

// Weak returns the keys that can be attacked, by identifier.
func (s *Keys) Weak() (weak []*Key) {
	if s == nil {
		return nil
	}
	for _, k := range s.byID {
		if k.Weak() {
			weak = append(weak, k)
		}
	}
	slices.SortFunc(weak, func(a, b *Key) int { return cmp.Compare(a.id, b.id) })
	return weak
}
