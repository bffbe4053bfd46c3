/* Kept statements, binding and stepping: the only users of the sqlite3_stmt calls. */
#include "lib/store_sql.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

struct sql_slot {
    const char *sql;
    sqlite3_stmt *st;
};

enum vx_err sql_fault(struct store_conn *c, int rc, const char *what)
{
    log_msg(LOG_ERROR_, "store_fault", "%.60s: %s (%d, extended %d)", what, sqlite3_errmsg(c->db),
            rc, sqlite3_extended_errcode(c->db));
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return VX_ERR_STORE_BUSY;
    case SQLITE_FULL:
        return VX_ERR_STORAGE_FULL;
    case SQLITE_NOMEM:
        return VX_ERR_NO_MEMORY;
    case SQLITE_CONSTRAINT:
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return VX_ERR_INTERNAL; /* our own mistake, not the machine's */
    default:
        return VX_ERR_STORE_FAULT;
    }
}

static enum vx_err grow(struct store_conn *c)
{
    size_t cap = c->cap_slots ? c->cap_slots * 2 : 64;
    struct sql_slot *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < c->cap_slots; i++) {
        if (!c->slots[i].sql)
            continue;
        size_t at = ((uintptr_t)c->slots[i].sql >> 3) & (cap - 1);
        while (slots[at].sql)
            at = (at + 1) & (cap - 1);
        slots[at] = c->slots[i];
    }
    free(c->slots);
    c->slots = slots;
    c->cap_slots = cap;
    return VX_OK;
}

/* The slot of sql: its own, or a free one. */
static struct sql_slot *slot_of(struct store_conn *c, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) & (c->cap_slots - 1);
    while (c->slots[at].sql && c->slots[at].sql != sql)
        at = (at + 1) & (c->cap_slots - 1);
    return &c->slots[at];
}

static enum vx_err prepare(struct store_conn *c, const char *sql, sqlite3_stmt **out)
{
    if ((c->n_slots + 1) * 2 > c->cap_slots) {
        enum vx_err err = grow(c);
        if (err)
            return err;
    }
    struct sql_slot *slot = slot_of(c, sql);
    if (!slot->sql) {
        int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
        if (rc != SQLITE_OK)
            return sql_fault(c, rc, sql);
        slot->sql = sql;
        slot->st = *out;
        c->n_slots++;
    }
    *out = slot->st;
    return VX_OK;
}

static enum vx_err bind_all(struct store_conn *c, sqlite3_stmt *st, const char *sql,
                            const char *types, va_list ap)
{
    int rc = SQLITE_OK, i = 1;
    for (const char *t = types; *t && rc == SQLITE_OK; t++, i++) {
        if (*t == 'i') {
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (*t == 'o') {
            int64_t v = va_arg(ap, int64_t);
            rc = v ? sqlite3_bind_int64(st, i, v) : sqlite3_bind_null(st, i);
        } else if (*t == 'd') {
            rc = sqlite3_bind_double(st, i, va_arg(ap, double));
        } else if (*t == 't') {
            const char *s = va_arg(ap, const char *);
            rc = s ? sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC) : sqlite3_bind_null(st, i);
        } else if (*t == 'b') {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = sqlite3_bind_blob64(st, i, p, n, SQLITE_STATIC);
        } else {
            rc = sqlite3_bind_null(st, i);
        }
    }
    if (rc == SQLITE_OK)
        return VX_OK;
    enum vx_err err = sql_fault(c, rc, sql);
    sql_end(st);
    return err;
}

static enum vx_err begin(struct store_conn *c, sqlite3_stmt **st, const char *sql,
                         const char *types, va_list ap)
{
    enum vx_err err = prepare(c, sql, st);
    return err ? err : bind_all(c, *st, sql, types, ap);
}

enum vx_err sql_begin(struct store_conn *c, sqlite3_stmt **st, const char *sql, const char *types,
                      ...)
{
    va_list ap;
    va_start(ap, types);
    enum vx_err err = begin(c, st, sql, types, ap);
    va_end(ap);
    return err;
}

enum vx_err sql_step(struct store_conn *c, sqlite3_stmt *st, bool *row)
{
    int rc = sqlite3_step(st);
    *row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? VX_OK : sql_fault(c, rc, sqlite3_sql(st));
}

void sql_end(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

enum vx_err sql_exec(struct store_conn *c, const char *sql, const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    va_start(ap, types);
    enum vx_err err = begin(c, &st, sql, types, ap);
    va_end(ap);
    if (err)
        return err;
    bool row = true;
    while (row && !err)
        err = sql_step(c, st, &row);
    sql_end(st);
    return err;
}

enum vx_err sql_int(struct store_conn *c, int64_t *out, bool *found, const char *sql,
                    const char *types, ...)
{
    sqlite3_stmt *st;
    va_list ap;
    va_start(ap, types);
    enum vx_err err = begin(c, &st, sql, types, ap);
    va_end(ap);
    if (err)
        return err;
    err = sql_step(c, st, found);
    if (!err && *found)
        *out = sqlite3_column_int64(st, 0);
    sql_end(st);
    return err;
}

int64_t sql_changes(struct store_conn *c)
{
    return sqlite3_changes64(c->db);
}

int64_t sql_last_id(struct store_conn *c)
{
    return sqlite3_last_insert_rowid(c->db);
}

const char *sql_text(struct arena *a, sqlite3_stmt *st, int col, enum vx_err *err)
{
    if (sqlite3_column_type(st, col) == SQLITE_NULL)
        return NULL;
    const char *s = (const char *)sqlite3_column_text(st, col);
    char *copy = s ? arena_strndup(a, s, (size_t)sqlite3_column_bytes(st, col)) : NULL;
    if (!copy && err)
        *err = VX_ERR_NO_MEMORY;
    return copy;
}

enum vx_err sql_rows(struct store_conn *c, struct arena *a, sqlite3_stmt *st, size_t size,
                     sql_row_fn *fn, void **rows, size_t *n)
{
    char *v = NULL;
    size_t used = 0, cap = 0;
    bool row = true;
    enum vx_err err = VX_OK;
    while (!(err = sql_step(c, st, &row)) && row) {
        if (used == cap) {
            cap = cap ? cap * 2 : 16;
            char *wider = arena_alloc(a, cap * size);
            if (!wider) {
                err = VX_ERR_NO_MEMORY;
                break;
            }
            if (used)
                memcpy(wider, v, used * size);
            v = wider;
        }
        if ((err = fn(st, a, v + used * size)))
            break;
        used++;
    }
    sql_end(st);
    *rows = err ? NULL : v;
    *n = err ? 0 : used;
    return err;
}
