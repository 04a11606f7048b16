#pragma once

// Everything of the component `lm`: all that has to do with a model, and what the solver has.

#include "coala/align.h"
#include "coala/dataset.h"
#include "coala/export.h"
#include "coala/extract.h"
#include "coala/generate.h"
#include "coala/model.h"
#include "coala/solver.h"
