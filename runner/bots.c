/* The bots of one runner. The store's rows are the truth; the table here holds what the kernel
 * knows besides (descriptors, deadlines) and can be made again from the rows at any time. */
#include "runner/bots.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/lifecycle.h"
#include "lib/log.h"
#include "lib/store_meetings.h"
#include "lib/store_workloads.h"
#include "runner/launch.h"
#include "runner/retention.h"

/* One runner an instance (its lock sees to that), so a lease only bridges the restart of a runner
 * that died between claim and process: short is right. */
#define LEASE_MS       10000
#define READ_EVERY     1000  /* ms: leases run out without a commit */
#define SEEN_EVERY     2000  /* ms: heartbeat */
#define OVERDUE_EVERY  15000 /* ms */
#define RETRY_MS       500   /* ms without the store after a fault */
#define COMPLAIN_EVERY 10000 /* ms between log lines of a lasting fault */
#define PROBE_EVERY    100   /* ms: processes without a pidfd */
#define LINGER_MS      60000 /* ms a process may outlive its meeting (last uploads) */
#define LAUNCH_BATCH   8     /* launches a tick */
#define END_TRIES      20    /* attempts to end a meeting whose row is unreadable */

/* ---- the table ---- */

static void bot_free(struct bot *b)
{
    if (b->pidfd >= 0)
        close(b->pidfd);
    if (b->go >= 0)
        close(b->go);
    free(b->id);
    free(b->session_uid);
    free(b->command);
    free(b->start_error);
    free(b);
}

/* A new entry for w, or NULL. */
static struct bot *table_add(struct runner *r, const struct workload *w)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 16;
        struct bot **grown = realloc(r->bots, cap * sizeof *grown);
        if (!grown)
            return NULL;
        r->bots = grown;
        r->cap = cap;
    }
    struct bot *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->pidfd = b->go = -1;
    b->exit_code = -1;
    b->id = strdup(w->id);
    b->session_uid = strdup(w->session_uid);
    b->command = strdup(launch_command(r->a, &r->in, w->platform));
    b->started_ms = w->started_ms;
    if (!b->id || !b->session_uid || !b->command) {
        bot_free(b);
        return NULL;
    }
    r->bots[r->n++] = b;
    return b;
}

static struct bot *table_find(const struct runner *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->bots[i]->id, id))
            return r->bots[i];
    return NULL;
}

static void table_remove(struct runner *r, struct bot *b)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->bots[i] == b) {
            r->bots[i] = r->bots[--r->n];
            bot_free(b);
            return;
        }
    }
}

void bots_free(struct runner *r)
{
    for (size_t i = 0; i < r->n; i++)
        bot_free(r->bots[i]);
    free(r->bots);
    r->bots = NULL;
    r->n = r->cap = 0;
}

/* A fault of the store: leave it alone for a moment and say so now and then. */
static void store_trouble(struct runner *r, const char *what, enum vx_err err)
{
    int64_t now = clock_mono_ms();
    r->retry_at = now + RETRY_MS;
    r->version = -1;
    if (now < r->complain_at)
        return;
    r->complain_at = now + COMPLAIN_EVERY;
    log_event(LOG_ERROR_, "store", "what", what, "code", vx_err_info(err)->code, NULL);
}

static void record_pid(struct runner *r, const struct bot *b, bool here)
{
    char name[128];
    snprintf(name, sizeof name, "bot:%s", b->id);
    if (here ? pids_set(&r->in, name, b->pid) : pids_remove(&r->in, name))
        log_event(LOG_WARN_, "pids_file", "workload", b->id, "message", strerror(errno), NULL);
}

/* ---- the end of a process ---- */

static struct ending_facts facts_of(const struct runner *r, const struct bot *b,
                                    const struct meeting *m)
{
    return (struct ending_facts){
        .meeting_status = m ? m->status : "requested",
        .stop_requested = m && m->stop_requested,
        .why = b->why,
        .known = b->known,
        .watched = b->watched,
        .exit_code = b->exit_code,
        .sig = b->sig,
        .killed = b->killed,
        .grace_s = config_int(r->in.cfg, CFG_BOTS_STOP_GRACE_SECONDS),
        .max_s = config_int(r->in.cfg, CFG_BOTS_MAX_SECONDS),
        .start_error = b->start_error,
    };
}

