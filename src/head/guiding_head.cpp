#include "head/guiding_head.h"

#include <utility>

#include "core/error.h"
#include "core/version.h"
#include "features/provenance_keys.h"
#include "head/head_format.h"

namespace coala {

std::map<std::string, std::string> head_metadata(const std::map<std::string, std::string>& features) {
  std::map<std::string, std::string> metadata;
  for (const ProvenanceKey& entry : kProvenanceKeys) {
    const auto found = features.find(std::string(entry.key));
    if (entry.inherited && found != features.end() && !found->second.empty()) metadata.insert(*found);
  }
  metadata["coala.format"] = kHeadFormat;
  metadata["coala.version"] = kVersion;
  metadata["binding"] = metadata.contains("backbone.hash") ? "bound" : "unbound";
  return metadata;
}

Head make_guiding_head(TokenHead token, std::size_t dimension, const std::map<std::string, std::string>& features) {
  Head head;
  head.metadata = head_metadata(features);
  head.metadata["activation"] = "relu";
  head.network.theta1 = Matrix<float>(0, dimension);
  head.transform.mean.assign(dimension, 0);
  head.transform.scale.assign(dimension, 1);
  head.token = std::move(token);
  return head;
}

void check_scores(const Head& head) {
  if (head.network.neurons() > 0) return;
  throw Error(ErrorCode::BadInput, "the head guides tokens and scores no replies: it has no reward network",
              "use one that `coala align` or `coala train` wrote");
}

}  // namespace coala
