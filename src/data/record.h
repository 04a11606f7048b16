#pragma once

#include "coala/records.h"
