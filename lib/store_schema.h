/* The migrations: numbered, forward only, each applied in one transaction by lib/store.c, which
 * also keeps user_version and application_id and fills meta('epoch'). */
#ifndef VX_STORE_SCHEMA_H
#define VX_STORE_SCHEMA_H

struct migration {
    int version; /* user_version after it, from 1 without holes */
    const char *sql;
};

/* In order; ended by a row whose sql is NULL. */
extern const struct migration store_migrations[];
/* version of the last migration. */
extern const int store_schema_latest;

#endif
