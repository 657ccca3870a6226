package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
	"noonmark/internal/version"
)

func TestMainAnswersTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		load error
		code int
		says string
	}{
		{[]string{"-nope"}, nil, exitcode.Usage, "unknown flag -nope\n"},
		{[]string{"-config"}, nil, exitcode.Usage, "needs an argument"},
		{[]string{"x.toml"}, nil, exitcode.Usage, "name the file with -config FILE"},
		{[]string{"-chek"}, nil, exitcode.Usage, "did you mean -check?"},
		{[]string{"-check"}, &config.Error{File: "f", Problem: "p", Remedy: "r"}, exitcode.Config, "f: p; r\n"},
		{[]string{"-check"}, fs.ErrPermission, exitcode.Permission, "permission"},
		{[]string{"-check", "-config", "x.toml"}, nil, exitcode.OK, "warning: look out\nx.toml: can be used, but see the warning\n"},
		{[]string{"-check"}, nil, exitcode.OK, "warning: look out\n/etc/d.toml: can be used, but see the warning\n"},
		{[]string{"-h"}, nil, exitcode.OK, "-check"},
		{[]string{"-version"}, nil, exitcode.OK, version.Text("refclockd") + "\n"},
	} {
		var out bytes.Buffer
		p := Program{Name: "refclockd", Config: "/etc/d.toml", Load: func(string) (*Loaded, error) {
			if c.load != nil {
				return nil, c.load
			}
			return &Loaded{Warnings: []string{"look out"}}, nil
		}}
		if code := Main(p, c.args, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit code %d, %q; want %d, %q", c.args, code, &out, c.code, c.says)
		}
	}
}

func TestMainServesTheConfigurationItLoaded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("odd"), exitcode.Software},
		{fmt.Errorf("open: %w", exitcode.ErrUnavailable), exitcode.Unavailable},
		{nil, exitcode.OK},
	} {
		loaded := ""
		p := Program{Name: "d", Load: func(path string) (*Loaded, error) {
			loaded = path
			return &Loaded{Log: config.Log{Level: "error"}, Serve: func(_ context.Context, log *slog.Logger) error {
				if log.Enabled(t.Context(), slog.LevelWarn) {
					t.Error("the configured log level is not used")
				}
				return c.err
			}}, nil
		}}
		if code := Main(p, []string{"-config", "a.toml"}, nil); code != c.code || loaded != "a.toml" {
			t.Errorf("%v: exit code %d, loaded %q; want %d", c.err, code, loaded, c.code)
		}
	}
}
