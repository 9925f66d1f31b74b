# Every entry point that a person types; `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# With the machine's own Node: the project's comes with it.
OWN := env PATH="$(PATH)"
PNPM := $(OWN) npx -y pnpm@12
# Everything else runs on the project's Node, whatever the machine has.
PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export PATH
PORT ?= 8080
LOGS ?= pretty
# A registry of one's own, such as localhost:5000.
REGISTRY ?=
# The kind cluster, and the ports of this machine that lead into it.
CLUSTER ?= kubernetes-101
FRONTEND_PORT ?= 8443
MONOLITH_PORT ?= 31000
IN_CLUSTER := CLUSTER='$(CLUSTER)' REGISTRY='$(REGISTRY)' FRONTEND_PORT='$(FRONTEND_PORT)' MONOLITH_PORT='$(MONOLITH_PORT)' k8s/cluster/cluster.sh
IMAGES := $(foreach version,1.0.0 2.0.0,$(foreach name,monolith hello auth certgen,$(addsuffix /,$(REGISTRY))$(name):$(version)))
MANIFESTS := package.json pnpm-lock.yaml pnpm-workspace.yaml $(wildcard packages/*/package.json */package.json)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: certs ## both forms on this machine, until Ctrl-C  (LOGS=json: raw logs; PORT=9080: other ports; VERSION=2.0.0)
	@node packages/up/src/main.ts -port='$(PORT)' -logs='$(LOGS)'

dev: certs ## the same, starting again when the source changes
	@node packages/up/src/main.ts -port='$(PORT)' -logs='$(LOGS)' -watch yes

certs: install ## make the certificates (tls/, ca/) and the JWT key (keys/) that are missing
	@node packages/certgen/src/main.ts

# The tests name the images as they are without a registry.
test: check available-images ## types, lint, and every test that this machine can run  (REQUIRE=docker: fail where Docker does not answer)
	@vitest run

available-images:
	@if [ "$${REQUIRE-}" = docker ] || docker version >/dev/null 2>&1; then $(MAKE) -s images REGISTRY= | sed -n 1p; fi

check: install ## types and lint alone
	@tsc -p .
	@biome check .

images: docker ## build the images, as 1.0.0 and 2.0.0  (REGISTRY=host:5000: named for a registry of your own)
	@echo 'Building images (the first time takes a while)'
	@for image in $(IMAGES); do \
	  name=$${image##*/}; \
	  output=$$(DOCKER_BUILDKIT=1 docker build --progress plain -f docker/Dockerfile --target "$${name%:*}" \
	    --build-arg VERSION="$${name#*:}" -t "$$image" . 2>&1) || { echo "$$output" >&2; exit 1; }; \
	  echo "$$image"; \
	done

push: registry images ## send the images to a registry of your own  (REGISTRY=host:5000)
	@for image in $(IMAGES); do \
	  output=$$(docker push "$$image" 2>&1) || { echo "$$output" >&2; exit 1; }; \
	  echo "pushed $$image"; \
	done

registry:
	@[ -n '$(REGISTRY)' ] || { echo "REGISTRY is missing: say where to, as in 'make push REGISTRY=localhost:5000'" >&2; exit 1; }

docker:
	@command -v docker >/dev/null || { \
	  echo "docker is missing: install Docker (docs.docker.com/get-docker), or type 'make up', which does without" >&2; exit 1; }
	@why=$$(docker version 2>&1 >/dev/null) || { \
	  echo "Docker does not answer: start it, then type the same again ($$(tail -n 1 <<<"$$why"))" >&2; exit 1; }

cluster: docker ## a Kubernetes cluster in Docker, with kind  (CLUSTER=name FRONTEND_PORT=9443 MONOLITH_PORT=32000: another one)
	@$(IN_CLUSTER) cluster

load: images ## build the images and load them into that cluster
	@$(IN_CLUSTER) load $(IMAGES)

deploy: ## apply k8s/ to the cluster that kubectl talks to, and wait until all is Ready  (VERSION=2.0.0; REGISTRY=host:5000: with images from there)
	@$(IN_CLUSTER) deploy

undeploy: ## delete k8s/ from that cluster
	@$(IN_CLUSTER) undeploy

cluster-down: docker ## delete the cluster of 'make cluster'
	@$(IN_CLUSTER) cluster-down

test-cluster: install ## the tests that need a cluster, on the one that kubectl talks to, in namespaces of their own
	@$(IN_CLUSTER) answers
	@REQUIRE=cluster vitest run --no-file-parallelism test/cluster

bench: install available-images ## measure speed and memory, as ratios to a bare server
	@node bench/src/main.ts

bench-cluster: install ## measure memory, CPU and times in the cluster that kubectl talks to
	@$(IN_CLUSTER) answers
	@REQUIRE=cluster vitest run test/cluster/resources.test.ts

format: install ## format the source, and mend what lint can mend
	@biome check --write .

outdated: install ## the pins that are behind
	@$(PNPM) outdated --recursive

install: node_modules/.installed ## fetch what is missing: the packages and the project's own Node.js
	@node --version | grep -qF "v$$(sed -n 's/^  node: //p' pnpm-workspace.yaml)" || { \
	  echo "node_modules is incomplete: type 'make clean', then the same again" >&2; exit 1; }

node_modules/.installed: $(MANIFESTS)
	@command -v npx >/dev/null || { echo "npx is missing: it comes with Node.js 20 or newer (apt-get install nodejs npm)" >&2; exit 1; }
	@$(OWN) node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || { \
	  echo "This machine's Node.js is $$($(OWN) node --version): 20 or newer is needed (nodejs.org)" >&2; exit 1; }
	@echo 'Fetching packages and the Node.js they run on (the first time takes a while)'
	@$(PNPM) install --frozen-lockfile --loglevel error
	@touch $@

clean: ## remove what was made in this directory  (images stay in Docker: 'docker image rm' removes them)
	rm -rf node_modules packages/*/node_modules {bench,docker,test}/node_modules docker/out tls ca ca.crt keys k8s/cluster/ca.crt

.PHONY: help up dev certs test available-images check images push registry docker cluster load deploy undeploy cluster-down test-cluster bench bench-cluster format outdated install clean
