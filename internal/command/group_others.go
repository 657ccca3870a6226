//go:build !unix

package command

import "io/fs"

// groupOf does not know the groups of other systems.
func groupOf(fs.FileInfo) (gid int, ok bool) { return 0, false }
