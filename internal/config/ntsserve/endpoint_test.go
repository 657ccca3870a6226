package ntsserve

import (
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

func TestAddressesThatCannotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	for address, say := range map[string]string{
		"[::ffff:10.77.0.1]:2123": "want 10.77.0.1:2123",
		"224.0.1.1:123":           "multicast",
		"[ff02::101]:123":         "multicast",
	} {
		_, err := Load(proctest.Write(t, filepath.Join(t.TempDir(), "t.toml"), "[[endpoint]]\naddress = \""+address+"\"\n"))
		if err == nil || exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), "endpoint[0].address") || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want %q", address, err, say)
		}
	}
}
