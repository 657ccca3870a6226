package config

import (
	"slices"
	"testing"
)

func TestCompareNamesTheKeysThatDiffer(t *testing.T) {
	t.Parallel()
	const base = "level = \"a\"\n[receiver]\nbaud = 1\ncable = \"1us\"\n[[endpoint]]\nnts = \"off\"\n[[endpoint]]\nnts = \"only\"\n[access]\nallow = [\"::1\"]\n"
	reloadable := []string{"level", "access.allow", "receiver.cab", "endpoint.nts"}
	for _, c := range []struct {
		text             string
		reload, restarts []string
	}{
		{base, nil, nil},
		{"# more\n" + base, nil, nil},
		{"level = \"b\"\n[receiver]\nbaud = 2\ncable = \"1us\"\n[[endpoint]]\nnts = \"off\"\n[[endpoint]]\nnts = \"only\"\n[access]\nallow = [\"::1\"]\n", []string{"level"}, []string{"receiver.baud"}},
		{"level = \"a\"\n[receiver]\nbaud = 1\ncable = \"2us\"\n[[endpoint]]\nnts = \"off\"\n[[endpoint]]\nnts = \"off\"\n[access]\nallow = []\n", []string{"access.allow"}, []string{"receiver.cable", "endpoint[1].nts"}},
		{"level = \"a\"\n[receiver]\nbaud = 1\ncable = \"1000ns\"\n[[endpoint]]\nnts = \"off\"\n[access]\nallow = [\"::1\", \"::2\"]\n", []string{"access.allow"}, []string{"endpoint"}},
	} {
		var was, now sample
		if _, err := Parse("was", []byte(base), &was); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("now", []byte(c.text), &now); err != nil {
			t.Fatal(err)
		}
		got := Compare(now, was, reloadable)
		if !slices.Equal(got.Reloaded, c.reload) || !slices.Equal(got.Restart, c.restarts) {
			t.Errorf("%q:\n got %q\nwant reloaded %q, restart %q", c.text, got, c.reload, c.restarts)
		}
	}
}
