/* Opening the database: connections and their settings, migrations, the epoch. */
#include "lib/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/secret.h"
#include "lib/store_lock.h"
#include "lib/store_schema.h"
#include "lib/store_sql.h"
#include "lib/store_writer.h"

#define APPLICATION_ID 0x56455841 /* "VEXA" */
#define EPOCH_LENGTH   8

struct store {
    char *path;
    int64_t busy_ms;
    int schema;
    char epoch[32];
    struct store_lock *lock;
    struct store_conn *writer_conn;
    struct store_writer *writer;
};

static void conn_close(struct store_conn *c)
{
    if (!c)
        return;
    sqlite3_stmt *st;
    while ((st = sqlite3_next_stmt(c->db, NULL)))
        sqlite3_finalize(st);
    sqlite3_close(c->db);
    free(c->slots);
    free(c);
}

static enum vx_err pragma(struct store_conn *c, const char *sql)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? VX_OK : sql_fault(c, rc, sql);
}

/* Settings every connection has, reader or writer (design.md "Storage"). */
static enum vx_err harden(struct store_conn *c, int64_t busy_ms)
{
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, (int)busy_ms);
    sqlite3_wal_autocheckpoint(c->db, 0);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    return pragma(c, "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
                     "PRAGMA mmap_size=0; PRAGMA cache_size=-1000");
}

static enum vx_err conn_open(struct store *st, int flags, struct store_conn **out)
{
    struct store_conn *c = calloc(1, sizeof *c);
    if (!c)
        return VX_ERR_NO_MEMORY;
    c->store = st;
    int rc = sqlite3_open_v2(st->path, &c->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        enum vx_err err = VX_ERR_STORE_FAULT;
        if (c->db)
            err = sql_fault(c, rc, st->path);
        conn_close(c);
        return err;
    }
    enum vx_err err = harden(c, st->busy_ms);
    if (err) {
        conn_close(c);
        return err;
    }
    *out = c;
    return VX_OK;
}

static enum vx_err pragma_int(struct store_conn *c, const char *sql, int64_t *out)
{
    bool found;
    *out = 0;
    return sql_int(c, out, &found, sql, "");
}

static enum vx_err set_journal(struct store_conn *c)
{
    sqlite3_stmt *st;
    bool row;
    enum vx_err err = sql_begin(c, &st, "PRAGMA journal_mode=WAL", "");
    if (err)
        return err;
    err = sql_step(c, st, &row);
    bool wal = !err && row && strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
    sql_end(st);
    if (err || wal)
        return err;
    log_msg(LOG_WARN_, "journal",
            "this file system cannot hold a WAL: using journal_mode=TRUNCATE");
    return pragma(c, "PRAGMA journal_mode=TRUNCATE");
}

/* A copy beside the database before a migration changes existing data. */
static enum vx_err backup_before(struct store *st, struct store_conn *c, int64_t from)
{
    char *path = NULL;
    if (asprintf(&path, "%s.before-migration-%d", st->path, (int)from + 1) < 0)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = VX_OK;
    struct stat sb;
    if (stat(path, &sb) != 0) { /* a copy of an attempt that failed half-way is as good */
        err = sql_exec(c, "VACUUM INTO ?1", "t", path);
        if (err)
            remove(path);
    }
    free(path);
    return err;
}

static enum vx_err apply_migration(struct store_conn *c, const struct migration *m)
{
    char set[64];
    snprintf(set, sizeof set, "PRAGMA user_version=%d", m->version);
    enum vx_err err = pragma(c, "BEGIN IMMEDIATE");
    if (err)
        return err;
    if (!err)
        err = pragma(c, m->sql);
    if (!err)
        err = pragma(c, set);
    if (!err)
        err = pragma(c, "COMMIT");
    if (err && !sqlite3_get_autocommit(c->db))
        pragma(c, "ROLLBACK");
    if (!err)
        log_msg(LOG_INFO_, "migrated", "database schema is now version %d", m->version);
    return err;
}

/* Checks whose file it is and brings its schema up to date. The lock is held. */
static enum vx_err migrate(struct store *st, struct store_conn *c)
{
    int64_t app, version;
    enum vx_err err = pragma_int(c, "PRAGMA application_id", &app);
    if (!err)
        err = pragma_int(c, "PRAGMA user_version", &version);
    if (err)
        return err;
    if ((app != APPLICATION_ID && app != 0) || (app == 0 && version != 0)) {
        log_msg(LOG_ERROR_, "store_open", "%s is another program's database", st->path);
        return VX_ERR_STORE_FAULT;
    }
    if (version > store_schema_latest) {
        log_msg(LOG_ERROR_, "store_open", "%s has schema %d; this binary knows up to %d", st->path,
                (int)version, store_schema_latest);
        return VX_ERR_SCHEMA_TOO_NEW;
    }
    /* every time: a copy made by VACUUM INTO comes without a WAL */
    if ((err = set_journal(c)))
        return err;
    if (version > 0 && version < store_schema_latest && (err = backup_before(st, c, version)))
        return err;
    if (app == 0) {
        char set[64];
        snprintf(set, sizeof set, "PRAGMA application_id=%d", APPLICATION_ID);
        if ((err = pragma(c, set)))
            return err;
    }
    for (const struct migration *m = store_migrations; m->sql; m++)
        if (m->version > version && (err = apply_migration(c, m)))
            return err;
    st->schema = store_schema_latest;
    return VX_OK;
}

