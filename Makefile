# Noonmark. `make` lists the targets.

GO ?= go
ARGS ?=
FUZZTIME ?= 10s
TESTFLAGS ?=
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
# The go command asks the network for what it runs by its version, each time. CI has installed it.
RUN_STATICCHECK ?= $(GO) run $(STATICCHECK)

# Put the revision into the programs where git is available.
VCS := $(shell git status --porcelain >/dev/null 2>&1 && echo auto || echo false)
MAINS = ./cmd/...

export CGO_ENABLED = 0

.PHONY: help demo demo-fleet test test-fleet build build-fleet check check-fmt check-vet check-static check-cross docs share race fuzz faults campaign interop soak lab lab-ci lab-long lab-smoke web-test bench bench-gc bench-attack bench-fleet bench-ke bench-results bench-refclockd bench-servo install uninstall vm deb deb-fleet release clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

demo: build ## run the whole simulated appliance on loopback (ARGS=-once: one reading, then stop)
	@$(GO) build -buildvcs=false -o bin/demo ./internal/demo
	@bin/demo $(ARGS)

# The tests of server/interop build network namespaces and wait for other programs: make interop.
# -p 4: some packages wait for programs that they run, and leave two processors idle.
# Those of internal/web/browser need Chromium: make web-test.
# The programs that tests run are linked once, not by each package; NOONMARK_BIN names a folder that has them already.
# GOGC: simulations have a small heap and much garbage. At 100 its collection takes a fifth to a third of their time.
test: ## run every test that needs neither root, hardware nor network namespaces
	@$(if $(NOONMARK_BIN),,$(GO) build -buildvcs=false -o .cache/programs/ $(MAINS))
	@GOGC=400 NOONMARK_BIN=$(or $(NOONMARK_BIN),$(CURDIR)/.cache/programs) $(GO) test -p 4 $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /server/interop -e /web/browser)

# ./site comes first: its tests wait for real programs, beside the others. They also play some random schedules of failures. SCHEDULES=N plays seeds 1 to N.
test-fleet: ## test the fleet, a module of its own (SCHEDULES=1000: more random schedules of failures)
	@cd fleet && $(GO) test $(TESTFLAGS) -timeout 20m ./site ./...
ifdef SCHEDULES
	@cd fleet && $(GO) test $(TESTFLAGS) -count=1 -timeout 60m ./roots -roots.seeds $(SCHEDULES)
	@cd fleet && $(GO) test $(TESTFLAGS) -count=1 -run UnderRandomFailures ./rollout -rollout.seeds $(SCHEDULES)
	@cd fleet && $(GO) test $(TESTFLAGS) -count=1 -run OrderedTwice ./certs -certs.seeds $(SCHEDULES)
endif

demo-fleet: build build-fleet ## run a fleet of three nodes on loopback (ARGS=-once: two rotations, one node killed and back, then stop)
	@cd fleet && $(GO) build -buildvcs=false -o ../bin/demo-fleet ./demo
	@bin/demo-fleet $(ARGS)

build-fleet: ## build noonmark-fleet into ./bin, with etcd inside
	@cd fleet && $(GO) build -buildvcs=$(VCS) -trimpath -o ../bin/ ./cmd/...

build: ## build all programs into ./bin
	@$(GO) build -buildvcs=$(VCS) -trimpath -o bin/ $(MAINS)

check: check-fmt check-vet check-static check-cross ## run gofmt, vet, staticcheck and cross builds
	@echo "check: passed"
check-fmt:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not gofmt-ed:"; echo "$$bad"; exit 1; fi
check-vet:
	@$(GO) vet ./... ./.ci/testlog
	@cd server/bench && $(GO) vet ./...
	@cd fleet && $(GO) vet ./...
check-static:
	@$(RUN_STATICCHECK) ./...
	@cd fleet && $(RUN_STATICCHECK) ./...
check-cross:
	@GOOS=linux GOARCH=arm64 $(GO) vet ./...
	@GOOS=linux GOARCH=arm GOARM=7 $(GO) vet ./...
	@GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	@GOOS=linux GOARCH=arm64 $(GO) build -buildvcs=false -o bin/linux-arm64/ $(MAINS)
	@GOOS=linux GOARCH=arm GOARM=7 $(GO) build -buildvcs=false -o bin/linux-armv7/ $(MAINS)

