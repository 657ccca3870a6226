package daemon

import (
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const unit = "0::/system.slice/ntsserve.service\n"
	for name, c := range map[string]struct {
		files  map[string]string
		octets int64
		file   string
	}{
		"no /proc":         {nil, 0, ""},
		"no limit":         {map[string]string{"proc/self/cgroup": unit, "sys/fs/cgroup/system.slice/ntsserve.service/memory.max": "max\n"}, 0, ""},
		"not a number":     {map[string]string{"proc/self/cgroup": unit, "sys/fs/cgroup/system.slice/ntsserve.service/memory.max": "\n"}, 0, ""},
		"damaged lines":    {map[string]string{"proc/self/cgroup": "\n0:\n::\nx", "sys/fs/cgroup/memory.max": "max"}, 0, ""},
		"outside its root": {map[string]string{"proc/self/cgroup": "0::/../../a\n", "sys/fs/cgroup/a/memory.max": "4096\n"}, 4096, "sys/fs/cgroup/a/memory.max"},
		"of the unit": {map[string]string{"proc/self/cgroup": unit, "sys/fs/cgroup/system.slice/ntsserve.service/memory.max": "268435456\n"},
			256 << 20, "sys/fs/cgroup/system.slice/ntsserve.service/memory.max"},
		"of the slice, which is less": {map[string]string{"proc/self/cgroup": unit,
			"sys/fs/cgroup/system.slice/ntsserve.service/memory.max": "268435456\n", "sys/fs/cgroup/system.slice/memory.max": "67108864\n"},
			64 << 20, "sys/fs/cgroup/system.slice/memory.max"},
		"version 1": {map[string]string{"proc/self/cgroup": "9:name=systemd:/y\n4:memory:/x\n0::/\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1048576\n"},
			1 << 20, "sys/fs/cgroup/memory/x/memory.limit_in_bytes"},
		"version 1 without a limit": {map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0, ""},
	} {
		root := fstest.MapFS{}
		for p, text := range c.files {
			root[p] = &fstest.MapFile{Data: []byte(text)}
		}
		if octets, file := memoryLimit(root); octets != c.octets || file != c.file {
			t.Errorf("%s: %d by %q, want %d by %q", name, octets, file, c.octets, c.file)
		}
	}
}
