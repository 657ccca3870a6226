# Noonmark. `make` lists the targets.

GO ?= go
ARGS ?=
FUZZTIME ?= 10s
TESTFLAGS ?=
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Stamp the revision into the programs where git can tell it.
VCS := $(shell git status --porcelain >/dev/null 2>&1 && echo auto || echo false)
MAINS = ./cmd/refclockd ./cmd/ntsserve ./cmd/refclockctl ./cmd/ntsquery

export CGO_ENABLED = 0

.PHONY: help demo test build check check-fmt check-vet check-static check-cross race fuzz interop lab lab-ci lab-long lab-smoke bench bench-gc bench-ke bench-results bench-refclockd bench-servo install clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: build ## the whole appliance, virtual, on loopback (ARGS=-once: one reading, then stop)
	@$(GO) build -buildvcs=false -o bin/demo ./internal/demo
	@bin/demo $(ARGS)

test: ## every test that needs neither root nor hardware
	@$(GO) test $(TESTFLAGS) ./...

build: ## all programs into ./bin
	@$(GO) build -buildvcs=$(VCS) -trimpath -o bin/ $(MAINS)

check: check-fmt check-vet check-static check-cross ## gofmt, vet, staticcheck, cross builds
	@echo "check: good"
check-fmt:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
check-vet:
	@$(GO) vet ./... ./.ci/testlog
	@cd server/bench && $(GO) vet ./...
check-static:
	@$(GO) run $(STATICCHECK) ./...
check-cross:
	@GOOS=linux GOARCH=arm64 $(GO) vet ./...
	@GOOS=linux GOARCH=arm GOARM=7 $(GO) vet ./...
	@GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	@GOOS=linux GOARCH=arm64 $(GO) build -buildvcs=false -o bin/linux-arm64/ $(MAINS)
	@GOOS=linux GOARCH=arm GOARM=7 $(GO) build -buildvcs=false -o bin/linux-armv7/ $(MAINS)

race: ## every test under the race detector (needs a C compiler)
	@CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

interop: ## against Debian's chrony, NTPsec and ntpd-rs, in network namespaces of its own
	@NOONMARK_PEERS=$${NOONMARK_PEERS-$$(server/interop/peers)} $(GO) test -count=1 -v $(TESTFLAGS) ./server/interop/...

lab-smoke: build ## a real kernel with pulses, a PTP clock and time-stamping cards, in QEMU
	@lab/smoke

lab-ci: ## what shows most of it in about eight minutes
	@lab/scenario ci

lab: ## every lab scenario, on a real kernel in QEMU; writes docs/results/lab.md
	@lab/scenario -report all

lab-long: ## the same with whole hours, and the igb driver
	@lab/scenario -report long

bench: ## CPU per answer against chronyd (root; ARGS='-rounds 5 -o FILE')
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run . $(ARGS)

bench-gc: ## garbage collections and the timestamps
	@cd server/bench && $(GO) run ./gc $(ARGS)

bench-ke: ## NTS-KE handshakes a second and core, chronyd beside it (root)
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run ./ke $(ARGS)

bench-refclockd: build ## what refclockd costs: a minute of the real one, a week of the simulated one
	@NOONMARK_MEASURE=60s NOONMARK_BIN=$(CURDIR)/bin $(GO) test -count=1 -v -run TestCost ./cmd/refclockd
	@NOONMARK_LONG=168h $(GO) test -count=1 -v -timeout 30m -run TestNoGrowth ./refclock

# Seeds of the scenarios, of which some last days: twenty of all take hours.
SEEDS ?= 1-2
bench-servo: build ## the discipline beside the limit of theory, and every scenario's bound (SEEDS=1-20): the tables of docs/results/servo.md
	@bin/refclockctl servo -bench $(ARGS)
	@bin/refclockctl simulate -scenario all -seeds $(SEEDS)

bench-results: ## all three into docs/results/server-bench.md (root; five minutes, best with nothing else running)
	@server/bench/results

# Where `make install` puts things; DESTDIR for packagers. SYSCTL=no leaves the
# kernel's settings alone (systemd/90-noonmark.conf).
PREFIX ?= /usr/local
DESTDIR ?=
SYSCTL ?= yes
unitdir = $(DESTDIR)/etc/systemd/system

install: ## programs, units, udev rules, users and kernel settings (SYSCTL=no: without); keeps a configuration that is there (needs root)
	@install -D -t $(DESTDIR)$(PREFIX)/sbin bin/refclockd bin/ntsserve
	@install -D -t $(DESTDIR)$(PREFIX)/bin bin/refclockctl bin/ntsquery
	@install -D -m 644 -t $(unitdir) systemd/refclockd.service systemd/ntsserve.service
	@sed -i 's#/usr/local/#$(PREFIX)/#' $(unitdir)/refclockd.service $(unitdir)/ntsserve.service
	@install -D -m 644 systemd/noonmark.sysusers $(DESTDIR)/usr/lib/sysusers.d/noonmark.conf
	@install -D -m 644 -t $(DESTDIR)/etc/udev/rules.d systemd/60-noonmark.rules
	@[ "$(SYSCTL)" = no ] || install -D -m 644 systemd/90-noonmark.conf $(DESTDIR)/usr/lib/sysctl.d/90-noonmark.conf
	@install -d $(DESTDIR)/etc/noonmark
	@for f in refclockd ntsserve; do [ -e $(DESTDIR)/etc/noonmark/$$f.toml ] || install -m 644 configs/$$f.toml $(DESTDIR)/etc/noonmark/; done
	@[ -n "$(DESTDIR)" ] || ! command -v systemd-sysusers >/dev/null || systemd-sysusers
	@[ -n "$(DESTDIR)" ] || ! command -v udevadm >/dev/null || { udevadm control --reload && udevadm trigger --subsystem-match=pps --subsystem-match=ptp; } || true
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl daemon-reload
	@[ "$(SYSCTL)" = no ] || [ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || /usr/lib/systemd/systemd-sysctl /usr/lib/sysctl.d/90-noonmark.conf

clean: ## remove what was built; .cache, which was downloaded, stays
	@rm -rf bin demo-run
