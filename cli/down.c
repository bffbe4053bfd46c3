/* vexa down: ends every process the pids file records. Bots go first, while the instance still
 * takes their last word; then the supervisor, which ends its two; then what is left. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "lib/clock.h"

#define MAX_PROCESSES 4096
#define UP_GRACE      8000 /* ms */
#define GRACE         5000

static const char usage[] =
    "usage: vexa down [--dir D]\n"
    "Ends every process of the instance: bots, supervisor, responder, runner and a web server\n"
    "that was recorded. Nothing running is no failure.\n";

struct process {
    char name[128];
    pid_t pid;
    int64_t start;
    int fd; /* pidfd, -1 = gone */
    bool group;
};

struct crowd {
    const char *only; /* names with this beginning; NULL = all */
    struct process *p;
    size_t n;
    bool failed;
};

static void collect(const char *name, pid_t pid, void *ctx)
{
    struct crowd *c = ctx;
    if (pid == getpid() || pid <= 1 || (c->only && strncmp(name, c->only, strlen(c->only))))
        return;
    if (c->n == MAX_PROCESSES) {
        c->failed = true;
        return;
    }
    struct process *grown = realloc(c->p, (c->n + 1) * sizeof *grown);
    if (!grown) {
        c->failed = true;
        return;
    }
    c->p = grown;
    struct process *p = &c->p[c->n];
    *p = (struct process){.pid = pid, .start = process_start_time(pid), .fd = pidfd_open(pid, 0)};
    snprintf(p->name, sizeof p->name, "%s", name);
    /* Only a process that leads its own group may take the group along. */
    p->group = !strncmp(name, "bot:", 4) && getpgid(pid) == pid;
    if (p->fd < 0 || !p->start || !process_is(pid, p->start)) {
        if (p->fd >= 0)
            close(p->fd);
        return;
    }
    c->n++;
}

static void send_signal(const struct process *p, int sig)
{
    if (pidfd_send_signal(p->fd, sig, NULL, 0) && errno != ESRCH)
        cli_complain("%s (%d): %s", p->name, (int)p->pid, strerror(errno));
    if (p->group)
        kill(-p->pid, sig);
}

/* Waits until all are gone or the time is over; how many are left. */
static size_t wait_gone(struct crowd *c, int64_t grace)
{
    int64_t until = clock_mono_ms() + grace;
    size_t left = 0;
    for (size_t i = 0; i < c->n; i++) {
        struct pollfd f = {.fd = c->p[i].fd, .events = POLLIN};
        if (f.fd < 0)
            continue;
        int n;
        do {
            int64_t rest = until - clock_mono_ms();
            n = poll(&f, 1, rest > 0 ? (int)rest : 0);
        } while (n < 0 && errno == EINTR);
        if (n > 0) {
            close(f.fd);
            c->p[i].fd = -1;
        } else {
            left++;
        }
    }
    return left;
}

/* SIGTERM, wait, SIGKILL for every recorded process whose name begins with only. -1 when one
 * could not be ended. */
static int end_all(const struct instance *in, const char *only, int64_t grace)
{
    struct crowd c = {.only = only};
    int result = pids_each(in, collect, &c);
    if (result)
        cli_complain("%s: %s", in->pids, strerror(errno));
    for (size_t i = 0; i < c.n; i++)
        send_signal(&c.p[i], SIGTERM);
    if (wait_gone(&c, grace)) {
        for (size_t i = 0; i < c.n; i++)
            if (c.p[i].fd >= 0)
                send_signal(&c.p[i], SIGKILL);
        if (wait_gone(&c, 2000))
            result = -1;
    }
    for (size_t i = 0; i < c.n; i++) {
        if (c.p[i].fd >= 0) {
            cli_complain("%s (%d) does not end", c.p[i].name, (int)c.p[i].pid);
            close(c.p[i].fd);
            continue;
        }
        printf("ended %s (%d)\n", c.p[i].name, (int)c.p[i].pid);
        pids_remove(in, c.p[i].name);
    }
    if (c.failed)
        result = -1;
    free(c.p);
    return result;
}

int cmd_down(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (o != 'd')
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        dir = optarg;
    }
    if (optind != argc)
        return cli_usage(EXIT_USAGE, usage);
    struct instance in;
    /* No config needed: a broken one must not keep an instance running. */
    if (instance_init(&in, dir)) {
        cli_complain("%s: not a usable path", dir ? dir : ".");
        return EXIT_SYSTEM;
    }
    int failed = end_all(&in, "bot:", GRACE);
    failed |= end_all(&in, "up", UP_GRACE);
    failed |= end_all(&in, NULL, GRACE);
    instance_free(&in);
    return failed ? 1 : cli_finish();
}
