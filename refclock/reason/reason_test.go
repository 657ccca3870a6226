package reason

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryCodeIsDescribed(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	for _, c := range All() {
		i := c.Info()
		if !word.MatchString(i.Word) || i.Message == "" || i.Group == 0 {
			t.Errorf("code %d: %+v", c, i)
		}
		if seen[i.Word] {
			t.Errorf("%s names two codes", i.Word)
		}
		seen[i.Word] = true
		if (i.Group == Alarm) != (i.Priority > 0) {
			t.Errorf("%s: alarms and only alarms have a priority; group %d, priority %d", i.Word, i.Group, i.Priority)
		}
	}
	for _, c := range All() {
		i := c.Info()
		if i.Group == Alarm && i.Remedy == "" {
			t.Errorf("%s has no remedy", i.Word)
		}
		if r := i.Remedy; r != strings.TrimSpace(r) || strings.HasSuffix(r, ".") {
			t.Errorf("%s: the remedy ends in a full stop or a space: %q", i.Word, r)
		}
	}
	if Code(Count).String() != "invalid" || None.String() != "none" {
		t.Error("codes outside of the table")
	}
}
