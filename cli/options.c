/* What the operator's commands share. */
#include "cli/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

int cli_usage(int status, const char *text)
{
    fputs(text, status ? stderr : stdout);
    return status ? status : cli_finish();
}

void cli_complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("vexa: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

int cli_load(struct instance *in, const char *dir)
{
    char why[512] = "";
    enum vx_err err = instance_load(in, dir, why, sizeof why);
    if (!err)
        return 0;
    cli_complain("%s", *why ? why : vx_err_info(err)->detail);
    if (in->conf && access(in->conf, F_OK) && errno == ENOENT)
        cli_complain("%s is not an instance; make one with: vexa init --dir %s", in->dir, in->dir);
    return err == VX_ERR_BAD_CONFIG ? 1 : EXIT_SYSTEM;
}

int cli_open(struct instance *in, const char *dir, struct store **st, struct store_conn **rd)
{
    int status = cli_load(in, dir);
    if (status)
        return status;
    enum vx_err err = store_open(in->db, config_int(in->cfg, CFG_STORE_BUSY_MS), 0, st);
    if (!err)
        err = store_reader_open(*st, rd);
    if (!err)
        return 0;
    cli_complain("%s: %s", in->db, vx_err_info(err)->detail);
    return EXIT_SYSTEM;
}

void cli_close(struct instance *in, struct store *st, struct store_conn *rd)
{
    if (rd)
        store_reader_close(rd);
    if (st)
        store_close(st);
    instance_free(in);
}

int cli_number(const char *option, const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max) {
        cli_complain("%s must be an integer from %lld to %lld", option, (long long)min,
                     (long long)max);
        return EXIT_USAGE;
    }
    *out = v;
    return 0;
}

int cli_finish(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return 0;
    cli_complain("cannot write the output: %s", strerror(errno));
    return EXIT_SYSTEM;
}
