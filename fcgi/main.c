/* vexa fcgi: the responder. Brings the instance up, owns the listening socket, waits for signals.
 * A fault of the configuration or the store does not end the process: it answers 503 with the
 * reason, and tries again, so that a web server in front has something true to tell. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "fcgi/listener.h"
#include "fcgi/pool.h"
#include "lib/contracts.h"
#include "lib/log.h"

#define STOP_POOL_MS  2500
#define STOP_TOTAL_MS 4500 /* the promise is 5 s */
#define RETRY_SECONDS 1

static const char usage[] = "usage: vexa fcgi [--dir D]\n"
                            "Answers FastCGI requests on the instance's socket, or on a listening "
                            "socket given as standard\n"
                            "input. SIGTERM ends it cleanly.\n";

struct daemon {
    const char *dir;
    struct instance in;
    struct config *defaults; /* in force while vexa.conf cannot be read */
    struct app app;
    struct service service;
    struct listener listener;
    struct pool *pool;
    char base_path[256];
    enum vx_err fault;
};

static enum log_level level_of(const struct config *cfg)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    const char *level = config_str(cfg, CFG_LOG_LEVEL);
    for (int i = 0; i < 4; i++)
        if (strcmp(level, names[i]) == 0)
            return (enum log_level)i;
    return LOG_INFO_;
}

/* "vexa/" -> "/vexa", "/" -> "". False when it is too long. */
static bool base_path_of(const struct config *cfg, char *out, size_t size)
{
    const char *p = config_str(cfg, CFG_SERVER_BASE_PATH);
    p += strspn(p, "/");
    int n = snprintf(out, size, "%s%s", *p ? "/" : "", p);
    if (n < 0 || (size_t)n >= size)
        return false;
    for (; n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return true;
}

/* Replaces the instance by one with its config. On failure everything stays as it was. */
static enum vx_err load_config(struct daemon *d)
{
    struct instance in;
    char why[512] = "";
    char base[sizeof d->base_path];
    enum vx_err err = instance_load(&in, d->dir, why, sizeof why);
    if (!err && !base_path_of(in.cfg, base, sizeof base)) {
        snprintf(why, sizeof why, "%s: server.base_path is too long", in.conf);
        err = VX_ERR_BAD_CONFIG;
    }
    if (err) {
        instance_free(&in);
        if (d->fault != VX_ERR_BAD_CONFIG)
            log_event(LOG_ERROR_, "config", "reason", why, NULL);
        return VX_ERR_BAD_CONFIG;
    }
    instance_free(&d->in);
    d->in = in;
    d->app.cfg = d->in.cfg;
    memcpy(d->base_path, base, sizeof base);
    log_open("fcgi", NULL, level_of(d->in.cfg));
    return VX_OK;
}

/* Takes the steps that are still missing until all are done or one fails. */
static enum vx_err bring_up(struct daemon *d)
{
    enum vx_err err;
    if (!d->in.cfg && (err = load_config(d)))
        return err;
    if (!d->app.store) {
        struct store *st = NULL;
        err = store_open(d->in.db, config_int(d->in.cfg, CFG_STORE_BUSY_MS), 0, &st);
        if (err)
            return err;
        d->app.store = st;
    }
    return d->service.hub ? VX_OK : hub_start(&d->app, &d->service.hub);
}

/* bring_up(), and tells the workers and the log what came of it. */
static void try_up(struct daemon *d)
{
    enum vx_err err = bring_up(d);
    if (err != d->fault && err)
        log_event(LOG_ERROR_, "not_ready", "code", vx_err_info(err)->code, "detail",
                  vx_err_info(err)->detail, NULL);
    if (err != d->fault && !err)
        log_event(LOG_INFO_, "ready", NULL);
    d->fault = err;
    if (d->service.hub && d->pool)
        hub_keeper(d->service.hub, pool_take_back, d->pool);
    atomic_store(&d->service.fault, (int)err);
}

/* One descriptor a connection and a stream: take all we may have. */
static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r))
            log_event(LOG_WARN_, "rlimit", "reason", strerrordesc_np(errno), NULL);
    }
}

