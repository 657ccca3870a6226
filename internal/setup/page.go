package setup

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"noonmark/internal/config/refclockweb"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/server/certs"
)

// Where the page may be: the answers to its question.
const (
	pageLocal   = "local"
	pageNetwork = "network"
	pageOff     = "off"
)

// What a page for a network needs.
const (
	pageUser  = "refclockweb" // who refclockweb runs as
	pageDir   = configDir + "/web"
	pageToken = configDir + "/refclockweb.token"
)

const maxToken = 4096 // octets, as refclockweb reads

// Page is where the web page is. Its JSON keys are a contract.
type Page struct {
	URLs  []string `json:"urls"`
	Token string   `json:"token_file,omitempty"` // empty: it asks for none
	CA    string   `json:"ca_file,omitempty"`    // that browsers must trust; empty: none
}

// checkWeb checks where the page is to be. A page for a network needs a name that its
// certificate can be for.
func checkWeb(m *Machine, a *Answers, answer string) error {
	if how, _, _ := ntsOf(a.NTS); answer == pageNetwork && how != "acme" && len(m.Names) == 0 {
		return errors.New("network needs a certificate, and this machine has no name and no address that it could be for; want local or off, or give the machine an address")
	}
	return checkPlace(answer)
}

// checkPlace refuses what is no place for a page.
func checkPlace(answer string) error {
	switch answer {
	case pageLocal, pageNetwork, pageOff:
		return nil
	}
	return fmt.Errorf("%q is no place for the web page; want local, network or off", answer)
}

// observed reports whether this machine shows anything: the page, and the metrics of the daemons.
func (a *Answers) observed() bool { return a.Web == pageLocal || a.Web == pageNetwork }

// pagePublic reports whether the page is for a network, with its certificate by ACME.
func (p *Plan) pagePublic() bool { return p.pageShared() && !p.pagePrivate() }

// pagePrivate reports whether the page is for a network, with a certificate of our own authority.
func (p *Plan) pagePrivate() bool {
	how, _, _ := ntsOf(p.Answers.NTS) // it was checked
	return p.pageShared() && how != "acme"
}

// pageShared reports whether the page is for a network.
func (p *Plan) pageShared() bool {
	return p.Answers.Web == pageNetwork && p.machine.Units.Web != ""
}

// pageFiles are what the page needs; those without data are not needed.
func (p planner) pageFiles() ([]FileChange, error) {
	page, settings := FileChange{Path: webConfig}, FileChange{Path: webDropIn, follows: webConfig}
	switch m := p.machine; {
	case m.Units.Web == "":
	case p.Answers.Web == pageLocal:
		page.data = localPage()
	case p.Answers.Web == pageNetwork:
		page.data = sharedPage(m, &p.Answers)
	}
	if p.pagePublic() {
		settings.data = webSettings()
	}
	token, err := p.token()
	return []FileChange{token, page, settings}, err
}

// token is what becomes of the page's token. One that is there is kept, whoever made it.
func (p planner) token() (FileChange, error) {
	f := FileChange{Path: pageToken, mode: 0o640, reader: pageUser}
	if !p.pageShared() {
		return f, nil
	}
	path := p.path(pageToken)
	b, mode, err := durable.ReadFile(path, maxToken)
	if errors.Is(err, fs.ErrNotExist) {
		f.data = []byte(rand.Text() + "\n") // 130 random bits
		return f, nil
	}
	refuse := func(err error) (FileChange, error) {
		return f, fmt.Errorf("%w: token of the web page: %w; or move the file away, and setup makes another", exitcode.ErrConfig, err)
	}
	if _, err := refclockweb.ReadToken(path); err != nil {
		return refuse(err)
	}
	wantUID, wantGID, err := p.numbers(pageUser)
	if err != nil {
		return f, err
	}
	if uid, gid := ownerOf(path); !(uid == wantUID && mode&0o400 != 0) && !(gid == wantGID && mode&0o040 != 0) {
		return refuse(fmt.Errorf("the user %s cannot read %s; want chgrp %s and chmod 640", pageUser, pageToken, pageUser))
	}
	f.data = b
	return f, nil
}

// loadPage checks a configuration of the page. The token that is planned need not exist yet.
func (p planner) loadPage(path string) error {
	s, err := refclockweb.LoadWithoutToken(path)
	if err != nil || s.TokenFile == pageToken && p.pageShared() {
		return err
	}
	_, err = refclockweb.Load(path)
	return err
}

