.DEFAULT_GOAL := help
.PHONY: help demo test test-full lint sanity unit browser molecule integration bench lab lab-down docs bootstrap

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: bootstrap ## See the main job happen on real machines: create, attach, move, detach, delete
	@.venv/bin/python tests/demo

test: ## Everything that has to hold: linters, sanity, unit tests, Molecule on the lab
	@tests/run

test-full: export FULL := 1
test-full: test ## The same with the tests that take long, a module killed at every moment, and the benchmarks of 8 volumes
	@tests/bench/run --volumes 8

lint sanity unit browser molecule integration:
	@tests/run $@

lint: ## The linters alone
sanity: ## ansible-test sanity alone
unit: ## The unit tests alone
browser: ## The tests of the report alone, in Chromium
molecule: ## The Molecule scenarios alone, on the lab
integration: ## The tests of the contract alone, on the lab

bench: ## The benchmarks, on the lab, 1 to 2 hours; tests/bench/run --help shows how to run parts
	@tests/bench/run

lab: bootstrap ## Boot the lab: a controller and two hosts on two storage networks
	@.venv/bin/python tests/lab up

lab-down: bootstrap ## Take the lab down
	@.venv/bin/python tests/lab down

docs: bootstrap ## Build the documentation into build/docs
	@docs/build

bootstrap:
	@tests/bootstrap
