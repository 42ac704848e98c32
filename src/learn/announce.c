#include "learn/announce.h"

#include "base/json.h"
#include "base/log.h"

#include <inttypes.h>

void obs_announce_row(const obs_announce *to, const char *topic, uint64_t number, obs_str members) {
  obs_buf row = {0};
  if (to->fn == NULL) return;
  obs_json_writer w = obs_json_write(&row);
  obs_json_object(&w, NULL);
  obs_json_u64(&w, "id", number);
  obs_json_members(&w, members);
  obs_json_end(&w);
  if (row.oom)
    obs_log_error("learn", "feed: row %" PRIu64 " of %s is not sent: out of memory", number, topic);
  else
    to->fn(to->arg, topic, obs_buf_view(&row));
  obs_buf_fini(&row);
}
