package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// remedy returns what a user can do about a denied access to a file, nothing about any other
// error. An error that speaks of root already has a remedy.
func remedy(err error, uid int) string {
	var denied *fs.PathError
	if uid == 0 || !errors.Is(err, fs.ErrPermission) || !errors.As(err, &denied) || strings.Contains(err.Error(), "root") {
		return ""
	}
	if group := readers(denied.Path); group != "" {
		return fmt.Sprintf("; run it as root, or as a member of group %s, which may read there", group)
	}
	return "; run it as root"
}

// readers returns the name of the group that may read what denies a path to others: the file, or
// the first folder above it that shows nothing. Empty: no group but root may.
func readers(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	fi, err := os.Stat(path)
	for err != nil && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		fi, err = os.Stat(path)
	}
	const groupReads, groupEnters = 0o040, 0o010
	if err != nil || fi.Mode()&groupReads == 0 || fi.IsDir() && fi.Mode()&groupEnters == 0 {
		return ""
	}
	gid, ok := groupOf(fi)
	if !ok || gid == 0 {
		return ""
	}
	g, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		return strconv.Itoa(gid)
	}
	return g.Name
}