/* Ends the bot's meeting if the bot did not. */
static enum vx_err end_meeting(struct runner *r, const struct bot *b)
{
    struct meeting m;
    enum vx_err err = store_meeting_by_session(r->rd, r->a, b->session_uid, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND)
        return VX_OK;
    if (err)
        return err;
    struct ending_facts f = facts_of(r, b, &m);
    struct ending e;
    err = ending_of(r->a, &f, &e);
    if (err || !e.status)
        return err;
    struct lifecycle_event ev = {.connection_id = b->session_uid,
                                 .status = e.status,
                                 .completion_reason = e.completion_reason,
                                 .reason = e.reason,
                                 .container_id = b->id,
                                 .has_exit_code = f.known && f.exit_code >= 0,
                                 .exit_code = f.exit_code,
                                 .forced = true,
                                 .source = "runtime_destroy"};
    struct lifecycle_result res;
    err = store_meeting_apply(r->st, r->a, &ev, &res, &m);
    if (err == VX_ERR_INVALID_STATE || err == VX_ERR_MEETING_NOT_FOUND)
        return VX_OK; /* it ended by itself this very moment */
    if (!err)
        log_event(LOG_INFO_, "meeting_ended", "workload", b->id, "status", e.status,
                  "completion_reason", e.completion_reason, "reason", e.reason, NULL);
    return err;
}

/* An earlier runner died while it started the bot, and the bot never said a word: the request is
 * as good as new. Whether somebody asked for its end meanwhile is the store's to know. */
static enum vx_err requeue(struct runner *r, const struct bot *b)
{
    if (b->own || !b->starting)
        return VX_ERR_INVALID_STATE;
    enum vx_err err = store_workload_requeue(r->st, b->id);
    if (!err)
        log_event(LOG_INFO_, "bot_requeued", "workload", b->id, NULL);
    return err;
}

/* Stores the end and forgets the bot; when the store cannot take it now, a later tick tries. */
static void settle(struct runner *r, struct bot *b)
{
    arena_reset(r->a);
    enum vx_err err = requeue(r, b);
    if (!err) {
        record_pid(r, b, false);
        table_remove(r, b);
        return;
    }
    if (err == VX_ERR_INVALID_STATE)
        err = end_meeting(r, b);
    /* A row that cannot be read must not keep the rest from ending. */
    if (err == VX_ERR_INTERNAL && ++b->tries >= END_TRIES)
        err = VX_OK;
    if (!err) {
        struct ending_facts f = facts_of(r, b, NULL);
        const char *note = b->start_error ? b->start_error : ending_how(r->a, &f);
        err = store_workload_ended(r->st, b->id, b->exit_code, b->sig, note);
        if (err == VX_ERR_NOT_FOUND)
            err = VX_OK;
    }
    if (err) {
        store_trouble(r, "end of a bot", err);
        return;
    }
    if (b->pid)
        record_pid(r, b, false);
    table_remove(r, b);
}

/* exec-bot's last word: the errno of an exec that failed. */
static void read_start_error(struct bot *b)
{
    int fault;
    if (b->go < 0)
        return;
    if (recv(b->go, &fault, sizeof fault, MSG_DONTWAIT) == (ssize_t)sizeof fault &&
        asprintf(&b->start_error, "the bot program could not be started: %s: %s", b->command,
                 strerror(fault)) < 0)
        b->start_error = NULL;
    close(b->go);
    b->go = -1;
}

/* Reads the status of our own child, or 0 when it still runs. */
static int read_status(struct bot *b)
{
    siginfo_t si = {0};
    if (!b->own)
        return 1;
    /* What it left behind in its group goes with it, while the number is surely still its own. */
    if (waitid(P_PID, (id_t)b->pid, &si, WEXITED | WNOHANG | WNOWAIT))
        return 1; /* reaped elsewhere: unknown */
    if (!si.si_pid)
        return 0;
    kill(-b->pid, SIGKILL);
    int status;
    if (waitpid(b->pid, &status, WNOHANG) != b->pid)
        return 1;
    b->known = true;
    b->sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    b->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return 1;
}

