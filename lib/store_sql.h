/* For lib/store_*.c only: prepared statements kept by connection, binding, error mapping. */
#ifndef VX_STORE_SQL_H
#define VX_STORE_SQL_H

#include <sqlite3.h>

#include "lib/store.h"

struct store_conn {
    struct store *store;
    sqlite3 *db;
    bool writer;
    struct sql_slot *slots; /* kept statements, keyed by the address of their SQL text */
    size_t n_slots, cap_slots;
};

/* Starts a statement. sql must be a string literal (its address is the key). types binds the
 * arguments in order: i int64_t, d double, t const char * (NULL allowed; must live until sql_end),
 * b const void * + size_t (two arguments), n SQL NULL (no argument), o int64_t where 0 means NULL.
 * On success the caller must sql_end(). */
enum vx_err sql_begin(struct store_conn *c, sqlite3_stmt **st, const char *sql, const char *types,
                      ...);
/* Next row: *row tells whether there is one. */
enum vx_err sql_step(struct store_conn *c, sqlite3_stmt *st, bool *row);
void sql_end(sqlite3_stmt *st);
/* begin + step until done + end. */
enum vx_err sql_exec(struct store_conn *c, const char *sql, const char *types, ...);
/* begin + first row's first integer; *found false (and *out untouched) when no row. */
enum vx_err sql_int(struct store_conn *c, int64_t *out, bool *found, const char *sql,
                    const char *types, ...);
int64_t sql_changes(struct store_conn *c);
int64_t sql_last_id(struct store_conn *c);
/* Column as text copied to the arena; NULL for SQL NULL or when memory ran out (then *err is set
 * to VX_ERR_NO_MEMORY if err is given). */
const char *sql_text(struct arena *a, sqlite3_stmt *st, int col, enum vx_err *err);
/* All rows of a started statement, which it ends: an array of *n structs of size bytes in the arena
 * (NULL when there are none), each filled by fn. */
typedef enum vx_err sql_row_fn(sqlite3_stmt *st, struct arena *a, void *row);
enum vx_err sql_rows(struct store_conn *c, struct arena *a, sqlite3_stmt *st, size_t size,
                     sql_row_fn *fn, void **rows, size_t *n);
/* Maps an SQLite result to an error and logs it with the SQL's first words. Never VX_OK. */
enum vx_err sql_fault(struct store_conn *c, int rc, const char *what);

#endif
