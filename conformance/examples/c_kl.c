/* The divergence of every row of two float matrices, and its gradient by log q; strides count elements. */

#include <math.h>
#include <stddef.h>

static double term(double p, double log_q) {
    if (p == 0.0 && !isnan(log_q))
        return 0.0; /* 0 · log 0 = 0 whatever q is */
    return p * (log(p) - log_q);
}

void kl_rows(const float *p, ptrdiff_t p_row, ptrdiff_t p_class,
             const float *log_q, ptrdiff_t q_row, ptrdiff_t q_class,
             float *out, ptrdiff_t rows, ptrdiff_t classes) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        double sum = 0.0;
        for (ptrdiff_t i = 0; i < classes; i++)
            sum += term(p[row * p_row + i * p_class], log_q[row * q_row + i * q_class]);
        out[row] = (float)sum;
    }
}

void kl_rows_packed(const float *p, ptrdiff_t p_row, ptrdiff_t p_class,
                    const float *log_q, ptrdiff_t q_row, ptrdiff_t q_class,
                    float *out, ptrdiff_t rows, ptrdiff_t classes) {
    /* THE FAULT: the number of classes is used as the stride between rows. */
    (void)p_row, (void)q_row;
    kl_rows(p, classes, p_class, log_q, classes, q_class, out, rows, classes);
}

void kl_rows_backward(const float *p, ptrdiff_t p_row, ptrdiff_t p_class, const float *upstream,
                      float *by_log_q, ptrdiff_t rows, ptrdiff_t classes) {
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t i = 0; i < classes; i++)
            by_log_q[row * classes + i] = (float)(-(double)p[row * p_row + i * p_class] * upstream[row]);
}
