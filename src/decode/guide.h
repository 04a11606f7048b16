#pragma once

#include <memory>
#include <span>
#include <vector>

#include "decode/reply_stream.h"
#include "decode/token_drawer.h"
#include "lm/session.h"

namespace coala {

/// What a guide writes a reply with. All but the stream outlive it.
struct GuideParts {
  const Backbone& backbone;
  Session& session;
  TokenDrawer& drawer;
  const GenerationSettings& settings;
  std::unique_ptr<ReplyStream> stream;
  int sequence = 0;           ///< the reply's; it holds the prompt
  std::vector<int> branches;  ///< sequences that are the guide's to use; empty at the beginning
};

/// Writes one reply: says what is to be evaluated in the next decode, which it may share with other replies, and draws
/// tokens by what comes of it. begin(), then prepare() and take() in turn until is_done(). What it throws ends the
/// reply's request and no other.
class Guide {
 public:
  virtual ~Guide() = default;

  /// @param next  what follows the prompt, valid during the call
  virtual void begin(const Session::Output& next) = 0;
  /// Whether nothing more is to be evaluated.
  virtual bool is_done() const = 0;
  /// Appends the rows of the next decode, at least one.
  virtual void prepare(std::vector<Session::Row>& rows) = 0;
  /// @param outputs  of these rows, in their order; valid during the call, as is what Session::completed() makes of
  /// them
  virtual void take(std::span<const Session::Output> outputs) = 0;
  /// The reply so far.
  virtual ReplyStream& stream() = 0;
};

}  // namespace coala
