package rollout

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestWhatMayNotBeAppliedIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"a user", "[ntsserve]\nuser = \"root\"\n", "f.toml:2: ntsserve.user: a fleet may not set this key"},
		{"a listener", "[ntsserve.ke]\nrate = 5\nlisten = \"0.0.0.0:1\"\n", "f.toml:3: ntsserve.ke.listen: "},
		{"a key file", "[ntsserve.keys]\nfile = \"/etc/shadow\"\n", "f.toml:2: ntsserve.keys.file: "},
		{"a command", "[[alert.alert]]\nname = \"x\"\ncommand = [\"/bin/sh\"]\n", "alert.alert"},
		{"a file of certificates", "[[refclockd.witness]]\naddress = \"a\"\nca = \"/etc/x\"\n", "refclockd.witness.ca: "},
		{"a witness that stops the clock", "[[refclockd.witness]]\naddress = \"a\"\nrequired = true\n", "refclockd.witness.required: "},
		{"a file of the fleet", "[refclockd]\nfleet = \"/tmp/x\"\n", "f.toml:2: refclockd.fleet: "},
		{"a receiver", "[refclockd.receiver]\ndevice = \"/dev/x\"\n", "f.toml:2: refclockd.receiver.device: "},
		{"in an overlay", "[node.a.ntsserve]\nuser = \"root\"\n", "f.toml:2: node.a.ntsserve.user: "},
		{"a name that is none", "[node.\"../a\".ntsserve.access]\nallow = []\n", "name is not possible"},
		{"an unknown program", "[chronyd]\nx = 1\n", "f.toml:1: chronyd: is not known"},
		{"an unknown key", "[ntsserve.access]\nalow = []\n", "f.toml:2: ntsserve.access.alow: is not known; did you mean allow?"},
		{"a wrong type", "[ntsserve.access]\nrate_limit = \"8\"\n", "f.toml:2: ntsserve.access.rate_limit: is text; want a number"},
		{"no network", "[ntsserve.access]\ndeny = [\"10.0.0.0/33\"]\n", "f.toml:2: ntsserve.access.deny[0]: "},
		{"too long", "[ntsserve.access]\ndeny = [" + strings.Repeat(`"192.0.2.1", `, 3000) + "]\n", "fragment is too long"},
		{"syntax", "[ntsserve\n", "f.toml:1: "},
	} {
		if _, err := ParseSet("f.toml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

const applied = `
[ntsserve.access]
deny = ["192.0.2.0/24"]
rate_limit = 8
[ntsserve.ke]
rate = 50
[[refclockd.witness]]
address = "time.example"
nts = true
[alert.conditions]
bound = "1us"
[node.b.ntsserve.access]
rate_limit = 16
`

func set(t *testing.T, text string) Set {
	t.Helper()
	s, err := ParseSet("f.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASetIsNamedByItsContent(t *testing.T) {
	t.Parallel()
	s := set(t, applied)
	if len(s.All) != 3 || len(s.Nodes) != 1 || s.Nodes["b"][NTSServe] == "" {
		t.Fatalf("set %+v", s)
	}
	same := set(t, "# another order\n[node.b]\nntsserve.access.rate_limit = 16\n"+strings.ReplaceAll(applied, "[node.b.ntsserve.access]\nrate_limit = 16\n", ""))
	if s.ID() != same.ID() {
		t.Errorf("%s and %s", s.ID(), same.ID())
	}
	other := set(t, strings.Replace(applied, "16", "17", 1))
	if s.ID() == other.ID() {
		t.Error("two sets have one name")
	}
	if d := Diff(s, other); d != "- node.b.ntsserve.access.rate_limit = 16\n+ node.b.ntsserve.access.rate_limit = 17\n" {
		t.Errorf("diff:\n%s", d)
	}
	if d := Diff(Set{}, s); !strings.Contains(d, "+ refclockd.witness = [{address = 'time.example', nts = true}]\n") || strings.Contains(d, "- ") {
		t.Errorf("diff:\n%s", d)
	}
	if Diff(s, same) != "" {
		t.Error("the same sets differ")
	}
}

func TestWhatTheLocalFileNamesWins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, local, want string
		of                []Fragment
		overrides         string
		err               error
	}{
		{name: "local is no TOML", local: "[x", err: ErrLocal},
		{name: "a fragment names a user", of: []Fragment{{"fleet", "user = 'root'"}}, err: ErrKey},
		{name: "a fragment is no TOML", of: []Fragment{{"fleet", "[x"}}, err: ErrSet},
		{name: "a fragment names a file", of: []Fragment{{"fleet", "[keys]\nfile = 'x'"}}, err: ErrKey},

		{name: "nothing", want: ""},
		{name: "only local", local: "user = 'x'\n", want: "user = 'x'\n"},
		{
			name: "key by key", local: "[access]\nrate_limit = 1\n", of: []Fragment{{"fleet", "[access]\nrate_limit = 2\nrate_burst = 3\n"}},
			want: "[access]\nrate_burst = 3\nrate_limit = 1\n", overrides: "[{ntsserve access.rate_limit local}]",
		},
		{
			name: "a list is one value", local: "access.deny = ['192.0.2.0/24']\n", of: []Fragment{{"fleet", "[access]\ndeny = ['198.51.100.0/24']\n"}},
			want: "[access]\ndeny = ['192.0.2.0/24']\n", overrides: "[{ntsserve access.deny local}]",
		},
		{
			name: "an empty local list wins", local: "[access]\ndeny = []\n", of: []Fragment{{"fleet", "[access]\ndeny = ['198.51.100.0/24']\n"}},
			want: "[access]\ndeny = []\n", overrides: "[{ntsserve access.deny local}]",
		},
		{
			name: "overlay before fleet", of: []Fragment{{"overlay", "[access]\nrate_limit = 2\n"}, {"fleet", "[access]\nrate_limit = 9\nkiss_rate = 1\n"}},
			want: "[access]\nkiss_rate = 1\nrate_limit = 2\n", overrides: "[{ntsserve access.rate_limit overlay}]",
		},
	} {
		text, over, err := Merge(NTSServe, c.local, c.of...)
		if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err != nil {
			continue
		}
		if !strings.HasSuffix(text, "\n"+c.want) || strings.Count(text, "\n") != strings.Count(c.want, "\n")+3 {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, text, c.want)
		}
		if got := strings.ReplaceAll(strings.Trim(sprint(over), " "), "[]", ""); got != c.overrides {
			t.Errorf("%s: overrides %s, want %s", c.name, got, c.overrides)
		}
		if ours, err := written(text); !ours || err != nil {
			t.Errorf("%s: not as written: %v", c.name, err)
		}
		if _, err := written(text + "# edited\n"); !errors.Is(err, ErrEdited) {
			t.Errorf("%s: edited: %v", c.name, err)
		}
	}
	if _, over, err := Merge(Refclockd, "[[witness]]\naddress = 'mine'\n", Fragment{Registry, "[[witness]]\naddress = 'a'\nca = '/x'\n"}); err != nil || sprint(over) != "[{refclockd witness local}]" {
		t.Errorf("generated witnesses: %v, %v", over, err)
	}
}

