/* The files that are part of the program: the page (src/plane/dist) and proto/openapi.json. scripts/embed.cmake makes
 * the table when the program is built. */
#ifndef OBS_BRIDGE_PAGE_FILES_H
#define OBS_BRIDGE_PAGE_FILES_H

#include <stddef.h>

typedef struct {
  const unsigned char *p;
  size_t len;
} obs_page_bytes;

typedef struct {
  const char *name, *type;
  const char *etag;             /* W/"20 hex digits": of what is in it, in either form */
  obs_page_bytes plain, packed; /* packed: with gzip */
} obs_page_file;

extern const obs_page_file obs_page_files[];
extern const size_t obs_page_nfiles;

#endif
