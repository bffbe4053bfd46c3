/* The turnstile. A bounded wait on flock() needs a signal: a timer of the waiting thread's own
 * interrupts the call, again and again, so that one that came too early loses nothing. */
#include "lib/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

#define WAKE_SIGNAL   (SIGRTMIN + 4)
#define WAKE_AGAIN_MS 20

struct store_lock {
    int gate, lock;
};

static void on_wake(int sig)
{
    (void)sig; /* its only work is to end flock() with EINTR */
}

static int open_file(const char *db, const char *suffix)
{
    char *path;
    if (asprintf(&path, "%s.%s", db, suffix) < 0)
        return -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(path);
    return fd;
}

enum vx_err store_lock_new(const char *db, struct store_lock **out)
{
    struct store_lock *l = calloc(1, sizeof *l);
    if (!l)
        return VX_ERR_NO_MEMORY;
    struct sigaction sa = {.sa_handler = on_wake}; /* no SA_RESTART */
    l->gate = open_file(db, "gate");
    l->lock = open_file(db, "lock");
    if (l->gate < 0 || l->lock < 0 || sigaction(WAKE_SIGNAL, &sa, NULL)) {
        int saved = errno;
        log_msg(LOG_ERROR_, "store_lock", "lock files of %s cannot be opened (errno %d)", db,
                saved);
        store_lock_free(l);
        return saved == ENOSPC ? VX_ERR_STORAGE_FULL : VX_ERR_STORE_FAULT;
    }
    *out = l;
    return VX_OK;
}

void store_lock_free(struct store_lock *l)
{
    if (!l)
        return;
    if (l->gate >= 0)
        close(l->gate);
    if (l->lock >= 0)
        close(l->lock);
    free(l);
}

static enum vx_err flock_until(int fd, int64_t deadline)
{
    while (flock(fd, LOCK_EX)) {
        if (errno != EINTR)
            return VX_ERR_STORE_FAULT;
        if (clock_mono_ms() >= deadline)
            return VX_ERR_STORE_BUSY;
    }
    return VX_OK;
}

static enum vx_err take_slowly(struct store_lock *l, int64_t ms)
{
    sigset_t wake, before;
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL);
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WAKE_SIGNAL};
    ev._sigev_un._tid = gettid();
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &ev, &timer))
        return VX_ERR_SYSTEM;
    pthread_sigmask(SIG_UNBLOCK, &wake, &before);
    if (ms < 1)
        ms = 1;
    int64_t deadline = clock_mono_ms() + ms;
    struct itimerspec spec = {
        .it_value = {ms / 1000, ms % 1000 * 1000000},
        .it_interval = {0, WAKE_AGAIN_MS * 1000000L},
    };
    enum vx_err err = VX_ERR_SYSTEM;
    if (timer_settime(timer, 0, &spec, NULL) == 0)
        err = flock_until(l->gate, deadline);
    if (!err) {
        err = flock_until(l->lock, deadline);
        flock(l->gate, LOCK_UN);
    }
    timer_delete(timer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

enum vx_err store_lock_take(struct store_lock *l, int64_t ms)
{
    /* the common case costs no timer */
    if (flock(l->gate, LOCK_EX | LOCK_NB) == 0) {
        int got = flock(l->lock, LOCK_EX | LOCK_NB);
        flock(l->gate, LOCK_UN);
        if (got == 0)
            return VX_OK;
    }
    return take_slowly(l, ms);
}

void store_lock_drop(struct store_lock *l)
{
    flock(l->lock, LOCK_UN);
}
