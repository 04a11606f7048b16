#pragma once

#include <cstddef>
#include <vector>

#include "data/record.h"
#include "data/row.h"
#include "data/shape.h"

namespace coala {

/// Every pair of a conversation repeats what was said before, so their size grows with the square of the turns: a bound
/// keeps one record from filling a disk. Long real conversations have some hundreds.
inline constexpr std::size_t kMostTurns = 4096;

/// The turns of a conversation (Shape::EduFeedback, ShareGpt or OpenAiMessages); the tutor is the assistant.
/// @throws Error{BadInput} naming the line when the record is not of that shape
std::vector<Message> read_conversation(const Row& row, Shape shape);

}  // namespace coala
