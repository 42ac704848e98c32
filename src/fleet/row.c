#include "fleet/row.h"

#include "base/fleet_seq.h"

static observer_err find_row(const obs_buf *message, const obs_fleet_seq_parts *at, obs_buf *room, obs_buf *data,
                             obs_fleet_row *row, uint64_t *edge) {
  obs_fleet_batch_view v;
  char reason[OBS_FLEET_REASON_MAX];
  observer_err err = obs_fleet_batch_read(message->p, message->len, room, &v, reason);
  if (err == OBSERVER_E_NOMEM) return err;
  if (err != OBSERVER_E_OK || v.p != at->partition) return OBSERVER_E_NOTFOUND;
  for (uint32_t i = 0; i <= at->row; i++)
    if (!obs_fleet_batch_next(&v, row)) return OBSERVER_E_NOTFOUND;
  obs_buf_append(data, row->line, row->len);
  if (data->oom) return OBSERVER_E_NOMEM;
  row->line = obs_buf_view(data).p;
  *edge = v.edge;
  return OBSERVER_E_OK;
}

observer_err obs_fleet_row_get(obs_nats *nats, uint64_t seq, obs_buf *data, obs_fleet_row *row, uint64_t *edge) {
  obs_fleet_seq_parts at = obs_fleet_seq_split(seq);
  obs_buf message = {0}, room = {0};
  observer_err err = obs_nats_stream_get(nats, OBS_FLEET_STREAM, at.stream_seq, &message, NULL);
  if (err == OBSERVER_E_OK) err = find_row(&message, &at, &room, data, row, edge);
  obs_buf_fini(&room);
  obs_buf_fini(&message);
  return err;
}