void bots_on_exit(struct runner *r, struct bot *b)
{
    if (b->ended || !read_status(b))
        return;
    /* An adopted one: nobody leads its group any more, so the number cannot be somebody else's. */
    if (!b->own && !process_start_time(b->pid))
        kill(-b->pid, SIGKILL);
    b->ended = b->watched = true;
    if (b->pidfd >= 0)
        close(b->pidfd); /* leaves the epoll set */
    b->pidfd = -1;
    read_start_error(b);
    arena_reset(r->a);
    struct ending_facts f = facts_of(r, b, NULL);
    log_event(LOG_INFO_, "bot_ended", "workload", b->id, "how", ending_how(r->a, &f), NULL);
    settle(r, b);
}

/* Watches the process of b. Without a pidfd (none left) it is looked at by hand. */
static void watch(struct runner *r, struct bot *b)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = b};
    b->pidfd = pidfd_open(b->pid, 0);
    if (b->pidfd >= 0 && epoll_ctl(r->epoll, EPOLL_CTL_ADD, b->pidfd, &ev)) {
        close(b->pidfd);
        b->pidfd = -1;
    }
}

/* ---- signals ---- */

static void signal_group(struct bot *b, int sig)
{
    if (!b->own && !process_is(b->pid, b->start))
        return;
    if (kill(-b->pid, sig) && errno == ESRCH)
        kill(b->pid, sig);
}

/* SIGTERM now, SIGKILL after grace ms. */
static void begin_end(struct bot *b, enum bot_why why, int64_t grace)
{
    b->why = why;
    b->kill_at = clock_mono_ms() + (grace > 0 ? grace : 0);
    signal_group(b, SIGTERM);
    static const char *const words[] = {"", "stop", "max_seconds", "lingering", "row_gone"};
    log_event(LOG_INFO_, "bot_sigterm", "workload", b->id, "why", words[why], NULL);
}

static int64_t grace_ms(const struct runner *r)
{
    return config_int(r->in.cfg, CFG_BOTS_STOP_GRACE_SECONDS) * 1000;
}

/* The deadlines of one living bot. */
static void check_deadlines(struct runner *r, struct bot *b, int64_t mono, int64_t wall)
{
    int64_t max_ms = config_int(r->in.cfg, CFG_BOTS_MAX_SECONDS) * 1000;
    if (!b->why && b->over_at && mono - b->over_at >= LINGER_MS)
        begin_end(b, BOT_WHY_LINGERING, grace_ms(r));
    if (!b->why && b->started_ms && wall - b->started_ms >= max_ms)
        begin_end(b, BOT_WHY_MAX_TIME, grace_ms(r));
    if (!b->why || b->killed || mono < b->kill_at)
        return;
    b->killed = true;
    signal_group(b, SIGKILL);
    log_event(LOG_WARN_, "bot_sigkill", "workload", b->id, NULL);
}

/* ---- rows ---- */

/* The process of an earlier runner. */
static void adopt(struct runner *r, const struct workload *w)
{
    struct bot *b = table_add(r, w);
    if (!b) {
        store_trouble(r, "adopting a bot", VX_ERR_NO_MEMORY);
        return;
    }
    b->pid = (pid_t)w->pid;
    b->start = w->pid_start;
    b->in_store = true;
    b->starting = !strcmp(w->state, "starting");
    bool alive = process_is(b->pid, b->start);
    if (alive) {
        watch(r, b);
        alive = process_is(b->pid, b->start); /* the number may have changed hands meanwhile */
    }
    log_event(LOG_INFO_, "bot_adopted", "workload", b->id, "process", alive ? "alive" : "gone",
              NULL);
    if (alive) {
        record_pid(r, b, true);
        return;
    }
    /* the end is settled by the next tick, when the rows are no longer being read */
    b->ended = true;
    if (b->pidfd >= 0)
        close(b->pidfd);
    b->pidfd = -1;
}

static void take_row(struct runner *r, struct bot *b, const struct workload *w, int64_t mono)
{
    if (w->started_ms)
        b->started_ms = w->started_ms;
    if (!b->over_at && lifecycle_is_terminal(w->meeting_status))
        b->over_at = mono;
    if (!w->stop_requested || b->why == BOT_WHY_STOP)
        return;
    int64_t grace = grace_ms(r), left = w->stop_ms + grace - clock_now_ms();
    begin_end(b, BOT_WHY_STOP, left < grace ? left : grace);
}

