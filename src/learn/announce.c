#include "learn/announce.h"

#include "base/buf.h"
#include "base/log.h"

#include <inttypes.h>

void obs_announce_row(const obs_announce *to, const char *topic, uint64_t number, obs_str members) {
  obs_buf row = {0};
  if (to->fn == NULL) return;
  obs_buf_printf(&row, "{\"id\":%" PRIu64 ",", number);
  obs_buf_append(&row, members.p, members.len);
  obs_buf_putc(&row, '}');
  if (row.oom)
    obs_log_error("learn", "feed: row %" PRIu64 " of %s is not sent: out of memory", number, topic);
  else
    to->fn(to->arg, topic, obs_buf_view(&row));
  obs_buf_fini(&row);
}
