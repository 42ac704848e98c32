/* The head of an HTTP/1.1 request (RFC 9110, 9112): found, checked, taken apart. No global, no allocation.
 *
 * First the scan finds where the head ends, over as many pieces as it comes in, and refuses what no head has: a line
 * that does not end in CR LF, control bytes, too many bytes or lines. Then the parser takes the whole head apart, in
 * place. Whatever two readers could understand in two ways is 400, and the connection closes: nothing behind it is
 * read.
 *
 * Choices the RFCs leave open: one empty line before a request is skipped, a second is refused; two equal lengths are
 * refused; a path with a `.` or `..` part, also percent-encoded, is refused and not resolved; percent-encoded letters,
 * digits and `-._~` of a path are decoded, everything else stays as it was sent. */
#ifndef OBS_HTTPD_HEAD_H
#define OBS_HTTPD_HEAD_H

#include "base/str.h"

#include <stddef.h>

enum { OBS_HTTPD_HEAD_BYTES = 16384, OBS_HTTPD_HEADERS = 100 };

/* Why a request is refused. */
typedef struct {
  uint16_t status;
  char text[96];
} obs_httpd_fault;

typedef enum { OBS_HTTPD_MORE, OBS_HTTPD_DONE, OBS_HTTPD_WRONG } obs_httpd_step;

/* How far a scan is; zeroed before the first byte. */
typedef struct {
  uint32_t bytes, lines, line; /* so far; line: bytes of the line that has begun */
  bool cr, skipped;            /* the last byte was CR; an empty line came first */
} obs_httpd_scan;

/* Goes on with the next bytes. `used` are those that belong to the head, up to its last one when it is DONE. */
obs_httpd_step obs_httpd_scan_head(obs_httpd_scan *s, const uint8_t *p, size_t len, size_t *used, obs_httpd_fault *why);
/* The same for the fields behind the last chunk of a body, which may be none; `s` is obs_httpd_scan_trailers. */
extern const obs_httpd_scan obs_httpd_scan_trailers;

typedef enum { OBS_HTTPD_IDENTITY, OBS_HTTPD_GZIP, OBS_HTTPD_DEFLATE, OBS_HTTPD_UNKNOWN_CODING } obs_httpd_coding;

/* Strings are views of the head's bytes; p NULL: not given. */
typedef struct {
  obs_str method;
  obs_str path, query; /* the path decoded, without the `?`; `*` of `OPTIONS *` */
  obs_str host;        /* with the port, of an absolute target or of Host */
  obs_str origin, content_type;
  obs_str accept;                 /* the first one */
  obs_str authorization, api_key; /* of Authorization and X-API-Key; the last one */
  obs_str if_none_match;          /* the last one: at worst an answer is sent that the client has */
  uint64_t length;                /* of the body */
  bool has_length, chunked;
  bool old;  /* HTTP/1.0 */
  bool keep; /* the client lets the connection stay */
  bool head; /* HEAD: the answer has no body */
  bool expects_continue;
  bool many_credentials; /* one of these two came twice, with different values */
  bool takes_gzip;       /* of the answer */
  obs_httpd_coding coding;
} obs_httpd_head;

/* Takes apart the bytes of one head, which the scan has found; changes them (the path is decoded in place), and the
 * views point into them. False: `why`. Safe with any bytes. */
bool obs_httpd_head_parse(obs_httpd_head *h, char *bytes, size_t len, obs_httpd_fault *why);

/* How much an Accept header wants a media type, in thousandths; its parameters do not matter. 0: it does not name it.
 */
int obs_httpd_accepts(obs_str accept, const char *type);

/* Sets `why`; false. */
bool obs_httpd_refuse(obs_httpd_fault *why, uint16_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