/* Whatever hangs, the process is gone in time. */
static void *watchdog(void *arg)
{
    (void)arg;
    poll(NULL, 0, STOP_TOTAL_MS);
    log_event(LOG_ERROR_, "stop_forced", "reason", "something did not end in time", NULL);
    _exit(0);
}

static void stop(struct daemon *d)
{
    pthread_t t;
    log_event(LOG_INFO_, "stopping", NULL);
    if (pthread_create(&t, NULL, watchdog, NULL) == 0)
        pthread_detach(t);
    listener_unlink(&d->listener);
    if (d->service.hub)
        hub_keeper(d->service.hub, NULL, NULL);
    bool ended = pool_stop(d->pool, d->listener.own, STOP_POOL_MS);
    if (!ended)
        log_event(LOG_WARN_, "stop", "reason", "requests in hand did not end in time", NULL);
    if (d->service.hub)
        hub_stop(d->service.hub);
    pids_remove(&d->in, "fcgi");
    log_event(LOG_INFO_, "stopped", NULL);
    if (!ended)
        _exit(0); /* workers still use what would be freed now */
    if (d->app.store)
        store_close(d->app.store);
}

/* Waits for SIGTERM or SIGINT; while the instance is not up, tries again every second. */
static void wait_for_stop(struct daemon *d, const sigset_t *set)
{
    for (;;) {
        const struct timespec second = {.tv_sec = RETRY_SECONDS};
        int sig = d->fault ? sigtimedwait(set, NULL, &second) : sigwaitinfo(set, NULL);
        if (sig == SIGTERM || sig == SIGINT)
            return;
        if (d->fault)
            try_up(d);
    }
}

static int run(struct daemon *d)
{
    sigset_t all, wanted;
    struct router *router = NULL;
    int status = EXIT_SYSTEM;
    sigfillset(&all);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &all, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        fcgx_library_init() || contracts_init() || router_new(&router))
        goto out;
    raise_limits();
    d->service.app = &d->app;
    d->service.router = router;
    d->service.base_path = d->base_path;
    try_up(d);
    const struct config *cfg = d->in.cfg ? d->in.cfg : d->defaults;
    if (listener_open(&d->listener, &d->in, cfg))
        goto out;
    unsigned threads = (unsigned)config_int(cfg, CFG_SERVER_THREADS);
    if (pool_start(d->listener.fd, threads, &d->service, &d->pool)) {
        log_event(LOG_ERROR_, "start", "reason", "no worker threads", NULL);
        goto out;
    }
    if (d->service.hub)
        hub_keeper(d->service.hub, pool_take_back, d->pool);
    if (pids_set(&d->in, "fcgi", getpid()))
        log_event(LOG_WARN_, "pids", "reason", "the pids file cannot be written", NULL);
    wait_for_stop(d, &wanted);
    stop(d);
    d->service.hub = NULL;
    d->app.store = NULL;
    status = 0;
out:
    if (d->service.hub)
        hub_stop(d->service.hub);
    if (d->app.store)
        store_close(d->app.store);
    listener_close(&d->listener);
    router_free(router);
    contracts_free();
    return status;
}

int cmd_fcgi(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct daemon d = {.listener = {.fd = -1}, .fault = VX_ERR_NOT_READY};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'd') {
            d.dir = optarg;
        } else {
            fputs(usage, c == 'h' ? stdout : stderr);
            return c == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    log_open("fcgi", NULL, LOG_INFO_);
    d.defaults = config_defaults();
    /* the paths of the instance are known even when its configuration cannot be read */
    if (!d.defaults || instance_init(&d.in, d.dir)) {
        config_free(d.defaults);
        log_event(LOG_ERROR_, "start", "reason", "cannot tell the instance's folder", NULL);
        return EXIT_SYSTEM;
    }
    d.app.in = &d.in;
    d.app.cfg = d.defaults;
    int status = run(&d);
    instance_free(&d.in);
    config_free(d.defaults);
    return status;
}