share: ## write manual pages and completions into ./bin/share; make install installs them
	@rm -rf bin/share && $(GO) run ./internal/docs/generate -share bin/share

docs: ## write the reference documents in docs/ from the code
	@$(GO) run ./internal/docs/generate

# internal/docs and internal/laws read the tree; they start no goroutine, and take minutes here.
# internal/campaign plays sites for a minute and a half, and what it plays is in other packages.
race: ## run the tests under the race detector (needs a C compiler)
	@CGO_ENABLED=1 GOGC=400 $(GO) test -race -p 3 $(TESTFLAGS) $$($(GO) list ./... | grep -v -e /web/browser -e /server/interop -e /internal/docs -e /internal/laws -e /internal/campaign)

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@.ci/fuzz $(FUZZTIME)

# The fault table is played with seeds 1 to FAULTS; make test plays seed 1.
FAULTS ?= 20
faults: ## play the fault table with seeds 1 to FAULTS (20), which takes a minute of two processors
	@NOONMARK_FAULT_SEEDS=$(FAULTS) GOGC=400 $(GO) test -count=1 -timeout 10m -run '^TestFaults$$' $(TESTFLAGS) ./refclock

# How many sites the campaign plays, its first seed, and how long it may take.
SITES ?= 10000
SEED ?= 1
CAMPAIGN ?= 2h
campaign: ## play random sites into the engine (SITES=10000 SEED=1 CAMPAIGN=2h); failures become demo-run/*.events; writes docs/results/campaign.md
	@$(GO) run ./internal/campaign/run -sites $(SITES) -seed $(SEED) -for $(CAMPAIGN) -results docs/results/campaign.md

interop: ## test with Debian's chrony, NTPsec and ntpd-rs, in network namespaces
	@NOONMARK_PEERS=$${NOONMARK_PEERS-$$(server/interop/peers)} $(GO) test -count=1 -v $(TESTFLAGS) ./server/interop/...

soak: ## attack ntsserve for 190 s with 25 million datagrams, kill it 300 times, and write docs/results/soak.md (root)
	@server/interop/soak

web-test: build ## test the web page in Chromium (installs it as root where it is missing); screenshots in .cache/web
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core; } || true
	@NOONMARK_BIN=$(CURDIR)/bin $(GO) test -count=1 -v $(TESTFLAGS) ./internal/web/browser

lab-smoke: build ## test the whole chain on a real kernel in QEMU, with simulated devices
	@lab/smoke

lab-ci: ## run a selection of lab scenarios, two at once, in about five minutes
	@lab/scenario -jobs 2 ci

lab: ## run every lab scenario except igb; writes docs/results/lab.md
	@lab/scenario -report all

lab-long: ## run every lab scenario, with whole hours and the igb driver
	@lab/scenario -report long

bench: ## measure CPU time per answer, compared with chronyd (root; ARGS='-rounds 5 -o FILE')
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run . $(ARGS)

bench-gc: ## measure the effect of garbage collection on timestamps
	@cd server/bench && $(GO) run ./gc $(ARGS)

bench-attack: ## load ntsserve and chronyd as attackers do, and write docs/results/attack.md (root; three minutes)
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run ./attack -o ../../docs/results/attack.md $(ARGS)

bench-ke: ## measure NTS-KE handshakes per second and core, compared with chronyd and the goals (root)
	@cd server/bench && NOONMARK_PEERS=$${NOONMARK_PEERS-$$(../interop/peers)} $(GO) run ./ke $(ARGS)

bench-fleet: ## run 25 to 200 nodes of a fleet against one etcd, and write docs/results/fleet-scale.md (six minutes; ARGS="-agents 400": other sizes)
	@cd fleet && $(GO) build -buildvcs=false -o ../bin/fleet-scale ./scale
	@bin/fleet-scale -o docs/results/fleet-scale.md $(ARGS)

