/* The error table's data. */
#include "lib/err.h"

#include <stddef.h>

static const struct vx_err_info table[VX_ERR_COUNT] = {[VX_OK] = {200, "ok", "OK", 0},
#define X(member, status, code, detail, retry) [VX_ERR_##member] = {status, code, detail, retry},
                                                       VX_ERR_TABLE(X)
#undef X
};

const struct vx_err_info *vx_err_info(enum vx_err err)
{
    if ((unsigned)err >= VX_ERR_COUNT)
        err = VX_ERR_INTERNAL;
    return &table[err];
}

const char *http_status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Payload Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Unknown";
}
