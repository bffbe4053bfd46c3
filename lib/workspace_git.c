/* libgit2: starting it closed to the host's configuration, opening a workspace's repository, and
 * the first commit. The one context: whether it was started. */
#include "lib/workspace_git.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/py_text.h"

#define SEED_NAME  "vexa-agent"
#define SEED_EMAIL "agent@vexa"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int started;

static void start(void)
{
    static const int levels[] = {GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_GLOBAL,
                                 GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_PROGRAMDATA};
    started = git_libgit2_init();
    for (size_t i = 0; started > 0 && i < sizeof levels / sizeof *levels; i++)
        if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") != 0)
            started = -1;
    if (started > 0 && (git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "") != 0 ||
                        git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1) != 0))
        started = -1;
}

enum vx_err workspace_git_start(void)
{
    if (pthread_once(&once, start) != 0 || started <= 0) {
        log_msg(LOG_ERROR_, "workspace_fault", "libgit2 does not start");
        return VX_ERR_SYSTEM;
    }
    return VX_OK;
}

enum vx_err workspace_git_fault(int rc, const char *what)
{
    int error = errno;
    const git_error *e = git_error_last();
    log_event(LOG_ERROR_, "workspace_fault", "what", what, "error",
              e != NULL && e->message != NULL ? e->message : "unknown", NULL);
    if (e != NULL && e->klass == GIT_ERROR_NOMEMORY)
        return VX_ERR_NO_MEMORY;
    if (e != NULL && e->klass == GIT_ERROR_OS && (error == ENOSPC || error == EDQUOT))
        return VX_ERR_STORAGE_FULL;
    (void)rc;
    return VX_ERR_SYSTEM;
}

enum vx_err workspace_git_open(const struct workspace *ws, git_repository **repo)
{
    *repo = NULL;
    enum vx_err err = workspace_git_start();
    if (err != VX_OK)
        return err;
    int rc = git_repository_open_bare(repo, ws->git);
    return rc == 0 ? VX_OK : workspace_git_fault(rc, "open repository");
}

struct json_object *workspace_text(const char *text, size_t n)
{
    static const char replacement[] = "\xef\xbf\xbd";
    if (utf8_check(text, n) == n)
        return json_object_new_string_len(text, (int)n);
    struct buf b;
    buf_init(&b, 3 * n + 1);
    for (size_t i = 0; i < n;) {
        size_t good = utf8_check(text + i, n - i);
        buf_append(&b, text + i, good);
        i += good;
        if (i < n) {
            buf_append_str(&b, replacement);
            i++;
        }
    }
    struct json_object *o =
        b.failed ? NULL : json_object_new_string_len(b.data != NULL ? b.data : "", (int)b.len);
    buf_free(&b);
    return o;
}

/* The template as a tree in the repository. */
static int write_template(git_repository *repo, git_oid *tree)
{
    const struct seed_file *f;
    git_index *index = NULL;
    int rc = git_index_new(&index); /* in memory: no file, no lock */
    for (size_t i = 0; rc == 0 && (f = workspace_seed_file(i)) != NULL; i++) {
        git_index_entry e = {.mode = GIT_FILEMODE_BLOB, .path = f->path};
        rc = git_blob_create_from_buffer(&e.id, repo, f->text, strlen(f->text));
        if (rc == 0)
            rc = git_index_add(index, &e);
    }
    if (rc == 0)
        rc = git_index_write_tree_to(tree, index, repo);
    git_index_free(index);
    return rc;
}

enum vx_err workspace_git_seed(const char *path)
{
    git_repository_init_options how;
    git_repository *repo = NULL;
    git_signature *who = NULL;
    git_tree *tree = NULL;
    git_oid id;
    enum vx_err err = workspace_git_start();
    if (err != VX_OK)
        return err;
    int rc = git_repository_init_options_init(&how, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    how.flags =
        GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_NO_REINIT | GIT_REPOSITORY_INIT_MKDIR;
    how.mode = 0700;
    how.initial_head = "main";
    if (rc == 0)
        rc = git_repository_init_ext(&repo, path, &how);
    if (rc == 0)
        rc = write_template(repo, &id);
    if (rc == 0)
        rc = git_tree_lookup(&tree, repo, &id);
    if (rc == 0)
        rc = git_signature_new(&who, SEED_NAME, SEED_EMAIL, (git_time_t)(clock_now_ms() / 1000), 0);
    if (rc == 0)
        rc = git_commit_create(&id, repo, "HEAD", who, who, NULL, "seed", tree, 0, NULL);
    if (rc != 0)
        err = workspace_git_fault(rc, "seed");
    git_signature_free(who);
    git_tree_free(tree);
    git_repository_free(repo);
    return err;
}
