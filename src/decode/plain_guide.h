#pragma once

#include <memory>
#include <span>
#include <vector>

#include "decode/guide.h"

namespace coala {

/// Token after token, with a tilt of the logits or without one.
class PlainGuide : public Guide {
 public:
  explicit PlainGuide(GuideParts parts) : parts_(std::move(parts)) {}

  void begin(const Session::Output& next) override { draw(next); }
  bool is_done() const override { return !parts_.stream->waits(); }
  void prepare(std::vector<Session::Row>& rows) override { rows.push_back({parts_.sequence, parts_.stream->last()}); }
  void take(std::span<const Session::Output> outputs) override {
    parts_.stream->evaluated(outputs.front().state);
    if (!parts_.stream->finished()) draw(outputs.front());
  }
  ReplyStream& stream() override { return *parts_.stream; }

 private:
  void draw(const Session::Output& output) { parts_.drawer.draw(*parts_.stream, output, parts_.session.threads()); }

  GuideParts parts_;
};

}  // namespace coala
