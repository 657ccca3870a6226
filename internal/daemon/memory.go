package daemon

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// MemoryLimit returns how much memory the control group of this process may have, in
// octets, and the file that says so (cgroups(7)). It is the least of the group and those
// above it, which systemd sets from MemoryMax=. 0: there is no limit, or none can be read.
func MemoryLimit() (octets int64, file string) {
	octets, file = memoryLimit(os.DirFS("/"))
	if file != "" {
		file = "/" + file
	}
	return octets, file
}

// memoryLimit reads a file system with /proc and /sys.
func memoryLimit(root fs.FS) (octets int64, file string) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, ""
	}
	for line := range strings.Lines(string(groups)) { // "0::/system.slice/x.service", "4:memory:/x"
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		top, name := "sys/fs/cgroup", "memory.max"
		switch f[1] {
		case "":
		case "memory": // version 1
			top, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for at := path.Clean("/" + f[2]); ; at = path.Dir(at) {
			p := path.Join(top, at, name)
			b, err := fs.ReadFile(root, p)
			if n, e := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && e == nil && n < noLimit && (file == "" || n < octets) {
				octets, file = n, p
			}
			if at == "/" {
				break
			}
		}
	}
	return octets, file
}

// noLimit is less than what version 1 says where there is no limit, the largest number
// of whole pages. Version 2 says "max".
const noLimit = 1 << 60
