#!/usr/bin/env bash
# build-blas.sh VENV: adds llama.cpp's BLAS backend to the llama-cpp-python of VENV, on Linux with an x86-64
# processor (docs/decisions/0007).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(realpath "$1")
python=$venv/bin/python
pip=("$python" -m pip --disable-pip-version-check --no-input)

# The backend shares structures with libggml: one of another version would crash it.
version=$("$python" -c 'from importlib.metadata import version; print(version("llama-cpp-python"))')
library=$venv/lib/infirmary/libggml-blas-$version.so
if [[ $library -nt deploy/sgemm.h && $library -nt deploy/build-blas.sh ]]; then
    exit
fi

work=$(mktemp -d -p "$venv")
trap 'rm -rf "$work"' EXIT
"${pip[@]}" install -c constraints.txt scipy-openblas32
# pip asks the sources for their metadata, which takes it a build environment and three seconds.
"${pip[@]}" download --no-deps --no-binary llama-cpp-python -d "$work" "llama-cpp-python==$version"
tar -xzf "$work"/*.tar.gz -C "$work" --strip-components=1 --wildcards \
    '*/vendor/llama.cpp/ggml/include' '*/vendor/llama.cpp/ggml/src/*.h' '*/vendor/llama.cpp/ggml/src/ggml-blas'

site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
openblas=$site/scipy_openblas32
ggml=$work/vendor/llama.cpp/ggml
mkdir -p "${library%/*}"
# No -march: this is glue, OpenBLAS picks its kernels by the processor it finds.
"${CXX:-c++}" -O3 -DNDEBUG -std=c++17 -fPIC -shared -fopenmp -DGGML_BLAS_USE_OPENBLAS -DGGML_USE_OPENMP \
    -DGGML_BACKEND_BUILD -DGGML_BACKEND_DL -DGGML_BACKEND_SHARED -DGGML_SHARED \
    -I "$ggml/include" -I "$ggml/src" -I "$openblas/include" \
    -include deploy/sgemm.h "$ggml/src/ggml-blas/ggml-blas.cpp" -o "$work/blas.so" \
    -Wl,--no-undefined -Wl,-rpath,"$openblas/lib" \
    -L "$site/llama_cpp/lib" -lggml-base -L "$openblas/lib" -lscipy_openblas
rm -f "${library%/*}"/libggml-blas*.so
mv "$work/blas.so" "$library"
