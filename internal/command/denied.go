package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// remedy returns what a user can do about a denied access to a file, nothing about any other
// error. groups are those of the user. An error that speaks of root already has a remedy.
func remedy(err error, uid int, groups []int) string {
	var denied *fs.PathError
	if uid == 0 || !errors.Is(err, fs.ErrPermission) || !errors.As(err, &denied) || strings.Contains(err.Error(), " root") {
		return ""
	}
	if group := readers(denied.Path, groups); group != "" {
		return fmt.Sprintf("; run it as root, or as a member of group %s, which may read there", group)
	}
	return "; run it as root"
}

// readers returns the name of the group that may read what denies a path to others: the file, or
// the first folder above it that shows nothing. Empty: no group but root may, or it was not
// reading that was denied: the path does not exist, or everybody or a group of the user may read it.
func readers(path string, groups []int) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	for err != nil && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		fi, err = os.Stat(path)
	}
	if err != nil {
		return ""
	}
	reads := fs.FileMode(0o4)
	if fi.IsDir() {
		reads = 0o5 // and enters
	}
	gid, ok := groupOf(fi)
	if group, others := fi.Mode()>>3&reads == reads, fi.Mode()&reads == reads; !group || others || !ok || gid == 0 || slices.Contains(groups, gid) {
		return ""
	}
	g, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		return strconv.Itoa(gid)
	}
	return g.Name
}
