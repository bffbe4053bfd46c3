/* vexa up: keeps the responder and the runner of one instance alive. One thread, one event loop;
 * it also reaps what its children leave behind (bots whose runner died). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "lib/clock.h"
#include "lib/log.h"

#define CRASH_DEATHS   5
#define CRASH_WINDOW   10000 /* ms: so many deaths in it are a crash loop */
#define BACKOFF_FIRST  1000
#define BACKOFF_MAX    30000
#define YOUNG          2000 /* ms: only who dies younger can be in a crash loop */
#define KILLED_SPACING 250  /* ms between starts of one that somebody keeps killing */
#define STOP_GRACE     6000
#define UPGRADE_MS     30000 /* a new responder serves and the old one has left within this */
#define N_CHILDREN     2
#define FCGI           0 /* in child[] */
#define RUNNER         1
#define LOG_TAIL_BYTES 400

static const char usage[] =
    "usage: vexa up [--dir D]\n"
    "Runs the instance: starts the responder (vexa fcgi) and the runner (vexa runner), and starts\n"
    "either again when it dies. SIGTERM ends all three; bots go on. SIGHUP: the two read the\n"
    "configuration again. SIGUSR2: both are replaced by the program now on disk; no request "
    "fails.\n";

struct child {
    const char *name;
    char *log_path;
    pid_t pid;                    /* 0 = not running */
    int64_t started;              /* monotonic ms, as all times here */
    int64_t next_start;           /* when pid is 0 */
    int64_t deaths[CRASH_DEATHS]; /* ring of the latest */
    size_t n_deaths;
    int64_t backoff; /* 0 = not in a crash loop */
    bool restarting; /* we asked it to end: no death to count */
    pid_t old;       /* serves until pid does (upgrade); 0 = none */
    int64_t old_started;
    int64_t old_until; /* when somebody has to decide */
};

struct supervisor {
    struct instance in;
    struct child child[N_CHILDREN];
    int signal_fd, lock_fd;
    bool stopping;
    int64_t kill_at; /* while stopping */
    bool terminal;   /* run by hand: a hang-up means stop */
};

static int open_lock(struct supervisor *s)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/run/up.lock", s->in.dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        cli_complain("%s: %s", path, strerror(errno));
        return EXIT_SYSTEM;
    }
    if (!flock(s->lock_fd, LOCK_EX | LOCK_NB))
        return 0;
    cli_complain("vexa up already runs for %s", s->in.dir);
    return 1;
}

