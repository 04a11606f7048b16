#include "tally/labels.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>

#include "core/error.h"
#include "tally/annotations.h"

namespace coala {
namespace {

using NamesById = std::map<std::string, std::vector<const PairName*>>;

const PairName& labelled(const Annotation& label, const NamesById& by_id) {
  const std::string id = id_of(label, "id");
  const auto found = by_id.find(id);
  if (found == by_id.end()) fail_at(label, fmt::format("there is no reply with the id {}", id));
  std::vector<const PairName*> meant = found->second;
  if (label.object.contains("index")) {
    const double index = number_of(label, "index");
    std::erase_if(meant, [index](const PairName* name) { return static_cast<double>(name->index) != index; });
    if (meant.empty()) fail_at(label, fmt::format("there is no reply with the id {} and the index {}", id, index));
  }
  if (meant.size() > 1) {
    throw Error(
        ErrorCode::BadInput,
        fmt::format("{}: {} pairs of replies have the id {}{}", label.place, meant.size(), id,
                    label.object.contains("index") ? " and this index" : ""),
        "say which one is meant with \"index\", its place among the replies to its prompt, from 0; prompts need "
        "ids of their own");
  }
  return *meant.front();
}

}  // namespace

std::vector<JudgedPair> read_labels(const std::filesystem::path& file, std::span<const PairName> names) {
  NamesById by_id;
  for (const PairName& name : names) by_id[name.id].push_back(&name);
  std::set<std::string> seen;
  std::vector<JudgedPair> judged;
  for (const Annotation& label : read_annotations({file})) {
    const PairName& name = labelled(label, by_id);
    const std::string better = text_of(label, "better");
    if (!seen.insert(name.pair).second) {
      fail_at(label, fmt::format("reply {} with the id {} has a label already", name.index, name.id));
    }
    if (better != "replies" && better != "against" && better != "tie") {
      fail_at(label, fmt::format("\"better\" is '{}', expected is replies, against or tie", better));
    }
    JudgedPair pair{"people", name.pair, name.prompt, name.lengths};
    pair.turn = name.turn;
    pair.said = better == "tie" ? 0.5 : better == "replies" ? 1 : 0;
    judged.push_back(std::move(pair));
  }
  return judged;
}

}  // namespace coala
