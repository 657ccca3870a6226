package ntsserve

import (
	"fmt"

	"noonmark/server/ntske"
)

// serverMemory is what the process that answers NTP needs at most, octets: 23 MB with 16
// workers.
const serverMemory = 32 << 20

// CheckMemory adds a warning to the settings if the control group of this process, which may have
// limit octets (0: no limit) by what file says, has no room for all connections to NTS-KE. It is
// no error: the NTS-KE process is the first that the kernel ends, and NTP goes on.
func CheckMemory(s *Settings, limit int64, file string) {
	need := int64(serverMemory + ntske.BaseMemory + s.KE.MaxConnections*ntske.ConnMemory)
	if !s.ServesKE || limit == 0 || need <= limit {
		return
	}
	remedy := fmt.Sprintf("raise MemoryMax= of the unit to %dM", (need+1<<20-1)>>20)
	if fit := (limit - serverMemory - ntske.BaseMemory) / ntske.ConnMemory; fit > 0 {
		remedy += fmt.Sprintf(", or lower the key to %d", fit)
	}
	s.Warnings = append(s.Warnings, fmt.Sprintf("%s: %d connections need up to %d MB with the rest of the server, but %s allows %d MB, so that strangers who open them all end the NTS-KE process; %s",
		s.Place("ke.max_connections"), s.KE.MaxConnections, need>>20, file, limit>>20, remedy))
}