// localPage returns refclockweb's configuration. Its defaults are those of a page for this machine:
// without a key in it, the file is what the unit waits for.
func localPage() []byte {
	d := newDocument(head, "docs/reference-configuration.md has all keys. A file that was changed by hand is kept.")
	fmt.Fprintf(&d.b, "#\n# The page is at http://%v/, for this machine only. refclockctl setup -web network makes it one for\n# other machines, with a token and a certificate.\n", refclockweb.DefaultListen())
	return d.bytes()
}

// sharedPage returns refclockweb's configuration of a page for a network.
func sharedPage(m *Machine, a *Answers) []byte {
	d := newDocument(head, "docs/reference-configuration.md has all keys. A file that was changed by hand is kept.")
	fmt.Fprintln(&d.b)
	port := refclockweb.DefaultListen().Port()
	if m.IPv6 {
		d.set("listen", netip.AddrPortFrom(netip.IPv6Unspecified(), port).String(), "all IPv4 and IPv6 addresses of this machine")
	} else {
		d.set("listen", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String(), "all IPv4 addresses of this machine")
	}
	how, public, _ := ntsOf(a.NTS) // it was checked
	var names []string
	if how == "acme" {
		names = append(names, public)
	}
	for _, n := range m.Names {
		if _, err := netip.ParseAddr(n); err != nil && !strings.EqualFold(n, public) {
			names = append(names, n)
		}
	}
	if len(names) > 0 {
		d.set("names", names, "the names that users enter, besides addresses; any other is refused")
	}
	d.set("token_file", pageToken, "users enter the token in it; only root and "+pageUser+" can read it")
	if how == "acme" {
		d.table("acme")
		d.set("names", []string{public}, "the name that users enter")
		d.set("accept_terms", true, "accepted during setup")
		d.set("http", "0.0.0.0:80", "Let's Encrypt asks here whether the name is yours; ntsserve uses the port at other times")
		return d.bytes()
	}
	d.table("[certificate]")
	d.set("file", pageDir+"/"+certs.ServerCert, "by the authority in "+authorityDir+"; "+renewTimer+" renews it")
	d.set("key", pageDir+"/"+certs.ServerKey, "it belongs to the user "+pageUser)
	return d.bytes()
}

// page returns where the page is; nil: there is none, or its configuration is of others.
func (p *Plan) page() *Page {
	kept := slices.ContainsFunc(p.Files, func(f FileChange) bool { return f.Path == webConfig && f.Action == Keep })
	port := strconv.Itoa(int(refclockweb.DefaultListen().Port()))
	switch {
	case p.machine.Units.Web == "" || !p.Answers.observed() || kept:
		return nil
	case p.Answers.Web == pageLocal:
		return &Page{URLs: []string{"http://" + refclockweb.DefaultListen().String() + "/"}}
	}
	x := &Page{Token: pageToken}
	names := p.machine.Names
	if _, public, _ := ntsOf(p.Answers.NTS); public != "" { // the certificate has no other name
		names = []string{public}
	} else {
		x.CA = authorityDir + "/" + certs.AuthorityCert
	}
	for _, n := range names {
		x.URLs = append(x.URLs, "https://"+net.JoinHostPort(n, port)+"/")
	}
	return x
}

// text writes where the page is for people.
func (x *Page) text() string {
	if x == nil {
		return ""
	}
	var b bytes.Buffer
	where := "a browser on this machine"
	if x.Token != "" {
		where = "any browser"
	}
	if x.CA != "" {
		where = fmt.Sprintf("browsers that trust %s", x.CA)
	}
	fmt.Fprintf(&b, "\n# web page: %s\n%s\n", where, strings.Join(x.URLs, "\n"))
	if x.Token != "" {
		fmt.Fprintf(&b, "# the token that it asks for\nsudo cat %s\n", x.Token)
	}
	return b.String()
}

// numbers returns the numbers of a user of a daemon, who must be able to read what is secret.
func (s *System) numbers(name string) (uid, gid int, err error) {
	if uid, gid, err = s.User(name); err != nil {
		err = fmt.Errorf("%w: user %s, who must be able to read a secret file: %w; run systemd-sysusers", exitcode.ErrUnavailable, name, err)
	}
	return uid, gid, err
}
