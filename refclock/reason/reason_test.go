package reason

import (
	"regexp"
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
	if Code(Count).String() != "invalid" || None.String() != "none" {
		t.Error("codes outside of the table")
	}
}
