//go:build cgo

#include "oneclass.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t silenced = PTHREAD_ONCE_INIT;

static void print_nothing(const char *text)
{
	(void)text;
}

/* The library's print function is a global: set once for the process. */
static void silence(void)
{
	svm_set_print_string_function(print_nothing);
}

static int solve(const struct svm_problem *problem, const struct svm_parameter *parameter,
		 double *alpha, double *rho)
{
	struct svm_model *model;
	int i, status = VIRTSENTRY_OK;

	if (svm_check_parameter(problem, parameter) != NULL)
		return VIRTSENTRY_REFUSED;
	model = svm_train(problem, parameter);
	if (model == NULL)
		return VIRTSENTRY_BAD_ANSWER;
	memset(alpha, 0, (size_t)problem->l * sizeof(*alpha));
	for (i = 0; i < model->l; i++) {
		int row = model->sv_indices[i] - 1;

		if (row < 0 || row >= problem->l) {
			status = VIRTSENTRY_BAD_ANSWER;
			break;
		}
		alpha[row] = model->sv_coef[0][i];
	}
	*rho = model->rho[0];
	svm_free_and_destroy_model(&model);
	return status;
}

int virtsentry_one_class(const double *x, int l, int d, double nu, double gamma,
			 double eps, double cache_mb, double *alpha, double *rho)
{
	struct svm_parameter parameter = {
		.svm_type = ONE_CLASS,
		.kernel_type = RBF,
		.gamma = gamma,
		.nu = nu,
		.eps = eps,
		.cache_size = cache_mb,
		.shrinking = 1,
	};
	struct svm_problem problem = { .l = l };
	size_t width = (size_t)d + 1; /* each row ends with index -1 */
	struct svm_node *nodes = malloc((size_t)l * width * sizeof(*nodes));
	int i, j, status = VIRTSENTRY_NO_MEMORY;

	problem.x = malloc((size_t)l * sizeof(*problem.x));
	problem.y = malloc((size_t)l * sizeof(*problem.y));
	if (nodes != NULL && problem.x != NULL && problem.y != NULL) {
		for (i = 0; i < l; i++) {
			struct svm_node *row = nodes + (size_t)i * width;

			for (j = 0; j < d; j++) {
				row[j].index = j + 1;
				row[j].value = x[(size_t)i * d + j];
			}
			row[d].index = -1;
			problem.x[i] = row;
			problem.y[i] = 1;
		}
		pthread_once(&silenced, silence);
		status = solve(&problem, &parameter, alpha, rho);
	}
	free(nodes);
	free(problem.x);
	free(problem.y);
	return status;
}
