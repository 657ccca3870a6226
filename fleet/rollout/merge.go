package rollout

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Override is a key of a fragment that a stronger file names too.
type Override struct {
	Program Program `json:"program"`
	Key     string  `json:"key"` // "access.deny"; a list, also of tables, is one key
	By      string  `json:"by"`  // "local" or "overlay"
}

// header begins the files that are written; the fingerprint is that of what follows.
const (
	header = "# Written by noonmark-fleet from the local file and the fleet's configuration.\n" +
		"# Do not edit: change the local file, which wins, or the configuration of the fleet.\n"
	contentLine = "# content "
)

// Errors of files on disc.
var (
	// ErrEdited: somebody changed a file that the agent has written, or it was not made
	// from the local file.
	ErrEdited = errors.New("the file was edited by hand, or not made from the local file; move what it names to the local file, and remove this one")
	// ErrLocal: the local file cannot be read, or not as TOML.
	ErrLocal = errors.New("the local file is not usable")
	// ErrOwner: the system denies the agent the right to write the file.
	ErrOwner = errors.New("the agent may not write it; the folder must be of group ntsserve with mode 1775, the file of user ntsserve")
	// ErrSystemd: systemd denies the agent the reload or the restart.
	ErrSystemd = errors.New("systemd denies it; the agent needs polkit with 50-noonmark-fleet.rules (package polkitd)")
	// ErrNoFile: fragments are of a program whose file this node does not keep.
	ErrNoFile = errors.New("the agent does not keep the configuration of this program")
)

// Merge returns the text of a program's file: what local names, then what overlay names,
// then what all names. Tables are merged key by key; any other value, also a list of
// tables, is taken whole from the strongest text that has it. The texts of the fleet
// must be fragments (parse); local is any TOML. The same texts give the same result.
func Merge(p Program, local string, of ...Fragment) (text string, overrides []Override, err error) {
	tree := map[string]any{}
	if err := toml.Unmarshal([]byte(local), &tree); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrLocal, err)
	}
	owner := map[string]string{}
	flatten("", tree, func(key string, _ any) { owner[key] = "local" })
	for _, f := range of {
		add, err := parse(p, f.Text, f.From == Registry)
		if err != nil {
			return "", nil, err
		}
		for _, key := range merge("", tree, add) {
			overrides = append(overrides, Override{p, key, ownerOf(owner, key)})
		}
		flatten("", add, func(key string, _ any) {
			if ownerOf(owner, key) == "" {
				owner[key] = f.From
			}
		})
	}
	slices.SortFunc(overrides, func(a, b Override) int { return strings.Compare(a.Key, b.Key) })
	body := render(tree)
	return header + contentLine + fingerprint(body) + "\n" + body, overrides, nil
}

// Fragment is a text of the fleet and where it comes from: "overlay", "fleet" or
// Registry. The stronger one comes first.
type Fragment struct {
	From string `json:"from"`
	Text string `json:"text"`
}

// Registry is the origin of a fragment that the node makes itself from the list of
// nodes. It may name the file of a private authority.
const Registry = "registry"

// ownerOf names the text that sets a key, a table around it or a key below it.
func ownerOf(owner map[string]string, key string) string {
	for k := key; ; {
		if o := owner[k]; o != "" {
			return o
		}
		i := strings.LastIndexByte(k, '.')
		if i < 0 {
			break
		}
		k = k[:i]
	}
	for _, k := range slices.Sorted(maps.Keys(owner)) {
		if strings.HasPrefix(k, key+".") {
			return owner[k]
		}
	}
	return ""
}

// merge adds to tree what it does not have, and returns the keys that it has already.
func merge(prefix string, tree, add map[string]any) (had []string) {
	for _, k := range slices.Sorted(maps.Keys(add)) {
		key := joinKey(prefix, k)
		old, ok := tree[k]
		if !ok {
			tree[k] = add[k]
			continue
		}
		into, isTable := old.(map[string]any)
		from, fromTable := add[k].(map[string]any)
		if isTable && fromTable {
			had = append(had, merge(key, into, from)...)
			continue
		}
		had = append(had, key)
	}
	return had
}

// written reports whether a text was written by Merge, and whether it is as written.
func written(text string) (ours bool, err error) {
	rest, ok := strings.CutPrefix(text, header+contentLine)
	if !ok {
		return false, nil
	}
	sum, body, _ := strings.Cut(rest, "\n")
	if sum != fingerprint(body) {
		return true, ErrEdited
	}
	return true, nil
}
