package config

import "testing"

func TestDeprecatedKeyIsNamedWithPlaceVersionAndReplacement(t *testing.T) {
	t.Parallel()
	var dst struct {
		Old string `toml:"old"`
		In  struct {
			Older bool `toml:"older"`
		} `toml:"in"`
	}
	f, err := Parse("f.toml", []byte("# text\n[in]\nolder = true\n"), &dst)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d    Deprecation
		want string
	}{
		{Deprecation{Key: "old", Since: "1.0.0", Instead: "new"}, ""},
		{Deprecation{Key: "in.older", Since: "1.0.0", Instead: "in.newer"}, "f.toml:3: in.older: it is deprecated since 1.0.0; write in.newer"},
		{Deprecation{Key: "in.older", Form: "a boolean", Since: "1.0.0", Instead: `"x"`}, `f.toml:3: in.older: a boolean is deprecated since 1.0.0; write "x"`},
	} {
		if got := f.Deprecated(c.d); got != c.want {
			t.Errorf("%+v: %q, want %q", c.d, got, c.want)
		}
	}
}
