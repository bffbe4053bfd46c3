/* Randomness, hashes and comparisons of secrets, all through OpenSSL. */
#ifndef VX_SECRET_H
#define VX_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_SHA256 32

/* Fills out with n characters of [A-Za-z0-9], uniform, plus NUL. 0 or -1. */
int secret_alnum(char *out, size_t n);
/* Fills out with n lower-case hex digits plus NUL. 0 or -1. */
int secret_hex(char *out, size_t n);
/* A random UUID version 4 as text. 0 or -1. */
int secret_uuid(char out[37]);
/* n uniform random bytes. 0 or -1. */
int secret_bytes(void *out, size_t n);
int secret_sha256(const void *data, size_t n, unsigned char out[SECRET_SHA256]);
int secret_hmac_sha256(const void *key, size_t key_len, const void *data, size_t n,
                       unsigned char out[SECRET_SHA256]);
/* Equality of two texts in time that depends on their lengths only. NULL equals nothing. */
bool secret_equal(const char *a, const char *b);
/* base64url without padding. encode: out needs 4*((n+2)/3)+1. decode: returns length or -1. */
void secret_b64url_encode(const void *data, size_t n, char *out);
long secret_b64url_decode(const char *s, size_t n, unsigned char *out, size_t cap);

#endif
