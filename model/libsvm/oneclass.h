#ifndef VIRTSENTRY_ONECLASS_H
#define VIRTSENTRY_ONECLASS_H

#include <libsvm/svm.h>

enum {
	VIRTSENTRY_OK,
	VIRTSENTRY_NO_MEMORY,
	VIRTSENTRY_REFUSED,
	VIRTSENTRY_BAD_ANSWER,
};

/*
 * Solves the one-class problem with an RBF kernel over l rows of d values at x,
 * and writes the coefficient of each row to alpha (l values) and the offset to
 * rho. Everything allocated is freed again; x is not kept.
 */
int virtsentry_one_class(const double *x, int l, int d, double nu, double gamma,
			 double eps, double cache_mb, double *alpha, double *rho);

#endif
