/*
 * impostor PAUSE_US LEN [SOCKET]
 *
 * Writes its process ID to standard output and hits the trace point qemu:virtqueue_fill for ever, every PAUSE_US microseconds, with LEN as its
 * argument. Without SOCKET and the environment below it is an honest application. With LTTNG_UST_REGISTER_TIMEOUT=-1 it has registered before it
 * writes (lttng-ust(3)).
 *
 * SOCKET            the session daemon's application socket: whenever a byte comes from standard input, a process is made that registers by this
 *                   one's process ID, hits the trace point with LEN + 1, and has the same standard output
 *
 * IMPOSTOR_PID      what it tells LTTng-UST as its process ID
 * IMPOSTOR_SOCKETS  descriptors, separated by commas, that another process has connected to the session daemon (see holder.c): LTTng-UST
 *                   registers by these
 *
 * LTTng-UST asks the C library for each, and finds the functions below instead.
 *
 * gcc -O2 -I. -o impostor impostor.c -llttng-ust -ldl -lpthread
 */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "events.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

pid_t getpid(void)
{
	const char *claimed = getenv("IMPOSTOR_PID");

	return claimed ? atoi(claimed) : (pid_t) syscall(SYS_getpid);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	static const char *left;
	static int begun;
	char *end;

	if (!__atomic_exchange_n(&begun, 1, __ATOMIC_SEQ_CST))
		left = getenv("IMPOSTOR_SOCKETS");
	if (left && *left && address->sa_family == AF_UNIX && strstr(((const struct sockaddr_un *) address)->sun_path, "/run/lttng/")) {
		int held = (int) strtol(left, &end, 10);

		left = *end ? end + 1 : end;
		return dup3(held, fd, SOCK_CLOEXEC) < 0 ? -1 : 0;
	}
	return (int) syscall(SYS_connect, fd, address, length);
}

static int join(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || syscall(SYS_connect, fd, &address, sizeof(address))) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* Whoever holds a connection may register by it, and the kernel says of it who made it (SO_PEERCRED, unix(7)). */
static void *make_accomplices(void *arg)
{
	char **argv = arg, byte, len[16], sockets[32];

	snprintf(len, sizeof(len), "%d", atoi(argv[2]) + 1);
	while (read(STDIN_FILENO, &byte, 1) > 0) {
		int cmd = join(argv[3]), notify = join(argv[3]);
		pid_t child;

		snprintf(sockets, sizeof(sockets), "%d,%d", cmd, notify);
		setenv("IMPOSTOR_SOCKETS", sockets, 1);
		child = vfork();
		if (child == 0) {
			execl(argv[0], argv[0], argv[1], len, (char *) NULL);
			_exit(1);
		}
		close(cmd);
		close(notify);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "impostor PAUSE_US LEN [SOCKET]\n");
		return 2;
	}
	printf("%d\n", (int) syscall(SYS_getpid)); /* the true one */
	fflush(stdout);
	if (argc == 4 && pthread_create(&thread, NULL, make_accomplices, argv)) {
		perror("impostor: pthread_create");
		return 1;
	}
	for (;;) {
		lttng_ust_tracepoint(qemu, virtqueue_fill, (unsigned int) atoi(argv[2]));
		usleep((useconds_t) atoi(argv[1]));
	}
}
