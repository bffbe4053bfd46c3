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
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "fcgi/cgi.h"
#include "fcgi/handover.h"
#include "fcgi/listener.h"
#include "fcgi/pool.h"
#include "lib/clock.h"
#include "lib/contracts.h"
#include "lib/log.h"

#define STOP_POOL_MS      2500
#define STOP_TOTAL_MS     4500 /* the promise is 5 s */
#define RETRY_MS          1000
#define LEAVE_POOL_MS     12000 /* requests in hand; a slow peer has LANE_SECONDS */
#define LEAVE_MS          20000 /* whatever hangs, then we are gone */
#define MOD_FCGID_THREADS 2
#define PREDECESSOR_S     25 /* longer does nobody take to leave */

static const char usage[] = "usage: vexa fcgi [--dir D]\n"
                            "Answers FastCGI requests on the instance's socket, or on a listening "
                            "socket given as standard\n"
                            "input; started as a CGI program it answers one request. "
                            "Where one runs already it takes over without losing a request. "
                            "SIGTERM ends it cleanly,\n"
                            "SIGHUP makes it read vexa.conf again.\n";

struct daemon {
    const char *dir;
    struct settings *base; /* held to the end: its paths, and what the hub started with */
    struct settings_cell settings;
    struct app app;
    struct service service;
    struct listener listener;
    struct handover handover;
    struct pool *pool;
    bool configured; /* the settings in force come from vexa.conf */
    bool mod_fcgid;  /* one request at a time, and a limit on its time */
    int64_t predecessor_until;
    int signal_fd;
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

/* Puts settings in force that were just read. */
static void apply(struct daemon *d, struct settings *s)
{
    s->app.store = d->app.store;
    enum log_level level = level_of(s->in.cfg);
    /* there our log is the web server's own error log */
    log_set_level(d->mod_fcgid && level == LOG_INFO_ ? LOG_WARN_ : level);
    settings_put(&d->settings, s);
}

/* The first good configuration. On failure everything stays as it was. */
static enum vx_err load_config(struct daemon *d)
{
    struct settings *s;
    char why[512] = "";
    enum vx_err err = settings_load(d->dir, &s, why, sizeof why);
    if (err) {
        if (d->fault != VX_ERR_BAD_CONFIG)
            log_event(LOG_ERROR_, "config", "reason", why, NULL);
        return err;
    }
    settings_unref(d->base);
    d->base = s;
    atomic_fetch_add(&s->refs, 1);
    apply(d, s);
    d->app.in = &s->in;
    d->app.cfg = s->in.cfg;
    d->configured = true;
    return VX_OK;
}

/* Takes the steps that are still missing until all are done or one fails. */
static enum vx_err bring_up(struct daemon *d)
{
    enum vx_err err;
    if (!d->configured && (err = load_config(d)))
        return err;
    if (!d->app.store) {
        struct store *st = NULL;
        const struct instance *in = &d->base->in;
        err = store_open(in->db, config_int(in->cfg, CFG_STORE_BUSY_MS), 0, &st);
        if (err)
            return err;
        d->app.store = st;
        d->settings.now->app.store = st; /* read only when the fault is over */
    }
    if (d->service.hub)
        return VX_OK;
    d->app.cfg = d->settings.now->in.cfg;
    err = hub_start(&d->app, &d->service.hub);
    d->app.cfg = d->base->in.cfg;
    if (!err && d->mod_fcgid)
        hub_plan_end(d->service.hub, CGI_STREAM_SECONDS * 1000);
    return err;
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

/* SIGHUP. Requests in hand end with the settings they began with. */
static void reload(struct daemon *d)
{
    struct settings *s;
    char why[512] = "", keys[256];
    if (!d->configured) {
        try_up(d);
        return;
    }
    if (settings_load(d->dir, &s, why, sizeof why)) {
        log_event(LOG_ERROR_, "reload_refused", "reason", why, "kept", "the former configuration",
                  NULL);
        return;
    }
    settings_restart_keys(d->base, s, keys, sizeof keys);
    if (d->service.hub)
        hub_configure(d->service.hub, s->in.cfg);
    apply(d, s);
    log_event(LOG_INFO_, "reloaded", NULL);
    if (*keys)
        log_event(LOG_WARN_, "restart_needed", "keys", keys, NULL);
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
    poll(NULL, 0, *(const int *)arg);
    log_event(LOG_ERROR_, "stop_forced", "reason", "something did not end in time", NULL);
    _exit(0);
}

static void start_watchdog(const int *ms)
{
    pthread_t t;
    if (pthread_create(&t, NULL, watchdog, (void *)(uintptr_t)ms) == 0)
        pthread_detach(t);
}

/* The end of both ways out: workers that still run use what would be freed now. */
static void close_down(struct daemon *d, bool ended)
{
    if (!ended)
        log_event(LOG_WARN_, "stop", "reason", "requests in hand did not end in time", NULL);
    log_event(LOG_INFO_, "stopped", NULL);
    if (!ended)
        _exit(0);
    if (d->app.store)
        store_close(d->app.store);
    d->service.hub = NULL;
    d->app.store = NULL;
}

/* Another one may have been recorded since, when it found us hanging. */
static void find_us(const char *name, pid_t pid, void *ctx)
{
    if (strcmp(name, "fcgi") == 0 && pid == getpid())
        *(bool *)ctx = true;
}

static void stop(struct daemon *d)
{
    bool recorded = false;
    static const int limit = STOP_TOTAL_MS;
    log_event(LOG_INFO_, "stopping", NULL);
    start_watchdog(&limit);
    if (!d->handover.offered) /* else somebody is about to serve under that name */
        listener_unlink(&d->listener);
    handover_unlink(&d->handover);
    if (d->service.hub)
        hub_keeper(d->service.hub, NULL, NULL);
    bool ended = pool_stop(d->pool, d->listener.own || d->mod_fcgid, STOP_POOL_MS);
    if (d->service.hub)
        hub_stop(d->service.hub);
    if (pids_each(&d->base->in, find_us, &recorded) == 0 && recorded)
        pids_remove(&d->base->in, "fcgi");
    close_down(d, ended);
}

/* ---- hand-over */

static void end_predecessor(struct daemon *d, const char *how)
{
    log_event(LOG_INFO_, "predecessor", "how", how, NULL);
    close(d->listener.predecessor);
    d->listener.predecessor = -1;
}

/* Takes connections from the predecessor. */
static void hear_predecessor(struct daemon *d)
{
    if (!handover_receive(d->listener.predecessor, pool_take_back, d->pool))
        end_predecessor(d, "ended");
    else if (clock_mono_ms() >= d->predecessor_until)
        end_predecessor(d, "did not end in time");
}

/* Our successor serves. Nothing is closed that it can use; the name of the socket is its own. */
static void leave(struct daemon *d)
{
    static const int limit = LEAVE_MS;
    log_event(LOG_INFO_, "leaving", NULL);
    start_watchdog(&limit);
    bool ended = pool_leave(d->pool, handover_pass, &d->handover, LEAVE_POOL_MS);
    if (d->service.hub)
        hub_stop(d->service.hub);
    while (d->listener.predecessor >= 0) { /* what it still passes goes on at once */
        struct pollfd p = {.fd = d->listener.predecessor, .events = POLLIN};
        if (poll(&p, 1, RETRY_MS) >= 0)
            hear_predecessor(d);
    }
    handover_bye(&d->handover);
    if (ended)
        pool_free(d->pool);
    close_down(d, ended);
}

/* Signals that came: false = stop. */
static bool hear_signals(struct daemon *d)
{
    struct signalfd_siginfo si;
    while (read(d->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo != SIGHUP)
            return false;
        reload(d);
    }
    return true;
}

static int earlier(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Serves until SIGTERM or SIGINT (false) or until a successor does (true). While the instance is
 * not up, tries again every second. */
static bool wait_for_end(struct daemon *d)
{
    for (;;) {
        bool taking = d->listener.predecessor >= 0;
        struct pollfd p[] = {
            {.fd = d->signal_fd, .events = POLLIN},
            {.fd = d->listener.predecessor, .events = POLLIN},
            {.fd = handover_fd(&d->handover), .events = POLLIN},
        };
        int wait_ms = d->fault || taking ? RETRY_MS : -1;
        wait_ms = earlier(wait_ms, handover_timeout(&d->handover));
        if (poll(p, 3, wait_ms) < 0 && errno != EINTR) {
            log_event(LOG_ERROR_, "poll", "reason", strerrordesc_np(errno), NULL);
            return false;
        }
        if (!hear_signals(d))
            return false;
        if (taking)
            hear_predecessor(d);
        if ((p[2].revents || handover_timeout(&d->handover) == 0) &&
            handover_step(&d->handover, d->listener.fd))
            return true;
        if (d->fault)
            try_up(d);
    }
}

/* Everything serves: now the predecessor may leave. */
static void take_over(struct daemon *d)
{
    if (d->listener.own)
        handover_listen(&d->handover, d->listener.path);
    if (!d->mod_fcgid && pids_set(&d->base->in, "fcgi", getpid()))
        log_event(LOG_WARN_, "pids", "reason", "the pids file cannot be written", NULL);
    listener_unlock(&d->listener);
    if (d->listener.predecessor < 0)
        return;
    d->predecessor_until = clock_mono_ms() + PREDECESSOR_S * 1000;
    if (!handover_go(d->listener.predecessor))
        end_predecessor(d, "died");
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
    sigaddset(&wanted, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &all, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        fcgx_library_init() || contracts_init() || router_new(&router) ||
        (d->signal_fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        goto out;
    raise_limits();
    d->service.app = &d->app;
    d->service.router = router;
    d->service.base_path = "";
    d->service.settings = &d->settings;
    d->mod_fcgid = cgi_is_mod_fcgid();
    try_up(d);
    const struct config *cfg = d->base->in.cfg;
    if (listener_open(&d->listener, &d->base->in, cfg))
        goto out;
    if (d->fault && d->listener.predecessor >= 0) {
        log_event(LOG_ERROR_, "start", "reason", "not ready: the running responder stays", NULL);
        goto out;
    }
    unsigned threads = (unsigned)config_int(cfg, CFG_SERVER_THREADS);
    if (d->mod_fcgid && threads > MOD_FCGID_THREADS)
        threads = MOD_FCGID_THREADS;
    if (pool_start(d->listener.fd, threads, &d->service, &d->pool)) {
        log_event(LOG_ERROR_, "start", "reason", "no worker threads", NULL);
        goto out;
    }
    if (d->service.hub)
        hub_keeper(d->service.hub, pool_take_back, d->pool);
    take_over(d);
    if (wait_for_end(d))
        leave(d);
    else
        stop(d);
    status = 0;
out:
    if (d->service.hub)
        hub_stop(d->service.hub);
    if (d->app.store)
        store_close(d->app.store);
    handover_close(&d->handover);
    listener_close(&d->listener);
    if (d->signal_fd >= 0)
        close(d->signal_fd);
    router_free(router);
    contracts_free();
    return status;
}

int cmd_fcgi(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    struct daemon d = {.listener = {.fd = -1, .folder = -1, .predecessor = -1},
                       .handover = {.fd = -1, .peer = -1},
                       .signal_fd = -1,
                       .fault = VX_ERR_NOT_READY};
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
    if (cgi_is_request())
        return cgi_serve(d.dir);
    log_open("fcgi", NULL, LOG_INFO_);
    /* the paths of the instance are known even when its configuration cannot be read */
    if (settings_default(d.dir, &d.base)) {
        log_event(LOG_ERROR_, "start", "reason", "cannot tell the instance's folder", NULL);
        return EXIT_SYSTEM;
    }
    atomic_fetch_add(&d.base->refs, 1);
    settings_cell_init(&d.settings, d.base);
    d.app.in = &d.base->in;
    d.app.cfg = d.base->in.cfg;
    int status = run(&d);
    settings_cell_free(&d.settings);
    settings_unref(d.base);
    return status;
}
