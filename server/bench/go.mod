module noonmark/server/bench

go 1.26.0

require (
	github.com/cilium/ebpf v0.22.0
	github.com/secure-io/siv-go v0.0.0-20180922214919-5ff40651e2c4
	golang.org/x/sys v0.49.0
	noonmark v0.0.0
)

require github.com/aead/cmac v0.0.0-20160719120800-7af84192f0b1 // indirect

replace noonmark => ../..
