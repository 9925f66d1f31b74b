# Every entry point that a person types; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# With the machine's own Node: the project's comes with it.
PNPM := env PATH="$(PATH)" npx -y pnpm@12
# Everything else runs on the project's Node, whatever the machine has.
PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export PATH
PORT ?= 8080
LOGS ?= pretty
MANIFESTS := package.json pnpm-lock.yaml pnpm-workspace.yaml $(wildcard packages/*/package.json */package.json)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: certs ## both forms on this machine, until Ctrl-C  (LOGS=json: raw logs; PORT=9080: other ports; VERSION=2.0.0)
	@node packages/up/src/main.ts -port='$(PORT)' -logs='$(LOGS)'

dev: certs ## the same, starting again when the source changes
	@node packages/up/src/main.ts -port='$(PORT)' -logs='$(LOGS)' -watch yes

certs: install ## make the certificates (tls/, ca/) and the JWT key (keys/) that are missing
	@node packages/certgen/src/main.ts

test: check ## types, lint, unit tests and the contract over both forms
	@vitest run

check: install ## types and lint alone
	@tsc -p .
	@biome check .

bench: install ## measure speed and memory, as ratios to a bare server
	@node bench/src/main.ts

format: install ## format the source, and mend what lint can mend
	@biome check --write .

outdated: install ## the pins that are behind
	@$(PNPM) outdated --recursive

install: node_modules/.installed ## fetch what is missing: the packages and the project's own Node.js
	@node --version | grep -qF "v$$(sed -n 's/^  node: //p' pnpm-workspace.yaml)" || { \
	  echo "node_modules is incomplete: type 'make clean', then the same again" >&2; exit 1; }

node_modules/.installed: $(MANIFESTS)
	@command -v npx >/dev/null || { echo "npx is missing: it comes with Node.js 20 or newer (apt-get install nodejs npm)" >&2; exit 1; }
	@echo 'Fetching packages and the Node.js they run on (the first time takes a while)'
	@$(PNPM) install --frozen-lockfile
	@touch $@

clean: ## remove all that was made
	rm -rf node_modules packages/*/node_modules {bench,docker,test}/node_modules docker/out tls ca keys

.PHONY: help up dev certs test check bench format outdated install clean