/* Brings the table up to the rows. */
static enum vx_err read_rows(struct runner *r)
{
    struct workload *rows;
    size_t n;
    arena_reset(r->a);
    enum vx_err err = store_workload_live(r->rd, r->a, &rows, &n);
    if (err)
        return err;
    int64_t mono = clock_mono_ms();
    size_t old = r->n;
    for (size_t i = 0; i < old; i++)
        r->bots[i]->in_store = false;
    for (size_t i = 0; i < n; i++) {
        struct bot *b = table_find(r, rows[i].id);
        if (!b && rows[i].pid > 0)
            adopt(r, &rows[i]);
        b = table_find(r, rows[i].id);
        if (!b)
            continue;
        b->in_store = true;
        if (!b->ended)
            take_row(r, b, &rows[i], mono);
    }
    for (size_t i = 0; i < r->n; i++)
        if (!r->bots[i]->in_store && !r->bots[i]->ended && !r->bots[i]->why)
            begin_end(r->bots[i], BOT_WHY_ROW_GONE, grace_ms(r));
    return VX_OK;
}

/* ---- launching ---- */

/* A workload that gets no process: its meeting ends with this text. */
static void fail_launch(struct runner *r, const struct workload *w, const char *why)
{
    struct bot *b = table_find(r, w->id);
    if (!b)
        b = table_add(r, w);
    if (b) {
        b->start_error = strdup(why);
        b->ended = true;
    }
    if (!b || !b->start_error) {
        store_trouble(r, "launch", VX_ERR_NO_MEMORY); /* the lease brings it back */
        if (b)
            table_remove(r, b);
        return;
    }
    log_event(LOG_WARN_, "bot_not_started", "workload", b->id, "why", why, NULL);
    settle(r, b);
}

/* A process that must not be let go: closing the socket ends it, the signal makes it quick. */
static void abandon(const struct launched *p)
{
    close(p->go);
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Commits that the process exists, then lets it go. A runner that dies before the commit leaves a
 * process that sees its socket close and ends; one that dies after it leaves a bot to adopt. */
static void let_go(struct runner *r, struct bot *b, const struct launched *p)
{
    enum vx_err err = store_workload_started(r->st, b->id, b->pid, b->start);
    if (err) {
        log_event(LOG_WARN_, "bot_abandoned", "workload", b->id, "code", vx_err_info(err)->code,
                  NULL);
        abandon(p);
        table_remove(r, b);
        if (err != VX_ERR_INVALID_STATE)
            store_trouble(r, "start of a bot", err); /* the lease brings it back */
        return;
    }
    b->go = p->go;
    b->in_store = true;
    b->started_ms = clock_now_ms();
    char byte = LAUNCH_GO;
    ssize_t n = send(b->go, &byte, 1, MSG_NOSIGNAL);
    (void)n; /* a process that is gone already shows by its pidfd */
    b->starting = true;
    record_pid(r, b, true);
    watch(r, b);
    err = store_workload_running(r->st, b->id);
    if (!err || err == VX_ERR_INVALID_STATE)
        b->starting = false;
    else
        store_trouble(r, "start of a bot", err);
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)b->pid);
    log_event(LOG_INFO_, "bot_started", "workload", b->id, "child", pid, NULL);
}

static void launch(struct runner *r, const struct workload *w)
{
    const char *text, *why = "";
    int64_t now = clock_now_ms();
    if (w->stop_requested || lifecycle_is_terminal(w->meeting_status)) {
        fail_launch(r, w, "stopped by the user before the bot workload was created");
        return;
    }
    if (now - w->requested_ms > config_int(r->in.cfg, CFG_BOTS_LOBBY_SECONDS) * 1000) {
        fail_launch(r, w, "no runner was available");
        return;
    }
    struct launched p;
    if (invocation_build(r->a, &r->in, w, now, &text, &why) ||
        launch_spawn(r->a, &r->in, w, text, &p, &why)) {
        fail_launch(r, w, why);
        return;
    }
    /* Without a start time a later runner could take another process for this one. */
    bool gone = !p.start && process_start_time(getpid());
    struct bot *b = gone ? NULL : table_add(r, w);
    if (!b) {
        abandon(&p);
        if (gone)
            fail_launch(r, w, "the bot's process ended before it was let go");
        else
            store_trouble(r, "launch", VX_ERR_NO_MEMORY);
        return;
    }
    b->pid = p.pid;
    b->start = p.start;
    b->own = true;
    let_go(r, b, &p);
}

