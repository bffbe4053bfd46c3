/* The store's core: group commit, savepoints, the bounded wait for the lock, schema refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/store_schema.h"
#include "lib/store_sql.h"

struct fixture {
    char dir[64], db[96];
    struct store *st;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/vexa-store-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->db, sizeof f->db, "%s/vexa.db", f->dir);
    *state = f;
    return store_open(f->db, 300, STORE_CREATE, &f->st) == VX_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->st);
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".gate"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", f->db, suffixes[i]);
        unlink(path);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

struct note {
    const char *key, *value;
    enum vx_err answer;
};

static enum vx_err write_note(struct store_conn *w, void *ctx)
{
    struct note *n = ctx;
    enum vx_err err =
        sql_exec(w, "INSERT INTO meta(key, value) VALUES(?1, ?2)", "tt", n->key, n->value);
    return err ? err : n->answer;
}

static int64_t count_notes(struct fixture *f)
{
    struct store_conn *c;
    int64_t n = -1;
    bool found;
    assert_int_equal(store_reader_open(f->st, &c), VX_OK);
    assert_int_equal(sql_int(c, &n, &found, "SELECT count(*) FROM meta WHERE key LIKE 'n%'", ""),
                     0);
    store_reader_close(c);
    return n;
}

static void a_refused_job_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct note good = {"n1", "a", VX_OK}, bad = {"n2", "b", VX_ERR_INVALID_STATE};
    assert_int_equal(store_write(f->st, write_note, &good), VX_OK);
    assert_int_equal(store_write(f->st, write_note, &bad), VX_ERR_INVALID_STATE);
    assert_int_equal(store_write(f->st, write_note, &good), VX_ERR_INTERNAL); /* unique key */
    assert_int_equal(count_notes(f), 1);
}

struct many {
    struct fixture *f;
    int first;
    int failed;
};

static void *write_many(void *arg)
{
    struct many *m = arg;
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof key, "n-%d-%d", m->first, i);
        /* every tenth is refused: it must not take its group with it */
        struct note n = {key, "x", i % 10 ? VX_OK : VX_ERR_INVALID_STATE};
        if (store_write(m->f->st, write_note, &n) != n.answer)
            m->failed++;
    }
    return NULL;
}

static void many_threads_share_groups(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[8];
    struct many work[8];
    for (int i = 0; i < 8; i++) {
        work[i] = (struct many){.f = f, .first = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &work[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(work[i].failed, 0);
    }
    assert_int_equal(count_notes(f), 8 * 90);
    struct store_stats stats;
    store_stats(f->st, &stats);
    assert_int_equal(stats.writes, 800);
    assert_true(stats.groups < 800);
}

static void a_held_lock_is_busy_in_bounded_time(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s.lock", f->db);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    struct note n = {"n1", "a", VX_OK};
    int64_t before = clock_mono_ms();
    assert_int_equal(store_write(f->st, write_note, &n), VX_ERR_STORE_BUSY);
    int64_t took = clock_mono_ms() - before;
    assert_in_range(took, 290, 5000);
    assert_int_equal(count_notes(f), 0); /* reading goes on */
    assert_int_equal(store_write(f->st, write_note, &n), VX_ERR_STORE_BUSY);
    flock(fd, LOCK_UN);
    close(fd);
    assert_int_equal(store_write(f->st, write_note, &n), VX_OK);
}

static void a_busy_database_is_busy(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other;
    assert_int_equal(sqlite3_open(f->db, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct note n = {"n1", "a", VX_OK};
    assert_int_equal(store_write(f->st, write_note, &n), VX_ERR_STORE_BUSY);
    sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(other);
    assert_int_equal(store_write(f->st, write_note, &n), VX_OK);
}

static void commits_are_announced(void **state)
{
    struct fixture *f = *state;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t n = 0;
    store_notify_fd(f->st, fd);
    struct note note = {"n1", "a", VX_OK};
    assert_int_equal(store_write(f->st, write_note, &note), VX_OK);
    assert_int_equal(read(fd, &n, sizeof n), sizeof n);
    store_notify_fd(f->st, -1);
    close(fd);
}

static void count_free(void *ctx)
{
    free(ctx);
}

static void later_jobs_are_done_and_freed(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 500; i++) {
        struct note *n = malloc(sizeof *n);
        *n = (struct note){i ? "n1" : "n2", "a", VX_OK};
        store_write_later(f->st, write_note, n, count_free);
    }
    struct note n = {"n3", "a", VX_OK};
    assert_int_equal(store_write(f->st, write_note, &n), VX_OK);
    assert_true(count_notes(f) >= 2);
}

static void a_newer_schema_is_refused(void **state)
{
    struct fixture *f = *state;
    sqlite3 *db;
    char sql[64];
    assert_int_equal(sqlite3_open(f->db, &db), SQLITE_OK);
    snprintf(sql, sizeof sql, "PRAGMA user_version=%d", store_schema_latest + 1);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    struct store *st;
    assert_int_equal(store_open(f->db, 300, 0, &st), VX_ERR_SCHEMA_TOO_NEW);
    sqlite3_exec(db, "PRAGMA user_version=0; PRAGMA application_id=7", NULL, NULL, NULL);
    assert_int_equal(store_open(f->db, 300, 0, &st), VX_ERR_STORE_FAULT);
    sqlite3_close(db);
}

static void the_epoch_stays(void **state)
{
    struct fixture *f = *state;
    struct store *again;
    assert_int_equal(store_open(f->db, 300, 0, &again), VX_OK);
    assert_string_equal(store_epoch(again), store_epoch(f->st));
    assert_int_equal(strlen(store_epoch(again)), 8);
    store_close(again);
    char path[128];
    snprintf(path, sizeof path, "%s/none.db", f->dir);
    assert_int_not_equal(store_open(path, 300, 0, &again), VX_OK); /* not made without CREATE */
    snprintf(path, sizeof path, "%s/none.db.lock", f->dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/none.db.gate", f->dir);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refused_job_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_threads_share_groups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_held_lock_is_busy_in_bounded_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_busy_database_is_busy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commits_are_announced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(later_jobs_are_done_and_freed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_epoch_stays, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
