/* observerd's manual page, from the table of options (config.h). */
#ifndef OBS_OBSERVERD_MAN_H
#define OBS_OBSERVERD_MAN_H

#include <stdio.h>

void obs_man_print(FILE *out);

#endif