/* Claims and launches; returns whether there may be more. */
static bool launch_some(struct runner *r)
{
    for (int i = 0; i < LAUNCH_BATCH; i++) {
        bool pending = false;
        struct workload w = {0};
        arena_reset(r->a);
        enum vx_err err = store_workload_pending(r->rd, &pending);
        if (!err && pending)
            err = store_workload_claim(r->st, r->a, r->name, LEASE_MS, &w);
        if (err) {
            store_trouble(r, "claim", err);
            return false;
        }
        if (!w.id)
            return false;
        if (!table_find(r, w.id)) /* else its launch is still being settled */
            launch(r, &w);
        if (r->retry_at > clock_mono_ms())
            return false;
    }
    return true;
}

/* Requests no runner took in time. */
static enum vx_err fail_overdue(struct runner *r)
{
    struct workload *rows;
    size_t n;
    int64_t before = clock_now_ms() - config_int(r->in.cfg, CFG_BOTS_LOBBY_SECONDS) * 1000;
    arena_reset(r->a);
    enum vx_err err = store_workload_overdue(r->rd, r->a, before, &rows, &n);
    if (err)
        return err;
    /* settle() resets the arena the rows live in: copy first, end later */
    size_t first = r->n;
    for (size_t i = 0; i < n; i++) {
        struct bot *b = table_find(r, rows[i].id) ? NULL : table_add(r, &rows[i]);
        if (!b)
            continue;
        b->ended = true;
        b->start_error = strdup("no runner was available");
    }
    for (size_t i = r->n; i > first && clock_mono_ms() >= r->retry_at; i--)
        settle(r, r->bots[i - 1]);
    return VX_OK;
}

/* ---- the loop's calls ---- */

/* Ends that could not be stored yet, and starts. */
static void retry(struct runner *r)
{
    for (size_t i = r->n; i > 0 && clock_mono_ms() >= r->retry_at; i--) {
        struct bot *b = r->bots[i - 1];
        if (b->ended) {
            settle(r, b);
        } else if (b->own && b->starting) {
            enum vx_err err = store_workload_running(r->st, b->id);
            if (!err || err == VX_ERR_INVALID_STATE)
                b->starting = false;
            else
                store_trouble(r, "start of a bot", err);
        }
    }
}

static void heartbeat(struct runner *r, int64_t now)
{
    if (now < r->next_seen)
        return;
    r->next_seen = now + SEEN_EVERY;
    enum vx_err err = store_runner_seen(r->st, r->name, getpid());
    if (err)
        store_trouble(r, "heartbeat", err);
}

static void look(struct runner *r, int64_t now)
{
    int64_t version = -1;
    enum vx_err err = store_data_version(r->rd, &version);
    if (!err && version == r->version && now < r->next_read)
        return;
    r->next_read = now + READ_EVERY;
    if (!err)
        err = read_rows(r);
    if (err) {
        store_trouble(r, "reading the bots", err);
        return;
    }
    r->version = version;
    if (launch_some(r))
        r->version = -1;
}

void bots_start(struct runner *r)
{
    r->version = -1;
    bots_tick(r);
}

void bots_tick(struct runner *r)
{
    int64_t now = clock_mono_ms(), wall = clock_now_ms();
    for (size_t i = 0; i < r->n; i++)
        if (!r->bots[i]->ended)
            check_deadlines(r, r->bots[i], now, wall);
    if (now >= r->next_probe) {
        r->next_probe = now + PROBE_EVERY;
        for (size_t i = r->n; i > 0; i--) {
            struct bot *b = r->bots[i - 1];
            if (b->pidfd < 0 && !b->ended && (b->own || !process_is(b->pid, b->start)))
                bots_on_exit(r, b);
        }
    }
    if (now < r->retry_at)
        return;
    /* Before anything is claimed: what waited too long must not be started late. */
    if (now >= r->next_overdue) {
        enum vx_err err = fail_overdue(r);
        if (err)
            store_trouble(r, "overdue requests", err);
        else
            r->next_overdue = now + OVERDUE_EVERY;
    }
    if (now >= r->retry_at)
        heartbeat(r, now);
    if (now >= r->retry_at)
        retry(r);
    if (now >= r->retry_at)
        look(r, now);
    if (now >= r->retry_at) {
        enum vx_err err = retention_tick(r, now);
        if (err)
            store_trouble(r, "retention", err);
    }
}
