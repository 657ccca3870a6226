package main

import (
	"context"
	"flag"
	"fmt"

	"noonmark/fleet/certs"
	"noonmark/fleet/manager"
	"noonmark/internal/command"
	"noonmark/internal/config"
	"noonmark/internal/durable"
)

func (o *operator) prepareCertificate(fl *flag.FlagSet, c command.Console) func() error {
	var s certs.Settings
	o.flags(fl)
	command.Strings(fl, &s.Names, "name", "a `NAME` or address by which clients know the fleet")
	fl.StringVar(&s.Directory, "directory", "", "the `URL` of the ACME server's directory (default: Let's Encrypt)")
	fl.StringVar(&s.Email, "email", "", "the `ADDRESS` of the account, which the ACME server may write to")
	roots := fl.String("ca-file", "", "a PEM `FILE` of this machine with the roots for the directory (default: those of each node)")
	fl.StringVar(&s.Challenge, "challenge", certs.HTTP01, "the `KIND` of challenge: "+certs.HTTP01+" or "+certs.DNS01)
	fl.BoolVar(&s.AcceptTerms, "accept-terms", false, "the terms of service of the ACME server are read and accepted")
	replace := fl.Bool("replace", false, "draw new keys for account and certificate, deactivate and revoke the ones before: after a theft")
	end := fl.Bool("off", false, "order no certificate any more; nodes keep the last one")
	return func() error {
		if *end == (len(s.Names) > 0) {
			return command.Usagef("want either -name NAME or -off")
		}
		if *end {
			return o.withManager(func(ctx context.Context, f *fleet, _ *manager.Manager) error {
				if err := certs.Of(f.store).Off(ctx, f.entry("certificate settings", "")); err != nil {
					return err
				}
				return printf(c.Out, "the fleet orders no certificate any more; the last one stays in place until it expires\n")
			})
		}
		if *roots != "" {
			text, _, err := durable.ReadFile(*roots, config.MaxSize)
			if err != nil {
				return fmt.Errorf("-ca-file: %w", err)
			}
			s.Roots = string(text)
		}
		if err := s.Check(); err != nil { // before etcd is asked
			return err
		}
		return o.withManager(func(ctx context.Context, f *fleet, _ *manager.Manager) error {
			if err := certs.Of(f.store).Set(ctx, s, *replace, f.entry("certificate settings", "")); err != nil {
				return err
			}
			return printf(c.Out, "the fleet orders a certificate for %v\nhow it goes on: noonmark-fleet status\n", s)
		})
	}
}

// printCertificate prints the certificate of the fleet, if it orders one.
func (r *report) printCertificate(w *lines) {
	x := r.Certificate
	if x == nil {
		return
	}
	w.printf("\ncertificate for %v: ", certs.Settings{Names: x.Names, Directory: x.Directory, Challenge: x.Challenge})
	if x.Generation == 0 {
		w.printf("none yet\n")
	} else {
		w.printf("number %d, until %s\n", x.Generation, when(x.Expires))
	}
	switch {
	case x.Ordering != "" && x.Holder != "":
		w.printf("%s orders one\n", x.Holder)
	case x.Ordering != "":
		w.printf("an order is open; a node goes on with it when the lease of the last one has ended\n")
	}
	if x.Failures > 0 {
		w.printf("%d orders have failed; the next one is due: %s; the last one: %s\n", x.Failures, when(x.Next), x.Why)
	}
	w.printf("%-20s %-11s %s\n", "NODE", "CERTIFICATE", "STATE")
	for _, n := range r.Nodes {
		if n.Certificate != nil {
			w.printf("%-20s %-11d %s\n", n.Name, n.Certificate.Generation, n.Certificate.State)
		}
	}
}
