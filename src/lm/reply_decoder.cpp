#include "lm/reply_decoder.h"

namespace coala {

void ReplyDecoder::add(Token token) {
  const Tokenizer& tokenizer = backbone_->tokenizer();
  if (tokenizer.is_control(token)) {
    pieces_.push_back({tokenizer.control_text(token), true});
    return;
  }
  if (pieces_.empty() || pieces_.back().is_mark) pieces_.push_back({});
  const std::size_t before = bytes_.size();
  tokenizer.append_bytes(token, bytes_);
  pieces_.back().text.append(bytes_, before);
}

/// The text of a reply's first run, or of all of them.
std::string ReplyDecoder::without_lead(const std::string& bytes) const {
  std::string text = backbone_->tokenizer().text_of(bytes, backbone_->starts_text(*prompt_));
  if (text.starts_with(prompt_->response_lead)) text.erase(0, prompt_->response_lead.size());
  return text;
}

ReplyText ReplyDecoder::text() const {
  if (prompt_->is_text) return {"", without_lead(bytes_)};
  std::vector<ReplyPiece> pieces;
  std::string whole;
  for (const ReplyPiece& piece : pieces_) {
    if (piece.is_mark) {
      pieces.push_back(piece);
      continue;
    }
    const bool first = pieces.empty();
    pieces.push_back({first ? without_lead(piece.text) : backbone_->tokenizer().text_of(piece.text, true), false});
    whole += pieces.back().text;
  }
  ReplyText reply = backbone_->reply_format().split(pieces, prompt_->in_thoughts);
  // An answer without thoughts is the whole reply, read as one text: a character may be broken around a mark.
  if (pieces.size() > 1 && reply.answer == whole && !backbone_->reply_format().channels)
    reply.answer = without_lead(bytes_);
  return reply;
}

}  // namespace coala
