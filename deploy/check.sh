#!/usr/bin/env bash
# What `make e2e` checks of the chart, the Dockerfile and the scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

shellcheck .ci/run deploy/*.sh
hadolint Dockerfile

manifest=$(mktemp --suffix .yaml)
trap 'rm -f "$manifest"' EXIT
for values in helm/ci/*-values.yaml; do
    echo "$values"
    helm lint --strict --quiet helm --values "$values"
    helm template infirmary helm --values "$values" >"$manifest"
    kubernetes-validate --kubernetes-version 1.31 --strict --quiet "$manifest"
done
