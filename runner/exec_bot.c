/* vexa exec-bot: the moment between a bot's process and its program. It waits until the runner has
 * committed that this process exists, sets the limits, and becomes the program. Not for people. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "runner/launch.h"

#define EXIT_NOT_LET_GO 125

/* 0, or -1 when the runner went away first. */
static int wait_for_go(int fd)
{
    char byte;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 && byte == LAUNCH_GO ? 0 : -1;
}

/* Sets a limit, but never above what we may have ourselves. */
static int limit(int resource, rlim_t value)
{
    struct rlimit r;
    if (getrlimit(resource, &r))
        return -1;
    if (r.rlim_max == RLIM_INFINITY || value < r.rlim_max)
        r.rlim_max = value;
    r.rlim_cur = r.rlim_max;
    return setrlimit(resource, &r);
}

/* Tells the log (our standard error) and the runner why; the exit status is the shell's. */
static int give_up(int fd, const char *program, int fault)
{
    fprintf(stderr, "vexa exec-bot: cannot start %s: %s\n", program, strerror(fault));
    ssize_t n = send(fd, &fault, sizeof fault, MSG_NOSIGNAL);
    (void)n; /* the runner may be gone; the exit status stays */
    return fault == ENOENT || fault == ENOTDIR ? 127 : 126;
}

int cmd_exec_bot(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"fd", required_argument, NULL, 'f'},
                                            {"open-files", required_argument, NULL, 'o'},
                                            {"memory-mb", required_argument, NULL, 'm'},
                                            {0}};
    long fd = -1, open_files = 0, memory_mb = 0;
    int o;
    while ((o = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (o == 'f')
            fd = strtol(optarg, NULL, 10);
        else if (o == 'o')
            open_files = strtol(optarg, NULL, 10);
        else if (o == 'm')
            memory_mb = strtol(optarg, NULL, 10);
        else if (o != 'd') /* --dir is there for whoever reads the process list */
            return EXIT_USAGE;
    }
    if (fd < 3 || optind >= argc)
        return EXIT_USAGE;
    char **words = argv + optind;
    if (fcntl((int)fd, F_SETFD, FD_CLOEXEC)) /* so that a started program is an end of file */
        return EXIT_SYSTEM;
    if (wait_for_go((int)fd)) {
        fputs("vexa exec-bot: the runner ended before the bot was let go\n", stderr);
        return EXIT_NOT_LET_GO;
    }
    if (limit(RLIMIT_CORE, 0) || (open_files > 0 && limit(RLIMIT_NOFILE, (rlim_t)open_files)) ||
        (memory_mb > 0 && limit(RLIMIT_AS, (rlim_t)memory_mb << 20)))
        return give_up((int)fd, words[0], errno);
    execvp(words[0], words);
    return give_up((int)fd, words[0], errno);
}