/* VX_ERR_STORE_FAULT when there is none yet. */
static enum vx_err read_epoch(struct store *st, struct store_conn *c)
{
    sqlite3_stmt *stmt;
    bool row;
    enum vx_err err = sql_begin(c, &stmt, "SELECT value FROM meta WHERE key='epoch'", "");
    if (err)
        return err;
    err = sql_step(c, stmt, &row);
    const char *text = !err && row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (text)
        snprintf(st->epoch, sizeof st->epoch, "%s", text);
    else if (!err)
        err = VX_ERR_STORE_FAULT;
    sql_end(stmt);
    return err;
}

static enum vx_err make_epoch(struct store *st, struct store_conn *c)
{
    char fresh[EPOCH_LENGTH + 1];
    if (secret_hex(fresh, EPOCH_LENGTH))
        return VX_ERR_SYSTEM;
    enum vx_err err = sql_exec(
        c, "INSERT INTO meta(key, value) VALUES('epoch', ?1) ON CONFLICT DO NOTHING", "t", fresh);
    return err ? err : read_epoch(st, c);
}

/* Nothing has to be changed to use the database: what nearly every start finds. A process a request
 * (CGI) would otherwise queue for the writers' lock just to look. */
static bool is_current(struct store *st, struct store_conn *c)
{
    int64_t app, version;
    sqlite3_stmt *stmt;
    bool row;
    if (pragma_int(c, "PRAGMA application_id", &app) || app != APPLICATION_ID ||
        pragma_int(c, "PRAGMA user_version", &version) || version != store_schema_latest ||
        sql_begin(c, &stmt, "PRAGMA journal_mode", ""))
        return false;
    bool wal = !sql_step(c, stmt, &row) && row &&
               strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    sql_end(stmt);
    if (!wal || read_epoch(st, c))
        return false;
    st->schema = store_schema_latest;
    return true;
}

static enum vx_err open_writer(struct store *st, unsigned flags)
{
    int create = flags & STORE_CREATE ? SQLITE_OPEN_CREATE : 0;
    enum vx_err err = store_lock_new(st->path, &st->lock);
    if (err)
        return err;
    if (!create)
        err = conn_open(st, SQLITE_OPEN_READWRITE, &st->writer_conn);
    if (err)
        return err;
    if (create || !is_current(st, st->writer_conn)) {
        err = store_lock_take(st->lock, st->busy_ms > 10000 ? st->busy_ms : 10000);
        if (err)
            return err;
        if (create)
            err = conn_open(st, SQLITE_OPEN_READWRITE | create, &st->writer_conn);
        if (!err)
            err = migrate(st, st->writer_conn);
        if (!err)
            err = make_epoch(st, st->writer_conn);
        store_lock_drop(st->lock);
    }
    if (err)
        return err;
    st->writer_conn->writer = true;
    return store_writer_start(st->writer_conn, st->lock, st->busy_ms, &st->writer);
}

enum vx_err store_open(const char *path, int64_t busy_ms, unsigned flags, struct store **out)
{
    *out = NULL;
    struct store *st = calloc(1, sizeof *st);
    if (!st)
        return VX_ERR_NO_MEMORY;
    st->path = strdup(path);
    st->busy_ms = busy_ms;
    enum vx_err err = st->path ? open_writer(st, flags) : VX_ERR_NO_MEMORY;
    if (err) {
        store_close(st);
        return err;
    }
    *out = st;
    return VX_OK;
}

void store_close(struct store *st)
{
    if (!st)
        return;
    if (st->writer)
        store_writer_stop(st->writer);
    conn_close(st->writer_conn);
    store_lock_free(st->lock);
    free(st->path);
    free(st);
}

enum vx_err store_reader_open(struct store *st, struct store_conn **out)
{
    enum vx_err err = conn_open(st, SQLITE_OPEN_READWRITE, out);
    if (!err)
        err = pragma(*out, "PRAGMA query_only=ON");
    return err;
}

void store_reader_close(struct store_conn *c)
{
    conn_close(c);
}

const char *store_epoch(const struct store *st)
{
    return st->epoch;
}

int store_schema_version(const struct store *st)
{
    return st->schema;
}

enum vx_err store_write(struct store *st, store_write_fn *fn, void *ctx)
{
    return store_writer_run(st->writer, fn, ctx);
}

void store_write_later(struct store *st, store_write_fn *fn, void *ctx, void (*free_ctx)(void *))
{
    store_writer_later(st->writer, fn, ctx, free_ctx);
}

void store_notify_fd(struct store *st, int fd)
{
    store_writer_notify_fd(st->writer, fd);
}

enum vx_err store_data_version(struct store_conn *c, int64_t *version)
{
    return pragma_int(c, "PRAGMA data_version", version);
}

enum vx_err store_snapshot_begin(struct store_conn *c)
{
    return sql_exec(c, "BEGIN", "");
}

void store_snapshot_end(struct store_conn *c)
{
    if (!sqlite3_get_autocommit(c->db) && sql_exec(c, "COMMIT", ""))
        pragma(c, "ROLLBACK");
}

void store_stats(struct store *st, struct store_stats *out)
{
    store_writer_stats(st->writer, out);
}
