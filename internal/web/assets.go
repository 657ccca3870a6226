package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed assets
var embedded embed.FS

// asset is one file of the page.
type asset struct {
	kind string // Content-Type
	tag  string // ETag
	body io.ReaderAt
	size int64
}

// types are the media types of the files, whatever the machine thinks of them.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".json": "application/json", ".txt": "text/plain; charset=utf-8",
}

// assets returns the files of the page by path.
func assets() map[string]asset {
	files := map[string]asset{}
	_ = fs.WalkDir(embedded, "assets", func(name string, d fs.DirEntry, err error) error { // embedded files cannot fail
		if err != nil || d.IsDir() {
			return err
		}
		f, err := embedded.Open(name)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		kind := types[path.Ext(name)]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		at := strings.TrimPrefix(name, "assets")
		if at == "/index.html" {
			at = "/"
		}
		files[at] = newAsset(kind, f.(io.ReaderAt), info.Size()) // of the program's own memory: not a copy
		return nil
	})
	return files
}

func newAsset(kind string, body io.ReaderAt, size int64) asset {
	sum := sha256.New()
	_, _ = io.Copy(sum, io.NewSectionReader(body, 0, size)) // memory cannot fail
	return asset{kind: kind, tag: `"` + hex.EncodeToString(sum.Sum(nil)[:8]) + `"`, body: body, size: size}
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", a.tag)
	h.Set("Cache-Control", "no-cache") // it may be kept, and is asked for again
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(a.body, 0, a.size))
}
