// Included before ggml-blas.cpp: splits each of its products over libgomp's threads, on which ggml's other operations
// run too, and has OpenBLAS compute each part on the one that asks. OpenBLAS's own threads were seen to
// stall as soon as other processes want the cores (docs/decisions/0007).
#pragma once

#include <cblas.h>

#include <algorithm>
#include <cstdint>

namespace infirmary {

constexpr std::int64_t columns_at_once = 16;
inline int threads = 1;

inline void set_num_threads(int wanted) {
    static const bool single = (scipy_openblas_set_num_threads(1), true);
    static_cast<void>(single);
    threads = wanted;
}

inline void sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, std::int64_t m, std::int64_t n,
                  std::int64_t k, float alpha, const float * a, std::int64_t lda, const float * b, std::int64_t ldb,
                  float beta, float * c, std::int64_t ldc) {
    const std::int64_t units = (n + columns_at_once - 1) / columns_at_once;
    const std::int64_t parts = std::min<std::int64_t>(threads, units);
    const std::int64_t stride = trans_b == CblasTrans ? ldb : 1;
#pragma omp parallel for num_threads(parts)
    for (std::int64_t part = 0; part < parts; part++) {
        const std::int64_t first = units * part / parts * columns_at_once;
        const std::int64_t last = std::min(n, units * (part + 1) / parts * columns_at_once);
        scipy_cblas_sgemm(order, trans_a, trans_b, m, last - first, k, alpha, a, lda, b + first * stride, ldb, beta,
                          c + first, ldc);
    }
}

}  // namespace infirmary

#define cblas_sgemm infirmary::sgemm
#define openblas_set_num_threads infirmary::set_num_threads
#define openblas_get_parallel scipy_openblas_get_parallel
