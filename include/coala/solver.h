#pragma once

// Everything of the component `solver`: from arrays to a head, its scores and its evaluation.

#include "coala/context.h"
#include "coala/error.h"
#include "coala/evaluate.h"
#include "coala/features.h"
#include "coala/fit.h"
#include "coala/head.h"
#include "coala/progress.h"
#include "coala/version.h"
