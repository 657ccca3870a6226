//go:build !linux

package top

import "os"

// Size does not know terminals of other systems.
func Size(*os.File) (width, height int, ok bool) { return 0, 0, false }
