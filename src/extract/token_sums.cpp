#include "extract/token_sums.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "core/hash.h"
#include "linalg/blas.h"

namespace coala {

double token_share(const BackboneIdentity& backbone, std::size_t rank) {
  constexpr double kShareOfModel = 0.25;
  const double body = static_cast<double>(std::max<std::uint64_t>(1, backbone.active_parameters));
  const double output = static_cast<double>(backbone.vocabulary) * static_cast<double>(backbone.dimension + rank);
  return std::min(1.0, kShareOfModel * body / output);
}

TokenSums::TokenSums(const TokenProjection& projection, NextTokenMean& mean,
                     std::span<const EncodedResponse* const> responses, Token end_token)
    : projection_(projection),
      mean_(mean),
      responses_(responses),
      end_token_(end_token),
      sums_(responses.size(), projection.basis.width()),
      states_(mean.batch_rows(), projection.basis.dimension()),
      expected_(mean.batch_rows(), projection.basis.rank()),
      projected_(mean.batch_rows(), projection.basis.rank()) {
  if (projection.share >= 1) return;
  for (const EncodedResponse* response : responses) {
    const auto& tokens = response->tokens;
    seeds_.push_back(hash64({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(Token)}));
  }
}

bool TokenSums::looked_at(std::size_t response, std::size_t position) const {
  if (seeds_.empty()) return true;
  // By the text, so that the choice depends neither on the machine nor on what else is evaluated.
  const std::string_view bytes(reinterpret_cast<const char*>(&position), sizeof position);
  return std::ldexp(static_cast<double>(hash64(bytes, seeds_[response]) >> 11), -53) < projection_.share;
}

void TokenSums::take(const EvaluatedToken& token) {
  const EncodedResponse& response = *responses_[token.response];
  const std::size_t end = response.tokens.size() - response.closing_tokens;
  const std::size_t next = token.position + 1;
  if (next < response.prompt_tokens || next > end) return;
  if (next == end && (!response.complete || end_token_ < 0)) return;
  if (!looked_at(token.response, next)) return;
  std::ranges::copy(token.state, states_.row(waiting_.size()).begin());
  waiting_.push_back({token.response, next == end ? end_token_ : response.tokens[next]});
  if (waiting_.size() == states_.rows()) flush();
}

void TokenSums::flush() {
  const std::size_t count = waiting_.size();
  if (count == 0) return;
  const std::size_t r = projection_.basis.rank();
  const MatrixView<const float> states = MatrixView<const float>(states_.data(), count, states_.cols());
  mean_.evaluate(states, projection_.table, MatrixView<float>(expected_.data(), count, r));
  gemm(false, true, 1.0f, states, projection_.basis.states.view(), 0.0f,
       MatrixView<float>(projected_.data(), count, r));
  std::vector<double> residual(r);
  for (std::size_t i = 0; i < count; ++i) {
    const auto token = static_cast<std::size_t>(waiting_[i].next);
    for (std::size_t j = 0; j < r; ++j) {
      residual[j] = static_cast<double>(projection_.table(j, token)) - static_cast<double>(expected_(i, j));
    }
    double* sums = sums_.row(waiting_[i].response).data();
    for (std::size_t a = 0; a < r; ++a) {
      const auto coordinate = static_cast<double>(projected_(i, a));
      for (std::size_t j = 0; j < r; ++j) sums[a * r + j] += coordinate * residual[j];
    }
    for (std::size_t j = 0; j < r; ++j) sums[r * r + j] += residual[j];
  }
  waiting_.clear();
}

void TokenSums::write(std::size_t response, std::span<float> to) const {
  const std::span<const double> sums = sums_.row(response);
  for (std::size_t j = 0; j < sums.size(); ++j) to[j] = static_cast<float>(sums[j] / projection_.share);
}

}  // namespace coala
