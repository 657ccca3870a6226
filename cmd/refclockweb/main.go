// Command refclockweb serves a web page that shows what refclockd and ntsserve
// publish. It only reads.
package main

import (
	"os"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockweb"
	"noonmark/internal/daemon"
	"noonmark/internal/web"
	"noonmark/refclock/status"
)

func main() {
	p := commandLine()
	os.Exit(p.Main(os.Args[1:], command.Standard()))
}

func commandLine() command.Command {
	p := daemon.Program{
		Name: "refclockweb", Config: refclockweb.DefaultPath, Load: web.Load,
		About: "show what refclockd and ntsserve publish, as a web page",
		Text: `
refclockweb serves a web page and an interface for programs (/api/v1) that show the state of the
clock, its history, the sky and the server. It only reads. Without a configuration file it listens
on 127.0.0.1:9125. Beyond loopback it needs a token and a certificate.

It runs in the foreground, under systemd as a service of type notify. SIGHUP reads the
configuration again. The log goes to standard error, or to the journal. Keys of the
configuration: refclockweb.toml(5).
`,
		Files: []command.File{
			{Path: refclockweb.DefaultPath, Text: "the configuration: refclockweb.toml(5)"},
			{Path: status.DefaultPath, Text: "the state of the clock, from refclockd"},
		},
		SeeAlso: []string{"refclockweb.toml(5)", "refclockd(8)", "ntsserve(8)", "refclockctl(1)"},
	}
	return p.Command()
}