func sprint(over []Override) string {
	var b strings.Builder
	for _, o := range over {
		b.WriteString(" {" + string(o.Program) + " " + o.Key + " " + o.By + "}")
	}
	if b.Len() == 0 {
		return ""
	}
	return "[" + b.String()[1:] + "]"
}

// randomTree draws some allowed keys of ntsserve, and with local also others.
func randomTree(rng *rand.Rand, local bool) string {
	keys := slices.Clone(allowed[NTSServe])
	if local {
		keys = append(keys, "user", "source.stratum", "log.level", "access.x.y", "key.z")
	}
	var b strings.Builder
	for _, k := range keys {
		if rng.IntN(2) == 0 {
			b.WriteString(k + " = " + []string{"1", "-2", "2.5", "true", "'a b'", "\"q\\\"\\n\"", "['x', 'y']", "[]", "[1, 2]"}[rng.IntN(9)] + "\n")
		}
	}
	return b.String()
}

// TestMergedFilesHaveEveryLocalValue: over random files, each value of the local file is
// in the result, each key of the result has one origin, and what is overridden is
// reported.
func TestMergedFilesHaveEveryLocalValue(t *testing.T) {
	t.Parallel()
	const seed = 3
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	for range 2000 {
		local, overlay, all := randomTree(rng, true), randomTree(rng, false), randomTree(rng, false)
		text, over, err := Merge(NTSServe, local, Fragment{"overlay", overlay}, Fragment{"fleet", all})
		if err != nil {
			t.Fatalf("%v\n%s", err, local)
		}
		tree := map[string]any{}
		if err := toml.Unmarshal([]byte(text), &tree); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want, lost := values(all), 0
		for _, stronger := range []string{overlay, local} {
			has := values(stronger)
			for k := range has {
				if _, ok := want[k]; ok {
					lost++
				}
			}
			maps.Copy(want, has)
		}
		if got := values(text); !maps.Equal(got, want) {
			t.Fatalf("merged %v\nwant %v", got, want)
		}
		if len(over) != lost {
			t.Fatalf("%d overrides, want %d: %v", len(over), lost, over)
		}
	}
}

func FuzzFragmentsFromEtcd(f *testing.F) {
	f.Add("[access]\ndeny = ['192.0.2.0/24']\n", "user = 'x'\n")
	f.Add("[ke]\nrate = 1\n", "[ke]\nlisten = '[::]:1'\n")
	f.Fuzz(func(t *testing.T, fragment, local string) {
		text, _, err := Merge(NTSServe, local, Fragment{"fleet", fragment})
		if err != nil {
			return
		}
		tree := map[string]any{}
		if err := toml.Unmarshal([]byte(text), &tree); err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		was := values(local)
		for k, v := range values(text) {
			if _, ok := was[k]; !ok && !slices.Contains(allowed[NTSServe], k) {
				t.Errorf("%s = %s comes from a fragment", k, v)
			}
		}
	})
}
