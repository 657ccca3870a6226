package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"noonmark/internal/backup"
	"noonmark/internal/command"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/doctor"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
)

func backupCommand() command.Command {
	return command.Command{
		Name: "backup", About: "keep configuration, keys and learned state in one file", Args: "FILE", Code: command.FileCode,
		Text: `
Writes what makes this machine the time server that it is to one file: configuration,
settings of the units, which of them are enabled, certificates, authority, keys, and what was learned of the
oscillators, and the record that setup -undo needs. Recordings and histories are left out.
Whoever has FILE can pose as this server, so it is readable by its owner only. Run it as root.
`,
		Prepare: func(fl *flag.FlagSet, c command.Console) func([]string) error {
			force := fl.Bool("force", false, "replace FILE")
			return func(args []string) error {
				name, err := command.OneArg(args, "FILE")
				if err != nil {
					return err
				}
				return makeBackup(name, *force, c)
			}
		},
		Manual: command.Manual{Examples: []command.Example{{For: "move a server to another machine, where the package is installed", Line: "refclockctl backup noonmark.backup"}}},
	}
}

func restoreCommand() command.Command {
	return command.Command{
		Name: "restore", About: "write what a backup has to this machine", Args: "FILE", Code: restoreCode,
		Text: `
Writes the files of a backup to their places, with their modes and owners. The backup is
read and checked as a whole before the first file is written. Files that exist with
another content are replaced only with -force; files that are not in the backup stay. Run
it as root. Units that were enabled are enabled again; start or restart them after that.
`,
		Prepare: func(fl *flag.FlagSet, c command.Console) func([]string) error {
			force := fl.Bool("force", false, "replace files that exist with another content")
			list := fl.Bool("n", false, "only list the files")
			return func(args []string) error {
				name, err := command.OneArg(args, "FILE")
				if err != nil {
					return err
				}
				return restore(name, *force, *list, c)
			}
		},
	}
}

// restoreCode is that of files, and of a systemd that does not do what is asked.
func restoreCode(err error) int {
	if errors.Is(err, exitcode.ErrUnavailable) {
		return exitcode.Unavailable
	}
	return command.FileCode(err)
}

// makeBackup writes a backup of this machine.
func makeBackup(name string, force bool, c command.Console) error {
	var m backup.Machine
	kept, skipped, err := m.Read()
	if err != nil {
		return err
	}
	if len(kept.Files) == 0 {
		return fmt.Errorf("there is nothing to keep in %s", strings.Join(backup.Places(), ", "))
	}
	for _, s := range append(skipped, elsewhere()...) {
		fmt.Fprintf(c.Err, "left out: %s\n", s)
	}
	var b bytes.Buffer
	if err := backup.Pack(&b, kept, time.Now()); err != nil {
		return err
	}
	if err := durable.WriteFile(name, b.Bytes(), 0o600, force); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; -force replaces it", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s: %d files and directories, %d octets; it has the keys of this server\n", name, len(kept.Files), b.Len())
	return nil
}

// elsewhere names what the configurations keep outside of the places of a backup.
func elsewhere() (list []string) {
	check := func(key, name string) {
		if name != "" && !backup.Contains(name) {
			list = append(list, name+": "+key+" is outside of "+strings.Join(backup.Places(), ", "))
		}
	}
	if s, err := refclockd.Load(refclockd.DefaultPath); err == nil {
		check("state_dir", s.StateDir+"/state")
	}
	if s, err := ntsserve.Load(ntsserve.DefaultPath); err == nil {
		check("keys.file", s.Keys.File)
		check("ke.key", s.KE.Key)
	}
	return list
}

// restore writes the files of a backup, or lists them.
func restore(name string, force, list bool, c command.Console) error {
	f, _, err := durable.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	kept, err := backup.Unpack(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if list {
		for _, x := range kept.Files {
			fmt.Fprintf(c.Out, "%v %-9s %-9s %8d %s\n", x.Mode, x.User, x.Group, len(x.Data), x.Name)
		}
		for _, u := range kept.Enabled {
			fmt.Fprintf(c.Out, "enabled %s\n", u)
		}
		return nil
	}
	var m backup.Machine
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: owners are restored, which needs root", fs.ErrPermission)
	}
	if d := m.Differing(kept.Files); len(d) > 0 && !force {
		return fmt.Errorf("%w with another content: %s; -force replaces them", fs.ErrExist, strings.Join(d, ", "))
	}
	if err := m.Write(kept.Files); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "restored %d files and directories\n", len(kept.Files))
	return enable(kept.Enabled, c)
}

// enable has systemd know the files that were restored, and start units at the next boot.
func enable(units []string, c command.Console) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		fmt.Fprintf(c.Out, "systemd does not run here; enable: %s\n", strings.Join(units, " "))
		return nil
	}
	h := doctor.ThisHost("")
	if _, err := h.Command("systemctl", "daemon-reload"); err != nil {
		return fmt.Errorf("%w: systemctl daemon-reload: %w", exitcode.ErrUnavailable, err)
	}
	if len(units) == 0 {
		return nil
	}
	if _, err := h.Command("systemctl", append([]string{"enable"}, units...)...); err != nil {
		return fmt.Errorf("%w: the files are restored, but systemctl enable %s: %w; is the package installed?", exitcode.ErrUnavailable, strings.Join(units, " "), err)
	}
	fmt.Fprintf(c.Out, "enabled; now: systemctl restart %s\n", strings.Join(units, " "))
	return nil
}