/* The last line of a child's log, so that a crash loop tells why where people look first. */
static void log_tail(const struct child *c, char *out, size_t size)
{
    char text[LOG_TAIL_BYTES + 1];
    *out = '\0';
    int fd = open(c->log_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : 0;
    ssize_t n = pread(fd, text, LOG_TAIL_BYTES, from);
    close(fd);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *line = strrchr(text, '\n');
    snprintf(out, size, "%s", line ? line + 1 : text);
}

static void describe(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "killed by signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "exited with code %d", WEXITSTATUS(status));
}

/* Notes a death (what says how) after lived ms and decides when to start again. A SIGKILL comes
 * from outside: it says nothing about the program, so it never makes a crash loop. */
static void schedule(struct child *c, int64_t lived, bool killed, const char *what)
{
    int64_t now = clock_mono_ms();
    if (c->restarting || killed || lived >= YOUNG) {
        if (!c->restarting)
            log_event(LOG_WARN_, "restart", "process", c->name, "why", what, NULL);
        c->next_start = killed && lived < KILLED_SPACING ? c->started + KILLED_SPACING : now;
        c->restarting = false;
        c->n_deaths = 0;
        c->backoff = 0;
        return;
    }
    c->deaths[c->n_deaths++ % CRASH_DEATHS] = now;
    int64_t oldest = c->deaths[c->n_deaths % CRASH_DEATHS];
    bool loop = c->backoff || (c->n_deaths >= CRASH_DEATHS && now - oldest <= CRASH_WINDOW);
    if (!loop) {
        c->next_start = now;
        log_event(LOG_WARN_, "restart", "process", c->name, "why", what, NULL);
        return;
    }
    c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST;
    if (c->backoff > BACKOFF_MAX)
        c->backoff = BACKOFF_MAX;
    c->next_start = now + c->backoff;
    char tail[LOG_TAIL_BYTES + 1];
    log_tail(c, tail, sizeof tail);
    log_msg(LOG_ERROR_, "crash_loop",
            "%s keeps dying (%s); it serves nothing for %.0f s, then it is tried again. Its log %s "
            "ends: %s",
            c->name, what, (double)c->backoff / 1000, c->log_path, tail);
}

static int add_actions(const struct child *c, posix_spawn_file_actions_t *fa)
{
    int rc = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
    if (!rc)
        rc = posix_spawn_file_actions_addopen(fa, 1, c->log_path,
                                              O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(fa, 1, 2);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(fa, 3);
    return rc;
}

static int set_signals(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawnattr_setsigmask(attr, &none);
    if (!rc)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (!rc)
        rc = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return rc;
}

/* Runs c's command. 0 or an error number. */
static int launch(struct supervisor *s, struct child *c)
{
    char *argv[] = {s->in.exe, (char *)c->name, "--dir", s->in.dir, NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    pid_t pid = 0;
    int rc = posix_spawn_file_actions_init(&fa);
    if (!rc) {
        rc = posix_spawnattr_init(&attr);
        if (!rc) {
            rc = add_actions(c, &fa);
            if (!rc)
                rc = set_signals(&attr);
            if (!rc)
                rc = posix_spawn(&pid, s->in.exe, &fa, &attr, argv, environ);
            posix_spawnattr_destroy(&attr);
        }
        posix_spawn_file_actions_destroy(&fa);
    }
    if (rc)
        return rc;
    c->pid = pid;
    c->started = clock_mono_ms();
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    log_event(LOG_INFO_, "started", "process", c->name, "child", text, NULL);
    return 0;
}

static void record(struct supervisor *s, const struct child *c)
{
    if (pids_set(&s->in, c->name, c->pid))
        log_event(LOG_WARN_, "pids_file", "message", strerror(errno), NULL);
}

/* Starts the child; a failure counts as a death. */
static void start(struct supervisor *s, struct child *c)
{
    int rc = launch(s, c);
    if (!rc) {
        record(s, c);
        return;
    }
    char what[200];
    snprintf(what, sizeof what, "it cannot be started: %s", strerror(rc));
    schedule(c, 0, false, what);
}

/* Ends a running child so that it is started anew; one in a crash loop is tried now. */
static void restart(struct child *c)
{
    c->backoff = 0;
    c->n_deaths = 0;
    if (c->pid > 0 && !kill(c->pid, SIGTERM))
        c->restarting = true;
    else
        c->next_start = clock_mono_ms();
}

/* ---- upgrade: a new responder beside the old one, then a new runner */

static void upgrade_failed(struct supervisor *s, struct child *c, const char *why)
{
    log_event(LOG_ERROR_, "upgrade_failed", "process", c->name, "why", why, "kept", "the old one",
              NULL);
    c->pid = c->old;
    c->started = c->old_started;
    c->old = 0;
    record(s, c);
}

static void upgrade(struct supervisor *s)
{
    struct child *c = &s->child[FCGI];
    if (c->old) {
        log_event(LOG_WARN_, "upgrade", "message", "one is under way", NULL);
        return;
    }
    log_event(LOG_INFO_, "upgrade", NULL);
    if (!c->pid) { /* nothing to hand over */
        restart(c);
        restart(&s->child[RUNNER]);
        return;
    }
    c->old = c->pid;
    c->old_started = c->started;
    c->old_until = clock_mono_ms() + UPGRADE_MS;
    int rc = launch(s, c);
    if (rc)
        upgrade_failed(s, c, strerror(rc));
}

/* The old responder is gone: the new one has its place, or there is none. */
static void upgraded(struct supervisor *s, struct child *c)
{
    c->old = 0;
    c->n_deaths = 0;
    log_event(LOG_INFO_, "upgraded", "process", c->name, NULL);
    record(s, c);
    restart(&s->child[RUNNER]);
}

struct wanted {
    const char *name;
    pid_t pid;
};

static void match(const char *name, pid_t pid, void *ctx)
{
    struct wanted *w = ctx;
    if (!strcmp(name, w->name))
        w->pid = pid;
}

/* Time is up with both alive. A responder that serves has recorded itself: then the old one hangs;
 * else the new one does. */
static void decide(struct supervisor *s, struct child *c)
{
    struct wanted w = {.name = c->name};
    bool serves = pids_each(&s->in, match, &w) == 0 && w.pid == c->pid;
    log_event(LOG_WARN_, "upgrade_hangs", "killed", serves ? "the old one" : "the new one", NULL);
    kill(serves ? c->old : c->pid, SIGKILL);
    c->old_until = clock_mono_ms() + UPGRADE_MS;
}

/* Reaps everything that ended: our two, and orphans that were handed to us. */
static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < N_CHILDREN; i++) {
            struct child *c = &s->child[i];
            char what[64];
            describe(status, what, sizeof what);
            if (c->old == pid) {
                if (s->stopping)
                    c->old = 0;
                else
                    upgraded(s, c);
                continue;
            }
            if (c->pid != pid)
                continue;
            if (c->old && !s->stopping) {
                upgrade_failed(s, c, what);
                continue;
            }
            if (s->stopping)
                log_event(LOG_INFO_, "ended", "process", c->name, "how", what, NULL);
            else
                schedule(c, clock_mono_ms() - c->started,
                         WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, what);
            c->pid = 0;
            if (s->stopping)
                pids_remove(&s->in, c->name);
        }
    }
}

