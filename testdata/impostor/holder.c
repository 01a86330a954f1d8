/*
 * holder SOCKET COMMAND...
 *
 * Leaves connections behind that bear the process ID of a process which has ended. It connects twice to the Unix socket, as LTTng-UST does to
 * register, and ends; its child keeps the connections. When its standard input ends, the child becomes COMMAND, which finds their descriptors in
 * IMPOSTOR_SOCKETS. The first line of standard output is the process ID that the connections bear (SO_PEERCRED, unix(7)), the second the
 * child's.
 *
 * gcc -O2 -o holder holder.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int join(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address))) {
		perror(path);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	char sockets[32], byte;
	int cmd, notify;
	pid_t child;

	if (argc < 3) {
		fprintf(stderr, "holder SOCKET COMMAND...\n");
		return 2;
	}
	printf("%d\n", (int) getpid());
	fflush(stdout);
	cmd = join(argv[1]); /* in this order LTTng-UST uses them, and the session daemon accepts them */
	notify = join(argv[1]);
	snprintf(sockets, sizeof(sockets), "%d,%d", cmd, notify);
	setenv("IMPOSTOR_SOCKETS", sockets, 1);
	child = fork();
	if (child < 0) {
		perror("holder: fork");
		return 1;
	}
	if (child > 0)
		return 0;
	printf("%d\n", (int) getpid());
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 1;
}
