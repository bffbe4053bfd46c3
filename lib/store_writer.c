/* Group commit: callers queue a function; the thread runs all waiting ones in savepoints of one
 * transaction under the turnstile lock, commits, and wakes them. */
#include "lib/store_writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/store_sql.h"

#define GROUP_MAX         256
#define LATER_MAX         64
#define CHECKPOINT_FRAMES 1000
/* While another process holds the lock for long, further writers are refused at once instead of
 * binding every worker: reads must go on. */
#define STALL_MS      250
#define STALL_WAITERS 2
#define STALL_BUSY_MS 100

struct job {
    struct job *next;
    store_write_fn *fn;
    void *ctx;
    void (*free_ctx)(void *); /* a later-job frees itself; NULL: somebody waits */
    bool detached, done;
    enum vx_err err;
    pthread_cond_t cond;
};

struct store_writer {
    struct store_conn *conn;
    struct store_lock *lock;
    int64_t busy_ms;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct job *first, **last;
    unsigned queued, later; /* waiting jobs; of them detached ones */
    bool stopping;
    bool stalled;                  /* the last group could not get the lock */
    _Atomic int64_t waiting_since; /* monotonic ms the thread began to wait for the lock, or 0 */
    atomic_int notify_fd;
    int frames, checked_frames; /* WAL length, and where it was last checkpointed */
    uint64_t groups, writes;
};

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((struct store_writer *)ctx)->frames = frames;
    return SQLITE_OK;
}

/* Under the lock, after a commit. A checkpoint that cannot finish is tried again later. */
static void checkpoint_if_grown(struct store_writer *w)
{
    if (w->frames < w->checked_frames)
        w->checked_frames = 0; /* the WAL began anew */
    if (w->frames - w->checked_frames < CHECKPOINT_FRAMES)
        return;
    int rc = sqlite3_wal_checkpoint_v2(w->conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        log_msg(LOG_WARN_, "checkpoint", "checkpoint failed: %s", sqlite3_errstr(rc));
    w->checked_frames = w->frames;
}

static bool rolled_back(const struct store_writer *w)
{
    return sqlite3_get_autocommit(w->conn->db) != 0;
}

static enum vx_err plain(struct store_writer *w, const char *sql)
{
    int rc = sqlite3_exec(w->conn->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? VX_OK : sql_fault(w->conn, rc, sql);
}

/* One job in its savepoint. Returns a fault only when the whole group is lost. */
static enum vx_err run_job(struct store_writer *w, struct job *j)
{
    enum vx_err err = plain(w, "SAVEPOINT job");
    if (err)
        return err;
    j->err = j->fn(w->conn, j->ctx);
    if (rolled_back(w)) /* a full disk or an I/O error took the group with it */
        return j->err ? j->err : VX_ERR_STORE_FAULT;
    if (j->err && (err = plain(w, "ROLLBACK TO job")))
        return err;
    return plain(w, "RELEASE job");
}

/* Everything between taking and dropping the lock. */
static enum vx_err run_group(struct store_writer *w, struct job *jobs)
{
    enum vx_err err = plain(w, "BEGIN IMMEDIATE");
    if (err)
        return err;
    for (struct job *j = jobs; j && !err; j = j->next)
        err = run_job(w, j);
    if (!err)
        err = plain(w, "COMMIT");
    if (!err) {
        checkpoint_if_grown(w);
        return VX_OK;
    }
    if (!rolled_back(w))
        plain(w, "ROLLBACK");
    return err;
}

static enum vx_err commit_group(struct store_writer *w, struct job *jobs, bool stalled)
{
    atomic_store(&w->waiting_since, clock_mono_ms());
    enum vx_err err = store_lock_take(w->lock, stalled ? STALL_BUSY_MS : w->busy_ms);
    if (!err) {
        sqlite3_busy_timeout(w->conn->db, stalled ? STALL_BUSY_MS : (int)w->busy_ms);
        err = run_group(w, jobs);
        store_lock_drop(w->lock);
    }
    atomic_store(&w->waiting_since, 0);
    int fd = atomic_load(&w->notify_fd);
    if (!err && fd >= 0) {
        uint64_t one = 1;
        ssize_t n = write(fd, &one, sizeof one);
        (void)n; /* a full eventfd is awake already */
    }
    return err;
}

static void finish_job(struct store_writer *w, struct job *j, enum vx_err group)
{
    if (j->detached) {
        w->later--;
        j->free_ctx(j->ctx);
        free(j);
        return;
    }
    if (group)
        j->err = group;
    j->done = true;
    pthread_cond_signal(&j->cond);
}

/* Takes up to GROUP_MAX jobs off the queue. The mutex is held. */
static struct job *take_jobs(struct store_writer *w)
{
    struct job *jobs = w->first, *j = jobs;
    unsigned n = 1;
    while (j->next && n < GROUP_MAX) {
        j = j->next;
        n++;
    }
    w->first = j->next;
    if (!w->first)
        w->last = &w->first;
    j->next = NULL;
    w->queued -= n;
    w->writes += n;
    w->groups++;
    return jobs;
}

static void *writer_main(void *arg)
{
    struct store_writer *w = arg;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->first && !w->stopping)
            pthread_cond_wait(&w->work, &w->mutex);
        if (!w->first)
            break;
        struct job *jobs = take_jobs(w);
        bool stalled = w->stalled;
        pthread_mutex_unlock(&w->mutex);
        enum vx_err err = commit_group(w, jobs, stalled);
        pthread_mutex_lock(&w->mutex);
        w->stalled = err == VX_ERR_STORE_BUSY;
        while (jobs) {
            struct job *next = jobs->next;
            finish_job(w, jobs, err);
            jobs = next;
        }
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

enum vx_err store_writer_start(struct store_conn *conn, struct store_lock *lock, int64_t busy_ms,
                               struct store_writer **out)
{
    struct store_writer *w = calloc(1, sizeof *w);
    if (!w)
        return VX_ERR_NO_MEMORY;
    w->conn = conn;
    w->lock = lock;
    w->busy_ms = busy_ms;
    w->last = &w->first;
    atomic_init(&w->notify_fd, -1);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->work, NULL);
    sqlite3_wal_hook(conn->db, on_wal, w);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        free(w);
        return VX_ERR_SYSTEM;
    }
    *out = w;
    return VX_OK;
}

