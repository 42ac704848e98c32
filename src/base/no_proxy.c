#include "base/no_proxy.h"

#include <stdlib.h>

void obs_no_proxy(obs_buf *out) {
  const char *said = getenv("no_proxy"); /* as libcurl: the one in small letters first */
  if (said == NULL) said = getenv("NO_PROXY");
  if (said != NULL && strcmp(said, "*") == 0) {
    obs_buf_puts(out, said);
  } else {
    obs_buf_puts(out, "localhost,127.0.0.0/8,::1");
    if (said != NULL && *said != '\0') {
      obs_buf_putc(out, ',');
      obs_buf_puts(out, said);
    }
  }
  obs_buf_putc(out, '\0');
}
