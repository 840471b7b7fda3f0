// The work of a fused stage: its steps, some of them folded into one pass over a tile.
#ifndef BCD_WORK_H_
#define BCD_WORK_H_

#include "plan.h"

// Sets stage->works, which the caller frees, and the sizes of panels and tiles.
bool build_works(Plan* plan, Stage* stage);
void run_works(const Plan* plan, const Stage* stage);

// As many steps at most become one pass.
enum { kMaxFolded = 4 };

#endif  // BCD_WORK_H_
