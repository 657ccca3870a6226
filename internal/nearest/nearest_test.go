package nearest

import (
	"strings"
	"testing"
)

func TestNearestWordIsProposed(t *testing.T) {
	t.Parallel()
	known := []string{"address", "interface", "nts", "workers"}
	for word, want := range map[string]string{
		"": "", "x": "", "zzzzzzz": "", strings.Repeat("address", 20): "",
		"adress": "address", "adrdess": "address", "nst": "nts", "Nts": "nts", "worker": "workers", "interfaces": "interface",
	} {
		if got := Word(word, known); got != want {
			t.Errorf("Word(%q) = %q, want %q", word, got, want)
		}
	}
}
