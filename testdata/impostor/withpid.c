/*
 * withpid PID COMMAND...
 *
 * Runs COMMAND with that very process ID, which must be free, and waits for it: what the kernel does by itself when its process IDs have gone
 * round (clone3(2), set_tid; needs CAP_SYS_ADMIN).
 *
 * gcc -O2 -o withpid withpid.c
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t wanted = argc > 2 ? atoi(argv[1]) : 0;
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t) &wanted, .set_tid_size = 1 };
	long child;
	int status;

	if (wanted <= 0) {
		fprintf(stderr, "withpid PID COMMAND...\n");
		return 2;
	}
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0) {
		perror("withpid: clone3");
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[2], argv + 2);
		perror(argv[2]);
		_exit(1);
	}
	waitpid((pid_t) child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
