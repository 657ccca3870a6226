package ntsserve

import (
	"fmt"
	"os"

	"noonmark/internal/config"
	"noonmark/server"
	"noonmark/server/mac"
)

// checkMAC checks [mac] and [[key]].
func (s *Settings) checkMAC(c *config.Checker) {
	switch c.OneOf("mac.refused", s.MAC.Refused, "silence", "crypto_nak", "plain"); s.MAC.Refused {
	case "crypto_nak":
		s.BadMAC = server.NAKBadMAC
	case "plain":
		s.BadMAC = server.PlainBadMAC
	}
	s.SymmetricKeys = mac.Source{List: s.MAC.KeysFile}
	if s.MAC.KeysFile != "" {
		s.checkKeyFile(c, "mac.keys_file", s.MAC.KeysFile)
	}
	seen := map[uint32]int{}
	for i, k := range s.Key {
		key := fmt.Sprintf("key[%d]", i)
		if j, ok := seen[k.ID]; ok {
			c.Refuse(key+".id", "key[%d] has the identifier %d already; want another, or one of the two keys", j, k.ID)
		}
		seen[k.ID] = i
		s.checkKey(c, key, k)
	}
	if fi, err := os.Stat(c.File.Path); err == nil && len(s.SymmetricKeys.Keys) > 0 && fi.Mode().Perm()&0o004 != 0 {
		s.Warnings = append(s.Warnings, c.File.Errorf("key", "every user of this machine can read the keys in this file; chmod 640").Error())
	}
}

// checkKey checks one [[key]] and adds it to the settings.
func (s *Settings) checkKey(c *config.Checker, key string, k Key) {
	c.Require(k.ID != 0, key+".id", "is missing, or 0, which means that there is no key; want 1 to 4294967295, as in the client's configuration")
	t, ok := mac.ParseType(k.Type)
	if !ok {
		c.OneOf(key+".type", k.Type, mac.TypeNames()...)
	}
	if (k.Key == "") == (k.File == "") {
		c.Refuse(key, "has both a key and a file, or neither; want key = \"HEX:...\", or file with a path")
		return
	}
	if k.File != "" {
		s.checkKeyFile(c, key+".file", k.File)
		s.SymmetricKeys.Files = append(s.SymmetricKeys.Files, mac.KeyFile{ID: k.ID, Type: t, Path: k.File})
		return
	}
	if k.ID == 0 || !ok {
		return
	}
	secret, err := mac.Decode(string(k.Key))
	if err == nil {
		var sym *mac.Key
		if sym, err = mac.NewKey(k.ID, t, secret); err == nil {
			s.SymmetricKeys.Keys = append(s.SymmetricKeys.Keys, sym)
			return
		}
	}
	c.Refuse(key+".key", "%w; want HEX: and hexadecimal digits, 32 of them for AES128, 64 for AES256, or text for the other types", err)
}

// checkKeyFile warns if there is no such file.
func (s *Settings) checkKeyFile(c *config.Checker, key, path string) {
	if _, err := os.Stat(path); err != nil {
		s.Warnings = append(s.Warnings, c.File.Errorf(key, "%w; without it, clients with its keys get no answer", err).Error())
	}
}