void store_writer_stop(struct store_writer *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static void enqueue(struct store_writer *w, struct job *j)
{
    *w->last = j;
    w->last = &j->next;
    w->queued++;
    pthread_cond_signal(&w->work);
}

/* The lock has been waited for too long already, and enough callers wait. The mutex is held. */
static bool refuses(struct store_writer *w)
{
    int64_t since = atomic_load(&w->waiting_since);
    return since && clock_mono_ms() - since > STALL_MS && w->queued - w->later >= STALL_WAITERS;
}

enum vx_err store_writer_run(struct store_writer *w, store_write_fn *fn, void *ctx)
{
    struct job j = {.fn = fn, .ctx = ctx};
    pthread_mutex_lock(&w->mutex);
    if (w->stopping || refuses(w)) {
        pthread_mutex_unlock(&w->mutex);
        return VX_ERR_STORE_BUSY;
    }
    pthread_cond_init(&j.cond, NULL);
    enqueue(w, &j);
    while (!j.done)
        pthread_cond_wait(&j.cond, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    pthread_cond_destroy(&j.cond);
    return j.err;
}

void store_writer_later(struct store_writer *w, store_write_fn *fn, void *ctx,
                        void (*free_ctx)(void *))
{
    struct job *j = calloc(1, sizeof *j);
    pthread_mutex_lock(&w->mutex);
    bool queued = j && !w->stopping && w->later < LATER_MAX;
    if (queued) {
        *j = (struct job){.fn = fn, .ctx = ctx, .free_ctx = free_ctx, .detached = true};
        w->later++;
        enqueue(w, j);
    }
    pthread_mutex_unlock(&w->mutex);
    if (!queued) {
        free(j);
        free_ctx(ctx);
    }
}

void store_writer_notify_fd(struct store_writer *w, int fd)
{
    atomic_store(&w->notify_fd, fd);
}

void store_writer_stats(struct store_writer *w, struct store_stats *out)
{
    pthread_mutex_lock(&w->mutex);
    *out = (struct store_stats){.groups = w->groups, .writes = w->writes, .queued = w->queued};
    pthread_mutex_unlock(&w->mutex);
}
