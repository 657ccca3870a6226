package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"noonmark/internal/backup"
	"noonmark/internal/command"
	"noonmark/internal/doctor"
)

func backupCommand() command.Command {
	return command.Command{
		Name: "backup", About: "keep configuration, keys and learned state in one file", Args: "FILE", Code: command.FileCode,
		Text: `
Writes what makes this machine the time server that it is to one file: configuration,
settings of the units, which of them are enabled, certificates, authority, keys, and what was learned of the
oscillators, and the record that setup -undo needs. Recordings, histories and the membership of a
fleet are left out.
Whoever has FILE can pose as this server, so it is readable by its owner only. Run it as root.
`,
		Prepare: command.OneArg("FILE", func(fl *flag.FlagSet, c command.Console) func(string) error {
			force := fl.Bool("force", false, "replace FILE")
			return func(name string) error {
				var m backup.Machine
				saved, err := m.Save(name, *force, time.Now())
				if err != nil {
					return err
				}
				for _, s := range saved.Skipped {
					fmt.Fprintf(c.Err, "left out: %s\n", s)
				}
				fmt.Fprintf(c.Out, "%s: %d files and directories, %d octets; it has the keys of this server\n", name, saved.Files, saved.Octets)
				return nil
			}
		}),
		Manual: command.Manual{Examples: []command.Example{{For: "move a server to another machine, where the package is installed", Line: "refclockctl backup noonmark.backup"}}},
	}
}

func restoreCommand() command.Command {
	return command.Command{
		Name: "restore", About: "write what a backup has to this machine", Args: "FILE", Code: command.FileCode,
		Text: `
Writes the files of a backup to their places, with their modes and owners. The backup is
read and checked as a whole before the first file is written. Files that exist with
another content are replaced only with -force; files that are not in the backup stay. Run
it as root. Units that were enabled are enabled again; start or restart them after that.
`,
		Prepare: command.OneArg("FILE", func(fl *flag.FlagSet, c command.Console) func(string) error {
			force := fl.Bool("force", false, "replace files that exist with another content")
			list := fl.Bool("n", false, "only list the files")
			return func(name string) error { return restore(name, *force, *list, c) }
		}),
	}
}

// restore writes the files of a backup, or lists them.
func restore(name string, force, list bool, c command.Console) error {
	kept, err := backup.Load(name)
	switch {
	case err != nil:
		return err
	case list:
		kept.WriteText(c.Out)
		return nil
	case os.Geteuid() != 0:
		return fmt.Errorf("%w: owners are restored, which needs root", fs.ErrPermission)
	}
	var m backup.Machine
	if err := m.Restore(kept, force); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "restored %d files and directories\n", len(kept.Files))
	if text := m.Outdated(kept); text != "" {
		fmt.Fprintf(c.Err, "warning: %s\n", text)
	}
	return m.Enable(c.Out, kept.Enabled, doctor.ThisHost("").Command)
}