static void signal_children(struct supervisor *s, int sig)
{
    for (size_t i = 0; i < N_CHILDREN; i++) {
        if (s->child[i].pid > 0)
            kill(s->child[i].pid, sig);
        if (s->child[i].old > 0)
            kill(s->child[i].old, sig);
    }
}

static void begin_stop(struct supervisor *s, const char *why)
{
    if (s->stopping)
        return;
    s->stopping = true;
    s->kill_at = clock_mono_ms() + STOP_GRACE;
    log_event(LOG_INFO_, "stopping", "why", why, NULL);
    signal_children(s, SIGTERM);
}

/* SIGHUP: the responder reads the configuration again, the runner is restarted with it. A broken
 * one changes nothing. */
static void reload(struct supervisor *s)
{
    struct instance in;
    char why[512] = "";
    if (instance_load(&in, s->in.dir, why, sizeof why)) {
        log_event(LOG_ERROR_, "reload_refused", "reason", why, NULL);
        instance_free(&in);
        return;
    }
    instance_free(&in);
    log_event(LOG_INFO_, "reload", NULL);
    struct child *c = &s->child[FCGI];
    if (c->pid > 0)
        kill(c->pid, SIGHUP);
    else
        restart(c);
    restart(&s->child[RUNNER]);
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo si;
    bool child = false;
    while (read(s->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
        if (si.ssi_signo == SIGCHLD)
            child = true;
        else if (si.ssi_signo == SIGHUP && !s->terminal && !s->stopping)
            reload(s);
        else if (si.ssi_signo == SIGUSR2 && !s->stopping)
            upgrade(s);
        else
            begin_stop(s, strsignal((int)si.ssi_signo));
    }
    if (child)
        reap(s);
}

/* Starts what is due; milliseconds until something else is, -1 = only a signal can change it. */
static int tick(struct supervisor *s)
{
    int64_t now = clock_mono_ms(), next = INT64_MAX;
    if (s->stopping) {
        if (now >= s->kill_at) {
            signal_children(s, SIGKILL);
            s->kill_at = now + 1000;
        }
        return (int)(s->kill_at - now);
    }
    for (size_t i = 0; i < N_CHILDREN; i++) {
        struct child *c = &s->child[i];
        if (c->old && c->old_until <= now)
            decide(s, c);
        if (c->old && c->old_until < next)
            next = c->old_until;
        if (!c->pid && c->next_start <= now)
            start(s, c);
        if (!c->pid && c->next_start < next)
            next = c->next_start;
    }
    if (next == INT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

static bool all_gone(const struct supervisor *s)
{
    for (size_t i = 0; i < N_CHILDREN; i++)
        if (s->child[i].pid || s->child[i].old)
            return false;
    return true;
}

static void loop(struct supervisor *s)
{
    struct pollfd p = {.fd = s->signal_fd, .events = POLLIN};
    while (!s->stopping || !all_gone(s)) {
        int wait_ms = tick(s);
        if (poll(&p, 1, wait_ms) > 0)
            on_signals(s);
    }
}

/* Everything before the first child. 0 or an exit status. */
static int prepare(struct supervisor *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR2);
    struct sigaction old;
    /* under nohup a hang-up stays ignored */
    if (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN)
        sigaddset(&set, SIGHUP);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->terminal = isatty(0);
    s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    char supervised[24];
    snprintf(supervised, sizeof supervised, "%d", (int)getpid());
    if (s->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) ||
        setenv("VEXA_SUPERVISED", supervised, 1)) {
        cli_complain("%s", strerror(errno));
        return EXIT_SYSTEM;
    }
    int status = open_lock(s);
    if (status)
        return status;
    static const char *const names[N_CHILDREN] = {"fcgi", "runner"};
    for (size_t i = 0; i < N_CHILDREN; i++) {
        s->child[i].name = names[i];
        if (asprintf(&s->child[i].log_path, "%s/%s.log", s->in.log_dir, names[i]) < 0) {
            s->child[i].log_path = NULL;
            cli_complain("out of memory");
            return EXIT_SYSTEM;
        }
    }
    if (pids_set(&s->in, "up", getpid())) {
        cli_complain("%s: %s", s->in.pids, strerror(errno));
        return EXIT_SYSTEM;
    }
    return 0;
}

int cmd_up(int argc, char **argv)
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
    struct supervisor s = {.signal_fd = -1, .lock_fd = -1};
    int status = cli_load(&s.in, dir);
    if (!status) {
        log_open("up", NULL, LOG_INFO_);
        status = prepare(&s);
    }
    if (!status) {
        loop(&s);
        pids_remove(&s.in, "up");
        log_event(LOG_INFO_, "stopped", NULL);
    }
    for (size_t i = 0; i < N_CHILDREN; i++)
        free(s.child[i].log_path);
    if (s.signal_fd >= 0)
        close(s.signal_fd);
    if (s.lock_fd >= 0)
        close(s.lock_fd);
    instance_free(&s.in);
    return status;
}