bench-refclockd: build ## measure CPU and memory of refclockd and the page, judge the goals, and write docs/results/refclockd-cost.md (ten minutes, on an idle machine)
	@docs/results/bench-refclockd $(ARGS)

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
UNITS = $(notdir $(wildcard systemd/*.service systemd/*.timer))

install: ## install programs, units, udev rules, users and kernel settings (SYSCTL=no: without); keeps existing configurations (needs root)
	@install -D -t $(DESTDIR)$(PREFIX)/sbin bin/refclockd bin/ntsserve bin/refclockweb
	@install -D -t $(DESTDIR)$(PREFIX)/bin bin/refclockctl bin/ntsquery
	@install -D -m 644 -t $(unitdir) $(addprefix systemd/,$(UNITS))
	@sed -i 's#/usr/local/#$(PREFIX)/#' $(addprefix $(unitdir)/,$(UNITS))
	@[ ! -d bin/share ] || { install -d $(DESTDIR)$(PREFIX)/share && cp -R bin/share/. $(DESTDIR)$(PREFIX)/share/; }
	@install -D -m 644 systemd/noonmark.sysusers $(DESTDIR)/usr/lib/sysusers.d/noonmark.conf
	@install -D -m 644 -t $(DESTDIR)/etc/udev/rules.d systemd/60-noonmark.rules
	@[ "$(SYSCTL)" = no ] || install -D -m 644 systemd/90-noonmark.conf $(DESTDIR)/usr/lib/sysctl.d/90-noonmark.conf
	@[ -d $(DESTDIR)/etc/noonmark ] || install -d $(DESTDIR)/etc/noonmark # owner and mode of one that exists stay: docs/fleet.md
	@for f in refclockd ntsserve refclockweb; do [ -e $(DESTDIR)/etc/noonmark/$$f.toml ] || install -m 644 configs/$$f.toml $(DESTDIR)/etc/noonmark/; done
	@[ -n "$(DESTDIR)" ] || ! command -v systemd-sysusers >/dev/null || systemd-sysusers
	@[ -n "$(DESTDIR)" ] || ! command -v udevadm >/dev/null || { udevadm control --reload && udevadm trigger --subsystem-match=pps --subsystem-match=ptp; } || true
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl daemon-reload
	@[ "$(SYSCTL)" = no ] || [ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || /usr/lib/systemd/systemd-sysctl /usr/lib/sysctl.d/90-noonmark.conf

uninstall: ## remove what make install installed; keeps /etc/noonmark and /var/lib (needs root)
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl disable --now $(UNITS) 2>/dev/null || true
	@rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,refclockd ntsserve refclockweb) $(addprefix $(DESTDIR)$(PREFIX)/bin/,refclockctl ntsquery)
	@cd $(DESTDIR)$(PREFIX)/share 2>/dev/null && rm -f $(foreach p,refclockd ntsserve refclockweb refclockctl ntsquery,man/man[158]/$(p).* bash-completion/completions/$(p) zsh/vendor-completions/_$(p) fish/vendor_completions.d/$(p).fish) man/man5/alert.toml.5 || true
	@rm -f $(addprefix $(unitdir)/,$(UNITS)) $(DESTDIR)/usr/lib/sysusers.d/noonmark.conf $(DESTDIR)/etc/udev/rules.d/60-noonmark.rules $(DESTDIR)/usr/lib/sysctl.d/90-noonmark.conf
	@[ ! -d /run/systemd/system ] || [ -n "$(DESTDIR)" ] || systemctl daemon-reload

vm: ## test the packages on Debian 12 and 13 with a real systemd, each role, and on arm64 and armhf (root, on amd64; see packaging/vm)
	@packaging/build-deb dist amd64 arm64 armhf >/dev/null
	@d=dist/noonmark_$$(sed -n 's/^const Number = "\(.*\)"/\1/p' internal/version/version.go); \
	  packaging/lifecycle/run $${d}_amd64.deb && packaging/vm/foreign $${d}_arm64.deb $${d}_armhf.deb && \
	  packaging/vm/run -deb $${d}_amd64.deb all && packaging/vm/run -suite trixie -deb $${d}_amd64.deb all && \
	  packaging/vm/run -pages -deb $${d}_amd64.deb all && \
	  packaging/vm/run -deb $${d}_arm64.deb lan-arm64

# The architectures of make deb and make release.
ARCHS ?= amd64 arm64 armhf

deb: ## build Debian packages into ./dist (ARCHS="amd64 arm64 armhf")
	@packaging/build-deb dist $(ARCHS)

deb-fleet: ## build the Debian package of noonmark-fleet into ./dist (64-bit: ARCHS="amd64 arm64")
	@packaging/build-fleet-deb dist $(filter-out armhf,$(ARCHS))

release: ## build packages, bills of materials, apt repository and checksums into ./dist, twice (SIGN_KEY=ID signs)
	@packaging/release dist $(ARCHS)

clean: ## remove built files; keeps .cache, which holds downloads
	@rm -rf bin dist demo-run
