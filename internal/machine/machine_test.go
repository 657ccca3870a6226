package machine

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestADescriptionNamesTheProcessors(t *testing.T) {
	t.Parallel()
	if got := Describe(); !strings.Contains(got, fmt.Sprintf(", %d CPUs, Linux ", runtime.NumCPU())) || strings.ContainsAny(got, "\n\t") {
		t.Errorf("got %q", got)
	}
}
