// Package docs holds no code, only tests: that the examples in the README,
// in configs/ and in systemd/ are what the programs really take.
package docs
