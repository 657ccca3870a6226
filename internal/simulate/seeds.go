package simulate

import (
	"fmt"
	"strconv"
	"strings"
)

// maxSeeds is the largest number of seeds of one command.
const maxSeeds = 10000

// parseSeeds reads one seed or a range: "7" or "1-20".
func parseSeeds(s string) (lo, hi uint64, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		b = a
	}
	lo, err = strconv.ParseUint(a, 10, 32)
	if err == nil {
		hi, err = strconv.ParseUint(b, 10, 32)
	}
	if err != nil || hi < lo || hi-lo >= maxSeeds {
		return 0, 0, fmt.Errorf("%q is no range of seeds; want a number or a range such as 1-20", s)
	}
	return lo, hi, nil
}
