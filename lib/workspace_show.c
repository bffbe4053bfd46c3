/* What one commit of a workspace changed, as a patch with a limit. */
#include <string.h>

#include "lib/json_scan.h"
#include "lib/workspace_git.h"

#define LINES_MAX 600
#define BYTES_MAX (256 << 10)
#define BLOB_MAX  (1 << 20) /* larger blobs are shown as binary */

struct patch {
    struct buf text;
    size_t lines;
    bool cut;
};

static int add(struct patch *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p->lines >= LINES_MAX || p->text.len + i >= BYTES_MAX) {
            p->cut = true;
            n = i;
        } else if (s[i] == '\n') {
            p->lines++;
        }
    }
    return buf_append(&p->text, s, n) != 0 || p->cut ? GIT_EUSER : 0;
}

static int print_line(const git_diff_delta *delta, const git_diff_hunk *hunk,
                      const git_diff_line *line, void *ctx)
{
    struct patch *p = ctx;
    (void)delta;
    (void)hunk;
    if ((line->origin == ' ' || line->origin == '+' || line->origin == '-') &&
        add(p, &line->origin, 1) != 0)
        return GIT_EUSER;
    return add(p, line->content, line->content_len);
}

static int print_commit(git_repository *repo, git_commit *c, const char *path, struct patch *p)
{
    git_diff_options how;
    git_tree *tree = NULL, *before = NULL;
    git_commit *parent = NULL;
    git_diff *diff = NULL;
    char *only = (char *)path;
    int rc = git_diff_options_init(&how, GIT_DIFF_OPTIONS_VERSION);
    how.max_size = BLOB_MAX;
    how.flags = GIT_DIFF_DISABLE_PATHSPEC_MATCH;
    if (path != NULL)
        how.pathspec = (git_strarray){&only, 1};
    if (rc == 0)
        rc = git_commit_tree(&tree, c);
    if (rc == 0 && git_commit_parentcount(c) > 0 && (rc = git_commit_parent(&parent, c, 0)) == 0)
        rc = git_commit_tree(&before, parent);
    if (rc == 0)
        rc = git_diff_tree_to_tree(&diff, repo, before, tree, &how);
    if (rc == 0)
        rc = git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, print_line, p);
    git_diff_free(diff);
    git_commit_free(parent);
    git_tree_free(before);
    git_tree_free(tree);
    return rc == GIT_EUSER && !p->text.failed ? 0 : rc;
}

static bool is_sha(const char *sha)
{
    size_t n = strlen(sha);
    return n >= 4 && n <= GIT_OID_HEXSZ && strspn(sha, "0123456789abcdefABCDEF") == n;
}

/* Leaves p empty when sha names no one commit. */
static enum vx_err print_sha(const struct workspace *ws, const char *sha, const char *path,
                             struct patch *p)
{
    git_repository *repo = NULL;
    git_commit *c = NULL;
    git_oid id;
    if (!is_sha(sha))
        return VX_OK;
    enum vx_err err = workspace_git_open(ws, &repo);
    if (err != VX_OK)
        return err;
    int rc = git_oid_fromstrn(&id, sha, strlen(sha));
    if (rc == 0)
        rc = git_commit_lookup_prefix(&c, repo, &id, strlen(sha));
    if (rc == 0 && (rc = print_commit(repo, c, path, p)) != 0)
        err = workspace_git_fault(rc, "show");
    else if (rc != 0 && rc != GIT_ENOTFOUND && rc != GIT_EAMBIGUOUS && rc != GIT_EINVALIDSPEC)
        err = workspace_git_fault(rc, "find commit");
    git_commit_free(c);
    git_repository_free(repo);
    return err;
}

enum vx_err workspace_git_show(const struct workspace *ws, const char *sha, const char *path,
                               struct json_object **out)
{
    struct patch p = {.lines = 0};
    struct json_object *o = json_object_new_object();
    *out = NULL;
    buf_init(&p.text, BYTES_MAX + 1);
    enum vx_err err = o != NULL ? print_sha(ws, sha, path, &p) : VX_ERR_NO_MEMORY;
    if (err == VX_OK &&
        (json_put_str(o, "sha", sha) != 0 || json_put_str(o, "path", path) != 0 ||
         json_put(o, "diff", workspace_text(p.text.data ? p.text.data : "", p.text.len)) != 0 ||
         json_put_bool(o, "truncated", p.cut) != 0))
        err = VX_ERR_NO_MEMORY;
    buf_free(&p.text);
    if (err == VX_OK)
        *out = o;
    else
        json_object_put(o);
    return err;
}
