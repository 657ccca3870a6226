# Noonmark. `make` lists the targets.

GO ?= go
ARGS ?=
FUZZTIME ?= 10s
TESTFLAGS ?=
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Put the revision into the programs where git is available.
VCS := $(shell git status --porcelain >/dev/null 2>&1 && echo auto || echo false)
MAINS = ./cmd/refclockd ./cmd/ntsserve ./cmd/refclockctl ./cmd/ntsquery

export CGO_ENABLED = 0

.PHONY: help demo test build check check-fmt check-vet check-static check-cross docs race fuzz campaign interop lab lab-ci lab-long lab-smoke bench bench-gc bench-ke bench-results bench-refclockd bench-servo install uninstall deb clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

demo: build ## run the whole simulated appliance on loopback (ARGS=-once: one reading, then stop)
	@$(GO) build -buildvcs=false -o bin/demo ./internal/demo
	@bin/demo $(ARGS)

# The tests of server/interop build network namespaces and wait for other programs: make interop.
test: ## run every test that needs neither root, hardware nor network namespaces
	@$(GO) test $(TESTFLAGS) $$($(GO) list ./... | grep -v /server/interop)

build: ## build all programs into ./bin
	@$(GO) build -buildvcs=$(VCS) -trimpath -o bin/ $(MAINS)

check: check-fmt check-vet check-static check-cross ## run gofmt, vet, staticcheck and cross builds
	@echo "check: passed"
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

docs: ## write the reference documents in docs/ from the code
	@$(GO) run ./internal/docs/generate

race: ## run every test under the race detector (needs a C compiler)
	@CGO_ENABLED=1 $(GO) test -race $(TESTFLAGS) ./...

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

# How long the campaign plays, its first seed, and where it writes what fails.
CAMPAIGN ?= 10m
SEED ?= 1
campaign: ## play random sites into the engine (CAMPAIGN=10m SEED=1); failures become demo-run/*.events
	@mkdir -p demo-run
	@NOONMARK_CAMPAIGN=$(CAMPAIGN) NOONMARK_SEED=$(SEED) NOONMARK_CAMPAIGN_DIR=$(CURDIR)/demo-run $(GO) test -count=1 -v -timeout 0 -run '^TestCampaign$$' ./internal/replay

interop: ## test with Debian's chrony, NTPsec and ntpd-rs, in network namespaces
	@NOONMARK_PEERS=$${NOONMARK_PEERS-$$(server/interop/peers)} $(GO) test -count=1 -v $(TESTFLAGS) ./server/interop/...

lab-smoke: build ## test the whole chain on a real kernel in QEMU, with simulated devices
	@lab/smoke

lab-ci: ## run a selection of lab scenarios in about eight minutes
	@lab/scenario ci

lab: ## run every lab scenario except igb; writes docs/results/lab.md
	@lab/scenario -report all

lab-long: ## run every lab scenario, with whole hours and the igb driver
	@lab/scenario -report long

bench: ## measure CPU time per answer, compared with chronyd (root; ARGS='-rounds 5 -o FILE')
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run . $(ARGS)

bench-gc: ## measure the effect of garbage collection on timestamps
	@cd server/bench && $(GO) run ./gc $(ARGS)

bench-ke: ## measure NTS-KE handshakes per second and core, compared with chronyd (root)
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run ./ke $(ARGS)

bench-refclockd: build ## measure CPU and memory of refclockd: a real minute, a simulated week
	@NOONMARK_MEASURE=60s NOONMARK_BIN=$(CURDIR)/bin $(GO) test -count=1 -v -run TestCost ./cmd/refclockd
	@NOONMARK_LONG=168h $(GO) test -count=1 -v -timeout 30m -run TestNoGrowth ./refclock

# Seeds of the scenarios. Some scenarios last days, so twenty seeds of all take hours.
SEEDS ?= 1-2
bench-servo: build ## write the servo's figures to docs/results/servo.md (SEEDS=1-20: with more seeds)
	@docs/results/bench-servo $(SEEDS)

bench-results: ## write bench, bench-gc and bench-ke to docs/results/server-bench.md (root; five minutes, on an idle machine)
	@server/bench/results

# Folders of `make install`; DESTDIR is for packagers. With SYSCTL=no it does not
# install the kernel settings (systemd/90-noonmark.conf).
PREFIX ?= /usr/local
DESTDIR ?=
SYSCTL ?= yes
unitdir = $(DESTDIR)/etc/systemd/system

install: ## install programs, units, udev rules, users and kernel settings (SYSCTL=no: without); keeps existing configurations (needs root)
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

uninstall: ## remove what make install installed; keeps /etc/noonmark and /var/lib (needs root)
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl disable --now ntsserve refclockd 2>/dev/null || true
	@rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,refclockd ntsserve) $(addprefix $(DESTDIR)$(PREFIX)/bin/,refclockctl ntsquery)
	@rm -f $(unitdir)/refclockd.service $(unitdir)/ntsserve.service $(DESTDIR)/usr/lib/sysusers.d/noonmark.conf $(DESTDIR)/etc/udev/rules.d/60-noonmark.rules $(DESTDIR)/usr/lib/sysctl.d/90-noonmark.conf
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl daemon-reload

# The architectures of make deb and make release.
ARCHS ?= amd64 arm64 armhf

deb: ## build Debian packages into ./dist (ARCHS="amd64 arm64 armhf")
	@packaging/build-deb dist $(ARCHS)

clean: ## remove built files; keeps .cache, which holds downloads
	@rm -rf bin dist demo-run
