package leap

import "testing"

func TestVote(t *testing.T) {
	v := func(source string, value int, votes bool) claim { return claim{source, value, votes} }
	for _, c := range []struct {
		name   string
		claims []claim
		value  int
		source string
		tied   bool
		ok     bool
	}{
		{"no claims", nil, 0, "", false, false},
		{"no source has a vote", []claim{v("list", 37, false), v("right", 38, false)}, 0, "", false, false},
		{"one", []claim{v("list", 37, true)}, 37, "list", false, true},
		{"an expired file against a broadcast", []claim{v("receiver", 38, true), v("list", 37, false), v("right", 37, false)}, 38, "receiver", false, true},
		{"a broadcast against two tables", []claim{v("receiver", 38, true), v("list", 37, true), v("right", 37, true)}, 37, "list", false, true},
		{"a broadcast against one", []claim{v("receiver", 38, true), v("list", 37, true), v("right", 37, false)}, 38, "receiver", true, true},
		{"the second against the first", []claim{v("list", 37, true), v("right", 38, true)}, 37, "list", true, true},
		{"two against the first", []claim{v("list", 37, true), v("right", 38, true), v("builtin", 38, true)}, 38, "right", false, true},
		{"two and two", []claim{v("receiver", 38, true), v("list", 37, true), v("right", 38, true), v("builtin", 37, true)}, 38, "receiver", true, true},
		{"each claims something else", []claim{v("receiver", 36, true), v("list", 37, true), v("right", 38, true)}, 36, "receiver", true, true},
		{"a pair outvotes two singles", []claim{v("receiver", 36, true), v("list", 37, true), v("right", 38, true), v("builtin", 38, true)}, 38, "right", false, true},
	} {
		if value, source, tied, ok := vote(c.claims); value != c.value || source != c.source || tied != c.tied || ok != c.ok {
			t.Errorf("%s: %d by %s, tied %v, %v", c.name, value, source, tied, ok)
		}
	}
}
