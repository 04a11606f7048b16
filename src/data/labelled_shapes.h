#pragma once

#include "data/record.h"
#include "data/row.h"
#include "data/shape.h"

namespace coala {

/// The labelled response of a record: Shape::Imdb, Shape::TrlUnpaired or a labelled record of Shape::Coala.
/// @throws Error{BadInput} naming the line when the record is not of that shape
Labelled read_labelled(const Row& row, Shape shape);

}  // namespace coala
