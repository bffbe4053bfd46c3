/* vexa runner: one event loop that launches and supervises the bots of one instance. Bots outlive
 * it: a restart adopts them again. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/clock.h"
#include "lib/contracts.h"
#include "lib/log.h"
#include "runner/bots.h"

#define TICK_MS    20
#define LOCK_WAIT  2000 /* ms: a runner that was just killed may still be going */
#define ARENA_MAX  (16u << 20)
#define OPEN_FILES 65536

static const char usage[] = "usage: vexa runner [--dir D]\n"
                            "Launches and supervises the bots of the instance D.\n";

struct loop {
    struct runner r;
    int lock, signals, timer;
    char host[65];
};

/* The one runner of this instance. 0, or -1 after a message. */
static int take_lock(struct loop *l)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/run/runner.lock", l->r.in.dir);
    l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->lock < 0) {
        log_event(LOG_ERROR_, "lock", "path", path, "message", strerror(errno), NULL);
        return -1;
    }
    int64_t until = clock_mono_ms() + LOCK_WAIT;
    while (flock(l->lock, LOCK_EX | LOCK_NB)) {
        if (clock_mono_ms() >= until) {
            log_msg(LOG_ERROR_, "lock", "a runner already works for %s", l->r.in.dir);
            return -1;
        }
        poll(NULL, 0, 20);
    }
    return 0;
}

/* Two descriptors a bot: take what the system lets us have. */
static void raise_open_files(void)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) || rl.rlim_cur >= OPEN_FILES)
        return;
    rl.rlim_cur = rl.rlim_max < OPEN_FILES ? rl.rlim_max : OPEN_FILES;
    if (setrlimit(RLIMIT_NOFILE, &rl))
        log_event(LOG_WARN_, "open_files", "message", strerror(errno), NULL);
}

/* SIGTERM and SIGINT as a descriptor. Before the store starts its thread, which inherits it. */
static int take_signals(struct loop *l)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status of bots away */
    sigprocmask(SIG_BLOCK, &set, NULL);
    l->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return l->signals < 0 ? -1 : 0;
}

static int make_loop(struct loop *l)
{
    struct itimerspec every = {.it_interval.tv_nsec = TICK_MS * 1000000L,
                               .it_value.tv_nsec = TICK_MS * 1000000L};
    struct epoll_event signals = {.events = EPOLLIN, .data.ptr = &l->signals};
    struct epoll_event timer = {.events = EPOLLIN, .data.ptr = &l->timer};
    l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    l->r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->timer < 0 || l->r.epoll < 0 || timerfd_settime(l->timer, 0, &every, NULL) ||
        epoll_ctl(l->r.epoll, EPOLL_CTL_ADD, l->signals, &signals) ||
        epoll_ctl(l->r.epoll, EPOLL_CTL_ADD, l->timer, &timer)) {
        log_event(LOG_ERROR_, "loop", "message", strerror(errno), NULL);
        return -1;
    }
    return 0;
}

/* One event at a time: an exit frees its bot, and a list of events could name it again. */
static void run(struct loop *l)
{
    struct epoll_event ev;
    for (;;) {
        int n = epoll_wait(l->r.epoll, &ev, 1, -1);
        if (n <= 0)
            continue;
        if (ev.data.ptr == &l->signals)
            return;
        if (ev.data.ptr == &l->timer) {
            uint64_t ticks;
            if (read(l->timer, &ticks, sizeof ticks) == (ssize_t)sizeof ticks)
                bots_tick(&l->r);
        } else {
            bots_on_exit(&l->r, ev.data.ptr);
        }
    }
}

static enum log_level level_of(const char *word)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(word, words[i]))
            return (enum log_level)i;
    return LOG_INFO_;
}

static int open_all(struct loop *l)
{
    struct runner *r = &l->r;
    if (take_signals(l) || take_lock(l))
        return 1;
    raise_open_files();
    if (gethostname(l->host, sizeof l->host - 1) || !*l->host)
        snprintf(l->host, sizeof l->host, "runner");
    r->name = l->host;
    r->a = arena_new(ARENA_MAX);
    enum vx_err err = r->a ? contracts_init() : VX_ERR_NO_MEMORY;
    if (!err)
        err = store_open(r->in.db, config_int(r->in.cfg, CFG_STORE_BUSY_MS), 0, &r->st);
    if (!err)
        err = store_reader_open(r->st, &r->rd);
    if (err) {
        log_event(LOG_ERROR_, "start", "code", vx_err_info(err)->code, "message",
                  vx_err_info(err)->detail, NULL);
        return EXIT_SYSTEM;
    }
    if (make_loop(l))
        return EXIT_SYSTEM;
    if (pids_set(&r->in, "runner", getpid()))
        log_event(LOG_WARN_, "pids_file", "message", strerror(errno), NULL);
    return 0;
}

static void close_all(struct loop *l)
{
    struct runner *r = &l->r;
    bots_free(r);
    if (r->rd)
        store_reader_close(r->rd);
    if (r->st)
        store_close(r->st);
    contracts_free();
    if (r->a)
        arena_free(r->a);
    const int fds[] = {r->epoll, l->timer, l->signals, l->lock};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    instance_free(&r->in);
}

int cmd_runner(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (o != 'd') {
            fputs(usage, o == 'h' ? stdout : stderr);
            return o == 'h' ? 0 : EXIT_USAGE;
        }
        dir = optarg;
    }
    if (optind != argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct loop l = {.r.epoll = -1, .lock = -1, .signals = -1, .timer = -1};
    char why[512] = "";
    log_open("runner", NULL, LOG_INFO_);
    if (instance_load(&l.r.in, dir, why, sizeof why)) {
        log_event(LOG_ERROR_, "config", "message", why, NULL);
        instance_free(&l.r.in);
        return 1;
    }
    log_open("runner", NULL, level_of(config_str(l.r.in.cfg, CFG_LOG_LEVEL)));
    int status = open_all(&l);
    if (!status) {
        log_event(LOG_INFO_, "start", "dir", l.r.in.dir, NULL);
        bots_start(&l.r);
        run(&l);
        log_event(LOG_INFO_, "stop", NULL);
        pids_remove(&l.r.in, "runner");
    }
    close_all(&l);
    return status;
}
