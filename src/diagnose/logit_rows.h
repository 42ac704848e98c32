/* Inside the model: its rows and their values, before anything is fitted. */
#ifndef OBS_DIAGNOSE_LOGIT_ROWS_H
#define OBS_DIAGNOSE_LOGIT_ROWS_H

#include "diagnose/logit.h"

/* Draws the rows, gives every column its values, and drops those that another column has as well. NOTFOUND: there are
 * no failures, or nothing but failures. What was allocated stays for obs_logit_close. */
observer_err obs_logit_take_rows(obs_logit *m, const obs_logit_opts *opts);
/* The spread that is expected of a column before any data is seen. */
double obs_logit_usual_spread(const obs_logit *m, int column);

#endif
