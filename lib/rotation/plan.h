#ifndef ROTATION_PLAN_H
#define ROTATION_PLAN_H

#include <rotation/rotation.h>

/* The phases that an operation may run through, in their order; ends with PHASE_DONE. Never NULL. */
const enum phase *plan_of(enum operation_kind kind);

#endif
