/* The body of a request: by its length or in chunks, plain or compressed, decoded as it comes in.
 *
 * Bounds: the decoded bytes, and those that are received for them, by the limit (413), so that a small message that
 * decodes to gigabytes costs no more than the limit; the lines of chunks and their extensions together, and the fields
 * behind the last chunk, which are dropped, by OBS_HTTPD_HEAD_BYTES each (400, 431). Chunks are taken strictly: 1 to 16
 * hex digits right at the start of a line, CR LF and nothing else at its end. */
#ifndef OBS_HTTPD_BODY_H
#define OBS_HTTPD_BODY_H

#include "base/buf.h"
#include "httpd/head.h"

enum { OBS_HTTPD_INFLATE_BYTES = 48 << 10 /* what decompression holds besides */ };

typedef struct {
  enum {
    OBS_HTTPD_FIXED,
    OBS_HTTPD_SIZE,
    OBS_HTTPD_EXTENSION,
    OBS_HTTPD_SIZE_END,
    OBS_HTTPD_DATA,
    OBS_HTTPD_DATA_CR,
    OBS_HTTPD_DATA_END,
    OBS_HTTPD_TRAILERS
  } state;
  uint32_t digits; /* of the chunk's size so far */
  uint32_t extra;  /* bytes of extensions so far */
  uint64_t left;   /* of the body or the chunk */
  size_t limit, received;
  obs_httpd_scan trailers;
  obs_httpd_coding coding;
  bool ended;                 /* the compressed data is complete */
  struct z_stream_s *inflate; /* NULL: nothing to decompress has come */
} obs_httpd_body;

/* Of a head that says there is a body (a length above 0, or chunks). False: `why`. End in either case. */
bool obs_httpd_body_begin(obs_httpd_body *b, const obs_httpd_head *h, size_t limit, obs_httpd_fault *why);
/* Takes the next bytes; `used` are those that belong to the body. Appends what is decoded to `out`. */
obs_httpd_step obs_httpd_body_feed(obs_httpd_body *b, const uint8_t *p, size_t len, size_t *used, obs_buf *out,
                                   obs_httpd_fault *why);
/* Frees. A zeroed one is allowed. */
void obs_httpd_body_end(obs_httpd_body *b);

#endif
